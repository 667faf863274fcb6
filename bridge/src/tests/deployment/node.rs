//! A bridge of the deployment: control, shards and its place in the brewery, all real, without threads and sockets.

use std::time::Instant;

use xmpp::Element;

use super::super::bridge::Bridge;
use crate::Settings;
use crate::brewery::{Brewery, Input, Output};
use crate::figures::Figures;
use crate::load::Load;
use crate::shutdown::Readiness;

/// A bridge.
pub(super) struct Node {
    pub(super) nick: String,
    pub(super) bridge: Bridge,
    brewery: Brewery,
    /// What the focus was told of drain and end.
    told: Readiness,
    /// Its stream to the XMPP server stands.
    pub(super) is_online: bool,
    /// Stanzas to and from it wait until then.
    pub(super) held_until: Instant,
    /// Colibri2 requests that it took.
    pub(super) requests: usize,
    /// Those that it refused, with why.
    pub(super) refusals: Vec<String>,
}

impl Node {
    pub(super) fn new(number: usize, region: &'static str, seed: u64, now: Instant) -> Self {
        let nick = format!("jvb-{number}");
        let address = super::network::bridge_address(number);
        let mut settings = Settings::for_domain("meet.jitsi").unwrap();
        settings.nick.clone_from(&nick);
        settings.region = Some(region.to_owned());
        settings.relay_id = Some(relay_id(&nick));
        // Microphones are silent until they speak, and are to be heard all the same.
        settings.audio.silence = None;
        Self {
            brewery: Brewery::new(settings.clone()).unwrap(),
            // One shard, and several with hops between them.
            bridge: Bridge::at(address, settings, 1 + number % 3, seed ^ number as u64, now),
            nick,
            told: Readiness::default(),
            is_online: false,
            held_until: now,
            requests: 0,
            refusals: Vec::new(),
        }
    }

    /// Takes what its stream brings; answers what it has to say.
    pub(super) fn handle_input(&mut self, input: Input, now: Instant) -> Vec<Element> {
        self.brewery.handle_input(input, now);
        self.take_stanzas(now)
    }

    /// Does what is due; answers what it has to say.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Vec<Element> {
        let endpoints = self.bridge.endpoint_count();
        let figures = Figures::of(&self.bridge.conferences, now);
        // As if so many endpoints sent packets all the time.
        let stress = endpoints as f64 * 0.02;
        let load =
            Load { conferences: self.bridge.conferences.len(), endpoints: figures.endpoints, stress, is_healthy: true };
        self.brewery.handle_input(Input::Load(load), now);
        self.brewery.handle_timeout(now);
        self.take_stanzas(now)
    }

    /// What the focus is to be told of drain and end, if that changed.
    pub(super) fn take_readiness(&mut self, now: Instant) -> Vec<Element> {
        let readiness = self.bridge.readiness();
        if std::mem::replace(&mut self.told, readiness) == readiness {
            return Vec::new();
        }
        self.handle_input(Input::Readiness(readiness), now)
    }

    fn take_stanzas(&mut self, now: Instant) -> Vec<Element> {
        let mut stanzas = Vec::new();
        while let Some(output) = self.brewery.poll_output() {
            match output {
                Output::Send(stanza) => stanzas.push(stanza),
                Output::Colibri(request, modify) => {
                    self.requests += 1;
                    let answer = self.bridge.handle_colibri(modify, now);
                    if let Err(error) = &answer {
                        self.refusals.push(format!("{:?} {:?}", error.condition, error.text));
                    }
                    self.brewery.handle_input(Input::Answer(request, answer), now);
                }
                Output::Timeout(_) => break,
            }
        }
        stanzas
    }

    /// When its place in the brewery has to be kept.
    pub(super) fn brewery_timeout(&mut self) -> Option<Instant> {
        match self.brewery.poll_output() {
            Some(Output::Timeout(at)) => Some(at),
            None => None,
            Some(Output::Send(_) | Output::Colibri(..)) => panic!("outputs left behind"),
        }
    }
}

/// What other bridges know one by.
pub(super) fn relay_id(nick: &str) -> String {
    format!("{nick}.relay.example")
}
