//! The bridge without its sockets and threads: conferences, and which datagram is for whom.
//!
//! Here: demultiplexing, timers, the life of conferences and endpoints. Not here: Colibri2 requests (`colibri`), bridge
//! channels over WebSocket (`web_sockets`), what happens inside a conference (`conference`), the socket (`shell`).

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ice::{DatagramKind, StunDemux};
use model::{ConferenceId, FiveTuple, PeerAddress, Ssrc, TransportProtocol};
use net::{ReceivedDatagram, SendQueue};
use rand::Rng;
use rand::distr::{Alphanumeric, SampleString};
use slab::Slab;

use crate::Settings;
use crate::addresses::{AddressNews, AddressOutput, MediaAddresses};
use crate::channel::{ChannelTransport, WebSocketId};
use crate::conference::{Conference, Context, FeedbackSsrcs};
use crate::endpoint::Endpoint;
use crate::load::Load;
use crate::metrics::{DropReason, Metrics};
use crate::remote_owners::RemoteOwners;
use crate::timers::Timers;
use crate::transport::{Event, Received};
use crate::web_sockets::ChannelOutput;

/// Expired conferences and endpoints are looked for this often.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(10);
/// An endpoint that never connected goes after this time, one that fell silent after the other (bridge.md §1.8).
const FIRST_ACTIVITY_TIMEOUT: Duration = Duration::from_secs(120);
const INACTIVITY_TIMEOUT: Duration = Duration::from_secs(60);
/// A conference without endpoints goes after this time.
const EMPTY_CONFERENCE_TIMEOUT: Duration = Duration::from_secs(20);
/// Addresses of one endpoint that are remembered: a client has some interfaces, each behind some NAT bindings. The one
/// that was learned first makes room for one more.
const MAX_REMOTES_PER_ENDPOINT: usize = 64;
/// A timer that is set again is not due before this time: no state, however odd, keeps the bridge at one instant.
const TIMER_STEP: Duration = Duration::from_millis(1);
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
    Addresses,
}

/// All conferences of one bridge.
pub(crate) struct Videobridge {
    pub(crate) settings: Settings,
    pub(crate) addresses: MediaAddresses,
    pub(crate) dtls: Arc<dtls::DtlsContext>,
    pub(crate) metrics: Metrics,
    pub(crate) conferences: Slab<Conference>,
    pub(crate) by_meeting: BTreeMap<ConferenceId, usize>,
    pub(crate) by_channel_name: HashMap<String, usize>,
    by_ufrag: HashMap<String, EndpointKey>,
    by_remote: HashMap<PeerAddress, RemoteOwners>,
    pub(crate) web_sockets: HashMap<WebSocketId, EndpointKey>,
    pub(crate) last_web_socket: u64,
    pub(crate) timers: Timers<TimerKey>,
    pub(crate) out: SendQueue,
    texts: Vec<(WebSocketId, String)>,
    pub(crate) channel_outputs: VecDeque<ChannelOutput>,
    /// Endpoints that may have something to send or to say.
    touched: VecDeque<EndpointKey>,
}

impl Videobridge {
    /// A bridge without conferences, reached at `addresses`.
    ///
    /// # Errors
    /// [`dtls::DtlsError`] when no certificate can be made.
    pub(crate) fn new(
        settings: Settings,
        addresses: MediaAddresses,
        metrics: Metrics,
    ) -> Result<Self, dtls::DtlsError> {
        Ok(Self {
            settings,
            addresses,
            dtls: Arc::new(dtls::DtlsContext::new()?),
            metrics,
            conferences: Slab::new(),
            by_meeting: BTreeMap::new(),
            by_channel_name: HashMap::new(),
            by_ufrag: HashMap::new(),
            by_remote: HashMap::new(),
            web_sockets: HashMap::new(),
            last_web_socket: 0,
            timers: Timers::default(),
            out: SendQueue::default(),
            texts: Vec::new(),
            channel_outputs: VecDeque::new(),
            touched: VecDeque::new(),
        })
    }

