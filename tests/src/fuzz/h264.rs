//! H.264 payloads (`codecs`).

use codecs::H264Payload;

/// An RTP payload: its NAL units lie inside it, and a key frame starts where a frame does or later in an aggregate.
pub fn h264(data: &[u8]) {
    let Ok(payload) = H264Payload::parse(data) else { return };
    let total: usize = payload.nal_units().map(|unit| 1 + unit.body.len()).sum();
    assert!(total <= data.len());
    assert!(payload.nal_units().all(|unit| unit.ref_idc <= 3) && payload.nal_ref_idc() <= 3);
    let starts_something = payload.nal_units().next().is_some();
    assert!(starts_something || !payload.is_frame_start() && !payload.is_key_frame_start());
    if let Some(resolution) = payload.resolution() {
        assert!(payload.is_key_frame_start() && resolution.width > 0 && resolution.height > 0);
    }
    let _ = (payload.is_idr(), payload.ends_nal_unit());
}
