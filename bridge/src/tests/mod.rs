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
mod handshakes;
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

/// A connectivity check under a username, signed by nobody (RFC 8445 §7.2.2).
pub(crate) fn forged_check(username: &str) -> Vec<u8> {
    let mut attributes = vec![0, 6, 0, username.len() as u8];
    attributes.extend(username.bytes());
    attributes.resize(attributes.len().next_multiple_of(4), 0);
    // PRIORITY, ICE-CONTROLLED and MESSAGE-INTEGRITY.
    attributes.extend([0, 0x24, 0, 4, 1, 1, 1, 1, 0x80, 0x29, 0, 8, 0, 0, 0, 0, 0, 0, 0, 7, 0, 8, 0, 20]);
    attributes.extend([9; 20]);
    let mut message = vec![0, 1, 0, attributes.len() as u8, 0x21, 0x12, 0xa4, 0x42];
    message.extend([3; 12]);
    message.extend(attributes);
    message
}
