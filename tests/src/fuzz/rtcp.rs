//! RTCP (`rtp::rtcp`).

use std::collections::BTreeSet;

use model::SeqNum;
use rtp::rtcp::{
    Compound, MAX_PACKETS_IN_COMPOUND, MAX_TWCC_STATUSES, RtcpPacket, write_bye, write_fir, write_nack, write_pli,
    write_receiver_report, write_sender_report, write_twcc_feedback,
};

/// A plain compound, as it comes out of decryption: iterators stay within their bounds, and what has a writer is read
/// back as it was.
pub fn rtcp(data: &[u8]) {
    let mut seen = 0;
    let mut written = Vec::new();
    for packet in Compound::new(data) {
        seen += 1;
        let Ok(packet) = packet else { break };
        written.clear();
        write(&packet, data.len(), &mut written);
        if !written.is_empty() {
            match Compound::new(&written).next() {
                Some(Ok(again)) => assert_eq!(told_by(&again), told_by(&packet)),
                Some(Err(error)) => panic!("wrote what does not parse ({error}): {packet:?}"),
                None => panic!("wrote nothing that can be read: {packet:?}"),
            }
        }
    }
    assert!(seen <= MAX_PACKETS_IN_COMPOUND + 1);
}

/// Writes the packet where there is a writer for its kind, and checks the bounds of what it tells.
fn write(packet: &RtcpPacket<'_>, len: usize, out: &mut Vec<u8>) {
    match packet {
        RtcpPacket::SenderReport(report) => {
            write_sender_report(out, &report.info, &report.report_blocks().collect::<Vec<_>>());
        }
        RtcpPacket::ReceiverReport(report) => {
            write_receiver_report(out, report.sender_ssrc, &report.report_blocks().collect::<Vec<_>>());
        }
        RtcpPacket::Goodbye(bye) => write_bye(out, &bye.sources().collect::<Vec<_>>()),
        RtcpPacket::Nack(nack) => {
            assert!(nack.lost().count() <= 17 * len / 4);
            // The writer wants them in ascending order.
            let lost: BTreeSet<_> = nack.lost().map(|seq| seq.0).collect();
            let mut again = Vec::new();
            let count = write_nack(&mut again, nack.sender_ssrc, nack.media_ssrc, lost.iter().map(|seq| SeqNum(*seq)));
            match Compound::new(&again).next() {
                Some(Ok(RtcpPacket::Nack(again))) => {
                    assert!(again.lost().map(|seq| seq.0).eq(lost.iter().take(count).copied()));
                }
                other => panic!("wrote a NACK that is read as {other:?}"),
            }
        }
        RtcpPacket::PictureLossIndication(pli) => write_pli(out, pli.sender_ssrc, pli.media_ssrc),
        RtcpPacket::FullIntraRequest(fir) => {
            assert!(fir.entries().count() <= len / 8);
            if let Some(entry) = fir.entries().next() {
                write_fir(out, fir.sender_ssrc, entry);
            }
        }
        RtcpPacket::ReceiverEstimatedMaxBitrate(remb) => assert!(remb.sources().count() <= 255),
        RtcpPacket::TransportFeedback(feedback) => {
            let statuses: Vec<_> = feedback.statuses().map(|(_, arrival)| arrival).collect();
            assert!(statuses.len() <= MAX_TWCC_STATUSES);
            write_twcc_feedback(out, &feedback.header, &statuses);
        }
        RtcpPacket::SourceDescription | RtcpPacket::Unknown { .. } => {}
    }
}

/// What a packet tells, in a form that can be compared.
fn told_by(packet: &RtcpPacket<'_>) -> String {
    match packet {
        RtcpPacket::SenderReport(report) => {
            format!("{:?} {:?}", report.info, report.report_blocks().collect::<Vec<_>>())
        }
        RtcpPacket::ReceiverReport(report) => {
            format!("{:?} {:?}", report.sender_ssrc, report.report_blocks().collect::<Vec<_>>())
        }
        RtcpPacket::Goodbye(bye) => format!("{:?}", bye.sources().collect::<Vec<_>>()),
        RtcpPacket::PictureLossIndication(pli) => format!("{pli:?}"),
        RtcpPacket::FullIntraRequest(fir) => format!("{:?} {:?}", fir.sender_ssrc, fir.entries().next()),
        RtcpPacket::TransportFeedback(feedback) => {
            format!("{:?} {:?}", feedback.header, feedback.statuses().collect::<Vec<_>>())
        }
        RtcpPacket::Nack(_)
        | RtcpPacket::ReceiverEstimatedMaxBitrate(_)
        | RtcpPacket::SourceDescription
        | RtcpPacket::Unknown { .. } => String::new(),
    }
}
