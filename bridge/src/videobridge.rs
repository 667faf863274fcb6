//! The bridge without its sockets and threads: conferences, and which datagram is for whom.
//!
//! Here: demultiplexing, Colibri2 requests, timers, bridge channels over WebSocket. Not here: what happens inside a
//! conference (`conference`), the socket (`shell`).

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ice::{DatagramKind, StunDemux};
use model::{ConferenceId, Ssrc};
use net::{ReceivedDatagram, SendQueue};
use rand::Rng;
use rand::distr::{Alphanumeric, SampleString};
use slab::Slab;

use crate::Settings;
use crate::channel::ChannelTransport;
pub(crate) use crate::channel::WebSocketId;
use crate::conference::{Conference, Context, FeedbackSsrcs};
use crate::endpoint::Endpoint;
use crate::load::Load;
use crate::metrics::{DropReason, Metrics};
use crate::timers::Timers;
use crate::transport::{Event, Received};

/// Expired conferences and endpoints are looked for this often.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(10);
/// An endpoint that never connected goes after this time, one that fell silent after the other (bridge.md §1.8).
const FIRST_ACTIVITY_TIMEOUT: Duration = Duration::from_secs(120);
const INACTIVITY_TIMEOUT: Duration = Duration::from_secs(60);
/// A conference without endpoints goes after this time.
const EMPTY_CONFERENCE_TIMEOUT: Duration = Duration::from_secs(20);
/// Addresses of one endpoint that are remembered: a client has some interfaces, each behind some NAT bindings. More
/// are only looked up by ufrag.
const MAX_REMOTES_PER_ENDPOINT: usize = 64;
/// Endpoints that may claim one address at once: the right one, one that was there before it, and forgers.
const MAX_CLAIMS_PER_ADDRESS: usize = 4;
/// Length of the secret in WebSocket URLs, and of a conference's name there.
const SECRET_LEN: usize = 24;

/// Names an endpoint in the bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct EndpointKey {
    pub(crate) conference: usize,
    pub(crate) endpoint: usize,
}

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum TimerKey {
    Endpoint(EndpointKey),
    Conference(usize),
    Housekeeping,
}

/// Which bridge channel a WebSocket is for, as its URL says.
#[derive(Clone, Debug)]
pub(crate) struct ChannelAddress {
    /// The conference's name in URLs.
    pub(crate) conference: String,
    /// Endpoint id.
    pub(crate) endpoint: String,
    /// Secret.
    pub(crate) pwd: String,
}

/// A WebSocket that is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChannelRefusal {
    /// Unknown conference or endpoint, or a wrong secret; which, is nobody's business.
    Forbidden,
}

/// What goes to WebSockets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ChannelOutput {
    /// Send this text.
    Text {
        /// To this one.
        id: WebSocketId,
        /// The message.
        text: String,
    },
    /// Close it.
    Close {
        /// This one.
        id: WebSocketId,
        /// Status code (RFC 6455 §7.4).
        code: u16,
        /// Words beside it.
        reason: &'static str,
    },
}

/// All conferences of one bridge.
pub(crate) struct Videobridge {
    pub(crate) settings: Settings,
    pub(crate) local_addresses: Vec<ice::LocalAddress>,
    pub(crate) dtls: Arc<dtls::DtlsContext>,
    pub(crate) metrics: Metrics,
    pub(crate) conferences: Slab<Conference>,
    pub(crate) by_meeting: BTreeMap<ConferenceId, usize>,
    by_ufrag: HashMap<String, EndpointKey>,
    by_remote: HashMap<SocketAddr, RemoteOwners>,
    web_sockets: HashMap<WebSocketId, EndpointKey>,
    last_web_socket: u64,
    pub(crate) timers: Timers<TimerKey>,
    pub(crate) out: SendQueue,
    texts: Vec<(WebSocketId, String)>,
    channel_outputs: VecDeque<ChannelOutput>,
}

