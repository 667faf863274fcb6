//! RTP and RTCP packets as views over the wire and as writers into the caller's buffer.
//!
//! Here: telling RTP, RTCP, DTLS and STUN apart (RFC 7983, RFC 5761), the fixed header and header extensions
//! (RFC 3550 §5, RFC 8285), RTX encapsulation (RFC 4588), redundant audio (RFC 2198), and RTCP: reports (RFC 3550 §6),
//! feedback (RFC 4585, RFC 5104), REMB and transport-wide feedback (drafts that browsers implement).
//! Not here: encryption (`srtp`), payload descriptors (`codecs`), what a stream remembers (`streams`).
//!
//! Nothing on the way of an RTP packet allocates: views borrow the datagram, writers fill a buffer that they are given.

mod demux;
mod error;
mod extension;
mod header;
mod layers_allocation;
mod outgoing;
mod patch;
pub mod red;
pub mod rtcp;
pub mod rtx;
mod template;
mod time;
mod view;

pub use demux::{PacketKind, is_rtcp, is_rtp};
pub use error::{BufferTooSmall, RedError, RtcpError, RtpError};
pub use extension::{
    AudioLevel, ExtensionElement, ExtensionId, ExtensionIdOutOfRange, ExtensionKind, ExtensionMap, Extensions,
};
pub use header::{FIXED_HEADER_LEN, RtpHeader};
pub use layers_allocation::{
    AllocatedLayer, AllocatedResolution, MAX_ALLOCATED_TEMPORAL_LAYERS, VideoLayersAllocation,
};
pub use outgoing::{
    MAX_DEPENDENCY_DESCRIPTOR_ELEMENT_LEN, MAX_OUTGOING_HEADER_LEN, OutgoingExtensions, OutgoingHeader, RtpParts,
    WrittenHeader,
};
pub use patch::RtpPatch;
pub use template::{HeaderTemplate, MAX_TEMPLATE_LEN, MAX_TEMPLATE_MID_LEN, TemplateExtensions, TemplateFields};
pub use time::{AbsSendTime, CompactNtp, NtpTime};
pub use view::RtpView;
