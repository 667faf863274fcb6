//! Which deployment is loaded, as a stock client finds it: by a URL and its `config.js`.

use clap::Args;

/// Where the deployment is and who the participants are.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Target")]
pub struct TargetOptions {
    /// The deployment, as a browser opens it: `https://meet.example`; with `--signaling` its WebSocket,
    /// `ws://janus.example:8188`
    pub url: String,
    /// What the server speaks: jitsi, janus (its video room) or livekit.
    #[arg(long, default_value = "jitsi")]
    pub signaling: SignalingKind,
    /// XMPP domain (default: `hosts.domain` of its config.js).
    #[arg(long)]
    pub domain: Option<String>,
    /// Domain of the rooms (default: `hosts.muc` of its config.js).
    #[arg(long)]
    pub muc: Option<String>,
    /// Address of the focus (default: `hosts.focus` of its config.js, or focus. in front of the domain).
    #[arg(long)]
    pub focus: Option<String>,
    /// XMPP over WebSocket (default: `websocket` of its config.js, or /xmpp-websocket).
    #[arg(long, value_name = "URL")]
    pub websocket: Option<String>,
    /// JSON web token of the participants.
    #[arg(long, env = "TERANGA_LOAD_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Account of the participants, `user` or `user@domain`; without it they are guests.
    #[arg(long, requires = "password")]
    pub username: Option<String>,
    /// Its password.
    #[arg(long, env = "TERANGA_LOAD_PASSWORD", hide_env_values = true)]
    pub password: Option<String>,
    /// Account `user@domain` that opens each room before the first participant comes, under the nick `focus`, for scenarios
    /// without a focus.
    #[arg(long, requires = "opener_password")]
    pub opener: Option<String>,
    /// Its password.
    #[arg(long, env = "TERANGA_LOAD_OPENER_PASSWORD", hide_env_values = true)]
    pub opener_password: Option<String>,
    /// API key of LiveKit, by which participants sign their tokens.
    #[arg(long, requires = "api_secret")]
    pub api_key: Option<String>,
    /// Its secret.
    #[arg(long, env = "TERANGA_LOAD_API_SECRET", hide_env_values = true)]
    pub api_secret: Option<String>,
    /// Accept any certificate of the server.
    #[arg(long)]
    pub insecure: bool,
}

/// What a server speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum SignalingKind {
    /// XMPP and Jingle, as Jitsi does.
    #[default]
    Jitsi,
    /// JSON, for Janus's video room.
    Janus,
    /// Protocol buffers, as LiveKit does.
    Livekit,
}

impl SignalingKind {
    /// Subprotocol of its WebSocket.
    #[must_use]
    pub const fn subprotocol(self) -> Option<&'static str> {
        match self {
            Self::Jitsi => Some("xmpp"),
            Self::Janus => Some("janus-protocol"),
            Self::Livekit => None,
        }
    }
}

/// A deployment, as participants need to know it.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// What it was given as.
    pub url: String,
    /// What it speaks.
    pub signaling: SignalingKind,
    /// XMPP domain.
    pub domain: String,
    /// Domain of the rooms.
    pub muc: String,
    /// Address of the focus.
    pub focus: String,
    /// XMPP over WebSocket, without query.
    pub websocket: String,
    /// JSON web token.
    pub token: Option<String>,
    /// Account; guests have none.
    pub login: Option<Login>,
    /// Account that opens rooms; none where participants or a focus do.
    pub opener: Option<Login>,
    /// Key and secret of LiveKit's tokens.
    pub api: Option<(String, String)>,
    /// Accept any certificate.
    pub insecure: bool,
}

/// An account of participants.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// Without domain.
    pub username: String,
    /// Its domain: `hosts.authdomain`, or the XMPP domain.
    pub domain: String,
    /// Never shown.
    pub password: String,
}

impl Login {
    /// Of `user` or `user@domain`.
    fn new(name: &str, password: Option<&String>, usual_domain: String) -> Self {
        let (username, of) = name.split_once('@').map_or((name, None), |(name, of)| (name, Some(of)));
        Self {
            username: username.to_owned(),
            domain: of.map_or(usual_domain, str::to_owned),
            password: password.cloned().unwrap_or_default(),
        }
    }
}

/// Secrets stay out of logs and reports.
impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { url, signaling, domain, muc, focus, websocket, token: _, login: _, opener: _, api: _, insecure } =
            self;
        f.debug_struct("Target")
            .field("url", url)
            .field("signaling", signaling)
            .field("domain", domain)
            .field("muc", muc)
            .field("focus", focus)
            .field("websocket", websocket)
            .field("insecure", insecure)
            .finish_non_exhaustive()
    }
}

impl TargetOptions {
    /// Whether all is said, so that `config.js` need not be read.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.domain.is_some() && self.muc.is_some() && self.websocket.is_some()
    }

    /// The target: what was said, what its `config.js` says, what a stock deployment would have.
    #[must_use]
    pub fn resolve(&self, config_js: &str) -> Target {
        let origin = self.url.trim_end_matches('/');
        let host = origin.split_once("://").map_or(origin, |(_, rest)| rest);
        let host = host.split(['/', ':', '?']).next().unwrap_or(host);
        let said = |option: &Option<String>, key: &str| option.clone().or_else(|| value_of(config_js, key));
        let domain = said(&self.domain, "domain").unwrap_or_else(|| host.to_owned());
        let usual = match self.signaling {
            SignalingKind::Jitsi => "/xmpp-websocket",
            SignalingKind::Janus => "",
            SignalingKind::Livekit => "/rtc",
        };
        let websocket = said(&self.websocket, "websocket").unwrap_or_else(|| origin.replacen("http", "ws", 1) + usual);
        Target {
            url: self.url.clone(),
            signaling: self.signaling,
            muc: said(&self.muc, "muc").unwrap_or_else(|| format!("conference.{domain}")),
            focus: said(&self.focus, "focus").unwrap_or_else(|| format!("focus.{domain}")),
            websocket,
            token: self.token.clone(),
            login: self.username.as_ref().map(|name| {
                let usual = value_of(config_js, "authdomain").unwrap_or_else(|| domain.clone());
                Login::new(name, self.password.as_ref(), usual)
            }),
            opener: self
                .opener
                .as_ref()
                .map(|name| Login::new(name, self.opener_password.as_ref(), format!("auth.{domain}"))),
            api: self.api_key.clone().zip(self.api_secret.clone()),
            insecure: self.insecure,
            domain,
        }
    }
}

