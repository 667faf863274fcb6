//! Which rooms a token opens (`mod_token_verification`, `verify_room` of `token/util.lib.lua`): the name, `*`, or a pattern,
//! and where that is wanted the tenant.

use regex::{Regex, RegexBuilder};

use crate::claims::Claims;
use crate::lua_pattern;

/// Bytes that a compiled regular expression may take; a room's name needs some kilobytes.
const MAX_REGEX_BYTES: usize = 64 * 1024;

/// What the room claim is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoomAddress<'a> {
    /// The name, in small letters as XMPP has it.
    pub room: &'a str,
    /// The tenant, or the domain for a room without one.
    pub tenant: &'a str,
}

/// How claims about rooms are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomRules {
    /// Whether a token is for the rooms of its tenant only (`enable_domain_verification`).
    pub checks_tenant: bool,
    /// Whether a token without a room opens none (`asap_require_room_claim`).
    pub requires_room: bool,
    /// Whether `*` is any room; `token_no_wildcard` of the community says no.
    pub allows_wildcard: bool,
    /// What patterns are written in.
    pub patterns: PatternLanguage,
}

/// What a room claim is written in when `context.room.regex` is true.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PatternLanguage {
    /// A Lua pattern, as in stock: all that it finds, or what it captures first, has to be the name.
    #[default]
    Lua,
    /// A regular expression, which has to match the whole name.
    Regex,
}

/// Why a token does not open a room. `Display` is what stock says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the words say it")]
pub enum RoomRefused {
    #[error("Room does not match the room from token")]
    Mismatch,
    #[error("Room claim is not a valid Lua pattern")]
    InvalidPattern,
    #[error("Room name cannot be matched to the one from token.")]
    PatternMismatch,
}

impl RoomRefused {
    /// The name of the element by which clients tell the reasons apart.
    #[must_use]
    pub const fn marker(self) -> &'static str {
        match self {
            Self::Mismatch => "room-mismatch",
            Self::InvalidPattern => "invalid-regex",
            Self::PatternMismatch => "room-name-does-not-match",
        }
    }
}

impl Default for RoomRules {
    fn default() -> Self {
        Self { checks_tenant: false, requires_room: true, allows_wildcard: true, patterns: PatternLanguage::Lua }
    }
}

impl RoomRules {
    /// Whether a token with these claims opens the room.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, claims: &Claims, address: RoomAddress<'_>) -> Result<(), RoomRefused> {
        let tenant = claims.tenant.as_deref();
        if self.checks_tenant && !tenant.is_some_and(|sub| sub == "*" || sub.to_lowercase() == address.tenant) {
            return Err(RoomRefused::Mismatch);
        }
        match claims.room.as_deref() {
            None if self.requires_room => Err(RoomRefused::Mismatch),
            None => Ok(()),
            Some("*") if self.allows_wildcard => Ok(()),
            Some("*") => Err(RoomRefused::Mismatch),
            Some(pattern) if claims.opens.is_pattern => self.check_pattern(pattern, address.room),
            Some(name) if name.to_lowercase() == address.room => Ok(()),
            Some(_) => Err(RoomRefused::Mismatch),
        }
    }

    fn check_pattern(&self, pattern: &str, room: &str) -> Result<(), RoomRefused> {
        let is_match = match self.patterns {
            PatternLanguage::Lua => lua_pattern::find(in_small_letters(pattern).as_bytes(), room.as_bytes())
                .map_err(|_| RoomRefused::InvalidPattern)?
                .is_some_and(|found| found == room.as_bytes()),
            PatternLanguage::Regex => {
                // By itself first: a parenthesis too many could end the group around it.
                regex(pattern)?;
                regex(&format!("^(?:{pattern})$"))?.is_match(room)
            }
        };
        if is_match { Ok(()) } else { Err(RoomRefused::PatternMismatch) }
    }
}

