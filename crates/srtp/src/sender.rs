//! The sending side of a session.

use std::fmt;

use model::{ExtSeqNum, Ssrc, prefetch};
use rtp::{BufferTooSmall, FIXED_HEADER_LEN, RtpError, RtpParts};

use crate::error::SrtpError;
use crate::gcm::GcmCipher;
use crate::keys::MasterKey;
use crate::profile::ProtectionProfile;
use crate::{Cipher, RTCP_CLEAR_LEN, SRTCP_E_BIT, SRTCP_INDEX_LEN};

/// Bytes of a sender that RTP needs: of the cipher, and which one it is. One cache line.
const RTP_LEN: usize = size_of::<Cipher>() - size_of::<GcmCipher>() + GcmCipher::RTP_LEN;
const _: () = assert!(RTP_LEN <= 64);

/// RTP packets of a stream are numbered with 48 bits under one key (RFC 3711 §9.2).
const RTP_NUMBERS: u64 = 1 << 48;

/// Protects what we send. The numbers of RTP packets are the caller's; those of RTCP are counted here. What RTP needs stands first.
#[repr(C)]
pub struct SrtpSender {
    cipher: Cipher,
    profile: ProtectionProfile,
    /// SRTCP index of the next packet: one count for all SSRCs of the session, which keeps each (SSRC, index) unique.
    next_rtcp_index: u32,
}

impl SrtpSender {
    /// Derives the session keys.
    pub fn new(key: &MasterKey) -> Result<Self, SrtpError> {
        Ok(Self { cipher: Cipher::new(key)?, profile: key.profile(), next_rtcp_index: 0 })
    }

    /// How packets are protected.
    #[must_use]
    pub const fn profile(&self) -> ProtectionProfile {
        self.profile
    }

    /// Brings near what [`protect_rtp`](Self::protect_rtp) needs, but for the key.
    #[inline(always)]
    pub fn prefetch(&self) {
        prefetch(self, RTP_LEN);
    }

    /// Brings near the key that [`protect_rtp`](Self::protect_rtp) needs, which is far where a bridge has many of them. The sender
    /// itself has to be near by then.
    #[inline(always)]
    pub fn prefetch_key(&self) {
        match &self.cipher {
            Cipher::Gcm(cipher) => cipher.prefetch_key(),
            // It takes ten times as long as its key to come.
            Cipher::Cm(_) => {}
        }
    }

    /// Writes the protected packet to the start of `dest` and returns its length: that of `plain` and the tag.
    ///
    /// `seq` extends the number in `plain.header`, and its roll-over count starts at 0 for each SSRC. Two packets that
    /// differ in any byte must never be protected under one SSRC and `seq`: with GCM that gives the key away. So a
    /// retransmission goes out as RTX or is sent again as the very bytes of the first time.
    pub fn protect_rtp(&self, plain: &RtpParts<'_>, seq: ExtSeqNum, dest: &mut [u8]) -> Result<usize, SrtpError> {
        let Some(&[.., s0, s1, _, _, _, _, r0, r1, r2, r3]) = plain.header.first_chunk::<FIXED_HEADER_LEN>() else {
            return Err(SrtpError::Header(RtpError::Truncated));
        };
        debug_assert_eq!(u16::from_be_bytes([s0, s1]), seq.wire().0, "header and extended number differ");
        if seq.0 >= RTP_NUMBERS {
            return Err(SrtpError::NumbersExhausted);
        }
        let ssrc = Ssrc(u32::from_be_bytes([r0, r1, r2, r3]));
        let len = plain.len() + self.profile.tag_len();
        let dest = room(dest, len)?;
        let sealed = match &self.cipher {
            Cipher::Gcm(cipher) => cipher.seal_rtp(plain, seq, ssrc, dest),
            Cipher::Cm(cipher) => cipher.seal_rtp(plain, seq, ssrc, dest),
        };
        sealed.map(|()| len).ok_or(SrtpError::Key)
    }

    /// Writes the protected compound to the start of `dest` and returns its length: that of `plain`, index and tag.
    pub fn protect_rtcp(&mut self, plain: &[u8], dest: &mut [u8]) -> Result<usize, SrtpError> {
        let Some(&[.., r0, r1, r2, r3]) = plain.first_chunk::<RTCP_CLEAR_LEN>() else {
            return Err(SrtpError::TooShort);
        };
        let index = self.next_rtcp_index;
        if index & SRTCP_E_BIT != 0 {
            return Err(SrtpError::NumbersExhausted);
        }
        let ssrc = Ssrc(u32::from_be_bytes([r0, r1, r2, r3]));
        let len = plain.len() + self.profile.tag_len() + SRTCP_INDEX_LEN;
        let dest = room(dest, len)?;
        self.next_rtcp_index += 1;
        let sealed = match &self.cipher {
            Cipher::Gcm(cipher) => cipher.seal_rtcp(plain, index, ssrc, dest),
            Cipher::Cm(cipher) => cipher.seal_rtcp(plain, index, ssrc, dest),
        };
        sealed.map(|()| len).ok_or(SrtpError::Key)
    }
}

impl fmt::Debug for SrtpSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SrtpSender").field("profile", &self.profile).finish_non_exhaustive()
    }
}

fn room(dest: &mut [u8], need: usize) -> Result<&mut [u8], SrtpError> {
    let have = dest.len();
    dest.get_mut(..need).ok_or(SrtpError::Buffer(BufferTooSmall { need, have }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender() -> SrtpSender {
        SrtpSender::new(&MasterKey::new(ProtectionProfile::AeadAes128Gcm, &[1; 16], &[2; 12]).unwrap()).unwrap()
    }

    const HEADER: [u8; 12] = [0x80, 111, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7];

    #[test]
    fn says_how_much_room_it_needs() {
        let plain = RtpParts { header: &HEADER, prefix: &[], payload: &[1, 2, 3] };
        let error = sender().protect_rtp(&plain, ExtSeqNum(1), &mut [0; 30]).unwrap_err();
        assert_eq!(error, SrtpError::Buffer(BufferTooSmall { need: 31, have: 30 }));
        assert_eq!(sender().protect_rtp(&plain, ExtSeqNum(1), &mut [0; 40]), Ok(31));
        assert_eq!(sender().protect_rtcp(&HEADER, &mut [0; 31]).map_err(SrtpError::reason), Err("srtp_buffer"));
    }

    #[test]
    fn stops_when_numbers_are_used_up() {
        let plain = RtpParts { header: &HEADER, prefix: &[], payload: &[1, 2, 3] };
        let mut dest = [0; 64];
        assert!(sender().protect_rtp(&plain, ExtSeqNum(RTP_NUMBERS - 65_535), &mut dest).is_ok());
        assert_eq!(
            sender().protect_rtp(&plain, ExtSeqNum(RTP_NUMBERS + 1), &mut dest),
            Err(SrtpError::NumbersExhausted)
        );
        let mut sender = sender();
        sender.next_rtcp_index = SRTCP_E_BIT - 1;
        assert!(sender.protect_rtcp(&HEADER, &mut dest).is_ok());
        assert_eq!(sender.protect_rtcp(&HEADER, &mut dest), Err(SrtpError::NumbersExhausted));
    }

    #[test]
    fn refuses_what_has_no_header() {
        let plain = RtpParts { header: &HEADER[..11], prefix: &[], payload: &[] };
        assert!(sender().protect_rtp(&plain, ExtSeqNum(1), &mut [0; 64]).is_err());
        assert_eq!(sender().protect_rtcp(&[0x80, 201, 0, 0], &mut [0; 64]), Err(SrtpError::TooShort));
    }
}
