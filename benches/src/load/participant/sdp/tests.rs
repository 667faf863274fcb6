use model::EndpointId;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use xmpp::jingle::{DtlsSetup, Fingerprint};

use super::*;
use crate::load::participant::Negotiated;

/// As Janus 1.1.2 offers to a subscriber, made shorter.
pub(in crate::load::participant) const JANUS_OFFER: &str = "v=0\r\no=- 1764446143 1 IN IP4 10.0.0.1\r\ns=VideoRoom 7\r\nt=0 0\r\na=group:BUNDLE 0 1 2\r\n\
a=ice-options:trickle\r\na=fingerprint:sha-256 4A:AD:B9\r\na=extmap-allow-mixed\r\na=msid-semantic: WMS *\r\n\
m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 10.0.0.1\r\na=sendonly\r\na=mid:0\r\na=rtcp-mux\r\na=ice-ufrag:hJ8k\r\n\
a=ice-pwd:8q1tu13ptlr3ndk6mpqsvh\r\na=ice-options:trickle\r\na=setup:actpass\r\na=rtpmap:111 opus/48000/2\r\n\
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\na=fmtp:111 minptime=10;useinbandfec=1\r\na=msid:janus janus0\r\n\
a=ssrc:2724853812 cname:janus\r\na=candidate:1 1 udp 2015363327 10.0.0.1 34567 typ host\r\na=end-of-candidates\r\n\
m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\nc=IN IP4 10.0.0.1\r\na=sendonly\r\na=mid:1\r\na=ice-ufrag:hJ8k\r\na=setup:actpass\r\n\
a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 ccm fir\r\na=rtcp-fb:96 nack\r\na=rtcp-fb:96 nack pli\r\n\
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n\
a=ssrc-group:FID 3007311437 3416418843\r\na=ssrc:3007311437 cname:janus\r\na=ssrc:3416418843 cname:janus\r\n\
a=candidate:1 1 udp 2015363327 10.0.0.1 34567 typ host\r\n\
m=video 0 UDP/TLS/RTP/SAVPF 0\r\nc=IN IP4 10.0.0.1\r\na=inactive\r\na=mid:2\r\n";

fn transport() -> IceTransport {
    IceTransport {
        ufrag: Some("ours".to_owned()),
        pwd: Some("secret".to_owned()),
        rtcp_mux: true,
        fingerprints: vec![Fingerprint {
            hash: "sha-256".to_owned(),
            value: "AA:BB".to_owned(),
            setup: Some(DtlsSetup::ActPass),
        }],
        candidates: vec![parse_candidate("candidate:1 1 UDP 2130706431 10.0.0.9 5000 typ host").unwrap()],
        ..IceTransport::default()
    }
}

#[test]
fn an_offer_of_a_server_is_read() {
    let offer: SessionDescription = JANUS_OFFER.parse().unwrap();
    let IceTransport { ufrag, pwd, fingerprints, candidates, .. } = &offer.transport;
    assert_eq!((ufrag.as_deref(), pwd.as_deref()), (Some("hJ8k"), Some("8q1tu13ptlr3ndk6mpqsvh")));
    assert_eq!((fingerprints.len(), fingerprints[0].setup), (1, Some(DtlsSetup::ActPass)));
    assert_eq!((candidates.len(), candidates[0].ip.as_str(), candidates[0].port), (1, "10.0.0.1", 34567));
    let sending: Vec<_> = offer.sending().map(|section| (section.mid.as_str(), section.stream())).collect();
    let (audio, video) = ((Ssrc(2_724_853_812), None), (Ssrc(3_007_311_437), Some(Ssrc(3_416_418_843))));
    assert_eq!(sending, [("0", Some(audio)), ("1", Some(video))]);
    let negotiated = Negotiated::of(offer.descriptions());
    assert_eq!(negotiated.opus.map(PayloadType::get), Some(111));
    let number = PayloadType::from_low_bits;
    assert_eq!(negotiated.video[&VideoCodec::Vp8], (number(96), Some(number(97))));
    assert_eq!(negotiated.video_extensions.id(ExtensionKind::Mid).map(rtp::ExtensionId::get), Some(4));
}

