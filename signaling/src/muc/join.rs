//! Joining a room (XEP-0045 §7.2): what who is let in is told, and who waits for the focus or for his turn.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;

use xmpp::muc::{Role, status};
use xmpp::{Condition, Element, Jid, StanzaError};

use super::event::Happening;
use super::flip;
use super::kind::MucKind;
use super::occupant::Occupant;
use super::pace::MAX_WAITING;
use super::presence::Cause;
use super::room::Room;
use crate::Settings;
use crate::audit;
use crate::client::Client;
use crate::conference_components::metadata;
use crate::context::{Context, Sender};

/// Joins that wait for the focus in one room, as in stock.
const MAX_HELD_JOINS: usize = 500;

/// A join that waits.
#[derive(Debug)]
pub(crate) struct HeldJoin {
    pub(super) jid: Jid,
    client: Arc<Client>,
    nick: String,
    presence: Element,
}

impl HeldJoin {
    fn new(sender: Sender<'_>, nick: &str, presence: &Element) -> Self {
        Self {
            jid: sender.jid.clone(),
            client: Arc::clone(sender.client),
            nick: nick.to_owned(),
            presence: presence.clone(),
        }
    }
}

impl Room {
    /// Lets somebody in, or lets him wait for the focus or for his turn. Answers who left on the way: whose waiting joins
    /// were turned away, and whom the newcomer replaces.
    ///
    /// # Errors
    /// Why the join is refused.
    pub(crate) fn join(
        &mut self,
        context: &mut Context<'_>,
        sender: Sender<'_>,
        nick: &str,
        stanza: &Element,
    ) -> Result<Vec<Jid>, StanzaError> {
        if self.kind.has_media() && !sender.is_service && !self.is_open() {
            return self.hold(sender, nick, stanza).map(|()| Vec::new());
        }
        let limit = self.joins_per_second(context.settings);
        if !sender.is_service && !self.pace.joins.is_due(limit, context.now.instant) {
            self.pace.joins.waiting.retain(|held| held.jid != *sender.jid);
            if self.pace.joins.waiting.len() >= MAX_WAITING {
                return Err(StanzaError::new(Condition::ResourceConstraint));
            }
            self.pace.joins.waiting.push_back(HeldJoin::new(sender, nick, stanza));
            self.emit(context, Happening::Paced);
            return Ok(Vec::new());
        }
        self.enter(context, sender, nick, stanza)
    }

    /// Whether who is no service comes in: the focus is there, and visitors find the conference.
    fn is_open(&self) -> bool {
        self.has_focus() && (self.kind != MucKind::Visitors || self.mirror.is_connected)
    }

    fn joins_per_second(&self, settings: &Settings) -> Option<NonZeroU32> {
        match self.kind {
            MucKind::Conference => settings.conference.joins_per_second,
            MucKind::Visitors => settings.visitors.joins_per_second,
            MucKind::Lobby | MucKind::Breakout | MucKind::Internal => None,
        }
    }

