//! Descriptions of both sides in the words of Jingle (XEP-0176, XEP-0320), to and from the types of `ice` and `dtls`.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use dtls::{DtlsContext, DtlsError, DtlsRole, Fingerprint};
use ice::{
    CandidateKind, CandidateTransport, Generation, IceAgent, IceCredentials, IceError, LocalCandidate, RemoteCandidate,
};
use xmpp::jingle::{self, Candidate, DtlsSetup, IceTransport};

use super::TransportError;

/// What the peer said of DTLS so far.
#[derive(Debug, Default)]
pub(super) struct RemoteDescription {
    fingerprints: Vec<Fingerprint>,
    setup: Option<DtlsSetup>,
}

impl RemoteDescription {
    /// Takes fingerprints and setup if the description has any. Answers whether there are fingerprints to set.
    ///
    /// # Errors
    /// [`TransportError::Dtls`] if there are fingerprints and none is of a known hash and length.
    pub(super) fn update(&mut self, remote: &IceTransport) -> Result<bool, TransportError> {
        if remote.fingerprints.is_empty() {
            return Ok(false);
        }
        let parsed = remote.fingerprints.iter().filter_map(|f| Fingerprint::parse(&f.hash, &f.value).ok());
        let parsed: Vec<_> = parsed.collect();
        if parsed.is_empty() {
            return Err(TransportError::Dtls(DtlsError::InvalidFingerprint));
        }
        self.fingerprints = parsed;
        self.setup = remote.fingerprints.iter().find_map(|fingerprint| fingerprint.setup).or(self.setup);
        Ok(true)
    }

    pub(super) fn fingerprints(&self) -> &[Fingerprint] {
        &self.fingerprints
    }

    pub(super) fn setup(&self) -> Option<DtlsSetup> {
        self.setup
    }
}

/// Gives credentials and candidates of a description to the agent.
pub(super) fn apply_ice(agent: &mut IceAgent, remote: &IceTransport, now: Instant) -> Result<(), TransportError> {
    let generation = Generation(remote.ice_generation.unwrap_or_default());
    if let (Some(ufrag), Some(pwd)) = (&remote.ufrag, &remote.pwd) {
        let credentials = IceCredentials::from_signaling(ufrag, pwd).map_err(TransportError::Ice)?;
        match agent.set_remote_credentials(now, generation, credentials) {
            // The peer answers a restart that was given up, or repeats what it said before one.
            Err(IceError::UnknownGeneration { .. }) => {
                tracing::debug!(%generation, "description of an ICE generation that is gone");
                return Ok(());
            }
            result => result.map_err(TransportError::Ice)?,
        }
    }
    for candidate in remote.candidates.iter().filter_map(remote_candidate) {
        if let Err(error) = agent.add_remote_candidate(now, generation, &candidate) {
            tracing::debug!(%error, "candidate of the peer left out");
        }
    }
    Ok(())
}

/// The description of this side. `role` is the one taken in DTLS, if it is decided.
pub(super) fn local_transport(agent: &IceAgent, context: &DtlsContext, role: Option<DtlsRole>) -> IceTransport {
    let credentials = agent.local_credentials();
    let generation = agent.generation();
    let setup = match role {
        None => DtlsSetup::ActPass,
        Some(DtlsRole::Client) => DtlsSetup::Active,
        Some(DtlsRole::Server) => DtlsSetup::Passive,
    };
    let fingerprint = context.fingerprint();
    IceTransport {
        ufrag: Some(credentials.ufrag().to_owned()),
        pwd: Some(credentials.pwd().to_owned()),
        ice_generation: (generation != Generation::default()).then_some(generation.0),
        rtcp_mux: true,
        fingerprints: vec![jingle::Fingerprint {
            hash: fingerprint.hash().as_str().to_owned(),
            value: fingerprint.to_string(),
            setup: Some(setup),
        }],
        candidates: agent
            .local_candidates()
            .iter()
            .filter(|candidate| candidate.is_told)
            .map(|candidate| local_candidate(candidate, generation))
            .collect(),
        ..IceTransport::default()
    }
}

fn local_candidate(candidate: &LocalCandidate, generation: Generation) -> Candidate {
    Candidate {
        id: format!("c{}", candidate.foundation),
        component: 1,
        foundation: candidate.foundation.to_string(),
        generation: generation.0,
        ip: candidate.address.ip().to_string(),
        port: candidate.address.port(),
        protocol: candidate.transport.as_str().to_owned(),
        tcp_type: candidate.transport.tcp_type().map(|tcp_type| tcp_type.as_str().to_owned()),
        priority: candidate.priority,
        candidate_type: candidate.kind.as_str().to_owned(),
        network: 0,
        related: candidate.related.map(|related| (related.ip().to_string(), related.port())),
    }
}

