//! Who gets in, decided by another server: each login of a client or guest waits for its word (`mod_muc_auth_ban` asks an access
//! manager in this way; here everybody is asked about, before he is in).

use std::sync::Arc;

use axum::http::{Method, Uri};
use serde_json::Value;

use super::call::{AnswerTo, Call, CallAnswer, CallFailed, message_of};
use super::settings::{AccessSettings, WhenSilent, encode};
use crate::stream::{Identity, LoginKind};
use crate::{Claims, ConnectionId, Origin, ShownToken};

/// What clients are told whom the server lets in no more, as by stock.
const BANNED: &str = "user is banned";
/// What clients are told when nobody said anything.
const NO_DECISION: &str = "access cannot be decided now";

/// What a server said of a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// He is in; what the claims say, if there are any, counts instead of what his token says.
    Admit(Option<Arc<Claims>>),
    /// He is not, and is told why.
    Refuse(String),
}

/// What is asked about a login; `None` when the address makes no whole one.
pub(crate) fn question(
    settings: &AccessSettings,
    connection: ConnectionId,
    origin: &Origin,
    identity: &Identity,
) -> Option<Call> {
    let login = match (identity.login, &origin.token) {
        (LoginKind::Account, _) => "password",
        (LoginKind::Anonymous, ShownToken::Verified(_)) => "token",
        (LoginKind::Anonymous, ShownToken::None | ShownToken::Refused(_)) => "guest",
    };
    let address = origin.address.map(|address| address.to_string());
    let about = [
        ("login", Some(login)),
        ("jid", Some(identity.bare.as_str())),
        ("room", origin.room.as_deref()),
        ("tenant", origin.tenant.as_deref()),
        ("address", address.as_deref()),
    ];
    let about = about.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", encode(value?))));
    let url = &settings.server.url;
    let (scheme, authority) = (url.scheme_str()?, url.authority()?);
    let query = about.collect::<Vec<_>>().join("&");
    let uri: Uri = format!("{scheme}://{authority}{}?{query}", url.path()).parse().ok()?;
    Some(Call {
        answer_to: AnswerTo::Login(connection),
        server: Arc::clone(&settings.server),
        method: Method::GET,
        uri,
        content_type: None,
        headers: origin.bearer.iter().map(|bearer| ("authorization", bearer.clone())).collect(),
        body: String::new(),
    })
}

/// What the end of a question means. Only a whole answer decides anything.
pub(crate) fn decide(settings: &AccessSettings, end: Result<CallAnswer, CallFailed>) -> Decision {
    let answer = end.ok().filter(|answer| answer.status == 200);
    let Some(json) = answer.as_ref().and_then(|answer| serde_json::from_slice::<Value>(&answer.body).ok()) else {
        return match settings.when_silent {
            WhenSilent::Refuse => Decision::Refuse(NO_DECISION.to_owned()),
            WhenSilent::Admit => Decision::Admit(None),
        };
    };
    if json["access"] == false {
        return Decision::Refuse(message_of(&json).unwrap_or_else(|| BANNED.to_owned()));
    }
    Decision::Admit(json["claims"].is_object().then(|| Arc::new(Claims::of_payload(&json["claims"]))))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{OutsideServer, Patience};

    fn settings(when_silent: WhenSilent) -> AccessSettings {
        let patience = Patience { timeout: Duration::from_secs(5), retries: 0, pause: Duration::ZERO };
        let url = "https://a.example/access".parse().unwrap();
        AccessSettings { server: Arc::new(OutsideServer { url, headers: Vec::new(), patience }), when_silent }
    }

    #[test]
    fn only_a_whole_answer_decides() {
        let (strict, lenient) = (settings(WhenSilent::Refuse), settings(WhenSilent::Admit));
        let answer = |status, body: &str| Ok(CallAnswer { status, body: body.as_bytes().to_vec() });
        let refusal = |text: &str| Decision::Refuse(text.to_owned());
        assert_eq!(decide(&strict, answer(200, r#"{"access":true}"#)), Decision::Admit(None));
        assert_eq!(decide(&lenient, answer(200, r#"{"access":false}"#)), refusal(BANNED));
        let told = answer(200, r#"{"access":false,"message":"come\nlater"}"#);
        assert_eq!(decide(&lenient, told), refusal("comelater"));
        let silent = [
            Err(CallFailed::TimedOut),
            Err(CallFailed::Unreachable),
            answer(500, r#"{"access":true}"#),
            answer(403, ""),
            answer(200, "<html>"),
        ];
        for end in silent {
            assert_eq!(decide(&strict, end.clone()), refusal(NO_DECISION), "{end:?}");
            assert_eq!(decide(&lenient, end.clone()), Decision::Admit(None), "{end:?}");
        }
        let claims = r#"{"access":true,"claims":{"moderator":true,"room":"*"}}"#;
        let Decision::Admit(Some(claims)) = decide(&strict, answer(200, claims)) else { panic!("no claims") };
        assert!(claims.is_owner);
    }

    #[test]
    fn nothing_of_a_client_is_more_than_a_value() {
        let identity = Identity::of_account("ann@meet.jitsi".parse().unwrap());
        let origin = Origin { room: Some("a&login=token#?".to_owned()), ..Origin::default() };
        let call = question(&settings(WhenSilent::Refuse), ConnectionId(1), &origin, &identity).unwrap();
        let expected = "https://a.example/access?login=password&jid=ann%40meet.jitsi&room=a%26login%3Dtoken%23%3F";
        assert_eq!(call.uri.to_string(), expected);
    }
}
