//! What an operator decides about visitors of large conferences (signaling.md §8).

use std::num::NonZeroU32;

/// Rules of visitors. The defaults are those of docker-jitsi-meet, for a deployment that has visitor nodes.
#[derive(Clone, Debug)]
pub struct VisitorSettings {
    /// Whether a visitor who raises his hand comes into the conference at once, without a moderator (`auto_allow_visitor_promotion`);
    /// and so does whoever was in it and comes again.
    pub auto_allow: bool,
    /// Whether a visitor who shows a token with the id of a user does (`visitors_auto_promoted_with_token`).
    pub auto_promote_tokens: bool,
    /// Domains and bare JIDs that come into a conference whoever is asked else (`visitors_ignore_list`). The domain of recorders always
    /// does.
    pub ignore_list: Vec<String>,
    /// Visitors in one room of a node.
    pub per_node: usize,
    /// Messages of the visitors in one room after which no more are taken; `None` for no limit.
    pub messages: Option<u32>,
    /// Joins of one room in a second; those beyond wait. `None` for no limit.
    pub joins_per_second: Option<NonZeroU32>,
}

impl Default for VisitorSettings {
    fn default() -> Self {
        Self {
            auto_allow: true,
            auto_promote_tokens: true,
            ignore_list: Vec::new(),
            per_node: jitsi_protocol::visitors::DEFAULT_PER_NODE,
            messages: None,
            joins_per_second: None,
        }
    }
}
