//! External service discovery (XEP-0215 1.0): STUN and TURN servers.

use crate::{Element, ns};

/// A service outside XMPP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalService {
    /// The kind, as `stun`, `turn` or `turns`.
    pub kind: String,
    /// Host name or address.
    pub host: String,
    /// Port number.
    pub port: u16,
    /// `udp` or `tcp`.
    pub transport: String,
    /// User name, where the service wants one.
    pub username: Option<String>,
    /// Password, where the service wants one.
    pub password: Option<String>,
    /// When the password stops working, as XEP-0082 text.
    pub expires: Option<String>,
}

impl ExternalService {
    fn to_element(&self) -> Element {
        Element::new("service", ns::EXTDISCO)
            .with_attr("type", self.kind.as_str())
            .with_attr("host", self.host.as_str())
            .with_attr("port", self.port.to_string())
            .with_attr("transport", self.transport.as_str())
            .with_opt_attr("username", self.username.as_deref())
            .with_opt_attr("password", self.password.as_deref())
            .with_opt_attr("expires", self.expires.as_deref())
            .with_opt_attr("restricted", self.username.as_ref().map(|_| "1"))
    }
}

/// The `services` element; `kind` limits the list to one type (XEP-0215 §3.3).
#[must_use]
pub fn services(all: &[ExternalService], kind: Option<&str>) -> Element {
    Element::new("services", ns::EXTDISCO).with_opt_attr("type", kind).with_children(
        all.iter().filter(|service| kind.is_none_or(|kind| service.kind == kind)).map(ExternalService::to_element),
    )
}

/// The `credentials` element with what was asked for (XEP-0215 §3.3).
#[must_use]
pub fn credentials(services: &[ExternalService]) -> Element {
    Element::new("credentials", ns::EXTDISCO).with_children(services.iter().map(ExternalService::to_element))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_the_services_of_one_type() {
        let service = |kind: &str, username: Option<&str>| ExternalService {
            kind: kind.to_owned(),
            host: "turn.example".to_owned(),
            port: 3478,
            transport: "udp".to_owned(),
            username: username.map(str::to_owned),
            password: username.map(|_| "pw".to_owned()),
            expires: None,
        };
        let all = [service("stun", None), service("turn", Some("u"))];
        assert_eq!(services(&all, None).children().count(), 2);
        assert_eq!(
            services(&all, Some("turn")).to_string(),
            "<services xmlns='urn:xmpp:extdisco:2' type='turn'><service xmlns='urn:xmpp:extdisco:2' type='turn' \
             host='turn.example' port='3478' transport='udp' username='u' password='pw' restricted='1'/></services>"
        );
    }
}
