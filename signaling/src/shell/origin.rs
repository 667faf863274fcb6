//! Where an HTTP request comes from: what its URL, its headers and the proxies before it say.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts, Path, Query};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri, header};

use crate::{Carrier, Origin, Settings, ShownToken};

/// No name of the DNS is longer (RFC 1035 §2.3.4).
const MAX_HOST_BYTES: usize = 253;
/// Longest region that is kept; real ones are a word.
const MAX_REGION_BYTES: usize = 64;
/// The header in which stock's proxies name their region (`region_header_name` of mod_jitsi_session).
const REGION_HEADER: &str = "x-proxy-region";
/// The same, as some proxies spell it.
const REGION_HEADER_UNDERSCORE: &str = "x_proxy_region";

/// What clients and reverse proxies put into the query (client.md §1.2).
#[derive(Debug, Default)]
struct OriginQuery {
    room: Option<String>,
    prefix: Option<String>,
    previd: Option<String>,
    token: Option<String>,
    customusername: Option<String>,
}

impl FromIterator<(String, String)> for OriginQuery {
    /// Of what is there twice the last one counts, as in Prosody (`formdecode`).
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        let mut query = Self::default();
        for (name, value) in pairs {
            let field = match name.as_str() {
                "room" => &mut query.room,
                "prefix" => &mut query.prefix,
                "previd" => &mut query.previd,
                "token" => &mut query.token,
                "customusername" => &mut query.customusername,
                _ => continue,
            };
            *field = Some(value);
        }
        query
    }
}

/// A request that a stream may come from.
#[derive(Debug)]
pub(super) struct OriginRequest {
    query: OriginQuery,
    /// The tenant in the path, `/TENANT/…`.
    tenant: Option<String>,
    uri: Uri,
    headers: HeaderMap,
    /// The other end of the connection; `None` where the listener does not tell.
    pub(super) peer: Option<IpAddr>,
}

impl<S: Send + Sync> FromRequestParts<S> for OriginRequest {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let query = Query::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        let tenant = Path::<String>::from_request_parts(parts, state).await;
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip().to_canonical());
        Ok(Self {
            // A query that cannot be read says nothing; the client is served all the same.
            query: query.map(|Query(pairs)| pairs.into_iter().collect()).unwrap_or_default(),
            tenant: tenant.ok().map(|Path(tenant)| tenant),
            uri: parts.uri.clone(),
            headers: parts.headers.clone(),
            peer,
        })
    }
}

impl OriginRequest {
    /// The token that it shows, in the query or in a header.
    pub(super) fn token(&self) -> Option<&str> {
        self.query.token.as_deref().filter(|token| !token.is_empty()).or_else(|| bearer_token(&self.headers))
    }

    pub(super) fn origin(self, settings: &Settings, carrier: Carrier) -> Origin {
        Origin {
            carrier,
            address: self.client_address(settings),
            region: region_of(&self.headers),
            room: self.query.room,
            tenant: self.query.prefix.or(self.tenant),
            previous: self.query.previd,
            token: ShownToken::None,
            bearer: None,
            custom_username: self.query.customusername,
            host: host_of(&self.uri, &self.headers),
        }
    }

    /// The address of the client: that of the connection, or what proxies say that are trusted. Each adds to the right of
    /// the list whom it talked to, so the rightmost that is no trusted proxy is the client.
    pub(super) fn client_address(&self, settings: &Settings) -> Option<IpAddr> {
        let is_trusted = |address: IpAddr| settings.trusted_proxies.iter().any(|network| network.contains(address));
        let mut address = self.peer?;
        let lists = self.headers.get_all("x-forwarded-for").iter().filter_map(|list| list.to_str().ok());
        let forwarded: Vec<&str> = lists.flat_map(|list| list.split(',')).map(str::trim).collect();
        for said in forwarded.into_iter().rev() {
            if !is_trusted(address) {
                break;
            }
            let Ok(said) = said.parse::<IpAddr>() else { break };
            address = said.to_canonical();
        }
        Some(address)
    }

    /// Whether a program of this host asks for itself, not a proxy for somebody else.
    pub(super) fn is_local(&self) -> bool {
        self.peer.is_some_and(|peer| peer.is_loopback()) && !self.headers.contains_key("x-forwarded-for")
    }
}

