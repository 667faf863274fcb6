//! The receiving side of a session.

use std::fmt;

use model::{ExtSeqNum, Ssrc};
use rtp::RtpHeader;

use crate::error::SrtpError;
use crate::keys::MasterKey;
use crate::profile::ProtectionProfile;
use crate::windows::Windows;
use crate::{Cipher, RTCP_CLEAR_LEN, SRTCP_E_BIT, SRTCP_INDEX_LEN, cm, gcm};

/// Most streams that are remembered, for RTP and for RTCP each. A client sends about ten; every unmute of some browsers
/// may add some. The one that was silent the longest goes first.
pub const MAX_STREAMS: usize = 256;

/// Unprotects what we receive. Nothing is remembered of a packet that does not authenticate.
pub struct SrtpReceiver {
    cipher: Cipher,
    profile: ProtectionProfile,
    rtp: Windows,
    rtcp: Windows,
}

/// A plain RTP packet, in the buffer that it came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnprotectedRtp {
    /// The header, parsed once for decryption and for what follows. Still of the same bytes.
    pub header: RtpHeader,
    /// The sequence number without wrap.
    pub seq: ExtSeqNum,
    /// Bytes of the plain packet, from the start of the buffer.
    pub len: usize,
}

impl SrtpReceiver {
    /// Derives the session keys.
    pub fn new(key: &MasterKey) -> Result<Self, SrtpError> {
        Ok(Self {
            cipher: Cipher::new(key)?,
            profile: key.profile(),
            rtp: Windows::with_limit(MAX_STREAMS),
            rtcp: Windows::with_limit(MAX_STREAMS),
        })
    }

    /// How packets are protected.
    #[must_use]
    pub const fn profile(&self) -> ProtectionProfile {
        self.profile
    }

    /// Streams that were forgotten because there were more than [`MAX_STREAMS`].
    #[must_use]
    pub const fn evicted_streams(&self) -> u64 {
        self.rtp.evicted() + self.rtcp.evicted()
    }

    /// Streams that are remembered, of RTP and RTCP together.
    #[must_use]
    pub const fn known_streams(&self) -> usize {
        self.rtp.len() + self.rtcp.len()
    }

    /// Authenticates and decrypts an SRTP packet in place. After an error the bytes behind the header are undefined.
    pub fn unprotect_rtp(&mut self, packet: &mut [u8]) -> Result<UnprotectedRtp, SrtpError> {
        let header = RtpHeader::parse(packet).map_err(SrtpError::Header)?;
        let header_len = header.header_len();
        if packet.len() < header_len + self.profile.tag_len() {
            return Err(SrtpError::TooShort);
        }
        // RFC 3711 §3.3: guess the roll-over, look into the window, authenticate, decrypt; the window moves last.
        let known = self.rtp.find(header.ssrc);
        let window = known.and_then(|at| self.rtp.window(at));
        let seq = ExtSeqNum::extend(header.seq, window.map(|window| ExtSeqNum(window.highest())));
        if let Some(window) = window {
            window.check(seq.0)?;
        }
        let opened = match &self.cipher {
            Cipher::Gcm(cipher) => cipher.open_rtp(packet, header_len, seq, header.ssrc),
            Cipher::Cm(cipher) => cipher.open_rtp(packet, header_len, seq, header.ssrc),
        };
        let len = opened.ok_or(SrtpError::AuthenticationFailed)?;
        self.rtp.accept(known, header.ssrc, seq.0);
        Ok(UnprotectedRtp { header, seq, len })
    }

