//! What an operator says about streams and accounts on the command line or in the environment. Accounts have the names
//! of docker-jitsi-meet.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use clap::ValueEnum;
use model::Network;
use rustls::ServerConfig;
use xmpp::{InvalidJid, Jid};

use crate::{Account, Component, Deployment, Handle, LimitFlags, Secret, Settings, StartTls};

/// To be flattened into the options of a binary.
#[derive(Clone, Debug, clap::Args)]
pub struct XmppFlags {
    /// TCP port on which Jibri, Jigasi, Jicofo and bridges log in by XMPP; stock has 5222. 0: they cannot.
    #[arg(long, env = "TERANGA_XMPP_PORT", default_value_t = 0, value_name = "PORT")]
    pub xmpp_port: u16,
    /// TLS on that port: nothing goes without it, it is there for those who want it, or there is none, for a private
    /// network.
    #[arg(long, env = "TERANGA_XMPP_TLS", default_value = "required", value_name = "WHEN")]
    pub xmpp_tls: XmppTls,
    /// TCP port on which external components connect (XEP-0114), in the clear: keep it private. 0: they cannot.
    #[arg(long, env = "TERANGA_COMPONENT_PORT", default_value_t = 0, value_name = "PORT")]
    pub component_port: u16,
    /// Address on which the component port listens.
    #[arg(long, env = "TERANGA_COMPONENT_ADDRESS", default_value = "127.0.0.1", value_name = "IP")]
    pub component_address: IpAddr,
    /// Component that may connect, and its secret; may be repeated.
    #[arg(
        long,
        env = "TERANGA_COMPONENTS",
        value_delimiter = ',',
        hide_env_values = true,
        value_name = "DOMAIN=SECRET"
    )]
    pub component: Vec<ComponentFlag>,
    /// Reverse proxy, or network of such, whose X-Forwarded-For is believed; may be repeated.
    #[arg(
        long,
        env = "TERANGA_TRUSTED_PROXIES",
        value_delimiter = ',',
        default_value = "127.0.0.1,::1",
        value_name = "NETWORK"
    )]
    pub trusted_proxy: Vec<Network>,
    /// Name of this shard of a larger deployment; clients reload when they find themselves on another.
    #[arg(long, env = "TERANGA_SHARD", value_name = "NAME")]
    pub shard: Option<String>,
    /// Where this server stands.
    #[arg(long, env = "TERANGA_REGION", value_name = "NAME")]
    pub region: Option<String>,
    /// What this version of the deployment is called.
    #[arg(long, env = "TERANGA_RELEASE", value_name = "NAME")]
    pub release: Option<String>,
    /// Accounts.
    #[command(flatten)]
    pub accounts: AccountFlags,
    /// Limits.
    #[command(flatten)]
    pub limits: LimitFlags,
}

/// Accounts of services, each there when it has a password.
#[derive(Clone, Debug, clap::Args)]
pub struct AccountFlags {
    /// Password of a Jicofo that logs in as focus.
    #[arg(long, env = "JICOFO_AUTH_PASSWORD", hide_env_values = true, value_name = "PASSWORD")]
    pub jicofo_password: Option<String>,
    /// Account of bridges.
    #[arg(long, env = "JVB_AUTH_USER", default_value = "jvb", value_name = "NAME")]
    pub jvb_user: String,
    /// Password of bridges.
    #[arg(long, env = "JVB_AUTH_PASSWORD", hide_env_values = true, value_name = "PASSWORD")]
    pub jvb_password: Option<String>,
    /// Account of Jigasi.
    #[arg(long, env = "JIGASI_XMPP_USER", default_value = "jigasi", value_name = "NAME")]
    pub jigasi_user: String,
    /// Password of Jigasi.
    #[arg(long, env = "JIGASI_XMPP_PASSWORD", hide_env_values = true, value_name = "PASSWORD")]
    pub jigasi_password: Option<String>,
    /// Account with which Jibri is told what to record.
    #[arg(long, env = "JIBRI_XMPP_USER", default_value = "jibri", value_name = "NAME")]
    pub jibri_user: String,
    /// Password of that account.
    #[arg(long, env = "JIBRI_XMPP_PASSWORD", hide_env_values = true, value_name = "PASSWORD")]
    pub jibri_password: Option<String>,
    /// Account with which Jibri joins the meetings, at the hidden domain.
    #[arg(long, env = "JIBRI_RECORDER_USER", default_value = "recorder", value_name = "NAME")]
    pub recorder_user: String,
    /// Password of that account.
    #[arg(long, env = "JIBRI_RECORDER_PASSWORD", hide_env_values = true, value_name = "PASSWORD")]
    pub recorder_password: Option<String>,
    /// Account with which a transcriber joins the meetings, at the hidden domain.
    #[arg(long, env = "JIGASI_TRANSCRIBER_USER", default_value = "transcriber", value_name = "NAME")]
    pub transcriber_user: String,
    /// Password of that account.
    #[arg(long, env = "JIGASI_TRANSCRIBER_PASSWORD", hide_env_values = true, value_name = "PASSWORD")]
    pub transcriber_password: Option<String>,
}

