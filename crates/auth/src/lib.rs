//! Who somebody is and what he may do, as pure functions of settings, a token, keys and the time.
//!
//! Here: JSON web tokens (RFC 7515, 7517, 7519) as Jitsi's deployments sign them, the keys that they are checked with, the
//! rooms that they open, what their claims mean, tokens that an operator gives out, who becomes moderator, the names of the ways to log in, and how often logins may
//! fail. Not here: where keys are fetched and rooms (`signaling`), accounts (`accounts`), directories (`ldap`).
//!
//! The way of a token: [`Token::parse`] reads it, nothing in it believed → its key is found by [`Token::key_id`] →
//! [`TokenRules::verify`] checks algorithm, signature, time and parties → [`Claims::of_payload`] → [`RoomRules::check`] at
//! each room.

mod auth_type;
mod claims;
mod der;
mod issue;
mod json;
mod key;
mod key_set;
mod lua_pattern;
mod moderation;
mod room_claim;
mod throttle;
mod token;

pub use auth_type::{AuthType, AuthTypes, UnknownAuthType};
pub use claims::{Claims, Features, RoomClaims, TokenUser};
pub use issue::{NewToken, NotIssued};
pub use jsonwebtoken::Algorithm;
pub use key::{InvalidKey, VerifyingKey, pem_body};
pub use key_set::{InvalidKeySet, KeySet, asap_file_name};
pub use moderation::{Moderators, Standing, UnknownModerators};
pub use room_claim::{PatternLanguage, RoomAddress, RoomRefused, RoomRules};
pub use throttle::{FailureThrottle, network_of};
pub use token::{MAX_TOKEN_BYTES, Token, TokenRefused, TokenRules};
