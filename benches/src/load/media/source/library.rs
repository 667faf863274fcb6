//! The bytes that all sources of a process share.

use std::sync::Arc;

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{Rng, RngCore, SeedableRng};

use crate::load::media::Codec;
use crate::load::media::clip::{self, Clip, ClipError};

/// Longer than the longest synthetic frame by so much that frames differ.
const POOL_LEN: usize = 512 * 1024;

/// Bytes without meaning, for synthetic frames, and the clips.
#[derive(Debug)]
pub struct Library {
    pool: Bytes,
    clips: Vec<Arc<Clip>>,
}

impl Library {
    /// All that sources need; a process makes it once.
    ///
    /// # Errors
    /// A clip of the binary cannot be read.
    pub fn new() -> Result<Self, ClipError> {
        let mut pool = vec![0; POOL_LEN];
        SmallRng::seed_from_u64(0x7e2a_96a0).fill_bytes(&mut pool);
        Ok(Self { pool: Bytes::from(pool), clips: clip::embedded()? })
    }

    /// Some of the bytes without meaning, at most half of them.
    pub(super) fn noise(&self, len: usize, random: &mut SmallRng) -> Bytes {
        let len = len.min(POOL_LEN / 2);
        let start = random.random_range(0..POOL_LEN - len);
        self.pool.slice(start..start + len)
    }

    /// The clip of a codec and a number of lines.
    pub(super) fn clip(&self, codec: Codec, height: u16) -> Option<&Arc<Clip>> {
        self.clips.iter().find(|clip| clip.codec == codec && clip.height == height)
    }
}
