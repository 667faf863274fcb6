//! Who is in the room, and who of them owns it.

use auth::Moderators;
use model::EndpointId;
use xmpp::{Element, Jid};

use super::participant::{Participant, Session};
use super::phase::{Leaving, PhaseEffect};
use super::{Conference, problem_of};
use crate::context::{ConferencePurpose, Context};
use crate::iq::IqOutcome;
use crate::muc::{self, Member, Role, Services};

/// Owner of a bridge's own sources in everything that clients are told: no participant may have this name.
pub(super) const BRIDGE_OWNER: &str = "jvb";

impl Conference {
    pub(super) fn on_member_presence(&mut self, from: &Jid, presence: &Element, context: &mut Context<'_>) {
        if self.is_stopped() {
            return;
        }
        let Some(endpoint) = endpoint_of(from) else {
            let nick = from.resource().unwrap_or_default();
            tracing::warn!(room = %self.room, nick, "member ignored, its nick cannot be an endpoint id");
            return context.metrics.dropped("member with an impossible nick");
        };
        match presence.attr("type") {
            None => self.on_member_available(endpoint, from, presence, context),
            Some("unavailable") => {
                let leaving = if muc::is_room_switch(presence) { Leaving::SwitchingRoom } else { Leaving::ForGood };
                if self.participant_at(from).is_some() {
                    self.on_member_left(&endpoint, leaving, context);
                }
            }
            Some(_) => {}
        }
    }

    fn on_member_available(&mut self, endpoint: EndpointId, from: &Jid, presence: &Element, context: &mut Context<'_>) {
        let Some(member) = Member::of_presence(from, presence) else {
            return context.metrics.dropped("member without item");
        };
        self.displace_visitor(&endpoint, context);
        if let Some(known) = self.participants.get_mut(&endpoint) {
            let before = std::mem::replace(&mut known.member, member);
            self.count_senders(context.settings);
            let Some(known) = self.participants.get(&endpoint) else { return };
            if (before.affiliation, before.role) == (known.member.affiliation, known.member.role) {
                return;
            }
            self.update_force_mutes(context);
        } else {
            if self.participants.len().saturating_sub(self.visitor_count()) >= context.settings.limits.participants {
                tracing::warn!(room = %self.room, %endpoint, "member ignored, the conference is full");
                return context.metrics.dropped("member beyond the limit");
            }
            tracing::info!(room = %self.room, %endpoint, "participant joined");
            context.metrics.participants.inc();
            self.expected.on_joined();
            let participant = Participant::new(endpoint.clone(), member, &context.settings.limits, context.now);
            self.participants.add(participant);
            self.count_senders(context.settings);
        }
        if !self.phase.is_joining() {
            self.elect_owner(context);
            self.on_member_count(Leaving::ForGood, context);
        }
    }

    fn on_member_left(&mut self, endpoint: &EndpointId, leaving: Leaving, context: &mut Context<'_>) {
        if self.forget_participant(endpoint, context).is_none() {
            return;
        }
        tracing::info!(room = %self.room, %endpoint, "participant left");
        self.owners_by_login.remove(endpoint);
        self.count_senders(context.settings);
        if self.granting.as_ref() == Some(endpoint) {
            self.granting = None;
        }
        if !self.phase.is_joining() {
            self.elect_owner(context);
            self.on_member_count(leaving, context);
        }
    }

    /// Takes somebody out of all books who is in no room any more.
    pub(super) fn forget_participant(
        &mut self,
        endpoint: &EndpointId,
        context: &mut Context<'_>,
    ) -> Option<Participant> {
        let gone = self.participants.remove(endpoint)?;
        context.metrics.endpoint_seconds.inc_by(context.now.saturating_duration_since(gone.joined_at).as_secs_f64());
        // Clients learn from the room that the endpoint and with it its sources are gone.
        self.sources.remove_endpoint(endpoint);
        // Nobody was told of a visitor.
        if !gone.is_visitor {
            for other in self.participants.values_mut() {
                other.signaling.forget(endpoint);
            }
        }
        let moving = gone.moving.as_ref().map(|moving| &moving.bridge);
        for bridge in gone.session.bridge().into_iter().chain(moving) {
            self.expire_endpoint(bridge, endpoint, context);
        }
        Some(gone)
    }

    /// Members of the main room who may speak.
    pub(super) fn members(&self) -> usize {
        self.participants.values().filter(|participant| participant.member.role != Role::Visitor).count()
    }

    /// The number of participants may have changed.
    pub(super) fn on_member_count(&mut self, leaving: Leaving, context: &mut Context<'_>) {
        // Visitors are somebody to talk to, but without anybody who talks there is no conference.
        let members = self.members();
        let count = if members == 0 { 0 } else { members + self.visitor_count() };
        let minimum = self.min_participants(context.settings);
        let has_breakouts = context.breakouts.contains_key(&self.room);
        let leaving = match leaving {
            _ if has_breakouts => Leaving::BreakoutsRemain,
            Leaving::ForGood if self.expected.is_any(context.now, context.settings.timers.initial) => {
                Leaving::OthersExpected
            }
            Leaving::ForGood | Leaving::SwitchingRoom | Leaving::OthersExpected | Leaving::BreakoutsRemain => leaving,
        };
        match self.phase.on_members(count, minimum, leaving, context.now, &context.settings.timers) {
            PhaseEffect::None => {}
            PhaseEffect::Open => self.open(context),
            PhaseEffect::Invite => self.invite_waiting(context),
            PhaseEffect::Drain => self.drain(context),
            PhaseEffect::Stop(reason) => self.stop(reason, context),
        }
    }

