//! HTTP to a cloud's metadata service. What is asked and what the answers say is in `addresses::cloud`.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, header};
use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::time::timeout;
use web::ExchangeError;

use crate::addresses::{Cloud, CloudQuery, LearnedAddress, MetadataError, MetadataRequest};

/// Where all three clouds have it.
pub(super) const SERVICE: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(169, 254, 169, 254)), 80);

/// For each request. The service is a neighbour: it answers within milliseconds, or there is none.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The longest answer, Azure's about a dozen interfaces, has a few kilobytes.
const MAX_BODY: usize = 64 * 1024;

/// Why nothing was learned.
#[derive(Debug, thiserror::Error)]
pub(super) enum CloudError {
    #[error("does not answer within {} s", TIMEOUT.as_secs())]
    Timeout,
    #[error("cannot be reached")]
    Connect(#[source] std::io::Error),
    #[error("does not speak HTTP")]
    Http(#[source] hyper::Error),
    #[error("answers too much or breaks off")]
    Body(#[source] axum::Error),
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    #[error("cannot be asked")]
    Request(#[from] axum::http::Error),
}

impl From<ExchangeError> for CloudError {
    fn from(error: ExchangeError) -> Self {
        match error {
            ExchangeError::Http(error) => Self::Http(error),
            ExchangeError::Body { source, .. } => Self::Body(source),
        }
    }
}

/// The public addresses that the metadata service at `service` tells.
pub(super) async fn ask(service: SocketAddr, cloud: Cloud) -> Result<Vec<LearnedAddress>, CloudError> {
    let mut query = CloudQuery::new(cloud);
    while let Some(request) = query.request() {
        let answer = timeout(TIMEOUT, exchange(service, request)).await.map_err(|_| CloudError::Timeout)?;
        let (status, body) = answer?;
        query.handle_response(status, &body)?;
    }
    Ok(query.into_learned())
}

async fn exchange(service: SocketAddr, request: MetadataRequest) -> Result<(u16, Bytes), CloudError> {
    let stream = TcpStream::connect(service).await.map_err(CloudError::Connect)?;
    let (name, value) = request.header;
    let request = Request::builder()
        .method(request.method)
        .uri(request.path)
        .header(header::HOST, service.ip().to_string())
        .header(name, value)
        .body(Body::empty())?;
    let answer = web::exchange(stream, request, MAX_BODY).await?;
    Ok((answer.status().as_u16(), answer.into_body()))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use axum::Router;
    use axum::http::{HeaderMap, StatusCode};
    use axum::routing::{get, put};
    use tokio::net::TcpListener;

    use super::*;

    /// Serves `router` on loopback until the test ends.
    async fn serve(router: Router) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    fn learned(local: &str, public: &str) -> LearnedAddress {
        LearnedAddress { local: Some(local.parse().unwrap()), public: public.parse().unwrap(), udp_port: None }
    }

    async fn with_token(headers: HeaderMap, text: &'static str) -> (StatusCode, &'static str) {
        let has_token = headers.get("x-aws-ec2-metadata-token").is_some_and(|token| token == "the-token");
        if has_token { (StatusCode::OK, text) } else { (StatusCode::UNAUTHORIZED, "") }
    }

    #[tokio::test]
    async fn asks_aws_with_the_token_that_it_got() {
        let token = |headers: HeaderMap| async move {
            let has_lifetime = headers.contains_key("x-aws-ec2-metadata-token-ttl-seconds");
            if has_lifetime { (StatusCode::OK, "the-token") } else { (StatusCode::BAD_REQUEST, "") }
        };
        let service = serve(
            Router::new()
                .route("/latest/api/token", put(token))
                .route("/latest/meta-data/local-ipv4", get(|headers| with_token(headers, "10.0.0.5")))
                .route("/latest/meta-data/public-ipv4", get(|headers| with_token(headers, "203.0.113.7"))),
        );
        let service = service.await;
        assert_eq!(ask(service, Cloud::Aws).await.unwrap(), [learned("10.0.0.5", "203.0.113.7")]);
    }

    #[tokio::test]
    async fn asks_gcp_with_its_flavor() {
        let interfaces = |headers: HeaderMap| async move {
            let is_right = headers.get("metadata-flavor").is_some_and(|flavor| flavor == "Google");
            let body = r#"[{"ip":"10.128.0.2","accessConfigs":[{"externalIp":"203.0.113.7"}]}]"#;
            if is_right { (StatusCode::OK, body) } else { (StatusCode::FORBIDDEN, "") }
        };
        let service =
            serve(Router::new().route("/computeMetadata/v1/instance/network-interfaces/", get(interfaces))).await;
        assert_eq!(ask(service, Cloud::Gcp).await.unwrap(), [learned("10.128.0.2", "203.0.113.7")]);
    }

    #[tokio::test]
    async fn asks_azure_for_the_load_balancer_too() {
        let network = || async {
            r#"{"interface":[{"ipv4":{"ipAddress":[{"privateIpAddress":"10.1.0.4","publicIpAddress":""}]}}]}"#
        };
        let balancer = || async {
            r#"{"loadbalancer":{"publicIpAddresses":[{"frontendIpAddress":"203.0.113.9","privateIpAddress":"10.1.0.4"}]}}"#
        };
        let service = serve(
            Router::new()
                .route("/metadata/instance/network", get(network))
                .route("/metadata/loadbalancer", get(balancer)),
        )
        .await;
        assert_eq!(ask(service, Cloud::Azure).await.unwrap(), [learned("10.1.0.4", "203.0.113.9")]);
    }

    #[tokio::test]
    async fn a_service_that_is_not_there_is_an_error_and_no_more() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let nobody = listener.local_addr().unwrap();
        drop(listener);
        assert!(matches!(ask(nobody, Cloud::Aws).await, Err(CloudError::Connect(_))));
        let refuses = serve(Router::new()).await;
        let status = ask(refuses, Cloud::Gcp).await.unwrap_err().to_string();
        assert!(status.ends_with("with status 404"), "{status}");
        let endless = serve(Router::new().fallback(|| async { "x".repeat(MAX_BODY + 1) })).await;
        assert!(matches!(ask(endless, Cloud::Gcp).await, Err(CloudError::Body(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_says_nothing_is_given_up() {
        // The kernel accepts; nobody answers.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        assert!(matches!(ask(listener.local_addr().unwrap(), Cloud::Aws).await, Err(CloudError::Timeout)));
    }
}
