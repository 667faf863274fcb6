//! Requests to a room and between its occupants (XEP-0045 §17.4, client.md §5.8).

use xmpp::{Condition, Element, Jid, StanzaError, iq_result, ns, ping};

use super::kind::MucKind;
use super::room::Room;
use crate::audit::{self, Act};
use crate::conference_components::calls;
use crate::context::{Context, Sender};

/// What a handled request leaves behind: the answer, and who left the room by it.
pub(super) type Handled = Result<(Element, Vec<Jid>), StanzaError>;

impl Room {
    /// Takes a request to the room itself. Answers whose occupants left by it.
    pub(crate) fn handle_iq(&mut self, context: &mut Context<'_>, sender: Sender<'_>, stanza: &Element) -> Vec<Jid> {
        let Some(payload) = stanza.children().next().filter(|_| is_request(stanza)) else {
            context.metrics.count_dropped("answer_to_room");
            return Vec::new();
        };
        let is_get = stanza.attr("type") == Some("get");
        let handled = match (payload.name(), payload.ns()) {
            ("query", ns::DISCO_INFO) if is_get => self.disco_info(context, sender, stanza, payload),
            ("query", ns::DISCO_ITEMS) if is_get => self.disco_items(sender, stanza),
            ("ping", ns::PING) if is_get => self.require_occupant(sender).map(|()| (iq_result(stanza), Vec::new())),
            ("query", ns::MUC_ADMIN) => self.handle_admin(context, sender, stanza, payload),
            ("query", ns::MUC_OWNER) => self.handle_owner(context, sender, stanza, payload),
            _ => Err(StanzaError::new(Condition::ServiceUnavailable)),
        };
        match handled {
            Ok((answer, departed)) => {
                context.send(sender.jid, answer);
                departed
            }
            Err(error) => {
                if matches!(payload.ns(), ns::MUC_ADMIN | ns::MUC_OWNER) {
                    audit::act_refused(&self.jid, sender.jid, error.condition.as_str());
                }
                context.refuse(sender.jid, stanza, &error);
                Vec::new()
            }
        }
    }

    fn require_occupant(&self, sender: Sender<'_>) -> Result<(), StanzaError> {
        if self.is_occupant(sender.jid) { Ok(()) } else { Err(StanzaError::new(Condition::NotAcceptable)) }
    }

    /// Passes a request or an answer on to an occupant, as from the sender's occupant.
    pub(crate) fn relay_iq(&mut self, context: &mut Context<'_>, sender: Sender<'_>, nick: &str, mut stanza: Element) {
        let Some(from) = self.occupant_of(sender.jid).map(|from| from.nick.clone()) else {
            context.refuse(sender.jid, &stanza, &StanzaError::new(Condition::NotAcceptable));
            return;
        };
        if from == nick && ping::is_ping(&stanza) {
            // XEP-0410 §3.3: the room knows whether the sender is in it.
            context.send(sender.jid, iq_result(&stanza));
            return;
        }
        // Who waits in a lobby has nothing to ask of others there.
        let to = self.occupants.get(nick).filter(|_| self.kind != MucKind::Lobby);
        let Some((to, is_focus)) = to.map(|to| (to.jid.clone(), to.is_focus())) else {
            context.refuse(sender.jid, &stanza, &StanzaError::new(Condition::ItemNotFound));
            return;
        };
        let is_asked = is_focus && is_request(&stanza) && !sender.is_service;
        if is_asked && let Err(error) = calls::check(context, self, &from, &mut stanza) {
            context.refuse(sender.jid, &stanza, &error);
            return;
        }
        if context.settings.hosts.is_focus(sender.jid) {
            self.note_mute(&to, &stanza);
        }
        stanza.set_attr("from", self.occupant_jid(&from));
        context.send(&to, stanza);
    }

    /// The focus mutes whom a moderator wants muted, and names him (focus.md §7).
    fn note_mute(&self, on: &Jid, request: &Element) {
        let mute =
            [ns::MUTE_AUDIO, ns::MUTE_VIDEO, ns::MUTE_DESKTOP].into_iter().find_map(|ns| request.child("mute", ns));
        let Some(actor) = mute.and_then(|mute| mute.attr("actor")?.parse::<Jid>().ok()) else { return };
        let by = actor.resource().and_then(|nick| self.occupant(nick)).map(|occupant| &occupant.jid);
        audit::moderated(&self.jid, Act { event: "mute", rule: "moderator", by, on: Some(on.as_str()) });
    }
}

fn is_request(stanza: &Element) -> bool {
    matches!(stanza.attr("type"), Some("get" | "set"))
}
