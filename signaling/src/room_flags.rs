//! What an operator says about conference rooms on the command line or in the environment. What docker-jitsi-meet has a
//! variable for has it here as well; options of plugins have names of their own.

use std::num::{NonZeroU32, ParseIntError};
use std::time::Duration;

use clap::ArgAction;
use clap::builder::BoolishValueParser;
use xmpp::{InvalidJid, Jid};

use crate::api_flags::named_file;
use crate::{AllOwners, InvalidOutsideFlags, OutsideFlags, Settings, ShortLivedTokens, StanzaRates};

/// To be flattened into the options of a binary.
#[derive(Clone, Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct RoomFlags {
    /// Participants of a room; no limit when left out. Services and recorders are not counted.
    #[arg(long, env = "MAX_PARTICIPANTS", alias = "max-occupants", value_name = "NUMBER")]
    pub max_participants: Option<usize>,
    /// Whether rooms can have a lobby, where people wait to be let in.
    #[arg(long, env = "ENABLE_LOBBY", default_value_t = true, action = ArgAction::Set, value_parser = BoolishValueParser::new())]
    pub enable_lobby: bool,
    /// Whether meetings can be split into breakout rooms.
    #[arg(long, env = "ENABLE_BREAKOUT_ROOMS", default_value_t = true, action = ArgAction::Set, value_parser = BoolishValueParser::new())]
    pub enable_breakout_rooms: bool,
    /// Whether moderators can keep others muted.
    #[arg(long, env = "ENABLE_AV_MODERATION", default_value_t = true, action = ArgAction::Set, value_parser = BoolishValueParser::new())]
    pub enable_av_moderation: bool,
    /// Whether moderators can end a meeting for all.
    #[arg(long, env = "ENABLE_END_CONFERENCE", default_value_t = true, action = ArgAction::Set, value_parser = BoolishValueParser::new())]
    pub enable_end_conference: bool,
    /// There are no polls.
    #[arg(long, env = "DISABLE_POLLS", value_parser = BoolishValueParser::new())]
    pub disable_polls: bool,
    /// Participants are told of files that others share. The store of the files is another server's.
    #[arg(long, env = "TERANGA_ENABLE_FILE_SHARING", value_parser = BoolishValueParser::new())]
    pub enable_file_sharing: bool,
    /// File with the RSA key in PEM that signs the tokens for that store, by the name that the store knows it by; without it
    /// there are none.
    #[arg(
        long,
        env = "TERANGA_SHORT_LIVED_TOKEN_KEY",
        requires = "short_lived_token_issuer",
        value_name = "KID=FILE",
        value_parser = short_lived_tokens
    )]
    pub short_lived_token_key: Option<ShortLivedTokens>,
    /// Who such tokens say that they are from.
    #[arg(long, env = "TERANGA_SHORT_LIVED_TOKEN_ISSUER", value_name = "ISSUER")]
    pub short_lived_token_issuer: Option<String>,
    /// Participants may ask to hear others in their language. Who translates is another server.
    #[arg(long, env = "ENABLE_AUDIO_TRANSLATION", value_parser = BoolishValueParser::new())]
    pub enable_audio_translation: bool,
    /// What is said is written down by a service that bridges give it to (the focus's --transcription-url-template), rather than
    /// by a transcriber who joins.
    #[arg(long, env = "TERANGA_ASYNC_TRANSCRIPTION", value_parser = BoolishValueParser::new())]
    pub async_transcription: bool,
    /// Translations that one participant may ask for at one time.
    #[arg(long, env = "TERANGA_MAX_TRANSLATIONS", default_value_t = 100, value_name = "NUMBER")]
    pub max_translations: usize,
    /// Waiting rooms.
    #[command(flatten)]
    pub lobby: LobbyFlags,
    /// Owners.
    #[command(flatten)]
    pub owners: OwnerFlags,
    /// Servers of others.
    #[command(flatten)]
    pub outside: OutsideFlags,
    /// Domain or user, user@domain, neither counted against --max-participants nor refused for it; may be repeated.
    #[arg(long, env = "TERANGA_ACCESS_WHITELIST", value_delimiter = ',', value_name = "DOMAIN_OR_USER")]
    pub access_whitelist: Vec<String>,
    /// Domain or user that needs no password for a room; may be repeated.
    #[arg(long, env = "TERANGA_PASSWORD_WHITELIST", value_delimiter = ',', value_name = "DOMAIN_OR_USER")]
    pub password_whitelist: Vec<String>,
    /// The nick in a room has to be the start of the user name, as it is with stock clients.
    #[arg(long, env = "PROSODY_MUC_RESOURCE_VALIDATE_ANONYMOUS_STRICT", value_parser = BoolishValueParser::new())]
    pub strict_nicks: bool,
    /// Only who is in a meeting is told of STUN and TURN servers.
    #[arg(long, env = "TERANGA_SERVICES_FOR_OCCUPANTS", value_parser = BoolishValueParser::new())]
    pub services_for_occupants: bool,
    /// Clients are told what the domain offers before they ask for it (`jiconop`).
    #[arg(long, env = "TERANGA_PUSH_DISCO", value_parser = BoolishValueParser::new())]
    pub push_disco: bool,
    /// Participants who are no moderators are shown neither names nor pictures of the others.
    #[arg(long, env = "TERANGA_HIDE_NAMES_FROM_GUESTS", value_parser = BoolishValueParser::new())]
    pub hide_names_from_guests: bool,
    /// What moderators may do whose token does not say it, instead of everything: recording, livestreaming, transcription,
    /// outbound-call, create-polls, send-groupchat, send-private-message, flip, live-translation,
    /// live-translation-subscribe; may be repeated.
    #[arg(long, env = "TERANGA_DEFAULT_PERMISSIONS", value_delimiter = ',', value_name = "FEATURE")]
    pub default_permission: Vec<String>,
    /// Chat messages in one room after which no more are taken; no limit when left out.
    #[arg(long, env = "TERANGA_MAX_MESSAGES", value_name = "NUMBER")]
    pub max_messages: Option<u32>,
    /// Joins of one room in a second, those beyond wait; no limit when left out.
    #[arg(long, env = "TERANGA_JOINS_PER_SECOND", value_name = "NUMBER")]
    pub joins_per_second: Option<NonZeroU32>,
    /// Departures from one room that are told in a second, those beyond wait; no limit when left out.
    #[arg(long, env = "TERANGA_LEAVES_PER_SECOND", value_name = "NUMBER")]
    pub leaves_per_second: Option<NonZeroU32>,
    /// Telephone calls that one user may have at one time; no limit when left out.
    #[arg(long, env = "TERANGA_MAX_OUTGOING_CALLS", value_name = "NUMBER")]
    pub max_outgoing_calls: Option<usize>,
    /// Clients that send more than 4 presences, 15 requests or 3 messages in a second lose those beyond, and are put out
    /// when they go on.
    #[arg(long, env = "TERANGA_LIMIT_STANZAS", value_parser = BoolishValueParser::new())]
    pub limit_stanzas: bool,
    /// Seconds that a meeting may take; as long as it likes when left out.
    #[arg(long, env = "TERANGA_LONGEST_MEETING", value_name = "SECONDS", value_parser = seconds)]
    pub longest_meeting: Option<Duration>,
    /// Seconds that a room goes on with nobody but recorders in it.
    #[arg(long, env = "TERANGA_ONLY_RECORDERS_FOR", default_value = "20", value_name = "SECONDS", value_parser = seconds)]
    pub only_recorders_for: Duration,
}

