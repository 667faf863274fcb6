//! Tokens for services beside the conference, such as the store of shared files (`mod_short_lived_token`, client.md §3): they say
//! for half a minute who somebody in a room is.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use xmpp::extdisco::{self, ExternalService};
use xmpp::{Condition, Element, StanzaError, datetime, iq_result, ns};

use crate::conference::Conferences;
use crate::context::{Context, Sender};
use crate::muc::{Occupant, Room};
use auth::pem_body;

/// The kind of service in XEP-0215 that stands for such a token.
const KIND: &str = "short-lived-token";

/// How tokens are made.
#[derive(Clone)]
pub struct ShortLivedTokens {
    /// Who makes them (`iss`).
    pub issuer: String,
    /// Services that they are made for (`aud`).
    pub audiences: Vec<String>,
    /// How long they serve; stock's example has half a minute.
    pub lifetime: Duration,
    /// The name by which services know the key (`kid`).
    pub key_id: String,
    key: Arc<KeyPair>,
}

impl fmt::Debug for ShortLivedTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShortLivedTokens").field("issuer", &self.issuer).field("key_id", &self.key_id).finish()
    }
}

impl ShortLivedTokens {
    /// Tokens signed with an RSA key in PEM; `None` when it is none.
    #[must_use]
    pub fn new(issuer: impl Into<String>, key_id: impl Into<String>, pem: &str) -> Option<Self> {
        let key = match pem_body(pem, "PRIVATE KEY") {
            Some(der) => KeyPair::from_pkcs8(&der),
            None => KeyPair::from_der(&pem_body(pem, "RSA PRIVATE KEY")?),
        };
        Some(Self {
            issuer: issuer.into(),
            audiences: vec!["file-sharing".to_owned()],
            lifetime: Duration::from_secs(30),
            key_id: key_id.into(),
            key: Arc::new(key.ok()?),
        })
    }

    /// A token with this payload.
    pub(crate) fn sign(&self, payload: &Value) -> Option<String> {
        let encode = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let header = json!({"alg": "RS256", "typ": "JWT", "kid": self.key_id});
        let signed = format!("{}.{}", encode(&header), encode(payload));
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).ok()?;
        Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// Whether a request asks for such a token.
pub(crate) fn is_request(stanza: &Element) -> bool {
    let credentials = stanza.child("credentials", ns::EXTDISCO).filter(|_| stanza.attr("type") == Some("get"));
    credentials.is_some_and(|credentials| credentials.children().any(|service| service.attr("type") == Some(KIND)))
}

/// Answers somebody in a conference who asks for a token; others get none.
pub(crate) fn handle(context: &mut Context<'_>, conferences: &Conferences, sender: Sender<'_>, stanza: &Element) {
    let answer = credentials(context, conferences, sender, stanza)
        .map(|services| iq_result(stanza).with_child(extdisco::credentials(&services)));
    context.answer(sender.jid, stanza, answer);
}

fn credentials(
    context: &Context<'_>,
    conferences: &Conferences,
    sender: Sender<'_>,
    stanza: &Element,
) -> Result<Vec<ExternalService>, StanzaError> {
    let not_allowed = || StanzaError::new(Condition::NotAllowed);
    let tokens = context.settings.short_lived_tokens.as_ref().ok_or(StanzaError::new(Condition::ItemNotFound))?;
    let own = sender.client.room_jid(&context.settings.hosts).and_then(|room| conferences.room(&room));
    let (room, occupant) = own.and_then(|room| Some((room, room.occupant_of(sender.jid)?))).ok_or_else(not_allowed)?;
    let asked = stanza.child("credentials", ns::EXTDISCO).into_iter().flat_map(Element::children);
    let audience =
        asked.filter_map(|service| service.attr("host")).find(|host| tokens.audiences.iter().any(|a| a == host));
    let audience = audience.ok_or(StanzaError::new(Condition::ItemNotFound))?;
    let lifetime_ms = u64::try_from(tokens.lifetime.as_millis()).unwrap_or(u64::MAX);
    let ends_ms = context.now.unix_ms.saturating_add(lifetime_ms);
    let tenant = context.settings.hosts.tenant_of(room.jid.domain()).unwrap_or(context.settings.hosts.domain.as_str());
    let mut payload = claims(room, occupant);
    payload["iss"] = Value::from(tokens.issuer.as_str());
    payload["aud"] = Value::from(audience);
    payload["sub"] = Value::from(tenant);
    payload["nbf"] = Value::from(context.now.unix_ms / 1000);
    payload["exp"] = Value::from(ends_ms / 1000);
    let token = tokens.sign(&payload).ok_or(StanzaError::new(Condition::InternalServerError))?;
    Ok(vec![ExternalService {
        kind: KIND.to_owned(),
        host: audience.to_owned(),
        port: 443,
        transport: "https".to_owned(),
        username: Some("token".to_owned()),
        password: Some(token),
        expires: Some(datetime::format_utc(ends_ms)),
    }])
}

fn claims(room: &Room, occupant: &Occupant) -> Value {
    let token = occupant.client.claims.as_deref();
    let email = occupant.presence().child("email", ns::CLIENT).map(Element::text);
    let user = match token.map(|claims| &claims.user) {
        Some(user) => json!({"id": user.id, "name": user.name, "email": user.email, "avatar": user.avatar}),
        None => json!({
            "id": occupant.jid.as_str(), "name": occupant.display_name(), "email": email, "nick": occupant.nick,
        }),
    };
    let features = room
        .features_of(occupant)
        .map(|features| features.iter().map(|(name, is_allowed)| (name.to_owned(), Value::Bool(is_allowed))).collect());
    json!({
        "room": room.jid.local(), "meeting_id": room.config.meeting_id,
        "context": {"user": user, "group": token.and_then(|claims| claims.group.as_deref()), "features": features.map(Value::Object)},
    })
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use auth::{KeySet, TokenRules, VerifyingKey};

    use crate::{SigningKeys, TokenKeys};

    #[test]
    fn services_believe_what_is_signed_with_the_key_that_they_know() {
        use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
        use aws_lc_rs::signature::KeyPair as _;
        let pair = KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let pem = |kind: &str, der: &[u8]| {
            format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", STANDARD.encode(der))
        };
        let tokens = ShortLivedTokens::new("us", "one", &pem("PRIVATE KEY", der.as_ref())).unwrap();
        let payload = json!({"iss": "us", "aud": "file-sharing", "exp": 100, "nbf": 70});
        let token = tokens.sign(&payload).unwrap();
        let public = VerifyingKey::from_pem(&pem("RSA PUBLIC KEY", pair.public_key().as_ref())).unwrap();
        let mut keys = KeySet::default();
        keys.insert("one", public);
        let keys = TokenKeys {
            keys: SigningKeys::Named(keys),
            rules: TokenRules {
                algorithms: vec![auth::Algorithm::RS256],
                issuers: vec!["us".to_owned()],
                audiences: vec!["file-sharing".to_owned()],
                leeway: std::time::Duration::ZERO,
                requires_expiry: true,
                requires_room: false,
                requires_tenant: false,
            },
        };
        assert_eq!(keys.verify(&token, 80_000), Ok(payload.as_object().cloned().unwrap()));
        assert!(ShortLivedTokens::new("us", "one", "no key").is_none());
    }
}
