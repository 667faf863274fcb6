//! What an operator says about visitors, under the names of docker-jitsi-meet where it has one: when there are some
//! ([`VisitorPlacementFlags`]), and where, for a focus beside its server ([`VisitorNodeFlags`]).

use std::str::FromStr;
use std::time::Duration;

use clap::ArgAction;
use clap::builder::BoolishValueParser;
use jitsi_protocol::visitors;
use xmpp::InvalidJid;

use super::parse_time;
use crate::settings::{NodeAccess, VisitorNode, VisitorSettings};

/// When clients only watch.
#[derive(Clone, Debug, clap::Args)]
pub struct VisitorPlacementFlags {
    /// Participants of a conference from which on newcomers only watch; a room may say another number.
    #[arg(long, env = "VISITORS_MAX_PARTICIPANTS", default_value_t = 50, value_name = "NUMBER")]
    pub visitors_max_participants: usize,
    /// Whether only those rooms have visitors whose metadata says so.
    #[arg(long, env = "JICOFO_VISITORS_REQUIRE_MUC_CONFIG", default_value_t = false, action = ArgAction::Set, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    pub visitors_require_muc_config: bool,
    /// Whether visitors wait until the metadata of a room says that it is live.
    #[arg(long, env = "TERANGA_VISITORS_LIVE_ROOM", default_value_t = false, action = ArgAction::Set, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    pub visitors_live_room: bool,
    /// How often participants are told how many visitors there are.
    #[arg(long, env = "TERANGA_VISITORS_NOTIFICATION_INTERVAL", default_value = "15s", value_parser = parse_time, value_name = "TIME")]
    pub visitors_notification_interval: Duration,
    /// How long who was sent to a node counts there before he came.
    #[arg(long, env = "TERANGA_VISITORS_JOIN_LATENCY", default_value = "60s", value_parser = parse_time, value_name = "TIME")]
    pub visitors_join_latency: Duration,
}

impl VisitorPlacementFlags {
    /// What was said, for visitors of `domain` on `nodes`, each with so many of a conference while there are others.
    ///
    /// # Errors
    /// [`InvalidJid`] when `domain` is not one.
    pub fn to_settings(
        &self,
        domain: &str,
        nodes: Vec<VisitorNode>,
        max_per_node: usize,
    ) -> Result<VisitorSettings, InvalidJid> {
        Ok(VisitorSettings {
            max_participants: self.visitors_max_participants,
            max_per_node,
            notification_interval: self.visitors_notification_interval,
            join_latency: self.visitors_join_latency,
            requires_room_flag: self.visitors_require_muc_config,
            live_rooms: self.visitors_live_room,
            ..VisitorSettings::new(domain, nodes)?
        })
    }
}

/// Where visitors are, as a focus of its own is told.
#[derive(Clone, Debug, clap::Args)]
pub struct VisitorNodeFlags {
    /// Large meetings have visitors, who see and hear without being seen.
    #[arg(long, env = "ENABLE_VISITORS", value_parser = BoolishValueParser::new())]
    pub enable_visitors: bool,
    /// Servers for visitors, separated by commas: HOST for ws://HOST:5280/xmpp-websocket, or a URL. The first is node v0, the next
    /// v1 and so on; NAME=HOST gives another name. A port, which docker-jitsi-meet has here, is that of another protocol and
    /// counts for nothing [default: nodes of the server to which the focus is connected].
    #[arg(long, env = "VISITORS_XMPP_SERVER", value_delimiter = ',', value_name = "SERVER")]
    pub visitors_xmpp_server: Vec<NodeServer>,
    /// Without --visitors-xmpp-server, how many nodes the server itself has: v1, v2 and so on.
    #[arg(long, env = "TERANGA_VISITOR_NODES", default_value_t = visitors::DEFAULT_NODES, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=i64::from(visitors::MAX_NODES)))]
    pub visitor_nodes: u16,
    /// Domain below which nodes have theirs, as v1.DOMAIN [default: the XMPP domain].
    #[arg(long, env = "VISITORS_XMPP_DOMAIN", value_name = "DOMAIN")]
    pub visitors_xmpp_domain: Option<String>,
    /// Domain at which the focus logs in at servers for visitors [default: auth. and the XMPP domain].
    #[arg(long, env = "VISITORS_XMPP_AUTH_DOMAIN", value_name = "DOMAIN")]
    pub visitors_xmpp_auth_domain: Option<String>,
    /// Visitors of a conference that one node gets while there are others.
    #[arg(long, env = "VISITORS_MAX_VISITORS_PER_NODE", default_value_t = visitors::DEFAULT_PER_NODE, value_name = "NUMBER")]
    pub max_visitors_per_node: usize,
}

