//! Who takes part and who only watches (focus.md §10; `jicofo: ConferenceIqHandler.kt`, `redirectVisitor`).

use std::collections::BTreeSet;

use auth::{Claims, Token};
use jitsi_protocol::conference_request::ConferenceRequest;
use serde_json::Value;

use crate::settings::VisitorSettings;

/// Users and groups that the metadata of a room may list: a large company's worth.
const MAX_LISTED: usize = 10_000;
/// Longest id of a user or group that is kept, in bytes.
const MAX_ID_BYTES: usize = 256;

/// What a client says of itself when it asks for a conference.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asking {
    /// It can be sent to a node.
    knows_visitors: bool,
    /// It wants to watch only.
    wants_to_watch: bool,
    /// The user and group of its token. Nobody checked the token, and nobody has to: the main room lets nobody in without one
    /// that is good.
    ids: Vec<String>,
}

/// Where a client goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    MainRoom,
    /// It waits until the conference is live.
    Queue,
    /// It watches.
    Node,
}

/// What of a conference counts for that.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Facts {
    pub(super) is_breakout: bool,
    /// Members of the main room that are no recorders or transcribers.
    pub(super) members: usize,
    pub(super) has_visitors: bool,
}

/// What the metadata of a room says of it.
#[derive(Debug, Default)]
pub(super) struct RoomPolicy {
    pub(super) is_live: bool,
    has_lobby: bool,
    is_enabled: Option<bool>,
    soft_limit: Option<usize>,
    moderators: BTreeSet<String>,
    /// Who takes part; `None` where everybody may.
    participants: Option<BTreeSet<String>>,
}

impl Asking {
    pub(crate) fn of_request(request: &ConferenceRequest) -> Self {
        let payload = request.token.as_deref().and_then(|token| Some(Token::parse(token).ok()?.unverified_claims()));
        let Claims { user, group, .. } = payload.unwrap_or_default();
        Self {
            knows_visitors: request.property("visitors-version").is_some(),
            wants_to_watch: request.property("visitor") == Some("true"),
            ids: user.id.into_iter().chain(group).collect(),
        }
    }

    /// Whether it goes to the queue before a conference is made or joined for it.
    pub(crate) fn waits_for_live(&self, settings: Option<&VisitorSettings>, is_live: bool) -> bool {
        let live_rooms = settings.is_some_and(|settings| settings.live_rooms);
        live_rooms && !is_live && self.knows_visitors && self.wants_to_watch
    }
}

impl RoomPolicy {
    /// Takes over what the room says now. What it said of visitors and of their limit holds until it says something else.
    pub(super) fn update(&mut self, metadata: &Value) {
        self.has_lobby = metadata["lobbyEnabled"] == true;
        self.is_live = metadata["visitors"]["live"] == true;
        self.moderators = ids(&metadata["moderators"]).unwrap_or_default();
        self.participants = ids(&metadata["participants"]);
        self.is_enabled = metadata["visitorsEnabled"].as_bool().or(self.is_enabled);
        let limit = metadata["participantsSoftLimit"].as_u64().and_then(|limit| usize::try_from(limit).ok());
        self.soft_limit = limit.or(self.soft_limit);
    }

    /// Whether clients are told that there can be visitors.
    pub(super) fn permits(&self, settings: &VisitorSettings) -> bool {
        self.is_enabled == Some(true) || !settings.requires_room_flag
    }

    pub(super) fn place(&self, asking: &Asking, settings: &VisitorSettings, facts: Facts) -> Place {
        let is_listed = |list: &BTreeSet<String>| asking.ids.iter().any(|id| list.contains(id));
        let is_preferred = is_listed(&self.moderators) || self.participants.as_ref().is_some_and(is_listed);
        let is_allowed = is_preferred || self.participants.is_none();
        if !asking.knows_visitors {
            return Place::MainRoom;
        }
        if settings.live_rooms && !self.is_live && (asking.wants_to_watch || !is_allowed) {
            return Place::Queue;
        }
        let wants_main_room = is_preferred && !asking.wants_to_watch;
        let is_off = self.has_lobby || self.is_enabled == Some(false) || !self.permits(settings) || facts.is_breakout;
        if wants_main_room || is_off {
            return Place::MainRoom;
        }
        let limit = self.soft_limit.filter(|limit| *limit > 0).unwrap_or(settings.max_participants);
        let is_full = facts.has_visitors || facts.members >= limit;
        if asking.wants_to_watch || !is_allowed || is_full { Place::Node } else { Place::MainRoom }
    }
}

