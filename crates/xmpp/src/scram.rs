//! SCRAM messages (RFC 5802 §7, RFC 7677): what client and server tell each other, as text.
//!
//! Here: reading the client's messages, writing the server's. Not here: hashing and accounts (`signaling`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::sasl::SaslCondition;

/// Longest message that is looked at: a name of 1023 bytes with every character escaped, and two nonces.
const MAX_MESSAGE_BYTES: usize = 8 * 1024;

/// What the client knows of channel binding (RFC 5802 §6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelBindingFlag {
    /// It has none.
    Unsupported,
    /// It has some, and believes that the server has none.
    NotOffered,
    /// It uses one of this name.
    Used(String),
}

/// The client's first message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientFirst {
    /// Channel binding.
    pub binding: ChannelBindingFlag,
    /// The header as sent, which the client repeats in its final message.
    pub gs2_header: String,
    /// The rest as sent, which is part of what is signed.
    pub bare: String,
    /// Whom the user wants to act as; `None` for himself.
    pub authzid: Option<String>,
    /// The user name.
    pub username: String,
    /// The client's nonce.
    pub nonce: String,
}

impl ClientFirst {
    /// Reads the decoded message.
    ///
    /// # Errors
    /// The SASL condition to answer with.
    pub fn parse(message: &[u8]) -> Result<Self, SaslCondition> {
        let text = text_of(message)?;
        let malformed = || SaslCondition::MalformedRequest;
        let (flag, rest) = text.split_once(',').ok_or_else(malformed)?;
        let (authzid, bare) = rest.split_once(',').ok_or_else(malformed)?;
        let binding = match (flag, flag.strip_prefix("p=")) {
            ("n", _) => ChannelBindingFlag::Unsupported,
            ("y", _) => ChannelBindingFlag::NotOffered,
            (_, Some(name)) if !name.is_empty() => ChannelBindingFlag::Used(name.to_owned()),
            _ => return Err(malformed()),
        };
        let authzid = match (authzid, authzid.strip_prefix("a=")) {
            ("", _) => None,
            (_, Some(name)) => Some(name_of(name)?),
            (_, None) => return Err(malformed()),
        };
        // `m=` announces an extension that has to be understood, and none is.
        let mut parts = bare.split(',');
        let username = parts.next().and_then(|part| part.strip_prefix("n=")).ok_or_else(malformed)?;
        let nonce = parts.next().and_then(|part| part.strip_prefix("r=")).ok_or_else(malformed)?;
        if nonce.is_empty() || !nonce.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(malformed());
        }
        Ok(Self {
            binding,
            gs2_header: text.get(..text.len() - bare.len()).unwrap_or_default().to_owned(),
            bare: bare.to_owned(),
            authzid,
            username: name_of(username)?,
            nonce: nonce.to_owned(),
        })
    }
}

/// The server's first message.
#[must_use]
pub fn server_first(nonce: &str, salt: &[u8], iterations: u32) -> String {
    format!("r={nonce},s={},i={iterations}", STANDARD.encode(salt))
}

/// The client's final message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientFinal {
    /// The message up to its proof, which is part of what is signed.
    pub without_proof: String,
    /// Header and channel binding data, as the client saw them.
    pub binding: Vec<u8>,
    /// Both nonces.
    pub nonce: String,
    /// That the client knows the password.
    pub proof: Vec<u8>,
}

impl ClientFinal {
    /// Reads the decoded message.
    ///
    /// # Errors
    /// The SASL condition to answer with.
    pub fn parse(message: &[u8]) -> Result<Self, SaslCondition> {
        let text = text_of(message)?;
        let malformed = || SaslCondition::MalformedRequest;
        let decode = |base64: &str| STANDARD.decode(base64).map_err(|_| SaslCondition::IncorrectEncoding);
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or_else(malformed)?;
        let mut parts = without_proof.split(',');
        let binding = parts.next().and_then(|part| part.strip_prefix("c=")).ok_or_else(malformed)?;
        let nonce = parts.next().and_then(|part| part.strip_prefix("r=")).ok_or_else(malformed)?;
        Ok(Self {
            without_proof: without_proof.to_owned(),
            binding: decode(binding)?,
            nonce: nonce.to_owned(),
            proof: decode(proof)?,
        })
    }
}

/// The server's final message: that it knows the account, too.
#[must_use]
pub fn server_final(signature: &[u8]) -> String {
    format!("v={}", STANDARD.encode(signature))
}

fn text_of(message: &[u8]) -> Result<&str, SaslCondition> {
    let text = str::from_utf8(message).map_err(|_| SaslCondition::MalformedRequest)?;
    if text.len() > MAX_MESSAGE_BYTES || text.contains('\0') { Err(SaslCondition::MalformedRequest) } else { Ok(text) }
}

/// A name, in which `,` and `=` are written as `=2C` and `=3D` and no other `=` may stand (RFC 5802 §5.1).
fn name_of(text: &str) -> Result<String, SaslCondition> {
    let mut name = String::with_capacity(text.len());
    let mut parts = text.split('=');
    name.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (character, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (None, Some(rest)) => ('=', rest),
            (None, None) => return Err(SaslCondition::MalformedRequest),
        };
        name.push(character);
        name.push_str(rest);
    }
    if name.is_empty() { Err(SaslCondition::MalformedRequest) } else { Ok(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_messages_of_the_rfc_are_read() {
        let first = ClientFirst::parse(b"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL").unwrap();
        assert_eq!(first.binding, ChannelBindingFlag::Unsupported);
        assert_eq!((first.gs2_header.as_str(), first.username.as_str()), ("n,,", "user"));
        assert_eq!(first.bare, "n=user,r=fyko+d2lbbFgONRv9qkxdawL");
        let last =
            ClientFinal::parse(b"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=")
                .unwrap();
        assert_eq!(last.binding, b"n,,");
        assert_eq!(last.proof.len(), 20);
        assert_eq!(last.without_proof, "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j");
    }

    #[test]
    fn names_are_unescaped_and_bindings_named() {
        let first = ClientFirst::parse(b"p=tls-exporter,a=x=2Cy,n=a=3Db,r=n").unwrap();
        assert_eq!(first.binding, ChannelBindingFlag::Used("tls-exporter".to_owned()));
        assert_eq!(first.gs2_header, "p=tls-exporter,a=x=2Cy,");
        assert_eq!((first.authzid.as_deref(), first.username.as_str()), (Some("x,y"), "a=b"));
    }

    #[test]
    fn messages_of_another_shape_are_refused() {
        let long = format!("n,,n={},r=n", "a".repeat(MAX_MESSAGE_BYTES));
        for bad in [
            "",
            "n",
            "n,,",
            "n,,n=u",
            "n,,n=,r=x",
            "n,,n=u,r=",
            "n,,n=a=b,r=x",
            "x,,n=u,r=x",
            "n,b,n=u,r=x",
            "p=,,n=u,r=x",
            "n,,m=x,n=u,r=x",
            "n,,n=u\0,r=x",
            &long,
        ] {
            assert_eq!(ClientFirst::parse(bad.as_bytes()), Err(SaslCondition::MalformedRequest), "{bad}");
        }
        assert!(ClientFirst::parse(b"n,,n=\xff,r=x").is_err());
        for bad in ["", "c=biws,r=x", "r=x,p=AAAA", "c=%,r=x,p=AAAA", "c=biws,r=x,p=%"] {
            assert!(ClientFinal::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
