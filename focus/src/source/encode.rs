//! Sources in Jingle (XML and JSON) and in Colibri2.

use std::collections::BTreeMap;

use jitsi_protocol::colibri2::MediaSource;
use jitsi_protocol::source_json::{CompactSources, OwnerSources};
use model::{EndpointId, MediaType, SourceName};
use xmpp::jingle::{Content, RtpDescription, RtpMedia, Source};

use super::{EndpointSource, EndpointSourceSet};

/// The sources that a client lists in the contents of a message. A client may send several contents of one medium.
pub(crate) fn of_contents(contents: &[Content]) -> EndpointSourceSet {
    let mut set = EndpointSourceSet::default();
    for description in contents.iter().filter_map(|content| content.description.as_ref()) {
        let Some(media_type) = description.media.media_type() else { continue };
        for source in &description.sources {
            // The owner is who sends the message.
            let source = Source { owner: None, ..source.clone() };
            set.sources.push(EndpointSource { media_type, source });
        }
        set.groups.extend(description.groups.iter().map(|group| (media_type, group.clone())));
    }
    set
}

/// Sources for clients that read JSON.
pub(crate) fn encode_json<'a>(sets: impl Iterator<Item = (&'a EndpointId, &'a EndpointSourceSet)>) -> CompactSources {
    let compact = |set: &EndpointSourceSet| {
        let mut compact = OwnerSources::default();
        for known in &set.sources {
            match known.media_type {
                MediaType::Audio => compact.audio.push(known.source.clone()),
                MediaType::Video => compact.video.push(known.source.clone()),
            }
        }
        for (media_type, group) in &set.groups {
            match media_type {
                MediaType::Audio => compact.audio_groups.push(group.clone()),
                MediaType::Video => compact.video_groups.push(group.clone()),
            }
        }
        compact
    };
    CompactSources(sets.map(|(owner, set)| (owner.clone(), compact(set))).collect())
}

/// Puts sources into the description of their medium, with their owner, adding contents that are missing.
pub(crate) fn encode_xml<'a>(
    sets: impl Iterator<Item = (&'a EndpointId, &'a EndpointSourceSet)>,
    contents: &mut Vec<Content>,
) {
    for (owner, set) in sets {
        for known in &set.sources {
            let source = Source { owner: Some(owner.as_str().to_owned()), ..known.source.clone() };
            description_of(known.media_type, contents).sources.push(source);
        }
        for (media_type, group) in &set.groups {
            description_of(*media_type, contents).groups.push(group.clone());
        }
    }
}

fn description_of(media_type: MediaType, contents: &mut Vec<Content>) -> &mut RtpDescription {
    let name = media_type.as_str();
    let at = contents.iter().position(|content| content.name == name).unwrap_or_else(|| {
        contents.push(Content::new(name));
        contents.len() - 1
    });
    contents[at].description.get_or_insert_with(|| RtpDescription::new(RtpMedia::Rtp(media_type)))
}

/// The sources of an endpoint as its bridge wants them: by name, groups with the source that they belong to. A source
/// without a name is the first of its kind.
pub(crate) fn media_sources(owner: &EndpointId, set: &EndpointSourceSet) -> Vec<MediaSource> {
    let mut by_name: BTreeMap<SourceName, MediaSource> = BTreeMap::new();
    for known in &set.sources {
        let Some(name) = name_of(owner, known) else { continue };
        let media_source = by_name.entry(name.clone()).or_insert_with(|| MediaSource {
            media_type: known.media_type,
            id: name.clone(),
            synthetic: false,
            sources: Vec::new(),
            groups: Vec::new(),
        });
        // Bridges have no use for the msid.
        media_source.sources.push(Source { msid: None, name: Some(name), ..known.source.clone() });
    }
    for (_, group) in &set.groups {
        let first = group.ssrcs.iter().find_map(|&ssrc| set.get(ssrc));
        if let Some(media_source) =
            first.and_then(|known| name_of(owner, known)).and_then(|name| by_name.get_mut(&name))
        {
            media_source.groups.push(group.clone());
        }
    }
    by_name.into_values().collect()
}

fn name_of(owner: &EndpointId, known: &EndpointSource) -> Option<SourceName> {
    known.source.name.clone().or_else(|| {
        let kind = match known.media_type {
            MediaType::Audio => "a0",
            MediaType::Video => "v0",
        };
        // Only an endpoint id of the greatest length leaves no room for the suffix.
        format!("{owner}-{kind}").parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use model::Ssrc;
    use xmpp::jingle::{GroupSemantics, SsrcGroup};

    use super::*;

    fn set() -> EndpointSourceSet {
        let source = |ssrc, name: Option<&str>| EndpointSource {
            media_type: MediaType::Video,
            source: Source {
                name: name.map(|name| name.parse().unwrap()),
                msid: Some("s t".to_owned()),
                ..Source::new(Ssrc(ssrc))
            },
        };
        let fid = SsrcGroup { semantics: GroupSemantics::Fid, ssrcs: vec![Ssrc(1), Ssrc(2)] };
        EndpointSourceSet {
            sources: vec![source(1, Some("a-v1")), source(2, Some("a-v1")), source(3, None)],
            groups: vec![(MediaType::Video, fid)],
        }
    }

    #[test]
    fn a_bridge_gets_sources_by_name() {
        let sources = media_sources(&"a".parse().unwrap(), &set());
        let names: Vec<_> =
            sources.iter().map(|media| (media.id.as_str(), media.sources.len(), media.groups.len())).collect();
        assert_eq!(names, [("a-v0", 1, 0), ("a-v1", 2, 1)]);
        assert!(sources.iter().flat_map(|media| &media.sources).all(|source| source.msid.is_none()));
    }

    #[test]
    fn clients_get_sources_with_their_owner() {
        let owner: EndpointId = "a".parse().unwrap();
        let mut contents = Vec::new();
        encode_xml(std::iter::once((&owner, &set())), &mut contents);
        let description = contents.first().unwrap().description.as_ref().unwrap();
        assert!(description.sources.iter().all(|source| source.owner.as_deref() == Some("a")));
        assert_eq!((description.sources.len(), description.groups.len()), (3, 1));
        let read = of_contents(&contents);
        assert_eq!(read, set());
        let compact = encode_json(std::iter::once((&owner, &set())));
        let lists = compact.0.values().next().unwrap();
        assert_eq!((lists.video.len(), lists.video_groups.len(), lists.audio.len()), (3, 1, 0));
    }
}
