//! AEAD_AES_128_GCM and AEAD_AES_256_GCM (RFC 7714).

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use model::{ExtSeqNum, Ssrc, prefetch_behind};
use rtp::RtpParts;

use crate::error::SrtpError;
use crate::kdf::{Label, derive, derive_array};
use crate::keys::MasterKey;
use crate::{RTCP_CLEAR_LEN, SRTCP_E_BIT, SRTCP_INDEX_LEN};

pub(crate) const TAG_LEN: usize = 16;

const SALT_LEN: usize = 12;

/// What aws-lc keeps of a key, in one piece: round keys, powers of the hash key, functions.
const KEY_LEN: usize = 600;

/// Session keys and salts of one direction.
#[repr(C)]
pub(crate) struct GcmCipher {
    rtp_key: LessSafeKey,
    rtp_salt: Salt,
    rtcp_key: LessSafeKey,
    rtcp_salt: Salt,
}

impl GcmCipher {
    /// Bytes from the first on that RTP needs.
    pub(crate) const RTP_LEN: usize = std::mem::offset_of!(Self, rtcp_key);

    pub(crate) fn derive(master: &MasterKey) -> Result<Self, SrtpError> {
        let key_len = master.key().len();
        let mut key = zeroize::Zeroizing::new([0; 32]);
        let mut session_key = |label| {
            let key = key.get_mut(..key_len).ok_or(SrtpError::Key)?;
            derive(master, label, key)?;
            aead_key(key)
        };
        Ok(Self {
            rtp_key: session_key(Label::RtpEncryption)?,
            rtp_salt: Salt::new(derive_array(master, Label::RtpSalt)?),
            rtcp_key: session_key(Label::RtcpEncryption)?,
            rtcp_salt: Salt::new(derive_array(master, Label::RtcpSalt)?),
        })
    }

    /// Brings near what [`seal_rtp`](Self::seal_rtp) needs of the key.
    #[inline(always)]
    pub(crate) fn prefetch_key(&self) {
        prefetch_behind(&self.rtp_key, KEY_LEN);
    }

    /// Seals into `dest`, which is exactly as long as the packet and its tag.
    pub(crate) fn seal_rtp(&self, plain: &RtpParts<'_>, seq: ExtSeqNum, ssrc: Ssrc, dest: &mut [u8]) -> Option<()> {
        let nonce = self.rtp_salt.rtp_nonce(ssrc, seq);
        let (header, rest) = dest.split_at_mut_checked(plain.header.len())?;
        let (body, tag) = rest.split_at_mut_checked(plain.prefix.len() + plain.payload.len())?;
        let aad = Aad::from(plain.header);
        let sealed = if plain.prefix.is_empty() {
            // The cipher copies the payload.
            self.rtp_key.seal_out_of_place_scatter(nonce, aad, plain.payload, body, &[], tag)
        } else {
            // Copied and sealed in place: sealing the second piece behind the first (`extra_in`) falls out of step with the
            // blocks, which costs as much as the copy at 1200 bytes and more below.
            let (prefix, payload) = body.split_at_mut_checked(plain.prefix.len())?;
            prefix.copy_from_slice(plain.prefix);
            payload.copy_from_slice(plain.payload);
            self.rtp_key.seal_in_place_scatter(nonce, aad, body, &[], tag)
        };
        // The one copy of the header. Last, since it was written just before, and in other pieces than it is copied in.
        header.copy_from_slice(plain.header);
        sealed.ok()
    }

    /// Opens in place behind the header. None where the tag does not match.
    pub(crate) fn open_rtp(&self, packet: &mut [u8], header_len: usize, seq: ExtSeqNum, ssrc: Ssrc) -> Option<usize> {
        let nonce = self.rtp_salt.rtp_nonce(ssrc, seq);
        let (header, sealed) = packet.split_at_mut_checked(header_len)?;
        let plain = self.rtp_key.open_in_place(nonce, Aad::from(&*header), sealed).ok()?;
        Some(header_len + plain.len())
    }