/// Who waits before he is let in.
#[derive(Clone, Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct LobbyFlags {
    /// Each room starts with a lobby. Without somebody who walks past it, nobody gets in.
    #[arg(long, env = "TERANGA_LOBBY_AUTOSTART", value_parser = BoolishValueParser::new())]
    pub lobby_autostart: bool,
    /// Whether who waits in a lobby has to give a name.
    #[arg(long, env = "TERANGA_LOBBY_REQUIRES_NAME", default_value_t = true, action = ArgAction::Set, value_parser = BoolishValueParser::new())]
    pub lobby_requires_name: bool,
    /// Who has a token or an account walks past lobbies.
    #[arg(long, env = "TERANGA_LOBBY_HOSTS_WALK_PAST", value_parser = BoolishValueParser::new())]
    pub lobby_hosts_walk_past: bool,
    /// Domain or user, user@domain, that walks past lobbies; may be repeated.
    #[arg(long, env = "TERANGA_LOBBY_WHITELIST", value_delimiter = ',', value_name = "DOMAIN_OR_USER")]
    pub lobby_whitelist: Vec<String>,
    /// Guests wait in a lobby until somebody comes who has a token or an account.
    #[arg(long, env = "TERANGA_WAIT_FOR_HOST", value_parser = BoolishValueParser::new())]
    pub wait_for_host: bool,
    /// Hosts do not own the rooms that guests wait for them in.
    #[arg(long, env = "WAIT_FOR_HOST_DISABLE_AUTO_OWNERS", value_parser = BoolishValueParser::new())]
    pub wait_for_host_disable_auto_owners: bool,
}

