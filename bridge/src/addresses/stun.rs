//! Learning from STUN servers how a NAT shows the media port: whom to ask, when, and what the answers change.
//!
//! Here: the rounds. Not here: one request with its retransmissions ([`ice::StunAddressQuery`]); the socket, which has to
//! be the media socket, and the names of servers, which the shell resolves.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::{Duration, Instant};

use ice::{QueryAnswer, QueryOutput, StunAddressQuery};

use super::LearnedAddress;

/// A STUN server as an operator names it: `HOST[:PORT]`, port 3478 if none is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StunServer {
    host: String,
    port: u16,
}

/// A text that is no STUN server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not HOST[:PORT], such as stun.example.org or stun.example.org:3478")]
pub struct InvalidStunServer;

impl StunServer {
    /// Name or address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// UDP port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for StunServer {
    type Err = InvalidStunServer;

    fn from_str(text: &str) -> Result<Self, InvalidStunServer> {
        let text = text.strip_prefix("stun:").unwrap_or(text);
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self { host: address.ip().to_string(), port: address.port() });
        }
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        if bare.parse::<std::net::IpAddr>().is_ok() {
            return Ok(Self { host: bare.to_owned(), port: DEFAULT_PORT });
        }
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| InvalidStunServer)?),
            None => (text, DEFAULT_PORT),
        };
        let is_name = host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
        let is_server = is_name && (1..=253).contains(&host.len()) && port != 0;
        if is_server { Ok(Self { host: host.to_owned(), port }) } else { Err(InvalidStunServer) }
    }
}

impl fmt::Display for StunServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LearnerOutput {
    /// Send this from the media socket.
    Transmit { to: SocketAddr, payload: [u8; 20] },
    /// All that `source` has told is this, instead of what it told before.
    Learned { source: String, learned: Vec<LearnedAddress> },
    /// Nothing before this instant, or before new input; `None`: nothing at all.
    Timeout(Option<Instant>),
}

/// Asks each server over each family, again and again.
#[derive(Debug, Default)]
pub(crate) struct StunLearner {
    targets: Vec<Target>,
    /// Names of servers that have told something new.
    changed: Vec<String>,
}

/// One address of a server.
#[derive(Debug)]
struct Target {
    source: String,
    address: SocketAddr,
    round: Round,
    seen: Option<SocketAddr>,
    is_silent: bool,
}

#[derive(Debug)]
enum Round {
    Resting { until: Instant },
    Asking(StunAddressQuery),
}

impl StunLearner {
    /// Takes the addresses of a server, of which the first of each family is asked. Those that it has no more are asked
    /// no more. Without any, one warn line says so.
    pub(crate) fn set_addresses(&mut self, now: Instant, server: &StunServer, addresses: &[SocketAddr]) {
        let source = server.to_string();
        let first = |is_ipv4: bool| addresses.iter().copied().find(|address| address.is_ipv4() == is_ipv4);
        let wanted: Vec<SocketAddr> = [first(true), first(false)].into_iter().flatten().collect();
        if wanted.is_empty() {
            tracing::warn!(server = %source, "no address of the STUN server is known (is its name right?)");
        }
        let before = self.targets.len();
        self.targets.retain(|target| target.source != source || wanted.contains(&target.address));
        if self.targets.len() != before {
            self.changed.push(source.clone());
        }
        for address in wanted {
            let is_known = |target: &Target| target.source == source && target.address == address;
            if !self.targets.iter().any(is_known) && self.targets.len() < MAX_TARGETS {
                let round = Round::Resting { until: now };
                self.targets.push(Target { source: source.clone(), address, round, seen: None, is_silent: false });
            }
        }
    }

    /// Looks at a Binding response that came to the media socket. Answers whether it was for one of the queries.
    pub(crate) fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) -> bool {
        for target in &mut self.targets {
            let Round::Asking(query) = &target.round else { continue };
            let seen = match query.handle_datagram(from, datagram) {
                QueryAnswer::NotMine => continue,
                QueryAnswer::Mapped(seen) => Some(seen),
                QueryAnswer::Refused => None,
            };
            match seen {
                Some(seen) => target.on_seen(now, seen, &mut self.changed),
                None => target.on_failed(now, "STUN server refuses to say how it sees the media port"),
            }
            return true;
        }
        false
    }

    /// The next thing to do at `now`. Call until it is a timeout. `random` is a cryptographic generator.
    pub(crate) fn poll_output(
        &mut self,
        now: Instant,
        mut random: impl FnMut() -> [u8; StunAddressQuery::RANDOM_LEN],
    ) -> LearnerOutput {
        if let Some(source) = self.changed.pop() {
            let of_source = self.targets.iter().filter(|target| target.source == source);
            let learned = of_source.filter_map(|target| target.seen).map(learned).collect();
            return LearnerOutput::Learned { source, learned };
        }
        let mut next: Option<Instant> = None;
        for target in &mut self.targets {
            let until = match target.poll(now, &mut random) {
                Ok(until) => until,
                Err(payload) => return LearnerOutput::Transmit { to: target.address, payload },
            };
            next = Some(next.map_or(until, |next| next.min(until)));
        }
        LearnerOutput::Timeout(next)
    }
}

