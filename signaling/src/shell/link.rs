//! A service within the process: stanzas pass between its [`LinkPeer`] and the core without becoming text.

use std::sync::Arc;
use std::time::Duration;

use net::{LinkEvent, LinkPeer};

use xmpp::Element;

use super::Handle;
use super::core_task::Command;
use super::frame_queue::frame_queue;
use crate::{ConnectionEnd, Frame, Input};

/// Pause before a service that was detached comes back. Two of the same address throw each other out; not in a hot loop.
const REATTACH_PAUSE: Duration = Duration::from_secs(1);

/// Keeps the service attached until it drops its link or the core ends.
pub(super) async fn run(handle: Handle, mut peer: LinkPeer) {
    loop {
        let connection = handle.next_connection();
        let (frames, mut queue) = frame_queue(handle.service_queue());
        if !handle.command(Command::Attach { connection, jid: peer.jid.clone(), frames }).await {
            return;
        }
        loop {
            let input = tokio::select! {
                frame = queue.recv() => match frame {
                    Some(Frame::Element(element)) => match forward(&peer, Arc::unwrap_or_clone(element)).await {
                        Ok(()) => continue,
                        Err(ServiceGone) => Input::Disconnected { connection, end: ConnectionEnd::Lost },
                    },
                    Some(Frame::Stanza(stanza)) => match forward(&peer, stanza.to_element()).await {
                        Ok(()) => continue,
                        Err(ServiceGone) => Input::Disconnected { connection, end: ConnectionEnd::Lost },
                    },
                    Some(Frame::StartTls | Frame::Trust | Frame::Close) => continue,
                    None => break,
                },
                stanza = peer.from_service.recv() => match stanza {
                    Some(stanza) => Input::Frame { connection, frame: Ok(stanza) },
                    None => Input::Disconnected { connection, end: ConnectionEnd::Lost },
                },
            };
            let is_over = matches!(input, Input::Disconnected { .. });
            if !handle.command(Command::Input(input)).await || is_over {
                return;
            }
        }
        // The core let go: the service was too slow, somebody took its address, or the core ends. What it sent until
        // now was for the stream that is gone.
        if peer.to_service.send(LinkEvent::Down).await.is_err() || handle.shared.commands.is_closed() {
            return;
        }
        tracing::warn!(jid = %peer.jid, retry_in = ?REATTACH_PAUSE, "service detached");
        tokio::time::sleep(REATTACH_PAUSE).await;
        while peer.from_service.try_recv().is_ok() {}
        if peer.to_service.send(LinkEvent::Up { jid: peer.jid.clone() }).await.is_err() {
            return;
        }
    }
}

/// The service dropped its link.
struct ServiceGone;

async fn forward(peer: &LinkPeer, stanza: Element) -> Result<(), ServiceGone> {
    peer.to_service.send(LinkEvent::Stanza(stanza)).await.map_err(|_| ServiceGone)
}
