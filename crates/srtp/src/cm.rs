//! AES_CM_128_HMAC_SHA1_80: AES in counter mode and a shortened HMAC-SHA1 (RFC 3711 §4.1.1, §4.2.1).

use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::{constant_time, hmac};
use model::{ExtSeqNum, Ssrc};
use rtp::RtpParts;
use zeroize::Zeroizing;

use crate::error::SrtpError;
use crate::kdf::{Label, derive_array};
use crate::keys::{MasterKey, SALT_WIDTH};
use crate::{RTCP_CLEAR_LEN, SRTCP_E_BIT, SRTCP_INDEX_LEN};

pub(crate) const TAG_LEN: usize = 10;

/// Session keys of one direction.
pub(crate) struct CmCipher {
    rtp: Half,
    rtcp: Half,
}

/// The keys of RTP or those of RTCP.
struct Half {
    encryption: EncryptingKey,
    authentication: hmac::Key,
    salt: [u8; SALT_WIDTH],
}

impl CmCipher {
    pub(crate) fn derive(master: &MasterKey) -> Result<Self, SrtpError> {
        Ok(Self {
            rtp: Half::derive(master, [Label::RtpEncryption, Label::RtpAuthentication, Label::RtpSalt])?,
            rtcp: Half::derive(master, [Label::RtcpEncryption, Label::RtcpAuthentication, Label::RtcpSalt])?,
        })
    }

    /// Seals into `dest`, which is exactly as long as the packet and its tag.
    pub(crate) fn seal_rtp(&self, plain: &RtpParts<'_>, seq: ExtSeqNum, ssrc: Ssrc, dest: &mut [u8]) -> Option<()> {
        let (packet, tag) = dest.split_last_chunk_mut::<TAG_LEN>()?;
        let (header, body) = packet.split_at_mut_checked(plain.header.len())?;
        // The one copy of the packet; counter mode then works in place.
        header.copy_from_slice(plain.header);
        let (prefix, payload) = body.split_at_mut_checked(plain.prefix.len())?;
        prefix.copy_from_slice(plain.prefix);
        payload.copy_from_slice(plain.payload);
        self.rtp.apply_key_stream(body, ssrc, seq.0)?;
        *tag = self.rtp.tag(packet, &seq.roll_over().to_be_bytes())?;
        Some(())
    }

    /// Checks the tag, then opens in place behind the header. None where the tag does not match.
    pub(crate) fn open_rtp(&self, packet: &mut [u8], header_len: usize, seq: ExtSeqNum, ssrc: Ssrc) -> Option<usize> {
        let (sealed, tag) = packet.split_last_chunk_mut::<TAG_LEN>()?;
        let expected = self.rtp.tag(sealed, &seq.roll_over().to_be_bytes())?;
        constant_time::verify_slices_are_equal(&expected, tag).ok()?;
        let len = sealed.len();
        self.rtp.apply_key_stream(sealed.get_mut(header_len..)?, ssrc, seq.0)?;
        Some(len)
    }

    /// Seals into `dest`, which is exactly as long as the packet, the index word and the tag (RFC 3711 §3.4: in that
    /// order).
    pub(crate) fn seal_rtcp(&self, plain: &[u8], index: u32, ssrc: Ssrc, dest: &mut [u8]) -> Option<()> {
        let (authenticated, tag) = dest.split_last_chunk_mut::<TAG_LEN>()?;
        let (packet, trailer) = authenticated.split_last_chunk_mut::<SRTCP_INDEX_LEN>()?;
        *trailer = (SRTCP_E_BIT | index).to_be_bytes();
        packet.copy_from_slice(plain);
        self.rtcp.apply_key_stream(packet.get_mut(RTCP_CLEAR_LEN..)?, ssrc, u64::from(index))?;
        *tag = self.rtcp.tag(authenticated, &[])?;
        Some(())
    }

