//! TLS with a directory: whom we trust and who we are, from files of PEM.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::{TlsSettings, VerifyPeer, ciphers};

/// Largest file of certificates that is read; those of whole systems have 250 kB.
const MAX_PEM_BYTES: u64 = 4 * 1024 * 1024;
/// Files that are read of a directory of authorities; that of Debian has 300.
const MAX_CA_FILES: usize = 4096;

/// A file that does not serve.
#[derive(Debug, thiserror::Error)]
#[error("cannot use {what} {}", path.display())]
pub struct UnusableFile {
    what: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// The TLS configuration for all servers.
pub(crate) fn client_config(settings: &TlsSettings) -> Result<Arc<ClientConfig>, UnusableFile> {
    let mut provider = aws_lc_rs::default_provider();
    if let Some(words) = &settings.ciphers {
        let (suites, unknown) = ciphers::select(words, &provider.cipher_suites);
        for word in unknown {
            tracing::warn!(word, "LDAP_TLS_CIPHERS has a word that is not known here");
        }
        provider.cipher_suites = suites;
    }
    let provider = Arc::new(provider);
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_protocol_versions(rustls::DEFAULT_VERSIONS).map_err(|error| {
        unusable("the cipher suites", Path::new(settings.ciphers.as_deref().unwrap_or_default()), error)
    })?;
    let builder = match settings.verify {
        VerifyPeer::Required => builder.with_root_certificates(roots(settings)?),
        // As saslauthd does unless told otherwise.
        VerifyPeer::Off => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(net::AnyCertificate::new(provider)))
        }
    };
    let config = match (&settings.certificate, &settings.key) {
        (Some(certificate), Some(key)) => {
            let chain = certificates(certificate)?;
            let key_der = read(key, "the client key").and_then(|pem| {
                PrivateKeyDer::from_pem_slice(&pem).map_err(|error| unusable("the client key", key, error))
            })?;
            builder
                .with_client_auth_cert(chain, key_der)
                .map_err(|error| unusable("the client certificate", certificate, error))?
        }
        (Some(_) | None, _) => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

fn roots(settings: &TlsSettings) -> Result<RootCertStore, UnusableFile> {
    let mut roots = RootCertStore::empty();
    if settings.ca_file.is_none() && settings.ca_dir.is_none() {
        let system = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(system.certs);
    }
    if let Some(file) = &settings.ca_file {
        let (added, _) = roots.add_parsable_certificates(certificates(file)?);
        if added == 0 {
            return Err(unusable("the authorities of", file, "there is no certificate in it"));
        }
    }
    if let Some(dir) = &settings.ca_dir {
        let entries = fs::read_dir(dir).map_err(|error| unusable("the directory of authorities", dir, error))?;
        // A directory that `c_rehash` made has each certificate twice, and other things beside.
        for entry in entries.flatten().take(MAX_CA_FILES).filter(|entry| entry.path().is_file()) {
            if let Ok(found) = certificates(&entry.path()) {
                roots.add_parsable_certificates(found);
            }
        }
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, UnusableFile> {
    let pem = read(path, "the certificates of")?;
    CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| unusable("the certificates of", path, error))
}

fn read(path: &Path, what: &'static str) -> Result<Vec<u8>, UnusableFile> {
    let failed = |source| UnusableFile { what, path: path.to_owned(), source };
    let file = fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(MAX_PEM_BYTES).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

fn unusable(
    what: &'static str,
    path: &Path,
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> UnusableFile {
    UnusableFile { what, path: path.to_owned(), source: io::Error::new(io::ErrorKind::InvalidData, error) }
}