    /// Authenticates and decrypts an SRTCP packet in place and returns the length of the plain compound. After an
    /// error the bytes behind the first eight are undefined.
    pub fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let Some(&[first, _, _, _, r0, r1, r2, r3]) = packet.first_chunk::<RTCP_CLEAR_LEN>() else {
            return Err(SrtpError::TooShort);
        };
        if packet.len() < RTCP_CLEAR_LEN + self.profile.tag_len() + SRTCP_INDEX_LEN {
            return Err(SrtpError::TooShort);
        }
        if first >> 6 != 2 {
            return Err(SrtpError::Header(rtp::RtpError::Version(first >> 6)));
        }
        let ssrc = Ssrc(u32::from_be_bytes([r0, r1, r2, r3]));
        // The index word is the last of a GCM packet, and stands before the tag in the other profile.
        let index_end = match &self.cipher {
            Cipher::Gcm(_) => Some(packet.len()),
            Cipher::Cm(_) => packet.len().checked_sub(cm::TAG_LEN),
        };
        let index_word = index_end.and_then(|end| packet.get(..end)).and_then(|bytes| bytes.last_chunk().copied());
        let index_word = u32::from_be_bytes(index_word.ok_or(SrtpError::TooShort)?);
        if index_word & SRTCP_E_BIT == 0 {
            return Err(SrtpError::UnencryptedRtcp);
        }
        let index = u64::from(index_word & !SRTCP_E_BIT);
        let known = self.rtcp.find(ssrc);
        if let Some(window) = known.and_then(|at| self.rtcp.window(at)) {
            window.check(index)?;
        }
        let opened = match &self.cipher {
            Cipher::Gcm(cipher) => cipher.open_rtcp(packet, index_word, ssrc),
            Cipher::Cm(cipher) => cipher.open_rtcp(packet, index_word, ssrc),
        };
        let len = opened.ok_or(SrtpError::AuthenticationFailed)?;
        self.rtcp.accept(known, ssrc, index);
        Ok(len)
    }
}

impl fmt::Debug for SrtpReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SrtpReceiver")
            .field("profile", &self.profile)
            .field("known_streams", &self.known_streams())
            .finish_non_exhaustive()
    }
}

