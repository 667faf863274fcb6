//! BoringSSL, which is the DTLS of Chromium and libwebrtc, as a sans-IO peer in virtual time.
//!
//! Here: [`BoringPeer`], and the calls that the `boring` crate does not wrap: clock and retransmission timer. Not here:
//! the network between both, our side.
#![expect(unsafe_code, reason = "the crate wraps neither the clock nor the timer of BoringSSL's DTLS")]

use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::time::Duration;

use boring::asn1::Asn1Time;
use boring::ec::{EcGroup, EcKey};
use boring::hash::MessageDigest;
use boring::nid::Nid;
use boring::pkey::{PKey, Private};
use boring::ssl::{
    ErrorCode, Ssl, SslContext, SslContextBuilder, SslMethod, SslOptions, SslRef, SslStream, SslVerifyMode, SslVersion,
};
use boring::x509::{X509, X509NameBuilder};
use dtls::DtlsRole;
use foreign_types::ForeignTypeRef;

thread_local! {
    /// What BoringSSL takes for the time since 1970. Its callback is not told for whom, so that it is the thread's.
    static CLOCK: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// A certificate as libwebrtc makes it: ECDSA over P-256, self-signed.
pub(crate) struct Identity {
    pub(crate) certificate: X509,
    key: PKey<Private>,
}

impl Identity {
    pub(crate) fn new() -> Self {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
        let mut name = X509NameBuilder::new().unwrap();
        name.append_entry_by_text("CN", "WebRTC").unwrap();
        let name = name.build();
        let mut certificate = X509::builder().unwrap();
        certificate.set_version(2).unwrap();
        certificate.set_subject_name(&name).unwrap();
        certificate.set_issuer_name(&name).unwrap();
        certificate.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
        certificate.set_not_after(&Asn1Time::days_from_now(30).unwrap()).unwrap();
        certificate.set_pubkey(&key).unwrap();
        certificate.sign(&key, MessageDigest::sha256()).unwrap();
        Self { certificate: certificate.build(), key }
    }
}

/// What a peer is willing to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer {
    pub(crate) versions: (SslVersion, SslVersion),
    /// Names of SRTP profiles, the preferred first, with colons between them.
    pub(crate) profiles: &'static str,
}

/// One connection, which is told the bytes and the time.
pub(crate) struct BoringPeer {
    stream: SslStream<Wire>,
    role: DtlsRole,
    is_connected: bool,
}

impl BoringPeer {
    /// In `role`. Its datagrams are small, so that flights come in several.
    pub(crate) fn new(role: DtlsRole, identity: &Identity, offer: Offer) -> Self {
        let mut context = SslContext::builder(SslMethod::dtls()).unwrap();
        let (oldest, newest) = offer.versions;
        context.set_min_proto_version(Some(oldest)).unwrap();
        context.set_max_proto_version(Some(newest)).unwrap();
        context.set_certificate(&identity.certificate).unwrap();
        context.set_private_key(&identity.key).unwrap();
        // As libwebrtc: any certificate is fine, its fingerprint is compared later.
        context.set_verify_callback(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT, |_, _| true);
        context.set_tlsext_use_srtp(offer.profiles).unwrap();
        context.set_options(SslOptions::NO_QUERY_MTU);
        use_virtual_clock(&mut context);
        let mut ssl = Ssl::new(&context.build()).unwrap();
        ssl.set_mtu(MTU).unwrap();
        Self { stream: SslStream::new(ssl, Wire::default()).unwrap(), role, is_connected: false }
    }

    /// Takes a datagram. Answers the data that it brought.
    pub(crate) fn handle_datagram(&mut self, now: Duration, datagram: Vec<u8>) -> Result<Option<Vec<u8>>, String> {
        self.stream.get_mut().incoming.push_back(datagram);
        self.advance(now)
    }

