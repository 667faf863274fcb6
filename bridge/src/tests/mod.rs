//! A whole bridge and its clients in virtual time: clients are made of the same protocol crates in their other roles,
//! and joined by a network of seeded latency, loss, disorder and duplication.
//!
//! Here: the world and what clients do and check. Tests of one behaviour are in the modules beside.

mod addresses;
mod admin;
mod bandwidth;
mod bridge;
mod camera;
mod captures;
mod channel;
mod client;
mod colibri;
mod connects;
mod deployment;
pub(crate) mod encoder;
mod feedback;
mod forwarding;
mod garbage;
mod hostile;
mod incoming;
pub(crate) mod judge;
mod key_frames;
mod last_n;
mod layers;
mod lifecycle;
mod loudest;
mod mute;
#[cfg(feature = "planted-faults")]
mod planted_faults;
mod relays;
mod repair;
mod rewriting;
mod seeds;
mod simulation;
mod tcp;
mod world;

/// What a client of tests negotiates, for tests with real sockets.
pub(crate) fn microphone_media() -> Vec<jitsi_protocol::colibri2::Media> {
    world::media(world::Feedback::TransportWide)
}

/// A packet of its microphone.
pub(crate) fn microphone_packet(ssrc: u32, seq: u64) -> Vec<u8> {
    let mut microphone = camera::Microphone { ssrc, is_on: true, level: 30, next_seq: seq };
    let packet = microphone.next_packet(seq * 20).unwrap();
    client::write_packet(&packet, None, None)
}
