//! How many conferences of each size there are now: a histogram that is taken anew each time, unlike Prometheus's own.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Histogram, Metric, MetricFamily, MetricType};

use super::threads::family;

/// Sizes that are told apart, as JVB does: 0 to 20, and more.
const SIZES: usize = 21;

/// Conferences by some size of theirs.
#[derive(Debug)]
pub(super) struct Distribution {
    name: &'static str,
    help: &'static str,
    description: Desc,
    /// By size; the last ones are larger.
    counts: [AtomicU64; SIZES + 1],
    sum: AtomicU64,
}

impl Distribution {
    pub(super) fn new(name: &'static str, help: &'static str) -> Result<Self, prometheus::Error> {
        let description = Desc::new(name.to_owned(), help.to_owned(), Vec::new(), HashMap::new())?;
        Ok(Self { name, help, description, counts: Default::default(), sum: AtomicU64::new(0) })
    }

    /// Takes the sizes of all that there are now.
    pub(super) fn set(&self, sizes: impl Iterator<Item = usize>) {
        let mut counts = [0; SIZES + 1];
        let mut sum = 0;
        for size in sizes {
            if let Some(count) = counts.get_mut(size.min(SIZES)) {
                *count += 1;
            }
            sum += size as u64;
        }
        // A scrape between two of these sees some of each, as it does of any two metrics.
        for (count, now) in self.counts.iter().zip(counts) {
            count.store(now, Ordering::Relaxed);
        }
        self.sum.store(sum, Ordering::Relaxed);
    }
}

/// Registered, and kept to be set.
#[derive(Clone, Debug)]
pub(super) struct Registered(pub(super) std::sync::Arc<Distribution>);

impl Collector for Registered {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.0.description]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut cumulative = 0;
        let mut histogram = Histogram::default();
        let buckets = self.0.counts.iter().take(SIZES).enumerate().map(|(size, count)| {
            cumulative += count.load(Ordering::Relaxed);
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(size as f64);
            bucket.set_cumulative_count(cumulative);
            bucket
        });
        histogram.set_bucket(buckets.collect());
        let larger = self.0.counts.last().map_or(0, |count| count.load(Ordering::Relaxed));
        histogram.set_sample_count(cumulative + larger);
        histogram.set_sample_sum(self.0.sum.load(Ordering::Relaxed) as f64);
        let mut metric = Metric::default();
        metric.set_histogram(histogram);
        vec![family((self.0.name, self.0.help), MetricType::HISTOGRAM, vec![metric])]
    }
}
