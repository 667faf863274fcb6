//! Requests to the focus for a conference, which wait until the room may open, and go on to it then.

use xmpp::{Element, Jid};

use super::{CallAnswer, CallFailed, CallId, Waiter};
use crate::context::{Now, Sender};
use crate::server::Server;

impl Server {
    /// Takes the end of a question to another server.
    pub(crate) fn on_call_ended(&mut self, now: Now, call: CallId, end: Result<CallAnswer, CallFailed>) {
        let (mut context, conferences, _, proxy) = self.context(now);
        for Waiter { jid, client, to, request } in conferences.on_call_ended(&mut context, call, end) {
            let is_service = context.settings.hosts.is_service(&jid);
            let sender = Sender { jid: &jid, is_service, host: None, client: &client };
            proxy.handle(&mut context, sender, &to, request);
        }
    }

    /// Takes a stanza to the focus, as clients address it.
    pub(crate) fn handle_for_focus(&mut self, now: Now, sender: Sender<'_>, to: &Jid, stanza: Element) {
        let (mut context, conferences, _, proxy) = self.context(now);
        if let Some(stanza) = conferences.reserve(&mut context, sender, to, stanza) {
            proxy.handle(&mut context, sender, to, stanza);
        }
    }
}
