//! AV1 payloads (`codecs`).

use codecs::Av1Payload;

/// An RTP payload: its elements lie inside it, in order, and only the outer ones are pieces.
pub fn av1(data: &[u8]) {
    let Ok(payload) = Av1Payload::parse(data) else { return };
    let mut total = 1;
    let mut last_failed = false;
    for (index, element) in payload.elements().enumerate() {
        assert!(!last_failed, "an element behind an error");
        let Ok(element) = element else {
            last_failed = true;
            continue;
        };
        total += element.bytes.len();
        assert!(index == 0 || !element.continues_obu);
        assert!(payload.obu_goes_on || !element.goes_on);
        assert!(payload.element_count.is_none_or(|count| index < usize::from(count)));
        if let Some(header) = element.header() {
            assert!(header.len() <= element.bytes.len());
            assert!(header.layer.is_none_or(|(temporal, spatial)| temporal <= 7 && spatial <= 3));
        }
    }
    assert!(total <= data.len());
    if let Some(header) = payload.sequence_header() {
        assert!(header.max_resolution.width > 0 && header.max_resolution.height > 0);
        assert!((1..=32).contains(&header.operating_points));
    }
    let _ = (payload.is_key_frame_start(), payload.resolution(), payload.layer());
}
