//! The queue in which visitors wait for a conference to be live (`visitors_queue_service` of `mod_visitors_component`): a server of others
//! keeps it, and is told once when that is so.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::http::Method;
use serde_json::json;

use super::bearer::BearerToken;
use super::call::{AnswerTo, Call};
use super::is_health_check;
use crate::context::Context;
use crate::muc::Room;

/// What is known for the queue.
#[derive(Debug, Default)]
pub(super) struct VisitorsQueue {
    token: BearerToken,
}

impl VisitorsQueue {
    /// Tells the queue that a conference is live, unless it is not: when nobody is in it yet, or it is said not to be.
    pub(super) fn go_live(&mut self, context: &Context<'_>, main: &mut Room, calls: &mut VecDeque<Call>) {
        let Some(settings) = &context.settings.outside.visitors_queue else { return };
        let has_people = main.occupants().any(|occupant| !occupant.is_service);
        if main.state.visitors.went_live || !main.state.metadata.is_live() || !has_people || is_health_check(&main.jid)
        {
            return;
        }
        let Some(uri) = settings.server.below("golive") else { return };
        main.state.visitors.went_live = true;
        calls.push_back(Call {
            answer_to: AnswerTo::Nobody { room: main.jid.clone() },
            server: Arc::clone(&settings.server),
            method: Method::POST,
            uri,
            content_type: Some("application/json"),
            headers: self.token.headers(&settings.tokens, context.now),
            body: json!({"conference": main.jid.as_str()}).to_string(),
        });
    }
}
