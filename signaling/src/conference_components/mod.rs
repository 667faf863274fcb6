//! What conferences offer besides media and chat, each at an address of its own (signaling.md §6, client.md §6).
//!
//! Here: the addresses, the words by which clients find them, and one module a component: what it keeps of a room, what
//! a command does to it, who is told. Not here: which room a command is about (`conference/commands.rs`), lobbies and
//! breakout rooms, which are rooms of their own (`conference`).

pub(crate) mod audio_translation;
pub(crate) mod av_moderation;
pub(crate) mod breakout_rooms;
pub(crate) mod calls;
pub(crate) mod file_sharing;
pub(crate) mod json;
pub(crate) mod metadata;
pub(crate) mod polls;
pub(crate) mod speaker_stats;
pub(crate) mod visitors;

use serde_json::Value;
use xmpp::{Condition, InvalidJid, Jid, StanzaError};

use crate::Hosts;
use crate::context::Context;
use crate::muc::{Happening, Room};

/// Addresses of the components; `None` switches one off, and clients do not show what it offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ComponentHosts {
    /// Who spoke for how long.
    pub speaker_stats: Option<Jid>,
    /// Named to clients, who read the time of a meeting's start from its room.
    pub conference_duration: Option<Jid>,
    /// The end of a meeting for all.
    pub end_conference: Option<Jid>,
    /// Who may unmute himself.
    pub av_moderation: Option<Jid>,
    /// What all in a room agree on.
    pub metadata: Option<Jid>,
    /// Polls.
    pub polls: Option<Jid>,
    /// Files that were shared in a meeting; they are kept elsewhere.
    pub file_sharing: Option<Jid>,
    /// Who wants to hear whom in which language.
    pub audio_translation: Option<Jid>,
    /// The queue of those who want a recorder; it is kept elsewhere.
    pub jibri_queue: Option<Jid>,
}

/// A component that takes commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ComponentKind {
    SpeakerStats,
    EndConference,
    AvModeration,
    Metadata,
    Polls,
    FileSharing,
    AudioTranslation,
    JibriQueue,
    Visitors,
}

/// What the components keep of a room.
#[derive(Debug, Default)]
pub(crate) struct RoomState {
    pub(crate) metadata: metadata::Metadata,
    pub(crate) av_moderation: av_moderation::AvModeration,
    pub(crate) polls: polls::Polls,
    pub(crate) speaker_stats: speaker_stats::SpeakerStats,
    pub(crate) files: file_sharing::SharedFiles,
    pub(crate) translations: audio_translation::Translations,
    pub(crate) breakouts: breakout_rooms::Breakouts,
    pub(crate) calls: calls::Calls,
    pub(crate) passcodes: crate::api::Passcodes,
    pub(crate) visitors: visitors::Visitors,
}

impl ComponentHosts {
    /// The usual addresses below a domain. What needs services outside is off.
    pub(crate) fn of(domain: &str) -> Result<Self, InvalidJid> {
        let below = |label: &str| Jid::new(None, &format!("{label}.{domain}"), None).map(Some);
        Ok(Self {
            speaker_stats: below("speakerstats")?,
            conference_duration: below("conferenceduration")?,
            end_conference: below("endconference")?,
            av_moderation: below("avmoderation")?,
            metadata: below("metadata")?,
            polls: below("polls")?,
            file_sharing: None,
            audio_translation: None,
            jibri_queue: None,
        })
    }

    /// The components that take commands.
    fn commanded(&self) -> [(&Option<Jid>, ComponentKind); 8] {
        [
            (&self.speaker_stats, ComponentKind::SpeakerStats),
            (&self.end_conference, ComponentKind::EndConference),
            (&self.av_moderation, ComponentKind::AvModeration),
            (&self.metadata, ComponentKind::Metadata),
            (&self.polls, ComponentKind::Polls),
            (&self.file_sharing, ComponentKind::FileSharing),
            (&self.audio_translation, ComponentKind::AudioTranslation),
            (&self.jibri_queue, ComponentKind::JibriQueue),
        ]
    }

    /// The component at a domain.
    pub(crate) fn kind_of(&self, domain: &str) -> Option<ComponentKind> {
        let is_there = |host: &Option<Jid>| host.as_ref().is_some_and(|host| host.domain() == domain);
        self.commanded().into_iter().find(|(host, _)| is_there(host)).map(|(_, kind)| kind)
    }

    /// The address of a component.
    pub(crate) fn host_of(&self, component: ComponentKind) -> Option<&Jid> {
        self.commanded().into_iter().find(|(_, kind)| *kind == component)?.0.as_ref()
    }
}

/// The components of a deployment as a client looks for them in the discovery of its domain: type and address
/// (client.md §2.4).
pub(crate) fn identities<'a>(hosts: &'a Hosts, domain: &Jid) -> impl Iterator<Item = (&'static str, &'a Jid)> {
    let node = hosts.node_of(domain);
    let components = node.map_or(&hosts.components, |node| &node.components);
    // Of a visitor node everything is said by its components.
    let of_conferences = |host: &'a Option<Jid>| if node.is_some() { &None } else { host };
    let visitors = hosts.visitors_component().filter(|_| node.is_none());
    let all = [
        ("speakerstats", &components.speaker_stats),
        ("conference_duration", &components.conference_duration),
        ("lobbyrooms", of_conferences(&hosts.lobby)),
        ("breakout_rooms", of_conferences(&hosts.breakout)),
        ("end_conference", &components.end_conference),
        ("av_moderation", &components.av_moderation),
        ("room_metadata", &components.metadata),
        ("polls", &components.polls),
        ("file-sharing", &components.file_sharing),
        ("audio-translation", &components.audio_translation),
        ("jibri_queue", &components.jibri_queue),
    ];
    let all = all.into_iter().filter_map(|(kind, host)| Some((kind, host.as_ref()?)));
    all.chain(visitors.map(|component| ("visitors", component)))
}

/// What a component told all in a conference its visitors hear, too.
fn tell_visitors(context: &mut Context<'_>, room: &Room, component: ComponentKind, news: &Value) {
    if room.state.visitors.is_active() {
        room.emit(context, Happening::Told { component, news: news.clone() });
    }
}

/// What stock answers to a command that it does not take, whoever sent it.
pub(crate) fn unhandled() -> StanzaError {
    StanzaError::new(Condition::ServiceUnavailable)
}
