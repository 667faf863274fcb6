//! The XMPP server of the deployment: rooms with their members, the brewery, and stanzas between all of them, in order and
//! some time on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use xmpp::muc::{Affiliation, MucUser, Role};
use xmpp::{Condition, Element, Jid, StanzaError, iq_error, iq_result, ns};

use super::network::Party;
use super::{Arrival, Deployment};

pub(super) const FOCUS_JID: &str = "focus@auth.meet.jitsi/focus";
pub(super) const BREWERY: &str = "jvbbrewery@internal-muc.meet.jitsi";
/// The longest time that a stanza takes to the server, and from it.
const MAX_STANZA_MS: u64 = 20;

/// A room.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// Numbers of participants.
    pub(super) members: BTreeSet<usize>,
    /// The focus is in it.
    pub(super) has_focus: bool,
}

/// All rooms, and ways of stanzas.
#[derive(Debug, Default)]
pub(super) struct Server {
    pub(super) rooms: BTreeMap<String, Room>,
    /// The focus hears what is said in the brewery.
    has_focus: bool,
    /// What bridges said there last.
    presences: BTreeMap<usize, Element>,
    /// When the last stanza arrives of those on each way, to the server or from it.
    lanes: BTreeMap<(Party, bool), Instant>,
}

/// A presence as a room sends it.
pub(super) fn presence_of(from: &str, affiliation: Affiliation, role: Role, real_jid: &str) -> Element {
    let user = MucUser { affiliation, role, jid: Some(real_jid.to_owned()), ..MucUser::default() };
    Element::new("presence", ns::CLIENT).with_attr("from", from).with_child(user.to_element())
}

fn gone(from: &str) -> Element {
    let mut presence = presence_of(from, Affiliation::None, Role::None, "x@meet.jitsi/x");
    presence.set_attr("type", "unavailable");
    presence
}

impl Deployment {
    /// Somebody sends a stanza.
    pub(super) fn send_stanza(&mut self, from: Party, stanza: Element) {
        let at = self.arrival_of_stanza(from, true);
        self.arrive(at, Arrival::AtServer(from, stanza));
    }

    /// The server sends a stanza.
    fn pass_stanza(&mut self, to: Party, stanza: Element) {
        let at = self.arrival_of_stanza(to, false);
        self.arrive(at, Arrival::Stanza(to, stanza));
    }

    /// Stanzas take time and do not overtake each other.
    fn arrival_of_stanza(&mut self, party: Party, is_to_server: bool) -> Instant {
        let mut at = self.now + Duration::from_millis(1 + self.random.below(MAX_STANZA_MS));
        if let Party::Node(node) = party
            && let Some(node) = self.nodes.get(&node)
        {
            at = at.max(node.held_until);
        }
        let last = self.server.lanes.entry((party, is_to_server)).or_insert(at);
        *last = at.max(*last);
        *last
    }

    /// A stanza is at the server.
    pub(super) fn route(&mut self, from: Party, stanza: Element) {
        match from {
            Party::Focus => self.route_of_focus(stanza),
            Party::Node(node) => self.route_of_node(node, stanza),
            Party::Participant(_) => self.pass_stanza(Party::Focus, stanza),
        }
    }

    fn route_of_focus(&mut self, mut stanza: Element) {
        let Some(to) = stanza.attr("to").map(|to| to.parse::<Jid>().unwrap()) else { return };
        let is_request = matches!(stanza.attr("type"), Some("get" | "set"));
        let nick = to.resource().unwrap_or_default().to_owned();
        match stanza.name() {
            "presence" if to.bare_str() == BREWERY => self.enter_brewery(&to),
            "presence" => self.route_to_room(&to, &stanza),
            "iq" if to.bare_str() == BREWERY => {
                let node = nick.strip_prefix("jvb-").and_then(|number| number.parse::<usize>().ok());
                let node = node.filter(|node| self.nodes.get(node).is_some_and(|node| node.is_online));
                stanza.set_attr("from", format!("{BREWERY}/focus"));
                match node {
                    Some(node) => self.pass_stanza(Party::Node(node), stanza),
                    None if is_request => self.refuse(&stanza),
                    None => {}
                }
            }
            "iq" if to.is_bare() && is_request => self.answer_for_room(&to, &stanza),
            "iq" => {
                stanza.set_attr("from", FOCUS_JID);
                let there = self.server.rooms.get(to.bare_str()).into_iter().flat_map(|room| &room.members);
                let participant = there.copied().find(|number| self.participants[number].id.as_str() == nick);
                match participant {
                    Some(participant) => self.pass_stanza(Party::Participant(participant), stanza),
                    None if is_request => self.refuse(&stanza),
                    None => {}
                }
            }
            _ => {}
        }
    }

    /// Nobody has that name in the room.
    fn refuse(&mut self, request: &Element) {
        self.pass_stanza(Party::Focus, iq_error(request, &StanzaError::new(Condition::ItemNotFound)));
    }

