//! What an operator decides about conference rooms: who owns them, who waits, what is paced and filtered.

use std::num::NonZeroU32;
use std::time::Duration;

use xmpp::Jid;

use crate::Hosts;
use auth::{Claims, Features, Moderators, RoomRules};

/// Rules of conference rooms. The defaults are those of docker-jitsi-meet.
#[derive(Clone, Debug)]
pub struct ConferenceSettings {
    /// Waiting rooms.
    pub lobby: LobbySettings,
    /// Whether guests wait in a lobby until somebody who showed who he is has come (`muc_wait_for_host`).
    pub wait_for_host: bool,
    /// Whether a host owns the rooms that he joins while [`ConferenceSettings::wait_for_host`] is on.
    pub hosts_are_owners: bool,
    /// Whether rooms are neither configured nor ended by owners who showed neither a token nor an account
    /// (`token_verification_require_token_for_moderation`).
    pub guests_configure_nothing: bool,
    /// Whether STUN and TURN servers are told only to who is in a meeting (`extdisco_occpuant_check`).
    pub services_for_occupants: bool,
    /// Whether nobody but owners comes in before one is there (`token_owner_party`).
    pub owners_come_first: bool,
    /// How long a meeting goes on after its last owner left (`token_owner_party`, `owner_restricted`); `None` for as long as
    /// it likes.
    pub without_owner_for: Option<Duration>,
    /// How long a meeting may take (`time_restricted`); `None` for as long as it likes.
    pub longest: Option<Duration>,
    /// Whether tokens say who owns a room (`token_affiliation`).
    pub token_affiliation: bool,
    /// Who becomes moderator.
    pub moderators: Moderators,
    /// Which rooms a token opens.
    pub token_rooms: RoomRules,
    /// Everybody owns the room that he joins (`muc_allowners`); `None` for not.
    pub all_owners: Option<AllOwners>,
    /// Domains and bare JIDs that are neither counted against the limit of occupants nor refused for it
    /// (`muc_access_whitelist`). The domain of recorders always is.
    pub access_whitelist: Vec<String>,
    /// Domains and bare JIDs that need no password (`muc_password_whitelist`).
    pub password_whitelist: Vec<String>,
    /// Whether the nick has to be the start of the user name, as the stock client has it (`anonymous_strict`).
    pub strict_nicks: bool,
    /// Whether participants are shown neither names nor pictures of each other (`hideDisplayNameForGuests`).
    pub hide_names_from_guests: bool,
    /// Messages in one room after which no more are taken (`muc_limit_messages_count`); `None` for no limit.
    pub messages: Option<u32>,
    /// Joins of one room in a second; those beyond wait (`muc_rate_joins`). `None` for no limit.
    pub joins_per_second: Option<NonZeroU32>,
    /// Departures from one room in a second; those beyond are told later (`muc_rate_leaves`). `None` for no limit.
    pub leaves_per_second: Option<NonZeroU32>,
    /// What moderators may do whose token does not say it (`jitsi_default_permissions`).
    pub default_permissions: Features,
    /// How long a room lives on with nobody but recorders in it (`services_empty_meeting_timeout`).
    pub only_recorders_for: Duration,
    /// Translations that one participant may ask for at one time (`audio_translation_max_subscriptions`).
    pub translations: usize,
    /// Whether what is said is written down by a service that bridges give it to, rather than by a transcriber who joins.
    pub async_transcription: bool,
    /// Calls out of this server that one user may have at one time (`max_number_outgoing_calls`); `None` for no limit.
    pub outgoing_calls: Option<usize>,
}

