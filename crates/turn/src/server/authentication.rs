//! Long-term credentials of requests (RFC 8489 §9.2.4), whose user names say until when they serve.

use model::FiveTuple;

use super::reply::{ErrorCode, Replier};
use super::{Now, Server};
use crate::Settings;
use crate::credentials::Username;
use crate::stun::{AttributeType, IntegrityKey, Message, PasswordAlgorithm};

/// Longer user names are nobody's: `expiry:name` with the longest name that signaling gives has 48 bytes.
const MAX_USERNAME_BYTES: usize = 256;

/// What may stand in a request and is understood. All else that has to be is refused.
const KNOWN: [AttributeType; 14] = [
    AttributeType::USERNAME,
    AttributeType::MESSAGE_INTEGRITY,
    AttributeType::CHANNEL_NUMBER,
    AttributeType::LIFETIME,
    AttributeType::XOR_PEER_ADDRESS,
    AttributeType::DATA,
    AttributeType::REALM,
    AttributeType::NONCE,
    AttributeType::REQUESTED_ADDRESS_FAMILY,
    AttributeType::EVEN_PORT,
    AttributeType::REQUESTED_TRANSPORT,
    AttributeType::DONT_FRAGMENT,
    AttributeType::RESERVATION_TOKEN,
    AttributeType::PASSWORD_ALGORITHM,
];

/// More unknown attributes than this are not listed in the answer.
const MAX_LISTED: usize = 16;

/// A client that showed its credentials with this request.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) username: String,
    pub(super) name: String,
    pub(super) reply: Replier,
}

impl Server {
    /// Whose request it is. `None` when it was answered with a refusal, or dropped.
    pub(super) fn authenticate(&mut self, now: Now, path: FiveTuple, request: &Message<'_>) -> Option<Client> {
        match self.check_credentials(now, path, request) {
            Ok(client) => {
                let unknown = unknown_attributes(request);
                if unknown.is_empty() {
                    return Some(client);
                }
                self.fail_unknown(&client.reply, &unknown);
            }
            Err(code) => self.refuse_stranger(now, path, request, code),
        }
        None
    }

    fn check_credentials(&self, now: Now, path: FiveTuple, request: &Message<'_>) -> Result<Client, ErrorCode> {
        let algorithm = request.integrity_algorithm().ok_or(ErrorCode::Unauthenticated)?;
        let (Some(username), Some(_), Some(nonce)) = (
            request.attribute(AttributeType::USERNAME),
            request.attribute(AttributeType::REALM),
            request.attribute(AttributeType::NONCE),
        ) else {
            return Err(ErrorCode::BadRequest);
        };
        if !self.nonces.is_fresh(nonce, now.unix_s, path) {
            return Err(ErrorCode::StaleNonce);
        }
        let password_algorithm = request
            .attribute(AttributeType::PASSWORD_ALGORITHM)
            .map_or(Some(PasswordAlgorithm::Md5), PasswordAlgorithm::from_attribute)
            .ok_or(ErrorCode::BadRequest)?;
        let username = Some(username)
            .filter(|username| username.len() <= MAX_USERNAME_BYTES)
            .and_then(|username| std::str::from_utf8(username).ok())
            .ok_or(ErrorCode::Unauthenticated)?;
        let parts = Username::parse(username).ok_or(ErrorCode::Unauthenticated)?;
        let Settings { secret, realm, .. } = &self.settings;
        let key = IntegrityKey::long_term(username, realm, &secret.password_of(username), password_algorithm);
        if !request.is_authentic(&key) {
            return Err(ErrorCode::Unauthenticated);
        }
        // What was granted in time may be kept: a meeting can be longer than credentials serve.
        let holds_something = self.allocations.get(&path).is_some_and(|allocation| allocation.username == username);
        if parts.expires < now.unix_s && !holds_something {
            return Err(ErrorCode::Unauthenticated);
        }
        let reply = Replier {
            path,
            method: request.method,
            transaction: request.transaction,
            key,
            algorithm,
            with_fingerprint: request.has_fingerprint,
        };
        Ok(Client { username: username.to_owned(), name: parts.name.to_owned(), reply })
    }
}

/// What has to be understood and is not.
fn unknown_attributes(request: &Message<'_>) -> Vec<AttributeType> {
    request
        .attributes()
        .map(|(kind, _)| kind)
        .filter(|kind| kind.is_comprehension_required() && !KNOWN.contains(kind))
        .take(MAX_LISTED)
        .collect()
}

/// Whether an indication can be acted on.
pub(super) fn is_understood(indication: &Message<'_>) -> bool {
    unknown_attributes(indication).is_empty()
}
