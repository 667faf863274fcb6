//! [`MediaAddresses`]: the book of addresses and the learner from STUN servers, kept up to date by news of the shell.

use std::net::SocketAddr;
use std::time::Instant;

use ice::{LocalAddress, StunAddressQuery};
use net::InterfaceAddress;

use super::stun::{LearnerOutput, StunLearner};
use super::{AddressBook, AddressError, AddressSettings, LearnedAddress, MediaAddress, MediaPort, StunServer};

/// What the shell found out.
#[derive(Debug)]
pub(crate) enum AddressNews {
    /// The addresses at which the media port is reached now.
    Host(Vec<InterfaceAddress>),
    /// All that a cloud's metadata service says now.
    Cloud { name: String, learned: Vec<LearnedAddress> },
    /// The addresses of a STUN server.
    StunServer { server: StunServer, addresses: Vec<SocketAddr> },
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AddressOutput {
    /// Send this from the UDP media socket.
    Transmit { to: SocketAddr, payload: [u8; 20] },
    /// Nothing before this instant, or before new input; `None`: nothing at all.
    Timeout(Option<Instant>),
}

/// The addresses of a running bridge. An endpoint is told those of the moment at which it is made.
#[derive(Debug)]
pub(crate) struct MediaAddresses {
    book: AddressBook,
    learner: StunLearner,
    told: Vec<LocalAddress>,
    /// `told` changed since [`take_changed`](Self::take_changed).
    is_changed: bool,
}

impl MediaAddresses {
    /// As [`AddressBook::new`]; one warn line if clients are told nothing.
    pub(crate) fn new(
        settings: AddressSettings,
        host: Vec<InterfaceAddress>,
        ports: Vec<MediaPort>,
    ) -> Result<Self, AddressError> {
        let book = AddressBook::new(settings, host, ports)?;
        let told = book.local_addresses();
        let addresses = Self { book, learner: StunLearner::default(), told, is_changed: false };
        addresses.warn_if_nothing_is_told();
        Ok(addresses)
    }

    /// What an endpoint that is made now is told.
    pub(crate) fn told(&self) -> &[LocalAddress] {
        &self.told
    }

    /// The same for those who are no endpoints: all at which clients may be told to reach media, the preferred first.
    pub(crate) fn advertised(&self) -> Vec<MediaAddress> {
        let all = self.told.iter().flat_map(|address| {
            let LocalAddress { transport, host: local, public, is_host_told } = *address;
            let advertised = is_host_told.then_some(local).into_iter().chain(public);
            advertised.map(move |advertised| MediaAddress { protocol: transport.protocol(), advertised, local })
        });
        let mut advertised: Vec<MediaAddress> = Vec::new();
        for address in all {
            if !advertised.contains(&address) {
                advertised.push(address);
            }
        }
        advertised
    }

    /// [`advertised`](Self::advertised), if that changed since the last call.
    pub(crate) fn take_changed(&mut self) -> Option<Vec<MediaAddress>> {
        std::mem::take(&mut self.is_changed).then(|| self.advertised())
    }

    pub(crate) fn handle_news(&mut self, now: Instant, news: AddressNews) {
        match news {
            AddressNews::Host(host) => self.book.set_host(host),
            AddressNews::Cloud { name, learned } => self.book.set_learned(&name, learned),
            AddressNews::StunServer { server, addresses } => self.learner.set_addresses(now, &server, &addresses),
        }
        self.refresh();
    }

    /// Takes a Binding response that came to the media socket, if it is one of a STUN server that was asked.
    pub(crate) fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) -> bool {
        self.learner.handle_datagram(now, from, datagram)
    }

    /// The next thing to do at `now`. Call until it is a timeout. `random` is a cryptographic generator.
    pub(crate) fn poll_output(
        &mut self,
        now: Instant,
        mut random: impl FnMut() -> [u8; StunAddressQuery::RANDOM_LEN],
    ) -> AddressOutput {
        loop {
            match self.learner.poll_output(now, &mut random) {
                LearnerOutput::Transmit { to, payload } => return AddressOutput::Transmit { to, payload },
                LearnerOutput::Learned { source, learned } => {
                    self.book.set_learned(&source, learned);
                    self.refresh();
                }
                LearnerOutput::Timeout(at) => return AddressOutput::Timeout(at),
            }
        }
    }

