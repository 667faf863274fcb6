//! What a `session-initiate` offers (client.md §7.2).

use model::MediaType;
use xmpp::jingle::{IceTransport, Jingle, RtpMedia};

use super::Negotiated;

/// Why an offer cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OfferError {
    /// A content that all need is not there, or has no description or transport.
    #[error("no {0} in what is offered")]
    Missing(&'static str),
    /// The codec of the scenario is not offered.
    #[error("{0} is not offered")]
    NoCodec(&'static str),
    /// The bridge channel of the scenario is not offered.
    #[error("no {0} is offered")]
    NoChannel(&'static str),
    /// The transport is not one that we can use.
    #[error("the server's transport cannot be used: {0}")]
    Transport(String),
}

/// An offer, read.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The message, of which the answer is made.
    pub jingle: Jingle,
    /// The bridge's side, with candidates.
    pub transport: IceTransport,
    /// Payload types and header extensions.
    pub negotiated: Negotiated,
    /// There is a data channel.
    pub has_data_channel: bool,
    /// Bridge channel over WebSocket.
    pub web_socket: Option<String>,
}

impl Offer {
    /// Reads an offer.
    ///
    /// # Errors
    /// [`OfferError::Missing`] without audio, Opus or a transport. Video may be missing.
    pub fn read(jingle: Jingle) -> Result<Self, OfferError> {
        let descriptions = || jingle.contents.iter().filter_map(|content| content.description.as_ref());
        if !descriptions().any(|description| description.media == RtpMedia::Rtp(MediaType::Audio)) {
            return Err(OfferError::Missing("audio"));
        }
        let negotiated = Negotiated::of(descriptions());
        if negotiated.opus.is_none() {
            return Err(OfferError::NoCodec("opus"));
        }
        let transports = || jingle.contents.iter().filter_map(|content| content.transport.as_ref());
        let transport = transports().next().ok_or(OfferError::Missing("transport"))?.clone();
        let web_socket = transports().flat_map(|transport| transport.web_sockets.iter()).next().cloned();
        Ok(Self {
            negotiated,
            has_data_channel: transports().any(|transport| transport.sctp_map.is_some()),
            web_socket,
            transport,
            jingle,
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use model::PayloadType;
    use rtp::{ExtensionId, ExtensionKind};

    use super::*;
    use crate::load::media::{Codec, VideoCodec};

    /// As a stock focus offers (client.md §7.2).
    pub(in crate::load::participant) const OFFER: &str = "<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' initiator='focus@auth.meet.example/focus' sid='8p2k1sid'>\
        <group xmlns='urn:xmpp:jingle:apps:grouping:0' semantics='BUNDLE'><content name='audio'/><content name='video'/><content name='data'/></group>\
        <content creator='initiator' name='audio' senders='both'><description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio' maxptime='60'>\
        <payload-type id='111' name='opus' clockrate='48000' channels='2'><rtcp-fb xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0' type='transport-cc'/></payload-type>\
        <rtp-hdrext xmlns='urn:xmpp:jingle:apps:rtp:rtp-hdrext:0' id='1' uri='urn:ietf:params:rtp-hdrext:ssrc-audio-level'/>\
        <rtp-hdrext xmlns='urn:xmpp:jingle:apps:rtp:rtp-hdrext:0' id='5' uri='http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01'/>\
        <rtcp-mux/></description>TRANSPORT</content>\
        <content creator='initiator' name='video' senders='both'><description xmlns='urn:xmpp:jingle:apps:rtp:1' media='video'>\
        <payload-type id='41' name='AV1' clockrate='90000'/><payload-type id='100' name='VP8' clockrate='90000'/><payload-type id='101' name='VP9' clockrate='90000'/>\
        <payload-type id='96' name='rtx' clockrate='90000'><parameter name='apt' value='100'/></payload-type>\
        <rtp-hdrext xmlns='urn:xmpp:jingle:apps:rtp:rtp-hdrext:0' id='5' uri='http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01'/>\
        <rtp-hdrext xmlns='urn:xmpp:jingle:apps:rtp:rtp-hdrext:0' id='11' uri='https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension'/>\
        <rtcp-mux/></description>TRANSPORT</content>\
        <content creator='initiator' name='data' senders='both'><transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='u' pwd='p'>\
        <sctpmap xmlns='urn:xmpp:jingle:transports:dtls-sctp:1' number='5000' protocol='webrtc-datachannel' streams='1024'/></transport></content></jingle>";

    const TRANSPORT: &str = "<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='8q1tu1' pwd='3ptlr3ndk6mpqsvh6amv05d3gi'><rtcp-mux/>\
        <fingerprint xmlns='urn:xmpp:jingle:apps:dtls:0' hash='sha-256' setup='actpass'>4A:AD</fingerprint>\
        <web-socket xmlns='http://jitsi.org/protocol/colibri' url='wss://meet.example/colibri-ws/jvb1/5fa9c/abcd1234?pwd=x'/>\
        <candidate component='1' foundation='1' generation='0' id='c1' network='0' protocol='udp' type='host' ip='10.0.0.5' port='10000' priority='2130706431'/></transport>";

    pub(in crate::load::participant) fn offer() -> Jingle {
        Jingle::from_element(&OFFER.replace("TRANSPORT", TRANSPORT).parse().unwrap()).unwrap()
    }

    #[test]
    fn a_stock_offer_is_read() {
        let offer = Offer::read(offer()).unwrap();
        let negotiated = &offer.negotiated;
        let number = PayloadType::from_low_bits;
        assert_eq!(negotiated.opus, Some(number(111)));
        assert_eq!(negotiated.video[&VideoCodec::Vp8], (number(100), Some(number(96))));
        assert_eq!(negotiated.video[&VideoCodec::Av1], (number(41), None));
        assert!(!negotiated.video.contains_key(&VideoCodec::H264));
        assert_eq!(negotiated.codec_of(number(101)), Some(Codec::Video(VideoCodec::Vp9)));
        assert_eq!(negotiated.codec_of(number(96)), None);
        assert_eq!(negotiated.codec_of_rtx(number(96)), Some(Codec::Video(VideoCodec::Vp8)));
        assert!(offer.has_data_channel);
        assert!(offer.web_socket.is_some_and(|url| url.ends_with("pwd=x")));
        assert_eq!(negotiated.audio_extensions.id(ExtensionKind::AudioLevel).map(ExtensionId::get), Some(1));
        assert_eq!(negotiated.video_extensions.id(ExtensionKind::DependencyDescriptor).map(ExtensionId::get), Some(11));
    }

    #[test]
    fn an_offer_without_audio_or_transport_is_none() {
        let mut without_audio = offer();
        without_audio.contents.remove(0);
        assert_eq!(Offer::read(without_audio).unwrap_err(), OfferError::Missing("audio"));
        let mut without_transport = offer();
        without_transport.contents.iter_mut().for_each(|content| content.transport = None);
        assert_eq!(Offer::read(without_transport).unwrap_err(), OfferError::Missing("transport"));
    }
}