fn regex(pattern: &str) -> Result<Regex, RoomRefused> {
    let mut builder = RegexBuilder::new(pattern);
    builder.case_insensitive(true).size_limit(MAX_REGEX_BYTES).dfa_size_limit(MAX_REGEX_BYTES);
    builder.build().map_err(|_| RoomRefused::InvalidPattern)
}

/// Rooms have small letters only, so patterns mean them; but `%A` is the opposite of `%a`.
fn in_small_letters(pattern: &str) -> String {
    let mut is_class = false;
    let small = |c: char| {
        let kept = if is_class { c } else { c.to_ascii_lowercase() };
        is_class = c == '%' && !is_class;
        kept
    };
    pattern.chars().map(small).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check_with(rules: &RoomRules, payload: Value, room: &str, tenant: &str) -> Result<(), RoomRefused> {
        rules.check(&Claims::of_payload(&payload), RoomAddress { room, tenant })
    }

    #[test]
    fn a_name_opens_its_room_and_a_star_all() {
        let check = |payload, room| check_with(&RoomRules::default(), payload, room, "meet.example");
        assert_eq!(check(json!({"room": "Demo"}), "demo"), Ok(()));
        assert_eq!(check(json!({"room": "*"}), "demo"), Ok(()));
        for other in
            [json!({"room": "demo2"}), json!({"room": "de"}), json!({}), json!({"room": 7}), json!({"room": ""})]
        {
            assert_eq!(check(other, "demo"), Err(RoomRefused::Mismatch));
        }
        assert_eq!(check(json!({"room": "d.*"}), "demo"), Err(RoomRefused::Mismatch), "no pattern unless it says so");
        let rules = RoomRules { allows_wildcard: false, ..RoomRules::default() };
        assert_eq!(check_with(&rules, json!({"room": "*"}), "demo", "d"), Err(RoomRefused::Mismatch));
        let rules = RoomRules { requires_room: false, ..RoomRules::default() };
        assert_eq!(check_with(&rules, json!({}), "demo", "d"), Ok(()));
    }

    #[test]
    fn a_tenant_counts_where_it_is_checked() {
        let rules = RoomRules { checks_tenant: true, ..RoomRules::default() };
        let check = |sub: Value| check_with(&rules, json!({"room": "*", "sub": sub}), "demo", "acme");
        assert_eq!((check(json!("acme")), check(json!("ACME")), check(json!("*"))), (Ok(()), Ok(()), Ok(())));
        for other in [json!("other"), json!(""), json!(null), json!(["acme"])] {
            assert_eq!(check(other), Err(RoomRefused::Mismatch));
        }
    }

    fn pattern(language: PatternLanguage, claim: &str, room: &str) -> Result<(), RoomRefused> {
        let rules = RoomRules { patterns: language, ..RoomRules::default() };
        check_with(&rules, json!({"room": claim, "context": {"room": {"regex": true}}}), room, "d")
    }

    #[test]
    fn a_lua_pattern_has_to_find_the_whole_name() {
        let lua = |claim, room| pattern(PatternLanguage::Lua, claim, room);
        assert_eq!(lua("team%-%d+", "team-12"), Ok(()));
        assert_eq!(lua("Team%-%D+", "team-ab"), Ok(()));
        assert_eq!(lua("(team)%-%d", "team-1"), Err(RoomRefused::PatternMismatch), "the capture is another name");
        assert_eq!(lua("team", "team-1"), Err(RoomRefused::PatternMismatch));
        assert_eq!(lua("[a", "a"), Err(RoomRefused::InvalidPattern));
    }

    #[test]
    fn a_regular_expression_is_anchored_and_bounded() {
        let regex = |claim, room| pattern(PatternLanguage::Regex, claim, room);
        assert_eq!(regex("team-[0-9]+", "team-12"), Ok(()));
        assert_eq!(regex("Team|other", "team"), Ok(()));
        assert_eq!(regex("team|x", "team-1"), Err(RoomRefused::PatternMismatch));
        for invalid in ["(", r"\w{9999}{9999}", ")|(.*"] {
            assert_eq!(regex(invalid, "a"), Err(RoomRefused::InvalidPattern), "{invalid}");
        }
    }
}
