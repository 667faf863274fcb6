//! What we write, read by another implementation, `rtc-rtcp`, and the other way round.

use std::time::Duration;

use model::{Bitrate, RtpTimestamp, SeqNum, Ssrc, TwccSeq};
use rtc_rtcp::Packet;
use rtc_rtcp::goodbye::Goodbye as OtherGoodbye;
use rtc_rtcp::packet::{marshal, unmarshal};
use rtc_rtcp::payload_feedbacks::full_intra_request::FullIntraRequest as OtherFir;
use rtc_rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication as OtherPli;
use rtc_rtcp::payload_feedbacks::receiver_estimated_maximum_bitrate::ReceiverEstimatedMaximumBitrate;
use rtc_rtcp::receiver_report::ReceiverReport as OtherReceiverReport;
use rtc_rtcp::sender_report::SenderReport as OtherSenderReport;
use rtc_rtcp::source_description::SourceDescription as OtherDescription;
use rtc_rtcp::transport_feedbacks::transport_layer_cc::TransportLayerCc;
use rtc_rtcp::transport_feedbacks::transport_layer_nack::TransportLayerNack;

use super::*;
use crate::{CompactNtp, NtpTime};

fn other<T: Packet + Clone + 'static>(bytes: &[u8]) -> Vec<T> {
    let packets = unmarshal(&mut &*bytes).unwrap();
    packets.iter().filter_map(|packet| packet.as_any().downcast_ref::<T>().cloned()).collect()
}

fn block(ssrc: u32) -> ReportBlock {
    ReportBlock {
        ssrc: Ssrc(ssrc),
        fraction_lost: 7,
        cumulative_lost: 300,
        highest_seq: 0x0002_0003,
        jitter: 40,
        last_sr: Some(CompactNtp(0x0a0b_0c0d)),
        delay_since_last_sr: Duration::from_millis(1500),
    }
}

#[test]
fn what_we_write_is_read_by_the_other_and_mostly_the_same_bytes() {
    let info = SenderInfo {
        ssrc: Ssrc(1),
        ntp: NtpTime(0x0102_0304_0506_0708),
        rtp_timestamp: RtpTimestamp(9),
        packet_count: 10,
        octet_count: 11,
    };
    let mut out = Vec::new();
    write_sender_report(&mut out, &info, &[block(2), block(3)]);
    write_receiver_report(&mut out, Ssrc(1), &[block(4)]);
    write_nack(&mut out, Ssrc(1), Ssrc(2), [1, 2, 17, 18, 400, 65_535].map(SeqNum));
    write_pli(&mut out, Ssrc(1), Ssrc(2));
    write_fir(&mut out, Ssrc(1), FirEntry { ssrc: Ssrc(2), command_seq: 200 });
    let packets = unmarshal(&mut &*out).unwrap();
    assert_eq!(packets.len(), 5);
    assert_eq!(marshal(&packets).unwrap(), out);
    // Only read: rtc-rtcp 0.21.1 writes SDES and BYE with padding of its own.
    write_sdes_cname(&mut out, Ssrc(1), "someone");
    write_bye(&mut out, &[Ssrc(1), Ssrc(2)]);

    let [report] = &other::<OtherSenderReport>(&out)[..] else { panic!("no SR") };
    assert_eq!((report.ntp_time, report.rtp_time, report.packet_count), (info.ntp.0, 9, 10));
    assert_eq!((report.reports[1].ssrc, report.reports[1].total_lost, report.reports[1].delay), (3, 300, 98_304));
    let [report] = &other::<OtherReceiverReport>(&out)[..] else { panic!("no RR") };
    assert_eq!((report.ssrc, report.reports[0].last_sequence_number), (1, 0x0002_0003));
    let [description] = &other::<OtherDescription>(&out)[..] else { panic!("no SDES") };
    assert_eq!(description.chunks[0].items[0].text, "someone");
    let [nack] = &other::<TransportLayerNack>(&out)[..] else { panic!("no NACK") };
    let lost: Vec<u16> = nack.nacks.iter().flat_map(|pair| pair.packet_list()).collect();
    assert_eq!((nack.media_ssrc, lost), (2, vec![1, 2, 17, 18, 400, 65_535]));
    assert_eq!(other::<OtherPli>(&out).len() + other::<OtherGoodbye>(&out).len(), 2);
    let [fir] = &other::<OtherFir>(&out)[..] else { panic!("no FIR") };
    assert_eq!((fir.fir[0].ssrc, fir.fir[0].sequence_number), (2, 200));
}

#[test]
fn transport_feedback_is_read_by_the_other() {
    let deltas = [0, 4, 255, 256, 20_000, -1, -32_768];
    let statuses: Vec<_> =
        (0..300).map(|i| (i % 5 != 0 && !(100..180).contains(&i)).then_some(ArrivalDelta(deltas[i % 7]))).collect();
    let header = TwccFeedbackHeader {
        sender_ssrc: Ssrc(1),
        media_ssrc: Ssrc(2),
        base_seq: TwccSeq(65_500),
        reference_time: 0x0012_3456,
        feedback_count: 3,
    };
    let mut out = Vec::new();
    write_twcc_feedback(&mut out, &header, &statuses);
    let [feedback] = &other::<TransportLayerCc>(&out)[..] else { panic!("no feedback") };
    assert_eq!((feedback.base_sequence_number, feedback.packet_status_count), (65_500, 300));
    assert_eq!((feedback.reference_time, feedback.fb_pkt_count), (0x0012_3456, 3));
    let theirs: Vec<i64> = feedback.recv_deltas.iter().map(|delta| delta.delta / 250).collect();
    let ours: Vec<i64> = statuses.iter().flatten().map(|delta| i64::from(delta.0)).collect();
    assert_eq!(theirs, ours);
}

#[test]
fn what_the_other_writes_is_read_by_us() {
    let remb = ReceiverEstimatedMaximumBitrate { sender_ssrc: 1, bitrate: 8_927_168.0, ssrcs: vec![5, 6] };
    let nack = TransportLayerNack {
        sender_ssrc: 1,
        media_ssrc: 2,
        nacks: rtc_rtcp::transport_feedbacks::transport_layer_nack::nack_pairs_from_sequence_numbers(&[7, 8, 30]),
    };
    let packets: [Box<dyn Packet>; 2] = [Box::new(remb), Box::new(nack)];
    let bytes = marshal(&packets).unwrap();
    let mut compound = Compound::new(&bytes);
    let Some(Ok(RtcpPacket::ReceiverEstimatedMaxBitrate(remb))) = compound.next() else { panic!("no REMB") };
    assert_eq!(remb.bitrate, Bitrate::from_bps(8_927_168));
    assert_eq!(remb.sources().collect::<Vec<_>>(), [Ssrc(5), Ssrc(6)]);
    let Some(Ok(RtcpPacket::Nack(nack))) = compound.next() else { panic!("no NACK") };
    assert_eq!(nack.lost().collect::<Vec<_>>(), [7, 8, 30].map(SeqNum));
    assert!(compound.next().is_none());
}
