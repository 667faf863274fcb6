//! Descriptions of both sides in the words of Jingle (XEP-0176, XEP-0320), to and from the types of `ice` and `dtls`.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use dtls::{DtlsContext, DtlsError, DtlsRole, Fingerprint};
use ice::{CandidateKind, Generation, IceAgent, IceCredentials, IceError, LocalCandidate, RemoteCandidate};
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
        candidates: agent.local_candidates().iter().map(|candidate| local_candidate(candidate, generation)).collect(),
        ..IceTransport::default()
    }
}

fn local_candidate(candidate: &LocalCandidate, generation: Generation) -> Candidate {
    let related =
        (candidate.address != candidate.base).then(|| (candidate.base.ip().to_string(), candidate.base.port()));
    Candidate {
        id: format!("c{}", candidate.foundation),
        component: 1,
        foundation: candidate.foundation.to_string(),
        generation: generation.0,
        ip: candidate.address.ip().to_string(),
        port: candidate.address.port(),
        protocol: "udp".to_owned(),
        tcp_type: None,
        priority: candidate.priority,
        candidate_type: candidate.kind.as_str().to_owned(),
        network: 0,
        related,
    }
}

fn remote_candidate(candidate: &Candidate) -> Option<RemoteCandidate> {
    if candidate.component != 1 || !candidate.protocol.eq_ignore_ascii_case("udp") {
        return None;
    }
    let ip: IpAddr = candidate.ip.parse().ok()?;
    Some(RemoteCandidate {
        foundation: candidate.foundation.clone(),
        kind: CandidateKind::parse(&candidate.candidate_type)?,
        address: SocketAddr::new(ip.to_canonical(), candidate.port),
        priority: candidate.priority,
    })
}
