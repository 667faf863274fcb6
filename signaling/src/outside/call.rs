//! A call to a server of others, as a value.

use std::sync::Arc;

use axum::http::{Method, Uri};
use serde_json::Value;
use xmpp::Jid;

use super::settings::OutsideServer;
use crate::{ConnectionId, Secret};

/// Longest text of a refusal that is passed on, in characters.
const MAX_TEXT: usize = 500;

/// A call to make.
#[derive(Clone, Debug)]
pub struct Call {
    /// Who waits for the answer.
    pub answer_to: AnswerTo,
    /// Whose server it is: what each request to it says, and how long it is waited for.
    pub server: Arc<OutsideServer>,
    /// What is to be done.
    pub method: Method,
    /// The whole address.
    pub uri: Uri,
    /// The type of the body.
    pub content_type: Option<&'static str>,
    /// Headers besides those of the server.
    pub headers: Vec<(&'static str, Secret)>,
    /// The body; empty for none.
    pub body: String,
}

/// Who waits for the answer to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnswerTo {
    /// Somebody does: it is made at once, and what comes of it is told by [`Input::CallEnded`](crate::Input::CallEnded).
    Question(CallId),
    /// A login does: what comes of it is told by [`Input::AccessDecided`](crate::Input::AccessDecided).
    Login(ConnectionId),
    /// Nobody does. What is told of one room is told in order, one after the other.
    Nobody {
        /// The room that it is about.
        room: Jid,
    },
}

/// Names a question between its call and its end. Never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(pub u64);

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallAnswer {
    /// The status (RFC 9110 §15).
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallFailed {
    /// It did not come in time.
    TimedOut,
    /// The server cannot be reached, does not speak HTTP, or there are too many calls already.
    Unreachable,
}

/// What an answer says to whom it refuses, as far as people can read it.
pub(super) fn message_of(json: &Value) -> Option<String> {
    let message = json["message"].as_str()?;
    Some(message.chars().filter(|c| !c.is_control()).take(MAX_TEXT).collect())
}
