//! Who is let into a room, in stock's order of refusals (signaling.md §5.4).

use auth::{Claims, Moderators, RoomAddress, RoomRefused, Standing};
use xmpp::muc::Affiliation;
use xmpp::{Condition, Element, StanzaError, ns};

use super::admin::MAX_AFFILIATIONS;
use super::kind::MucKind;
use super::occupant::FOCUS_NICK;
use super::room::Room;
use crate::Settings;
use crate::conference_settings::is_listed;
use crate::context::{Context, Sender};

/// Characters of a client's user name that are its nick (client.md §5.1).
const NICK_CHARS: usize = 8;

/// Whether the nick may be used here. In conferences it is the endpoint id, of which sources get their names.
pub(super) fn check_nick(
    kind: MucKind,
    settings: &Settings,
    sender: Sender<'_>,
    nick: &str,
) -> Result<(), StanzaError> {
    if !kind.has_endpoints() {
        return Ok(());
    }
    let refused = |text: &str| Err(StanzaError::new(Condition::NotAllowed).with_text(text));
    if nick == FOCUS_NICK {
        // Clients trust the occupant of this name.
        let is_focus = settings.hosts.is_focus(sender.jid);
        return if is_focus { Ok(()) } else { Err(StanzaError::new(Condition::NotAllowed)) };
    }
    if sender.is_service {
        return Ok(());
    }
    let mut chars = nick.chars();
    let is_valid = chars.next().is_some_and(|first| first.is_ascii_alphanumeric())
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !is_valid {
        return refused("Invalid resource");
    }
    // Under an account's name, which the user did not get from here, he has any nick.
    let is_anonymous = settings.hosts.is_client(sender.jid) && !sender.client.has_account;
    let is_own = || sender.jid.local().and_then(|user| user.get(..NICK_CHARS)) == Some(nick);
    if settings.conference.strict_nicks && is_anonymous && !is_own() {
        return refused("Invalid anonymous user ID");
    }
    Ok(())
}

impl Room {
    /// Lets somebody in or not; gives him the affiliation that he comes with.
    pub(super) fn check_entry(
        &mut self,
        context: &mut Context<'_>,
        sender: Sender<'_>,
        nick: &str,
        join: &Element,
    ) -> Result<Affiliation, StanzaError> {
        if let Some(holder) = self.occupants.get(nick) {
            tracing::debug!(room = %self.jid, nick, holder = %holder.jid, "nick in use");
            return Err(StanzaError::new(Condition::Conflict));
        }
        if self.mirrored(nick).is_some() {
            return Err(StanzaError::new(Condition::Conflict));
        }
        if sender.is_service {
            return Ok(Affiliation::Owner);
        }
        if self.kind == MucKind::Visitors {
            return self.check_visitor(context, sender, join).map(|()| Affiliation::None);
        }
        self.check_token(context, sender)?;
        self.check_occupants(context, sender)?;
        self.check_promotion(context, sender)?;
        let mut affiliation = self.affiliation_of(sender.jid, false);
        if affiliation == Affiliation::Outcast {
            return Err(StanzaError::new(Condition::Forbidden));
        }
        self.on_arrival(context, sender);
        let password = password_in(join);
        let password = password.as_deref();
        let former_device = self.flipped_from(sender, join);
        if let Some((_, former)) = &former_device {
            // Whoever was let in once is let in.
            affiliation = affiliation.max(*former).max(Affiliation::Member);
        }
        let was_member = affiliation >= Affiliation::Member;
        let walks_in = self.kind == MucKind::Conference
            && self.config.is_members_only
            && self.may_bypass_lobby(context, sender, password);
        if self.kind == MucKind::Conference && (!self.config.is_members_only || was_member || walks_in) {
            affiliation = affiliation.max(self.affiliation_by_rule(context, sender));
            if walks_in {
                affiliation = affiliation.max(Affiliation::Member);
            }
        }
        if self.kind == MucKind::Conference && self.config.is_members_only && affiliation < Affiliation::Member {
            return Err(self.refusal_of_strangers(context, join));
        }
        let is_guest = affiliation < Affiliation::Owner && !context.settings.hosts.is_hidden(sender.jid);
        if context.settings.conference.owners_come_first && is_guest && !self.was_started_by_owner() {
            // A room without anybody to answer for it takes no guests.
            return Err(StanzaError::new(Condition::NotAllowed));
        }
        // Who was asked in from the lobby does not know the password, and need not (`mod_muc_lobby_rooms`).
        let was_asked_in = was_member && self.config.is_members_only;
        if former_device.is_none() && !was_asked_in && !walks_in {
            self.check_password(context, sender, password)?;
        }
        self.note_affiliation(sender, affiliation)?;
        self.apply_room_claims(sender, affiliation);
        Ok(affiliation)
    }

    /// A locked room opens to who knows its password, or is listed.
    pub(super) fn check_password(
        &self,
        context: &Context<'_>,
        sender: Sender<'_>,
        given: Option<&str>,
    ) -> Result<(), StanzaError> {
        let is_open = self.config.password.as_deref().is_none_or(|expected| given == Some(expected));
        if is_open || is_listed(&context.settings.conference.password_whitelist, sender.jid) {
            return Ok(());
        }
        Err(StanzaError::new(Condition::NotAuthorized))
    }

