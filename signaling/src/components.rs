//! External components (XEP-0114): services that have a domain of their own and connect with its secret.
//!
//! Here: the handshake, and what a component may say. What is sent to its domain gets to it by `router.rs`.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use xmpp::stream::StreamCondition;
use xmpp::{Element, Jid, component};

use crate::bosh::sha1_hex;
use crate::context::Now;
use crate::server::{ConnectionId, Server};
use crate::session::SessionEnd;
use crate::stream::{LoginKind, StreamState};

impl Server {
    pub(crate) fn on_component_open(&mut self, now: Now, connection: ConnectionId, to: Option<&str>) {
        let domain = to.and_then(|to| to.parse::<Jid>().ok());
        let known = self.settings.components.iter().map(|component| &component.domain);
        let Some(domain) = known.into_iter().find(|known| Some(*known) == domain.as_ref()).cloned() else {
            self.metrics.count_dropped("unknown_host");
            let condition = to.map_or(StreamCondition::ImproperAddressing, |_| StreamCondition::HostUnknown);
            return self.fail_stream(now, connection, condition, None);
        };
        let stream_id = self.send_open(connection, domain.as_str());
        self.set_state(connection, StreamState::ComponentHandshake { domain, stream_id });
    }

    pub(crate) fn on_component_handshake(
        &mut self,
        now: Now,
        connection: ConnectionId,
        domain: Jid,
        stream_id: &str,
        shown: &str,
    ) {
        let component = self.settings.components.iter().find(|component| component.domain == domain);
        let is_right = component.is_some_and(|component| {
            let expected = handshake_digest(stream_id, component.secret.expose());
            verify_slices_are_equal(expected.as_bytes(), shown.to_ascii_lowercase().as_bytes()).is_ok()
        });
        if !is_right {
            self.metrics.auth_failures.with_label_values(&["component"]).inc();
            return self.fail_stream(now, connection, StreamCondition::NotAuthorized, None);
        }
        // Its former connection may be half open, and nobody but itself knows the secret.
        self.end_session(now, &domain, SessionEnd::Replaced);
        tracing::info!(%domain, "component connected");
        self.outputs.push_back(crate::Output::Send { connection, frame: crate::Frame::Trust });
        self.send_frame(connection, component::accepted());
        self.start_session(now, connection, domain.clone(), LoginKind::Account);
        self.set_bound(now, connection, domain);
    }

    /// A component speaks for every address of its domain, and for no other.
    pub(crate) fn on_component_stanza(&mut self, now: Now, connection: ConnectionId, domain: &Jid, stanza: Element) {
        let from = stanza.attr("from").and_then(|from| from.parse::<Jid>().ok());
        match from.filter(|from| from.domain() == domain.domain()) {
            Some(from) => self.on_stanza(now, &from, stanza),
            None => {
                self.metrics.count_dropped("forged_from");
                self.fail_stream(now, connection, StreamCondition::InvalidFrom, None);
            }
        }
    }
}

/// Lower-case hex of a SHA-1 over stream id and secret (XEP-0114 §3).
fn handshake_digest(stream_id: &str, secret: &str) -> String {
    sha1_hex(&format!("{stream_id}{secret}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_that_of_the_specification() {
        assert_eq!(handshake_digest("a", "bc"), "a9993e364706816aba3e25717850c26c9cd0d89d", "FIPS 180-1, appendix A");
    }
}
