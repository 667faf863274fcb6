//! The lobby of a room, as the room sees it: whether there is one, who walks past it, and what others are told
//! (`mod_muc_lobby_rooms`, `mod_muc_wait_for_host`).
//!
//! Here: the main room's side. Not here: the room in which people wait (`conference/lobbies.rs`).

use xmpp::muc::{Affiliation, status, statuses};
use xmpp::{Condition, Element, Jid, StanzaError, ns};

use super::event::Happening;
use super::kind::MucKind;
use super::room::Room;
use crate::conference_settings::is_listed;
use crate::context::{Context, Sender};
use crate::outside::Grant;

/// The lobby in front of a room.
#[derive(Debug)]
pub(crate) struct LobbyState {
    /// The address of the room to wait in.
    pub(crate) jid: Jid,
    /// Whether people wait for a host to come, not for somebody to let them in.
    pub(crate) awaits_host: bool,
    /// Whether both rooms live on while anybody waits, even with nobody inside (`mod_persistent_lobby`).
    pub(crate) is_persistent: bool,
}

/// Why a lobby is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LobbyCause<'a> {
    /// An owner wants it.
    Owner(&'a Jid),
    /// The operator wants one in front of every room.
    Autostart,
    /// Somebody comes whose token says that he waits in one.
    Token,
    /// No host is there yet.
    AwaitsHost,
}

impl Room {
    /// Puts a lobby in front of the room, if this deployment has lobbies. Who is in the room stays in it.
    pub(super) fn open_lobby(&mut self, context: &mut Context<'_>, cause: LobbyCause<'_>) {
        if self.kind != MucKind::Conference || self.lobby.is_some() {
            return;
        }
        let Some(jid) = context.settings.hosts.lobby_of(&self.jid) else { return };
        self.lobby = Some(LobbyState {
            jid,
            awaits_host: cause == LobbyCause::AwaitsHost,
            is_persistent: !matches!(cause, LobbyCause::Owner(_)),
        });
        let by = match cause {
            LobbyCause::Owner(by) => Some(by.clone()),
            LobbyCause::Autostart | LobbyCause::Token | LobbyCause::AwaitsHost => {
                self.config.is_members_only = true;
                self.admit_all_present();
                self.tell_config_change(context);
                None
            }
        };
        self.emit(context, Happening::LobbyOpened { by });
    }

    /// A room that came into being by reservation is as that says (`mod_reservations`).
    pub(crate) fn open_as_reserved(&mut self, context: &mut Context<'_>, grant: &Grant) {
        if grant.max_occupants.is_some() {
            self.config.max_occupants = grant.max_occupants;
        }
        if grant.password.is_some() {
            self.config.password.clone_from(&grant.password);
        }
        if grant.has_lobby {
            self.open_lobby(context, LobbyCause::Autostart);
        }
    }

    /// Takes the lobby away.
    pub(super) fn close_lobby(&mut self, context: &mut Context<'_>, by: Option<&Jid>, reason: &'static str) {
        if self.lobby.take().is_some() {
            self.config.is_members_only = false;
            self.emit(context, Happening::LobbyClosed { by: by.cloned(), reason });
        }
    }

    /// Makes members of those in the room, who would have to leave else.
    fn admit_all_present(&mut self) {
        let strangers = self.occupants.values().filter(|occupant| !occupant.is_service);
        for bare in strangers.map(|occupant| occupant.jid.to_bare()).collect::<Vec<_>>() {
            let affiliation = self.affiliations.entry(bare).or_default();
            *affiliation = (*affiliation).max(Affiliation::Member);
        }
    }

    /// Clients ask for the room's information again on this code only (client.md §5.4).
    pub(super) fn tell_config_change(&self, context: &mut Context<'_>) {
        let notice = Element::new("message", ns::CLIENT)
            .with_attr("type", "groupchat")
            .with_attr("from", self.jid.as_str())
            .with_child(statuses(&[status::CONFIG_CHANGED]));
        self.broadcast(context, &notice);
    }

    /// Before somebody is let in or not: a host ends the wait for one, anybody else begins it.
    pub(super) fn on_arrival(&mut self, context: &mut Context<'_>, sender: Sender<'_>) {
        if self.kind != MucKind::Conference || sender.is_service || context.settings.hosts.is_hidden(sender.jid) {
            return;
        }
        let claims = sender.client.claims.as_deref();
        if self.lobby.is_some() && claims.and_then(|claims| claims.opens.lobby_autostart) == Some(false) {
            self.close_lobby(context, None, "Lobby room closed.");
            self.tell_config_change(context);
        }
        if context.settings.conference.lobby.on_demand && claims.is_some_and(|claims| claims.waits_in_lobby) {
            self.open_lobby(context, LobbyCause::Token);
        }
        if !context.settings.conference.wait_for_host || self.has_had_host {
            return;
        }
        if sender.client.is_authenticated() {
            self.has_had_host = true;
            if self.lobby.as_ref().is_some_and(|lobby| lobby.awaits_host) {
                tracing::info!(room = %self.jid, "host arrived");
                self.close_lobby(context, None, "Host arrived.");
                self.tell_config_change(context);
            }
        } else if !self.config.is_members_only {
            self.open_lobby(context, LobbyCause::AwaitsHost);
        }
    }

    /// Whether the user walks past the lobby without having been asked in.
    pub(super) fn may_bypass_lobby(&self, context: &Context<'_>, sender: Sender<'_>, password: Option<&str>) -> bool {
        let claims = sender.client.claims.as_deref();
        // Whoever the token makes an owner has nobody to wait for: token modules that wait let everybody wait for ever.
        let on_demand = context.settings.conference.lobby.on_demand;
        let has_right = claims
            .is_some_and(|claims| claims.lobby_bypass || claims.is_owner || (on_demand && !claims.waits_in_lobby));
        has_right
            || (context.settings.conference.lobby.hosts_walk_past && sender.client.is_authenticated())
            || is_listed(&context.settings.conference.lobby.whitelist, sender.jid)
            || context.settings.hosts.is_hidden(sender.jid)
            || (password.is_some() && password == self.config.password.as_deref())
    }

    /// Why somebody who is no member has to wait.
    pub(super) fn refusal_of_strangers(&self, context: &Context<'_>, join: &Element) -> StanzaError {
        let Some(lobby) = &self.lobby else { return StanzaError::new(Condition::RegistrationRequired) };
        let has_name = join.child("nick", ns::NICK).is_some_and(|nick| !nick.text().trim().is_empty());
        if context.settings.conference.lobby.requires_name && !lobby.awaits_host && !has_name {
            let required = Element::new("displayname-required", ns::JITMEET).with_attr("lobby", "true");
            return StanzaError::new(Condition::NotAcceptable).with_extension(required);
        }
        let mut error = StanzaError::new(Condition::RegistrationRequired);
        if lobby.awaits_host {
            error = error.with_extension(Element::new("waiting-for-host", ns::JITMEET));
        }
        error.with_extension(Element::new("lobbyroom", ns::JITMEET).with_text(lobby.jid.as_str()))
    }
}
