//! What a forwarder must know of a payload: which frame and layer a packet belongs to, whether it starts a key frame,
//! where a receiver may switch, and where the numbers lie that change when layers are switched. Nothing is decoded.
//!
//! Here: VP8 (RFC 7741), VP9 (RFC 9628), AV1 and its dependency descriptor (AOM "RTP Payload Format For AV1"), H.264
//! (RFC 6184). Not here: RTP headers (`rtp`), how numbers continue across a switch (`streams`).
//!
//! Descriptors and the first bytes of a frame stay clear under end-to-end encryption; nothing else of a payload is
//! read.

mod av1;
mod bits;
mod common;
mod dependency_descriptor;
mod h264;
mod picture;
mod vp8;
mod vp9;

pub use av1::{Av1Error, Av1Payload, Av1SequenceHeader, ObuElement, ObuHeader, ObuType};
pub use common::{PictureId, Resolution};
pub use dependency_descriptor::{
    ActiveDecodeTargets, ChainDiffs, DecodeTargetIndication, DecodeTargetIndications, DecodeTargetLayer,
    DependencyDescriptor, DependencyDescriptorError, DescriptorRewrite, FrameDependencyStructure,
    FrameDependencyTemplate, FrameDiffs, MAX_CHAINS, MAX_DECODE_TARGETS, MAX_FRAME_DIFFS, MAX_TEMPLATES,
    MandatoryFields,
};
pub use h264::{H264Error, H264Payload, NalUnit, NalUnitType};
pub use picture::{MAX_PICTURE_PREFIX_LEN, PictureFields, PicturePrefix};
pub use vp8::{MAX_VP8_DESCRIPTOR_LEN, TemporalLayer, Vp8Descriptor, Vp8DescriptorTruncated};
pub use vp9::{
    MAX_VP9_REFERENCES, MAX_VP9_SPATIAL_LAYERS, Vp9Descriptor, Vp9DescriptorError, Vp9GroupPicture, Vp9LayerIndices,
    Vp9References, Vp9ScalabilityStructure,
};
