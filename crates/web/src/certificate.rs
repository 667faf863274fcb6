//! The self-signed certificate of a server that was given none.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// File names in the state directory.
const CERTIFICATE_FILE: &str = "tls-certificate.pem";
const KEY_FILE: &str = "tls-key.pem";

/// Why there is no certificate to serve with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// A file of the state directory cannot be read or written.
    #[error("cannot use {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The kept files are not a certificate and its key.
    #[error("{} and {KEY_FILE} beside it are not a certificate and its key (delete both to have new ones made)", path.display())]
    Unusable {
        /// The certificate's file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A new certificate could not be made.
    #[error("cannot make a certificate")]
    Generate(#[from] rcgen::Error),
    /// A new certificate could not be used.
    #[error("cannot use a new certificate")]
    Refused(#[source] rustls::Error),
}

/// The TLS settings with a certificate for `names` that is kept nowhere: browsers ask anew after each start.
///
/// # Errors
/// [`CertificateError`] when none can be made or used.
pub fn create_certificate(names: &[String]) -> Result<ServerConfig, CertificateError> {
    let made = rcgen::generate_simple_self_signed(names.to_vec())?;
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    server_config(vec![made.cert.der().clone()], key).map_err(CertificateError::Refused)
}

/// The TLS settings with the certificate kept in `state_dir`; where there is none, one for `names` is made and kept.
///
/// # Errors
/// [`CertificateError`] when the files cannot be read, written or used.
pub fn load_or_create_certificate(state_dir: &Path, names: &[String]) -> Result<ServerConfig, CertificateError> {
    let certificate_path = state_dir.join(CERTIFICATE_FILE);
    let key_path = state_dir.join(KEY_FILE);
    if !certificate_path.exists() && !key_path.exists() {
        let made = rcgen::generate_simple_self_signed(names.to_vec())?;
        // The key first: a certificate alone would look like a complete pair on the next start.
        write_private(&key_path, &made.signing_key.serialize_pem())?;
        write_private(&certificate_path, &made.cert.pem())?;
    }
    let unusable = |source: Box<dyn std::error::Error + Send + Sync>| CertificateError::Unusable {
        path: certificate_path.clone(),
        source,
    };
    let certificate = read(&certificate_path)?;
    let key = read(&key_path)?;
    let chain = CertificateDer::pem_slice_iter(&certificate)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unusable(Box::new(error)))?;
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|error| unusable(Box::new(error)))?;
    server_config(chain, key).map_err(|error| unusable(Box::new(error)))
}

fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    fs::read(path).map_err(|source| CertificateError::File { path: path.to_owned(), source })
}

/// Writes a file that only its owner reads, whole or not at all.
fn write_private(path: &Path, content: &str) -> Result<(), CertificateError> {
    let failed = |source| CertificateError::File { path: path.to_owned(), source };
    let unfinished = path.with_extension("new");
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished).map_err(failed)?;
    file.write_all(content.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&unfinished, path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_certificate_serves_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        load_or_create_certificate(dir.path(), &names).unwrap();
        let first = fs::read(dir.path().join(CERTIFICATE_FILE)).unwrap();
        load_or_create_certificate(dir.path(), &names).unwrap();
        assert_eq!(fs::read(dir.path().join(CERTIFICATE_FILE)).unwrap(), first);
    }

    #[test]
    fn files_that_are_no_certificate_are_named_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(CERTIFICATE_FILE), "junk").unwrap();
        fs::write(dir.path().join(KEY_FILE), "junk").unwrap();
        let error = load_or_create_certificate(dir.path(), &["localhost".to_owned()]).unwrap_err();
        assert!(error.to_string().contains(CERTIFICATE_FILE), "{error}");
        assert_eq!(fs::read(dir.path().join(KEY_FILE)).unwrap(), b"junk");
    }
}
