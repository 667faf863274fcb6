//! `focus.DOMAIN`, where clients address the focus (signaling.md §4): requests go to the focus account with the client's
//! full JID as resource of the sender's address, and answers come back the same way.

use indexmap::IndexMap;
use xmpp::{Condition, Element, Jid, StanzaError, iq_error, ns};

use crate::context::{Context, Sender};

/// Requests of one client that wait for the focus. The stock client sends one at a time.
const MAX_PENDING_PER_CLIENT: usize = 16;

/// The proxy between clients and the focus.
#[derive(Debug, Default)]
pub(crate) struct ClientProxy {
    /// Sessions of the focus, the one in use last.
    focuses: Vec<Jid>,
    /// Requests that wait for their answer, by client. Clients wait without a timeout, so when the focus goes they are
    /// answered here.
    pending: IndexMap<Jid, Vec<Pending>>,
}

#[derive(Debug)]
struct Pending {
    id: String,
    focus: Jid,
}

impl ClientProxy {
    /// Takes a stanza to the proxy's address.
    pub(crate) fn handle(&mut self, context: &mut Context<'_>, sender: Sender<'_>, to: &Jid, stanza: Element) {
        let is_request = matches!(stanza.attr("type"), Some("get" | "set"));
        match stanza.name() {
            "iq" if is_request && context.settings.hosts.is_focus(sender.jid) => {
                context.refuse(sender.jid, &stanza, &StanzaError::new(Condition::FeatureNotImplemented));
            }
            "iq" if is_request => self.forward_request(context, sender, to, stanza),
            "iq" if context.settings.hosts.is_focus(sender.jid) => self.forward_answer(context, to, stanza),
            "iq" => context.metrics.count_dropped("answer_not_of_focus"),
            "message" => {
                context.refuse(sender.jid, &stanza, &StanzaError::new(Condition::FeatureNotImplemented));
            }
            _ => context.refuse(sender.jid, &stanza, &StanzaError::new(Condition::BadRequest)),
        }
    }

    fn forward_request(&mut self, context: &mut Context<'_>, sender: Sender<'_>, to: &Jid, mut stanza: Element) {
        let refusal = if !to.is_bare() || to.local().is_some() {
            Some(Condition::BadRequest)
        } else if self.pending.get(sender.jid).is_some_and(|pending| pending.len() >= MAX_PENDING_PER_CLIENT) {
            Some(Condition::ResourceConstraint)
        } else {
            None
        };
        if let Some(condition) = refusal {
            context.refuse(sender.jid, &stanza, &StanzaError::new(condition));
            return;
        }
        let id = stanza.attr("id").unwrap_or_default().to_owned();
        let proxied = to.with_resource(sender.jid.as_str());
        let (Some(focus), Ok(from)) = (self.focuses.last().cloned(), proxied) else {
            context.refuse(sender.jid, &stanza, &StanzaError::new(Condition::ServiceUnavailable));
            return;
        };
        self.pending.entry(sender.jid.clone()).or_default().push(Pending { id, focus: focus.clone() });
        stanza.set_attr("from", from);
        context.send(&focus, stanza);
    }

    fn forward_answer(&mut self, context: &mut Context<'_>, to: &Jid, mut stanza: Element) {
        let client = to.resource().and_then(|client| client.parse::<Jid>().ok());
        let Some(client) = client.filter(|client| self.take_pending(client, stanza.attr("id"))) else {
            context.metrics.count_dropped("unasked_answer_of_focus");
            return;
        };
        stanza.set_attr("from", to.bare_str());
        context.send(&client, stanza);
    }

    fn take_pending(&mut self, client: &Jid, id: Option<&str>) -> bool {
        let Some(pending) = self.pending.get_mut(client) else { return false };
        let Some(at) = pending.iter().position(|pending| Some(pending.id.as_str()) == id) else { return false };
        pending.remove(at);
        if pending.is_empty() {
            self.pending.swap_remove(client);
        }
        true
    }

    /// Focus sessions and waiting clients, for tests.
    pub(crate) fn remembered(&self) -> usize {
        self.focuses.len() + self.pending.len()
    }

    /// A service account is bound.
    pub(crate) fn on_session_start(&mut self, context: &Context<'_>, jid: &Jid) {
        let hosts = &context.settings.hosts;
        // Jicofo has a further stream for each visitor node, and takes no requests of clients there.
        let is_for_node = jid.resource().is_some_and(|resource| hosts.node_named(resource).is_some());
        if hosts.is_focus(jid) && !is_for_node {
            self.focuses.push(jid.clone());
        }
    }

    /// A session ended: a client waits no more, or its requests will not be answered.
    pub(crate) fn on_session_end(&mut self, context: &mut Context<'_>, jid: &Jid) {
        self.pending.swap_remove(jid);
        if !context.settings.hosts.is_focus(jid) {
            return;
        }
        self.focuses.retain(|focus| focus != jid);
        let error = StanzaError::new(Condition::ServiceUnavailable);
        for (client, pending) in &mut self.pending {
            for orphan in pending.extract_if(.., |pending| pending.focus == *jid) {
                let request = Element::new("iq", ns::CLIENT)
                    .with_attr("id", orphan.id)
                    .with_attr("to", context.settings.hosts.focus.as_str());
                context.send(client, iq_error(&request, &error));
            }
        }
        self.pending.retain(|_, pending| !pending.is_empty());
    }
}
