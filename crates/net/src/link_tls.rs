//! TLS of a link between hosts (RFC 7590): whom to trust.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

/// Which certificates of the XMPP server are accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServerTrust {
    /// Those that the host's certificate store vouches for.
    #[default]
    System,
    /// Any. For private networks only: whoever answers at the address gets the service's password.
    Anything,
}

impl ServerTrust {
    /// What an operator asks for who says to take any certificate, or does not.
    #[must_use]
    pub const fn of_flag(is_insecure: bool) -> Self {
        if is_insecure { Self::Anything } else { Self::System }
    }
}

/// The client's side of TLS.
///
/// # Errors
/// The cryptography library has none of the usual protocol versions.
pub fn client_config(trust: ServerTrust) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    Ok(match trust {
        ServerTrust::System => {
            let mut roots = RootCertStore::empty();
            let found = rustls_native_certs::load_native_certs();
            for error in &found.errors {
                tracing::warn!(%error, "part of the host's certificate store does not load");
            }
            let (usable, unusable) = roots.add_parsable_certificates(found.certs);
            tracing::debug!(usable, unusable, "certificate store of the host");
            builder.with_root_certificates(roots).with_no_client_auth()
        }
        ServerTrust::Anything => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate::new(provider)))
            .with_no_client_auth(),
    })
}

/// Takes every certificate of a server that holds its key: whoever listens only learns nothing.
#[derive(Debug)]
pub struct AnyCertificate {
    provider: Arc<CryptoProvider>,
}

impl AnyCertificate {
    /// One that checks signatures with the algorithms of `provider`.
    #[must_use]
    pub const fn new(provider: Arc<CryptoProvider>) -> Self {
        Self { provider }
    }
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_trust_make_a_configuration() {
        assert!(client_config(ServerTrust::System).is_ok());
        assert!(client_config(ServerTrust::Anything).is_ok());
    }
}
