//! Services of the focus: bridges, recorders and gateways that come, go and say how they are.
//!
//! Here: what follows for conferences and figures. Not here: membership in their rooms (`brewery`), choice among them
//! (`bridge`, `jibri`, `jigasi`).

use std::time::Instant;

use jitsi_protocol::bridge_stats::BridgeStats;
use jitsi_protocol::jibri;
use xmpp::{Condition, Element, Jid, StanzaError, iq_error, ns};

use crate::brewery::{BreweryEvent, BreweryKind};
use crate::bridge::{BridgeChange, BridgeHealth};
use crate::conference::{Conference, Farewell};
use crate::focus::{Focus, gauge_value};
use crate::iq::IqOutcome;

impl Focus {
    pub(crate) fn on_bridge_event(&mut self, event: BreweryEvent, presence: &Element, now: Instant) {
        match event {
            BreweryEvent::Said(bridge) => {
                let Some(stats) = stats_of(&bridge, presence) else { return };
                let change = self.selector.update(&bridge, &stats);
                let health = self.health_checks.on_presence(&bridge, stats.healthy, now);
                match change {
                    BridgeChange::None => {}
                    BridgeChange::Available => {
                        self.retry_for_want_of_bridge(now);
                        self.redistribution.look_at_drains(now);
                    }
                    BridgeChange::Draining => self.redistribution.look_at_drains(now),
                    BridgeChange::ShuttingDown => self.on_bridge_lost(&bridge, Farewell::Expire, now),
                }
                if health == BridgeHealth::Failed {
                    self.on_bridge_unwell(&bridge, now);
                }
            }
            BreweryEvent::Left(occupant) => {
                let was_expected = self.selector.get_mut(&occupant).is_some_and(|bridge| bridge.is_leaving());
                if self.selector.remove(&occupant) {
                    self.forget_bridge_metrics(&occupant);
                    if !was_expected {
                        self.metrics.bridges_lost.inc();
                    }
                    self.health_checks.remove(&occupant);
                    self.on_bridge_lost(&occupant, Farewell::None, now);
                }
            }
            BreweryEvent::Lost => {
                let room = presence.attr("from").and_then(|from| from.parse::<Jid>().ok());
                for bridge in self.selector.clear_room(room.as_ref().map_or("", Jid::bare_str)) {
                    self.health_checks.remove(&bridge);
                    self.forget_bridge_metrics(&bridge);
                    self.on_bridge_lost(&bridge, Farewell::None, now);
                }
            }
            BreweryEvent::None => {}
        }
    }

    pub(crate) fn on_jibri_event(&mut self, kind: BreweryKind, event: BreweryEvent, presence: &Element, now: Instant) {
        let detector = if kind == BreweryKind::SipJibris { &mut self.sip_jibris } else { &mut self.jibris };
        let lost = match event {
            BreweryEvent::Said(jibri) => {
                if let Some(is_available) = jibri::is_available(presence) {
                    detector.update(&jibri, is_available);
                }
                return;
            }
            BreweryEvent::Left(occupant) => {
                Some(occupant).filter(|occupant| detector.remove(occupant)).into_iter().collect()
            }
            BreweryEvent::Lost => detector.clear(),
            BreweryEvent::None => return,
        };
        for jibri in lost {
            let is_affected = |conference: &Conference| conference.uses_jibri(&jibri);
            self.with_conferences(is_affected, now, |conference, context| conference.on_jibri_lost(&jibri, context));
        }
    }

    pub(crate) fn on_jigasi_event(&mut self, event: BreweryEvent, presence: &Element) {
        match event {
            BreweryEvent::Said(jigasi) => {
                if let Some(stats) = stats_of(&jigasi, presence) {
                    self.jigasis.update(&jigasi, &stats);
                }
            }
            BreweryEvent::Left(occupant) => self.jigasis.remove(&occupant),
            BreweryEvent::Lost => self.jigasis.clear(),
            BreweryEvent::None => {}
        }
    }

