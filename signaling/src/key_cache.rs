//! What is known of keys that others publish, and when to ask again (sans-IO): told what was fetched and the time.
//!
//! Here: one document of keys after another, by name: the list at a URL, or one key a file at an ASAP key server. Not here:
//! HTTP (`shell/keys.rs`).
//!
//! ```text
//!  nothing ──► fetch ──► known, fresh ──► known, stale (used, and fetched meanwhile) ──► nothing
//!                 └────► failed: not asked again for a while, what was known stays in use
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use auth::{KeySet, VerifyingKey};

/// Documents that are kept, as in stock (`jwt_pubkey_cache_size`): a key server may have as many keys as tokens name.
const MAX_DOCUMENTS: usize = 128;
/// How long a document is good whose server does not say, as in stock.
const FRESH_FOR: Duration = Duration::from_secs(6 * 3600);
/// Bounds of what a server may say: not at each login, and a key that was withdrawn is noticed within a day.
const FRESH_AT_LEAST: Duration = Duration::from_secs(60);
const FRESH_AT_MOST: Duration = Duration::from_secs(24 * 3600);
/// How long a document stays in use that cannot be fetched again: a key server that is down for a night stops no meetings.
const STALE_FOR: Duration = Duration::from_secs(24 * 3600);
/// Time until a list is asked for again that lacks a key: issuers publish a new key as they begin to use it.
const REFETCH_AFTER: Duration = Duration::from_secs(30);
/// Pause after a first failure, doubled at each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What was fetched.
#[derive(Clone, Debug)]
pub(crate) enum Fetched {
    /// Keys, and how long they are good if the server says so.
    Keys { keys: KeySet, max_age: Option<Duration> },
    /// The server has no such document, or it is none. It is not the server's fault, but that of who named it.
    Nothing,
    /// The server did not answer, or not with what was asked for.
    Failed,
}

/// What is to be done about a key.
#[derive(Debug)]
pub(crate) enum LookUp {
    /// It is known; `refresh` says whether its document is to be fetched meanwhile.
    Known { key: Arc<VerifyingKey>, refresh: bool },
    /// It may be in the document once that is fetched.
    Fetch,
    /// The document is being fetched.
    Wait,
    /// It is not there, or its server is not to be asked now.
    Unknown,
}

/// Documents of keys by name.
#[derive(Debug, Default)]
pub(crate) struct KeyCache {
    documents: BTreeMap<String, Document>,
    /// Failures of the server in a row, and until when it is left alone.
    failures: u32,
    paused_until: Option<Instant>,
}

#[derive(Debug, Default)]
struct Document {
    keys: KeySet,
    is_in_flight: bool,
    /// When it was fetched or found missing.
    fetched: Option<Instant>,
    fresh_until: Option<Instant>,
    usable_until: Option<Instant>,
    /// When a key in it was last asked for.
    used: Option<Instant>,
}

impl KeyCache {
    /// Looks for a key in a document. Whoever is told to fetch tells [`KeyCache::on_fetched`] what came of it.
    pub(crate) fn look_up(&mut self, document: &str, key_id: &str, now: Instant) -> LookUp {
        let is_paused = self.paused_until.is_some_and(|until| now < until);
        if !self.documents.contains_key(document) && (is_paused || !self.make_room()) {
            return LookUp::Unknown;
        }
        let known = self.documents.entry(document.to_owned()).or_default();
        known.used = Some(now);
        let is_before = |limit: Option<Instant>| limit.is_some_and(|limit| now < limit);
        let may_fetch = !is_paused && !known.is_in_flight;
        if let Some(key) = known.keys.get(key_id).filter(|_| is_before(known.usable_until)) {
            let refresh = may_fetch && !is_before(known.fresh_until);
            known.is_in_flight |= refresh;
            return LookUp::Known { key: Arc::clone(key), refresh };
        }
        if known.is_in_flight {
            return LookUp::Wait;
        }
        if is_paused || is_before(known.fetched.map(|fetched| fetched + REFETCH_AFTER)) {
            return LookUp::Unknown;
        }
        known.is_in_flight = true;
        LookUp::Fetch
    }

    /// Whether a document is being fetched.
    pub(crate) fn is_in_flight(&self, document: &str) -> bool {
        self.documents.get(document).is_some_and(|document| document.is_in_flight)
    }

    /// A fetch has ended.
    pub(crate) fn on_fetched(&mut self, document: &str, fetched: Fetched, now: Instant) {
        let known = self.documents.entry(document.to_owned()).or_default();
        known.is_in_flight = false;
        match fetched {
            Fetched::Keys { keys, max_age } => {
                let fresh_for = max_age.unwrap_or(FRESH_FOR).clamp(FRESH_AT_LEAST, FRESH_AT_MOST);
                known.keys = keys;
                known.fetched = Some(now);
                known.fresh_until = Some(now + fresh_for);
                known.usable_until = Some(now + fresh_for + STALE_FOR);
                (self.failures, self.paused_until) = (0, None);
            }
            Fetched::Nothing => {
                // Withdrawn, when it was known before.
                *known = Document { fetched: Some(now), used: known.used, ..Document::default() };
                (self.failures, self.paused_until) = (0, None);
            }
            Fetched::Failed => {
                let pause = FIRST_PAUSE * 2_u32.pow(self.failures.min(6));
                self.failures = self.failures.saturating_add(1);
                self.paused_until = Some(now + pause.min(LONGEST_PAUSE));
            }
        }
    }