    fn enter(
        &mut self,
        context: &mut Context<'_>,
        sender: Sender<'_>,
        nick: &str,
        stanza: &Element,
    ) -> Result<Vec<Jid>, StanzaError> {
        let affiliation = self.check_entry(context, sender, nick, stanza)?;
        let former_device = self.flipped_from(sender, stanza).map(|(nick, _)| nick);
        self.tell_waiting_departure_of(context, nick);
        let is_new = self.is_empty();
        let history = self.history.wanted_by(stanza, context.now.unix_ms);
        let is_hidden = context.settings.hosts.is_hidden(sender.jid);
        let presence = if former_device.is_some() { stanza.clone() } else { flip::without_mark(stanza.clone()) };
        let mut occupant = Occupant::new(sender, nick, affiliation, is_hidden, presence);
        if self.kind == MucKind::Visitors && !sender.is_service {
            occupant.role = Role::Visitor;
        }
        let brings_focus = occupant.is_focus();
        let is_moderator = occupant.is_moderator();
        // XEP-0045 §7.1: the others' presence first, the own one ends the list, then history, then the subject.
        self.insert(context, occupant);
        self.send_occupants(context, sender.jid);
        // Clients obey the start-muted policy only when they know it before they know that they are in (client.md §6.7).
        metadata::greet(context, self, nick);
        let own_statuses: &[u16] =
            if is_new { &[status::NON_ANONYMOUS, status::CREATED] } else { &[status::NON_ANONYMOUS] };
        self.announce(context, nick, &Cause::default(), own_statuses);
        for message in history {
            context.send(sender.jid, message);
        }
        self.send_subject(context, sender.jid);
        self.emit(context, Happening::Joined { nick: nick.to_owned() });
        if is_moderator {
            self.emit(context, Happening::BecameModerator { nick: nick.to_owned() });
        }
        let mut departed = if brings_focus { self.release_held(context) } else { Vec::new() };
        departed.extend(former_device.and_then(|former| self.replace(context, &former)));
        Ok(departed)
    }

    fn hold(&mut self, sender: Sender<'_>, nick: &str, presence: &Element) -> Result<(), StanzaError> {
        self.held.retain(|held| held.jid != *sender.jid);
        if self.held.len() >= MAX_HELD_JOINS {
            return Err(StanzaError::new(Condition::ResourceConstraint));
        }
        self.held.push(HeldJoin::new(sender, nick, presence));
        Ok(())
    }

    /// The focus is here: those who waited come in. Answers who was refused or replaced.
    pub(super) fn release_held(&mut self, context: &mut Context<'_>) -> Vec<Jid> {
        std::mem::take(&mut self.held).into_iter().flat_map(|held| self.retry(context, held, Self::join)).collect()
    }

    /// Those whose turn has come come in. Answers who was refused or replaced.
    pub(super) fn let_paced_in(&mut self, context: &mut Context<'_>) -> Vec<Jid> {
        let limit = self.joins_per_second(context.settings);
        let mut turned_away = Vec::new();
        while let Some(held) = self.pace.joins.pop_due(limit, context.now.instant) {
            turned_away.extend(self.retry(context, held, Self::enter));
        }
        turned_away
    }

    fn retry(
        &mut self,
        context: &mut Context<'_>,
        HeldJoin { jid, client, nick, presence }: HeldJoin,
        join: impl Fn(&mut Self, &mut Context<'_>, Sender<'_>, &str, &Element) -> Result<Vec<Jid>, StanzaError>,
    ) -> Vec<Jid> {
        let sender = Sender { jid: &jid, is_service: false, host: None, client: &client };
        match join(self, context, sender, &nick, &presence) {
            Ok(departed) => departed,
            Err(error) => {
                refuse_join(context, &jid, &presence, &error);
                vec![jid]
            }
        }
    }

    /// When the next join or departure has its turn, if one waits.
    pub(crate) fn next_turn(&self) -> Option<Instant> {
        self.pace.next_turn()
    }

    /// The room ends before those who wait came in: they are told to try again. Answers who that was.
    pub(crate) fn turn_held_away(&mut self, context: &mut Context<'_>) -> Vec<Jid> {
        let error = StanzaError::new(Condition::NotAllowed).with_text("Room creation is restricted");
        std::mem::take(&mut self.held)
            .into_iter()
            .chain(std::mem::take(&mut self.pace.joins.waiting))
            .map(|held| {
                context.refuse(&held.jid, &held.presence, &error);
                held.jid
            })
            .collect()
    }
}

/// Tells somebody why he cannot come in.
pub(super) fn refuse_join(context: &mut Context<'_>, jid: &Jid, join: &Element, error: &StanzaError) {
    context.metrics.joins_refused.with_label_values(&[error.condition.as_str()]).inc();
    audit::join_refused(context, jid, join.attr("to"), error.condition.as_str(), error.text.as_deref());
    context.refuse(jid, join, error);
}
