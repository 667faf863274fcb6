//! Writes the seeds of the fuzz corpora: `cargo run -p tests --example seed_corpus`.
//!
//! One honest example of each kind of message and a few of the usual lies. Inputs that fuzzing found lie beside them and
//! are left alone. Not here: what a target does with them (`tests::fuzz`).

mod descriptors;
mod dtls;
mod media;
mod rtcp;
mod sctp;
mod stun;
mod text;

use std::fs;
use std::io;
use std::path::Path;

/// A file of a corpus: its name says what is in it.
pub(crate) struct Seed {
    name: &'static str,
    bytes: Vec<u8>,
}

/// A seed of those bytes.
pub(crate) fn seed(name: &'static str, bytes: impl Into<Vec<u8>>) -> Seed {
    Seed { name, bytes: bytes.into() }
}

fn main() -> io::Result<()> {
    let corpora = [
        ("av1", descriptors::av1()),
        ("bridge_channel", text::bridge_channel()),
        ("conference_request", text::conference_request()),
        ("dcep", sctp::dcep()),
        ("dependency_descriptor", descriptors::dependency_descriptor()),
        ("dtls_demux", dtls::dtls_demux()),
        ("h264", descriptors::h264()),
        ("media_json", text::media_json()),
        ("rtcp", rtcp::rtcp()),
        ("rtp", media::rtp()),
        ("sctp", sctp::sctp()),
        ("srtp", media::srtp()),
        ("stanza", text::stanza()),
        ("stun", stun::stun()),
        ("vp8", descriptors::vp8()),
        ("vp9", descriptors::vp9()),
        ("xml", text::xml()),
    ];
    for (target, seeds) in corpora {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
        fs::create_dir_all(&folder)?;
        for Seed { name, bytes } in &seeds {
            let path = folder.join(name);
            // Some seeds have randomness in them: one that is there stays. Delete it to have it written anew.
            if !path.exists() {
                fs::write(path, bytes)?;
            }
        }
        println!("{target}: {} seeds", seeds.len());
    }
    Ok(())
}
