//! How people log in, in the words of docker-jitsi-meet: `AUTH_TYPE`.

use std::str::FromStr;

/// A way to log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthType {
    /// With accounts of this server.
    Internal,
    /// With tokens.
    Jwt,
    /// With accounts of a directory.
    Ldap,
}

/// What a list of ways to log in may have, for help and errors.
const NAMES: &str = "internal, jwt, ldap";

/// One or several ways to log in, separated by commas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthTypes(Vec<AuthType>);

impl AuthTypes {
    /// Whether this way is one of them.
    #[must_use]
    pub fn has(&self, auth_type: AuthType) -> bool {
        self.0.contains(&auth_type)
    }

    /// Whether people log in with a password.
    #[must_use]
    pub fn take_passwords(&self) -> bool {
        self.has(AuthType::Internal) || self.has(AuthType::Ldap)
    }
}

/// A list that has something else, or nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is none of {NAMES}")]
pub struct UnknownAuthType(String);

impl FromStr for AuthTypes {
    type Err = UnknownAuthType;

    fn from_str(text: &str) -> Result<Self, UnknownAuthType> {
        let read = |name: &str| match name.to_ascii_lowercase().as_str() {
            "internal" => Ok(AuthType::Internal),
            "jwt" => Ok(AuthType::Jwt),
            "ldap" => Ok(AuthType::Ldap),
            _ => Err(UnknownAuthType(name.to_owned())),
        };
        text.split(',').map(str::trim).map(read).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_names_ways_to_log_in() {
        let types = |text: &str| text.parse::<AuthTypes>();
        let both = types("JWT, ldap").unwrap();
        assert!(both.has(AuthType::Ldap) && both.take_passwords());
        let tokens = types("jwt").unwrap();
        assert!(tokens.has(AuthType::Jwt) && !tokens.take_passwords());
        let unknown = types("jwt,kerberos").unwrap_err().to_string();
        assert_eq!(unknown, "\"kerberos\" is none of internal, jwt, ldap");
        assert!(types("").is_err() && types("jwt,").is_err());
    }
}