/// A server for visitors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeServer {
    /// The name of the node; `None` for that of its place in the list.
    name: Option<String>,
    /// Its WebSocket.
    url: String,
}

impl FromStr for NodeServer {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, server) = match text.split_once('=') {
            Some((name, server)) if !name.contains('/') => (Some(name.trim().to_owned()), server.trim()),
            Some(_) | None => (None, text.trim()),
        };
        let host = server.split(':').next().unwrap_or_default();
        let is_url = net::is_web_socket_url(server);
        let url = net::xmpp_url(if is_url { server } else { host });
        let is_plain = |text: &str| !text.is_empty() && !text.contains(['/', ' ', '@', '=']);
        let is_name = |name: &String| is_plain(name) && !name.contains('.');
        if !name.as_ref().is_none_or(is_name) || host.is_empty() || !is_url && !is_plain(server) {
            return Err("is neither HOST nor a URL of a WebSocket, with or without NAME= before it");
        }
        Ok(Self { name, url })
    }
}

impl VisitorNodeFlags {
    /// The nodes, each with the URL of its WebSocket where it is another server than the main one of `domain`.
    #[must_use]
    pub fn nodes(&self, domain: &str) -> Vec<(VisitorNode, Option<String>)> {
        let base = self.visitors_xmpp_domain.as_deref().unwrap_or(domain);
        if !self.enable_visitors {
            return Vec::new();
        }
        if self.visitors_xmpp_server.is_empty() {
            return visitors::node_names(self.visitor_nodes)
                .map(|name| (VisitorNode::at_main_server(&name, base), None))
                .collect();
        }
        let servers = self.visitors_xmpp_server.iter().enumerate().map(|(at, server)| {
            let name = server.name.clone().unwrap_or_else(|| format!("v{at}"));
            let node = VisitorNode { access: NodeAccess::OwnLink, ..VisitorNode::at_main_server(&name, base) };
            (node, Some(server.url.clone()))
        });
        servers.collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Options {
        #[command(flatten)]
        rules: VisitorPlacementFlags,
        #[command(flatten)]
        nodes: VisitorNodeFlags,
    }

    fn read(words: &str) -> Options {
        Options::try_parse_from(words.split_whitespace()).unwrap()
    }

    fn nodes(words: &str) -> Vec<String> {
        let describe = |(node, url): (VisitorNode, Option<String>)| {
            let url = url.unwrap_or_else(|| "main".to_owned());
            assert_eq!(node.access == NodeAccess::MainLink, url == "main");
            format!("{} {} {url}", node.name, node.domain)
        };
        read(words).nodes.nodes("meet.jitsi").into_iter().map(describe).collect()
    }

    #[test]
    fn nodes_are_those_of_the_server_or_other_servers() {
        assert!(nodes("x --visitors-xmpp-server a").is_empty(), "visitors are off");
        let own = nodes("x --enable-visitors --visitor-nodes 2");
        assert_eq!(own, ["v1 v1.meet.jitsi main", "v2 v2.meet.jitsi main"]);
        let others = nodes(
            "x --enable-visitors --visitors-xmpp-server a.example:52220,east=b.example,wss://c.example/ws?q=1 \
             --visitors-xmpp-domain visitors.example",
        );
        let expected = [
            "v0 v0.visitors.example ws://a.example:5280/xmpp-websocket",
            "east east.visitors.example ws://b.example:5280/xmpp-websocket",
            "v2 v2.visitors.example wss://c.example/ws?q=1",
        ];
        assert_eq!(others, expected);
        for wrong in ["=a", "e.ast=a", "http://a", "a b", "v1="] {
            assert!(wrong.parse::<NodeServer>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn rules_are_those_of_docker_jitsi_meet() {
        let rules = |words| read(words).rules.to_settings("meet.jitsi", Vec::new(), 7).unwrap();
        let (said, stock) = (rules("x"), VisitorSettings::new("meet.jitsi", Vec::new()).unwrap());
        assert_eq!((said.max_participants, said.max_per_node), (stock.max_participants, 7));
        assert_eq!((said.notification_interval, said.join_latency), (stock.notification_interval, stock.join_latency));
        assert!(!said.requires_room_flag && !said.live_rooms);
        let said = rules(
            "x --visitors-max-participants 3 --visitors-require-muc-config true --visitors-live-room 1 \
             --visitors-notification-interval 1 --visitors-join-latency 2m",
        );
        assert_eq!((said.max_participants, said.requires_room_flag, said.live_rooms), (3, true, true));
        assert_eq!((said.notification_interval.as_secs(), said.join_latency.as_secs()), (1, 120));
    }
}