const _: () = assert!(crate::MAX_RTP_OVERHEAD >= gcm::TAG_LEN && crate::MAX_RTP_OVERHEAD >= cm::TAG_LEN);
const _: () = assert!(crate::MAX_RTCP_OVERHEAD >= gcm::TAG_LEN + SRTCP_INDEX_LEN);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{DtlsRole, SessionKeys};
    use crate::replay::REPLAY_WINDOW_PACKETS;
    use crate::sender::SrtpSender;
    use rtp::RtpParts;

    const PROFILES: [ProtectionProfile; 3] =
        [ProtectionProfile::AeadAes128Gcm, ProtectionProfile::AeadAes256Gcm, ProtectionProfile::Aes128CmHmacSha1_80];

    fn pair(profile: ProtectionProfile) -> (SrtpSender, SrtpReceiver) {
        let export: Vec<u8> = (0..profile.keying_material_len() as u8).collect();
        let client = SessionKeys::from_dtls_export(profile, &export, DtlsRole::Client).unwrap();
        let server = SessionKeys::from_dtls_export(profile, &export, DtlsRole::Server).unwrap();
        (SrtpSender::new(&client.outbound).unwrap(), SrtpReceiver::new(&server.inbound).unwrap())
    }

    fn plain(ssrc: u32, seq: u64) -> Vec<u8> {
        let mut packet = vec![0x91, 0xe4];
        packet.extend((seq as u16).to_be_bytes());
        packet.extend([0, 0, 0, 9]);
        packet.extend(ssrc.to_be_bytes());
        packet.extend([0, 0, 0, 1, 0xbe, 0xde, 0, 1, 0x10, 5, 0, 0]);
        packet.extend([7; 50]);
        packet
    }

    const HEADER_LEN: usize = 24;

    /// By a sender that has sent nothing yet, so that a test may ask for the same packet again.
    fn protect(sender: &SrtpSender, ssrc: u32, seq: u64) -> Vec<u8> {
        let (sender, _) = pair(sender.profile());
        let plain = plain(ssrc, seq);
        let (header, payload) = plain.split_at(HEADER_LEN);
        let mut dest = vec![0; plain.len() + crate::MAX_RTP_OVERHEAD];
        let len = sender.protect_rtp(&RtpParts { header, prefix: &[], payload }, ExtSeqNum(seq), &mut dest).unwrap();
        assert_ne!(dest[HEADER_LEN..plain.len()], plain[HEADER_LEN..]);
        dest.truncate(len);
        dest
    }

    fn protect_rtcp(sender: &mut SrtpSender, plain: &[u8]) -> Vec<u8> {
        let mut dest = vec![0; plain.len() + crate::MAX_RTCP_OVERHEAD];
        let len = sender.protect_rtcp(plain, &mut dest).unwrap();
        dest.truncate(len);
        dest
    }

    const RR: [u8; 16] = [0x80, 201, 0, 1, 0, 0, 0, 7, 0x81, 206, 0, 1, 0, 0, 0, 7];

    #[test]
    fn what_one_side_protects_the_other_gets_back() {
        for profile in PROFILES {
            let (mut sender, mut receiver) = pair(profile);
            for seq in 65_000..66_000 {
                let mut packet = protect(&sender, 5, seq);
                let got = receiver.unprotect_rtp(&mut packet).unwrap();
                assert_eq!(got.seq, ExtSeqNum(seq), "{profile}");
                assert_eq!(packet[..got.len], plain(5, seq));
                assert_eq!(got.header.header_len(), HEADER_LEN);
            }
            for _ in 0..3 {
                let mut packet = protect_rtcp(&mut sender, &RR);
                let len = receiver.unprotect_rtcp(&mut packet).unwrap();
                assert_eq!(packet[..len], RR);
            }
            assert_eq!(receiver.known_streams(), 2);
        }
    }

    #[test]
    fn a_payload_in_two_pieces_is_one_packet() {
        for profile in PROFILES {
            let (sender, mut receiver) = pair(profile);
            let plain = plain(5, 9);
            let mut dest = [0; 200];
            let parts = RtpParts { header: &plain[..24], prefix: &plain[24..27], payload: &plain[27..] };
            let len = sender.protect_rtp(&parts, ExtSeqNum(9), &mut dest).unwrap();
            assert_eq!(dest[..len], protect(&sender, 5, 9));
            let got = receiver.unprotect_rtp(&mut dest[..len]).unwrap();
            assert_eq!(dest[..got.len], plain);
        }
    }

    #[test]
    fn roll_over_is_followed_through_reordering() {
        for profile in PROFILES {
            let (sender, mut receiver) = pair(profile);
            for seq in [65_533, 65_537, 65_534, 65_536, 65_535, 65_540, 98_000, 130_000, 131_080, 131_060] {
                let got = receiver.unprotect_rtp(&mut protect(&sender, 5, seq)).unwrap();
                assert_eq!(got.seq, ExtSeqNum(seq), "{profile}");
            }
        }
    }

    #[test]
    fn each_packet_passes_once() {
        for profile in PROFILES {
            let (mut sender, mut receiver) = pair(profile);
            let packet = protect(&sender, 5, 2000);
            assert!(receiver.unprotect_rtp(&mut packet.clone()).is_ok());
            assert_eq!(receiver.unprotect_rtp(&mut packet.clone()), Err(SrtpError::Replayed));
            let too_old = 2000 - REPLAY_WINDOW_PACKETS;
            assert_eq!(receiver.unprotect_rtp(&mut protect(&sender, 5, too_old)), Err(SrtpError::TooOld));
            assert!(receiver.unprotect_rtp(&mut protect(&sender, 5, too_old + 1)).is_ok());
            let control = protect_rtcp(&mut sender, &RR);
            assert!(receiver.unprotect_rtcp(&mut control.clone()).is_ok());
            assert_eq!(receiver.unprotect_rtcp(&mut control.clone()), Err(SrtpError::Replayed));
        }
    }

    #[test]
    fn a_change_of_any_bit_is_refused_and_leaves_no_trace() {
        for profile in PROFILES {
            let (mut sender, mut receiver) = pair(profile);
            let packet = protect(&sender, 5, 1);
            for at in 0..packet.len() * 8 {
                let mut changed = packet.clone();
                changed[at / 8] ^= 1 << (at % 8);
                assert!(receiver.unprotect_rtp(&mut changed).is_err(), "{profile}: bit {at}");
            }
            let control = protect_rtcp(&mut sender, &RR);
            for at in 0..control.len() * 8 {
                let mut changed = control.clone();
                changed[at / 8] ^= 1 << (at % 8);
                assert!(receiver.unprotect_rtcp(&mut changed).is_err(), "{profile}: bit {at}");
            }
            assert_eq!(receiver.known_streams(), 0);
            assert!(receiver.unprotect_rtp(&mut packet.clone()).is_ok());
            assert!(receiver.unprotect_rtcp(&mut control.clone()).is_ok());
        }
    }

    #[test]
    fn every_cut_is_refused() {
        for profile in PROFILES {
            let (mut sender, mut receiver) = pair(profile);
            let (packet, control) = (protect(&sender, 5, 1), protect_rtcp(&mut sender, &RR));
            for len in 0..packet.len() {
                assert!(receiver.unprotect_rtp(&mut packet[..len].to_vec()).is_err());
            }
            for len in 0..control.len() {
                assert!(receiver.unprotect_rtcp(&mut control[..len].to_vec()).is_err());
            }
        }
    }

    #[test]
    fn forged_streams_leave_no_state_and_move_no_window() {
        for profile in PROFILES {
            let (sender, mut receiver) = pair(profile);
            receiver.unprotect_rtp(&mut protect(&sender, 5, 100)).unwrap();
            let mut forged = protect(&sender, 5, 101);
            for ssrc in 0..10_000_u32 {
                forged[8..12].copy_from_slice(&ssrc.to_be_bytes());
                forged[2..4].copy_from_slice(&(ssrc as u16).to_be_bytes());
                let _ = receiver.unprotect_rtp(&mut forged.clone());
                let _ = receiver.unprotect_rtcp(&mut forged.clone());
            }
            assert_eq!(receiver.known_streams(), 1);
            assert_eq!(receiver.unprotect_rtp(&mut protect(&sender, 5, 101)).unwrap().seq, ExtSeqNum(101));
        }
    }

    #[test]
    fn the_quietest_stream_is_forgotten_at_the_limit() {
        let (sender, mut receiver) = pair(ProtectionProfile::AeadAes128Gcm);
        for ssrc in 0..MAX_STREAMS as u32 {
            receiver.unprotect_rtp(&mut protect(&sender, ssrc, 1)).unwrap();
        }
        receiver.unprotect_rtp(&mut protect(&sender, 0, 2)).unwrap();
        receiver.unprotect_rtp(&mut protect(&sender, 70_000, 1)).unwrap();
        assert_eq!((receiver.known_streams(), receiver.evicted_streams()), (MAX_STREAMS, 1));
        assert_eq!(receiver.unprotect_rtp(&mut protect(&sender, 0, 2)), Err(SrtpError::Replayed));
        assert!(receiver.unprotect_rtp(&mut protect(&sender, 1, 1)).is_ok());
    }

    #[test]
    fn unencrypted_rtcp_is_refused_before_its_tag_is_looked_at() {
        for profile in PROFILES {
            let (_, mut receiver) = pair(profile);
            let mut packet = RR.to_vec();
            match profile {
                ProtectionProfile::AeadAes128Gcm | ProtectionProfile::AeadAes256Gcm => {
                    packet.extend([0; 16]);
                    packet.extend([0, 0, 0, 1]);
                }
                ProtectionProfile::Aes128CmHmacSha1_80 => {
                    packet.extend([0, 0, 0, 1]);
                    packet.extend([0; 10]);
                }
            }
            assert_eq!(receiver.unprotect_rtcp(&mut packet), Err(SrtpError::UnencryptedRtcp));
        }
    }
}