    /// Seals into `dest`, which is exactly as long as the packet, its tag and the index word (RFC 7714 §9.1: in that
    /// order).
    pub(crate) fn seal_rtcp(&self, plain: &[u8], index: u32, ssrc: Ssrc, dest: &mut [u8]) -> Option<()> {
        let nonce = self.rtcp_salt.rtcp_nonce(ssrc, index);
        let word = (SRTCP_E_BIT | index).to_be_bytes();
        let (header, payload) = plain.split_first_chunk::<RTCP_CLEAR_LEN>()?;
        let (sealed, trailer) = dest.split_last_chunk_mut::<SRTCP_INDEX_LEN>()?;
        let (clear, sealed) = sealed.split_first_chunk_mut::<RTCP_CLEAR_LEN>()?;
        let (body, tag) = sealed.split_at_mut_checked(payload.len())?;
        self.rtcp_key.seal_out_of_place_scatter(nonce, rtcp_aad(header, word), payload, body, &[], tag).ok()?;
        *clear = *header;
        *trailer = word;
        Some(())
    }

    /// Opens in place. `index_word` is what stands behind the tag. None where the tag does not match.
    pub(crate) fn open_rtcp(&self, packet: &mut [u8], index_word: u32, ssrc: Ssrc) -> Option<usize> {
        let nonce = self.rtcp_salt.rtcp_nonce(ssrc, index_word & !SRTCP_E_BIT);
        let (sealed, _) = packet.split_last_chunk_mut::<SRTCP_INDEX_LEN>()?;
        let (header, sealed) = sealed.split_first_chunk_mut::<RTCP_CLEAR_LEN>()?;
        let aad = rtcp_aad(header, index_word.to_be_bytes());
        let plain = self.rtcp_key.open_in_place(nonce, aad, sealed).ok()?;
        Some(RTCP_CLEAR_LEN + plain.len())
    }
}

fn aead_key(key: &[u8]) -> Result<LessSafeKey, SrtpError> {
    let algorithm = if key.len() == 32 { &AES_256_GCM } else { &AES_128_GCM };
    UnboundKey::new(algorithm, key).map(LessSafeKey::new).map_err(|_| SrtpError::Key)
}

/// A session salt in two words, into which numbers are mixed word by word. The nonce is written in the pieces in which the
/// cipher reads it: what was written in others can be read only once it has left the processor, and all before it.
struct Salt {
    high: u64,
    low: u32,
}

impl Salt {
    const fn new(bytes: [u8; SALT_LEN]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = bytes;
        Self { high: u64::from_be_bytes([a, b, c, d, e, f, g, h]), low: u32::from_be_bytes([i, j, k, l]) }
    }

    /// RFC 7714 §8.1: two zero bytes, SSRC, roll-over counter, sequence number; XOR salt.
    fn rtp_nonce(&self, ssrc: Ssrc, seq: ExtSeqNum) -> Nonce {
        // The low 48 bits of the extended number are roll-over counter and sequence number.
        self.nonce(ssrc, seq.0 & 0xffff_ffff_ffff)
    }

    /// RFC 7714 §9.1: two zero bytes, SSRC, two zero bytes, index; XOR salt.
    fn rtcp_nonce(&self, ssrc: Ssrc, index: u32) -> Nonce {
        self.nonce(ssrc, u64::from(index))
    }

    fn nonce(&self, ssrc: Ssrc, low_48_bits: u64) -> Nonce {
        let mut nonce = [0; SALT_LEN];
        let (high, low) = nonce.split_at_mut(size_of::<u64>());
        high.copy_from_slice(&(self.high ^ (u64::from(ssrc.0) << 16 | low_48_bits >> 32)).to_be_bytes());
        low.copy_from_slice(&(self.low ^ low_48_bits as u32).to_be_bytes());
        Nonce::assume_unique_for_key(nonce)
    }
}

