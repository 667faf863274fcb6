//! The answer to an offer: `session-accept` with our side of the transport and our sources (client.md §7.4).

use model::{EndpointId, MediaType, SourceName, Ssrc, VideoType};
use rand::Rng;
use xmpp::jingle::{
    Action, Content, Creator, GroupSemantics, IceTransport, Jingle, RtpDescription, RtpMedia, Source, SsrcGroup,
};

use super::Offer;
use crate::load::measure::MediaKind;

/// The smallest SSRC of ten digits: the stock client takes one for another whose digits it contains (client.md §10.1 item 34).
const FIRST_SSRC: u32 = 1_000_000_000;

/// A source of ours, as it is announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalSource {
    /// What it is.
    pub kind: MediaKind,
    /// Its name.
    pub name: SourceName,
    /// SSRCs of its encodings, the smallest picture first.
    pub ssrcs: Vec<Ssrc>,
    /// SSRCs of their retransmissions; none for audio.
    pub rtx: Vec<Ssrc>,
    /// Its m-line, where there are such.
    pub mid: String,
    /// Names of the encodings (RFC 8852), for servers that know them by these instead of by their SSRCs.
    pub rids: &'static [&'static str],
}

impl LocalSource {
    /// A source with random SSRCs.
    ///
    /// # Errors
    /// An endpoint whose name is too long for that of a source.
    pub fn new(
        kind: MediaKind,
        endpoint: &EndpointId,
        encodings: usize,
        random: &mut impl Rng,
    ) -> Result<Self, model::InvalidId> {
        let suffix = match kind {
            MediaKind::Audio => "a0",
            MediaKind::Camera => "v0",
            MediaKind::Screen => "v1",
        };
        let name = format!("{endpoint}-{suffix}").parse()?;
        let mut ssrcs =
            |count| (0..count).map(|_| Ssrc(random.random_range(FIRST_SSRC..=u32::MAX))).collect::<Vec<_>>();
        let rtx = if kind == MediaKind::Audio { Vec::new() } else { ssrcs(encodings) };
        Ok(Self { kind, name, ssrcs: ssrcs(encodings), rtx, mid: String::new(), rids: &[] })
    }

    fn media_type(&self) -> MediaType {
        match self.kind {
            MediaKind::Audio => MediaType::Audio,
            MediaKind::Camera | MediaKind::Screen => MediaType::Video,
        }
    }

    pub(super) fn describe(&self, description: &mut RtpDescription) {
        let msid = format!("{0}-stream {0}-track", self.name);
        let video_type = match self.kind {
            MediaKind::Audio => None,
            MediaKind::Camera => Some(VideoType::Camera),
            MediaKind::Screen => Some(VideoType::Desktop),
        };
        description.sources.extend(self.ssrcs.iter().chain(&self.rtx).map(|ssrc| Source {
            name: Some(self.name.clone()),
            msid: Some(msid.clone()),
            video_type,
            ..Source::new(*ssrc)
        }));
        if self.ssrcs.len() > 1 {
            description.groups.push(SsrcGroup { semantics: GroupSemantics::Sim, ssrcs: self.ssrcs.clone() });
        }
        let pairs = self.ssrcs.iter().zip(&self.rtx);
        description
            .groups
            .extend(pairs.map(|(media, rtx)| SsrcGroup { semantics: GroupSemantics::Fid, ssrcs: vec![*media, *rtx] }));
    }
}

/// Takes all that is offered, and tells our transport and sources.
pub(super) fn answer(offer: &Offer, transport: &IceTransport, sources: &[LocalSource]) -> Jingle {
    let mut accept = Jingle::new(Action::SessionAccept, offer.jingle.sid.clone());
    accept.initiator.clone_from(&offer.jingle.initiator);
    accept.bundle.clone_from(&offer.jingle.bundle);
    for offered in &offer.jingle.contents {
        let description = offered.description.as_ref().map(|offered| {
            let mut description = RtpDescription { sources: Vec::new(), groups: Vec::new(), ..offered.clone() };
            let media = description.media;
            for source in sources.iter().filter(|source| media == RtpMedia::Rtp(source.media_type())) {
                source.describe(&mut description);
            }
            description
        });
        let sctp_map = offered.transport.as_ref().and_then(|transport| transport.sctp_map.clone());
        accept.contents.push(Content {
            creator: Creator::Responder,
            senders: offered.senders,
            description,
            transport: Some(IceTransport { sctp_map, ..transport.clone() }),
            ..Content::new(offered.name.clone())
        });
    }
    accept
}

#[cfg(test)]
mod tests {
    use super::super::offer::tests::offer;
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    #[test]
    fn the_answer_has_our_sources_in_groups_and_one_transport() {
        let mut random = SmallRng::seed_from_u64(1);
        let endpoint: EndpointId = "abcd1234".parse().unwrap();
        let camera = LocalSource::new(MediaKind::Camera, &endpoint, 3, &mut random).unwrap();
        let microphone = LocalSource::new(MediaKind::Audio, &endpoint, 1, &mut random).unwrap();
        let offer = Offer::read(offer()).unwrap();
        let transport = IceTransport { ufrag: Some("ours".to_owned()), ..IceTransport::default() };
        let answer = answer(&offer, &transport, &[microphone, camera.clone()]);
        let answer = Jingle::from_element(&answer.to_element()).unwrap();
        assert_eq!((answer.action, answer.sid.as_str()), (Action::SessionAccept, "8p2k1sid"));
        assert_eq!(answer.bundle, ["audio", "video", "data"]);
        let [audio, video, data] = answer.contents.as_slice() else { panic!("three contents") };
        assert!(
            answer.contents.iter().all(|content| content.transport.as_ref().unwrap().ufrag.as_deref() == Some("ours"))
        );
        assert!(data.description.is_none() && data.transport.as_ref().unwrap().sctp_map.is_some());
        assert_eq!(audio.description.as_ref().unwrap().sources.len(), 1);
        let video = video.description.as_ref().unwrap();
        assert_eq!(video.sources.len(), 6);
        assert!(video.sources.iter().all(|source| source.name.as_ref().unwrap().as_str() == "abcd1234-v0"));
        assert_eq!(video.groups.len(), 4);
        assert_eq!(video.groups[0], SsrcGroup { semantics: GroupSemantics::Sim, ssrcs: camera.ssrcs });
    }
}
