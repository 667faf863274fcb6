//! The one screen that a started server prints.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use crate::state::State;

/// What the screen tells.
pub(crate) struct Banner<'a> {
    pub(crate) address: IpAddr,
    pub(crate) https_port: u16,
    pub(crate) http_port: u16,
    pub(crate) media_port: u16,
    pub(crate) turn_port: u16,
    pub(crate) public_url: Option<&'a str>,
    pub(crate) media_addresses: &'a [IpAddr],
    pub(crate) state: &'a State,
    pub(crate) has_client: bool,
}

impl Banner<'_> {
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        let port = self.https_port;
        let mut urls: Vec<String> = match self.public_url {
            Some(url) => vec![format!("{url}/")],
            None => vec![format!("https://localhost:{port}/")],
        };
        if self.public_url.is_none() && self.address.is_unspecified() {
            // Nobody types an IPv6 address who has another.
            let has_ipv4 = self.media_addresses.iter().any(IpAddr::is_ipv4);
            let shown = self.media_addresses.iter().filter(|ip| ip.is_ipv4() == has_ipv4);
            urls.extend(shown.map(|ip| format!("https://{}/", SocketAddr::new(*ip, port))));
        }
        let on = |port: u16| {
            if self.address.is_unspecified() {
                format!("*:{port}")
            } else {
                SocketAddr::new(self.address, port).to_string()
            }
        };
        let media: Vec<String> = self.media_addresses.iter().map(ToString::to_string).collect();
        let turn = match self.turn_port {
            0 => String::new(),
            port => {
                format!("  turn     UDP and TCP {}, and TLS on the https port, for who reaches no other\n", on(port))
            }
        };
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "Teranga {version} is ready.\n\n  Open     {urls}\n           (the certificate is self-signed: the browser asks once)\n\n  \
             https    TCP {https}   web client, XMPP and bridge channels over WebSocket\n  \
             http     TCP {http}   the same without TLS, for a proxy or localhost\n  \
             media    UDP {media_port}   audio and video, at {media}\n\
             {turn}  \
             state    {state}\n",
            version = env!("CARGO_PKG_VERSION"),
            urls = urls.join("\n           "),
            https = on(self.https_port),
            http = on(self.http_port),
            media_port = on(self.media_port),
            media = media.join(", "),
            turn = turn,
            state = self.state,
        );
        if !self.has_client {
            text.push_str("\n  This binary was built without the web client: run 'make client' and build again.\n");
        }
        text.push_str("\nCtrl-C stops it.\n");
        text
    }
}
