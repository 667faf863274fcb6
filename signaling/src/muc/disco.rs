//! What a MUC service and its rooms tell about themselves (XEP-0045 §6, client.md §5.4).

use xmpp::data_forms::{DataForm, Field, FormType};
use xmpp::disco::DiscoInfo;
use xmpp::{Condition, Element, StanzaError, iq_result, ns};

use super::Muc;
use super::iq::Handled;
use super::kind::MucKind;
use super::room::Room;
use crate::context::{Context, Sender};

/// `FORM_TYPE` of the form in a room's information.
const FORM_KIND: &str = "http://jabber.org/protocol/muc#roominfo";
/// Rooms answer a ping to oneself (XEP-0410).
const SELF_PING: &str = "http://jabber.org/protocol/muc#self-ping-optimization";
/// Clients offer visitors by it, and the focus reads it in the configuration form (`mod_visitors_component`).
pub(super) const VISITORS_ENABLED: &str = "muc#roominfo_visitorsEnabled";
/// A message comes back with the id it was sent with.
const STABLE_ID: &str = "http://jabber.org/protocol/muc#stable_id";

impl Muc {
    /// Takes a stanza to the service itself.
    pub(super) fn handle_service(&self, context: &mut Context<'_>, sender: Sender<'_>, stanza: &Element) {
        if stanza.name() == "presence" {
            context.metrics.count_dropped("presence_to_muc_service");
            return;
        }
        let payload = stanza.children().next().filter(|_| stanza.name() == "iq" && stanza.attr("type") == Some("get"));
        let answer = match payload.map(|payload| (payload.name(), payload.ns())) {
            Some(("query", ns::DISCO_INFO)) => {
                let info = DiscoInfo::default().with_identity("conference", "text", Some("Rooms")).with_features([
                    ns::DISCO_INFO,
                    ns::DISCO_ITEMS,
                    ns::MUC,
                    ns::PING,
                ]);
                Ok(iq_result(stanza).with_child(info.to_element()))
            }
            // muc_hide_all: knowing a room's name is what admits to it.
            Some(("query", ns::DISCO_ITEMS)) => {
                Ok(iq_result(stanza).with_child(Element::new("query", ns::DISCO_ITEMS)))
            }
            Some(("ping", ns::PING)) => Ok(iq_result(stanza)),
            Some(_) | None => Err(StanzaError::new(Condition::ServiceUnavailable)),
        };
        context.answer(sender.jid, stanza, answer);
    }
}

impl Room {
    pub(super) fn disco_info(
        &self,
        context: &Context<'_>,
        sender: Sender<'_>,
        request: &Element,
        query: &Element,
    ) -> Handled {
        self.require_insider(sender)?;
        if query.attr("node").is_some() {
            return Err(StanzaError::new(Condition::ItemNotFound));
        }
        let lock = if self.config.password.is_some() { "muc_passwordprotected" } else { "muc_unsecured" };
        let entry = if self.config.is_members_only { "muc_membersonly" } else { "muc_open" };
        let mut form = DataForm::of_kind(FormType::Result, FORM_KIND)
            .with_field(Field::new("muc#roominfo_meetingId", self.config.meeting_id.as_str()))
            .with_field(Field::new("muc#roominfo_occupants", self.occupants.len().to_string()));
        if let Some(lobby) = self.lobby.as_ref().filter(|_| self.config.is_members_only) {
            form = form.with_field(Field::new("muc#roominfo_lobbyroom", lobby.jid.as_str()));
        }
        if let Some(main) = self.main_room.as_ref().filter(|_| self.kind == MucKind::Breakout) {
            form = form
                .with_field(Field::new("muc#roominfo_isbreakout", "true"))
                .with_field(Field::new("muc#roominfo_breakout_main_room", main.as_str()));
        }
        if self.kind == MucKind::Conference && context.settings.hosts.visitors.is_some() {
            form = form.with_field(Field::new(VISITORS_ENABLED, "1"));
        }
        if self.kind.has_media() {
            // Clients offer to moderate and edit messages only where the server checks who may.
            form = form.with_field(Field::new("muc#roominfo_messageModerationEnabled", "1"));
        }
        if let Some(started_ms) = self.started_ms {
            form = form.with_field(Field::new("muc#roominfo_created_timestamp", started_ms.to_string()));
        }
        let mut info = DiscoInfo::default()
            .with_identity("conference", "text", Some(self.jid.local().unwrap_or_default()))
            .with_features([ns::DISCO_INFO, ns::DISCO_ITEMS, ns::MUC, ns::STANZA_ID, STABLE_ID, SELF_PING])
            .with_features([lock, entry, "muc_nonanonymous", "muc_unmoderated", "muc_hidden", "muc_temporary"]);
        info.form = Some(form);
        Ok((iq_result(request).with_child(info.to_element()), Vec::new()))
    }

    /// Occupants are known by their presence; outsiders shall not know them.
    pub(super) fn disco_items(&self, sender: Sender<'_>, request: &Element) -> Handled {
        self.require_insider(sender)?;
        Ok((iq_result(request).with_child(Element::new("query", ns::DISCO_ITEMS)), Vec::new()))
    }

    fn require_insider(&self, sender: Sender<'_>) -> Result<(), StanzaError> {
        let is_insider = sender.is_service || self.is_occupant(sender.jid);
        if is_insider { Ok(()) } else { Err(StanzaError::new(Condition::Forbidden)) }
    }
}
