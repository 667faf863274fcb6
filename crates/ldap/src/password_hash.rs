//! Values of `userPassword` (RFC 2307 §5.3), for the method `custom`.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};

/// Whether a value is that of a password; `None` for a form that is not known here, such as `{CRYPT}`.
pub(crate) fn fits(value: &[u8], password: &str) -> Option<bool> {
    let Some((scheme, rest)) = scheme_of(value) else {
        return Some(equal(value, password.as_bytes()));
    };
    let algorithm: Option<&'static digest::Algorithm> = match scheme.as_str() {
        "CLEARTEXT" | "CLEAR" => return Some(equal(rest, password.as_bytes())),
        "MD5" | "SMD5" => None,
        "SHA" | "SSHA" => Some(&digest::SHA1_FOR_LEGACY_USE_ONLY),
        "SHA256" | "SSHA256" => Some(&digest::SHA256),
        "SHA384" | "SSHA384" => Some(&digest::SHA384),
        "SHA512" | "SSHA512" => Some(&digest::SHA512),
        _ => return None,
    };
    let stored = STANDARD.decode(rest).ok()?;
    let length = algorithm.map_or(16, digest::Algorithm::output_len);
    let (hash, salt) = stored.split_at_checked(length)?;
    let salted = [password.as_bytes(), salt].concat();
    Some(match algorithm {
        Some(algorithm) => equal(digest::digest(algorithm, &salted).as_ref(), hash),
        None => equal(Md5::digest(&salted).as_slice(), hash),
    })
}

/// The scheme in braces in front of a value, in capitals.
fn scheme_of(value: &[u8]) -> Option<(String, &[u8])> {
    let rest = value.strip_prefix(b"{")?;
    let end = rest.iter().position(|byte| *byte == b'}')?;
    let (scheme, rest) = rest.split_at_checked(end)?;
    Some((String::from_utf8_lossy(scheme).to_ascii_uppercase(), rest.get(1..)?))
}

fn equal(a: &[u8], b: &[u8]) -> bool {
    verify_slices_are_equal(a, b).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_of_slappasswd_are_understood() {
        for value in [
            "pencil",
            "{CLEARTEXT}pencil",
            "{SHA}N9RbXSfiPkcaktvlhTQ7cyRUQlc=",
            "{ssha}zQdHZsr1fF8k3EZ5mj+1J/AlcFxzYWx0",
        ] {
            let made = value.replace("N9RbXSfiPkcaktvlhTQ7cyRUQlc=", &sha1(b"pencil", b""));
            let made = made.replace("zQdHZsr1fF8k3EZ5mj+1J/AlcFxzYWx0", &sha1(b"pencil", b"salt"));
            assert_eq!(fits(made.as_bytes(), "pencil"), Some(true), "{made}");
            assert_eq!(fits(made.as_bytes(), "Pencil"), Some(false), "{made}");
        }
        // MD5 of "abc" (RFC 1321 §A.5).
        assert_eq!(fits(b"{MD5}kAFQmDzST7DWlj99KOF/cg==", "abc"), Some(true));
        for unknown in ["{CRYPT}$1$a$b", "{SSHA}%", "{SHA}AAAA"] {
            assert_eq!(fits(unknown.as_bytes(), "pencil"), None, "{unknown}");
        }
    }

    fn sha1(password: &[u8], salt: &[u8]) -> String {
        let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &[password, salt].concat());
        STANDARD.encode([hash.as_ref(), salt].concat())
    }
}
