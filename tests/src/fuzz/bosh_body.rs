//! Bodies of BOSH requests.

use xmpp::Element;
use xmpp::bosh::{BodyRequest, MAX_RID};

/// What is read has a number, and stanzas that can be written.
pub fn bosh_body(data: &[u8]) {
    let Some(body) = str::from_utf8(data).ok().and_then(|text| Element::parse(text).ok()) else { return };
    let Some(request) = BodyRequest::read(body) else { return };
    assert!((1..=MAX_RID).contains(&request.rid));
    for stanza in &request.payload {
        assert!(Element::parse(&stanza.to_string()).is_ok(), "{stanza}");
    }
}
