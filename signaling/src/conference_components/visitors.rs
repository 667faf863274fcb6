//! What a conference keeps of its visitors (`mod_visitors_component`, signaling.md §8): at which nodes it is shown, who asks to come in
//! and who may.
//!
//! Not here: the rooms of nodes (`muc/visitors.rs`), and what happens between them and the conference (`conference/visitors.rs`).

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde_json::Value;
use xmpp::Jid;

/// Visitors of one conference that ask at one time: more than moderators look through.
const MAX_REQUESTS: usize = 1000;
/// User names that may come in. The earliest loses his place first.
const MAX_ADMITTED: usize = 2000;

/// The visitors of a conference.
#[derive(Debug, Default)]
pub(crate) struct Visitors {
    /// The rooms that show the conference, by name of the node.
    rooms: BTreeMap<String, Jid>,
    /// User names that may come into the conference although it has visitors, and those that no longer may.
    admitted: IndexMap<String, Admission>,
    /// Who asks to come in, by full JID.
    requests: IndexMap<Jid, PromotionRequest>,
    /// Whether the queue in front of the conference was told that it is live.
    pub(crate) went_live: bool,
}

/// How a user name came to be admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Admission {
    /// It was given to a visitor, who has not logged in with it yet.
    Promised,
    /// Its user was promoted.
    Promoted,
    /// Its user was in the conference.
    Known,
    /// Its user is to be a visitor.
    Demoted,
}

/// A visitor who asks to come in.
#[derive(Debug)]
pub(crate) struct PromotionRequest {
    /// His room.
    pub(crate) room: Jid,
    /// What moderators are told.
    pub(crate) news: Value,
}

impl Visitors {
    /// Whether the conference has visitors: then nobody comes in by himself.
    pub(crate) fn is_active(&self) -> bool {
        !self.rooms.is_empty()
    }

    /// The rooms that show the conference.
    pub(crate) fn rooms(&self) -> impl Iterator<Item = &Jid> {
        self.rooms.values()
    }

    /// Whether it is shown at a node.
    pub(crate) fn is_shown_at(&self, node: &str) -> bool {
        self.rooms.contains_key(node)
    }

    /// It is shown at a node.
    pub(crate) fn add_room(&mut self, node: &str, room: Jid) {
        self.rooms.insert(node.to_owned(), room);
    }

    /// A node's room is no more. With the last of them everybody comes in as before.
    pub(crate) fn remove_room(&mut self, room: &Jid) {
        self.rooms.retain(|_, known| known != room);
        self.requests.retain(|_, request| request.room != *room);
        if self.rooms.is_empty() {
            self.admitted.clear();
        }
    }

    /// Somebody asks to come in; answers whether there is room for one more.
    pub(crate) fn add_request(&mut self, visitor: &Jid, request: PromotionRequest) -> bool {
        if self.requests.len() >= MAX_REQUESTS && !self.requests.contains_key(visitor) {
            return false;
        }
        self.requests.insert(visitor.clone(), request);
        true
    }

    /// Somebody asks no longer, or is answered.
    pub(crate) fn take_request(&mut self, visitor: &Jid) -> Option<PromotionRequest> {
        self.requests.shift_remove(visitor)
    }

    /// What a moderator who comes late is told.
    pub(crate) fn requests(&self) -> impl Iterator<Item = &PromotionRequest> {
        self.requests.values()
    }

    /// A visitor may come in under this user name.
    pub(crate) fn promise(&mut self, username: String) {
        self.admit(username, Admission::Promised);
    }

    /// Whoever is or was in the conference may come back under his name, as a reload of his page has it.
    pub(crate) fn remember(&mut self, username: &str) {
        if self.is_active() && !self.admitted.contains_key(username) {
            self.admit(username.to_owned(), Admission::Known);
        }
    }

    fn admit(&mut self, username: String, admission: Admission) {
        if self.admitted.len() >= MAX_ADMITTED && !self.admitted.contains_key(&username) {
            self.admitted.shift_remove_index(0);
        }
        self.admitted.insert(username, admission);
    }

    /// Somebody is to be a visitor from now on.
    pub(crate) fn demote(&mut self, username: &str) {
        self.admit(username.to_owned(), Admission::Demoted);
    }

    /// Somebody logs in under a name; answers whether it was promised to him and not used yet.
    pub(crate) fn take_promised(&mut self, username: &str) -> bool {
        let admission = self.admitted.get_mut(username).filter(|admission| **admission == Admission::Promised);
        let Some(admission) = admission else { return false };
        *admission = Admission::Promoted;
        true
    }

    /// Whether this user name may come in.
    pub(crate) fn is_admitted(&self, username: &str) -> bool {
        self.admitted.get(username).is_some_and(|admission| *admission != Admission::Demoted)
    }

    /// Whether a user was a visitor before.
    pub(crate) fn is_promoted(&self, username: &str) -> bool {
        matches!(self.admitted.get(username), Some(Admission::Promised | Admission::Promoted))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn room(node: &str) -> Jid {
        format!("demo@muc.{node}.meet.example").parse().unwrap()
    }

    #[test]
    fn a_promised_name_serves_for_one_login() {
        let mut visitors = Visitors::default();
        visitors.add_room("v1", room("v1"));
        visitors.promise("ann".to_owned());
        visitors.remember("bob");
        assert!(visitors.take_promised("ann") && !visitors.take_promised("ann"));
        assert!(!visitors.take_promised("bob"), "everybody knows his name");
        assert!(visitors.is_admitted("ann") && visitors.is_admitted("bob") && !visitors.is_admitted("eve"));
        assert!(visitors.is_promoted("ann") && !visitors.is_promoted("bob"));
        visitors.demote("ann");
        visitors.remember("ann");
        assert!(!visitors.is_admitted("ann") && !visitors.is_promoted("ann"), "he leaves, and stays a visitor");
        visitors.remove_room(&room("v1"));
        assert!(!visitors.is_admitted("bob"));
    }

    #[test]
    fn requests_and_names_have_a_limit() {
        let mut visitors = Visitors::default();
        visitors.add_room("v1", room("v1"));
        let visitor = |n: usize| format!("{n}@v1.meet.example/r").parse::<Jid>().unwrap();
        let request = || PromotionRequest { room: room("v1"), news: json!({}) };
        for n in 0..MAX_REQUESTS {
            assert!(visitors.add_request(&visitor(n), request()));
        }
        assert!(!visitors.add_request(&visitor(MAX_REQUESTS), request()));
        assert!(visitors.add_request(&visitor(0), request()), "who asks again is no other");
        assert!(visitors.take_request(&visitor(0)).is_some() && visitors.take_request(&visitor(0)).is_none());
        for n in 0..2 * MAX_ADMITTED {
            visitors.promise(n.to_string());
        }
        assert_eq!(visitors.admitted.len(), MAX_ADMITTED);
        visitors.remove_room(&room("v1"));
        assert_eq!(visitors.requests().count(), 0);
    }
}