    /// Makes room for one more document, at the cost of one without keys or else the one that was used longest ago.
    fn make_room(&mut self) -> bool {
        if self.documents.len() < MAX_DOCUMENTS {
            return true;
        }
        let idle = self.documents.iter().filter(|(_, document)| !document.is_in_flight);
        let oldest = idle.min_by_key(|(_, document)| (document.usable_until.is_some(), document.used));
        let Some(name) = oldest.map(|(name, _)| name.clone()) else { return false };
        self.documents.remove(&name).is_some()
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an instant to count from")]
mod tests {
    use super::*;

    fn keys(name: &str) -> Fetched {
        let mut keys = KeySet::default();
        keys.insert(name, VerifyingKey::shared(b"any").unwrap());
        Fetched::Keys { keys, max_age: Some(Duration::from_secs(600)) }
    }

    struct World {
        cache: KeyCache,
        now: Instant,
    }

    impl World {
        fn new() -> Self {
            Self { cache: KeyCache::default(), now: Instant::now() }
        }

        fn asks(&mut self, document: &str, key: &str) -> &'static str {
            match self.cache.look_up(document, key, self.now) {
                LookUp::Known { refresh: false, .. } => "known",
                LookUp::Known { refresh: true, .. } => "known, refresh",
                LookUp::Fetch => "fetch",
                LookUp::Wait => "wait",
                LookUp::Unknown => "unknown",
            }
        }

        fn fetched(&mut self, document: &str, fetched: Fetched) {
            self.cache.on_fetched(document, fetched, self.now);
        }

        fn passes(&mut self, seconds: u64) {
            self.now += Duration::from_secs(seconds);
        }
    }

    #[test]
    fn a_document_is_fetched_once_for_all_who_wait() {
        let mut world = World::new();
        assert_eq!((world.asks("list", "a"), world.asks("list", "a")), ("fetch", "wait"));
        world.fetched("list", keys("a"));
        assert_eq!(world.asks("list", "a"), "known");
    }

    #[test]
    fn a_stale_document_is_used_while_it_is_fetched_and_while_it_cannot_be() {
        let mut world = World::new();
        world.asks("list", "a");
        world.fetched("list", keys("a"));
        world.passes(601);
        assert_eq!((world.asks("list", "a"), world.asks("list", "a")), ("known, refresh", "known"));
        world.fetched("list", Fetched::Failed);
        assert_eq!(world.asks("list", "a"), "known", "the server is left alone");
        world.passes(2);
        assert_eq!(world.asks("list", "a"), "known, refresh");
        world.fetched("list", Fetched::Failed);
        world.passes(STALE_FOR.as_secs());
        assert_eq!(world.asks("list", "a"), "fetch", "not for ever");
    }

    #[test]
    fn a_list_that_lacks_a_key_is_asked_for_again_after_a_while() {
        let mut world = World::new();
        world.asks("list", "a");
        world.fetched("list", keys("a"));
        assert_eq!(world.asks("list", "b"), "unknown");
        world.passes(REFETCH_AFTER.as_secs());
        assert_eq!((world.asks("list", "b"), world.asks("list", "b")), ("fetch", "wait"));
        assert_eq!(world.asks("list", "a"), "known", "others do not wait");
        world.fetched("list", keys("b"));
        assert_eq!((world.asks("list", "b"), world.asks("list", "a")), ("known", "unknown"));
    }

    #[test]
    fn a_server_that_fails_is_left_alone_longer_each_time() {
        let mut world = World::new();
        for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(world.asks("a", "a"), "fetch");
            world.fetched("a", Fetched::Failed);
            world.passes(pause - 1);
            assert_eq!((world.asks("a", "a"), world.asks("b", "b")), ("unknown", "unknown"));
            world.passes(1);
        }
        assert_eq!(world.asks("a", "a"), "fetch");
        world.fetched("a", keys("a"));
        assert_eq!(world.asks("b", "b"), "fetch", "it is well again");
    }

    #[test]
    fn a_key_that_is_gone_from_its_server_is_not_used_any_more() {
        let mut world = World::new();
        world.asks("a", "a");
        world.fetched("a", keys("a"));
        world.passes(601);
        assert_eq!(world.asks("a", "a"), "known, refresh");
        world.fetched("a", Fetched::Nothing);
        assert_eq!(world.asks("a", "a"), "unknown");
    }

    #[test]
    fn names_that_are_made_up_push_no_key_out() {
        let mut world = World::new();
        world.asks("real", "real");
        world.fetched("real", keys("real"));
        for made_up in 0..3 * MAX_DOCUMENTS {
            let name = made_up.to_string();
            assert_eq!(world.asks(&name, &name), "fetch");
            world.fetched(&name, Fetched::Nothing);
        }
        assert_eq!(world.cache.documents.len(), MAX_DOCUMENTS);
        assert_eq!(world.asks("real", "real"), "known");
    }
}