/// Who owns a room.
#[derive(Clone, Debug, clap::Args)]
pub struct OwnerFlags {
    /// Everybody owns the rooms that he joins.
    #[arg(long, env = "TERANGA_ALL_OWNERS", value_parser = BoolishValueParser::new())]
    pub all_owners: bool,
    /// Room without a tenant that --all-owners is not for: there it takes a token; may be repeated.
    #[arg(long, env = "TERANGA_MODERATED_ROOMS", value_delimiter = ',', value_name = "ROOM")]
    pub moderated_room: Vec<String>,
    /// Tenant whose rooms --all-owners is not for; may be repeated.
    #[arg(long, env = "TERANGA_MODERATED_TENANTS", value_delimiter = ',', value_name = "TENANT")]
    pub moderated_tenant: Vec<String>,
    /// Whether tokens say who owns a room.
    #[arg(long, env = "TERANGA_TOKEN_AFFILIATION", default_value_t = true, action = ArgAction::Set, value_parser = BoolishValueParser::new())]
    pub token_affiliation: bool,
    /// Owners who have neither a token nor an account can neither configure a room nor end it.
    #[arg(long, env = "TERANGA_GUESTS_CONFIGURE_NOTHING", value_parser = BoolishValueParser::new())]
    pub guests_configure_nothing: bool,
    /// Nobody comes in before an owner.
    #[arg(long, env = "TERANGA_OWNERS_COME_FIRST", value_parser = BoolishValueParser::new())]
    pub owners_come_first: bool,
    /// Seconds that a meeting goes on after its last owner left; as long as it likes when left out.
    #[arg(long, env = "TERANGA_WITHOUT_OWNER_FOR", value_name = "SECONDS", value_parser = seconds)]
    pub without_owner_for: Option<Duration>,
}

fn seconds(text: &str) -> Result<Duration, ParseIntError> {
    text.parse().map(|seconds: u32| Duration::from_secs(seconds.into()))
}

fn short_lived_tokens(text: &str) -> Result<ShortLivedTokens, String> {
    let (id, pem) = named_file(text)?;
    ShortLivedTokens::new("", id, &pem).ok_or_else(|| "is no private RSA key in PEM".to_owned())
}

