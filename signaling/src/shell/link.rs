//! A service within the process: stanzas pass between its [`LinkPeer`] and the core without becoming text.

use std::sync::Arc;
use std::time::Duration;

use net::{LinkEvent, LinkPeer};
use tokio::sync::mpsc;

use super::Handle;
use super::core_task::Command;
use crate::{ConnectionEnd, Frame, Input};

/// Pause before a service that was detached comes back. Two of the same address throw each other out; not in a hot loop.
const REATTACH_PAUSE: Duration = Duration::from_secs(1);

/// Keeps the service attached until it drops its link or the core ends.
pub(super) async fn run(handle: Handle, mut peer: LinkPeer) {
    loop {
        let connection = handle.next_connection();
        let (frames, mut queue) = mpsc::channel(handle.settings().limits.service_queue);
        if !handle.command(Command::Attach { connection, jid: peer.jid.clone(), frames }).await {
            return;
        }
        loop {
            let input = tokio::select! {
                frame = queue.recv() => match frame {
                    Some(Frame::Element(stanza)) => {
                        if peer.to_service.send(LinkEvent::Stanza(Arc::unwrap_or_clone(stanza))).await.is_err() {
                            Input::Disconnected { connection, end: ConnectionEnd::Lost }
                        } else {
                            continue;
                        }
                    }
                    Some(Frame::Close) => continue,
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