/// Rules of waiting rooms.
#[derive(Clone, Debug)]
pub struct LobbySettings {
    /// Whether each room starts with one (`lobby_autostart`). Without somebody who walks past it, nobody gets in.
    pub autostart: bool,
    /// Whether one comes into being for the first whose token says that he waits in it, and whoever has another token walks past
    /// (`token_lobby_ondemand`).
    pub on_demand: bool,
    /// Whether who waits has to give a name (`muc_lobby_check_display_name_required`).
    pub requires_name: bool,
    /// Whether who has a token or an account walks past it (`secure_domain_lobby_bypass`).
    pub hosts_walk_past: bool,
    /// Domains and bare JIDs that walk past it (`muc_lobby_whitelist`).
    pub whitelist: Vec<String>,
}

/// Everybody is an owner, but in these rooms: there it takes a token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllOwners {
    /// Local parts of rooms (`allowners_moderated_rooms`).
    pub moderated_rooms: Vec<String>,
    /// Tenants (`allowners_moderated_subdomains`).
    pub moderated_tenants: Vec<String>,
}

impl Default for ConferenceSettings {
    fn default() -> Self {
        const PERMISSIONS: [&str; 10] = [
            "livestreaming",
            "recording",
            "transcription",
            "outbound-call",
            "create-polls",
            "send-groupchat",
            "send-private-message",
            "flip",
            "live-translation",
            "live-translation-subscribe",
        ];
        Self {
            lobby: LobbySettings {
                autostart: false,
                on_demand: false,
                requires_name: true,
                hosts_walk_past: false,
                whitelist: Vec::new(),
            },
            wait_for_host: false,
            hosts_are_owners: true,
            guests_configure_nothing: false,
            services_for_occupants: false,
            owners_come_first: false,
            without_owner_for: None,
            longest: None,
            token_affiliation: true,
            moderators: Moderators::First,
            token_rooms: RoomRules::default(),
            all_owners: None,
            access_whitelist: Vec::new(),
            password_whitelist: Vec::new(),
            strict_nicks: false,
            hide_names_from_guests: false,
            messages: None,
            joins_per_second: None,
            leaves_per_second: None,
            default_permissions: PERMISSIONS.into_iter().map(|name| (name.to_owned(), true)).collect(),
            only_recorders_for: Duration::from_secs(20),
            translations: 100,
            async_transcription: false,
            outgoing_calls: None,
        }
    }
}

impl AllOwners {
    /// Whether somebody with these claims becomes an owner of this room.
    pub(crate) fn apply_to(&self, room: &Jid, hosts: &Hosts, claims: Option<&Claims>) -> bool {
        let local = room.local().unwrap_or_default();
        let is_moderated = match hosts.tenant_of(room.domain()) {
            Some(tenant) => self.moderated_tenants.iter().any(|moderated| moderated == tenant),
            None => self.moderated_rooms.iter().any(|moderated| moderated == local),
        };
        !is_moderated || claims.is_some()
    }
}

/// Whether a list of domains and bare JIDs names this user.
pub(crate) fn is_listed(list: &[String], jid: &Jid) -> bool {
    list.iter().any(|entry| entry == jid.domain() || entry == jid.bare_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moderated_rooms_want_a_token_and_others_do_not() {
        let rule = AllOwners { moderated_rooms: vec!["talk".to_owned()], moderated_tenants: vec!["school".to_owned()] };
        let hosts = Hosts::of("d").unwrap();
        let applies = |room: &str, claims| rule.apply_to(&room.parse().unwrap(), &hosts, claims);
        let claims = Claims::default();
        assert!(applies("demo@muc.d", None) && applies("talk@muc.other.d", None));
        assert!(!applies("talk@muc.d", None) && !applies("any@muc.school.d", None));
        assert!(applies("talk@muc.d", Some(&claims)) && applies("any@muc.school.d", Some(&claims)));
    }

    #[test]
    fn a_list_names_domains_or_users() {
        let list = ["hidden.d".to_owned(), "ann@d".to_owned()];
        let is_listed = |jid: &str| super::is_listed(&list, &jid.parse().unwrap());
        assert!(is_listed("recorder@hidden.d/1") && is_listed("ann@d/2"));
        assert!(!is_listed("bob@d/2") && !is_listed("ann@hidden.d.evil/1"));
    }
}
