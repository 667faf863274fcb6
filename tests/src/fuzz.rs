//! One function a parser of network input: it feeds arbitrary bytes and checks what must hold whatever they are.
//!
//! A function here panics only where the code under test is wrong. `tests/fuzz` runs each under libFuzzer; the test
//! `corpus` replays the inputs of `tests/fuzz/corpus` through the same functions. An input that once failed belongs
//! there, under a name that says what it showed.

mod media;
mod rtcp;
mod stun;
mod xml;

pub use media::rtp;
pub use rtcp::rtcp;
pub use stun::stun;
pub use xml::xml;

/// A fuzz target: its name, which is also its corpus folder, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// All targets in alphabetical order.
pub const TARGETS: &[Target] = &[("rtcp", rtcp), ("rtp", rtp), ("stun", stun), ("xml", xml)];
