//! The token by which a server of others knows that it is we who call (`generateAsapToken` of stock).

use serde_json::{Value, json};

use crate::{Now, Secret, ShortLivedTokens};

/// A token is made anew when less than this is left of it, in seconds, as in stock (`asap_ttl_threshold`).
const RENEW_BEFORE_S: u64 = 600;

/// The token in use, and when it ends, in seconds since 1970. A signature takes a millisecond, so it serves for a while.
#[derive(Debug, Default)]
pub(super) struct BearerToken(Option<(Secret, u64)>);

impl BearerToken {
    /// The headers by which a request shows it now; none when it cannot be signed.
    pub(super) fn headers(&mut self, tokens: &ShortLivedTokens, now: Now) -> Vec<(&'static str, Secret)> {
        self.credentials(tokens, now).map(|credentials| ("authorization", credentials)).into_iter().collect()
    }

    fn credentials(&mut self, tokens: &ShortLivedTokens, now: Now) -> Option<Secret> {
        let now_s = now.unix_ms / 1000;
        if let Some((token, _)) = self.0.as_ref().filter(|(_, ends_s)| *ends_s > now_s + RENEW_BEFORE_S) {
            return Some(token.clone());
        }
        let ends_s = now_s + tokens.lifetime.as_secs();
        let payload = json!({
            "iss": tokens.issuer, "aud": tokens.audiences.first().map(|audience| Value::from(audience.as_str())),
            "nbf": now_s, "exp": ends_s,
        });
        let token = Secret::new(format!("Bearer {}", tokens.sign(&payload)?))?;
        self.0 = Some((token.clone(), ends_s));
        Some(token)
    }
}