impl Videobridge {
    /// A bridge without conferences. `host_addresses` are what it is reached at, unless the settings name others.
    ///
    /// # Errors
    /// [`dtls::DtlsError`] when no certificate can be made.
    pub(crate) fn new(
        settings: Settings,
        host_addresses: &[IpAddr],
        metrics: Metrics,
    ) -> Result<Self, dtls::DtlsError> {
        let port = settings.media_address.port();
        let local_addresses = crate::addresses::local_addresses(host_addresses, &settings.advertised_addresses, port);
        Ok(Self {
            settings,
            local_addresses,
            dtls: Arc::new(dtls::DtlsContext::new()?),
            metrics,
            conferences: Slab::new(),
            by_meeting: BTreeMap::new(),
            by_ufrag: HashMap::new(),
            by_remote: HashMap::new(),
            web_sockets: HashMap::new(),
            last_web_socket: 0,
            timers: Timers::default(),
            out: SendQueue::default(),
            texts: Vec::new(),
            channel_outputs: VecDeque::new(),
        })
    }

    /// A datagram came in on the media port.
    pub(crate) fn handle_datagram(&mut self, datagram: ReceivedDatagram<'_>, now: Instant) {
        self.metrics.packets_received.inc();
        // 1. What is it (RFC 7983)?
        let kind = DatagramKind::of(datagram.data);
        // 2. Whose is it? A STUN request names its endpoint; all else comes from an address that a request validated.
        let owner = |this: &Self| this.by_remote.get(&datagram.remote).and_then(RemoteOwners::first);
        let key = match kind {
            DatagramKind::Unknown => return self.metrics.count(DropReason::UnknownProtocol),
            DatagramKind::Stun => match StunDemux::parse(datagram.data) {
                Some(StunDemux::BindingRequest { local_ufrag }) => self.by_ufrag.get(local_ufrag).copied(),
                Some(StunDemux::BindingResponse) => return self.handle_binding_response(datagram, now),
                None => return self.metrics.count(DropReason::UnknownProtocol),
            },
            DatagramKind::Dtls | DatagramKind::Media => owner(self),
        };
        let Some(key) = key else { return self.metrics.count(DropReason::UnknownPeer) };
        let Some((conference, mut context)) = self.conference(key.conference, now) else { return };
        let Some(endpoint) = conference.endpoints.get_mut(key.endpoint) else { return };
        // 3. Its transport makes plain packets of it.
        let received = endpoint.transport.handle_datagram(now, datagram.local, datagram.remote, datagram.data);
        match received {
            Received::Rtp { len, seq } => {
                endpoint.last_activity = Some(now);
                if let Some(packet) = datagram.data.get_mut(..len) {
                    conference.handle_rtp(key.endpoint, packet, seq, &mut context);
                }
                self.reschedule_earlier(key);
            }
            Received::Rtcp { len } => {
                endpoint.last_activity = Some(now);
                if let Some(compound) = datagram.data.get(..len) {
                    conference.handle_rtcp(key.endpoint, compound, &mut context);
                }
                self.reschedule_earlier(key);
            }
            Received::Handled => {
                endpoint.last_activity = Some(now);
                self.remember_remote(key, datagram.remote);
                self.drive(key, now);
            }
            Received::Dropped => self.metrics.count(DropReason::Srtp),
        }
        self.collect_texts();
    }

    /// The answer to a check belongs to whoever sent the check: of the endpoints that claim its address, one knows the
    /// transaction.
    fn handle_binding_response(&mut self, datagram: ReceivedDatagram<'_>, now: Instant) {
        let claimants = self.by_remote.get(&datagram.remote).copied().unwrap_or_default();
        for key in claimants.iter() {
            let Some(endpoint) = self.endpoint_mut(key) else { continue };
            let received = endpoint.transport.handle_datagram(now, datagram.local, datagram.remote, datagram.data);
            if received == Received::Handled {
                endpoint.last_activity = Some(now);
                self.remember_remote(key, datagram.remote);
                self.drive(key, now);
                return self.collect_texts();
            }
        }
        self.metrics.count(DropReason::UnknownPeer);
    }

