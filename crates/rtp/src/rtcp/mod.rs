//! RTCP: one iterator over a compound, one module a kind of packet, each with its view and its writer.
//!
//! Reduced-size compounds (RFC 5506) are taken: no particular first packet is asked for. What a bridge has no use for
//! (SDES items, APP, XR) is recognised and skipped. Writers append to the caller's `Vec`, which is kept and cleared
//! between packets, so that they do not allocate once it has grown.

mod compound;
mod goodbye;
mod keyframe;
mod nack;
#[cfg(test)]
mod other_implementation;
mod remb;
mod report;
mod sdes;
mod twcc;

pub use compound::{Compound, MAX_PACKETS_IN_COMPOUND, RtcpPacket};
pub use goodbye::{Goodbye, write_bye};
pub use keyframe::{FirEntry, FullIntraRequest, PictureLossIndication, write_fir, write_pli};
pub use nack::{Nack, write_nack};
pub use remb::{ReceiverEstimatedMaxBitrate, write_remb};
pub use report::{
    MAX_REPORT_BLOCKS, ReceiverReport, ReportBlock, SenderInfo, SenderReport, write_receiver_report,
    write_sender_report,
};
pub use sdes::write_sdes_cname;
pub use twcc::{
    ArrivalDelta, MAX_TWCC_STATUSES, TWCC_DELTA_UNIT, TWCC_REFERENCE_UNIT, TwccFeedback, TwccFeedbackHeader,
    write_twcc_feedback,
};

use model::Ssrc;

/// Packet types (RFC 3550 §12.1, RFC 4585 §6.1).
mod packet_type {
    pub(super) const SENDER_REPORT: u8 = 200;
    pub(super) const RECEIVER_REPORT: u8 = 201;
    pub(super) const SOURCE_DESCRIPTION: u8 = 202;
    pub(super) const GOODBYE: u8 = 203;
    pub(super) const TRANSPORT_FEEDBACK: u8 = 205;
    pub(super) const PAYLOAD_FEEDBACK: u8 = 206;
}

/// Feedback message types (RFC 4585 §6.2, §6.3; RFC 5104 §4.3; the drafts of TWCC and REMB).
mod feedback_type {
    pub(super) const NACK: u8 = 1;
    pub(super) const TRANSPORT_WIDE: u8 = 15;
    pub(super) const PICTURE_LOSS: u8 = 1;
    pub(super) const FULL_INTRA: u8 = 4;
    pub(super) const APPLICATION_LAYER: u8 = 15;
}

/// Reads the two SSRCs that every feedback message starts with (RFC 4585 §6.1): who reports, and about what.
fn split_feedback(body: &[u8]) -> Option<(Ssrc, Ssrc, &[u8])> {
    let (sender, rest) = split_u32(body)?;
    let (media, rest) = split_u32(rest)?;
    Some((Ssrc(sender), Ssrc(media), rest))
}

fn split_u32(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (word, rest) = bytes.split_first_chunk()?;
    Some((u32::from_be_bytes(*word), rest))
}

/// Appends a packet: common header, then what `body` appends, then zeros up to a whole word. The length follows.
fn write_packet(out: &mut Vec<u8>, count: u8, packet_type: u8, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0x80 | count & 0x1f, packet_type, 0, 0]);
    body(out);
    let len = (out.len() - start).next_multiple_of(4);
    out.resize(start + len, 0);
    // Every writer bounds its body far below the 64 Ki words of the length field.
    let words = (len / 4 - 1) as u16;
    if let Some(field) = out.get_mut(start + 2..start + 4) {
        field.copy_from_slice(&words.to_be_bytes());
    }
}

fn write_feedback_ssrcs(out: &mut Vec<u8>, sender: Ssrc, media: Ssrc) {
    out.extend_from_slice(&sender.0.to_be_bytes());
    out.extend_from_slice(&media.0.to_be_bytes());
}
