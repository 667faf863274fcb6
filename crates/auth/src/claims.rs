//! What a verified token says of its user: who he is and what he may do (signaling.md §3.2).
//!
//! Here: the claims that rooms and components act on. Not here: whether a token is to be believed (`token.rs`).

use std::collections::BTreeMap;

use serde_json::Value;

/// What a token says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// The room that it opens, or `*` for all (`room`); without one it opens none.
    pub room: Option<String>,
    /// The tenant or domain that it is for, or `*` (`sub`).
    pub tenant: Option<String>,
    /// Who it is (`context.user`).
    pub user: TokenUser,
    /// The group of the user (`context.group`).
    pub group: Option<String>,
    /// What the user may do (`context.features`); `None` when the token leaves it to the role in the room.
    pub features: Option<Features>,
    /// Whether the user owns each room that the token opens: `moderator` at the root (`token_moderation`) or in
    /// `context.user`, or an `affiliation` there (`token_affiliation`).
    pub is_owner: bool,
    /// Whether the user walks past lobbies (`token_lobby_bypass`).
    pub lobby_bypass: bool,
    /// Whether the user waits in a lobby, where rooms have one for such users (`token_lobby_ondemand`).
    pub waits_in_lobby: bool,
    /// Whether the user is a visitor, whom somebody else lets into the conference (`role` of `context.user`).
    pub is_visitor: bool,
    /// What it says of the room.
    pub opens: RoomClaims,
}

/// What a token says of the room that it opens (`context.room`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoomClaims {
    /// Whether the room claim is a pattern (`regex`).
    pub is_pattern: bool,
    /// Whether a room that the user opens starts with a lobby (`lobby_autostart` of `token_lobby_autostart`, `lobby` of
    /// `token_security_ondemand`).
    pub lobby_autostart: Option<bool>,
    /// The password of a room that the user opens (`password` of `token_security_ondemand`).
    pub password: Option<String>,
    /// How many may be in a room that the user owns (`max_occupants`).
    pub max_occupants: Option<usize>,
}

/// The user of a token, as others are shown him.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenUser {
    /// The id that the issuer knows him by.
    pub id: Option<String>,
    /// The display name.
    pub name: Option<String>,
    /// The mail address.
    pub email: Option<String>,
    /// The address of a picture.
    pub avatar: Option<String>,
}

/// Features that are allowed or denied by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Features(BTreeMap<String, bool>);

impl Claims {
    /// Reads the payload of a verified token. What has another type than it should counts as absent.
    #[must_use]
    pub fn of_payload(payload: &Value) -> Self {
        let context = &payload["context"];
        let (user, room) = (&context["user"], &context["room"]);
        let text = |value: &Value| value.as_str().map(str::to_owned);
        // Issuers write ids as numbers as well.
        let id = |value: &Value| text(value).or_else(|| value.as_u64().map(|id| id.to_string()));
        Self {
            room: text(&payload["room"]),
            tenant: text(&payload["sub"]),
            user: TokenUser {
                id: id(&user["id"]).or_else(|| id(&payload["user_id"])),
                name: text(&user["name"]),
                email: text(&user["email"]),
                avatar: text(&user["avatar"]),
            },
            group: text(&context["group"]),
            features: context["features"].as_object().map(|features| {
                Features(features.iter().map(|(name, value)| (name.clone(), flag(value) == Some(true))).collect())
            }),
            is_owner: flag(&payload["moderator"]) == Some(true)
                || flag(&user["moderator"]) == Some(true)
                || matches!(user["affiliation"].as_str(), Some("owner" | "moderator" | "teacher")),
            lobby_bypass: flag(&user["lobby_bypass"]) == Some(true),
            waits_in_lobby: flag(&user["lobby"]) == Some(true),
            is_visitor: user["role"] == "visitor",
            opens: RoomClaims {
                is_pattern: flag(&room["regex"]) == Some(true),
                lobby_autostart: flag(&room["lobby_autostart"]).or_else(|| flag(&room["lobby"])),
                password: text(&room["password"]).filter(|password| !password.is_empty()),
                max_occupants: number(&room["max_occupants"]).filter(|limit| *limit > 0),
            },
        }
    }
}

/// A boolean, which tokens also write as a string.
fn flag(value: &Value) -> Option<bool> {
    value.as_bool().or(match value.as_str() {
        Some("true") => Some(true),
        Some("false") => Some(false),
        Some(_) | None => None,
    })
}

/// A count, which tokens also write as a string.
fn number(value: &Value) -> Option<usize> {
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
    usize::try_from(number).ok()
}

impl Features {
    /// Whether the feature is named and allowed.
    #[must_use]
    pub fn allow(&self, name: &str) -> bool {
        self.0.get(name).copied().unwrap_or(false)
    }

    /// Whether the feature is named and denied.
    #[must_use]
    pub fn deny(&self, name: &str) -> bool {
        self.0.get(name) == Some(&false)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, bool)> {
        self.0.iter().map(|(name, is_allowed)| (name.as_str(), *is_allowed))
    }
}

impl FromIterator<(String, bool)> for Features {
    fn from_iter<I: IntoIterator<Item = (String, bool)>>(features: I) -> Self {
        Self(features.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_who_it_is_and_what_he_may_do() {
        let claims = Claims::of_payload(&json!({
            "context": {
                "user": {"id": 7, "name": "Ann", "moderator": "true", "lobby_bypass": true},
                "group": "staff",
                "features": {"recording": "true", "livestreaming": false, "flip": 1},
                "room": {"lobby_autostart": false, "regex": "true", "max_occupants": "12", "password": ""},
            },
        }));
        assert_eq!((claims.user.id.as_deref(), claims.user.name.as_deref()), (Some("7"), Some("Ann")));
        assert_eq!((claims.is_owner, claims.lobby_bypass), (true, true));
        let room =
            RoomClaims { is_pattern: true, lobby_autostart: Some(false), password: None, max_occupants: Some(12) };
        assert_eq!(claims.opens, room);
        let features = claims.features.unwrap();
        assert!(features.allow("recording") && features.deny("livestreaming") && !features.deny("transcription"));
        assert!(!features.allow("flip"));
    }

    #[test]
    fn owners_are_named_in_three_ways_and_others_are_not() {
        let is_owner = |user: Value| Claims::of_payload(&json!({"context": {"user": user}})).is_owner;
        assert!(is_owner(json!({"affiliation": "teacher"})) && is_owner(json!({"moderator": true})));
        assert!(!is_owner(json!({"affiliation": "member"})) && !is_owner(json!({"moderator": "no"})));
        let at_root = |moderator: Value| Claims::of_payload(&json!({"moderator": moderator})).is_owner;
        assert!(at_root(json!(true)) && at_root(json!("true")) && !at_root(json!(false)) && !at_root(json!(1)));
        assert!(!Claims::of_payload(&json!([])).is_owner);
    }
}
