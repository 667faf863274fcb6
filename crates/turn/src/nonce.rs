//! Nonces that the server need not remember: the time, and a tag over it and the client's address.

use std::net::SocketAddr;

use aws_lc_rs::{constant_time, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::FiveTuple;

/// How long a nonce serves. RFC 8656 §7.2 wants it to change at least once an hour.
const LIFETIME_S: u64 = 3600;
/// 64 bits: a guess is right once in 2⁶⁴ tries, and what it would win is one more replay within a path.
const TAG_BYTES: usize = 8;
const TIME_BYTES: usize = 4;

/// Makes nonces and knows its own.
pub(crate) struct NonceKey(hmac::Key);

impl NonceKey {
    pub(crate) fn new(random: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, random))
    }

    /// A nonce for the client at the end of `path`.
    pub(crate) fn issue(&self, unix_s: u64, path: FiveTuple) -> String {
        // Seconds since 1970 wrap in 2106; a nonce of that second is then taken for stale, and replaced.
        let time = (unix_s as u32).to_be_bytes();
        let mut bytes = time.to_vec();
        bytes.extend(self.tag(time, path));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Whether a nonce was made here for that client, not long ago.
    pub(crate) fn is_fresh(&self, nonce: &[u8], unix_s: u64, path: FiveTuple) -> bool {
        let mut bytes = [0; TIME_BYTES + TAG_BYTES];
        if URL_SAFE_NO_PAD.decode_slice(nonce, &mut bytes) != Ok(bytes.len()) {
            return false;
        }
        let Some((&time, tag)) = bytes.split_first_chunk::<TIME_BYTES>() else { return false };
        let is_own = constant_time::verify_slices_are_equal(&self.tag(time, path), tag).is_ok();
        let age = (unix_s as u32).wrapping_sub(u32::from_be_bytes(time));
        is_own && u64::from(age) <= LIFETIME_S
    }

    fn tag(&self, time: [u8; TIME_BYTES], path: FiveTuple) -> [u8; TAG_BYTES] {
        let FiveTuple { protocol, remote, .. } = path;
        let mut context = hmac::Context::with_key(&self.0);
        context.update(&time);
        context.update(protocol.as_str().as_bytes());
        context.update(address_text(remote).as_bytes());
        let mut tag = [0; TAG_BYTES];
        for (to, from) in tag.iter_mut().zip(context.sign().as_ref()) {
            *to = *from;
        }
        tag
    }
}

/// Unlike the address itself, the same for the same address whatever its flow label.
fn address_text(address: SocketAddr) -> String {
    format!("{} {}", address.ip(), address.port())
}

impl std::fmt::Debug for NonceKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NonceKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(port: u16) -> FiveTuple {
        FiveTuple::udp(([192, 0, 2, 1], 3478).into(), ([198, 51, 100, 7], port).into())
    }

    #[test]
    fn a_nonce_serves_its_client_for_an_hour() {
        let key = NonceKey::new(&[1; 32]);
        let nonce = key.issue(1_000, path(5));
        assert!(key.is_fresh(nonce.as_bytes(), 1_000, path(5)));
        assert!(key.is_fresh(nonce.as_bytes(), 4_600, path(5)));
        assert!(!key.is_fresh(nonce.as_bytes(), 4_601, path(5)), "too old");
        assert!(!key.is_fresh(nonce.as_bytes(), 999, path(5)), "from the future");
        assert!(!key.is_fresh(nonce.as_bytes(), 1_000, path(6)), "of another client");
        assert!(!NonceKey::new(&[2; 32]).is_fresh(nonce.as_bytes(), 1_000, path(5)), "of another server");
    }

    #[test]
    fn what_was_not_made_here_is_stale() {
        let key = NonceKey::new(&[1; 32]);
        let nonce = key.issue(1_000, path(5));
        for forged in ["", "x", &"A".repeat(16), &"A".repeat(400), &nonce[1..], &format!("{nonce}A")] {
            assert!(!key.is_fresh(forged.as_bytes(), 1_000, path(5)), "{forged}");
        }
    }
}
