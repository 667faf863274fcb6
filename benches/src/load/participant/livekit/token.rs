//! The token that lets a participant into a room of LiveKit: a JSON web token that whoever has the API secret signs himself
//! (RFC 7519, 7515; HS256).

use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

/// Longest run that somebody joins in, with an ample rest.
const LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// Lets `identity` into `room`. `now` is the time since 1970.
#[must_use]
pub fn livekit_token(identity: &str, room: &str, key: &str, secret: &str, now: Duration) -> String {
    let claims = json!({
        "iss": key,
        "sub": identity,
        "name": identity,
        "exp": (now + LIFETIME).as_secs(),
        "video": { "roomJoin": true, "room": room, "canPublish": true, "canSubscribe": true },
    });
    let header = json!({ "alg": "HS256", "typ": "JWT" });
    let mut token = format!("{}.{}", part(header.to_string()), part(claims.to_string()));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signature = hmac::sign(&key, token.as_bytes());
    token.push('.');
    token.push_str(&part(signature));
    token
}

fn part(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_signed_claims() {
        let token = livekit_token("0000000a", "load-0", "peer", "secret", Duration::from_secs(1_000));
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"secret");
        hmac::verify(&key, signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
        let (_, claims) = signed.split_once('.').unwrap();
        let claims: serde_json::Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
        assert_eq!(
            (&claims["iss"], &claims["sub"], &claims["exp"]),
            (&json!("peer"), &json!("0000000a"), &json!(87_400))
        );
        assert_eq!((&claims["video"]["room"], &claims["video"]["roomJoin"]), (&json!("load-0"), &json!(true)));
    }
}