impl Target {
    /// The WebSocket of a room, with what the server wants to know at once (client.md §1.2).
    #[must_use]
    pub fn websocket_of(&self, room: &str) -> String {
        match self.signaling {
            SignalingKind::Jitsi => {}
            SignalingKind::Janus | SignalingKind::Livekit => return self.websocket.clone(),
        }
        let separator = if self.websocket.contains('?') { '&' } else { '?' };
        let token = self.token.as_ref().map(|token| format!("&token={token}")).unwrap_or_default();
        format!("{}{separator}room={room}{token}", self.websocket)
    }
}

/// The text that a script gives a key: `key: 'text'`, `"key": "text"`, `config.hosts.key = 'text'`. Comments do not count.
/// What is put together by an expression is not read; the options of the command line are for that.
fn value_of(script: &str, key: &str) -> Option<String> {
    script.lines().map(without_comment).find_map(|line| {
        let mut rest = line;
        while let Some(at) = rest.find(key) {
            let before = rest.get(..at)?.chars().next_back();
            rest = rest.get(at + key.len()..)?;
            if before.is_some_and(|before| before.is_alphanumeric() || before == '_') {
                continue;
            }
            let value = rest.trim_start_matches(['"', '\'']).trim_start();
            let Some(value) = value.strip_prefix([':', '=']).map(str::trim_start) else { continue };
            let Some(quote) = value.chars().next().filter(|quote| matches!(quote, '"' | '\'')) else { continue };
            let value = value.get(1..)?;
            let (text, behind) = value.split_once(quote)?;
            if !text.is_empty() && !behind.trim_start().starts_with('+') {
                return Some(text.to_owned());
            }
        }
        None
    })
}

fn without_comment(line: &str) -> &str {
    let trimmed = line.trim_start();
    if trimmed.starts_with("//") || trimmed.starts_with('*') || trimmed.starts_with("/*") { "" } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(url: &str) -> TargetOptions {
        TargetOptions {
            url: url.to_owned(),
            signaling: SignalingKind::Jitsi,
            domain: None,
            muc: None,
            focus: None,
            websocket: None,
            token: None,
            username: None,
            password: None,
            opener: None,
            opener_password: None,
            api_key: None,
            api_secret: None,
            insecure: false,
        }
    }

    #[test]
    fn reads_the_scripts_of_stock_deployments() {
        // docker-jitsi-meet writes one assignment a line; Debian's package a literal; Teranga JSON.
        let scripts = [
            "config.hosts.domain = 'meet.jitsi';\nconfig.hosts.muc = 'muc.meet.jitsi';\n\
             config.websocket = 'wss://meet.example/xmpp-websocket';\nconfig.websocketKeepAliveUrl = 'https://x/_unlock';",
            "var config = {\n hosts: { domain: 'meet.jitsi', // anonymousdomain: 'guest.example',\n  muc: 'muc.meet.jitsi' },\n\
             // websocket: 'wss://elsewhere.example',\n websocket: 'wss://meet.example/xmpp-websocket' };",
            r#"var config = {"hosts":{"domain":"meet.jitsi","focus":"focus.meet.jitsi","muc":"muc.meet.jitsi"},"websocket":"wss://meet.example/xmpp-websocket"};"#,
        ];
        for script in scripts {
            let target = options("https://meet.example/").resolve(script);
            assert_eq!((target.domain.as_str(), target.muc.as_str()), ("meet.jitsi", "muc.meet.jitsi"), "{script}");
            assert_eq!(target.focus, "focus.meet.jitsi");
            assert_eq!(target.websocket, "wss://meet.example/xmpp-websocket");
        }
    }

    #[test]
    fn what_was_said_has_the_last_word_and_the_rest_is_as_usual() {
        let mut said = options("https://meet.example:8443");
        assert!(!said.is_complete());
        let script = "config.hosts.muc = 'conference.' + subdomain + 'meet.example';";
        let target = said.resolve(script);
        assert_eq!((target.domain.as_str(), target.muc.as_str()), ("meet.example", "conference.meet.example"));
        assert_eq!(target.websocket, "wss://meet.example:8443/xmpp-websocket");
        said.muc = Some("rooms.example".to_owned());
        said.username = Some("alice@other.example".to_owned());
        said.password = Some("hush".to_owned());
        said.token = Some("t0ken".to_owned());
        let target = said.resolve("authdomain: 'auth.example'");
        assert_eq!(target.muc, "rooms.example");
        assert_eq!(target.login.as_ref().map(|login| login.domain.as_str()), Some("other.example"));
        assert_eq!(target.websocket_of("load-1"), "wss://meet.example:8443/xmpp-websocket?room=load-1&token=t0ken");
        assert!(target.opener.is_none());
        assert!(!format!("{target:?}").contains("hush") && !format!("{target:?}").contains("t0ken"));
    }
}