impl Target {
    /// When there is something to do; `Err` with a request that is due now.
    fn poll(
        &mut self,
        now: Instant,
        random: &mut impl FnMut() -> [u8; StunAddressQuery::RANDOM_LEN],
    ) -> Result<Instant, [u8; 20]> {
        if let Round::Resting { until } = self.round {
            if now < until {
                return Ok(until);
            }
            self.round = Round::Asking(StunAddressQuery::new(now, self.address, random()));
        }
        let Round::Asking(query) = &mut self.round else { return Ok(now) };
        match query.poll_output(now) {
            QueryOutput::Transmit(request) => Err(request),
            QueryOutput::Timeout(at) => Ok(at),
            QueryOutput::TimedOut => {
                self.on_failed(now, "STUN server does not answer (is UDP to it open?)");
                Ok(now + RETRY_AFTER)
            }
        }
    }

    fn on_seen(&mut self, now: Instant, seen: SocketAddr, changed: &mut Vec<String>) {
        if self.seen != Some(seen) {
            tracing::info!(server = %self.source, "STUN server tells the public address of the media port");
            tracing::debug!(server = %self.source, %seen, "media port as seen from outside");
            changed.push(self.source.clone());
        }
        self.seen = Some(seen);
        self.is_silent = false;
        self.round = Round::Resting { until: now + ASK_EVERY };
    }

    /// What was learned before stays: a server that is down says nothing about the NAT.
    fn on_failed(&mut self, now: Instant, message: &'static str) {
        if !self.is_silent {
            tracing::warn!(server = %self.source, "{message}");
        }
        self.is_silent = true;
        self.round = Round::Resting { until: now + RETRY_AFTER };
    }
}

fn learned(seen: SocketAddr) -> LearnedAddress {
    LearnedAddress { local: None, public: seen.ip(), udp_port: Some(seen.port()) }
}

/// RFC 8489 §9.
const DEFAULT_PORT: u16 = 3478;

/// A NAT may forget a mapping that is silent for two minutes (RFC 4787, REQ-5); asking also keeps it.
const ASK_EVERY: Duration = Duration::from_secs(110);

