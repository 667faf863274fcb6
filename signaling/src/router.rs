//! Where a stanza of a bound session goes (RFC 6120 §10, RFC 6121 §8).
//!
//! Clients reach each other through rooms only: a request or message to another client's or a service's own address is
//! refused, so that knowing an address (rooms show them) gives no way around the rules of the room.

use std::sync::Arc;

use xmpp::stream::StreamCondition;
use xmpp::{Condition, Element, Jid, StanzaError};

use crate::conference::Conferences;
use crate::context::{Context, Now, Sender};
use crate::hosts::Destination;
use crate::muc::Muc;
use crate::rates::Verdict;
use crate::server::Server;
use crate::{Settings, domain, short_lived_tokens};

impl Server {
    /// Takes a stanza of the session `jid`.
    pub(crate) fn on_stanza(&mut self, now: Now, jid: &Jid, mut stanza: Element) {
        if let Some(acks) = self.sessions.get_mut(jid).and_then(|session| session.acks.as_mut()) {
            acks.on_received();
        }
        // RFC 6120 §8.1.2.1: the sender is who the session says, whatever the stanza claims.
        stanza.set_attr("from", jid.as_str());
        let kind = kind_of(&stanza);
        self.metrics.stanzas_received.with_label_values(&[kind]).inc();
        if !self.is_within_rate(now, jid, kind) {
            return;
        }
        let host = domain::asks_for_services(&stanza).then(|| self.host_of(jid)).flatten();
        let client = self.sessions.get(jid).map(|session| Arc::clone(&session.client)).unwrap_or_default();
        let is_service = self.settings.hosts.is_service(jid);
        let sender = Sender { jid, is_service, host: host.as_deref(), client: &client };
        let to = stanza.attr("to").map(str::parse::<Jid>).transpose();
        let to = to.map(|to| to.map(|to| self.settings.hosts.outer_form(&to).unwrap_or(to)));
        let is_session = matches!(&to, Ok(Some(to)) if self.sessions.contains_key(to));
        let component = match &to {
            Ok(Some(to)) if !is_session => self.receiver_of(to),
            Ok(_) | Err(_) => None,
        };
        let (mut context, muc, internal_muc, _) = self.context(now);

        if kind == "iq"
            && let Err(error) = check_iq(&stanza)
        {
            context.refuse(jid, &stanza, &error);
            return;
        }
        if domain::asks_for_services(&stanza) && !muc.may_know_services(&context, sender) {
            context.refuse(jid, &stanza, &StanzaError::new(Condition::Forbidden));
            return;
        }
        let to = match to {
            Ok(Some(to)) => to,
            Ok(None) => return handle_unaddressed(&mut context, sender, &stanza, muc, internal_muc),
            Err(_) => return context.refuse(jid, &stanza, &StanzaError::new(Condition::JidMalformed)),
        };
        if component.is_some() {
            return context.send(&to, stanza);
        }
        match context.settings.hosts.destination(&to) {
            Destination::Server if short_lived_tokens::is_request(&stanza) => {
                short_lived_tokens::handle(&mut context, muc, sender, &stanza);
            }
            Destination::Server => domain::handle(&mut context, sender, &stanza),
            Destination::FocusProxy => self.handle_for_focus(now, sender, &to, stanza),
            Destination::Muc | Destination::Lobby | Destination::Breakout | Destination::VisitorRooms => {
                muc.handle(&mut context, sender, &to, stanza);
            }
            Destination::Component(component) => muc.handle_component(&mut context, sender, component, &stanza),
            Destination::NodeComponent(component) => {
                muc.handle_node_component(&mut context, sender, component, &to, &stanza);
            }
            Destination::InternalMuc if sender.is_service => {
                muc.describe_recording(&context, sender, &mut stanza);
                internal_muc.handle(&mut context, sender, &to, stanza);
            }
            // Outsiders are not even told that they are (muc_filter_access); only a request has to be answered.
            Destination::InternalMuc if kind == "iq" => {
                context.refuse(jid, &stanza, &StanzaError::new(Condition::ServiceUnavailable));
            }
            Destination::InternalMuc => context.metrics.count_dropped("outsider_at_internal_muc"),
            Destination::Account => to_account(&mut context, sender, &to, stanza, is_session),
            Destination::Foreign if kind == "presence" && stanza.attr("type").is_some() => {
                context.metrics.count_dropped("presence_to_other_server");
            }
            Destination::Foreign => {
                context.refuse(jid, &stanza, &StanzaError::new(Condition::RemoteServerNotFound));
            }
        }
    }
}

