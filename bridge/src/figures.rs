//! What all conferences do now, as JVB's periodic metrics count it, and how busy that makes the bridge.
//!
//! Here: one look at everything. Not here: what is counted as it happens (`metrics`), how it is told (`load`, `stats`).

use std::time::{Duration, Instant};

use slab::Slab;

use crate::audio::AUDIO_PAUSE;
use crate::conference::Conference;
use crate::counters::Counters;
use crate::load::{Load, PACKETS_PER_SECOND_AT_FULL_STRESS};
use crate::videobridge::Videobridge;

/// Counts of one look at all conferences.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) endpoints: usize,
    pub(crate) visitors: usize,
    pub(crate) largest_conference: usize,
    pub(crate) sending_audio: usize,
    pub(crate) sending_video: usize,
    /// Endpoints that send nothing in conferences where others do.
    pub(crate) receive_only: usize,
    /// Endpoints of conferences in which nobody sends, and such conferences.
    pub(crate) inactive_endpoints: usize,
    pub(crate) inactive_conferences: usize,
    /// Two endpoints that send nothing: they have a direct connection.
    pub(crate) p2p_conferences: usize,
    /// Endpoints that do not get all videos that they ask for, for want of bandwidth.
    pub(crate) with_suspended_sources: usize,
    /// Conferences with relays, and endpoints behind these.
    pub(crate) conferences_with_relay: usize,
    pub(crate) relayed: usize,
    pub(crate) rtt_sum: Duration,
    pub(crate) rtt_count: u32,
    /// Of each conference: endpoints, those that send audio, those that send video.
    pub(crate) sizes: Vec<[usize; 3]>,
}

impl Figures {
    /// Looks at all conferences.
    pub(crate) fn of(conferences: &Slab<Conference>, now: Instant) -> Self {
        let mut figures = Self::default();
        for (_, conference) in conferences {
            let endpoints = || conference.endpoints.iter().map(|(_, endpoint)| endpoint);
            let count = conference.endpoints.len();
            let audio = endpoints().filter(|endpoint| endpoint.is_sending_audio(AUDIO_PAUSE, now)).count();
            let video = endpoints().filter(|endpoint| endpoint.is_sending_video()).count();
            let is_silent = |endpoint: &&crate::endpoint::Endpoint| {
                !endpoint.is_sending_audio(AUDIO_PAUSE, now) && !endpoint.is_sending_video()
            };
            let is_sent_from_afar =
                conference.relayed.iter().any(|(_, endpoint)| endpoint.is_sending(AUDIO_PAUSE, now));
            if audio == 0 && video == 0 && !is_sent_from_afar {
                figures.inactive_conferences += 1;
                figures.inactive_endpoints += count;
                figures.p2p_conferences += usize::from(count == 2 && conference.relayed.is_empty());
            } else {
                figures.receive_only += endpoints().filter(is_silent).count();
            }
            figures.conferences_with_relay += usize::from(!conference.relays.is_empty());
            figures.relayed += conference.relayed.len();
            figures.endpoints += count;
            figures.largest_conference = figures.largest_conference.max(count);
            figures.sending_audio += audio;
            figures.sending_video += video;
            figures.visitors += endpoints().filter(|endpoint| endpoint.is_visitor).count();
            figures.with_suspended_sources +=
                endpoints().filter(|endpoint| endpoint.caps.values().any(Option::is_none)).count();
            for rtt in endpoints().filter_map(|endpoint| endpoint.connection.rtt) {
                figures.rtt_sum += rtt;
                figures.rtt_count += 1;
            }
            figures.sizes.push([count, audio, video]);
        }
        figures
    }

    /// The mean round trip of those whose round trip is known.
    pub(crate) fn average_rtt(&self) -> Duration {
        self.rtt_sum.checked_div(self.rtt_count).unwrap_or_default()
    }
}

/// What passed the media port until some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Totals {
    packets_received: u64,
    packets_sent: u64,
    bytes_received: u64,
    bytes_sent: u64,
    relay_packets_received: u64,
    relay_packets_sent: u64,
    relay_bytes_received: u64,
    relay_bytes_sent: u64,
}