/// When there is TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum XmppTls {
    /// Before anything else.
    Required,
    /// For those who want it.
    Offered,
    /// Never.
    Absent,
}

/// `DOMAIN=SECRET` of a component.
#[derive(Clone, Debug)]
pub struct ComponentFlag(Component);

impl FromStr for ComponentFlag {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (domain, secret) = text.split_once('=').ok_or("is not of the form DOMAIN=SECRET")?;
        let domain = Jid::new(None, domain, None).map_err(|error| error.to_string())?;
        let secret = Secret::new(secret).ok_or("has no secret")?;
        Ok(Self(Component { domain, secret }))
    }
}

impl XmppFlags {
    /// Puts what was said into settings.
    ///
    /// # Errors
    /// [`InvalidJid`] for the name of an account that cannot be one.
    pub fn apply(&self, settings: &mut Settings) -> Result<(), InvalidJid> {
        self.limits.apply(settings);
        settings.components = self.component.iter().map(|ComponentFlag(component)| component.clone()).collect();
        settings.trusted_proxies.clone_from(&self.trusted_proxy);
        settings.deployment =
            Deployment { shard: self.shard.clone(), region: self.region.clone(), release: self.release.clone() };
        let AccountFlags { jicofo_password, jvb_password, jigasi_password, jibri_password, .. } = &self.accounts;
        let AccountFlags { recorder_password, transcriber_password, .. } = &self.accounts;
        let (auth, hidden) = (settings.hosts.auth.clone(), settings.hosts.hidden.clone());
        let named = [
            ("focus", &auth, jicofo_password),
            (self.accounts.jvb_user.as_str(), &auth, jvb_password),
            (self.accounts.jigasi_user.as_str(), &auth, jigasi_password),
            (self.accounts.jibri_user.as_str(), &auth, jibri_password),
            (self.accounts.recorder_user.as_str(), &hidden, recorder_password),
            (self.accounts.transcriber_user.as_str(), &hidden, transcriber_password),
        ];
        for (name, host, password) in named {
            if let Some(password) = password.as_deref().and_then(Secret::new) {
                settings.accounts.push(Account { jid: Jid::new(Some(name), host.domain(), None)?, password });
            }
        }
        Ok(())
    }

    /// Listens on the ports that are on, and serves them until the core ends. `tls` is asked for only where it is used.
    ///
    /// # Errors
    /// What `tls` answers, or a port that cannot be had.
    pub async fn serve<E: From<web::BindError>>(
        &self,
        signaling: &Handle,
        address: IpAddr,
        tls: impl FnOnce() -> Result<Arc<ServerConfig>, E>,
    ) -> Result<(), E> {
        if self.component_port != 0 {
            let address = SocketAddr::new(self.component_address, self.component_port);
            signaling.serve_components(web::listen("component-port", address).await?);
        }
        if self.xmpp_port != 0 {
            let listener = web::listen("xmpp-port", SocketAddr::new(address, self.xmpp_port)).await?;
            let tls = match self.xmpp_tls {
                XmppTls::Required => StartTls::Required(tls()?),
                XmppTls::Offered => StartTls::Offered(tls()?),
                XmppTls::Absent => StartTls::Absent,
            };
            signaling.serve_tcp(listener, tls);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    type Options = crate::flag_tests::Options<XmppFlags>;

    fn settings(words: &str) -> Settings {
        let options = Options::try_parse_from(words.split_whitespace()).unwrap();
        let mut settings = Settings::default();
        options.flags.apply(&mut settings).unwrap();
        settings
    }

    #[test]
    fn everything_is_off_unless_asked_for() {
        let options = Options::try_parse_from(["x"]).unwrap();
        assert_eq!((options.flags.xmpp_port, options.flags.component_port), (0, 0));
        assert_eq!(options.flags.xmpp_tls, XmppTls::Required);
        let settings = settings("x");
        assert!(settings.accounts.is_empty() && settings.components.is_empty());
        assert_eq!(settings.trusted_proxies.len(), 2);
    }

    #[test]
    fn an_account_is_at_its_domain_and_needs_a_password() {
        let settings = settings("x --jvb-user bridge --jvb-password a --recorder-password b --jigasi-user sip");
        let names: Vec<&str> = settings.accounts.iter().map(|account| account.jid.as_str()).collect();
        assert_eq!(names, ["bridge@auth.meet.jitsi", "recorder@hidden.meet.jitsi"]);
    }

    #[test]
    fn a_component_is_a_domain_with_a_secret() {
        let settings = settings("x --component gate.meet.jitsi=a=b --component other=c");
        assert_eq!(settings.components[0].domain.as_str(), "gate.meet.jitsi");
        assert_eq!(settings.components[0].secret.expose(), "a=b");
        for bad in ["gate", "gate=", "a@b=c", "=c"] {
            assert!(bad.parse::<ComponentFlag>().is_err(), "{bad}");
        }
    }
}
