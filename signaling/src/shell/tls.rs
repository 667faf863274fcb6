//! TLS on a stream over TCP (RFC 6120 §5), and what logins can be bound to (RFC 5929, RFC 9266).

use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_lc_rs::digest;
use rustls::ServerConfig;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::ChannelBinding;

/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// RFC 9266 §2.
const EXPORTER_LABEL: &[u8] = b"EXPORTER-Channel-Binding";
const EXPORTER_BYTES: usize = 32;

/// What a listener's TLS is made from.
#[derive(Clone)]
pub(super) struct TlsHost(ServerConfig);

impl fmt::Debug for TlsHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsHost")
    }
}

impl TlsHost {
    /// Takes the certificate and the versions of a web server's TLS.
    pub(super) fn new(config: &ServerConfig) -> Self {
        let mut config = config.clone();
        config.alpn_protocols.clear();
        // A resumed session shows no certificate, and without it a login cannot be bound to it. Streams are long.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Self(config)
    }
}

/// Notes which certificate a connection was shown.
#[derive(Debug)]
struct Shown {
    resolver: Arc<dyn ResolvesServerCert>,
    key: OnceLock<Arc<CertifiedKey>>,
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let key = self.resolver.resolve(hello)?;
        Some(Arc::clone(self.key.get_or_init(|| key)))
    }
}

/// The server's side of a handshake.
pub(super) async fn with_bindings(
    host: &TlsHost,
    socket: TcpStream,
) -> io::Result<(TlsStream<TcpStream>, Vec<ChannelBinding>)> {
    let mut config = host.0.clone();
    let shown = Arc::new(Shown { resolver: config.cert_resolver, key: OnceLock::new() });
    config.cert_resolver = Arc::<Shown>::clone(&shown);
    let handshake = TlsAcceptor::from(Arc::new(config)).accept(socket);
    let stream = timeout(HANDSHAKE_TIMEOUT, handshake).await.map_err(|_| io::ErrorKind::TimedOut)??;
    let exported = stream.get_ref().1.export_keying_material([0; EXPORTER_BYTES], EXPORTER_LABEL, None);
    let certificate = shown.key.get().and_then(|key| Some(key.cert.first()?.as_ref()));
    let bindings = [
        exported.ok().map(|data| ChannelBinding { name: "tls-exporter", data: data.to_vec() }),
        certificate.and_then(end_point).map(|data| ChannelBinding { name: "tls-server-end-point", data }),
    ];
    Ok((stream, bindings.into_iter().flatten().collect()))
}

/// RFC 5929 §4.1: the certificate's hash, by the hash of its signature, but SHA-256 in place of MD5 and SHA-1. `None` for
/// signatures that have no hash of their own, such as Ed25519.
fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let algorithm =
        match signature_oid(certificate)? {
            // ecdsa-with-SHA384, sha384WithRSAEncryption
            [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03]
            | [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0c] => &digest::SHA384,
            // ecdsa-with-SHA512, sha512WithRSAEncryption
            [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04]
            | [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0d] => &digest::SHA512,
            // ecdsa-with-SHA1 and -SHA256; md5, sha1 and sha256WithRSAEncryption
            [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01 | 0x03, ..]
            | [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x04 | 0x05 | 0x0b] => &digest::SHA256,
            _ => return None,
        };
    Some(digest::digest(algorithm, certificate).as_ref().to_vec())
}

/// The object identifier of the algorithm that signed a certificate (RFC 5280 §4.1.1.2):
/// `SEQUENCE { tbsCertificate, SEQUENCE { OBJECT IDENTIFIER, … }, … }`.
fn signature_oid(certificate: &[u8]) -> Option<&[u8]> {
    const SEQUENCE: u8 = 0x30;
    const OBJECT_IDENTIFIER: u8 = 0x06;
    let (certificate, _) = der_value(certificate, SEQUENCE)?;
    let (_, rest) = der_value(certificate, SEQUENCE)?;
    let (algorithm, _) = der_value(rest, SEQUENCE)?;
    Some(der_value(algorithm, OBJECT_IDENTIFIER)?.0)
}

/// The value of the element at the front, which has to have this tag, and what follows it.
fn der_value(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[found, first_len], rest) = der.split_first_chunk()?;
    let (len, rest) = if first_len < 0x80 {
        (usize::from(first_len), rest)
    } else {
        let (len, rest) = rest.split_at_checked(usize::from(first_len & 0x7f))?;
        (len.iter().try_fold(0_usize, |len, byte| len.checked_mul(256)?.checked_add(usize::from(*byte)))?, rest)
    };
    (found == tag).then(|| rest.split_at_checked(len))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_point_is_the_hash_of_the_certificate() {
        let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let der = key.cert.der();
        assert_eq!(
            signature_oid(der),
            Some(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02][..]),
            "ecdsa-with-SHA256"
        );
        assert_eq!(end_point(der).unwrap(), digest::digest(&digest::SHA256, der).as_ref());
    }

    #[test]
    fn what_is_no_certificate_has_no_end_point() {
        for bad in
            [&[][..], &[0x30], &[0x30, 0x80], &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], &[0x30, 2, 0x30, 0], &[5; 40]]
        {
            assert_eq!(end_point(bad), None, "{bad:?}");
        }
    }
}
