//! Conferences that an operator pinned to a version of bridges for a while (`/pin`; `jicofo: FocusManager.kt`).

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use xmpp::Jid;

/// Conferences that are pinned at a time: pins are made by hand, or by a script for a test.
const MAX_PINS: usize = 10_000;

/// The pins of all conferences.
#[derive(Debug, Default)]
pub(crate) struct Pins {
    by_room: BTreeMap<Jid, Pin>,
}

#[derive(Debug)]
struct Pin {
    version: String,
    until: Instant,
    /// The same for people.
    expires_at: SystemTime,
}

impl Pins {
    /// Pins a conference, which may be over or yet to begin. Answers whether there was room for it.
    pub(crate) fn pin(&mut self, room: Jid, version: String, lasting: Duration, now: (Instant, SystemTime)) -> bool {
        self.forget_expired(now.0);
        let times = now.0.checked_add(lasting).zip(now.1.checked_add(lasting));
        let Some((until, expires_at)) = times.filter(|_| self.by_room.len() < MAX_PINS) else { return false };
        tracing::info!(%room, version, seconds = lasting.as_secs(), "conference pinned");
        self.by_room.insert(room, Pin { version, until, expires_at });
        true
    }

    pub(crate) fn remove(&mut self, room: &Jid) {
        if self.by_room.remove(room).is_some() {
            tracing::info!(%room, "conference not pinned any more");
        }
    }

    /// The version of bridges that a conference has to use.
    pub(crate) fn version_of(&self, room: &Jid, now: Instant) -> Option<&str> {
        self.by_room.get(room).filter(|pin| pin.until > now).map(|pin| pin.version.as_str())
    }

    /// All pins: room, version, end.
    pub(crate) fn list(&mut self, now: Instant) -> impl Iterator<Item = (&Jid, &str, SystemTime)> {
        self.forget_expired(now);
        self.by_room.iter().map(|(room, pin)| (room, pin.version.as_str(), pin.expires_at))
    }

    fn forget_expired(&mut self, now: Instant) {
        self.by_room.retain(|_, pin| pin.until > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant will do as the start of virtual time")]
    fn a_pin_holds_until_its_end() {
        let now = (Instant::now(), SystemTime::UNIX_EPOCH);
        let room: Jid = "demo@muc.meet.jitsi".parse().unwrap();
        let mut pins = Pins::default();
        assert!(pins.pin(room.clone(), "2.3".to_owned(), Duration::from_secs(60), now));
        assert!(pins.pin(room.clone(), "2.4".to_owned(), Duration::from_secs(60), now), "the last one counts");
        assert_eq!(pins.version_of(&room, now.0), Some("2.4"));
        let end = SystemTime::UNIX_EPOCH + Duration::from_secs(60);
        assert_eq!(pins.list(now.0).collect::<Vec<_>>(), [(&room, "2.4", end)]);
        let later = now.0 + Duration::from_secs(60);
        assert_eq!(pins.version_of(&room, later), None);
        assert_eq!(pins.list(later).count(), 0);
        assert!(!pins.pin(room.clone(), "2.3".to_owned(), Duration::MAX, now), "no clock goes that far");
        pins.pin(room.clone(), "2.3".to_owned(), Duration::from_secs(60), now);
        pins.remove(&room);
        assert_eq!(pins.version_of(&room, now.0), None);
    }
}