    /// Lets time pass: the first flight, then retransmissions.
    pub(crate) fn handle_timeout(&mut self, now: Duration) -> Result<(), String> {
        CLOCK.set(now);
        // SAFETY: the pointer is that of a connection that lives and that nobody else uses meanwhile.
        if unsafe { boring_sys::DTLSv1_handle_timeout(self.stream.ssl().as_ptr()) } < 0 {
            return Err("BoringSSL gave up".into());
        }
        self.advance(now).map(drop)
    }

    /// How long until [`Self::handle_timeout`] has something to do.
    pub(crate) fn timeout(&self, now: Duration) -> Option<Duration> {
        CLOCK.set(now);
        let mut left = boring_sys::timeval { tv_sec: 0, tv_usec: 0 };
        // SAFETY: the pointer is that of a connection that lives; `left` is written before the call returns.
        let is_running = unsafe { boring_sys::DTLSv1_get_timeout(self.stream.ssl().as_ptr(), &raw mut left) } == 1;
        is_running.then(|| Duration::new(left.tv_sec.unsigned_abs(), left.tv_usec.unsigned_abs() as u32 * 1000))
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.stream.get_mut().outgoing.pop_front()
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.is_connected
    }

    pub(crate) fn send(&mut self, now: Duration, data: &[u8]) {
        CLOCK.set(now);
        assert_eq!(self.stream.ssl_write(data).unwrap(), data.len());
    }

    /// Version, profile, certificate of the other side.
    pub(crate) fn ssl(&self) -> &SslRef {
        self.stream.ssl()
    }

    pub(crate) fn export(&self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.ssl().export_keying_material(&mut bytes, "EXTRACTOR-dtls_srtp", None).unwrap();
        bytes
    }

    fn advance(&mut self, now: Duration) -> Result<Option<Vec<u8>>, String> {
        CLOCK.set(now);
        if !self.is_connected {
            let handshake = match self.role {
                DtlsRole::Client => self.stream.connect(),
                DtlsRole::Server => self.stream.accept(),
            };
            match handshake {
                Ok(()) => self.is_connected = true,
                Err(error) if error.code() == ErrorCode::WANT_READ => return Ok(None),
                Err(error) => return Err(format!("BoringSSL: {error}")),
            }
        }
        let (mut data, mut buffer) = (None, [0; 2_048]);
        loop {
            match self.stream.ssl_read(&mut buffer) {
                Ok(len) => data = data.or_else(|| Some(buffer[..len].to_vec())),
                Err(error) if error.code() == ErrorCode::WANT_READ => return Ok(data),
                Err(error) => return Err(format!("BoringSSL: {error}")),
            }
        }
    }
}

/// Datagrams between the library and its caller.
#[derive(Debug, Default)]
struct Wire {
    incoming: VecDeque<Vec<u8>>,
    outgoing: VecDeque<Vec<u8>>,
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let datagram = self.incoming.pop_front().ok_or(io::ErrorKind::WouldBlock)?;
        buffer[..datagram.len()].copy_from_slice(&datagram);
        Ok(datagram.len())
    }
}

impl Write for Wire {
    fn write(&mut self, datagram: &[u8]) -> io::Result<usize> {
        self.outgoing.push_back(datagram.to_vec());
        Ok(datagram.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn use_virtual_clock(context: &mut SslContextBuilder) {
    extern "C" fn tell(_: *const boring_sys::SSL, out: *mut boring_sys::timeval) {
        let now = EPOCH + CLOCK.get();
        let now = boring_sys::timeval { tv_sec: now.as_secs().cast_signed(), tv_usec: now.subsec_micros().into() };
        // SAFETY: BoringSSL hands a place for the time, which is its own for the length of this call.
        unsafe { out.write(now) };
    }
    // SAFETY: the pointer is that of a context that lives, the callback fits its type and lives as long as the program.
    unsafe { boring_sys::SSL_CTX_set_current_time_cb(context.as_ptr(), Some(tell)) };
}

const MTU: u32 = 400;

/// Any time after 1970 at which a clock may have started.
const EPOCH: Duration = Duration::from_secs(1_000_000_000);