fn ids(list: &Value) -> Option<BTreeSet<String>> {
    let ids = list.as_array()?.iter().filter_map(Value::as_str).filter(|id| id.len() <= MAX_ID_BYTES);
    Some(ids.take(MAX_LISTED).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const QUIET: Facts = Facts { is_breakout: false, members: 3, has_visitors: false };
    const FULL: Facts = Facts { members: 50, ..QUIET };
    const USED: Facts = Facts { has_visitors: true, ..QUIET };
    const BREAKOUT: Facts = Facts { is_breakout: true, ..FULL };

    fn stock() -> VisitorSettings {
        VisitorSettings::new("meet.jitsi", Vec::new()).unwrap()
    }

    fn asking(ids: &[&str], wants_to_watch: bool) -> Asking {
        Asking { knows_visitors: true, wants_to_watch, ids: ids.iter().map(|id| (*id).to_owned()).collect() }
    }

    fn place(metadata: &Value, asking: &Asking, facts: Facts) -> Place {
        let mut policy = RoomPolicy::default();
        policy.update(metadata);
        policy.place(asking, &stock(), facts)
    }

    #[test]
    fn newcomers_watch_where_visitors_are_or_the_room_is_full() {
        let (plain, visitor) = (asking(&["ann", "staff"], false), asking(&["ann", "staff"], true));
        let none = json!({});
        for (metadata, asking, facts, expected) in [
            (&none, &plain, QUIET, Place::MainRoom),
            (&none, &visitor, QUIET, Place::Node),
            (&none, &plain, FULL, Place::Node),
            (&none, &plain, USED, Place::Node),
            (&none, &plain, BREAKOUT, Place::MainRoom),
            (&none, &visitor, BREAKOUT, Place::MainRoom),
            (&json!({ "participantsSoftLimit": 3 }), &plain, QUIET, Place::Node),
            (&json!({ "participantsSoftLimit": 0 }), &plain, QUIET, Place::MainRoom),
            (&json!({ "participantsSoftLimit": 51 }), &plain, FULL, Place::MainRoom),
            (&json!({ "lobbyEnabled": true }), &visitor, FULL, Place::MainRoom),
            (&json!({ "visitorsEnabled": false }), &visitor, FULL, Place::MainRoom),
            (&json!({ "moderators": ["ann"] }), &plain, FULL, Place::MainRoom),
            (&json!({ "moderators": ["staff"] }), &plain, USED, Place::MainRoom),
            (&json!({ "moderators": ["ann"] }), &visitor, QUIET, Place::Node),
            (&json!({ "moderators": ["bob"] }), &plain, FULL, Place::Node),
            (&json!({ "participants": ["ann"] }), &plain, FULL, Place::MainRoom),
            (&json!({ "participants": ["bob"] }), &plain, QUIET, Place::Node),
            (&json!({ "participants": [] }), &plain, QUIET, Place::Node),
            (&json!({ "participants": [], "visitorsEnabled": false }), &plain, QUIET, Place::MainRoom),
        ] {
            assert_eq!(place(metadata, asking, facts), expected, "{metadata} {asking:?} {facts:?}");
        }
        let old = Asking { knows_visitors: false, ..asking(&[], true) };
        assert_eq!(place(&json!({ "participants": [] }), &old, FULL), Place::MainRoom, "it could not follow");
    }

    #[test]
    fn a_room_may_have_to_say_that_it_has_visitors() {
        let settings = VisitorSettings { requires_room_flag: true, ..stock() };
        let mut policy = RoomPolicy::default();
        let watcher = asking(&[], true);
        assert_eq!(policy.place(&watcher, &settings, QUIET), Place::MainRoom);
        policy.update(&json!({ "visitorsEnabled": true, "participantsSoftLimit": 2 }));
        assert!(policy.permits(&settings));
        assert_eq!(policy.place(&watcher, &settings, QUIET), Place::Node);
        policy.update(&json!({ "lobbyEnabled": false }));
        assert_eq!(policy.place(&asking(&[], false), &settings, QUIET), Place::Node, "what it said still holds");
    }

    #[test]
    fn who_watches_waits_until_the_room_is_live() {
        let settings = VisitorSettings { live_rooms: true, ..stock() };
        let mut policy = RoomPolicy::default();
        let (plain, watcher) = (asking(&["ann"], false), asking(&["ann"], true));
        assert_eq!(policy.place(&watcher, &settings, QUIET), Place::Queue);
        assert_eq!(policy.place(&plain, &settings, QUIET), Place::MainRoom);
        assert!(watcher.waits_for_live(Some(&settings), false) && !plain.waits_for_live(Some(&settings), false));
        policy.update(&json!({ "participants": [] }));
        assert_eq!(policy.place(&plain, &settings, QUIET), Place::Queue, "it may not take part");
        policy.update(&json!({ "visitors": { "live": true } }));
        assert_eq!(policy.place(&watcher, &settings, QUIET), Place::Node);
        assert!(!watcher.waits_for_live(Some(&settings), policy.is_live));
        assert!(!watcher.waits_for_live(Some(&stock()), false) && !watcher.waits_for_live(None, false));
    }

    #[test]
    fn lists_of_the_metadata_are_bounded() {
        let long = "x".repeat(MAX_ID_BYTES + 1);
        let many: Vec<String> = (0..MAX_LISTED + 5).map(|number| number.to_string()).chain([long]).collect();
        assert_eq!(ids(&json!(many)).unwrap().len(), MAX_LISTED);
        assert_eq!(ids(&json!("everybody")), None);
    }
}