    /// A token opens the room that it names, and no other (`mod_token_verification`).
    pub(super) fn check_token(&self, context: &Context<'_>, sender: Sender<'_>) -> Result<(), StanzaError> {
        let has_rule = matches!(self.kind, MucKind::Conference | MucKind::Visitors);
        let Some(claims) = sender.client.claims.as_deref().filter(|_| has_rule) else { return Ok(()) };
        self.check_claims(context, claims).map_err(|refused| {
            StanzaError::new(Condition::NotAllowed)
                .with_text(refused.to_string())
                .with_extension(Element::new(refused.marker(), ns::JITMEET))
        })
    }

    /// Whether a token with these claims opens the room.
    pub(crate) fn check_claims(&self, context: &Context<'_>, claims: &Claims) -> Result<(), RoomRefused> {
        let hosts = &context.settings.hosts;
        // Visitors come to see the conference.
        let main = hosts.main_of_visitor_room(&self.jid);
        let jid = main.as_ref().unwrap_or(&self.jid);
        let tenant = hosts.tenant_of(jid.domain()).unwrap_or_else(|| hosts.domain.domain());
        let address = RoomAddress { room: jid.local().unwrap_or_default(), tenant };
        context.settings.conference.token_rooms.check(claims, address)
    }

    /// What a token says of a room that its user opens, or owns.
    fn apply_room_claims(&mut self, sender: Sender<'_>, affiliation: Affiliation) {
        let Some(claims) = sender.client.claims.as_deref().filter(|_| self.kind == MucKind::Conference) else { return };
        if self.participants().next().is_none() && self.config.password.is_none() {
            self.config.password.clone_from(&claims.opens.password);
        }
        if affiliation == Affiliation::Owner && claims.opens.max_occupants.is_some() {
            self.config.max_occupants = claims.opens.max_occupants;
        }
    }

    /// Whether somebody is here whom an owner let come before. Breakout rooms are opened by owners.
    fn was_started_by_owner(&self) -> bool {
        self.kind != MucKind::Conference || self.participants().next().is_some() || self.state.breakouts.is_active()
    }

    /// The limit of occupants; services, recorders and who is listed neither count nor are refused
    /// (`mod_muc_max_occupants`).
    fn check_occupants(&self, context: &Context<'_>, sender: Sender<'_>) -> Result<(), StanzaError> {
        let whitelist = &context.settings.conference.access_whitelist;
        let is_counted = |jid| !is_listed(whitelist, jid);
        if context.settings.hosts.is_hidden(sender.jid) || !is_counted(sender.jid) || self.kind == MucKind::Lobby {
            return Ok(());
        }
        let limit = self.config.max_occupants.or(context.settings.limits.occupants);
        let count = self.participants().filter(|occupant| !occupant.is_service && is_counted(&occupant.jid)).count();
        if limit.is_some_and(|limit| count >= limit) {
            return Err(StanzaError::new(Condition::ServiceUnavailable));
        }
        Ok(())
    }

    /// What the operator's rules make of a user (signaling.md §5.5).
    fn affiliation_by_rule(&self, context: &Context<'_>, sender: Sender<'_>) -> Affiliation {
        let rules = &context.settings.conference;
        let claims = sender.client.claims.as_deref();
        let is_owner =
            rules.all_owners.as_ref().is_some_and(|rule| rule.apply_to(&self.jid, &context.settings.hosts, claims))
                || (rules.wait_for_host && rules.hosts_are_owners && sender.client.is_authenticated())
                || self.is_moderator_by_policy(context, sender);
        match claims {
            _ if is_owner => Affiliation::Owner,
            Some(_) if rules.token_affiliation => Affiliation::Member,
            Some(_) | None => Affiliation::None,
        }
    }

    fn is_moderator_by_policy(&self, context: &Context<'_>, sender: Sender<'_>) -> bool {
        let rules = &context.settings.conference;
        match sender.client.standing() {
            // Tokens may be kept from saying who owns a room: then they show who somebody is, and no more.
            Standing::Token(_) if !rules.token_affiliation => rules.moderators == Moderators::Authenticated,
            standing @ (Standing::Guest | Standing::Account | Standing::Token(_)) => {
                rules.moderators.makes_owner(standing)
            }
        }
    }

    fn note_affiliation(&mut self, sender: Sender<'_>, affiliation: Affiliation) -> Result<(), StanzaError> {
        if affiliation == self.affiliation_of(sender.jid, false) {
            return Ok(());
        }
        let bare = sender.jid.to_bare();
        if self.affiliations.len() >= MAX_AFFILIATIONS && !self.affiliations.contains_key(&bare) {
            return Err(StanzaError::new(Condition::ResourceConstraint));
        }
        self.affiliations.insert(bare, affiliation);
        Ok(())
    }
}

/// The password that a join brings; none where it is empty.
pub(super) fn password_in(join: &Element) -> Option<String> {
    let given = join.child("x", ns::MUC)?.child("password", ns::MUC)?.text();
    Some(given).filter(|given| !given.is_empty())
}
