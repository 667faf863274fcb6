//! Messages of SCRAM clients.

use xmpp::scram::{ClientFinal, ClientFirst};

/// What is signed is what was sent, cut where it says.
pub fn scram(data: &[u8]) {
    if let Ok(first) = ClientFirst::parse(data) {
        assert_eq!(format!("{}{}", first.gs2_header, first.bare).as_bytes(), data);
        assert!(!first.username.is_empty() && !first.nonce.is_empty());
    }
    if let Ok(last) = ClientFinal::parse(data) {
        assert!(data.starts_with(last.without_proof.as_bytes()));
    }
}
