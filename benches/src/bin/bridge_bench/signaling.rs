//! What a focus asks of the bridge for the participants of a room (Colibri2).

use jitsi_protocol::colibri2::{
    ConferenceModified, ConferenceModify, EndpointModify, GroupSemantics, HeaderExtension, Media, MediaSource,
    PayloadTypeDescription, RelayModify, RtcpFeedback, Sctp, Source, SsrcGroup, TransportRequest,
};
use model::{EndpointId, MediaType, PayloadType, SourceName, Ssrc};
use rtp::ExtensionKind;
use xmpp::jingle::IceTransport;

use crate::packets::{AUDIO_LEVEL_ID, OPUS, RTX, TWCC_ID, VP8, rtx_ssrc_of, ssrc_of};
use crate::traffic::{Kind, Members, Scenario};

/// Whether senders number their packets for transport-wide feedback, as browsers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TransportFeedback {
    On,
    Off,
}

fn endpoint_id(participant: usize) -> anyhow::Result<EndpointId> {
    Ok(format!("{participant:08x}").parse()?)
}

fn modify(room: usize, endpoint: EndpointModify) -> anyhow::Result<ConferenceModify> {
    Ok(ConferenceModify { endpoints: vec![endpoint], ..conference(room)? })
}

fn conference(room: usize) -> anyhow::Result<ConferenceModify> {
    Ok(ConferenceModify::new(format!("bench-{room}").parse()?))
}

/// The name of a participant that is another bridge.
pub(crate) fn relay_id(participant: usize) -> String {
    format!("relay-{participant}")
}

pub(crate) fn video_name(participant: usize) -> anyhow::Result<SourceName> {
    Ok(format!("{participant:08x}-v0").parse()?)
}

fn relay(participant: usize) -> RelayModify {
    RelayModify::new(relay_id(participant))
}

/// The first request of a join: an endpoint or a relay with a transport and a data channel.
pub(crate) fn create(
    scenario: &Scenario,
    room: usize,
    participant: usize,
    is_first: bool,
    feedback: TransportFeedback,
) -> anyhow::Result<ConferenceModify> {
    let transport = TransportRequest { ice_controlling: true, sctp: Some(Sctp::default()), ..Default::default() };
    let (media, transport) = (media(feedback), Some(transport));
    let request = match scenario.members {
        Members::Endpoints => {
            let capabilities = vec!["source-names".to_owned()];
            let id = endpoint_id(participant)?;
            modify(room, EndpointModify { create: true, capabilities, media, transport, ..EndpointModify::new(id) })?
        }
        Members::Relays => {
            let behind = EndpointModify {
                create: true,
                sources: Some(sources(scenario, participant)?),
                ..EndpointModify::new(endpoint_id(participant)?)
            };
            let (mesh_id, endpoints) = (Some(participant.to_string()), vec![behind]);
            let relay = RelayModify { create: true, mesh_id, media, transport, endpoints, ..relay(participant) };
            ConferenceModify { relays: vec![relay], ..conference(room)? }
        }
    };
    Ok(ConferenceModify { create: is_first, ..request })
}

/// The bridge's transport in the answer to it.
pub(crate) fn transport_of(answer: ConferenceModified) -> Option<IceTransport> {
    let relays = answer.relays.into_iter().map(|relay| relay.transport);
    let mut all = answer.endpoints.into_iter().map(|endpoint| endpoint.transport).chain(relays);
    all.next().flatten()?.ice
}

/// The second one: the participant's transport and sources.
pub(crate) fn update(
    scenario: &Scenario,
    room: usize,
    participant: usize,
    ice: IceTransport,
) -> anyhow::Result<ConferenceModify> {
    let transport = Some(TransportRequest { ice: Some(ice), ..Default::default() });
    match scenario.members {
        Members::Endpoints => {
            let (id, sources) = (endpoint_id(participant)?, Some(sources(scenario, participant)?));
            modify(room, EndpointModify { transport, sources, ..EndpointModify::new(id) })
        }
        Members::Relays => {
            let relay = RelayModify { transport, ..relay(participant) };
            Ok(ConferenceModify { relays: vec![relay], ..conference(room)? })
        }
    }
}

/// The participant leaves.
pub(crate) fn expire(room: usize, participant: usize) -> anyhow::Result<ConferenceModify> {
    modify(room, EndpointModify { expire: true, ..EndpointModify::new(endpoint_id(participant)?) })
}

fn sources(scenario: &Scenario, participant: usize) -> anyhow::Result<Vec<MediaSource>> {
    let mut sources = Vec::new();
    if scenario.sends_audio(participant) {
        sources.push(MediaSource {
            media_type: MediaType::Audio,
            id: format!("{participant:08x}-a0").parse()?,
            synthetic: false,
            sources: vec![Source::new(ssrc_of(participant, Kind::Audio))],
            groups: Vec::new(),
        });
    }
    if scenario.sends_video(participant) {
        let ssrcs: Vec<Ssrc> = vec![ssrc_of(participant, Kind::Video), rtx_ssrc_of(participant)];
        sources.push(MediaSource {
            media_type: MediaType::Video,
            id: video_name(participant)?,
            synthetic: false,
            sources: ssrcs.iter().copied().map(Source::new).collect(),
            groups: vec![SsrcGroup { semantics: GroupSemantics::Fid, ssrcs }],
        });
    }
    Ok(sources)
}

fn media(feedback: TransportFeedback) -> Vec<Media> {
    let payload_type = |id, name: &str, clock_rate, parameters: &[(&str, &str)]| PayloadTypeDescription {
        id: PayloadType::from_low_bits(id),
        name: name.to_owned(),
        clock_rate,
        channels: None,
        parameters: parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        feedback: match feedback {
            TransportFeedback::On => vec![RtcpFeedback { feedback_type: "transport-cc".to_owned(), subtype: None }],
            TransportFeedback::Off => Vec::new(),
        },
    };
    let extension = |id, kind: ExtensionKind| HeaderExtension { id, uri: kind.uri().to_owned() };
    let transport_cc = match feedback {
        TransportFeedback::On => vec![extension(TWCC_ID, ExtensionKind::TransportWideCc)],
        TransportFeedback::Off => Vec::new(),
    };
    vec![
        Media {
            media_type: MediaType::Audio,
            payload_types: vec![payload_type(OPUS, "opus", 48_000, &[])],
            header_extensions: [vec![extension(AUDIO_LEVEL_ID, ExtensionKind::AudioLevel)], transport_cc.clone()]
                .concat(),
            extmap_allow_mixed: true,
        },
        Media {
            media_type: MediaType::Video,
            payload_types: vec![
                payload_type(VP8, "VP8", 90_000, &[]),
                payload_type(RTX, "rtx", 90_000, &[("apt", &VP8.to_string())]),
            ],
            header_extensions: transport_cc,
            extmap_allow_mixed: true,
        },
    ]
}
