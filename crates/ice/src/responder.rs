//! [`CheckResponder`]: answers the checks of a peer whose pair is settled, away from the agent (RFC 8445 §7.3, RFC 7675 §5.1).
//!
//! Such checks come every few seconds for as long as a conference lasts, and there is nothing to decide about them. Whatever is
//! not such a check is refused here, so that the agent has it: it alone decides, and counts.

use std::fmt;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use is::stun::StunMessage;
use model::FiveTuple;

use crate::agent::IceRole;
use crate::{Generation, IceCredentials};

/// A pair about whose checks there is nothing to decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// It carries the traffic.
    pub pair: FiveTuple,
    /// Under whose credentials.
    pub generation: Generation,
    /// Of this side, which a conflict may have changed (RFC 8445 §7.3.1.1).
    pub role: IceRole,
}

/// Answers checks on one pair, for as long as nothing else happens to it: see [`IceAgent::responder`](crate::IceAgent::responder).
#[derive(Clone)]
pub struct CheckResponder {
    settled: Settled,
    local_ufrag: String,
    remote_ufrag: String,
    /// Of the local password.
    key: hmac::Key,
    /// When the agent is to see a check itself.
    agents_turn: Instant,
}

impl CheckResponder {
    pub(crate) fn new(now: Instant, settled: Settled, local: &IceCredentials, remote: &IceCredentials) -> Self {
        Self {
            settled,
            local_ufrag: local.ufrag().to_owned(),
            remote_ufrag: remote.ufrag().to_owned(),
            key: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, local.pwd().as_bytes()),
            agents_turn: now + AGENTS_TURN,
        }
    }

    /// The pair whose checks it answers.
    pub const fn pair(&self) -> &FiveTuple {
        &self.settled.pair
    }

    /// The answer to a datagram that came on `path`. `None` leaves it to the agent: it is no check of this pair's that is
    /// authentic and changes nothing.
    #[must_use]
    pub fn answer(&self, path: &FiveTuple, datagram: &[u8]) -> Option<Vec<u8>> {
        if *path != self.settled.pair {
            return None;
        }
        let check = StunMessage::parse(datagram).ok().filter(StunMessage::is_binding_request)?;
        let (ours, theirs) = (check.ice_controlling().is_some(), check.ice_controlled().is_some());
        let (conflicts, agrees) = match self.settled.role {
            IceRole::Controlling => (ours, theirs),
            IceRole::Controlled => (theirs, ours),
        };
        let is_plain = agrees && !conflicts && !check.use_candidate();
        let is_ours = check.split_username() == Some((&self.local_ufrag, &self.remote_ufrag));
        let sign = |_: &[u8], parts: &[&[u8]]| self.sign(parts);
        if !is_plain || !is_ours || !check.verify(&[], sign) {
            return None;
        }
        let mut answer = vec![0; MAX_ANSWER_LEN];
        let len =
            StunMessage::binding_reply(check.trans_id(), path.remote).to_bytes(Some(&[]), &mut answer, sign).ok()?;
        answer.truncate(len);
        Some(answer)
    }

    /// Whether the agent is to see the check that was just answered; once in a while.
    pub fn is_agents_turn(&mut self, now: Instant) -> bool {
        let is_due = self.agents_turn <= now;
        if is_due {
            self.agents_turn = now + AGENTS_TURN;
        }
        is_due
    }

    fn sign(&self, parts: &[&[u8]]) -> [u8; 20] {
        let mut context = hmac::Context::with_key(&self.key);
        parts.iter().for_each(|part| context.update(part));
        // SHA-1 makes as many.
        context.sign().as_ref().first_chunk().copied().unwrap_or_default()
    }
}

impl fmt::Debug for CheckResponder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckResponder").field("settled", &self.settled).finish_non_exhaustive()
    }
}

/// How often the agent sees a check itself. Of a peer that leaves its checks without answer (COMPAT: Chromium 144,
/// algesten/str0m#846) `is` gives the pair up 15 s after the last one that it has; one of them may get lost.
const AGENTS_TURN: Duration = Duration::from_secs(8);

/// Header, XOR-MAPPED-ADDRESS of IPv6, MESSAGE-INTEGRITY and FINGERPRINT are 76 (RFC 8489 §14).
const MAX_ANSWER_LEN: usize = 96;
