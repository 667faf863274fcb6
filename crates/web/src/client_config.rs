//! `config.js`: where a Jitsi client, ours or the stock one, finds this server (client.md §1.1).

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HOST};
use axum::http::{HeaderMap, Uri};
use axum::response::IntoResponse;
use serde_json::json;

/// What `config.js` is made from.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// XMPP domain, `hosts.domain`.
    pub domain: String,
    /// Domain of the rooms, `hosts.muc`.
    pub muc_domain: String,
    /// Address of the focus, `hosts.focus`.
    pub focus: String,
    /// Domain of guests, `hosts.anonymousdomain`, where the domain wants a login.
    pub anonymous_domain: Option<String>,
    /// Domain of those who log in with a password, `hosts.authdomain`, where guests wait for them.
    pub auth_domain: Option<String>,
    /// Page that gives out tokens, `tokenAuthUrl`.
    pub token_auth_url: Option<String>,
    /// Domain below which visitor nodes have theirs, where it is another than the XMPP domain; only our client reads it.
    pub visitors_domain: Option<String>,
    /// Whether visitors wait until a moderator says that the meeting is live; only our client reads it.
    pub live_rooms: bool,
    /// `https://host[:port]` as clients see it; without it the request's own host is used.
    pub public_url: Option<String>,
}

impl ClientConfig {
    /// The script, for a client that reached this server as `origin` (`wss://host[:port]`).
    fn to_script(&self, websocket_origin: &str) -> String {
        let http_origin = websocket_origin.replacen("ws", "http", 1);
        let mut hosts = json!({ "domain": self.domain, "muc": self.muc_domain, "focus": self.focus });
        // A client tells by whether they are there how it logs in.
        for (name, domain) in [
            ("anonymousdomain", &self.anonymous_domain),
            ("authdomain", &self.auth_domain),
            ("visitorsdomain", &self.visitors_domain),
        ] {
            if let Some(domain) = domain {
                hosts[name] = json!(domain);
            }
        }
        let mut config = json!({
            "hosts": hosts,
            "websocket": format!("{websocket_origin}/xmpp-websocket"),
            // Of old mobile apps; all others prefer the WebSocket.
            "bosh": format!("{http_origin}/http-bind"),
            "websocketKeepAliveUrl": format!("{http_origin}/_unlock"),
            "enableWebsocketResume": true,
            "bridgeChannel": { "preferSctp": true },
            // The focus signals the sources themselves (source-add), and the bridge forwards their own SSRCs.
            "flags": { "ssrcRewritingEnabled": false },
            "p2p": { "enabled": false, "stunServers": [] },
            "enableIceRestart": true,
            "videoQuality": {
                "codecPreferenceOrder": ["VP8"],
                "mobileCodecPreferenceOrder": ["VP8"],
            },
            "disableThirdPartyRequests": true,
            "analytics": { "disabled": true },
        });
        if let Some(url) = &self.token_auth_url {
            config["tokenAuthUrl"] = json!(url);
        }
        if self.live_rooms {
            config["visitors"] = json!({ "liveRooms": true });
        }
        format!("var config = {config:#};\n")
    }
}

pub(crate) async fn serve(State(config): State<ClientConfig>, uri: Uri, headers: HeaderMap) -> impl IntoResponse {
    let origin = config
        .public_url
        .as_deref()
        .map_or_else(|| websocket_origin(&uri, &headers), |url| url.trim_end_matches('/').replacen("http", "ws", 1));
    // An old copy with other hosts makes clients reconnect for ever (client.md §10.1 item 52).
    let headers = [(CONTENT_TYPE, "text/javascript; charset=utf-8"), (CACHE_CONTROL, "no-store")];
    (headers, config.to_script(&origin))
}

/// The origin that the client used, from `Host` (HTTP/1.1) or `:authority` (HTTP/2); behind a proxy that ends TLS,
/// `X-Forwarded-Proto` tells the scheme. What is not a plain host and port is replaced, as it lands in a script.
fn websocket_origin(uri: &Uri, headers: &HeaderMap) -> String {
    let authority = uri.authority().map(|authority| authority.as_str().to_owned());
    let host = authority
        .or_else(|| headers.get(HOST).and_then(|host| host.to_str().ok()).map(str::to_owned))
        .filter(|host| {
            host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']' | '_'))
        })
        .unwrap_or_else(|| "localhost".to_owned());
    let is_secure = headers.contains_key(crate::server::TLS_MARK)
        || headers.get("x-forwarded-proto").is_some_and(|proto| proto.as_bytes() == b"https");
    format!("{}://{host}", if is_secure { "wss" } else { "ws" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> ClientConfig {
        ClientConfig {
            domain: "meet.jitsi".into(),
            muc_domain: "muc.meet.jitsi".into(),
            focus: "focus.meet.jitsi".into(),
            anonymous_domain: None,
            auth_domain: None,
            token_auth_url: None,
            visitors_domain: None,
            live_rooms: false,
            public_url: None,
        }
    }

    #[test]
    fn names_the_host_that_the_client_used() {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, "meet.example:8443".parse().unwrap());
        headers.insert("x-forwarded-proto", "https".parse().unwrap());
        let script = config().to_script(&websocket_origin(&Uri::from_static("/config.js"), &headers));
        assert!(script.contains("\"wss://meet.example:8443/xmpp-websocket\""), "{script}");
        assert!(script.contains("\"https://meet.example:8443/http-bind\""), "{script}");
        assert!(script.contains("\"https://meet.example:8443/_unlock\""), "{script}");
        assert!(script.contains("\"muc.meet.jitsi\""), "{script}");
    }

    #[test]
    fn says_how_to_log_in_where_that_is_needed() {
        let script = config().to_script("wss://x");
        assert!(
            !script.contains("anonymousdomain") && !script.contains("authdomain") && !script.contains("tokenAuthUrl")
        );
        let config = ClientConfig {
            anonymous_domain: Some("guest.meet.jitsi".into()),
            auth_domain: Some("meet.jitsi".into()),
            token_auth_url: Some("https://login.example/{room}".into()),
            ..config()
        };
        let script = config.to_script("wss://x");
        assert!(script.contains("\"anonymousdomain\": \"guest.meet.jitsi\""), "{script}");
        assert!(script.contains("\"authdomain\": \"meet.jitsi\""), "{script}");
        assert!(script.contains("\"tokenAuthUrl\": \"https://login.example/{room}\""), "{script}");
    }

    #[test]
    fn says_where_visitors_are_and_that_they_wait_where_that_is_so() {
        let script = config().to_script("wss://x");
        assert!(!script.contains("visitors") && !script.contains("liveRooms"));
        let config = ClientConfig { visitors_domain: Some("nodes.example".into()), live_rooms: true, ..config() };
        let script = config.to_script("wss://x");
        assert!(script.contains("\"visitorsdomain\": \"nodes.example\""), "{script}");
        assert!(script.contains("\"liveRooms\": true"), "{script}");
    }

    #[test]
    fn a_host_that_would_break_out_of_the_script_is_replaced() {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, "x\"</script>".parse().unwrap());
        assert_eq!(websocket_origin(&Uri::from_static("/config.js"), &headers), "ws://localhost");
    }
}
