//! One task a stream, over TCP or TLS: cuts what it reads into messages, writes what the core has for it.

use std::io;
use std::time::Duration;

use model::FiveTuple;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf, split};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::core_task::Command;
use crate::framing::StreamDecoder;

/// Messages that wait for a client that reads slowly: 300 kB of video, one or two seconds.
const QUEUE: usize = 256;
/// How long a write may take to get into the socket. A live client reads within a round trip.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Messages go out together up to this many bytes: one TLS record.
const WRITE_BYTES: usize = 16 * 1024;
/// Space for one read.
const READ_BYTES: usize = 4096;

/// Serves a stream until either side ends it.
pub(super) async fn run<S>(stream: S, already_read: Vec<u8>, path: FiveTuple, id: u64, commands: mpsc::Sender<Command>)
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let (frames, queue) = mpsc::channel(QUEUE);
    if commands.send(Command::StreamOpened { path, id, frames }).await.is_err() {
        return;
    }
    let (reader, mut writer) = split(stream);
    let reason = tokio::select! {
        reason = read(reader, already_read, path, id, &commands) => reason,
        reason = write(&mut writer, queue) => reason,
    };
    // The other side may be gone, or not read: the end does not wait for it.
    drop(timeout(Duration::from_secs(1), writer.shutdown()).await);
    // An error says that the core is gone, which needs no telling.
    drop(commands.send(Command::StreamClosed { path, id, reason }).await);
}

/// Reads until the end; answers what was wrong with the stream, if anything was.
async fn read<S: AsyncRead>(
    mut reader: ReadHalf<S>,
    already_read: Vec<u8>,
    path: FiveTuple,
    id: u64,
    commands: &mpsc::Sender<Command>,
) -> Option<&'static str> {
    let mut decoder = StreamDecoder::new(already_read);
    loop {
        loop {
            match decoder.next_message() {
                Ok(Some(message)) => {
                    let bytes = message.to_vec();
                    // Waits while the core is busy: TCP then slows the client down.
                    if commands.send(Command::StreamMessage { path, id, bytes }).await.is_err() {
                        return None;
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    tracing::debug!(%error, "stream ended");
                    return Some("malformed_stream");
                }
            }
        }
        let buffer = decoder.buffer();
        buffer.reserve(READ_BYTES);
        match reader.read_buf(buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

/// Writes until the core drops the stream; answers what was wrong with it, if anything was.
async fn write<S: AsyncWrite>(writer: &mut WriteHalf<S>, mut queue: mpsc::Receiver<Vec<u8>>) -> Option<&'static str> {
    let mut bytes = Vec::new();
    while let Some(frame) = queue.recv().await {
        bytes.extend(frame);
        while bytes.len() < WRITE_BYTES
            && let Ok(frame) = queue.try_recv()
        {
            bytes.extend(frame);
        }
        let written = async {
            writer.write_all(&bytes).await?;
            writer.flush().await
        };
        match timeout(WRITE_TIMEOUT, written).await {
            Ok(Ok(())) => bytes.clear(),
            Ok(Err(error)) => return closed(&error),
            Err(_) => return Some("stream_stalled"),
        }
    }
    None
}

/// A client that goes away is nothing to count.
fn closed(error: &io::Error) -> Option<&'static str> {
    tracing::trace!(%error, "stream ended");
    None
}
