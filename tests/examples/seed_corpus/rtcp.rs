//! Seeds of RTCP, by the project's own writers and by hand after RFC 3550 §6, RFC 4585 and the draft of TWCC.

use model::{RtpTimestamp, SeqNum, Ssrc, TwccSeq};
use rtp::NtpTime;
use rtp::rtcp::{
    ArrivalDelta, FirEntry, SenderInfo, TwccFeedbackHeader, write_bye, write_fir, write_nack, write_pli,
    write_receiver_report, write_sdes_cname, write_sender_report, write_twcc_feedback,
};

use crate::{Seed, seed};

const A: Ssrc = Ssrc(0x1122_3344);
const B: Ssrc = Ssrc(0x5566_7788);

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

fn sender_report() -> Vec<u8> {
    let info = SenderInfo {
        ssrc: A,
        ntp: NtpTime(0xe8a1_2345_8000_0000),
        rtp_timestamp: RtpTimestamp(90_000),
        packet_count: 100,
        octet_count: 9_000,
    };
    written(|out| write_sender_report(out, &info, &[]))
}

/// A receiver report with one block, as Chromium sends it.
const RECEIVER_REPORT: [u8; 32] = [
    0x81, 201, 0, 7, 0, 0, 0, 1, 0x11, 0x22, 0x33, 0x44, 5, 0, 0, 9, 0, 1, 0x12, 0x34, 0, 0, 0, 7, 0x23, 0x45, 0x80, 0,
    0, 1, 0, 0,
];

fn nack() -> Vec<u8> {
    let mut out = Vec::new();
    let lost = [65_534, 65_535, 3, 40].map(SeqNum);
    assert_eq!(write_nack(&mut out, A, B, lost), lost.len());
    out
}

fn twcc(statuses: &[Option<ArrivalDelta>]) -> Vec<u8> {
    let header = TwccFeedbackHeader {
        sender_ssrc: A,
        media_ssrc: B,
        base_seq: TwccSeq(0xfffe),
        reference_time: -3,
        feedback_count: 9,
    };
    written(|out| write_twcc_feedback(out, &header, statuses))
}

pub(crate) fn rtcp() -> Vec<Seed> {
    let small = Some(ArrivalDelta(4));
    let large = Some(ArrivalDelta(-300));
    let compound =
        [sender_report(), written(|out| write_sdes_cname(out, A, "teranga")), written(|out| write_bye(out, &[A, B]))];
    vec![
        seed("sender-report", sender_report()),
        seed("receiver-report", RECEIVER_REPORT),
        seed("receiver-report-empty", written(|out| write_receiver_report(out, A, &[]))),
        seed("compound", compound.concat()),
        seed("nack", nack()),
        seed("pli", written(|out| write_pli(out, A, B))),
        seed("fir", written(|out| write_fir(out, A, FirEntry { ssrc: B, command_seq: 7 }))),
        seed("twcc-run", twcc(&[small; 20])),
        seed("twcc-vectors", twcc(&[small, None, large, small, None, None, large])),
        seed("twcc-reserved-symbol", [0x8f, 205, 0, 5, 0, 0, 0, 1, 0, 0, 0, 2, 0, 1, 0, 3, 0, 0, 0, 0, 0x60, 3, 0, 0]),
        seed(
            "twcc-more-statuses-than-chunks",
            [0x8f, 205, 0, 5, 0, 0, 0, 1, 0, 0, 0, 2, 0, 1, 0xff, 0xff, 0, 0, 0, 0, 0x20, 1, 4, 0],
        ),
        seed(
            "remb",
            [&[0x8f, 206, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0][..], b"REMB", &[1, 0x0b, 0x12, 0x34, 0, 0, 0, 2]].concat(),
        ),
        seed("remb-huge", [&[0x8f, 206, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0][..], b"REMB", &[0, 0xff, 0xff, 0xff]].concat()),
        seed("app", [0x80, 204, 0, 2, 0, 0, 0, 1, 1, 2, 3, 4]),
        seed("padded", [0xa0, 201, 0, 2, 0, 0, 0, 1, 0, 0, 0, 4]),
        seed("padding-longer-than-packet", [0xa0, 201, 0, 1, 0, 0, 0, 8]),
        seed("length-beyond-datagram", [0x81, 200, 0xff, 0xff, 0, 0, 0, 1]),
        seed("many-empty-packets", [0x80, 202, 0, 0].repeat(80)),
        seed("version-3", [0xc0, 201, 0, 1, 0, 0, 0, 1]),
    ]
}
