//! The words of GnuTLS and OpenSSL for cipher suites (`LDAP_TLS_CIPHERS`), as far as they say something about suites of
//! TLS 1.2 and 1.3 with authenticated encryption, which are the only ones there are here.

use rustls::{CipherSuite, SupportedCipherSuite};

/// The suites of a list of words separated by `:`, and the words that are not known. A list without a known word is all.
pub(crate) fn select(words: &str, all: &[SupportedCipherSuite]) -> (Vec<SupportedCipherSuite>, Vec<String>) {
    let mut unknown = Vec::new();
    let mut wanted: Vec<SupportedCipherSuite> = Vec::new();
    for word in words.split([':', ',', ' ']).filter(|word| !word.is_empty()) {
        let Some(selects) = meaning(word) else {
            unknown.push(word.to_owned());
            continue;
        };
        wanted.extend(
            all.iter().filter(|suite| selects(suite.suite()) && !wanted.contains(suite)).copied().collect::<Vec<_>>(),
        );
    }
    (if wanted.is_empty() { all.to_vec() } else { wanted }, unknown)
}

fn meaning(word: &str) -> Option<fn(CipherSuite) -> bool> {
    Some(match word.to_ascii_uppercase().as_str() {
        "SECURE256" | "SECURE192" | "AES256" | "SUITEB192" => is_256,
        "AES128" | "SUITEB128" => is_128,
        "CHACHA20" => is_chacha,
        "SECURE128" | "SECURE" | "NORMAL" | "PERFORMANCE" | "PFS" | "DEFAULT" | "HIGH" | "ALL" | "ECDHE" | "EECDH" => {
            any
        }
        _ => return None,
    })
}

fn any(_: CipherSuite) -> bool {
    true
}

fn is_chacha(suite: CipherSuite) -> bool {
    suite.as_str().is_some_and(|name| name.contains("CHACHA20"))
}

fn is_256(suite: CipherSuite) -> bool {
    suite.as_str().is_some_and(|name| name.contains("AES_256") || name.contains("CHACHA20"))
}

fn is_128(suite: CipherSuite) -> bool {
    suite.as_str().is_some_and(|name| name.contains("AES_128"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s4_43_words_of_gnutls_select_suites_and_others_are_named() {
        let all = rustls::crypto::aws_lc_rs::ALL_CIPHER_SUITES;
        let names = |words| {
            let (suites, unknown) = select(words, all);
            (suites.len(), suites.iter().all(|suite| is_256(suite.suite())), unknown)
        };
        assert_eq!(names("SECURE256:SECURE128"), (all.len(), false, vec![]));
        let (some, only_256, unknown) = names("SECURE256");
        assert!(some < all.len() && only_256 && unknown.is_empty());
        assert_eq!(names("SECURE256:-VERS-TLS1.0").2, ["-VERS-TLS1.0"]);
        assert_eq!(names("FOO"), (all.len(), false, vec!["FOO".to_owned()]));
    }
}
