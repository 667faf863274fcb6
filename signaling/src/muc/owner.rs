//! What owners of a room do (XEP-0045 §10): configure it, end it.

use xmpp::data_forms::{DataForm, Field, FormType};
use xmpp::muc::{Affiliation, Destroy, status};
use xmpp::{Condition, Element, Jid, StanzaError, iq_result, ns};

use super::config::RoomConfig;
use super::disco::VISITORS_ENABLED;
use super::iq::Handled;
use super::kind::MucKind;
use super::lobby::LobbyCause;
use super::presence::Cause;
use super::room::Room;
use crate::audit::{self, Act};
use crate::context::{Context, Sender};

impl Room {
    pub(super) fn handle_owner(
        &mut self,
        context: &mut Context<'_>,
        sender: Sender<'_>,
        request: &Element,
        query: &Element,
    ) -> Handled {
        if self.affiliation_of(sender.jid, sender.is_service) != Affiliation::Owner {
            return Err(StanzaError::new(Condition::Forbidden));
        }
        if request.attr("type") == Some("get") {
            let form = Element::new("query", ns::MUC_OWNER).with_child(self.config_form(context).to_element());
            return Ok((iq_result(request).with_child(form), Vec::new()));
        }
        let is_guest = !sender.is_service && !sender.client.is_authenticated();
        if context.settings.conference.guests_configure_nothing && is_guest {
            return Err(StanzaError::new(Condition::NotAllowed).with_text("Room modification disabled for guests"));
        }
        if let Some(destroy) = query.child("destroy", ns::MUC_OWNER) {
            self.note_owner(sender, "end");
            let departed = self.destroy(context, &Destroy::parse(destroy));
            return Ok((iq_result(request), departed));
        }
        let form = DataForm::of(query).ok_or_else(|| StanzaError::new(Condition::BadRequest))?;
        let departed = match form.form_type {
            FormType::Submit => {
                let config = self.config.submitted(&form, sender.is_service)?;
                self.configure(context, sender, config)
            }
            // XEP-0045 §10.1.4: cancelling the first configuration would end the room; here it is open from the start.
            FormType::Cancel => Vec::new(),
            FormType::Form | FormType::Result => return Err(StanzaError::new(Condition::BadRequest)),
        };
        Ok((iq_result(request), departed))
    }

    /// The configuration form, with what the focus reads of breakout rooms.
    fn config_form(&self, context: &Context<'_>) -> DataForm {
        let mut form = self.config.to_form();
        if self.kind == MucKind::Conference && context.settings.hosts.visitors.is_some() {
            let label = "Whether visitors are enabled.";
            form = form.with_field(Field::new(VISITORS_ENABLED, "1").described("boolean", label));
        }
        match self.main_room.as_ref().filter(|_| self.kind == MucKind::Breakout) {
            Some(main) => form
                .with_field(Field::new("muc#roominfo_isbreakout", "1").described("boolean", "Is this a breakout room?"))
                .with_field(
                    Field::new("muc#roominfo_breakout_main_room", main.as_str())
                        .described("text-single", "The main room of this breakout room"),
                ),
            None => form,
        }
    }

    fn configure(&mut self, context: &mut Context<'_>, sender: Sender<'_>, config: RoomConfig) -> Vec<Jid> {
        let becomes_members_only = config.is_members_only && !self.config.is_members_only;
        let is_changed = config != self.config;
        if config.password != self.config.password {
            let event = if config.password.is_some() { "password_set" } else { "password_removed" };
            self.note_owner(sender, event);
        }
        let (wants_lobby, had_lobby) = (config.is_members_only, self.lobby.is_some());
        self.config = config;
        // The focus repeats forms as it finds them; what it submits is nobody's wish for a lobby.
        if wants_lobby && !context.settings.hosts.is_focus(sender.jid) {
            self.open_lobby(context, LobbyCause::Owner(sender.jid));
        } else if had_lobby && !wants_lobby {
            self.close_lobby(context, Some(sender.jid), "Lobby room closed.");
        }
        let departed = if becomes_members_only { self.expel_strangers(context) } else { Vec::new() };
        if is_changed {
            self.tell_config_change(context);
        }
        departed
    }

    fn note_owner(&self, sender: Sender<'_>, event: &'static str) {
        audit::moderated(&self.jid, Act { event, rule: Affiliation::Owner.as_str(), by: Some(sender.jid), on: None });
    }

    /// XEP-0045 §10.2.1: who has no affiliation cannot stay in a members-only room. Clients make members of everybody
    /// present first.
    fn expel_strangers(&mut self, context: &mut Context<'_>) -> Vec<Jid> {
        let strangers: Vec<String> = self
            .occupants
            .values()
            .filter(|occupant| self.affiliation_of(&occupant.jid, occupant.is_service) < Affiliation::Member)
            .map(|occupant| occupant.nick.clone())
            .collect();
        let cause = Cause { status: Some(status::MEMBERS_ONLY), ..Cause::default() };
        strangers.iter().filter_map(|nick| self.expel(context, nick, &cause)).collect()
    }
}
