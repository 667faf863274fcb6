//! Who asked for a conference, and how it is answered.

use jitsi_protocol::conference_request::ConferenceResponse;
use xmpp::{Element, StanzaError, iq_error, iq_result, ns};

use crate::authentication::Login;
use crate::context::Context;
use crate::focus::{HttpRequestId, Output};

/// What of an IQ is needed to answer it later.
pub(crate) fn address_of(iq: &Element) -> Element {
    let mut address = Element::new("iq", ns::CLIENT);
    for name in ["id", "from", "to"] {
        if let Some(value) = iq.attr(name) {
            address.set_attr(name, value);
        }
    }
    address
}

/// Someone who waits for the answer to a conference request.
#[derive(Debug)]
pub(crate) enum Requester {
    /// By IQ; keeps what addresses the answer. Clients come through a proxy that writes their address into the resource
    /// (`focus.DOMAIN/user@DOMAIN/resource`) and unwraps the answer's.
    Iq(Element, Option<Login>),
    /// By HTTP.
    Http(HttpRequestId),
}

impl Requester {
    pub(crate) fn of_iq(iq: &Element) -> Self {
        Self::Iq(address_of(iq), None)
    }

    /// Whom the authority knows the client to be; it is told the session with the answer.
    pub(crate) fn with_login(self, login: Option<Login>) -> Self {
        match self {
            Self::Iq(address, _) => Self::Iq(address, login),
            Self::Http(id) => Self::Http(id),
        }
    }

    pub(crate) fn respond(self, answer: Result<ConferenceResponse, StanzaError>, context: &mut Context<'_>) {
        context.output.push_back(self.response(answer));
    }

    pub(crate) fn response(self, answer: Result<ConferenceResponse, StanzaError>) -> Output {
        match (self, answer) {
            (Self::Iq(request, login), Ok(mut response)) => {
                if let Some(Login { session_id, identity }) = login {
                    (response.session_id, response.identity) = (Some(session_id), Some(identity));
                }
                Output::Send(iq_result(&request).with_child(response.to_element()))
            }
            (Self::Iq(request, _), Err(error)) => Output::Send(iq_error(&request, &error)),
            (Self::Http(id), response) => Output::HttpResponse { id, response },
        }
    }
}
