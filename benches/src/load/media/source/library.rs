//! The bytes that all sources of a process share.

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{Rng, RngCore, SeedableRng};

/// Longer than the longest synthetic frame by so much that frames differ.
const POOL_LEN: usize = 512 * 1024;

/// Bytes without meaning, for synthetic frames, and the clips.
#[derive(Debug)]
pub struct Library {
    pool: Bytes,
}

impl Library {
    /// All that sources need; a process makes it once.
    #[must_use]
    pub fn new() -> Self {
        let mut pool = vec![0; POOL_LEN];
        SmallRng::seed_from_u64(0x7e2a_96a0).fill_bytes(&mut pool);
        Self { pool: Bytes::from(pool) }
    }

    /// Some of the bytes without meaning, at most half of them.
    pub(super) fn noise(&self, len: usize, random: &mut SmallRng) -> Bytes {
        let len = len.min(POOL_LEN / 2);
        let start = random.random_range(0..POOL_LEN - len);
        self.pool.slice(start..start + len)
    }
}

impl Default for Library {
    fn default() -> Self {
        Self::new()
    }
}
