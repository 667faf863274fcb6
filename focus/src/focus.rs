//! The focus as a pure state machine: stanzas, requests and the time in, stanzas and answers out.
//!
//! Here: what it consists of, its stream and its time. Where stanzas go is in `routing`, to and from visitor nodes in `nodes`,
//! conferences are in `conference`, services in `services`, what operators ask in `admin`, load that moves in
//! `redistribution`, tasks and sockets in `shell`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use jitsi_protocol::conference_request::{ConferenceRequest, ConferenceResponse};
use model::ConferenceId;
use rand::SeedableRng;
use rand::rngs::StdRng;
use xmpp::{Element, Jid, StanzaError, ns};

use crate::authentication::Authority;
use crate::brewery::Brewery;
use crate::bridge::{BridgeSelector, BridgeWanted, HealthChecks};
use crate::conference::Conference;
use crate::context::{Context, Purpose};
use crate::features::CapsCache;
use crate::iq::{IqOutcome, PendingIqs};
use crate::jibri::JibriDetector;
use crate::jigasi::JigasiDetector;
use crate::metrics::Metrics;
use crate::pins::Pins;
use crate::redistribution::Redistribution;
use crate::request::Requester;
use crate::settings::Settings;

/// An HTTP request that waits for its answer; chosen by the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HttpRequestId(pub u64);

/// What the focus is told.
#[derive(Debug)]
pub enum Input {
    /// The stream is bound as this full JID.
    LinkUp {
        /// The focus's own address.
        jid: Jid,
    },
    /// The stream is gone.
    LinkDown,
    /// A stanza came.
    Stanza(Element),
    /// The stream to a visitor node that is another server is bound as this full JID.
    NodeUp {
        /// Its name in [`VisitorSettings::nodes`](crate::VisitorSettings::nodes).
        node: String,
        /// The focus's own address there.
        jid: Jid,
    },
    /// The stream to such a node is gone.
    NodeDown {
        /// Which.
        node: String,
    },
    /// A stanza came from such a node.
    NodeStanza {
        /// Which.
        node: String,
        /// What it sent.
        stanza: Element,
    },
    /// A client asks for a conference by HTTP.
    HttpConferenceRequest {
        /// To be repeated in the answer.
        id: HttpRequestId,
        /// What it asks.
        request: ConferenceRequest,
    },
    /// The time of [`Output::Timeout`] came.
    Timeout,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a stanza.
    Send(Element),
    /// Send a stanza to a visitor node that is another server.
    SendToNode {
        /// Which.
        node: String,
        /// What.
        stanza: Element,
    },
    /// Answer an HTTP request.
    HttpResponse {
        /// Which.
        id: HttpRequestId,
        /// The answer, or the error for which HTTP has a status.
        response: Result<ConferenceResponse, StanzaError>,
    },
    /// Nothing until then, or until the next input if there is no such time.
    Timeout(Option<Instant>),
}

/// Conference focus: joins requested rooms, finds a bridge for each conference and leads the clients' sessions.
///
/// After every [`Focus::handle_input`] call [`Focus::poll_output`] until it answers [`Output::Timeout`].
#[derive(Debug)]
pub struct Focus {
    pub(crate) settings: Settings,
    pub(crate) metrics: Metrics,
    /// The focus's own full JID while the stream is up.
    pub(crate) link: Option<Jid>,
    /// The same on visitor nodes that are other servers, by name, while their streams are up.
    pub(crate) node_links: BTreeMap<String, Jid>,
    pub(crate) random: StdRng,
    pub(crate) output: VecDeque<Output>,
    pub(crate) iqs: PendingIqs<Purpose>,
    pub(crate) caps: CapsCache,
    pub(crate) selector: BridgeSelector,
    pub(crate) authority: Authority,
    pub(crate) breweries: Vec<Brewery>,
    pub(crate) jibris: JibriDetector,
    pub(crate) sip_jibris: JibriDetector,
    pub(crate) jigasis: JigasiDetector,
    pub(crate) health_checks: HealthChecks,
    pub(crate) conferences: BTreeMap<Jid, Conference>,
    /// Meeting ids of all conferences.
    meetings: BTreeSet<ConferenceId>,
    /// When which conference wants to be woken.
    timers: BTreeSet<(Instant, Jid)>,
    pub(crate) pins: Pins,
    restart_reports: Vec<Jid>,
    breakouts: BTreeMap<Jid, BTreeSet<Jid>>,
    pub(crate) instances: u64,
    pub(crate) redistribution: Redistribution,
    /// When a bridge may be chosen again that failed.
    recovery_at: Option<Instant>,
}