    fn refresh(&mut self) {
        let told = self.book.local_addresses();
        if told != self.told {
            tracing::info!(addresses = told.len(), "addresses for new clients changed");
            tracing::debug!(?told, "addresses for new clients");
            self.told = told;
            self.is_changed = true;
            self.warn_if_nothing_is_told();
        }
    }

    fn warn_if_nothing_is_told(&self) {
        if !self.told.iter().any(|address| address.is_host_told || address.public.is_some()) {
            tracing::warn!(
                "clients are told no media address: none is public (see --media-address and --media-private)"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use ice::CandidateTransport;
    use model::TransportProtocol;

    use super::*;

    #[test]
    fn what_a_stun_server_answers_is_told_to_the_next_client() {
        #[expect(clippy::disallowed_methods, reason = "virtual time needs one instant to count from")]
        let now = Instant::now();
        let host = vec![InterfaceAddress { interface: "eth0".to_owned(), ip: "10.0.0.5".parse().unwrap() }];
        let ports = vec![MediaPort { transport: CandidateTransport::Udp, port: 10_000 }];
        let mut addresses = MediaAddresses::new(AddressSettings::default(), host, ports).unwrap();
        assert_eq!(addresses.poll_output(now, || [7; 12]), AddressOutput::Timeout(None), "nobody to ask");

        let server: StunServer = "stun.example.org".parse().unwrap();
        let at = SocketAddr::from(([192, 0, 2, 10], 3478));
        addresses.handle_news(now, AddressNews::StunServer { server, addresses: vec![at] });
        let AddressOutput::Transmit { to, payload } = addresses.poll_output(now, || [7; 12]) else {
            panic!("nothing is asked")
        };
        assert_eq!(to, at);
        let mut answer = vec![1, 1, 0, 12];
        answer.extend(&payload[4..]);
        // XOR-MAPPED-ADDRESS of 203.0.113.7:20000.
        answer.extend([0, 0x20, 0, 8, 0, 1]);
        answer.extend((20_000_u16 ^ 0x2112).to_be_bytes());
        answer.extend([203 ^ 0x21, 0x12, 113 ^ 0xa4, 7 ^ 0x42]);
        assert!(addresses.handle_datagram(now, at, &answer));
        assert!(matches!(addresses.poll_output(now, || [7; 12]), AddressOutput::Timeout(Some(_))));
        let public: Vec<_> = addresses.told().iter().filter_map(|address| address.public).collect();
        assert_eq!(public, ["203.0.113.7:20000".parse().unwrap()]);
        let local = SocketAddr::from(([10, 0, 0, 5], 10_000));
        let reached_at = |advertised| MediaAddress { protocol: TransportProtocol::Udp, advertised, local };
        assert_eq!(addresses.take_changed(), Some(vec![reached_at(local), reached_at(public[0])]));
        assert_eq!(addresses.take_changed(), None);
    }

    #[test]
    fn address_that_the_host_gets_later_is_told_from_then_on() {
        #[expect(clippy::disallowed_methods, reason = "virtual time needs one instant to count from")]
        let now = Instant::now();
        let address = |ip: &str| InterfaceAddress { interface: "eth0".to_owned(), ip: ip.parse().unwrap() };
        let ports = vec![MediaPort { transport: CandidateTransport::Udp, port: 10_000 }];
        let mut addresses = MediaAddresses::new(AddressSettings::default(), vec![address("127.0.0.1")], ports).unwrap();
        addresses.handle_news(now, AddressNews::Host(vec![address("127.0.0.1"), address("10.0.0.5")]));
        let told: Vec<_> = addresses.told().iter().map(|address| address.host).collect();
        assert_eq!(told, ["10.0.0.5:10000".parse().unwrap()]);
    }
}
