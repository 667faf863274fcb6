//! Answers to requests whose sender is known, and to those of strangers.

use std::net::SocketAddr;

use model::FiveTuple;

use super::{Now, Server};
use crate::stun::{
    AttributeType, Class, IntegrityAlgorithm, IntegrityKey, Message, MessageBuilder, Method, TransactionId,
};

/// Error codes (RFC 8489 §14.8, RFC 8656 §19).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ErrorCode {
    BadRequest,
    Unauthenticated,
    Forbidden,
    UnknownAttribute,
    AllocationMismatch,
    StaleNonce,
    AddressFamilyNotSupported,
    WrongCredentials,
    UnsupportedTransport,
    PeerAddressFamilyMismatch,
    AllocationQuotaReached,
    InsufficientCapacity,
}

impl ErrorCode {
    pub(super) const fn number(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthenticated => 401,
            Self::Forbidden => 403,
            Self::UnknownAttribute => 420,
            Self::AllocationMismatch => 437,
            Self::StaleNonce => 438,
            Self::AddressFamilyNotSupported => 440,
            Self::WrongCredentials => 441,
            Self::UnsupportedTransport => 442,
            Self::PeerAddressFamilyMismatch => 443,
            Self::AllocationQuotaReached => 486,
            Self::InsufficientCapacity => 508,
        }
    }

    const fn reason(self) -> &'static str {
        match self {
            Self::BadRequest => "Bad Request",
            Self::Unauthenticated => "Unauthenticated",
            Self::Forbidden => "Forbidden",
            Self::UnknownAttribute => "Unknown Attribute",
            Self::AllocationMismatch => "Allocation Mismatch",
            Self::StaleNonce => "Stale Nonce",
            Self::AddressFamilyNotSupported => "Address Family not Supported",
            Self::WrongCredentials => "Wrong Credentials",
            Self::UnsupportedTransport => "Unsupported Transport Protocol",
            Self::PeerAddressFamilyMismatch => "Peer Address Family Mismatch",
            Self::AllocationQuotaReached => "Allocation Quota Reached",
            Self::InsufficientCapacity => "Insufficient Capacity",
        }
    }
}

/// Signs the answer to one request as the request was signed.
#[derive(Clone, Debug)]
pub(super) struct Replier {
    pub(super) path: FiveTuple,
    pub(super) method: Method,
    pub(super) transaction: TransactionId,
    pub(super) key: IntegrityKey,
    pub(super) algorithm: IntegrityAlgorithm,
    pub(super) with_fingerprint: bool,
}

impl Replier {
    fn builder(&self, class: Class) -> MessageBuilder {
        MessageBuilder::new(class, self.method, self.transaction)
    }

    fn finish(&self, message: MessageBuilder) -> Vec<u8> {
        message.finish_signed(&self.key, self.algorithm, self.with_fingerprint)
    }
}

impl Server {
    /// Answers with success; `fill` adds the attributes.
    pub(super) fn succeed(&mut self, reply: &Replier, fill: impl FnOnce(MessageBuilder) -> MessageBuilder) {
        self.metrics.requests.with_label_values(&[reply.method.as_str()]).inc();
        let bytes = reply.finish(fill(reply.builder(Class::Success)));
        self.send_to_client(reply.path, bytes);
    }

    /// Answers with an error.
    pub(super) fn fail(&mut self, reply: &Replier, code: ErrorCode) {
        self.count_error(code);
        let message = reply.builder(Class::Error).error_code(code.number(), code.reason());
        let bytes = reply.finish(message);
        self.send_to_client(reply.path, bytes);
    }

    /// Names the attributes that have to be understood and are not (RFC 8489 §6.3.1).
    pub(super) fn fail_unknown(&mut self, reply: &Replier, unknown: &[AttributeType]) {
        self.count_error(ErrorCode::UnknownAttribute);
        let list: Vec<u8> = unknown.iter().flat_map(|kind| kind.0.to_be_bytes()).collect();
        let message = reply
            .builder(Class::Error)
            .error_code(ErrorCode::UnknownAttribute.number(), ErrorCode::UnknownAttribute.reason())
            .attribute(AttributeType::UNKNOWN_ATTRIBUTES, &list);
        let bytes = reply.finish(message);
        self.send_to_client(reply.path, bytes);
    }

    /// Answers a stranger, within the limits for strangers: realm and a nonce where credentials would help.
    pub(super) fn refuse_stranger(&mut self, now: Now, path: FiveTuple, request: &Message<'_>, code: ErrorCode) {
        self.count_error(code);
        // No reason phrase: the sender may be forged, so the answer is as short as it can be.
        let mut message =
            MessageBuilder::new(Class::Error, request.method, request.transaction).error_code(code.number(), "");
        if matches!(code, ErrorCode::Unauthenticated | ErrorCode::StaleNonce) {
            let nonce = self.nonces.issue(now.unix_s, path);
            message = message
                .attribute(AttributeType::REALM, self.settings.realm.as_bytes())
                .attribute(AttributeType::NONCE, nonce.as_bytes());
        }
        let bytes = message.finish(request.has_fingerprint);
        self.answer_stranger(now, path, request, bytes);
    }

    fn count_error(&self, code: ErrorCode) {
        self.metrics.errors.with_label_values(&[&code.number().to_string()]).inc();
    }
}

/// What an Allocate is answered (RFC 8656 §7.2).
pub(super) fn allocated(
    message: MessageBuilder,
    relayed: SocketAddr,
    client: SocketAddr,
    lifetime_s: u32,
) -> MessageBuilder {
    message
        .address(AttributeType::XOR_RELAYED_ADDRESS, relayed)
        .attribute(AttributeType::LIFETIME, &lifetime_s.to_be_bytes())
        .address(AttributeType::XOR_MAPPED_ADDRESS, client)
}