    /// Checks the tag, then opens in place. None where the tag does not match.
    pub(crate) fn open_rtcp(&self, packet: &mut [u8], index_word: u32, ssrc: Ssrc) -> Option<usize> {
        let (authenticated, tag) = packet.split_last_chunk_mut::<TAG_LEN>()?;
        let expected = self.rtcp.tag(authenticated, &[])?;
        constant_time::verify_slices_are_equal(&expected, tag).ok()?;
        let (sealed, _) = authenticated.split_last_chunk_mut::<SRTCP_INDEX_LEN>()?;
        let len = sealed.len();
        let index = u64::from(index_word & !SRTCP_E_BIT);
        self.rtcp.apply_key_stream(sealed.get_mut(RTCP_CLEAR_LEN..)?, ssrc, index)?;
        Some(len)
    }
}

impl Half {
    fn derive(master: &MasterKey, [encryption, authentication, salt]: [Label; 3]) -> Result<Self, SrtpError> {
        let key = Zeroizing::new(derive_array::<16>(master, encryption)?);
        let key = UnboundCipherKey::new(&AES_128, key.as_slice()).map_err(|_| SrtpError::Key)?;
        let authentication = Zeroizing::new(derive_array::<20>(master, authentication)?);
        Ok(Self {
            encryption: EncryptingKey::ctr(key).map_err(|_| SrtpError::Key)?,
            authentication: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, authentication.as_slice()),
            salt: derive_array(master, salt)?,
        })
    }

    /// RFC 3711 §4.1.1: IV = (salt << 16) XOR (SSRC << 64) XOR (index << 16). `index` has 48 bits.
    fn apply_key_stream(&self, bytes: &mut [u8], ssrc: Ssrc, index: u64) -> Option<()> {
        let mut iv = (u128::from(ssrc.0) << 64 | u128::from(index & 0xffff_ffff_ffff) << 16).to_be_bytes();
        for (byte, salt) in iv.iter_mut().zip(self.salt) {
            *byte ^= salt;
        }
        self.encryption.less_safe_encrypt(bytes, EncryptionContext::Iv128((&iv).into())).ok().map(|_| ())
    }

    /// The first 80 bits of the HMAC over both pieces.
    fn tag(&self, packet: &[u8], roll_over: &[u8]) -> Option<[u8; TAG_LEN]> {
        let mut context = hmac::Context::with_key(&self.authentication);
        context.update(packet);
        context.update(roll_over);
        context.sign().as_ref().first_chunk().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    fn half(key: &[u8], salt: &[u8], authentication: &[u8]) -> Half {
        Half {
            encryption: EncryptingKey::ctr(UnboundCipherKey::new(&AES_128, key).unwrap()).unwrap(),
            authentication: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, authentication),
            salt: salt.try_into().unwrap(),
        }
    }

    /// RFC 3711 appendix B.2: SSRC, roll-over and sequence number 0; blocks 0 to 2 and 0xfeff to 0xff01.
    #[test]
    fn key_stream_is_that_of_the_rfc() {
        let half = half(&hex("2B7E151628AED2A6ABF7158809CF4F3C"), &hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD"), &[]);
        let mut stream = vec![0; 16 * 0xff02];
        half.apply_key_stream(&mut stream, Ssrc(0), 0).unwrap();
        let blocks = [
            (0, "E03EAD0935C95E80E166B16DD92B4EB4"),
            (1, "D23513162B02D0F72A43A2FE4A5F97AB"),
            (2, "41E95B3BB0A2E8DD477901E4FCA894C0"),
            (0xfeff, "EC8CDF7398607CB0F2D21675EA9EA1E4"),
            (0xff00, "362B7C3C6773516318A077D7FC5073AE"),
            (0xff01, "6A2CC3787889374FBEB4C81B17BA6C44"),
        ];
        for (block, expected) in blocks {
            assert_eq!(stream[16 * block..16 * (block + 1)], hex(expected), "block {block:#x}");
        }
    }

    /// RFC 2202 §3, tests 1 and 6, cut to 80 bits.
    #[test]
    fn tag_is_the_shortened_hmac_of_the_rfc() {
        let of = |key: &[u8], message: &[u8]| half(&[0; 16], &[0; 14], key).tag(message, &[]).unwrap().to_vec();
        assert_eq!(of(&[0x0b; 20], b"Hi There"), hex("b617318655057264e28b"));
        let long_key = of(&[0xaa; 80], b"Test Using Larger Than Block-Size Key - Hash Key First");
        assert_eq!(long_key, hex("aa4ae5e15272d00e9570"));
    }
}