    /// Does what is due at `now`.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if !self.timers.contains(TimerKey::Housekeeping) && !self.conferences.is_empty() {
            self.timers.set(TimerKey::Housekeeping, now + HOUSEKEEPING_INTERVAL);
        }
        while let Some(due) = self.timers.pop_due(now) {
            match due {
                TimerKey::Endpoint(key) => {
                    if let Some(endpoint) = self.endpoint_mut(key) {
                        endpoint.transport.handle_timeout(now);
                        self.drive(key, now);
                    }
                }
                TimerKey::Conference(key) => {
                    if let Some((conference, mut context)) = self.conference(key, now) {
                        conference.handle_timeout(&mut context);
                    }
                    self.drive_conference(key, now);
                }
                TimerKey::Housekeeping => self.expire_inactive(now),
            }
        }
        self.collect_texts();
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do; `None` while there is no conference.
    #[must_use]
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// The datagrams to send; to be emptied by sending.
    pub(crate) fn transmits(&mut self) -> &mut SendQueue {
        self.metrics.packets_sent.inc_by(self.out.len() as u64);
        &mut self.out
    }

    pub(crate) fn count_refused_sends(&self, refused: usize) {
        self.metrics.sends_refused.inc_by(refused as u64);
    }

    /// The next thing for a WebSocket.
    pub(crate) fn poll_channel_output(&mut self) -> Option<ChannelOutput> {
        self.channel_outputs.pop_front()
    }

    /// How busy the bridge is.
    #[must_use]
    pub(crate) fn load(&self) -> Load {
        Load {
            conferences: self.conferences.len(),
            endpoints: self.conferences.iter().map(|(_, conference)| conference.endpoints.len()).sum(),
            packets: self.metrics.packets_received.get() + self.metrics.packets_sent.get(),
        }
    }

    /// Lets a client's WebSocket in; one that the endpoint had before is closed.
    ///
    /// # Errors
    /// [`ChannelRefusal`] when the address does not name an endpoint and its secret.
    pub(crate) fn open_web_socket(
        &mut self,
        address: &ChannelAddress,
        now: Instant,
    ) -> Result<WebSocketId, ChannelRefusal> {
        let named = self.conferences.iter().find(|(_, conference)| conference.channel_name == address.conference);
        let found = named.and_then(|(conference, state)| {
            let (endpoint, state) =
                state.endpoints.iter().find(|(_, endpoint)| endpoint.id.as_str() == address.endpoint)?;
            let is_right = constant_time_eq(state.web_socket_pwd.as_bytes(), address.pwd.as_bytes());
            is_right.then_some((EndpointKey { conference, endpoint }, state.channel))
        });
        let Some((key, previous)) = found else { return Err(ChannelRefusal::Forbidden) };
        if let ChannelTransport::WebSocket(id) = previous {
            self.web_sockets.remove(&id);
            self.channel_outputs.push_back(ChannelOutput::Close { id, code: 1000, reason: "replaced" });
        }
        self.last_web_socket += 1;
        let id = WebSocketId(self.last_web_socket);
        self.web_sockets.insert(id, key);
        if let Some((conference, mut context)) = self.conference(key.conference, now) {
            conference.handle_channel_open(key.endpoint, ChannelTransport::WebSocket(id), &mut context);
        }
        self.collect_texts();
        Ok(id)
    }

    /// A text from a client's WebSocket.
    pub(crate) fn handle_web_socket_text(&mut self, id: WebSocketId, text: &str, now: Instant) {
        let Some(&key) = self.web_sockets.get(&id) else { return };
        if let Some((conference, mut context)) = self.conference(key.conference, now) {
            conference.handle_channel_text(key.endpoint, text, &mut context);
        }
        self.drive_conference(key.conference, now);
        self.collect_texts();
    }

    /// A client's WebSocket is gone.
    pub(crate) fn handle_web_socket_closed(&mut self, id: WebSocketId) {
        let Some(key) = self.web_sockets.remove(&id) else { return };
        if let Some(endpoint) = self.endpoint_mut(key)
            && endpoint.channel == ChannelTransport::WebSocket(id)
        {
            endpoint.channel = ChannelTransport::None;
        }
    }

    /// Makes a conference.
    pub(crate) fn create_conference(&mut self, id: ConferenceId, now: Instant) -> usize {
        let mut rng = rand::rng();
        // Nine or ten digits: the stock client matches group members by substring (client.md §7.3).
        let mut ssrc = || Ssrc(rng.random_range(1_000_000_000..=u32::MAX));
        let feedback_ssrcs = FeedbackSsrcs { audio: ssrc(), video: ssrc() };
        let conference = Conference::new(id.clone(), random_secret(), feedback_ssrcs, now);
        let key = self.conferences.insert(conference);
        self.by_meeting.insert(id, key);
        self.metrics.conferences.set(self.conferences.len() as i64);
        self.timers.set(TimerKey::Housekeeping, now + HOUSEKEEPING_INTERVAL);
        key
    }

    /// Puts a new endpoint into a conference.
    pub(crate) fn insert_endpoint(
        &mut self,
        conference: usize,
        mut endpoint: Endpoint,
        now: Instant,
    ) -> Option<EndpointKey> {
        let state = self.conferences.get_mut(conference)?;
        let ufrag = endpoint.transport.local_ufrag().to_owned();
        endpoint.ufrags.push(ufrag.clone());
        let id = endpoint.id.clone();
        let key = EndpointKey { conference, endpoint: state.endpoints.insert(endpoint) };
        state.by_id.insert(id, key.endpoint);
        self.by_ufrag.insert(ufrag, key);
        self.metrics.endpoints.inc();
        self.drive(key, now);
        Some(key)
    }

    /// An endpoint restarted ICE: requests name it by its new ufrag too.
    pub(crate) fn add_ufrag(&mut self, key: EndpointKey, ufrag: String) {
        if let Some(endpoint) = self.endpoint_mut(key) {
            endpoint.ufrags.push(ufrag.clone());
            self.by_ufrag.insert(ufrag, key);
        }
    }

    /// Takes an endpoint out of its conference.
    pub(crate) fn remove_endpoint(&mut self, key: EndpointKey, now: Instant) {
        let Some((conference, mut context)) = self.conference(key.conference, now) else { return };
        let Some(endpoint) = conference.remove_endpoint(key.endpoint, &mut context) else { return };
        self.forget(key, &endpoint);
        self.drive_conference(key.conference, now);
        self.collect_texts();
    }

    /// Ends a conference.
    pub(crate) fn remove_conference(&mut self, key: usize) {
        let Some(conference) = self.conferences.try_remove(key) else { return };
        self.by_meeting.remove(&conference.id);
        for (endpoint_key, endpoint) in conference.endpoints {
            self.forget(EndpointKey { conference: key, endpoint: endpoint_key }, &endpoint);
        }
        self.timers.remove(TimerKey::Conference(key));
        self.metrics.conferences.set(self.conferences.len() as i64);
    }

    /// Forgets every way that leads to an endpoint.
    fn forget(&mut self, key: EndpointKey, endpoint: &Endpoint) {
        for ufrag in &endpoint.ufrags {
            self.by_ufrag.remove(ufrag);
        }
        for remote in &endpoint.remotes {
            if let Some(owners) = self.by_remote.get_mut(remote) {
                owners.remove(key);
                if owners.first().is_none() {
                    self.by_remote.remove(remote);
                }
            }
        }
        if let ChannelTransport::WebSocket(id) = endpoint.channel {
            self.web_sockets.remove(&id);
            self.channel_outputs.push_back(ChannelOutput::Close { id, code: 1001, reason: "endpoint closed" });
        }
        self.timers.remove(TimerKey::Endpoint(key));
        self.metrics.endpoints.dec();
    }

    /// Sends what an endpoint's transport and feedback have to send, takes their events, and sets the next timer.
    pub(crate) fn drive(&mut self, key: EndpointKey, now: Instant) {
        let mut has_failed = None;
        let Some((conference, mut context)) = self.conference(key.conference, now) else { return };
        let sender_ssrc = conference.feedback_ssrcs.video;
        loop {
            let Some(endpoint) = conference.endpoints.get_mut(key.endpoint) else { return };
            match endpoint.transport.poll_event(now, context.out) {
                Some(Event::IceConnected { remote }) => {
                    tracing::debug!(endpoint = %endpoint.id, %remote, "ICE connected");
                }
                Some(Event::DtlsConnected { profile }) => {
                    tracing::info!(endpoint = %endpoint.id, ?profile, "media connected");
                }
                Some(Event::ChannelOpen) => {
                    conference.handle_channel_open(key.endpoint, ChannelTransport::DataChannel, &mut context);
                }
                Some(Event::ChannelText(text)) => conference.handle_channel_text(key.endpoint, &text, &mut context),
                Some(Event::ChannelClosed) => {
                    if endpoint.channel == ChannelTransport::DataChannel {
                        endpoint.channel = ChannelTransport::None;
                    }
                }
                Some(Event::Failed(reason)) => {
                    tracing::warn!(endpoint = %endpoint.id, %reason, "media failed (is the media port open?)");
                    context.metrics.endpoints_failed.inc();
                    has_failed = Some(key);
                    break;
                }
                None => {
                    endpoint.send_feedback(sender_ssrc, context.now, context.out);
                    break;
                }
            }
        }
        if let Some(key) = has_failed {
            self.remove_endpoint(key, now);
            return;
        }
        self.schedule(key);
        self.drive_others(key, now);
    }

    /// Messages on data channels of other endpoints, which what happened may have caused, go out at once.
    fn drive_others(&mut self, key: EndpointKey, now: Instant) {
        let Some(state) = self.conferences.get(key.conference) else { return };
        let others = state.endpoints.iter().filter(|(other, _)| *other != key.endpoint);
        let touched: Vec<usize> =
            others.filter(|(_, endpoint)| endpoint.transport.has_output()).map(|(other, _)| other).collect();
        for endpoint in touched {
            self.drive(EndpointKey { conference: key.conference, endpoint }, now);
        }
        self.schedule_conference(key.conference);
    }

    /// As [`drive`](Self::drive), for all endpoints of a conference that have something to send.
    fn drive_conference(&mut self, conference: usize, now: Instant) {
        let Some(state) = self.conferences.get(conference) else { return };
        let touched = state.endpoints.iter().filter(|(_, endpoint)| endpoint.transport.has_output());
        let touched: Vec<usize> = touched.map(|(key, _)| key).collect();
        for endpoint in touched {
            self.drive(EndpointKey { conference, endpoint }, now);
        }
        self.schedule_conference(conference);
    }

    fn schedule(&mut self, key: EndpointKey) {
        if let Some(endpoint) = self.endpoint_mut(key) {
            let at = endpoint.next_timeout();
            self.timers.set(TimerKey::Endpoint(key), at);
        }
    }

    /// After a packet of media: what is missing may be due before anything that is scheduled.
    fn reschedule_earlier(&mut self, key: EndpointKey) {
        if let Some(endpoint) = self.endpoint_mut(key) {
            let at = endpoint.next_feedback();
            self.timers.set_earlier(TimerKey::Endpoint(key), at);
        }
        self.schedule_conference(key.conference);
    }

    fn schedule_conference(&mut self, key: usize) {
        let timeout = self.conferences.get(key).and_then(|conference| conference.speakers.poll_timeout());
        match timeout {
            Some(at) => self.timers.set(TimerKey::Conference(key), at),
            None => self.timers.remove(TimerKey::Conference(key)),
        }
    }

    /// After STUN from `remote` was taken by an endpoint: what comes from there may be its.
    fn remember_remote(&mut self, key: EndpointKey, remote: SocketAddr) {
        let Some(endpoint) = self.endpoint_mut(key) else { return };
        let is_validated = endpoint.transport.is_validated(remote);
        if !endpoint.remotes.contains(&remote) {
            if !endpoint.transport.is_known(remote) || endpoint.remotes.len() >= MAX_REMOTES_PER_ENDPOINT {
                return;
            }
            endpoint.remotes.push(remote);
        }
        self.by_remote.entry(remote).or_default().insert(key, is_validated);
    }

    fn expire_inactive(&mut self, now: Instant) {
        let since = |at: Instant| now.saturating_duration_since(at);
        let mut endpoints = Vec::new();
        let mut conferences = Vec::new();
        for (conference, state) in &self.conferences {
            let inactive = state.endpoints.iter().filter(|(_, endpoint)| match endpoint.last_activity {
                Some(at) => since(at) > INACTIVITY_TIMEOUT,
                None => since(endpoint.created_at) > FIRST_ACTIVITY_TIMEOUT,
            });
            endpoints.extend(inactive.map(|(endpoint, _)| EndpointKey { conference, endpoint }));
            if state.endpoints.is_empty() && since(state.created_at) > EMPTY_CONFERENCE_TIMEOUT {
                conferences.push(conference);
            }
        }
        for key in endpoints {
            if let Some(endpoint) = self.endpoint_mut(key) {
                tracing::info!(endpoint = %endpoint.id, "endpoint expired: nothing came from it");
            }
            self.remove_endpoint(key, now);
        }
        for key in conferences {
            self.remove_conference(key);
        }
        if !self.conferences.is_empty() {
            self.timers.set(TimerKey::Housekeeping, now + HOUSEKEEPING_INTERVAL);
        }
    }

    pub(crate) fn endpoint_mut(&mut self, key: EndpointKey) -> Option<&mut Endpoint> {
        self.conferences.get_mut(key.conference)?.endpoints.get_mut(key.endpoint)
    }

    /// A conference and what it needs to act.
    pub(crate) fn conference(&mut self, key: usize, now: Instant) -> Option<(&mut Conference, Context<'_>)> {
        let conference = self.conferences.get_mut(key)?;
        let context = Context { now, out: &mut self.out, metrics: &self.metrics, texts: &mut self.texts };
        Some((conference, context))
    }

    fn collect_texts(&mut self) {
        let texts = self.texts.drain(..).map(|(id, text)| ChannelOutput::Text { id, text });
        self.channel_outputs.extend(texts);
    }
}