/// A round that fails takes 39.5 s by itself.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// An operator names two or three servers, each with an address of either family.
const MAX_TARGETS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_with_and_without_a_port() {
        for (text, expected) in [
            ("stun.example.org", "stun.example.org:3478"),
            ("stun.example.org:19302", "stun.example.org:19302"),
            ("stun:stun.example.org:443", "stun.example.org:443"),
            ("192.0.2.10", "192.0.2.10:3478"),
            ("[2001:db8::10]:443", "[2001:db8::10]:443"),
            ("2001:db8::10", "[2001:db8::10]:3478"),
            ("[2001:db8::10]", "[2001:db8::10]:3478"),
        ] {
            assert_eq!(text.parse::<StunServer>().unwrap().to_string(), expected);
        }
        for text in
            ["", ":3478", "stun.example.org:", "stun.example.org:x", "stun.example.org:0", "a b", "a/b", "turn:a:b"]
        {
            assert_eq!(text.parse::<StunServer>(), Err(InvalidStunServer), "{text}");
        }
    }

    #[test]
    fn learns_from_each_server_and_family() {
        let mut world = World::new(&["192.0.2.10:3478", "[2001:db8::10]:3478"]);
        world.run(Duration::from_secs(1));
        let expected = [address("203.0.113.7", 10_000), address("2001:db8::7", 10_000)];
        assert_eq!(world.learned.last().map(Vec::as_slice), Some(expected.as_slice()));
    }

    #[test]
    fn asks_again_every_two_minutes_and_tells_changes_only() {
        let mut world = World::new(&["192.0.2.10:3478"]);
        world.run(Duration::from_secs(600));
        assert_eq!(world.learned, [vec![address("203.0.113.7", 10_000)]]);
        assert_eq!(world.sent, 6, "at 0, 110, 220, … s");
        world.seen_port = 61_000;
        world.run(Duration::from_secs(120));
        assert_eq!(world.learned.last(), Some(&vec![address("203.0.113.7", 61_000)]));
    }

    #[test]
    fn silent_server_is_asked_again_later_and_loses_nothing_learned() {
        let mut world = World::new(&["192.0.2.10:3478"]);
        world.is_silent = true;
        world.run(Duration::from_secs(90));
        assert_eq!((world.sent, world.learned.len()), (7, 0));
        world.is_silent = false;
        world.run(Duration::from_secs(60));
        assert_eq!(world.learned, [vec![address("203.0.113.7", 10_000)]]);
        world.is_silent = true;
        world.run(Duration::from_secs(600));
        assert_eq!(world.learned.len(), 1);
    }

    #[test]
    fn address_that_a_server_has_no_more_is_forgotten_with_what_it_told() {
        let mut world = World::new(&["192.0.2.10:3478"]);
        world.run(Duration::from_secs(1));
        world.learner.set_addresses(world.now, &world.server, &[]);
        world.run(Duration::from_secs(600));
        assert_eq!(world.learned.last(), Some(&Vec::new()));
        assert_eq!(world.sent, 1);
    }

    #[test]
    fn datagram_of_someone_else_is_left_to_others() {
        let mut world = World::new(&["192.0.2.10:3478"]);
        world.run(Duration::from_secs(1));
        let from = SocketAddr::from(([192, 0, 2, 10], 3478));
        assert!(!world.learner.handle_datagram(world.now, from, &[1, 1, 0, 0]));
        assert!(!world.learner.handle_datagram(world.now, from, &world.last_answer.clone()), "a repeated answer");
    }

    /// A learner and a server that answers at once.
    struct World {
        now: Instant,
        server: StunServer,
        learner: StunLearner,
        seen_port: u16,
        is_silent: bool,
        sent: u32,
        learned: Vec<Vec<LearnedAddress>>,
        last_answer: Vec<u8>,
    }

    impl World {
        fn new(addresses: &[&str]) -> Self {
            #[expect(clippy::disallowed_methods, reason = "virtual time needs one instant to count from")]
            let now = Instant::now();
            let server: StunServer = "stun.example.org".parse().unwrap();
            let mut learner = StunLearner::default();
            let addresses: Vec<SocketAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
            learner.set_addresses(now, &server, &addresses);
            Self {
                now,
                server,
                learner,
                seen_port: 10_000,
                is_silent: false,
                sent: 0,
                learned: Vec::new(),
                last_answer: Vec::new(),
            }
        }

        fn run(&mut self, for_how_long: Duration) {
            let end = self.now + for_how_long;
            loop {
                let next_random = [self.sent as u8; 12];
                match self.learner.poll_output(self.now, || next_random) {
                    LearnerOutput::Transmit { to, payload } => {
                        self.sent += 1;
                        if !self.is_silent {
                            self.last_answer = answer(&payload, to, self.seen_port);
                            assert!(self.learner.handle_datagram(self.now, to, &self.last_answer));
                        }
                    }
                    LearnerOutput::Learned { learned, .. } => self.learned.push(learned),
                    LearnerOutput::Timeout(Some(at)) if at < end => self.now = at,
                    LearnerOutput::Timeout(_) => break,
                }
            }
            self.now = end;
        }
    }

    fn address(public: &str, udp_port: u16) -> LearnedAddress {
        LearnedAddress { local: None, public: public.parse().unwrap(), udp_port: Some(udp_port) }
    }

    /// What a server at `server` answers: 203.0.113.7 or 2001:db8::7 and `port`, over the family that it was asked by.
    fn answer(request: &[u8], server: SocketAddr, port: u16) -> Vec<u8> {
        let octets = match server {
            SocketAddr::V4(_) => vec![203, 0, 113, 7],
            SocketAddr::V6(_) => "2001:db8::7".parse::<std::net::Ipv6Addr>().unwrap().octets().to_vec(),
        };
        let mut value = vec![0, if server.is_ipv4() { 1 } else { 2 }];
        value.extend((port ^ 0x2112).to_be_bytes());
        value.extend(octets.iter().zip(&request[4..]).map(|(byte, mask)| byte ^ mask));
        let mut message = vec![1, 1, 0, value.len() as u8 + 4];
        message.extend(&request[4..]);
        message.extend([0, 0x20, 0, value.len() as u8]);
        message.extend(value);
        message
    }
}
