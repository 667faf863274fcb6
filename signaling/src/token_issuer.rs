//! Tokens that this server gives out: links that let somebody into a room, signed with the secret that tokens are checked by.

use std::time::Duration;

use auth::{Algorithm, MAX_TOKEN_BYTES, NewToken, NotIssued, TokenUser};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::Secret;

/// Longest that a token which another system asks for is good. It cannot be taken back.
const LONGEST: Duration = Duration::from_secs(31 * 24 * 60 * 60);
/// How long it is good when nothing is said.
const USUAL: Duration = Duration::from_secs(60 * 60);

/// Who gives tokens out.
#[derive(Clone, Debug)]
pub struct TokenIssuer {
    /// What it is called; the server has to believe it.
    pub issuer: String,
    /// Whom tokens are for that do not say so: the issuer when left out.
    pub audience: Option<String>,
    /// The secret that it signs with.
    pub secret: Secret,
    /// How it signs.
    pub algorithm: Algorithm,
    /// URL under which clients reach the server, for links.
    pub public_url: Option<String>,
}

/// A token that is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenRequest {
    /// The name of the room, as people type it, or `*` for every one.
    pub room: String,
    /// The tenant of the room.
    pub tenant: Option<String>,
    /// Who it is for.
    pub user: TokenUser,
    /// The group of the user.
    pub group: Option<String>,
    /// Whether the user moderates the room.
    pub is_moderator: bool,
    /// What the user may do whatever his role; empty to leave it to that.
    pub features: Vec<(String, bool)>,
    /// Whom it is for, where the server takes some audiences only.
    pub audience: Option<String>,
    /// How long it is good, from its beginning on.
    pub lasts: Duration,
    /// In how long it begins to be good.
    pub begins_in: Option<Duration>,
}

/// What was given out.
#[derive(Clone, PartialEq, Eq)]
pub struct IssuedToken {
    /// The token.
    pub token: String,
    /// The link that opens the room with it, where the address of the server is known.
    pub url: Option<String>,
    /// Until when it is good, in seconds since 1970.
    pub expires: u64,
}

/// Whoever has a token is its user, so it is not printed.
impl std::fmt::Debug for IssuedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuedToken").field("expires", &self.expires).finish_non_exhaustive()
    }
}

impl TokenIssuer {
    /// Gives out a token; `unix_s` is now.
    ///
    /// # Errors
    /// With an algorithm that takes no secret.
    pub fn give_out(&self, request: &TokenRequest, unix_s: u64) -> Result<IssuedToken, NotIssued> {
        // As clients write the name into the address of the room.
        let room = match request.room.as_str() {
            "*" => "*".to_owned(),
            name => encoded(&name.to_lowercase()).to_lowercase(),
        };
        let begins = unix_s.saturating_add(request.begins_in.unwrap_or_default().as_secs());
        let expires = begins.saturating_add(request.lasts.as_secs());
        let token = NewToken {
            issuer: self.issuer.clone(),
            audience: request.audience.as_ref().or(self.audience.as_ref()).unwrap_or(&self.issuer).clone(),
            room,
            tenant: request.tenant.clone().unwrap_or_else(|| "*".to_owned()),
            user: request.user.clone(),
            group: request.group.clone(),
            is_moderator: request.is_moderator,
            features: request.features.clone(),
            not_before: request.begins_in.map(|_| begins),
            expires,
        };
        let token = token.sign(self.algorithm, self.secret.expose().as_bytes())?;
        Ok(IssuedToken { url: self.url(request, &token), token, expires })
    }

    fn url(&self, request: &TokenRequest, token: &str) -> Option<String> {
        let url = self.public_url.as_ref()?;
        let tenant = request.tenant.as_ref().map(|tenant| format!("{}/", encoded(tenant))).unwrap_or_default();
        let room = if request.room == "*" { String::new() } else { encoded(&request.room) };
        Some(format!("{url}/{tenant}{room}?jwt={token}"))
    }
}