/// `None` for what this side has no use for: another component, a name instead of an address (mDNS), unknown words. A
/// component other than 1 is RTCP of a client that does not multiplex, which none does with `rtcp-mux` offered.
fn remote_candidate(candidate: &Candidate) -> Option<RemoteCandidate> {
    if candidate.component != 1 {
        return None;
    }
    let ip: IpAddr = candidate.ip.parse().ok()?;
    Some(RemoteCandidate {
        transport: CandidateTransport::parse(&candidate.protocol, candidate.tcp_type.as_deref())?,
        foundation: candidate.foundation.clone(),
        kind: CandidateKind::parse(&candidate.candidate_type)?,
        address: SocketAddr::new(ip.to_canonical(), candidate.port),
        priority: candidate.priority,
    })
}

#[cfg(test)]
mod tests {
    use ice::{LocalAddress, TcpType};

    use super::*;

    fn told(addresses: &[LocalAddress]) -> Vec<Candidate> {
        let candidates = LocalCandidate::gather(addresses).unwrap();
        candidates.iter().map(|candidate| local_candidate(candidate, Generation(2))).collect()
    }

    /// A host candidate of a client with `protocol`, `tcptype` and address as given.
    fn signalled(protocol: &str, tcp_type: Option<&str>, ip: &str, port: u16) -> Candidate {
        Candidate {
            id: "k1".to_owned(),
            component: 1,
            foundation: "7".to_owned(),
            generation: 0,
            ip: ip.to_owned(),
            port,
            protocol: protocol.to_owned(),
            tcp_type: tcp_type.map(ToOwned::to_owned),
            priority: 2_122_260_223,
            candidate_type: "host".to_owned(),
            network: 1,
            related: None,
        }
    }

    #[test]
    fn tcp_candidate_is_told_as_passive() {
        let told = told(&[LocalAddress::tcp("203.0.113.7:4443".parse().unwrap())]);
        assert_eq!(told.len(), 1);
        let candidate = told.first().unwrap();
        assert_eq!((candidate.protocol.as_str(), candidate.tcp_type.as_deref()), ("tcp", Some("passive")));
        assert_eq!((candidate.ip.as_str(), candidate.port, candidate.generation), ("203.0.113.7", 4443, 2));
        assert_eq!(candidate.candidate_type, "host");
    }

    #[test]
    fn mapped_candidate_names_its_base_unless_that_is_hidden() {
        let host = LocalAddress::host("10.0.0.5:10000".parse().unwrap());
        let mapped = LocalAddress { public: Some("203.0.113.7:443".parse().unwrap()), ..host };
        let related = |address: LocalAddress| told(&[address]).pop().and_then(|candidate| candidate.related);
        assert_eq!(related(mapped), Some(("10.0.0.5".to_owned(), 10_000)));
        assert_eq!(related(LocalAddress { is_host_told: false, ..mapped }), Some(("0.0.0.0".to_owned(), 9)));
    }

    #[test]
    fn candidates_of_clients_are_read_by_protocol() {
        let transport = |protocol: &str, tcp_type: Option<&str>| {
            remote_candidate(&signalled(protocol, tcp_type, "192.0.2.33", 9)).map(|candidate| candidate.transport)
        };
        assert_eq!(transport("UDP", None), Some(CandidateTransport::Udp));
        assert_eq!(transport("tcp", Some("active")), Some(CandidateTransport::Tcp(TcpType::Active)));
        assert_eq!(transport("ssltcp", None), Some(CandidateTransport::SslTcp));
        assert_eq!(transport("tcp", Some("sideways")), None);
        assert_eq!(transport("tls", None), None);
    }

    #[test]
    fn mdns_names_and_other_components_are_left_out() {
        let mdns = signalled("udp", None, "1f4712db-ea17-4bcf-a596-105139dfd8bf.local", 51_000);
        assert_eq!(remote_candidate(&mdns), None);
        let rtcp = Candidate { component: 2, ..signalled("udp", None, "192.0.2.33", 51_001) };
        assert_eq!(remote_candidate(&rtcp), None);
    }

    #[test]
    fn ipv4_address_in_ipv6_clothes_is_an_ipv4_address() {
        let candidate = remote_candidate(&signalled("udp", None, "::ffff:192.0.2.33", 51_000)).unwrap();
        assert_eq!(candidate.address.to_string(), "192.0.2.33:51000");
    }
}
