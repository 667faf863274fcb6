//! What a cloud's metadata service is asked, and what its answers say: the public address that the provider's NAT shows
//! for this machine. Amazon EC2 (IMDSv2), Google Compute Engine and Azure (instance and load balancer metadata).
//!
//! Here: requests and answers. Not here: HTTP (`shell`).

use std::fmt;
use std::net::IpAddr;

use serde::Deserialize;

use super::LearnedAddress;

/// A cloud with a metadata service at 169.254.169.254.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Cloud {
    /// Amazon EC2.
    Aws,
    /// Google Compute Engine.
    Gcp,
    /// Microsoft Azure.
    Azure,
}

impl fmt::Display for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Aws => "aws",
            Self::Gcp => "gcp",
            Self::Azure => "azure",
        })
    }
}

/// One HTTP request to the metadata service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MetadataRequest {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) header: (&'static str, String),
}

/// Why the metadata service did not help.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MetadataError {
    #[error("answers {path} with status {status}")]
    Status { path: &'static str, status: u16 },
    #[error("does not answer {path} in the form that is expected")]
    Form { path: &'static str },
}

/// The conversation with a metadata service: requests one after the other, until it is done.
#[derive(Clone, Debug)]
pub(crate) struct CloudQuery {
    step: Step,
    learned: Vec<LearnedAddress>,
}

#[derive(Clone, Debug)]
enum Step {
    AwsToken,
    AwsLocal { token: String },
    AwsPublic { token: String, local: IpAddr },
    GcpInterfaces,
    AzureInterfaces,
    AzureLoadBalancer,
    Done,
}

impl CloudQuery {
    pub(crate) fn new(cloud: Cloud) -> Self {
        let step = match cloud {
            Cloud::Aws => Step::AwsToken,
            Cloud::Gcp => Step::GcpInterfaces,
            Cloud::Azure => Step::AzureInterfaces,
        };
        Self { step, learned: Vec::new() }
    }

    /// The next request; `None` when it is done.
    pub(crate) fn request(&self) -> Option<MetadataRequest> {
        let get = |path, name, value: &str| MetadataRequest { method: "GET", path, header: (name, value.to_owned()) };
        match &self.step {
            // A token that lives for a minute is enough: it is used at once.
            Step::AwsToken => Some(MetadataRequest {
                method: "PUT",
                path: AWS_TOKEN,
                header: ("x-aws-ec2-metadata-token-ttl-seconds", "60".to_owned()),
            }),
            Step::AwsLocal { token } => Some(get(AWS_LOCAL, AWS_TOKEN_HEADER, token)),
            Step::AwsPublic { token, .. } => Some(get(AWS_PUBLIC, AWS_TOKEN_HEADER, token)),
            Step::GcpInterfaces => Some(get(GCP_INTERFACES, "metadata-flavor", "Google")),
            Step::AzureInterfaces => Some(get(AZURE_INTERFACES, "metadata", "true")),
            Step::AzureLoadBalancer => Some(get(AZURE_LOAD_BALANCER, "metadata", "true")),
            Step::Done => None,
        }
    }

    /// Takes the answer to [`Self::request`].
    ///
    /// # Errors
    /// [`MetadataError`]: the conversation is over and has brought nothing.
    pub(crate) fn handle_response(&mut self, status: u16, body: &[u8]) -> Result<(), MetadataError> {
        let path = self.request().map_or("", |request| request.path);
        let is_optional = matches!(self.step, Step::AwsPublic { .. } | Step::AzureLoadBalancer);
        if status == 404 && is_optional {
            // A machine without a public address.
            self.step = Step::Done;
            return Ok(());
        }
        if status != 200 {
            return Err(MetadataError::Status { path, status });
        }
        let form = || MetadataError::Form { path };
        let ip = || std::str::from_utf8(body).ok().and_then(|text| text.trim().parse().ok()).ok_or_else(form);
        self.step = match std::mem::replace(&mut self.step, Step::Done) {
            Step::AwsToken => {
                let is_token = |text: &&str| text.len() <= MAX_TOKEN && text.bytes().all(|b| b.is_ascii_graphic());
                let token = std::str::from_utf8(body).ok().map(str::trim).filter(is_token).ok_or_else(form)?;
                Step::AwsLocal { token: token.to_owned() }
            }
            Step::AwsLocal { token } => Step::AwsPublic { token, local: ip()? },
            Step::AwsPublic { local, .. } => {
                self.learn(Some(local), ip()?);
                Step::Done
            }
            Step::GcpInterfaces => {
                let interfaces: Vec<GcpInterface> = serde_json::from_slice(body).map_err(|_| form())?;
                for GcpInterface { ip, access_configs } in &interfaces {
                    for config in access_configs {
                        self.learn_text(ip, &config.external_ip);
                    }
                }
                Step::Done
            }
            Step::AzureInterfaces => {
                let network: AzureNetwork = serde_json::from_slice(body).map_err(|_| form())?;
                for address in network.interface.iter().flat_map(|interface| &interface.ipv4.ip_address) {
                    self.learn_text(&address.private, &address.public);
                }
                // A public address of the standard kind is told by the load balancer's part only.
                if self.learned.is_empty() { Step::AzureLoadBalancer } else { Step::Done }
            }
            Step::AzureLoadBalancer => {
                let answer: AzureLoadBalancerAnswer = serde_json::from_slice(body).map_err(|_| form())?;
                for address in &answer.loadbalancer.public_ip_addresses {
                    self.learn_text(&address.private, &address.frontend);
                }
                Step::Done
            }
            Step::Done => Step::Done,
        };
        Ok(())
    }

    /// What was learned when [`Self::request`] has answered `None`.
    pub(crate) fn into_learned(self) -> Vec<LearnedAddress> {
        self.learned
    }

    /// Empty texts stand for interfaces without a public address.
    fn learn_text(&mut self, local: &str, public: &str) {
        if let Ok(public) = public.parse() {
            self.learn(local.parse().ok(), public);
        }
    }

    fn learn(&mut self, local: Option<IpAddr>, public: IpAddr) {
        let is_of_family = local.is_none_or(|local| local.is_ipv4() == public.is_ipv4());
        if is_of_family && self.learned.len() < MAX_LEARNED {
            self.learned.push(LearnedAddress { local, public, udp_port: None });
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GcpInterface {
    #[serde(default)]
    ip: String,
    #[serde(default)]
    access_configs: Vec<GcpAccessConfig>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GcpAccessConfig {
    #[serde(default)]
    external_ip: String,
}

#[derive(Deserialize)]
struct AzureNetwork {
    interface: Vec<AzureInterface>,
}

#[derive(Deserialize)]
struct AzureInterface {
    #[serde(default)]
    ipv4: AzureIpv4,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AzureIpv4 {
    #[serde(default)]
    ip_address: Vec<AzureAddress>,
}

#[derive(Deserialize)]
struct AzureAddress {
    #[serde(default, rename = "privateIpAddress")]
    private: String,
    #[serde(default, rename = "publicIpAddress")]
    public: String,
}

#[derive(Deserialize)]
struct AzureLoadBalancerAnswer {
    loadbalancer: AzureLoadBalancer,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AzureLoadBalancer {
    #[serde(default)]
    public_ip_addresses: Vec<AzureFrontend>,
}

#[derive(Deserialize)]
struct AzureFrontend {
    #[serde(default, rename = "privateIpAddress")]
    private: String,
    #[serde(default, rename = "frontendIpAddress")]
    frontend: String,
}

const AWS_TOKEN: &str = "/latest/api/token";
const AWS_LOCAL: &str = "/latest/meta-data/local-ipv4";
const AWS_PUBLIC: &str = "/latest/meta-data/public-ipv4";
const AWS_TOKEN_HEADER: &str = "x-aws-ec2-metadata-token";
const GCP_INTERFACES: &str = "/computeMetadata/v1/instance/network-interfaces/?recursive=true";
const AZURE_INTERFACES: &str = "/metadata/instance/network?api-version=2021-02-01";
const AZURE_LOAD_BALANCER: &str = "/metadata/loadbalancer?api-version=2020-10-01";

/// EC2's have 56 characters.
const MAX_TOKEN: usize = 512;

/// A machine has one public address for each of a few interfaces.
const MAX_LEARNED: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    /// Local and public address of each interface.
    type Told = Result<Vec<(String, String)>, String>;

    /// Answers each request by `answer`, and tells what was asked and learned.
    fn talk(cloud: Cloud, answer: impl Fn(&MetadataRequest) -> (u16, &'static str)) -> (Vec<MetadataRequest>, Told) {
        let mut query = CloudQuery::new(cloud);
        let mut asked = Vec::new();
        while let Some(request) = query.request() {
            let (status, body) = answer(&request);
            asked.push(request);
            if let Err(error) = query.handle_response(status, body.as_bytes()) {
                return (asked, Err(error.to_string()));
            }
        }
        let text = |learned: LearnedAddress| {
            (learned.local.map(|ip| ip.to_string()).unwrap_or_default(), learned.public.to_string())
        };
        (asked, Ok(query.into_learned().into_iter().map(text).collect()))
    }

    fn pair(local: &str, public: &str) -> (String, String) {
        (local.to_owned(), public.to_owned())
    }

    #[test]
    fn aws_is_asked_with_a_token() {
        let (asked, learned) = talk(Cloud::Aws, |request| match request.path {
            AWS_TOKEN => (200, "AQAEAJ-token=="),
            AWS_LOCAL => (200, "10.0.0.5"),
            _ => (200, "203.0.113.7\n"),
        });
        assert_eq!(learned, Ok(vec![pair("10.0.0.5", "203.0.113.7")]));
        assert_eq!(asked.iter().map(|request| request.method).collect::<Vec<_>>(), ["PUT", "GET", "GET"]);
        assert!(asked[1..].iter().all(|r| r.header == (AWS_TOKEN_HEADER, "AQAEAJ-token==".to_owned())));
    }

    #[test]
    fn machine_without_a_public_address_is_no_error() {
        let aws = talk(Cloud::Aws, |request| match request.path {
            AWS_TOKEN => (200, "token"),
            AWS_LOCAL => (200, "10.0.0.5"),
            _ => (404, ""),
        });
        assert_eq!(aws.1, Ok(vec![]));
        let gcp = talk(Cloud::Gcp, |_| (200, r#"[{"ip":"10.128.0.2","accessConfigs":[{"externalIp":""}]}]"#));
        assert_eq!(gcp.1, Ok(vec![]));
        let azure = talk(Cloud::Azure, |request| match request.path {
            AZURE_INTERFACES => (200, r#"{"interface":[]}"#),
            _ => (404, "{}"),
        });
        assert_eq!(azure.1, Ok(vec![]));
    }

    #[test]
    fn gcp_tells_every_interface() {
        let (asked, learned) = talk(Cloud::Gcp, |_| {
            let body = r#"[
                {"accessConfigs":[{"externalIp":"203.0.113.7","type":"ONE_TO_ONE_NAT"}],"dnsServers":["169.254.169.254"],
                 "ip":"10.128.0.2","mac":"42:01:0a:80:00:02","mtu":1460},
                {"accessConfigs":[{"externalIp":"203.0.113.8","type":"ONE_TO_ONE_NAT"}],"ip":"10.129.0.2"}]"#;
            (200, body)
        });
        assert_eq!(learned, Ok(vec![pair("10.128.0.2", "203.0.113.7"), pair("10.129.0.2", "203.0.113.8")]));
        assert_eq!(asked[0].header, ("metadata-flavor", "Google".to_owned()));
    }

    #[test]
    fn azure_tells_addresses_of_both_kinds() {
        let basic = r#"{"interface":[{"ipv4":{"ipAddress":[{"privateIpAddress":"10.1.0.4","publicIpAddress":"203.0.113.7"}],
            "subnet":[{"address":"10.1.0.0","prefix":"24"}]},"ipv6":{"ipAddress":[]},"macAddress":"000D3AF806EC"}]}"#;
        let (asked, learned) = talk(Cloud::Azure, |_| (200, basic));
        assert_eq!((asked.len(), learned), (1, Ok(vec![pair("10.1.0.4", "203.0.113.7")])));
        let (asked, learned) = talk(Cloud::Azure, |request| match request.path {
            AZURE_INTERFACES => (
                200,
                r#"{"interface":[{"ipv4":{"ipAddress":[{"privateIpAddress":"10.1.0.4","publicIpAddress":""}]}}]}"#,
            ),
            _ => (
                200,
                r#"{"loadbalancer":{"publicIpAddresses":[{"frontendIpAddress":"203.0.113.9","privateIpAddress":"10.1.0.4"}],
                "inboundRules":[],"outboundRules":[]}}"#,
            ),
        });
        assert_eq!((asked.len(), learned), (2, Ok(vec![pair("10.1.0.4", "203.0.113.9")])));
        assert!(asked.iter().all(|request| request.header == ("metadata", "true".to_owned())));
    }

    #[test]
    fn answers_of_something_else_are_an_error_that_says_which() {
        let status = talk(Cloud::Aws, |_| (403, "")).1;
        assert_eq!(status, Err("answers /latest/api/token with status 403".to_owned()));
        for cloud in [Cloud::Gcp, Cloud::Azure] {
            let form = talk(cloud, |_| (200, "<html>captive portal</html>")).1.unwrap_err();
            assert!(form.ends_with("in the form that is expected"), "{form}");
        }
        let token = talk(Cloud::Aws, |_| (200, "two words")).1.unwrap_err();
        assert!(token.contains(AWS_TOKEN), "{token}");
        let address = talk(Cloud::Aws, |request| (200, if request.path == AWS_TOKEN { "token" } else { "none" })).1;
        assert!(address.unwrap_err().contains(AWS_LOCAL));
    }

    #[test]
    fn endless_answers_are_cut() {
        let body: &'static str = Box::leak(
            format!("[{}]", vec![r#"{"ip":"10.0.0.2","accessConfigs":[{"externalIp":"203.0.113.7"}]}"#; 100].join(","))
                .into_boxed_str(),
        );
        assert_eq!(talk(Cloud::Gcp, |_| (200, body)).1.unwrap().len(), MAX_LEARNED);
    }
}
