//! Sources of others, as the focus or the bridge tells them (client.md §7.3, §7.5, §7.11).

use jitsi_protocol::bridge_channel::{AudioSourcesMap, VideoSourcesMap};
use jitsi_protocol::source_json::{CompactSources, OwnerSources};
use model::{EndpointId, MediaType, SourceName, Ssrc, VideoType};
use xmpp::jingle::{Action, GroupSemantics, Jingle, Source, SsrcGroup};
use xmpp::ns;

use crate::load::measure::MediaKind;

/// Sources of a bridge itself, which nothing comes of.
const BRIDGE: &str = "jvb";

/// One source of another participant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteSource {
    /// Where its media comes.
    pub ssrc: Ssrc,
    /// Where its retransmissions come.
    pub rtx: Option<Ssrc>,
    /// What it is.
    pub kind: MediaKind,
    /// Its name.
    pub name: SourceName,
    /// Who sends it.
    pub owner: EndpointId,
}

/// Sources that come and go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceChange {
    /// New ones.
    pub added: Vec<RemoteSource>,
    /// Those that are gone.
    pub removed: Vec<Ssrc>,
}

impl SourceChange {
    /// What a `session-initiate`, `source-add` or `source-remove` says, in either form.
    #[must_use]
    pub fn of_jingle(jingle: &Jingle) -> Self {
        let mut change = Self::default();
        let is_removal = jingle.action == Action::SourceRemove;
        let mut take = |sources: &[Source], groups: &[SsrcGroup], media_type, owner: Option<&EndpointId>| {
            if is_removal {
                change.removed.extend(sources.iter().map(|source| source.ssrc));
            } else {
                change.added.extend(remote_sources(sources, groups, media_type, owner));
            }
        };
        for content in &jingle.contents {
            let Some(description) = &content.description else { continue };
            if let Some(media_type) = description.media.media_type() {
                take(&description.sources, &description.groups, media_type, None);
            }
        }
        let compact = jingle
            .extension("json-message", ns::JITMEET)
            .and_then(|message| CompactSources::from_json(&message.text()).ok())
            .unwrap_or_default();
        for (owner, OwnerSources { video, video_groups, audio, audio_groups }) in &compact.0 {
            take(video, video_groups, MediaType::Video, Some(owner));
            take(audio, audio_groups, MediaType::Audio, Some(owner));
        }
        change
    }

    /// What a bridge that rewrites SSRCs says of audio.
    #[must_use]
    pub fn of_audio_map(map: &AudioSourcesMap) -> Self {
        let mut change = Self::default();
        for mapping in &map.mapped_sources {
            let (ssrc, name) = (mapping.ssrc, mapping.source.clone());
            match mapping.owner.clone() {
                Some(owner) => change.added.push(RemoteSource { ssrc, rtx: None, kind: MediaKind::Audio, name, owner }),
                None => change.removed.push(ssrc),
            }
        }
        change
    }

    /// What a bridge that rewrites SSRCs says of video.
    #[must_use]
    pub fn of_video_map(map: &VideoSourcesMap) -> Self {
        let mut change = Self::default();
        for mapping in &map.mapped_sources {
            let kind = kind_of_video(Some(mapping.video_type), &mapping.source);
            let (ssrc, rtx, name) = (mapping.ssrc, mapping.rtx, mapping.source.clone());
            match mapping.owner.clone() {
                Some(owner) => change.added.push(RemoteSource { ssrc, rtx, kind, name, owner }),
                None => change.removed.push(ssrc),
            }
        }
        change
    }
}

/// Primary SSRCs with their retransmissions; what a bridge sends for itself is left out.
fn remote_sources(
    sources: &[Source],
    groups: &[SsrcGroup],
    media_type: MediaType,
    owner: Option<&EndpointId>,
) -> Vec<RemoteSource> {
    let pairs =
        || groups.iter().filter(|group| group.semantics == GroupSemantics::Fid).map(|group| group.ssrcs.as_slice());
    let is_rtx = |ssrc| pairs().any(|pair| pair.get(1) == Some(&ssrc));
    let rtx_of = |ssrc| pairs().find(|pair| pair.first() == Some(&ssrc)).and_then(|pair| pair.get(1).copied());
    sources
        .iter()
        .filter(|source| !is_rtx(source.ssrc))
        .filter_map(|source| {
            let name = source.name.clone()?;
            let owner = owner.cloned().or_else(|| owner_of(source))?;
            let kind = match media_type {
                MediaType::Audio => MediaKind::Audio,
                MediaType::Video => kind_of_video(source.video_type, &name),
            };
            let is_of_bridge = owner.as_str() == BRIDGE || name.as_str().starts_with(BRIDGE);
            (!is_of_bridge).then_some(RemoteSource { ssrc: source.ssrc, rtx: rtx_of(source.ssrc), kind, name, owner })
        })
        .collect()
}

