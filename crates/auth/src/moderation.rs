//! Who is a moderator by policy (signaling.md §5.5, focus.md §9): stock spreads it over the focus's auto-owner, its
//! authority, and the modules `token_affiliation` and `token_moderation`.

use std::str::FromStr;

use crate::claims::Claims;

/// What somebody showed about himself.
#[derive(Clone, Copy, Debug)]
pub enum Standing<'a> {
    /// Nothing.
    Guest,
    /// The password of an account.
    Account,
    /// A token.
    Token(&'a Claims),
}

/// Who becomes moderator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Moderators {
    /// The first who comes, and whom a token names.
    #[default]
    First,
    /// Everybody who showed who he is, by a password or a token.
    Authenticated,
    /// Whom a token names.
    Token,
    /// Nobody by himself.
    None,
}

/// No choice of moderators.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is none of first, authenticated, token, none")]
pub struct UnknownModerators(String);

impl FromStr for Moderators {
    type Err = UnknownModerators;

    fn from_str(text: &str) -> Result<Self, UnknownModerators> {
        match text {
            "first" => Ok(Self::First),
            "authenticated" => Ok(Self::Authenticated),
            "token" => Ok(Self::Token),
            "none" => Ok(Self::None),
            other => Err(UnknownModerators(other.to_owned())),
        }
    }
}

impl Moderators {
    /// What stock's settings mean when nothing else is said: `ENABLE_AUTH`, `ENABLE_AUTO_OWNER`. A focus with an authority
    /// makes owners of all who logged in; without auto-owner only tokens do.
    #[must_use]
    pub const fn of_stock(requires_login: bool, auto_owner: bool) -> Self {
        match (requires_login, auto_owner) {
            (_, false) => Self::Token,
            (true, true) => Self::Authenticated,
            (false, true) => Self::First,
        }
    }

    /// Whether somebody owns the rooms that he joins.
    #[must_use]
    pub const fn makes_owner(self, standing: Standing<'_>) -> bool {
        match (self, standing) {
            (Self::None, _) | (_, Standing::Guest) => false,
            (Self::Authenticated, Standing::Account | Standing::Token(_)) => true,
            (Self::First | Self::Token, Standing::Account) => false,
            (Self::First | Self::Token, Standing::Token(claims)) => claims.is_owner,
        }
    }

    /// Whether the focus makes an owner of the first who comes (`conference.enable-auto-owner`).
    #[must_use]
    pub const fn elects_first(self) -> bool {
        matches!(self, Self::First)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All settings and all people: who owns a room.
    #[test]
    fn who_owns_a_room() {
        let (named, other) = (Claims { is_owner: true, ..Claims::default() }, Claims::default());
        let people = [Standing::Guest, Standing::Account, Standing::Token(&other), Standing::Token(&named)];
        let table = [
            (Moderators::First, [false, false, false, true], true),
            (Moderators::Authenticated, [false, true, true, true], false),
            (Moderators::Token, [false, false, false, true], false),
            (Moderators::None, [false; 4], false),
        ];
        for (policy, expected, elects_first) in table {
            assert_eq!(people.map(|standing| policy.makes_owner(standing)), expected, "{policy:?}");
            assert_eq!(policy.elects_first(), elects_first, "{policy:?}");
        }
    }

    #[test]
    fn stock_settings_mean_one_of_them() {
        assert_eq!(Moderators::of_stock(false, true), Moderators::First);
        assert_eq!(Moderators::of_stock(true, true), Moderators::Authenticated);
        assert_eq!(Moderators::of_stock(true, false), Moderators::Token);
        assert_eq!(Moderators::of_stock(false, false), Moderators::Token);
    }
}