impl Focus {
    /// A focus without a stream. The seed makes session and meeting ids unpredictable for clients.
    ///
    /// # Errors
    /// [`xmpp::InvalidJid`] when the nick of `settings` cannot be one.
    pub fn new(settings: Settings, seed: [u8; 32]) -> Result<Self, xmpp::InvalidJid> {
        Ok(Self {
            breweries: Brewery::all(&settings)?,
            jibris: JibriDetector::default(),
            sip_jibris: JibriDetector::default(),
            jigasis: JigasiDetector::default(),
            metrics: Metrics::new(),
            link: None,
            node_links: BTreeMap::new(),
            random: StdRng::from_seed(seed),
            output: VecDeque::new(),
            iqs: PendingIqs::new(settings.timers.reply),
            caps: CapsCache::default(),
            selector: BridgeSelector::new(settings.bridge, settings.selection.clone()),
            authority: Authority::new(settings.authentication.clone()),
            health_checks: HealthChecks::new(settings.timers.health_check, settings.timers.health_by_presence),
            conferences: BTreeMap::new(),
            meetings: BTreeSet::new(),
            timers: BTreeSet::new(),
            pins: Pins::default(),
            restart_reports: Vec::new(),
            breakouts: BTreeMap::new(),
            instances: 0,
            redistribution: Redistribution::new(settings.redistribution),
            recovery_at: None,
            settings,
        })
    }

    /// What is counted; clones share their values.
    #[must_use]
    pub const fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Whether the stream is up and a bridge may be chosen: what a health check wants to know.
    #[must_use]
    pub fn health(&self, now: Instant) -> Health {
        if self.link.is_none() {
            Health::NoStream
        } else if self.selector.select(&BridgeWanted::default(), now).is_none() {
            Health::NoBridge
        } else {
            Health::Healthy
        }
    }

