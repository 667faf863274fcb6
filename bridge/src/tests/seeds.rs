//! One run of a simulation for each of many seeds.

use std::collections::BTreeSet;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Runs what the environment asks for, `TERANGA_SEED` or the first `TERANGA_SEEDS`, or else `count` seeds, on all cores.
/// `known` are those that show a defect: one of them that passes fails the test too, so that whoever mends it strikes it out.
pub(super) fn run(count: u64, known: &[u64], run: impl Fn(u64) + Sync) {
    let seeds = asked_for(count);
    let next = AtomicU64::new(seeds.start);
    let failed = Mutex::new(BTreeSet::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if !seeds.contains(&seed) {
                        break;
                    }
                    if catch_unwind(AssertUnwindSafe(|| run(seed))).is_err() {
                        failed.lock().unwrap().insert(seed);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    let known: BTreeSet<u64> = known.iter().copied().filter(|seed| seeds.contains(seed)).collect();
    assert_eq!(failed, known, "seeds that failed, and those that are known to");
}

fn asked_for(count: u64) -> Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("TERANGA_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("TERANGA_SEEDS").unwrap_or(count),
    }
}