/// The owner is told as endpoint or as occupant (client.md §7.3).
fn owner_of(source: &Source) -> Option<EndpointId> {
    let owner = source.owner.as_deref()?;
    owner.rsplit('/').next().unwrap_or(owner).parse().ok()
}

/// A second video source is a screen also where nobody says so (client.md §5.3).
pub(super) fn kind_of_video(video_type: Option<VideoType>, name: &SourceName) -> MediaKind {
    match video_type {
        Some(VideoType::Desktop | VideoType::DesktopHighFps) => MediaKind::Screen,
        Some(VideoType::Camera | VideoType::Disabled | VideoType::None) | None if name.as_str().ends_with("-v1") => {
            MediaKind::Screen
        }
        Some(VideoType::Camera | VideoType::Disabled | VideoType::None) | None => MediaKind::Camera,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jingle(action: &str, children: &str) -> Jingle {
        let text = format!("<jingle xmlns='urn:xmpp:jingle:1' action='{action}' sid='s'>{children}</jingle>");
        Jingle::from_element(&text.parse().unwrap()).unwrap()
    }

    fn remote(ssrc: u32, rtx: Option<u32>, kind: MediaKind, name: &str) -> RemoteSource {
        let owner = name.split('-').next().unwrap().parse().unwrap();
        RemoteSource { ssrc: Ssrc(ssrc), rtx: rtx.map(Ssrc), kind, name: name.parse().unwrap(), owner }
    }

    const JSON: &str = r#"{"sources":{"jvb":[[{"s":"1","n":"jvb-v0","m":"m t"}],[],[{"s":"2","n":"jvb-a0","m":"m t"}]],"ef567890":[[{"s":"11","n":"ef567890-v0","m":"a b"},{"s":"12","n":"ef567890-v0","m":"a b"},{"s":"13","n":"ef567890-v1","m":"c d","v":"d"}],[["f","11","12"]],[{"s":"14","n":"ef567890-a0","m":"e f"}]]}}"#;

    #[test]
    fn both_forms_say_the_same() {
        let json =
            jingle("source-add", &format!("<json-message xmlns='http://jitsi.org/jitmeet'>{JSON}</json-message>"));
        let source = |ssrc: u32, name: &str, video_type: &str| {
            format!(
                "<source xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' ssrc='{ssrc}' name='{name}' {video_type}><ssrc-info \
                 xmlns='http://jitsi.org/jitmeet' owner='room@muc.example/ef567890'/></source>"
            )
        };
        let xml = jingle(
            "source-add",
            &format!(
                "<content name='video' creator='initiator'><description xmlns='urn:xmpp:jingle:apps:rtp:1' \
                 media='video'>{}{}{}<ssrc-group xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' semantics='FID'><source \
                 ssrc='11'/><source ssrc='12'/></ssrc-group></description></content><content name='audio' \
                 creator='initiator'><description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'>{}</description></content>",
                source(11, "ef567890-v0", ""),
                source(12, "ef567890-v0", ""),
                source(13, "ef567890-v1", "videoType='desktop'"),
                source(14, "ef567890-a0", ""),
            ),
        );
        let expected = vec![
            remote(11, Some(12), MediaKind::Camera, "ef567890-v0"),
            remote(13, None, MediaKind::Screen, "ef567890-v1"),
            remote(14, None, MediaKind::Audio, "ef567890-a0"),
        ];
        assert_eq!(SourceChange::of_jingle(&json), SourceChange { added: expected.clone(), removed: Vec::new() });
        assert_eq!(SourceChange::of_jingle(&xml), SourceChange { added: expected, removed: Vec::new() });
    }

    #[test]
    fn a_removal_names_all_ssrcs() {
        let removal =
            jingle("source-remove", &format!("<json-message xmlns='http://jitsi.org/jitmeet'>{JSON}</json-message>"));
        let removed = SourceChange::of_jingle(&removal).removed;
        assert!([11, 12, 13, 14].into_iter().all(|ssrc| removed.contains(&Ssrc(ssrc))), "{removed:?}");
    }

    #[test]
    fn maps_of_rewritten_ssrcs_bring_and_take_sources() {
        let text = r#"{"mappedSources":[{"source":"e-v0","owner":"e","ssrc":7,"rtx":8,"videoType":"CAMERA"},{"source":"f-v0","owner":null,"ssrc":9,"rtx":"-1","videoType":"CAMERA"}]}"#;
        let change = SourceChange::of_video_map(&serde_json::from_str(text).unwrap());
        assert_eq!(change.added, [remote(7, Some(8), MediaKind::Camera, "e-v0")]);
        assert_eq!(change.removed, [Ssrc(9)]);
        let text = r#"{"mappedSources":[{"source":"e-a0","owner":"e","ssrc":17}]}"#;
        let change = SourceChange::of_audio_map(&serde_json::from_str(text).unwrap());
        assert_eq!(change.added, [remote(17, None, MediaKind::Audio, "e-a0")]);
    }
}
