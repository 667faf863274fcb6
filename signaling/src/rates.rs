//! How many stanzas one client may send in a second (`mod_rate_limit`, signaling.md §9).

use std::time::{Duration, Instant};

/// Stanzas of one client in a second, by kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StanzaRates {
    /// Presences.
    pub presence: u32,
    /// Requests and answers.
    pub iq: u32,
    /// Messages.
    pub message: u32,
}

impl StanzaRates {
    /// Stock's, for a deployment that wants them.
    pub const STOCK: Self = Self { presence: 4, iq: 15, message: 3 };
}

/// Stanzas over the limit after which a client is put out, as in stock.
const MAX_VIOLATIONS: u32 = 10;

/// What a client sent in the second that is counted now.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sent {
    since: Option<Instant>,
    presence: u32,
    iq: u32,
    message: u32,
    violations: u32,
}

/// What becomes of a stanza.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Take,
    Drop,
    PutOut,
}

impl Sent {
    /// Counts one more of a kind.
    pub(crate) fn count(&mut self, limits: &StanzaRates, kind: &str, now: Instant) -> Verdict {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= Duration::from_secs(1)) {
            *self = Self { since: Some(now), violations: self.violations, ..Self::default() };
        }
        let (count, limit) = match kind {
            "presence" => (&mut self.presence, limits.presence),
            "iq" => (&mut self.iq, limits.iq),
            _ => (&mut self.message, limits.message),
        };
        if *count < limit {
            *count += 1;
            return Verdict::Take;
        }
        self.violations += 1;
        if self.violations >= MAX_VIOLATIONS { Verdict::PutOut } else { Verdict::Drop }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an instant to count from")]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_rate_and_patience_ends() {
        let (mut sent, start, limits) = (Sent::default(), Instant::now(), StanzaRates::STOCK);
        for _ in 0..3 {
            assert_eq!(sent.count(&limits, "message", start), Verdict::Take);
        }
        assert_eq!(sent.count(&limits, "message", start), Verdict::Drop);
        assert_eq!(sent.count(&limits, "presence", start), Verdict::Take);
        let later = start + Duration::from_secs(1);
        for _ in 0..3 {
            assert_eq!(sent.count(&limits, "message", later), Verdict::Take);
        }
        for _ in 0..8 {
            assert_eq!(sent.count(&limits, "message", later), Verdict::Drop);
        }
        assert_eq!(sent.count(&limits, "message", later), Verdict::PutOut);
    }
}
