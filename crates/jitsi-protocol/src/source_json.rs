//! Source lists in compact JSON, inside `json-message`, for clients with the feature `json-encoded-sources`.
//!
//! `{"sources":{"<owner>":[[video sources],[video groups],[audio sources],[audio groups]]}}`

use std::collections::BTreeMap;

use model::{EndpointId, SourceName, Ssrc, VideoType};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use xmpp::jingle::{GroupSemantics, Source, SsrcGroup};
use xmpp::{Element, ns};

/// Feature of clients that read this form.
pub const FEATURE: &str = "http://jitsi.org/json-encoded-sources";

/// Sources by the endpoint that sends them; `jvb` for those of a bridge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompactSources(pub BTreeMap<EndpointId, OwnerSources>);

/// The sources of one endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnerSources {
    /// Video sources, retransmissions among them.
    pub video: Vec<Source>,
    /// Groups of video sources.
    pub video_groups: Vec<SsrcGroup>,
    /// Audio sources.
    pub audio: Vec<Source>,
    /// Groups of audio sources.
    pub audio_groups: Vec<SsrcGroup>,
}

/// A text that is no source list.
#[derive(Debug, thiserror::Error)]
#[error("invalid compact source list")]
pub struct InvalidCompactSources(#[source] serde_json::Error);

impl CompactSources {
    /// The JSON text.
    #[must_use]
    pub fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct Message<'a> {
            sources: BTreeMap<&'a str, &'a OwnerSources>,
        }
        let sources = self.0.iter().map(|(owner, sources)| (owner.as_str(), sources)).collect();
        // Maps have text keys and no writer fails: there is no case left in which serialization can.
        serde_json::to_string(&Message { sources }).unwrap_or_default()
    }

    /// The `json-message` element.
    #[must_use]
    pub fn to_element(&self) -> Element {
        Element::new("json-message", ns::JITMEET).with_text(self.to_json())
    }

    /// Reads the JSON text. Owners and entries that cannot be are left out.
    ///
    /// # Errors
    /// [`InvalidCompactSources`] when the text has another shape.
    pub fn from_json(text: &str) -> Result<Self, InvalidCompactSources> {
        #[derive(Deserialize)]
        struct Message {
            sources: BTreeMap<String, Vec<Vec<Value>>>,
        }
        let message: Message = serde_json::from_str(text).map_err(InvalidCompactSources)?;
        let read = |lists: Vec<Vec<Value>>| {
            let list = |at: usize| lists.get(at).map(Vec::as_slice).unwrap_or_default();
            OwnerSources {
                video: list(0).iter().filter_map(source).collect(),
                video_groups: list(1).iter().filter_map(group).collect(),
                audio: list(2).iter().filter_map(source).collect(),
                audio_groups: list(3).iter().filter_map(group).collect(),
            }
        };
        Ok(Self(
            message.sources.into_iter().filter_map(|(owner, lists)| Some((owner.parse().ok()?, read(lists)))).collect(),
        ))
    }
}

impl Serialize for OwnerSources {
    /// Four lists, of which trailing empty ones are left out.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let used = match self {
            _ if !self.audio_groups.is_empty() => 4,
            _ if !self.audio.is_empty() => 3,
            _ if !self.video_groups.is_empty() => 2,
            _ => 1,
        };
        let mut lists = serializer.serialize_seq(Some(used))?;
        lists.serialize_element(&self.video.iter().map(CompactSource::from).collect::<Vec<_>>())?;
        if used > 1 {
            lists.serialize_element(&self.video_groups.iter().map(compact_group).collect::<Vec<_>>())?;
        }
        if used > 2 {
            lists.serialize_element(&self.audio.iter().map(CompactSource::from).collect::<Vec<_>>())?;
        }
        if used > 3 {
            lists.serialize_element(&self.audio_groups.iter().map(compact_group).collect::<Vec<_>>())?;
        }
        lists.end()
    }
}

#[derive(Serialize)]
struct CompactSource<'a> {
    s: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    m: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    v: Option<&'static str>,
}

impl<'a> From<&'a Source> for CompactSource<'a> {
    fn from(source: &'a Source) -> Self {
        Self {
            s: source.ssrc.0,
            n: source.name.as_ref().map(SourceName::as_str),
            m: source.msid.as_deref(),
            v: (source.video_type == Some(VideoType::Desktop)).then_some("d"),
        }
    }
}

fn compact_group(group: &SsrcGroup) -> Vec<Value> {
    let tag = match group.semantics {
        GroupSemantics::Fid => "f",
        GroupSemantics::Sim => "s",
        GroupSemantics::FecFr => "FEC-FR",
    };
    std::iter::once(Value::from(tag)).chain(group.ssrcs.iter().map(|ssrc| Value::from(ssrc.0))).collect()
}

/// SSRCs are numbers or text.
fn ssrc(value: &Value) -> Option<Ssrc> {
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
    u32::try_from(number).ok().map(Ssrc)
}

fn source(value: &Value) -> Option<Source> {
    let text = |key| value.get(key).and_then(Value::as_str);
    let mut source = Source::new(ssrc(value.get("s")?)?);
    source.name = text("n").and_then(|name| name.parse().ok());
    source.msid = text("m").map(str::to_owned);
    source.video_type = (text("v") == Some("d")).then_some(VideoType::Desktop);
    Some(source)
}

fn group(value: &Value) -> Option<SsrcGroup> {
    let (tag, ssrcs) = value.as_array()?.split_first()?;
    let semantics = match tag.as_str()? {
        "f" => GroupSemantics::Fid,
        "s" => GroupSemantics::Sim,
        other => other.parse().ok()?,
    };
    Some(SsrcGroup { semantics, ssrcs: ssrcs.iter().filter_map(ssrc).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_the_lists_in_their_places() {
        let mut desktop = Source::new(Ssrc(3333333333));
        desktop.name = Some("ef567890-v1".parse().unwrap());
        desktop.msid = Some("ef567890-video-1-1 tr2".to_owned());
        desktop.video_type = Some(VideoType::Desktop);
        let fid = SsrcGroup { semantics: GroupSemantics::Fid, ssrcs: vec![Ssrc(3333333333), Ssrc(3333333334)] };
        let video = OwnerSources { video: vec![desktop], video_groups: vec![fid], ..OwnerSources::default() };
        let audio = OwnerSources { audio: vec![Source::new(Ssrc(5))], ..OwnerSources::default() };
        let sources =
            CompactSources(BTreeMap::from([("ef567890".parse().unwrap(), video), ("jvb".parse().unwrap(), audio)]));
        let text = r#"{"sources":{"ef567890":[[{"s":3333333333,"n":"ef567890-v1","m":"ef567890-video-1-1 tr2","v":"d"}],[["f",3333333333,3333333334]]],"jvb":[[],[],[{"s":5}]]}}"#;
        assert_eq!(sources.to_json(), text);
        assert_eq!(CompactSources::from_json(text).unwrap(), sources);
    }

    #[test]
    fn reads_ssrcs_as_text_and_leaves_out_what_cannot_be() {
        let text = r#"{"sources":{"a b":[[{"s":1}]],"a":[[{"s":"7"},{"s":-1},{}],[["f","7","8"],["x",1],[]]]}}"#;
        let sources = CompactSources::from_json(text).unwrap();
        let read = sources.0.values().next().unwrap();
        assert_eq!((sources.0.len(), read.video.len(), read.video_groups.len()), (1, 1, 1));
        assert!(CompactSources::from_json("{}").is_err());
    }
}
