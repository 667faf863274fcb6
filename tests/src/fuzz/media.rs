//! Packets of media: RTP (`rtp`).

use model::{PayloadType, SeqNum, Ssrc};
use rtp::{PacketKind, RtpPatch, RtpView};

/// A plain RTP packet, as it comes out of decryption: every range lies inside it, and rewriting touches nothing else.
pub fn rtp(data: &[u8]) {
    let _ = PacketKind::of(data);
    let Ok(view) = RtpView::parse(data) else { return };
    assert_eq!(view.header_len() + view.payload().len() + view.padding_len(), data.len());
    assert!(view.csrcs().count() <= 15);
    for element in view.extensions() {
        assert_eq!(data.get(element.offset..element.offset + element.data.len()), Some(element.data));
    }

    let mut patched = data.to_vec();
    let payload_type = PayloadType::from_low_bits(!view.payload_type().get());
    if let Ok(mut patch) = RtpPatch::new(&mut patched) {
        patch.set_seq(SeqNum(!view.seq().0)).set_ssrc(Ssrc(!view.ssrc().0)).set_payload_type(payload_type);
    }
    match RtpView::parse(&patched) {
        Ok(after) => {
            assert_eq!(after.payload(), view.payload());
            assert_eq!((after.seq(), after.ssrc()), (SeqNum(!view.seq().0), Ssrc(!view.ssrc().0)));
            assert_eq!((after.marker(), after.timestamp()), (view.marker(), view.timestamp()));
        }
        Err(error) => panic!("rewriting its numbers made the packet unreadable: {error}"),
    }

    let mut original = data.to_vec();
    if let Ok(Some(start)) = rtp::rtx::decapsulate_in_place(&mut original, Ssrc(1), payload_type) {
        match original.get(start..).map(RtpView::parse) {
            Some(Ok(inner)) => assert_eq!(Some(inner.payload()), view.payload().get(rtp::rtx::OSN_LEN..)),
            Some(Err(error)) => panic!("the original in an RTX packet does not parse: {error}"),
            None => panic!("the original starts outside the packet"),
        }
    }
}
