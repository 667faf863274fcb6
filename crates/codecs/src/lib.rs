//! What a forwarder must know of a payload: which frame and layer a packet belongs to, whether it starts a key frame,
//! and where the numbers lie that change when layers are switched. Nothing is decoded.
//!
//! Here: VP8 (RFC 7741). Not here: RTP headers (`rtp`), how numbers continue across a switch (`streams`).
//!
//! Descriptors and the first bytes of a frame stay clear under end-to-end encryption; nothing else of a payload is
//! read.

mod vp8;

pub use vp8::{
    MAX_VP8_DESCRIPTOR_LEN, Resolution, TemporalLayer, Vp8Descriptor, Vp8DescriptorTruncated, Vp8PictureId, Vp8Prefix,
};