/// RFC 7714 §9.2: the clear header, then the word of E bit and index.
fn rtcp_aad(header: &[u8; RTCP_CLEAR_LEN], word: [u8; SRTCP_INDEX_LEN]) -> Aad<[u8; RTCP_CLEAR_LEN + SRTCP_INDEX_LEN]> {
    let [a, b, c, d, e, f, g, h] = *header;
    let [i, j, k, l] = word;
    Aad::from([a, b, c, d, e, f, g, h, i, j, k, l])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    /// The session key and salt of RFC 7714 §16 and §17.
    fn cipher(key_len: u8) -> GcmCipher {
        let key: Vec<u8> = (0..key_len).collect();
        let salt = hex("517569642070726f2071756f").try_into().unwrap();
        GcmCipher {
            rtp_key: aead_key(&key).unwrap(),
            rtp_salt: Salt::new(salt),
            rtcp_key: aead_key(&key).unwrap(),
            rtcp_salt: Salt::new(salt),
        }
    }

    const RTP_PLAIN: &str = "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976 69736120 696e2070
                             61727465 73207472 6573";
    const RTCP_PLAIN: &str = "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 deadbeef deadbeef
                              deadbeef deadbeef deadbeef";

    /// RFC 7714 §16.1 and §16.2: roll-over counter 0, sequence number f17b.
    #[test]
    fn rtp_vectors_of_the_rfc() {
        let cases = [
            (
                16,
                "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f 42a5f47a 51c7d19b
                 36de3adf 8833899d 7f27beb1 6a9152cf 765ee439 0cce",
            ),
            (
                32,
                "8040f17b 8041f8d3 5501a0b2 32b1de78 a822fe12 ef9f78fa 332e33aa b1801238 9a58e2f3 b50b2a02 76ffae0f
                 1ba63799 b87b7aa3 db36dfff d6b0f9bb 7878d7a7 6c13",
            ),
        ];
        let (ssrc, seq) = (Ssrc(0x5501_a0b2), ExtSeqNum(0xf17b));
        let plain = hex(RTP_PLAIN);
        for (key_len, sealed) in cases {
            let sealed = hex(sealed);
            // In one piece and with a prefix: the same bytes.
            for prefix_len in [0, 2] {
                let mut dest = vec![0; plain.len() + TAG_LEN];
                let parts = RtpParts {
                    header: &plain[..12],
                    prefix: &plain[12..12 + prefix_len],
                    payload: &plain[12 + prefix_len..],
                };
                cipher(key_len).seal_rtp(&parts, seq, ssrc, &mut dest).unwrap();
                assert_eq!(dest, sealed);
            }
            let mut packet = sealed.clone();
            let len = cipher(key_len).open_rtp(&mut packet, 12, seq, ssrc).unwrap();
            assert_eq!(packet[..len], plain);
        }
    }

    /// RFC 7714 §17.1 and §17.2: index 5d4.
    #[test]
    fn rtcp_vectors_of_the_rfc() {
        let cases = [
            (
                16,
                "81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1 730d6fda 4ce09b46
                 86303ded 0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade 800005d4",
            ),
            (
                32,
                "81c8000d 4d617273 d50ae4d1 f5ce5d30 4ba297e4 7d470c28 2c3ece5d bffe0a50 a2eaa5c1 110555be 8415f658
                 c61de047 6f1b6fad 1d1eb30c 4446839f 57ff6f6c b26ac3be 800005d4",
            ),
        ];
        let ssrc = Ssrc(0x4d61_7273);
        let plain = hex(RTCP_PLAIN);
        for (key_len, sealed) in cases {
            let sealed = hex(sealed);
            let mut dest = vec![0; plain.len() + TAG_LEN + SRTCP_INDEX_LEN];
            cipher(key_len).seal_rtcp(&plain, 0x5d4, ssrc, &mut dest).unwrap();
            assert_eq!(dest, sealed);
            let mut packet = sealed.clone();
            let len = cipher(key_len).open_rtcp(&mut packet, SRTCP_E_BIT | 0x5d4, ssrc).unwrap();
            assert_eq!(packet[..len], plain);
        }
    }
}
