//! Retransmission payloads (RFC 4588 §4): the original sequence number (OSN), then the original payload.

use model::{PayloadType, SeqNum, Ssrc};

use crate::error::RtpError;
use crate::header::RtpHeader;
use crate::patch::RtpPatch;

/// Bytes of the original sequence number in front of the payload.
pub const OSN_LEN: usize = 2;

/// What stands in front of the original payload, to be sent as [`crate::RtpParts::prefix`].
#[must_use]
pub const fn osn_prefix(original: SeqNum) -> [u8; OSN_LEN] {
    original.0.to_be_bytes()
}

/// Splits an RTX payload. None where it is too short: padding that a sender probes bandwidth with.
#[must_use]
pub fn split_payload(payload: &[u8]) -> Option<(SeqNum, &[u8])> {
    let (osn, original) = payload.split_first_chunk()?;
    Some((SeqNum(u16::from_be_bytes(*osn)), original))
}

/// Makes the original packet out of a plain RTX packet, in place: the header moves over the original sequence number
/// and gets back its numbers. Returns where the original packet starts, [`OSN_LEN`]; none where the payload is too
/// short, as in padding that a sender probes bandwidth with.
///
/// Padding at the end stays, with the P bit that announces it.
pub fn decapsulate_in_place(
    packet: &mut [u8],
    original_ssrc: Ssrc,
    original_payload_type: PayloadType,
) -> Result<Option<usize>, RtpError> {
    let view = crate::RtpView::parse(packet)?;
    let Some((original_seq, _)) = split_payload(view.payload()) else { return Ok(None) };
    let RtpHeader { marker, .. } = *view.header();
    let header_len = view.header_len();
    packet.copy_within(..header_len, OSN_LEN);
    let original = packet.get_mut(OSN_LEN..).ok_or(RtpError::Truncated)?;
    RtpPatch::new(original)?
        .set_payload_type(original_payload_type)
        .set_marker(marker)
        .set_seq(original_seq)
        .set_ssrc(original_ssrc);
    Ok(Some(OSN_LEN))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::RtpView;

    #[test]
    fn original_packet_comes_back_with_extensions_and_padding() {
        let mut original = vec![0xb0, 0xe4, 0x11, 0x22, 0, 0, 0, 9, 0, 0, 0, 1];
        original.extend([0xbe, 0xde, 0, 1, 0x10, 5, 0, 0]);
        original.extend([1, 2, 3, 4, 0, 2]);
        let mut rtx = original.clone();
        RtpPatch::new(&mut rtx)
            .unwrap()
            .set_payload_type(PayloadType::try_from(96).unwrap())
            .set_seq(SeqNum(7))
            .set_ssrc(Ssrc(2));
        rtx.splice(20..20, osn_prefix(SeqNum(0x1122)));
        let start = decapsulate_in_place(&mut rtx, Ssrc(1), PayloadType::try_from(100).unwrap()).unwrap().unwrap();
        assert_eq!(rtx[start..], original);
        assert_eq!(RtpView::parse(&rtx[start..]).unwrap().payload(), [1, 2, 3, 4]);
    }

    #[test]
    fn padding_probe_has_no_original() {
        let padding = &mut [0xa0, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 3];
        assert_eq!(decapsulate_in_place(padding, Ssrc(1), PayloadType::try_from(100).unwrap()), Ok(None));
        let one_byte = &mut [0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0];
        assert_eq!(decapsulate_in_place(one_byte, Ssrc(1), PayloadType::try_from(100).unwrap()), Ok(None));
        assert!(decapsulate_in_place(&mut [0; 5], Ssrc(1), PayloadType::from_low_bits(0)).is_err());
    }
}
