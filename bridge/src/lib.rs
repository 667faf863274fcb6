//! The bridge (SFU): forwards the media of conferences, and is told by a focus which ones (Colibri2).
//!
//! Here: conferences, endpoints, who gets what. Not here: protocols of a packet (`rtp`, `srtp`, `ice`, `dtls`, `sctp`),
//! what one stream remembers (`streams`). Sockets, threads and clock are in `shell`; all other modules are pure.

mod addresses;
mod admin;
mod allocation;
mod audio;
mod brewery;
mod capture;
mod channel;
mod colibri;
mod conference;
mod connection;
mod connectivity;
mod constraints;
mod counters;
mod data_plane;
mod datagrams;
mod dial;
mod endpoint;
mod expiry;
mod export;
mod figures;
mod flags;
mod huge_pages;
mod keys;
mod last_n;
mod load;
mod loudest;
mod members;
mod metrics;
mod negotiated;
mod rate_limit;
mod relay;
mod remote_owners;
mod settings;
mod shard;
mod shell;
mod shutdown;
mod speaker;
mod ssrc_slots;
mod subscriptions;
#[cfg(test)]
mod tests;
mod timers;
mod transport;
mod unique_ports;
mod videobridge;
mod web_sockets;

pub use addresses::{
    AddressError, AddressFilter, AddressMapping, AddressSettings, Cloud, InvalidFilter, InvalidMapping,
    InvalidStunServer, MediaAddress, PrivateAddresses, StunServer,
};
pub use audio::{AddedRedundancy, AudioSettings, LoudestSettings, Redundancy, RedundancyDistance, Repeated};
pub use flags::{AudioRed, ControlFlags, HostFeature, MediaFlags};
pub use huge_pages::{HUGE_PAGES, TUNABLES, use_huge_pages};
pub use last_n::{LastNSettings, LoadReducerSettings};
pub use settings::{ExporterSettings, LayerRates, RestSettings, Settings};
#[cfg(feature = "planted-faults")]
pub use shard::planted_faults::{InvalidFault, PlantedFault, WrongLayer};
pub use shell::{Bridge, StartError};
pub use shutdown::ShutdownSettings;
