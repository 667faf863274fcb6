//! IQs that wait for their answer (RFC 6120 §8.2.3).

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use xmpp::{Element, Jid, ns};

/// IQs that wait at a time. Beyond, the one that waited longest counts as timed out. A conference of 500 to whose
/// members one source after the other is told has some 500 for each source.
const MAX_PENDING_IQS: usize = 256 * 1024;

/// What became of an IQ.
#[derive(Debug)]
pub(crate) enum IqOutcome {
    /// The `result` or `error` stanza.
    Answer(Element),
    /// Nothing came in time.
    Timeout,
}

/// The IQs that this side sent, with what each is about.
#[derive(Debug)]
pub(crate) struct PendingIqs<K> {
    timeout: Duration,
    last_id: u64,
    by_id: HashMap<String, Pending<K>>,
    by_deadline: BTreeSet<(Instant, String)>,
}

#[derive(Debug)]
struct Pending<K> {
    to: Jid,
    deadline: Instant,
    purpose: K,
}

impl<K> PendingIqs<K> {
    pub(crate) fn new(timeout: Duration) -> Self {
        Self { timeout, last_id: 0, by_id: HashMap::new(), by_deadline: BTreeSet::new() }
    }

    /// The stanza to send, which waits for its answer from now on.
    pub(crate) fn request(
        &mut self,
        to: &Jid,
        iq_type: &'static str,
        payload: Element,
        purpose: K,
        now: Instant,
    ) -> Element {
        self.last_id += 1;
        let id = format!("f{:x}", self.last_id);
        let deadline = now + self.timeout;
        self.by_deadline.insert((deadline, id.clone()));
        self.by_id.insert(id.clone(), Pending { to: to.clone(), deadline, purpose });
        Element::new("iq", ns::CLIENT)
            .with_attr("type", iq_type)
            .with_attr("to", to.as_str())
            .with_attr("id", id)
            .with_child(payload)
    }

    /// What the answer is about, if this side asked and the right one answers. A missing `from` is the server's own
    /// answer for the account, which is never asked.
    pub(crate) fn take_answered(&mut self, stanza: &Element) -> Option<K> {
        let id = stanza.attr("id")?;
        let from: Jid = stanza.attr("from")?.parse().ok()?;
        if self.by_id.get(id)?.to != from {
            return None;
        }
        self.remove(id)
    }

    /// What the next IQ is about that waited too long.
    pub(crate) fn take_expired(&mut self, now: Instant) -> Option<K> {
        let (deadline, id) = self.by_deadline.first()?;
        if *deadline > now && self.by_id.len() <= MAX_PENDING_IQS {
            return None;
        }
        let id = id.clone();
        self.remove(&id)
    }

    fn remove(&mut self, id: &str) -> Option<K> {
        let (id, pending) = self.by_id.remove_entry(id)?;
        self.by_deadline.remove(&(pending.deadline, id));
        Some(pending.purpose)
    }

    /// Forgets everything: the stream over which answers would come is gone.
    pub(crate) fn clear(&mut self) {
        self.by_id.clear();
        self.by_deadline.clear();
    }

    /// When the next one will have waited too long.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.by_deadline.first().map(|&(deadline, _)| deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(15);

    fn answer(request: &Element, from: &str) -> Element {
        Element::new("iq", ns::CLIENT)
            .with_attr("type", "result")
            .with_attr("from", from)
            .with_attr("id", request.attr("id").unwrap())
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant will do as the start of virtual time")]
    fn matches_an_answer_by_id_and_sender_once() {
        let now = Instant::now();
        let mut iqs = PendingIqs::new(TIMEOUT);
        let bridge: Jid = "b@m/jvb".parse().unwrap();
        let request = iqs.request(&bridge, "get", Element::new("ping", ns::PING), 7, now);
        assert_eq!(iqs.take_answered(&answer(&request, "b@m/other")), None);
        assert_eq!(iqs.take_answered(&answer(&request, "b@m/jvb")), Some(7));
        assert_eq!(iqs.take_answered(&answer(&request, "b@m/jvb")), None);
        assert_eq!(iqs.deadline(), None);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant will do as the start of virtual time")]
    fn gives_up_on_the_oldest_first() {
        let now = Instant::now();
        let mut iqs = PendingIqs::new(TIMEOUT);
        let to: Jid = "b@m/jvb".parse().unwrap();
        for (n, at) in [(1, now), (2, now + Duration::from_secs(1))] {
            iqs.request(&to, "get", Element::new("ping", ns::PING), n, at);
        }
        assert_eq!(iqs.take_expired(now + TIMEOUT - Duration::from_millis(1)), None);
        assert_eq!(iqs.take_expired(now + TIMEOUT), Some(1));
        assert_eq!(iqs.take_expired(now + TIMEOUT), None);
        assert_eq!(iqs.deadline(), Some(now + TIMEOUT + Duration::from_secs(1)));
    }
}
