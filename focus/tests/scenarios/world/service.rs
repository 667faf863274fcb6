//! Recorders and gateways in their breweries.

use xmpp::{Condition, Element, StanzaError, iq_error, iq_result, ns};

use super::{World, presence_of};

/// How a service answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServiceManner {
    /// A recorder that is about to begin.
    Pending,
    /// A recorder that does something else.
    Busy,
    /// A gateway that calls.
    Calling,
    Refusing,
    Silent,
}

pub(crate) struct FakeService {
    pub(crate) manner: ServiceManner,
    /// What it was asked.
    pub(crate) asked: Vec<Element>,
}

impl FakeService {
    pub(crate) fn on_iq(&mut self, iq: &Element) -> Option<Element> {
        let payload = iq.children().next().unwrap().clone();
        let is_stop = payload.attr("action") == Some("stop");
        self.asked.push(payload);
        let jibri = |status: &str| Element::new("jibri", ns::JIBRI).with_attr("status", status);
        match self.manner {
            ServiceManner::Silent => None,
            _ if is_stop => Some(iq_result(iq)),
            ServiceManner::Pending => Some(iq_result(iq).with_child(jibri("pending"))),
            ServiceManner::Busy => Some(iq_result(iq).with_child(jibri("off").with_attr("failure_reason", "busy"))),
            ServiceManner::Calling => {
                Some(iq_result(iq).with_child(Element::new("ref", ns::RAYO).with_attr("uri", "xmpp:call@jigasi")))
            }
            ServiceManner::Refusing => Some(iq_error(iq, &StanzaError::new(Condition::ServiceUnavailable))),
        }
    }

    /// The actions that it was asked for.
    pub(crate) fn actions(&self) -> Vec<&str> {
        self.asked.iter().filter_map(|asked| asked.attr("action")).collect()
    }
}

impl World {
    /// A service enters a brewery with what its presence says.
    pub(crate) fn add_service(&mut self, occupant: &str, manner: ServiceManner, says: Element) {
        self.services.insert(occupant.to_owned(), FakeService { manner, asked: Vec::new() });
        self.stanza(presence_of(occupant, "member", "participant", "service@auth.meet.jitsi/x").with_child(says));
    }

    pub(crate) fn remove_service(&mut self, occupant: &str) {
        self.services.remove(occupant);
        let mut presence = presence_of(occupant, "none", "none", "service@auth.meet.jitsi/x");
        presence.set_attr("type", "unavailable");
        self.stanza(presence);
    }

    pub(crate) fn service(&mut self, occupant: &str) -> &mut FakeService {
        self.services.get_mut(occupant).unwrap()
    }
}
