//! Streams to visitor nodes that are other servers: a task each, so that a slow node holds up nobody else.

use net::{Link, LinkEvent};
use tokio::sync::mpsc;
use xmpp::Element;

use crate::Input;

/// Stanzas that may wait for a node: an offer and its sources for each visitor of a full one.
const NODE_CAPACITY: usize = 4 * 1024;

/// Carries stanzas between a node and the focus until either is gone. Answers where to put what goes to the node.
pub(super) fn carry(node: String, link: Link, inputs: mpsc::Sender<Input>) -> mpsc::Sender<Element> {
    let (to_node, outgoing) = mpsc::channel(NODE_CAPACITY);
    tokio::spawn(run(node, link, outgoing, inputs));
    to_node
}

async fn run(node: String, mut link: Link, mut outgoing: mpsc::Receiver<Element>, inputs: mpsc::Sender<Input>) {
    loop {
        let input = tokio::select! {
            event = link.recv() => match event {
                Some(LinkEvent::Up { jid }) => Input::NodeUp { node: node.clone(), jid },
                Some(LinkEvent::Stanza(stanza)) => Input::NodeStanza { node: node.clone(), stanza },
                Some(LinkEvent::Down) => Input::NodeDown { node: node.clone() },
                None => break,
            },
            stanza = outgoing.recv() => {
                let Some(stanza) = stanza else { return };
                if link.send(stanza).await {
                    continue;
                }
                break;
            }
        };
        if inputs.send(input).await.is_err() {
            return;
        }
    }
    // A focus that is gone itself need not know.
    let _ = inputs.send(Input::NodeDown { node }).await;
}