/// The endpoints that claim an address, the one whose media is taken from there first. Whoever knows its own password
/// can claim any address, by a forged source; only an answered check makes the claim good.
#[derive(Clone, Copy, Debug, Default)]
struct RemoteOwners {
    keys: [Option<EndpointKey>; MAX_CLAIMS_PER_ADDRESS],
}

impl RemoteOwners {
    fn first(&self) -> Option<EndpointKey> {
        self.iter().next()
    }

    fn iter(&self) -> impl Iterator<Item = EndpointKey> {
        self.keys.into_iter().flatten()
    }

    /// Adds a claim: in front of all others once it is validated, else behind them. With all places taken the last one
    /// gives way, so that a claimant is there at least from its request to the answer that follows.
    fn insert(&mut self, key: EndpointKey, is_validated: bool) {
        if self.first() == Some(key) || !is_validated && self.keys.contains(&Some(key)) {
            return;
        }
        if is_validated {
            self.remove(key);
            self.keys.rotate_right(1);
            if let Some(first) = self.keys.first_mut() {
                *first = Some(key);
            }
        } else {
            let free = self.keys.iter().position(Option::is_none).unwrap_or(MAX_CLAIMS_PER_ADDRESS - 1);
            if let Some(place) = self.keys.get_mut(free) {
                *place = Some(key);
            }
        }
    }