    /// The focus hears of all bridges when it enters.
    fn enter_brewery(&mut self, occupant: &Jid) {
        if std::mem::replace(&mut self.server.has_focus, true) {
            return;
        }
        self.pass_stanza(
            Party::Focus,
            presence_of(occupant.as_str(), Affiliation::Member, Role::Participant, FOCUS_JID),
        );
        let all: Vec<Element> = self.server.presences.values().cloned().collect();
        all.into_iter().for_each(|presence| self.pass_stanza(Party::Focus, presence));
    }

    fn route_to_room(&mut self, to: &Jid, presence: &Element) {
        let room = self.server.rooms.entry(to.bare_str().to_owned()).or_default();
        if presence.attr("type") == Some("unavailable") {
            room.has_focus = false;
            return;
        }
        if !std::mem::replace(&mut room.has_focus, true) {
            let members: Vec<_> = room.members.iter().map(|number| self.participants[number].presence()).collect();
            members.into_iter().for_each(|presence| self.pass_stanza(Party::Focus, presence));
            self.pass_stanza(Party::Focus, presence_of(to.as_str(), Affiliation::Owner, Role::Moderator, FOCUS_JID));
        }
    }

    fn answer_for_room(&mut self, room: &Jid, iq: &Element) {
        let query = iq.children().next().unwrap();
        let answer = match (query.ns(), iq.attr("type")) {
            (ns::MUC_OWNER, Some("get")) => {
                let value = Element::new("value", ns::DATA_FORMS).with_text("moderators");
                let field = Element::new("field", ns::DATA_FORMS).with_attr("var", "muc#roomconfig_whois");
                let form = Element::new("x", ns::DATA_FORMS).with_attr("type", "form");
                let form = form.with_child(field.with_child(value));
                iq_result(iq).with_child(Element::new("query", ns::MUC_OWNER).with_child(form))
            }
            (ns::MUC_ADMIN, Some("set")) => {
                let jid = query.child("item", ns::MUC_ADMIN).and_then(|item| item.attr("jid")).unwrap_or_default();
                let members = self.server.rooms.get(room.as_str()).into_iter().flat_map(|room| &room.members);
                let granted = members
                    .map(|number| &self.participants[number])
                    .find(|member| jid.split_once('@').is_some_and(|(local, _)| local == member.id.as_str()));
                let presence = granted.map(|member| {
                    presence_of(
                        &member.occupant(),
                        Affiliation::Owner,
                        Role::Moderator,
                        &format!("{}@meet.jitsi/r", member.id),
                    )
                });
                presence.into_iter().for_each(|presence| self.pass_stanza(Party::Focus, presence));
                iq_result(iq)
            }
            _ => iq_result(iq),
        };
        self.pass_stanza(Party::Focus, answer);
    }

    fn route_of_node(&mut self, number: usize, mut stanza: Element) {
        let Some(node) = self.nodes.get(&number).filter(|node| node.is_online) else { return };
        let occupant = format!("{BREWERY}/{}", node.nick);
        if stanza.name() == "presence" {
            let is_join = stanza.child("x", ns::MUC).is_some();
            let mut presence = presence_of(&occupant, Affiliation::Member, Role::Participant, "jvb@auth.meet.jitsi/x");
            presence = presence.with_children(stanza.children().filter(|child| !child.is("x", ns::MUC)).cloned());
            if is_join {
                self.pass_stanza(Party::Node(number), presence.clone());
            }
            self.server.presences.insert(number, presence.clone());
            if self.server.has_focus {
                self.pass_stanza(Party::Focus, presence);
            }
        } else {
            stanza.set_attr("from", occupant);
            self.pass_stanza(Party::Focus, stanza);
        }
    }

    /// The stream of a bridge broke, as the server found out.
    pub(super) fn lose_stream_of(&mut self, number: usize) {
        if self.server.presences.remove(&number).is_some() && self.server.has_focus {
            self.pass_stanza(Party::Focus, gone(&format!("{BREWERY}/jvb-{number}")));
        }
    }

    /// A participant enters its room.
    pub(super) fn enter_room(&mut self, number: usize) {
        let participant = &self.participants[&number];
        let (room, presence) = (participant.room.clone(), participant.presence());
        let room = self.server.rooms.entry(room).or_default();
        room.members.insert(number);
        if room.has_focus {
            self.pass_stanza(Party::Focus, presence);
        }
    }

    /// A participant is out of its room, whether it said so or not.
    pub(super) fn leave_room(&mut self, number: usize) {
        let Some(participant) = self.participants.remove(&number) else { return };
        let Some(room) = self.server.rooms.get_mut(&participant.room) else { return };
        room.members.remove(&number);
        if room.has_focus {
            self.pass_stanza(Party::Focus, gone(&participant.occupant()));
        }
    }
}
