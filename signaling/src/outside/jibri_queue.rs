//! The queue of those who want a recorder (`mod_jibri_queue_component`): clients ask to be in it, and a server of others, which
//! keeps it, is told who wants to and who is gone.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use axum::http::Method;
use serde_json::json;
use xmpp::{Element, Jid, StanzaError, iq_result};

use super::bearer::BearerToken;
use super::call::{AnswerTo, Call};
use super::settings::QueueSettings;
use crate::conference_components::unhandled;
use crate::context::Context;
use crate::muc::Room;

/// The namespace of a request for a place in the queue.
const NS: &str = "http://jitsi.org/protocol/jibri-queue";

/// Who is in the queue.
#[derive(Debug, Default)]
pub(crate) struct JibriQueue {
    /// By room, then by nick: the full JIDs.
    waiting: BTreeMap<Jid, BTreeMap<String, Jid>>,
    token: BearerToken,
}

impl JibriQueue {
    /// The room that a request is about.
    pub(crate) fn room_of(request: &Element) -> Option<Jid> {
        let command = request.child("jibri-queue", NS).filter(|_| request.attr("type") == Some("set"))?;
        command.attr("room")?.parse().ok()
    }

    /// Takes a request of somebody, who has to be in the room.
    pub(crate) fn handle(
        &mut self,
        context: &Context<'_>,
        room: &Room,
        jid: &Jid,
        request: &Element,
        calls: &mut VecDeque<Call>,
    ) -> Result<Element, StanzaError> {
        let settings = context.settings.outside.jibri_queue.as_ref().ok_or_else(unhandled)?;
        let occupant = room.occupant_of(jid).ok_or_else(unhandled)?;
        let waiting = self.waiting.entry(room.jid.clone()).or_default();
        if waiting.insert(occupant.nick.clone(), jid.clone()).is_none() {
            self.tell(context, settings, "JoinQueue", &room.jid, jid, calls);
        }
        Ok(iq_result(request))
    }

    pub(super) fn on_left(&mut self, context: &Context<'_>, room: &Jid, nick: &str, calls: &mut VecDeque<Call>) {
        let (Some(settings), Some(waiting)) = (&context.settings.outside.jibri_queue, self.waiting.get_mut(room))
        else {
            return;
        };
        let gone = waiting.remove(nick);
        if waiting.is_empty() {
            self.waiting.remove(room);
        }
        if let Some(jid) = gone {
            self.tell(context, settings, "LeaveQueue", room, &jid, calls);
        }
    }

    pub(super) fn on_ended(&mut self, context: &Context<'_>, room: &Jid, calls: &mut VecDeque<Call>) {
        let Some(settings) = &context.settings.outside.jibri_queue else { return };
        for jid in self.waiting.remove(room).unwrap_or_default().into_values() {
            self.tell(context, settings, "LeaveQueue", room, &jid, calls);
        }
    }

    pub(super) fn remembered(&self) -> usize {
        self.waiting.len()
    }

    fn tell(
        &mut self,
        context: &Context<'_>,
        settings: &QueueSettings,
        event: &str,
        room: &Jid,
        participant: &Jid,
        calls: &mut VecDeque<Call>,
    ) {
        let name = room.local().unwrap_or_default();
        let parameter = match context.settings.hosts.tenant_of(room.domain()) {
            Some(tenant) => format!("{tenant}/{name}"),
            None => name.to_owned(),
        };
        let what = json!({
            "conference": room.as_str(), "room_param": parameter, "event_type": event, "participant": participant.as_str(),
        });
        calls.push_back(Call {
            answer_to: AnswerTo::Nobody { room: room.clone() },
            server: Arc::clone(&settings.server),
            method: Method::POST,
            uri: settings.server.url.clone(),
            content_type: Some("application/json"),
            headers: self.token.headers(&settings.tokens, context.now),
            body: what.to_string(),
        });
    }
}