    /// A datagram came in on the media port.
    pub(crate) fn handle_datagram(&mut self, datagram: ReceivedDatagram<'_>, now: Instant) {
        self.metrics.packets_received.inc();
        // 1. What is it (RFC 7983)?
        let kind = DatagramKind::of(datagram.data);
        // 2. Whose is it? A STUN request names its endpoint; all else comes from an address that a request validated.
        let owner = |this: &Self| this.by_remote.get(&datagram.path.peer()).and_then(RemoteOwners::first);
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
        let received = endpoint.transport.handle_datagram(now, datagram.path, datagram.data);
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
                self.remember_remote(key, datagram.path.peer());
                self.touch(key);
                self.settle(now);
            }
            Received::Dropped => self.metrics.count(DropReason::Srtp),
        }
    }

    /// The answer to a check belongs to whoever sent the check: of the endpoints that claim its address, one knows the
    /// transaction.
    fn handle_binding_response(&mut self, datagram: ReceivedDatagram<'_>, now: Instant) {
        let is_udp = datagram.path.protocol == TransportProtocol::Udp;
        if is_udp && self.addresses.handle_datagram(now, datagram.path.remote, datagram.data) {
            return self.ask_stun_servers(now);
        }
        let claimants = self.by_remote.get(&datagram.path.peer()).copied().unwrap_or_default();
        for key in claimants.iter() {
            let Some(endpoint) = self.endpoint_mut(key) else { continue };
            let received = endpoint.transport.handle_datagram(now, datagram.path, datagram.data);
            if received == Received::Handled {
                endpoint.last_activity = Some(now);
                self.remember_remote(key, datagram.path.peer());
                self.touch(key);
                return self.settle(now);
            }
        }
        self.metrics.count(DropReason::UnknownPeer);
    }

    /// The shell found out about addresses. Endpoints that are there keep theirs.
    pub(crate) fn handle_address_news(&mut self, news: AddressNews, now: Instant) {
        self.addresses.handle_news(now, news);
        self.ask_stun_servers(now);
    }

    /// Sends what is due to STUN servers, from the media port.
    fn ask_stun_servers(&mut self, now: Instant) {
        loop {
            match self.addresses.poll_output(now, || rand::rng().random()) {
                AddressOutput::Transmit { to, payload } => {
                    let any = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
                    self.out.push(FiveTuple::udp(SocketAddr::new(any, 0), to), &payload);
                }
                AddressOutput::Timeout(Some(at)) => return self.timers.set(TimerKey::Addresses, at),
                AddressOutput::Timeout(None) => return self.timers.remove(TimerKey::Addresses),
            }
        }
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
                        self.touch(key);
                        self.settle(now);
                    }
                }
                TimerKey::Conference(key) => {
                    if let Some((conference, mut context)) = self.conference(key, now) {
                        conference.handle_timeout(&mut context);
                    }
                    self.settle(now);
                    self.schedule_conference(key);
                }
                TimerKey::Housekeeping => self.expire_inactive(now),
                TimerKey::Addresses => self.ask_stun_servers(now),
            }
        }
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

    /// Makes a conference.
    pub(crate) fn create_conference(&mut self, id: ConferenceId, now: Instant) -> usize {
        let mut rng = rand::rng();
        // Nine or ten digits: the stock client matches group members by substring (client.md §7.3).
        let mut ssrc = || Ssrc(rng.random_range(1_000_000_000..=u32::MAX));
        let feedback_ssrcs = FeedbackSsrcs { audio: ssrc(), video: ssrc() };
        let channel_name = random_secret();
        let conference = Conference::new(id.clone(), channel_name.clone(), feedback_ssrcs, now);
        let key = self.conferences.insert(conference);
        self.by_channel_name.insert(channel_name, key);
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
        let place = state.endpoints.vacant_entry();
        let key = EndpointKey { conference, endpoint: place.key() };
        endpoint.key = key.endpoint;
        place.insert(endpoint);
        state.by_id.insert(id, key.endpoint);
        self.by_ufrag.insert(ufrag, key);
        self.metrics.endpoints.inc();
        self.touch(key);
        self.settle(now);
        Some(key)
    }

    /// An endpoint restarted ICE: requests name it by its new ufrag too, and by those of generations that are gone no
    /// longer.
    pub(crate) fn add_ufrag(&mut self, key: EndpointKey, ufrag: String) {
        let Some(endpoint) = self.endpoint_mut(key) else { return };
        let current: Vec<String> = endpoint.transport.local_ufrags().map(str::to_owned).collect();
        let gone = endpoint.ufrags.extract_if(.., |old| !current.contains(old)).collect::<Vec<_>>();
        if !endpoint.ufrags.contains(&ufrag) {
            endpoint.ufrags.push(ufrag.clone());
        }
        for old in gone {
            self.by_ufrag.remove(&old);
        }
        self.by_ufrag.insert(ufrag, key);
    }

    /// Takes an endpoint out of its conference. The others are told when things are settled.
    pub(crate) fn remove_endpoint(&mut self, key: EndpointKey, now: Instant) {
        let Some((conference, mut context)) = self.conference(key.conference, now) else { return };
        let Some(endpoint) = conference.remove_endpoint(key.endpoint, &mut context) else { return };
        self.forget(key, &endpoint);
        self.schedule_conference(key.conference);
    }

    /// Ends a conference.
    pub(crate) fn remove_conference(&mut self, key: usize) {
        let Some(conference) = self.conferences.try_remove(key) else { return };
        self.by_meeting.remove(&conference.id);
        self.by_channel_name.remove(&conference.channel_name);
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
            self.forget_remote(key, *remote);
        }
        if let Some(id) = endpoint.channel.web_socket() {
            self.close_web_socket(id, 1001, "endpoint closed");
        }
        self.timers.remove(TimerKey::Endpoint(key));
        self.metrics.endpoints.dec();
    }

    /// Notes that an endpoint may have something to send or to say, for [`settle`](Self::settle).
    pub(crate) fn touch(&mut self, key: EndpointKey) {
        self.touched.push_back(key);
    }

    /// Drives all endpoints that were touched, and those that this touches, until all are quiet.
    pub(crate) fn settle(&mut self, now: Instant) {
        while let Some(key) = self.touched.pop_front() {
            self.drive(key, now);
        }
        let texts = self.texts.drain(..).map(|(id, text)| ChannelOutput::Text { id, text });
        self.channel_outputs.extend(texts);
    }

    /// Sends what an endpoint's transport and feedback have to send, takes their events, and sets the next timer.
    fn drive(&mut self, key: EndpointKey, now: Instant) {
        let Some((conference, mut context)) = self.conference(key.conference, now) else { return };
        let sender_ssrc = conference.feedback_ssrcs.video;
        loop {
            let Some(endpoint) = conference.endpoints.get_mut(key.endpoint) else { return };
            match endpoint.transport.poll_event(now, context.out) {
                Some(Event::IceConnected { path }) => {
                    tracing::debug!(endpoint = %endpoint.id, remote = %path.peer(), "ICE connected");
                }
                Some(Event::DtlsConnected { profile }) => {
                    tracing::info!(endpoint = %endpoint.id, ?profile, "media connected");
                }
                Some(Event::ChannelOpen) => {
                    endpoint.channel.open_data_channel();
                    conference.greet(key.endpoint, &mut context);
                }
                Some(Event::ChannelText(text)) => conference.handle_channel_text(key.endpoint, &text, &mut context),
                Some(Event::ChannelClosed) => {
                    conference.handle_channel_closed(key.endpoint, ChannelTransport::DataChannel, &mut context);
                }
                Some(Event::Failed(reason)) => {
                    tracing::warn!(endpoint = %endpoint.id, %reason, "media failed (is the media port open?)");
                    context.metrics.endpoints_failed.inc();
                    return self.remove_endpoint(key, now);
                }
                None => {
                    endpoint.send_feedback(sender_ssrc, context.now, context.out);
                    break;
                }
            }
        }
        self.schedule(key, now);
        self.schedule_conference(key.conference);
    }

    fn schedule(&mut self, key: EndpointKey, now: Instant) {
        if let Some(endpoint) = self.endpoint_mut(key) {
            let at = endpoint.next_timeout().max(now + TIMER_STEP);
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
    fn remember_remote(&mut self, key: EndpointKey, remote: PeerAddress) {
        let Some(endpoint) = self.endpoint_mut(key) else { return };
        let is_validated = endpoint.transport.is_validated(remote);
        let mut forgotten = None;
        if !endpoint.remotes.contains(&remote) {
            if !endpoint.transport.is_known(remote) {
                return;
            }
            if endpoint.remotes.len() >= MAX_REMOTES_PER_ENDPOINT {
                forgotten = Some(endpoint.remotes.remove(0));
            }
            endpoint.remotes.push(remote);
        }
        if let Some(forgotten) = forgotten {
            self.forget_remote(key, forgotten);
        }
        self.by_remote.entry(remote).or_default().insert(key, is_validated);
    }

    fn forget_remote(&mut self, key: EndpointKey, remote: PeerAddress) {
        if let Some(owners) = self.by_remote.get_mut(&remote) {
            owners.remove(key);
            if owners.first().is_none() {
                self.by_remote.remove(&remote);
            }
        }
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
        self.settle(now);
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
        let Self { conferences, out, metrics, texts, touched, .. } = self;
        let conference = conferences.get_mut(key)?;
        Some((conference, Context { now, conference: key, out, metrics, texts, touched }))
    }
}

pub(crate) fn random_secret() -> String {
    Alphanumeric.sample_string(&mut rand::rng(), SECRET_LEN)
}