    /// A recorder speaks of its session, which is in one of the conferences.
    pub(crate) fn on_jibri_request(&mut self, from: &Jid, iq: &Element, payload: &Element, now: Instant) {
        let mut conferences = self.conferences.values();
        match conferences.find(|conference| conference.uses_jibri(from)).map(|conference| conference.room().clone()) {
            Some(room) => self.with_conference(&room, now, |conference, context| {
                conference.on_jibri_news(from, iq, payload, context);
            }),
            None => self.answer(iq_error(iq, &StanzaError::new(Condition::ItemNotFound))),
        }
    }

    pub(crate) fn on_bridge_lost(&mut self, bridge: &Jid, farewell: Farewell, now: Instant) {
        let is_affected = |conference: &Conference| conference.uses_bridge(bridge) || conference.is_expiring_at(bridge);
        self.with_conferences(is_affected, now, |conference, context| {
            conference.on_bridge_lost(bridge, farewell, context);
        });
    }

    pub(crate) fn retry_for_want_of_bridge(&mut self, now: Instant) {
        self.with_conferences(Conference::is_bridge_missing, now, Conference::on_bridge_available);
    }

    pub(crate) fn on_health(&mut self, bridge: &Jid, outcome: &IqOutcome, now: Instant) {
        match self.health_checks.on_outcome(bridge, outcome, now) {
            BridgeHealth::Well => {}
            BridgeHealth::Silent => {
                tracing::warn!(%bridge, "bridge does not answer health checks");
                if let Some(bridge) = self.selector.get_mut(bridge) {
                    bridge.failed(now);
                }
            }
            BridgeHealth::Failed => self.on_bridge_unwell(bridge, now),
        }
    }

    /// A bridge says that it is not well, or nothing where it should: everybody is moved.
    pub(crate) fn on_bridge_unwell(&mut self, bridge: &Jid, now: Instant) {
        tracing::warn!(%bridge, "bridge is not well");
        if let Some(bridge) = self.selector.get_mut(bridge) {
            bridge.failed(now);
        }
        self.on_bridge_lost(bridge, Farewell::Expire, now);
    }

    fn forget_bridge_metrics(&self, bridge: &Jid) {
        let name = [bridge.resource().unwrap_or_default()];
        // Whether they were there is of no consequence.
        let _ = self.metrics.bridge_endpoints.remove_label_values(&name);
        let _ = self.metrics.bridge_failing_ice.remove_label_values(&name);
        let _ = self.metrics.bridge_restart_requests.remove_label_values(&name);
        let _ = self.metrics.bridge_endpoints_moved.remove_label_values(&name);
    }

    /// How many endpoints all conferences have on a bridge.
    pub(crate) fn endpoints_on(&self, bridge: &Jid) -> usize {
        self.conferences.values().map(|conference| conference.endpoints_on(bridge)).sum()
    }

    pub(crate) fn count_services(&self) {
        let metrics = &self.metrics;
        let [sip, ending, transcribers] = self.jigasis.counts();
        for (gauge, count) in [
            (&metrics.jibri_count, self.jibris.len()),
            (&metrics.jibri_available, self.jibris.available()),
            (&metrics.sip_jibri_count, self.sip_jibris.len()),
            (&metrics.sip_jibri_available, self.sip_jibris.available()),
            (&metrics.jigasi_sip_count, sip),
            (&metrics.jigasi_sip_in_graceful_shutdown_count, ending),
            (&metrics.jigasi_transcriber_count, transcribers),
        ] {
            gauge.set(gauge_value(count));
        }
    }
}

/// What a service says of itself in its brewery; `None` of somebody else there.
fn stats_of(service: &Jid, presence: &Element) -> Option<BridgeStats> {
    let stats = presence.child("stats", ns::COLIBRI)?;
    BridgeStats::from_element(stats)
        .inspect_err(|error| tracing::warn!(%service, %error, "statistics of a service ignored"))
        .ok()
}
