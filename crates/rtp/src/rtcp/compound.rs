//! Walking a compound packet (RFC 3550 §6.1).

use crate::error::RtcpError;

use super::{
    FullIntraRequest, Goodbye, Nack, PictureLossIndication, ReceiverEstimatedMaxBitrate, ReceiverReport, SenderReport,
    TwccFeedback, feedback_type, packet_type,
};

/// Most packets that are read out of one datagram. A browser sends fewer than ten; the limit keeps a datagram full of
/// four-byte packets cheap.
pub const MAX_PACKETS_IN_COMPOUND: usize = 64;

/// One packet of a compound.
#[derive(Clone, Copy, Debug)]
pub enum RtcpPacket<'a> {
    /// SR (RFC 3550 §6.4.1).
    SenderReport(SenderReport<'a>),
    /// RR (RFC 3550 §6.4.2).
    ReceiverReport(ReceiverReport<'a>),
    /// SDES (RFC 3550 §6.5), contents skipped.
    SourceDescription,
    /// BYE (RFC 3550 §6.6).
    Goodbye(Goodbye<'a>),
    /// Generic NACK (RFC 4585 §6.2.1).
    Nack(Nack<'a>),
    /// PLI (RFC 4585 §6.3.1).
    PictureLossIndication(PictureLossIndication),
    /// FIR (RFC 5104 §4.3.1).
    FullIntraRequest(FullIntraRequest<'a>),
    /// REMB (draft-alvestrand-rmcat-remb-03 §2.2).
    ReceiverEstimatedMaxBitrate(ReceiverEstimatedMaxBitrate<'a>),
    /// Transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1).
    TransportFeedback(TwccFeedback<'a>),
    /// A packet type or feedback message that the bridge has no use for.
    Unknown {
        /// Packet type.
        packet_type: u8,
        /// Count or feedback message type.
        count: u8,
    },
}

/// The packets of one compound in order. The first error is the last item: what follows is dropped.
#[derive(Clone, Debug)]
pub struct Compound<'a> {
    rest: &'a [u8],
    packets_left: usize,
}

impl<'a> Compound<'a> {
    /// Starts at a plain RTCP datagram.
    #[must_use]
    pub const fn new(datagram: &'a [u8]) -> Self {
        Self { rest: datagram, packets_left: MAX_PACKETS_IN_COMPOUND }
    }

    fn read_next(&mut self) -> Result<RtcpPacket<'a>, RtcpError> {
        if self.packets_left == 0 {
            return Err(RtcpError::TooManyPackets(MAX_PACKETS_IN_COMPOUND));
        }
        self.packets_left -= 1;
        let Some((&[first, packet_type, l0, l1], rest)) = self.rest.split_first_chunk() else {
            return Err(RtcpError::Truncated { packet_type: None });
        };
        if first >> 6 != 2 {
            return Err(RtcpError::Version(first >> 6));
        }
        let len = 4 * usize::from(u16::from_be_bytes([l0, l1]));
        let Some((mut body, rest)) = rest.split_at_checked(len) else {
            return Err(RtcpError::Truncated { packet_type: Some(packet_type) });
        };
        self.rest = rest;
        if first & 0x20 != 0 {
            let padding = body.last().copied().unwrap_or(0);
            let without = body.len().checked_sub(usize::from(padding));
            match without.and_then(|len| body.get(..len)) {
                // RFC 3550 §6.4.1 has multiples of four; libwebrtc fills transport-wide feedback up with one to three bytes.
                Some(unpadded) if padding != 0 => body = unpadded,
                Some(_) | None => return Err(RtcpError::Padding(padding)),
            }
        }
        parse_packet(first & 0x1f, packet_type, body)
    }
}

impl<'a> Iterator for Compound<'a> {
    type Item = Result<RtcpPacket<'a>, RtcpError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let packet = self.read_next();
        if packet.is_err() {
            self.rest = &[];
        }
        Some(packet)
    }
}

fn parse_packet(count: u8, packet_type: u8, body: &[u8]) -> Result<RtcpPacket<'_>, RtcpError> {
    let malformed = |what| RtcpError::Malformed { packet_type, what };
    let packet = match (packet_type, count) {
        (packet_type::SENDER_REPORT, _) => {
            RtcpPacket::SenderReport(SenderReport::parse(count, body).ok_or(malformed("report blocks"))?)
        }
        (packet_type::RECEIVER_REPORT, _) => {
            RtcpPacket::ReceiverReport(ReceiverReport::parse(count, body).ok_or(malformed("report blocks"))?)
        }
        (packet_type::SOURCE_DESCRIPTION, _) => RtcpPacket::SourceDescription,
        (packet_type::GOODBYE, _) => RtcpPacket::Goodbye(Goodbye::parse(count, body).ok_or(malformed("sources"))?),
        (packet_type::TRANSPORT_FEEDBACK, feedback_type::NACK) => {
            RtcpPacket::Nack(Nack::parse(body).ok_or(malformed("NACK"))?)
        }
        (packet_type::TRANSPORT_FEEDBACK, feedback_type::TRANSPORT_WIDE) => {
            RtcpPacket::TransportFeedback(TwccFeedback::parse(body).ok_or(malformed("transport-wide feedback"))?)
        }
        (packet_type::PAYLOAD_FEEDBACK, feedback_type::PICTURE_LOSS) => {
            RtcpPacket::PictureLossIndication(PictureLossIndication::parse(body).ok_or(malformed("PLI"))?)
        }
        (packet_type::PAYLOAD_FEEDBACK, feedback_type::FULL_INTRA) => {
            RtcpPacket::FullIntraRequest(FullIntraRequest::parse(body).ok_or(malformed("FIR"))?)
        }
        (packet_type::PAYLOAD_FEEDBACK, feedback_type::APPLICATION_LAYER) => {
            // Application layer feedback that is no REMB is someone else's and no error.
            match ReceiverEstimatedMaxBitrate::parse(body) {
                Some(remb) => RtcpPacket::ReceiverEstimatedMaxBitrate(remb),
                None => RtcpPacket::Unknown { packet_type, count },
            }
        }
        (packet_type, count) => RtcpPacket::Unknown { packet_type, count },
    };
    Ok(packet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_to_the_end_and_skips_what_it_does_not_know() {
        // An empty RR, an XR with a body, an APP.
        let datagram = [0x80, 201, 0, 1, 0, 0, 0, 1, 0x80, 207, 0, 2, 0, 0, 0, 1, 9, 9, 9, 9, 0x85, 204, 0, 0];
        let packets: Vec<_> = Compound::new(&datagram).map(Result::unwrap).collect();
        assert!(matches!(packets[0], RtcpPacket::ReceiverReport(_)));
        assert!(matches!(packets[1], RtcpPacket::Unknown { packet_type: 207, count: 0 }));
        assert!(matches!(packets[2], RtcpPacket::Unknown { packet_type: 204, count: 5 }));
        assert_eq!(packets.len(), 3);
    }

    #[test]
    fn keeps_what_came_before_the_malformed_rest() {
        let datagram = [0x80, 201, 0, 1, 0, 0, 0, 1, 0x81, 206, 0, 9, 0, 0];
        let packets: Vec<_> = Compound::new(&datagram).collect();
        assert_eq!(packets.len(), 2);
        assert!(packets[0].is_ok());
        assert_eq!(packets[1].unwrap_err(), RtcpError::Truncated { packet_type: Some(206) });
    }

    /// As Chromium 138 sends it: one packet of 1, whose delta leaves a byte to fill up.
    #[test]
    fn takes_the_padding_of_libwebrtcs_feedback() {
        let feedback = [0xaf, 205, 0, 5, 0, 0, 0, 1, 0, 0, 0, 2, 0, 7, 0, 1, 0, 0, 9, 3, 0x20, 1, 4, 1];
        let Some(Ok(RtcpPacket::TransportFeedback(feedback))) = Compound::new(&feedback).next() else { panic!() };
        assert_eq!(feedback.statuses().filter(|(_, delta)| delta.is_some()).count(), 1);
    }

    #[test]
    fn strips_padding_and_refuses_what_is_no_padding() {
        let error = |bytes: &[u8]| Compound::new(bytes).next().unwrap().err();
        let mut datagram = [0xa0, 201, 0, 2, 0, 0, 0, 1, 0, 0, 0, 4];
        assert_eq!(error(&datagram), None);
        for bad in [0, 9, 12] {
            datagram[11] = bad;
            assert_eq!(error(&datagram), Some(RtcpError::Padding(bad)), "{bad}");
        }
        assert_eq!(error(&[0xa0, 204, 0, 0]), Some(RtcpError::Padding(0)));
        assert_eq!(error(&[0x40, 204, 0, 0]), Some(RtcpError::Version(1)));
    }

    #[test]
    fn reads_no_more_than_the_limit() {
        let datagram = [0x80, 204, 0, 0].repeat(MAX_PACKETS_IN_COMPOUND + 5);
        let packets: Vec<_> = Compound::new(&datagram).collect();
        assert_eq!(packets.len(), MAX_PACKETS_IN_COMPOUND + 1);
        assert!(matches!(packets.last(), Some(Err(RtcpError::TooManyPackets(_)))));
    }
}