impl RoomFlags {
    /// Puts what was said into settings whose addresses are set.
    ///
    /// # Errors
    /// [`InvalidOutsideFlags`].
    pub fn apply(&self, settings: &mut Settings) -> Result<(), InvalidOutsideFlags> {
        self.apply_to_hosts(settings)?;
        self.outside.apply(settings)?;
        if let (Some(tokens), Some(issuer)) = (&self.short_lived_token_key, &self.short_lived_token_issuer) {
            let mut tokens = tokens.clone();
            tokens.issuer.clone_from(issuer);
            settings.short_lived_tokens = Some(tokens);
        }
        settings.push_disco = self.push_disco;
        settings.limits.occupants = self.max_participants;
        settings.limits.stanzas = self.limit_stanzas.then_some(StanzaRates::STOCK);
        let rules = &mut settings.conference;
        rules.access_whitelist.clone_from(&self.access_whitelist);
        rules.password_whitelist.clone_from(&self.password_whitelist);
        rules.strict_nicks = self.strict_nicks;
        rules.hide_names_from_guests = self.hide_names_from_guests;
        if !self.default_permission.is_empty() {
            rules.default_permissions = self.default_permission.iter().map(|name| (name.clone(), true)).collect();
        }
        rules.messages = self.max_messages;
        rules.joins_per_second = self.joins_per_second;
        rules.leaves_per_second = self.leaves_per_second;
        rules.outgoing_calls = self.max_outgoing_calls;
        rules.translations = self.max_translations;
        rules.async_transcription = self.async_transcription;
        rules.longest = self.longest_meeting;
        rules.only_recorders_for = self.only_recorders_for;
        rules.lobby.autostart = self.lobby.lobby_autostart;
        rules.lobby.requires_name = self.lobby.lobby_requires_name;
        rules.lobby.hosts_walk_past = self.lobby.lobby_hosts_walk_past;
        rules.lobby.whitelist.clone_from(&self.lobby.lobby_whitelist);
        rules.wait_for_host = self.lobby.wait_for_host;
        rules.hosts_are_owners = !self.lobby.wait_for_host_disable_auto_owners;
        rules.all_owners = self.owners.all_owners.then(|| AllOwners {
            moderated_rooms: self.owners.moderated_room.clone(),
            moderated_tenants: self.owners.moderated_tenant.clone(),
        });
        rules.token_affiliation = self.owners.token_affiliation;
        rules.guests_configure_nothing = self.owners.guests_configure_nothing;
        rules.services_for_occupants = self.services_for_occupants;
        rules.owners_come_first = self.owners.owners_come_first;
        rules.without_owner_for = self.owners.without_owner_for;
        Ok(())
    }

