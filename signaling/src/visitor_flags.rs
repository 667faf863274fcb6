//! What an operator says about visitors on the command line or in the environment, under the names of docker-jitsi-meet where it has
//! one.

use std::num::NonZeroU32;

use clap::ArgAction;
use clap::builder::BoolishValueParser;
use jitsi_protocol::visitors;
use xmpp::InvalidJid;

use crate::{Settings, VisitorHosts, VisitorSettings};

/// To be flattened into the options of a binary, beside those of rooms.
#[derive(Clone, Debug, clap::Args)]
pub struct VisitorFlags {
    /// Large meetings have visitors, who see and hear without being seen, and may ask to come in.
    #[arg(long, env = "ENABLE_VISITORS", value_parser = BoolishValueParser::new())]
    pub enable_visitors: bool,
    /// Nodes that visitors are divided among, v1, v2 and so on, each with a room for a meeting.
    #[arg(long, env = "TERANGA_VISITOR_NODES", default_value_t = visitors::DEFAULT_NODES, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=i64::from(visitors::MAX_NODES)))]
    pub visitor_nodes: u16,
    /// Domain below which nodes have theirs, v1.DOMAIN, instead of the XMPP domain. Stock's web app knows meet.jitsi only.
    #[arg(long, env = "VISITORS_XMPP_DOMAIN", value_name = "DOMAIN")]
    pub visitors_domain: Option<String>,
    /// Visitors of one meeting on one node.
    #[arg(long, env = "VISITORS_MAX_VISITORS_PER_NODE", default_value_t = visitors::DEFAULT_PER_NODE, value_name = "NUMBER")]
    pub max_visitors_per_node: usize,
    /// Whether a visitor who raises a hand comes in at once. Else a moderator lets him in, and nobody without a token comes back
    /// into a meeting with visitors by himself.
    #[arg(long, env = "TERANGA_AUTO_ALLOW_VISITORS", default_value_t = true, action = ArgAction::Set, value_parser = BoolishValueParser::new())]
    pub auto_allow_visitors: bool,
    /// Whether a visitor who shows a token with the id of a user comes in at once when he raises a hand.
    #[arg(long, env = "TERANGA_AUTO_PROMOTE_TOKENS", default_value_t = true, action = ArgAction::Set, value_parser = BoolishValueParser::new())]
    pub auto_promote_tokens: bool,
    /// Domain or user, user@domain, that comes into meetings with visitors as into others; may be repeated.
    #[arg(long, env = "TERANGA_VISITORS_IGNORE_LIST", value_delimiter = ',', value_name = "DOMAIN_OR_USER")]
    pub visitors_ignore: Vec<String>,
    /// Chat messages of visitors in one room of a node after which no more are taken; no limit when left out. Stock has 10 where
    /// its module for this is loaded.
    #[arg(long, env = "TERANGA_MAX_VISITOR_MESSAGES", value_name = "NUMBER")]
    pub max_visitor_messages: Option<u32>,
    /// Visitors that come into one room of a node in a second, those beyond wait; no limit when left out. Stock has 30 where its
    /// module for this is loaded.
    #[arg(long, env = "TERANGA_VISITOR_JOINS_PER_SECOND", value_name = "NUMBER")]
    pub visitor_joins_per_second: Option<NonZeroU32>,
}

/// Why the flags make no settings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidVisitorFlags {
    /// The names of nodes are no domains.
    #[error("visitor nodes cannot have such domains")]
    Domain(#[from] InvalidJid),
    /// Nobody could log in at a node.
    #[error(
        "visitors log in without a password, but here everybody needs one: turn guests on (ENABLE_GUESTS), or tokens"
    )]
    NeedPasswords,
}

impl VisitorFlags {
    /// The domain below which nodes have theirs, where it is another than the XMPP domain.
    #[must_use]
    pub fn other_domain(&self, domain: &str) -> Option<String> {
        self.visitors_domain.clone().filter(|other| self.enable_visitors && other != domain)
    }

    /// Puts what was said into settings whose addresses, rooms and logins are set.
    ///
    /// # Errors
    /// [`InvalidVisitorFlags`].
    pub fn apply(&self, settings: &mut Settings) -> Result<(), InvalidVisitorFlags> {
        settings.visitors = VisitorSettings {
            auto_allow: self.auto_allow_visitors,
            auto_promote_tokens: self.auto_promote_tokens,
            ignore_list: self.visitors_ignore.clone(),
            per_node: self.max_visitors_per_node,
            messages: self.max_visitor_messages,
            joins_per_second: self.visitor_joins_per_second,
        };
        if !self.enable_visitors {
            return Ok(());
        }
        if !settings.client_login.takes_no_password() && settings.hosts.guest.is_none() {
            return Err(InvalidVisitorFlags::NeedPasswords);
        }
        let base = self.visitors_domain.as_deref().unwrap_or(settings.hosts.domain.domain());
        settings.hosts.visitors = Some(VisitorHosts::of(&settings.hosts, self.visitor_nodes, base)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::{AccountSource, ClientLogin};

    type Options = crate::flag_tests::Options<VisitorFlags>;

    fn flags(words: &str) -> VisitorFlags {
        Options::try_parse_from(words.split_whitespace()).unwrap().flags
    }

    #[test]
    fn there_are_none_unless_asked_for_and_one_switch_is_enough() {
        let mut settings = Settings::default();
        flags("x").apply(&mut settings).unwrap();
        assert_eq!(settings.hosts, Settings::default().hosts);
        assert_eq!(format!("{:?}", settings.visitors), format!("{:?}", VisitorSettings::default()));
        flags("x --enable-visitors").apply(&mut settings).unwrap();
        let names: Vec<&str> = settings.hosts.nodes().map(|node| node.muc.as_str()).collect();
        assert_eq!(names, ["muc.v1.meet.jitsi", "muc.v2.meet.jitsi", "muc.v3.meet.jitsi", "muc.v4.meet.jitsi"]);
    }

    #[test]
    fn nodes_have_names_as_stock_has_them() {
        let mut settings = Settings::for_domain("meet.example").unwrap();
        let words = "x --enable-visitors --visitor-nodes 1 --visitors-domain meet.jitsi";
        flags(words).apply(&mut settings).unwrap();
        let node = settings.hosts.node_named("v1").unwrap();
        assert_eq!((node.domain.as_str(), node.muc.as_str()), ("v1.meet.jitsi", "muc.v1.meet.jitsi"));
        let too_long = format!("x --enable-visitors --visitors-domain {}", "x".repeat(1100));
        assert!(flags(&too_long).apply(&mut settings).is_err());
    }

    #[test]
    fn where_everybody_needs_a_password_nobody_could_be_a_visitor() {
        let mut settings =
            Settings { client_login: ClientLogin::Passwords(AccountSource::Store), ..Settings::default() };
        assert!(matches!(flags("x --enable-visitors").apply(&mut settings), Err(InvalidVisitorFlags::NeedPasswords)));
        settings.hosts.guest = Some("guest.meet.jitsi".parse().unwrap());
        flags("x --enable-visitors").apply(&mut settings).unwrap();
    }
}
