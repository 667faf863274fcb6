//! Send-side bandwidth estimation of one receiver, after libwebrtc's `goog_cc` (as of Chromium 138).
//!
//! [`BandwidthEstimator`] is told each packet that leaves and each feedback that comes back, and answers the rate that the
//! path carries, and which probes to send. [`Pacer`] answers when a packet may leave. Neither knows packets, sockets or a
//! clock; time is an argument.
//!
//! ```text
//!  handle_sent ─► SentPackets ◄─ handle_feedback
//!      │               │ what arrived when, what was lost
//!      │               ├─► ThroughputEstimator, ProbeRateEstimator ─┐
//!      │               ├─► InterArrival ─► TrendlineEstimator ──────┼─► AimdRateControl ─┐
//!      │               ├─► StandingQueue ───────────────────────────┘                    ├─► SendSideBwe ─► estimate
//!      │               └─► Observations ─► LossBasedBwe ─────────────────────────────────┤
//!      │                              └─► InherentLoss: what of it is congestion? ────────┤
//!      │                                              REMB, reported loss, round trip ───┘
//!      ├─► AlrDetector: is less sent than could be?
//!      └─► Prober ◄─ ProbeController ◄─ estimate, demand
//! ```
//!
//! Names and figures are libwebrtc's, `modules/congestion_controller/goog_cc` and around it; tests name the upstream test
//! whose figures they have, as jitsi-videobridge's port has them. What is different is in the README of this crate.

mod aimd;
mod alr;
mod arrival_clock;
mod delay_based;
mod estimator;
mod inherent_loss;
mod inter_arrival;
mod link_capacity;
mod loss_based;
mod missing;
mod pacer;
mod probe;
mod probe_controller;
mod probe_rate;
mod prober;
mod receive_side;
mod reported;
mod send_side;
mod sent_packets;
mod standing_queue;
mod throughput;
mod time;
mod trendline;

pub use estimator::{BandwidthEstimator, Counters, Demand, FeedbackKind, Settings, Statistics};
pub use loss_based::LossBasedState;
pub use pacer::{Pace, Pacer, PacerSettings, QueueState};
pub use probe::{Probe, ProbeClusterId};
pub use receive_side::ReceiveSideEstimator;
pub use trendline::BandwidthUsage;