    /// Tells the focus what happened.
    pub fn handle_input(&mut self, input: Input, now: Instant) {
        match input {
            Input::LinkUp { jid } => self.on_link_up(jid, now),
            Input::LinkDown => self.on_link_down(now),
            Input::Stanza(stanza) => self.on_stanza(&stanza, now),
            Input::NodeUp { node, jid } => self.on_node_up(node, jid),
            Input::NodeDown { node } => self.on_node_down(&node, now),
            Input::NodeStanza { node, stanza } => self.on_node_stanza(&node, &stanza, now),
            Input::HttpConferenceRequest { id, request } => {
                self.on_conference_request(&request, None, Requester::Http(id), now);
            }
            Input::Timeout => {}
        }
        self.on_time(now);
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Output {
        while let Some(output) = self.output.pop_front() {
            if let Some(output) = self.route(output) {
                return output;
            }
        }
        Output::Timeout(self.deadline())
    }

    fn deadline(&self) -> Option<Instant> {
        let conference = self.timers.first().map(|&(at, _)| at);
        let moves = self.redistribution.deadline();
        let others = [self.iqs.deadline(), self.health_checks.deadline(), self.recovery_at, conference, moves];
        others.into_iter().chain(self.breweries.iter().map(Brewery::deadline)).flatten().min()
    }

    fn on_link_up(&mut self, jid: Jid, now: Instant) {
        if self.link.is_some() {
            self.on_link_down(now);
        }
        tracing::info!(%jid, "focus is connected");
        self.link = Some(jid);
        // RFC 6121 §4.2: to nobody in particular. Prosody's proxy between clients and the focus, which is in the focus's
        // roster, passes requests on only while it knows the focus to be available.
        self.output.push_back(Output::Send(Element::new("presence", ns::CLIENT)));
        for brewery in &mut self.breweries {
            self.output.push_back(Output::Send(brewery.join(now)));
        }
        self.redistribution.start(now);
    }

    /// Nothing of the old stream is of use: rooms have seen the focus leave, and bridges answer into the void.
    fn on_link_down(&mut self, now: Instant) {
        self.metrics.xmpp_disconnects.inc();
        tracing::warn!(conferences = self.conferences.len(), "focus is disconnected, conferences end");
        self.with_conferences(|_| true, now, Conference::on_link_down);
        // What was to be sent on the old stream must not go out on the next; other servers are still there.
        let output = std::mem::take(&mut self.output).into_iter().filter_map(|output| self.route(output));
        self.output = output.filter(|output| !matches!(output, Output::Send(_))).collect();
        self.link = None;
        self.iqs.clear();
        self.breweries.iter_mut().for_each(Brewery::on_link_down);
        self.jibris.clear();
        self.sip_jibris.clear();
        self.jigasis.clear();
        self.health_checks.clear();
        self.selector.clear();
        self.recovery_at = None;
        self.redistribution.stop();
    }

    pub(crate) fn answer(&mut self, stanza: Element) {
        self.output.push_back(Output::Send(stanza));
    }

    /// Everything that is due.
    pub(crate) fn on_time(&mut self, now: Instant) {
        self.authority.expire(now);
        while let Some(purpose) = self.iqs.take_expired(now) {
            self.on_iq_outcome(purpose, IqOutcome::Timeout, now);
        }
        for brewery in &mut self.breweries {
            self.output.extend(brewery.on_timeout(now).map(Output::Send));
        }
        for bridge in self.health_checks.take_due(now) {
            if self.health_checks.is_by_presence() {
                self.on_bridge_unwell(&bridge, now);
                continue;
            }
            let check = Element::new("healthcheck", ns::HEALTHCHECK);
            self.with_context(now, |context| {
                context.request(&bridge, "get", check, Purpose::HealthCheck { bridge: bridge.clone() });
            });
        }
        while let Some((at, room)) = self.timers.first().filter(|(at, _)| *at <= now).cloned() {
            self.timers.remove(&(at, room.clone()));
            self.with_conference(&room, now, Conference::on_timeout);
        }
        for bridge in std::mem::take(&mut self.restart_reports) {
            let endpoints = self.endpoints_on(&bridge);
            if let Some(bridge) = self.selector.get_mut(&bridge) {
                bridge.restart_requested(endpoints, now);
                let name = bridge.jid.resource().unwrap_or_default();
                self.metrics.bridge_restart_requests.with_label_values(&[name]).inc();
            }
        }
        if self.recovery_at.is_some_and(|at| at <= now) {
            self.retry_for_want_of_bridge(now);
        }
        self.recovery_at = self.selector.next_recovery(now);
        self.redistribute(now);
        self.metrics.bridges.set(gauge_value(self.selector.len()));
        self.metrics.conferences.set(gauge_value(self.conferences.len()));
        self.count_services();
    }

    /// Runs something on a conference, then keeps its timer and forgets it when it is over.
    pub(crate) fn with_conference(
        &mut self,
        room: &Jid,
        now: Instant,
        action: impl FnOnce(&mut Conference, &mut Context<'_>),
    ) {
        let Some(mut conference) = self.conferences.remove(room) else { return };
        let before = conference.deadline(&self.settings);
        let participants_before = gauge_value(conference.participant_count());
        let visitors_before = gauge_value(conference.visitor_count());
        let jibris_before = conference.active_jibris();
        self.with_context(now, |context| action(&mut conference, context));
        let participants = if conference.is_stopped() { 0 } else { gauge_value(conference.participant_count()) };
        self.metrics.participants_current.add(participants - participants_before);
        let visitors = if conference.is_stopped() { 0 } else { gauge_value(conference.visitor_count()) };
        self.metrics.visitors_current.add(visitors - visitors_before);
        let gauges = [
            &self.metrics.jibri_recording_active,
            &self.metrics.jibri_live_streaming_active,
            &self.metrics.jibri_sip_active,
        ];
        for ((gauge, before), after) in gauges.into_iter().zip(jibris_before).zip(conference.active_jibris()) {
            gauge.add(gauge_value(after) - gauge_value(before));
        }
        if let Some(at) = before {
            self.timers.remove(&(at, room.clone()));
        }
        if let Some(main) = conference.main_room() {
            self.keep_breakout(main, room, conference.is_stopped(), now);
        }
        if conference.is_stopped() {
            self.authority.on_conference_ended(room);
            self.metrics.conferences_seconds.inc_by(conference.age(now).as_secs_f64());
            if let Some(meeting_id) = conference.meeting_id() {
                self.meetings.remove(meeting_id);
            }
            return;
        }
        if let Some(at) = conference.deadline(&self.settings) {
            self.timers.insert((at, room.clone()));
        }
        self.conferences.insert(room.clone(), conference);
    }

    /// The same with each of those that are affected.
    pub(crate) fn with_conferences(
        &mut self,
        is_affected: impl Fn(&Conference) -> bool,
        now: Instant,
        mut action: impl FnMut(&mut Conference, &mut Context<'_>),
    ) {
        let affected = self.conferences.iter().filter(|(_, conference)| is_affected(conference));
        let rooms: Vec<Jid> = affected.map(|(room, _)| room.clone()).collect();
        for room in rooms {
            self.with_conference(&room, now, &mut action);
        }
    }

    /// A conference in a breakout room began or ended; with the last one its main room ends if nobody is there.
    fn keep_breakout(&mut self, main: &Jid, room: &Jid, is_over: bool, now: Instant) {
        let breakouts = self.breakouts.entry(main.clone()).or_default();
        if is_over {
            breakouts.remove(room);
        } else if !breakouts.contains(room) {
            breakouts.insert(room.clone());
        }
        if breakouts.is_empty() {
            self.breakouts.remove(main);
            self.with_conference(main, now, Conference::on_breakouts_ended);
        }
    }

    pub(crate) fn with_context<T>(&mut self, now: Instant, action: impl FnOnce(&mut Context<'_>) -> T) -> Option<T> {
        let focus_jid = self.link.as_ref()?;
        Some(action(&mut Context {
            now,
            settings: &self.settings,
            metrics: &self.metrics,
            focus_jid,
            node_links: &self.node_links,
            selector: &mut self.selector,
            jibris: &mut self.jibris,
            sip_jibris: &mut self.sip_jibris,
            jigasis: &mut self.jigasis,
            pins: &self.pins,
            restart_reports: &mut self.restart_reports,
            breakouts: &self.breakouts,
            authority: &self.authority,
            iqs: &mut self.iqs,
            caps: &mut self.caps,
            meetings: &mut self.meetings,
            random: &mut self.random,
            output: &mut self.output,
        }))
    }
}

/// Whether the focus can do its job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It can.
    Healthy,
    /// There is no stream to the XMPP server.
    NoStream,
    /// There is no bridge that could take a conference.
    NoBridge,
}

pub(crate) fn gauge_value(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
