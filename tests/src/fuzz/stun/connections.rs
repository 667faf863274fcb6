//! The peer's TCP connections, read as `net` and the bridge read them: the first frame is a check, each frame stands
//! behind its length, a bad one is the end (RFC 6544 §3, RFC 4571 §2).

use std::net::SocketAddr;

use ice::StunDemux;
use net::media::tcp::{FrameDecoder, Opening, OpeningStep};

/// Those that are open or opening, one an address of the peer.
#[derive(Default)]
pub(super) struct Connections(Vec<Connection>);

struct Connection {
    remote: SocketAddr,
    stage: Stage,
}

enum Stage {
    Opening(Opening),
    Open(FrameDecoder),
}

impl Connections {
    /// Takes what was read of the connection from `remote`, a new one if there is none. Answers the frames that it
    /// completes, and whether the stream may go on.
    pub(super) fn read(&mut self, remote: SocketAddr, piece: &[u8]) -> (Vec<Vec<u8>>, bool) {
        let index = self.0.iter().position(|connection| connection.remote == remote).unwrap_or_else(|| {
            let opening = Opening::new(|frame| StunDemux::local_ufrag(frame).is_some());
            self.0.push(Connection { remote, stage: Stage::Opening(opening) });
            self.0.len() - 1
        });
        let mut frames = Vec::new();
        let stage = self.0.get_mut(index).map(|connection| &mut connection.stage);
        let goes_on = stage.is_some_and(|stage| stage.read(piece, &mut frames));
        (frames, goes_on)
    }

    /// Forgets the connection from `remote`.
    pub(super) fn close(&mut self, remote: SocketAddr) {
        self.0.retain(|connection| connection.remote != remote);
    }

    /// Whether an agent may know the connection from `remote`.
    pub(super) fn is_open(&self, remote: SocketAddr) -> bool {
        let is_open = |stage: &Stage| matches!(stage, Stage::Open(_));
        self.0.iter().any(|connection| connection.remote == remote && is_open(&connection.stage))
    }
}

impl Stage {
    fn read(&mut self, piece: &[u8], frames: &mut Vec<Vec<u8>>) -> bool {
        let mut bytes = match self {
            Self::Open(_) => piece.to_vec(),
            Self::Opening(opening) => {
                opening.handle_bytes(piece);
                loop {
                    match opening.poll() {
                        Ok(OpeningStep::Read) => return true,
                        Ok(OpeningStep::Write(_)) => {}
                        Ok(OpeningStep::Open(bytes)) => break bytes,
                        Err(_) => return false,
                    }
                }
            }
        };
        if matches!(self, Self::Opening(_)) {
            *self = Self::Open(FrameDecoder::default());
        }
        let Self::Open(decoder) = self else { unreachable!("it was opened above") };
        decoder.decode(&mut bytes, |frame| frames.push(frame.to_vec())).is_ok()
    }
}
