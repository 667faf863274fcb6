//! How people log in, in the words of docker-jitsi-meet: `AUTH_TYPE`, and the switches beside it.

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

/// One or several ways to log in, separated by commas. An empty list says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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

    /// This, or the next when this says nothing, or in the end accounts of this server.
    #[must_use]
    pub fn or<'a>(&'a self, next: &'a Self) -> Self {
        let said = [self, next].into_iter().find(|types| !types.0.is_empty()).cloned();
        said.unwrap_or_else(|| Self(vec![AuthType::Internal]))
    }
}

/// A list that has something else.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is none of {NAMES}")]
pub struct UnknownAuthType(String);

impl FromStr for AuthTypes {
    type Err = UnknownAuthType;

    fn from_str(text: &str) -> Result<Self, UnknownAuthType> {
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        let read = |name: &str| match name.to_ascii_lowercase().as_str() {
            "internal" => Ok(AuthType::Internal),
            "jwt" => Ok(AuthType::Jwt),
            "ldap" => Ok(AuthType::Ldap),
            _ => Err(UnknownAuthType(name.to_owned())),
        };
        names.map(read).collect::<Result<_, _>>().map(Self)
    }
}

/// Neither on nor off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is neither 0 nor 1")]
pub struct NoSwitch;

/// A switch as docker-jitsi-meet writes them, with nothing for off. What is neither is refused: a typing error shall open no server.
///
/// # Errors
/// For other words.
pub fn switch(text: &str) -> Result<bool, NoSwitch> {
    match text.trim().to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" | "t" | "y" => Ok(true),
        "" | "0" | "false" | "no" | "off" | "f" | "n" => Ok(false),
        _ => Err(NoSwitch),
    }
}

/// A switch that is on unless it says otherwise.
///
/// # Errors
/// For other words.
pub fn switch_on(text: &str) -> Result<bool, NoSwitch> {
    if text.trim().is_empty() { Ok(true) } else { switch(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_names_ways_to_log_in_and_an_empty_one_says_nothing() {
        let types = |text: &str| text.parse::<AuthTypes>().unwrap();
        assert!(types("JWT, ldap").has(AuthType::Ldap) && types("JWT, ldap").take_passwords());
        assert!(types("jwt").has(AuthType::Jwt) && !types("jwt").take_passwords());
        assert_eq!(types("").or(&types("jwt")), types("jwt"));
        assert_eq!(types("ldap").or(&types("jwt")), types("ldap"));
        assert_eq!(types("").or(&types(" , ")), types("internal"));
        let unknown = "jwt,kerberos".parse::<AuthTypes>().unwrap_err().to_string();
        assert_eq!(unknown, "kerberos is none of internal, jwt, ldap");
    }

    #[test]
    fn a_switch_that_says_neither_is_refused() {
        assert_eq!(["1", "YES", "t", "0", "", "off"].map(switch), [true, true, true, false, false, false].map(Ok));
        assert_eq!(["", "0", "true"].map(switch_on), [true, false, true].map(Ok));
        assert_eq!((switch("ture"), switch_on("2")), (Err(NoSwitch), Err(NoSwitch)));
    }
}
