//! One function a parser of network input: it feeds arbitrary bytes and checks what must hold whatever they are.
//!
//! A function here panics only where the code under test is wrong. `tests/fuzz` runs each under libFuzzer; the test
//! `corpus` replays the inputs of `tests/fuzz/corpus` through the same functions. An input that once failed belongs
//! there, under a name that says what it showed.

mod av1;
mod bosh_body;
mod dependency_descriptor;
mod dtls;
mod h264;
mod json;
mod layers_allocation;
mod media;
mod red;
mod rtcp;
mod scram;
mod sctp;
mod srtp;
mod stanza;
mod stream;
mod stun;
mod tcp_framing;
mod turn;
mod vp8;
mod vp9;
mod xml;

pub use av1::av1;
pub use bosh_body::bosh_body;
pub use dependency_descriptor::dependency_descriptor;
pub use dtls::dtls_demux;
pub use h264::h264;
pub use json::{bridge_channel, conference_request, media_json};
pub use layers_allocation::layers_allocation;
pub use media::rtp;
pub use red::red;
pub use rtcp::rtcp;
pub use scram::scram;
pub use sctp::{dcep, sctp};
pub use srtp::srtp;
pub use stanza::stanza;
pub use stream::stream;
pub use stun::stun;
pub use tcp_framing::tcp_framing;
pub use turn::turn;
pub use vp8::vp8;
pub use vp9::vp9;
pub use xml::xml;

/// A fuzz target: its name, which is also its corpus folder, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// All targets in alphabetical order.
pub const TARGETS: &[Target] = &[
    ("av1", av1),
    ("bosh_body", bosh_body),
    ("bridge_channel", bridge_channel),
    ("conference_request", conference_request),
    ("dcep", dcep),
    ("dependency_descriptor", dependency_descriptor),
    ("dtls_demux", dtls_demux),
    ("h264", h264),
    ("layers_allocation", layers_allocation),
    ("media_json", media_json),
    ("red", red),
    ("rtcp", rtcp),
    ("rtp", rtp),
    ("scram", scram),
    ("sctp", sctp),
    ("srtp", srtp),
    ("stanza", stanza),
    ("stream", stream),
    ("stun", stun),
    ("tcp_framing", tcp_framing),
    ("turn", turn),
    ("vp8", vp8),
    ("vp9", vp9),
    ("xml", xml),
];