    fn apply_to_hosts(&self, settings: &mut Settings) -> Result<(), InvalidJid> {
        let domain = settings.hosts.domain.domain().to_owned();
        let below =
            |label: &str, is_on: bool| is_on.then(|| Jid::new(None, &format!("{label}.{domain}"), None)).transpose();
        let hosts = &mut settings.hosts;
        hosts.lobby = hosts.lobby.take().filter(|_| self.enable_lobby);
        hosts.breakout = hosts.breakout.take().filter(|_| self.enable_breakout_rooms);
        let components = &mut hosts.components;
        components.av_moderation = components.av_moderation.take().filter(|_| self.enable_av_moderation);
        components.end_conference = components.end_conference.take().filter(|_| self.enable_end_conference);
        components.polls = components.polls.take().filter(|_| !self.disable_polls);
        components.file_sharing = below("filesharing", self.enable_file_sharing)?;
        components.audio_translation = below("audiotranslation", self.enable_audio_translation)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::ConferenceSettings;

    type Options = crate::flag_tests::Options<RoomFlags>;

    fn settings(words: &str) -> Settings {
        let options = Options::try_parse_from(words.split_whitespace()).unwrap();
        let mut settings = Settings::default();
        options.flags.apply(&mut settings).unwrap();
        settings
    }

    #[test]
    fn who_says_nothing_has_the_defaults() {
        let said = settings("x");
        assert_eq!(format!("{:?}", said.conference), format!("{:?}", ConferenceSettings::default()));
        assert_eq!(said.hosts, Settings::default().hosts);
        assert_eq!((said.limits.occupants, said.limits.stanzas), (None, None));
    }

    #[test]
    fn what_conferences_offer_can_be_switched_off_and_on() {
        let off =
            "x --enable-lobby false --enable-breakout-rooms 0 --enable-av-moderation no --enable-end-conference off";
        let hosts = settings(&format!("{off} --disable-polls")).hosts;
        assert_eq!((&hosts.lobby, &hosts.breakout), (&None, &None));
        let components = hosts.components;
        assert_eq!((components.av_moderation, components.end_conference, components.polls), (None, None, None));
        let on = settings("x --enable-file-sharing --enable-audio-translation").hosts.components;
        assert_eq!(on.file_sharing.unwrap().as_str(), "filesharing.meet.jitsi");
        assert_eq!(on.audio_translation.unwrap().as_str(), "audiotranslation.meet.jitsi");
    }

    #[test]
    fn tokens_for_the_store_of_files_want_a_key_and_an_issuer() {
        use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
        use aws_lc_rs::rsa::{KeyPair, KeySize};
        use base64::Engine as _;

        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let body = base64::engine::general_purpose::STANDARD.encode(der.as_ref());
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n")).unwrap();
        let flag = format!("--short-lived-token-key k={}", file.path().display());
        let tokens = settings(&format!("x {flag} --short-lived-token-issuer me")).short_lived_tokens.unwrap();
        assert_eq!((tokens.issuer.as_str(), tokens.key_id.as_str()), ("me", "k"));
        assert!(Options::try_parse_from(["x"].into_iter().chain(flag.split(' '))).is_err(), "no issuer");
        std::fs::write(&file, "nothing of the kind").unwrap();
        let words = format!("x {flag} --short-lived-token-issuer me");
        assert!(Options::try_parse_from(words.split(' ')).is_err(), "no key");
    }

    #[test]
    fn rules_are_those_that_were_said() {
        let rules = settings(
            "x --lobby-autostart --lobby-requires-name false --lobby-whitelist a.example,u@b.example --wait-for-host \
             --wait-for-host-disable-auto-owners --all-owners --moderated-room talk --moderated-tenant school \
             --token-affiliation false --owners-come-first --guests-configure-nothing --services-for-occupants \
             --lobby-hosts-walk-past --without-owner-for 30 --longest-meeting 3600 \
             --only-recorders-for 5 --default-permission recording,flip --max-messages 7 --joins-per-second 3 \
             --leaves-per-second 2 --max-outgoing-calls 1 --max-translations 4 --strict-nicks --hide-names-from-guests",
        )
        .conference;
        assert!(rules.lobby.autostart && !rules.lobby.requires_name && rules.lobby.hosts_walk_past);
        assert!(rules.guests_configure_nothing && rules.services_for_occupants);
        assert_eq!(rules.lobby.whitelist, ["a.example", "u@b.example"]);
        assert!(rules.wait_for_host && !rules.hosts_are_owners);
        let moderated = AllOwners { moderated_rooms: vec!["talk".into()], moderated_tenants: vec!["school".into()] };
        assert_eq!(rules.all_owners, Some(moderated));
        assert!(!rules.token_affiliation && rules.owners_come_first);
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!((rules.without_owner_for, rules.longest), (seconds(30), seconds(3600)));
        assert_eq!(Some(rules.only_recorders_for), seconds(5));
        let permissions: Vec<(&str, bool)> = rules.default_permissions.iter().collect();
        assert_eq!(permissions, [("flip", true), ("recording", true)]);
        assert_eq!((rules.messages, rules.outgoing_calls, rules.translations), (Some(7), Some(1), 4));
        assert_eq!((rules.joins_per_second, rules.leaves_per_second), (NonZeroU32::new(3), NonZeroU32::new(2)));
        assert!(rules.strict_nicks && rules.hide_names_from_guests);
    }

    #[test]
    fn limits_are_those_that_were_said() {
        let said = settings("x --max-participants 12 --limit-stanzas --push-disco");
        assert!(said.push_disco && !settings("x").push_disco);
        let limits = said.limits;
        assert_eq!((limits.occupants, limits.stanzas), (Some(12), Some(StanzaRates::STOCK)));
        for bad in ["--joins-per-second 0", "--longest-meeting -1", "--enable-lobby perhaps"] {
            assert!(Options::try_parse_from(["x"].into_iter().chain(bad.split(' '))).is_err(), "{bad}");
        }
    }
}