impl Server {
    /// Counts a stanza of a client; one that sends too many for long is put out.
    fn is_within_rate(&mut self, now: Now, jid: &Jid, kind: &str) -> bool {
        let Settings { hosts, components, .. } = &self.settings;
        let is_component = components.iter().any(|component| component.domain.domain() == jid.domain());
        let is_trusted = is_component || hosts.is_service(jid) || hosts.is_hidden(jid);
        let limits = self.settings.limits.stanzas.filter(|_| !is_trusted);
        let (Some(limits), Some(session)) = (limits, self.sessions.get_mut(jid)) else { return true };
        match session.sent.count(&limits, kind, now.instant) {
            Verdict::Take => true,
            Verdict::Drop => {
                self.metrics.count_dropped("stanza_rate");
                false
            }
            Verdict::PutOut => {
                if let Some(connection) = session.connection() {
                    self.fail_stream(now, connection, StreamCondition::PolicyViolation, Some("Rate limit exceeded"));
                }
                false
            }
        }
    }

    /// The host that the client of a session reached this server at.
    fn host_of(&self, jid: &Jid) -> Option<String> {
        let connection = self.sessions.get(jid)?.connection()?;
        self.streams.get(&connection)?.origin.host.clone()
    }
}

/// The stanza's kind as a label: one of three, by how it came here.
fn kind_of(stanza: &Element) -> &'static str {
    match stanza.name() {
        "iq" => "iq",
        "message" => "message",
        _ => "presence",
    }
}

/// RFC 6120 §8.2.3: an IQ has an id and one of four types, a request exactly one payload.
fn check_iq(stanza: &Element) -> Result<(), StanzaError> {
    let is_complete = match stanza.attr("type") {
        Some("get" | "set") => stanza.children().count() == 1,
        Some("result" | "error") => true,
        Some(_) | None => false,
    };
    if is_complete && stanza.attr("id").is_some() { Ok(()) } else { Err(StanzaError::new(Condition::BadRequest)) }
}

/// RFC 6120 §10.3: without `to`, a stanza is for the sender's own account.
fn handle_unaddressed(
    context: &mut Context<'_>,
    sender: Sender<'_>,
    stanza: &Element,
    conferences: &mut Conferences,
    internal: &mut Muc,
) {
    match (stanza.name(), stanza.attr("type")) {
        // RFC 6121 §4.5.2: whom the client showed itself to learns that it is gone.
        ("presence", Some("unavailable")) => {
            conferences.leave_all(context, sender.jid, stanza);
            internal.leave_all(context, sender.jid, stanza);
        }
        // Nobody is subscribed to anybody here: availability has no listeners.
        ("presence", _) => {}
        _ => domain::handle(context, sender, stanza),
    }
}

/// RFC 6121 §8.5: to a user of this server.
fn to_account(context: &mut Context<'_>, sender: Sender<'_>, to: &Jid, stanza: Element, is_session: bool) {
    let is_answer = stanza.name() == "iq" && matches!(stanza.attr("type"), Some("result" | "error"));
    let may_reach = sender.is_service || is_answer || to == sender.jid;
    if is_session && may_reach {
        context.send(to, stanza);
    } else if stanza.name() == "presence" {
        context.metrics.count_dropped("presence_to_account");
    } else {
        context.refuse(sender.jid, &stanza, &StanzaError::new(Condition::ServiceUnavailable));
    }
}