impl TokenRequest {
    /// What another system asks for in JSON: `room`, and if it likes `tenant`, `user` (`id`, `name`, `email`, `avatar`), `group`,
    /// `moderator`, `features`, `audience`, `expires_in` and `starts_in` in seconds. `None` for anything that is not as it should be:
    /// what is misspelt would be forgotten, and give more than was meant.
    pub(crate) fn of_json(json: &Value) -> Option<Self> {
        const KNOWN: [&str; 9] =
            ["room", "tenant", "user", "group", "moderator", "features", "audience", "expires_in", "starts_in"];
        let object = json.as_object().filter(|object| object.keys().all(|key| KNOWN.contains(&key.as_str())))?;
        let text = |value: Option<&Value>| match value {
            None | Some(Value::Null) => Some(None),
            Some(value) => value.as_str().map(|text| Some(text.to_owned())),
        };
        let seconds = |name: &str| match object.get(name) {
            None | Some(Value::Null) => Some(None),
            Some(value) => value.as_u64().map(|seconds| Some(Duration::from_secs(seconds))),
        };
        let user = match object.get("user") {
            None | Some(Value::Null) => TokenUser::default(),
            Some(user) => {
                let user = user.as_object()?;
                TokenUser {
                    id: text(user.get("id"))?,
                    name: text(user.get("name"))?,
                    email: text(user.get("email"))?,
                    avatar: text(user.get("avatar"))?,
                }
            }
        };
        let features = match object.get("features") {
            None | Some(Value::Null) => Vec::new(),
            Some(features) => {
                let allowed = |(name, allowed): (&String, &Value)| Some((name.clone(), allowed.as_bool()?));
                features.as_object()?.iter().map(allowed).collect::<Option<_>>()?
            }
        };
        let lasts = seconds("expires_in")?.unwrap_or(USUAL);
        let begins_in = seconds("starts_in")?;
        let room = object.get("room")?.as_str().filter(|room| !room.is_empty())?;
        if lasts.is_zero() || lasts > LONGEST || begins_in.is_some_and(|begins| begins > LONGEST) {
            return None;
        }
        Some(Self {
            room: room.to_owned(),
            tenant: text(object.get("tenant"))?,
            user,
            group: text(object.get("group"))?,
            is_moderator: object.get("moderator").map_or(Some(false), Value::as_bool)?,
            features,
            audience: text(object.get("audience"))?,
            lasts,
            begins_in,
        })
    }
}

impl IssuedToken {
    /// Whether a server would look at it.
    pub(crate) fn is_usable(&self) -> bool {
        self.token.len() <= MAX_TOKEN_BYTES
    }
}

/// As JavaScript's `encodeURIComponent`.
fn encoded(text: &str) -> String {
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'_')
        .remove(b'.')
        .remove(b'!')
        .remove(b'~')
        .remove(b'*')
        .remove(b'\'')
        .remove(b'(')
        .remove(b')');
    utf8_percent_encode(text, KEPT).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_as_it_should_be_is_no_request() {
        let whole = json!({
            "room": "Demo", "tenant": "acme", "user": {"id": "7", "name": "Awa"}, "group": "staff", "moderator": true,
            "features": {"recording": false}, "audience": "chat", "expires_in": 60, "starts_in": 5,
        });
        let request = TokenRequest::of_json(&whole).unwrap();
        assert_eq!((request.room.as_str(), request.tenant.as_deref()), ("Demo", Some("acme")));
        assert_eq!((request.lasts, request.begins_in), (Duration::from_secs(60), Some(Duration::from_secs(5))));
        assert!(request.is_moderator && request.features == [("recording".to_owned(), false)]);
        assert_eq!(TokenRequest::of_json(&json!({"room": "r"})).unwrap().lasts, USUAL);
        for (name, bad) in [
            ("room", json!("")),
            ("room", json!(7)),
            ("moderator", json!("yes")),
            ("features", json!({"recording": "no"})),
            ("features", json!([])),
            ("user", json!("Awa")),
            ("user", json!({"name": 7})),
            ("expires_in", json!(0)),
            ("expires_in", json!(1e12)),
            ("expires_in", json!(LONGEST.as_secs() + 1)),
            ("starts_in", json!(-1)),
            ("moderater", json!(false)),
        ] {
            let mut request = whole.clone();
            request[name] = bad.clone();
            assert_eq!(TokenRequest::of_json(&request), None, "{name}: {bad}");
        }
        assert_eq!(TokenRequest::of_json(&json!([])), None);
    }
}
