//! SRTP and SRTCP (`srtp`).

use std::collections::BTreeMap;

use model::{ExtSeqNum, Ssrc};
use rtp::{RtpHeader, RtpParts};
use srtp::{MAX_RTCP_OVERHEAD, MAX_RTP_OVERHEAD, MasterKey, ProtectionProfile, SrtpError, SrtpReceiver, SrtpSender};

/// Bytes as they are, then a script of packets that an honest sender protects and the way there may damage or repeat.
pub fn srtp(data: &[u8]) {
    for profile in
        [ProtectionProfile::AeadAes128Gcm, ProtectionProfile::AeadAes256Gcm, ProtectionProfile::Aes128CmHmacSha1_80]
    {
        let mut session = Session::new(profile);
        let _ = session.receiver.unprotect_rtp(&mut data.to_vec());
        let _ = session.receiver.unprotect_rtcp(&mut data.to_vec());
        session.play(data);
    }
}

struct Session {
    sender: SrtpSender,
    receiver: SrtpReceiver,
    /// Highest number that the receiver accepted, which is what it guesses the roll-over from.
    highest: BTreeMap<Ssrc, ExtSeqNum>,
}

impl Session {
    fn new(profile: ProtectionProfile) -> Self {
        let Ok(key) = MasterKey::new(profile, &[7; 32][..profile.key_len()], &[9; 14][..profile.salt_len()]) else {
            unreachable!("the lengths are those of the profile")
        };
        let (Ok(sender), Ok(receiver)) = (SrtpSender::new(&key), SrtpReceiver::new(&key)) else {
            unreachable!("the key is of the profile")
        };
        Self { sender, receiver, highest: BTreeMap::new() }
    }

    /// Reads the script: how, length, then a plain packet.
    fn play(&mut self, mut script: &[u8]) {
        while let Some((&[how, len], rest)) = script.split_first_chunk() {
            let (plain, rest) = rest.split_at(usize::from(len).min(rest.len()));
            script = rest;
            let damage = (how & 2 != 0).then_some(usize::from(how >> 2));
            if how & 1 == 0 {
                self.rtp(plain, damage);
            } else {
                self.rtcp(plain, damage);
            }
        }
    }

    fn rtp(&mut self, plain: &[u8], damage: Option<usize>) {
        let Ok(header) = RtpHeader::parse(plain) else { return };
        let Some((head, payload)) = plain.split_at_checked(header.header_len()) else { return };
        let highest = self.highest.get(&header.ssrc).copied();
        let seq = ExtSeqNum::extend(header.seq, highest);
        let mut packet = vec![0; plain.len() + MAX_RTP_OVERHEAD];
        let parts = RtpParts { header: head, prefix: &[], payload };
        let Ok(len) = self.sender.protect_rtp(&parts, seq, &mut packet) else { panic!("the buffer is large enough") };
        packet.truncate(len);
        let intact = packet.clone();
        if let Some(at) = damage {
            flip(&mut packet, at);
            assert!(self.receiver.unprotect_rtp(&mut packet).is_err(), "damaged packet accepted");
            packet = intact.clone();
        }
        match self.receiver.unprotect_rtp(&mut packet) {
            Ok(opened) => {
                assert_eq!((opened.seq, opened.header), (seq, header));
                assert_eq!(packet.get(..opened.len), Some(plain));
                self.highest.insert(header.ssrc, highest.map_or(seq, |highest| highest.max(seq)));
                assert!(self.receiver.unprotect_rtp(&mut intact.clone()).is_err(), "replay accepted");
            }
            Err(error) => assert!(error != SrtpError::AuthenticationFailed, "honest packet refused: {plain:02x?}"),
        }
    }

    fn rtcp(&mut self, plain: &[u8], damage: Option<usize>) {
        let mut packet = vec![0; plain.len() + MAX_RTCP_OVERHEAD];
        let Ok(len) = self.sender.protect_rtcp(plain, &mut packet) else {
            assert!(plain.len() < 8);
            return;
        };
        packet.truncate(len);
        let intact = packet.clone();
        if let Some(at) = damage {
            flip(&mut packet, at);
            assert!(self.receiver.unprotect_rtcp(&mut packet).is_err(), "damaged packet accepted");
            packet = intact.clone();
        }
        match self.receiver.unprotect_rtcp(&mut packet) {
            Ok(len) => {
                assert_eq!(packet.get(..len), Some(plain));
                assert!(self.receiver.unprotect_rtcp(&mut intact.clone()).is_err(), "replay accepted");
            }
            // Numbers of a session's RTCP only go up, so that nothing but the clear header can be wrong.
            Err(error) => {
                assert!(plain.first().is_some_and(|first| first >> 6 != 2), "honest compound refused: {error}")
            }
        }
    }
}

/// Inverts a bit of the packet.
fn flip(packet: &mut [u8], at: usize) {
    let at = at * 7 % packet.len().max(1);
    if let Some(byte) = packet.get_mut(at) {
        *byte ^= 0x10;
    }
}