    /// Makes those owners whom the rules want to moderate: the first, or who logged in.
    pub(super) fn elect_owner(&mut self, context: &mut Context<'_>) {
        let settings = context.settings;
        let is_breakout = self.main_room.is_some() || settings.breakout_domain.as_deref() == Some(self.room.domain());
        if is_breakout || self.granting.is_some() {
            return;
        }
        match settings.moderators {
            Moderators::First => self.grant_to_first(context),
            Moderators::Authenticated => self.grant_to_users(context),
            Moderators::Token | Moderators::None => {}
        }
    }

    /// Makes the first participant owner when nobody is, so that somebody can moderate.
    fn grant_to_first(&mut self, context: &mut Context<'_>) {
        let settings = context.settings;
        if self.participants.values().any(|participant| participant.member.is_owner()) {
            return;
        }
        let is_hidden = |jid: &Jid| settings.hidden_domain.as_deref() == Some(jid.domain());
        let mut eligible = self.participants.values().filter(|participant| {
            let member = &participant.member;
            member.role != Role::Visitor
                && !member.real_jid.as_ref().is_some_and(is_hidden)
                && participant.services(settings) == Services::default()
        });
        let Some((endpoint, real_jid)) =
            eligible.find_map(|participant| Some((participant.endpoint.clone(), participant.member.real_jid.clone()?)))
        else {
            return;
        };
        self.grant(endpoint, &real_jid, context);
    }

    fn grant(&mut self, endpoint: EndpointId, real_jid: &Jid, context: &mut Context<'_>) {
        self.granting = Some(endpoint.clone());
        let purpose = ConferencePurpose::GrantOwner { endpoint };
        self.request(&self.room, "set", muc::grant_owner(real_jid), purpose, context);
    }

    /// Makes the next of those owner who logged in: all do, and nobody else.
    fn grant_to_users(&mut self, context: &mut Context<'_>) {
        let next = self.participants.values().find_map(|participant| {
            let real_jid = participant.member.real_jid.as_ref().filter(|_| !participant.is_visitor)?;
            let is_due = context.authority.is_authenticated(real_jid)
                && self.owners_by_login.insert(participant.endpoint.clone())
                && !participant.member.is_owner();
            is_due.then(|| (participant.endpoint.clone(), real_jid.clone()))
        });
        let Some((endpoint, real_jid)) = next else { return };
        self.grant(endpoint, &real_jid, context);
    }

    /// Somebody logged in who may be in the room already.
    pub(crate) fn on_login(&mut self, client: &Jid, context: &mut Context<'_>) {
        let is_client = |participant: &&Participant| participant.member.real_jid.as_ref() == Some(client);
        let Some(endpoint) = self.participants.values().find(is_client).map(|found| found.endpoint.clone()) else {
            return;
        };
        self.owners_by_login.remove(&endpoint);
        if !self.phase.is_joining() {
            self.elect_owner(context);
        }
    }

    pub(super) fn on_granted(&mut self, endpoint: &EndpointId, outcome: IqOutcome, context: &mut Context<'_>) {
        if self.granting.as_ref() != Some(endpoint) {
            return;
        }
        if let Some(problem) = problem_of(&outcome) {
            // Tried again when the next member comes or goes.
            tracing::warn!(room = %self.room, %endpoint, problem, "participant could not be made owner");
            self.granting = None;
            return;
        }
        self.granting = None;
        // The room's presence may come after its answer: until then the member counts as what it was granted.
        if let Some(participant) = self.participants.get_mut(endpoint) {
            participant.member.affiliation = muc::Affiliation::Owner;
        }
        self.elect_owner(context);
    }

    /// Ends all sessions and the conference on its bridges; the room is kept.
    pub(super) fn drain(&mut self, context: &mut Context<'_>) {
        tracing::info!(room = %self.room, "sessions ended, a single participant is left");
        let endpoints: Vec<EndpointId> = self.participants.values().map(|known| known.endpoint.clone()).collect();
        for endpoint in endpoints {
            self.terminate(&endpoint, ("expired", "Idle session timeout"), Session::None, context);
            self.sources.remove_endpoint(&endpoint);
        }
        for participant in self.participants.values_mut() {
            participant.signaling.reset();
            participant.moving = None;
        }
        self.expire_all_bridges(context);
        self.is_bridge_missing = false;
        self.retry_at = None;
    }
}

/// The endpoint of an occupant; `None` where its nick cannot be one.
pub(super) fn endpoint_of(occupant: &Jid) -> Option<EndpointId> {
    let nick = occupant.resource().filter(|nick| *nick != BRIDGE_OWNER)?;
    nick.parse().ok()
}