    fn remove(&mut self, key: EndpointKey) {
        for place in self.keys.iter_mut().filter(|place| **place == Some(key)) {
            *place = None;
        }
        // Claims stay in order, without holes: a rotation then pushes out the last one only when all are taken.
        self.keys.sort_by_key(Option::is_none);
    }
}

pub(crate) fn random_secret() -> String {
    Alphanumeric.sample_string(&mut rand::rng(), SECRET_LEN)
}

/// Compares without telling by its time where the difference is.
fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(endpoint: usize) -> EndpointKey {
        EndpointKey { conference: 0, endpoint }
    }

    #[test]
    fn a_validated_claim_to_an_address_beats_a_forged_one() {
        let mut owners = RemoteOwners::default();
        owners.insert(key(1), false);
        owners.insert(key(2), false);
        assert_eq!(owners.first(), Some(key(1)));
        owners.insert(key(2), true);
        owners.insert(key(3), false);
        assert_eq!(owners.iter().collect::<Vec<_>>(), [key(2), key(1), key(3)]);
        owners.remove(key(2));
        assert_eq!(owners.first(), Some(key(1)));
    }

    #[test]
    fn forged_claims_cannot_keep_the_right_one_out() {
        let mut owners = RemoteOwners::default();
        (0..10).for_each(|forger| owners.insert(key(forger), false));
        assert_eq!(owners.iter().count(), MAX_CLAIMS_PER_ADDRESS);
        owners.insert(key(77), false);
        assert!(owners.iter().any(|claimant| claimant == key(77)), "the answer to its check finds it");
        owners.insert(key(77), true);
        assert_eq!((owners.first(), owners.iter().count()), (Some(key(77)), MAX_CLAIMS_PER_ADDRESS));
    }

    #[test]
    fn secrets_are_equal_only_byte_by_byte() {
        assert!(constant_time_eq(b"abc", b"abc"));
        assert!(!constant_time_eq(b"abc", b"abd"));
        assert!(!constant_time_eq(b"abc", b"abcd"));
    }
}