#[test]
fn all_that_is_sent_is_taken_in_known_codecs() {
    let text = JANUS_OFFER
        .replace("SAVPF 111", "SAVPF 63 111")
        .replace("a=rtpmap:111", "a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\na=rtpmap:111");
    let answer = text.parse::<SessionDescription>().unwrap().answer(transport());
    let directions: Vec<_> = answer.sections.iter().map(|section| (section.direction, section.is_rejected)).collect();
    let taken = (Direction::RecvOnly, false);
    assert_eq!(directions, [taken, taken, (Direction::Inactive, true)]);
    let codecs =
        |section: &Section| section.description.payload_types.iter().map(|codec| codec.id.get()).collect::<Vec<_>>();
    assert_eq!(answer.sections.iter().map(codecs).collect::<Vec<_>>(), [vec![111], vec![96, 97], vec![]]);
    assert!(answer.sections.iter().all(|section| section.description.sources.is_empty()));
}

#[test]
fn what_is_offered_comes_back_from_its_text() {
    let mut random = SmallRng::seed_from_u64(1);
    let endpoint: EndpointId = "abcd1234".parse().unwrap();
    let mut source = |kind, encodings| LocalSource::new(kind, &endpoint, encodings, &mut random).unwrap();
    let sources = [source(MediaKind::Audio, 1), source(MediaKind::Camera, 3), source(MediaKind::Screen, 1)];
    for codec in VideoCodec::ALL {
        let offer = SessionDescription::offer(transport(), &sources, codec);
        let text = offer.to_string();
        let read: SessionDescription = text.parse().unwrap();
        assert_eq!(read.to_string(), text);
        let mut nameless = offer.clone();
        // Names travel beside the SDP.
        nameless.sections.iter_mut().for_each(|section| section.name = None);
        for source in nameless.sections.iter_mut().flat_map(|section| &mut section.description.sources) {
            (source.name, source.video_type) = (None, None);
        }
        assert_eq!(read, nameless);
        let negotiated = Negotiated::of(read.descriptions());
        assert!(negotiated.opus.is_some() && negotiated.video.contains_key(&codec), "{codec:?}");
        let camera = &read.sections[1].description;
        let groups: Vec<_> = camera.groups.iter().map(|group| (group.semantics, group.ssrcs.len())).collect();
        assert_eq!(groups[0], (GroupSemantics::Sim, 3));
        assert_eq!(groups[1..], [(GroupSemantics::Fid, 2); 3]);
    }
}

#[test]
fn a_bundle_has_the_transport_of_its_first_line() {
    let text = JANUS_OFFER.replace("a=mid:1\r\na=ice-ufrag:hJ8k", "a=mid:1\r\na=ice-ufrag:else\r\na=ice-lite");
    let offer: SessionDescription = text.parse().unwrap();
    assert_eq!(offer.transport.ufrag.as_deref(), Some("hJ8k"));
    assert!(offer.is_ice_lite);
}

#[test]
fn what_is_no_sdp_is_refused_with_its_line() {
    for (line, is_refused) in [
        ("nothing", true),
        ("m=audio", true),
        ("m=audio 99999 UDP/TLS/RTP/SAVPF 111", true),
        ("m=audio 9 UDP/TLS/RTP/SAVPF 200", true),
        ("a=setup:maybe", true),
        ("a=fingerprint:sha-256", true),
        ("a=candidate:of another kind", false),
        ("a=new-and-unknown:1", false),
        ("b=AS:1", false),
    ] {
        let read = format!("v=0\r\n{line}\r\n").parse::<SessionDescription>();
        match read {
            Ok(_) => assert!(!is_refused, "{line}"),
            Err(error) => assert!(is_refused && error.to_string().contains(line), "{line}: {error}"),
        }
    }
    let section = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n";
    assert_eq!(section.repeat(3_001).parse::<SessionDescription>(), Err(SdpError::TooMany("m-lines")));
    let ssrcs: String = (0..300).map(|ssrc| format!("a=ssrc:{ssrc} cname:x\r\n")).collect();
    assert_eq!(format!("{section}{ssrcs}").parse::<SessionDescription>(), Err(SdpError::TooMany("attributes")));
}

#[test]
fn candidates_are_read_in_all_their_forms() {
    let read = |text: &str| parse_candidate(text).map(|candidate| (candidate.protocol, candidate.port));
    assert_eq!(read("1 1 UDP 1 10.0.0.1 7 typ host generation 0"), Some(("udp".to_owned(), 7)));
    let tcp = parse_candidate("candidate:1 1 tcp 1 10.0.0.1 9 typ host tcptype passive").unwrap();
    assert_eq!(tcp.tcp_type.as_deref(), Some("passive"));
    for none in
        ["", "candidate:1", "1 2 udp 1 10.0.0.1 7 typ host", "1 1 udp x 10.0.0.1 7 typ host", "1 1 udp 1 a 7 host"]
    {
        assert_eq!(read(none), None, "{none}");
    }
}