fn region_of(headers: &HeaderMap) -> Option<String> {
    let header = headers.get(REGION_HEADER).or_else(|| headers.get(REGION_HEADER_UNDERSCORE))?;
    let region = header.to_str().ok()?.trim();
    (!region.is_empty() && region.len() <= MAX_REGION_BYTES).then(|| region.to_owned())
}

/// The token of a request (RFC 6750 §2.1).
pub(super) fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let token = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")?.trim();
    (!token.is_empty()).then_some(token)
}

/// The host that the client used, from `Host` (HTTP/1.1) or `:authority` (HTTP/2); `None` for what cannot be one.
pub(super) fn host_of(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    let authority = uri.authority().map(|authority| authority.as_str());
    let text = authority.or_else(|| headers.get(header::HOST).and_then(|host| host.to_str().ok()))?;
    let authority: Authority = text.parse().ok()?;
    let host = authority.host();
    let is_plain = host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']'));
    (is_plain && !host.is_empty() && host.len() <= MAX_HOST_BYTES).then(|| host.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(peer: &str, headers: &[(&'static str, &str)]) -> OriginRequest {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        OriginRequest {
            query: OriginQuery::default(),
            tenant: None,
            uri: Uri::from_static("/"),
            headers: map,
            peer: Some(peer.parse().unwrap()),
        }
    }

    fn address(peer: &str, forwarded: &[(&'static str, &str)]) -> String {
        let mut settings = Settings::default();
        settings.trusted_proxies.push("10.0.0.0/8".parse().unwrap());
        request(peer, forwarded).client_address(&settings).unwrap().to_string()
    }

    #[tokio::test]
    async fn a_query_that_says_something_twice_says_the_rest_too() {
        let uri = Uri::from_static("/xmpp-websocket?room=a&token=x&other=1&token=y%20z&previd");
        let (mut parts, ()) = axum::http::Request::get(uri).body(()).unwrap().into_parts();
        let request = OriginRequest::from_request_parts(&mut parts, &()).await.unwrap();
        assert_eq!((request.query.room.as_deref(), request.token()), (Some("a"), Some("y z")));
        assert_eq!(request.query.previd.as_deref(), Some(""));
    }

    #[test]
    fn only_a_trusted_proxy_says_whom_it_speaks_for() {
        let forwarded = |list| [("x-forwarded-for", list)];
        assert_eq!(address("203.0.113.9", &forwarded("198.51.100.1")), "203.0.113.9");
        assert_eq!(address("127.0.0.1", &forwarded("198.51.100.1")), "198.51.100.1");
        assert_eq!(address("127.0.0.1", &[]), "127.0.0.1");
        assert_eq!(
            address("127.0.0.1", &forwarded("192.0.2.66, 198.51.100.1, 10.1.2.3")),
            "198.51.100.1",
            "the client may lie"
        );
        assert_eq!(address("127.0.0.1", &forwarded("198.51.100.1, nonsense")), "127.0.0.1");
        let two = [("x-forwarded-for", "192.0.2.66"), ("x-forwarded-for", "198.51.100.1")];
        assert_eq!(address("::1", &two), "198.51.100.1");
        assert_eq!(address("127.0.0.1", &forwarded("::ffff:198.51.100.1")), "198.51.100.1");
    }

    #[test]
    fn region_and_token_come_from_headers() {
        let headers = [("x-proxy-region", " eu-west "), ("authorization", "Bearer abc")];
        let request_of = |headers| request("127.0.0.1", headers);
        assert_eq!(request_of(&headers).token(), Some("abc"));
        let origin = request_of(&headers).origin(&Settings::default(), Carrier::Bosh);
        assert_eq!((origin.region.as_deref(), origin.carrier), (Some("eu-west"), Carrier::Bosh));
        let headers = [("x_proxy_region", "eu"), ("authorization", "Basic abc")];
        assert_eq!(request_of(&headers).token(), None);
        let origin = request_of(&headers).origin(&Settings::default(), Carrier::Bosh);
        assert_eq!(origin.region.as_deref(), Some("eu"));
        let long = "x".repeat(MAX_REGION_BYTES + 1);
        let headers = [("x-proxy-region", long.as_str())];
        assert_eq!(request("127.0.0.1", &headers).origin(&Settings::default(), Carrier::Bosh).region, None);
    }

    #[test]
    fn what_a_proxy_passes_on_is_not_local() {
        assert!(request("127.0.0.1", &[]).is_local());
        assert!(!request("127.0.0.1", &[("x-forwarded-for", "127.0.0.1")]).is_local());
        assert!(!request("198.51.100.1", &[]).is_local());
    }
}