/// What passes it in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Rates {
    pub(crate) packets_in: f64,
    pub(crate) packets_out: f64,
    pub(crate) bits_in: f64,
    pub(crate) bits_out: f64,
    pub(crate) relay_packets_in: f64,
    pub(crate) relay_packets_out: f64,
    pub(crate) relay_bits_in: f64,
    pub(crate) relay_bits_out: f64,
}

impl Rates {
    /// How busy that makes the bridge: 0 is idle, 1 full.
    fn stress(&self) -> f64 {
        (self.packets_in + self.packets_out) / PACKETS_PER_SECOND_AT_FULL_STRESS
    }
}

/// Turns totals into rates.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Meter {
    last: Option<(Instant, Totals)>,
}

impl Meter {
    /// The rates since the last call; nothing at the first one, or at once.
    fn measure(&mut self, totals: Totals, now: Instant) -> Rates {
        let Some((at, before)) = self.last.replace((now, totals)) else { return Rates::default() };
        let seconds = now.saturating_duration_since(at).as_secs_f64();
        if seconds <= 0.0 {
            return Rates::default();
        }
        let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
        Rates {
            packets_in: rate(totals.packets_received, before.packets_received),
            packets_out: rate(totals.packets_sent, before.packets_sent),
            bits_in: 8.0 * rate(totals.bytes_received, before.bytes_received),
            bits_out: 8.0 * rate(totals.bytes_sent, before.bytes_sent),
            relay_packets_in: rate(totals.relay_packets_received, before.relay_packets_received),
            relay_packets_out: rate(totals.relay_packets_sent, before.relay_packets_sent),
            relay_bits_in: 8.0 * rate(totals.relay_bytes_received, before.relay_bytes_received),
            relay_bits_out: 8.0 * rate(totals.relay_bytes_sent, before.relay_bytes_sent),
        }
    }
}

impl Videobridge {
    /// Measures what the bridge does, for metrics and for the focus. To be called every few seconds.
    pub(crate) fn measure(&mut self, now: Instant) -> Load {
        let sum = |number: fn(&Counters) -> u64| self.metrics.sum(number);
        let totals = Totals {
            packets_received: sum(|counters| counters.packets_received.get()),
            packets_sent: sum(|counters| counters.packets_sent.get()),
            bytes_received: sum(|counters| counters.bytes_received.get()),
            bytes_sent: sum(|counters| counters.bytes_sent.get()),
            relay_packets_received: sum(|counters| counters.relay_packets_received.get()),
            relay_packets_sent: sum(|counters| counters.relay_packets_sent.get()),
            relay_bytes_received: sum(|counters| counters.relay_bytes_received.get()),
            relay_bytes_sent: sum(|counters| counters.relay_bytes_sent.get()),
        };
        let rates = self.meter.measure(totals, now);
        let figures = Figures::of(&self.conferences, now);
        let is_healthy = self.health().is_ok();
        let load = Load {
            conferences: self.conferences.len(),
            endpoints: figures.endpoints,
            stress: rates.stress(),
            is_healthy,
        };
        self.metrics.note(&figures, rates, &load);
        load
    }

    /// Whether the bridge can do its work.
    ///
    /// # Errors
    /// What is wrong, for an operator.
    pub(crate) fn health(&self) -> Result<(), &'static str> {
        if self.addresses.told().is_empty() {
            return Err("no address to tell clients (see --media-address, --media-allow)");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_since_the_last_measurement() {
        #[expect(clippy::disallowed_methods, reason = "the origin of a virtual clock")]
        let now = Instant::now();
        let mut meter = Meter::default();
        let totals = Totals { packets_received: 1000, bytes_sent: 500, ..Totals::default() };
        assert_eq!(meter.measure(totals, now), Rates::default());
        let totals = Totals { packets_received: 251_000, bytes_sent: 1125, ..Totals::default() };
        let rates = meter.measure(totals, now + Duration::from_secs(5));
        assert_eq!((rates.packets_in, rates.bits_out), (50_000.0, 1000.0));
        assert!((rates.stress() - 0.5).abs() < 1e-9);
        assert_eq!(meter.measure(totals, now + Duration::from_secs(5)), Rates::default(), "at once");
    }

    #[test]
    fn nobody_has_no_round_trip() {
        assert_eq!(Figures::default().average_rtt(), Duration::ZERO);
    }
}
