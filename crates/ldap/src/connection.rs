//! One connection to one server: DNS, TCP, TLS, and `ldap3` behind the checks of `frames`.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, LdapError, StdStream};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use crate::frames::{self, START_TLS_REQUEST};
use crate::{Error, ServerUrl, StartTls};

/// How connections are made.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    pub(crate) start_tls: StartTls,
    pub(crate) tls: Arc<ClientConfig>,
    /// For all of the way to a connection, and for each answer after it.
    pub(crate) timeout: Duration,
    /// What a server may send on a connection.
    pub(crate) max_bytes: usize,
}

/// A connection that is ready for requests. It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) server: ServerUrl,
    ldap: Ldap,
    timeout: Duration,
    /// Moves bytes between the socket and `ldap3`; aborted on drop.
    _tasks: JoinSet<()>,
}

impl Connection {
    pub(crate) async fn open(server: &ServerUrl, policy: &Policy) -> Result<Self, Error> {
        let opening = tokio::time::timeout(policy.timeout, Self::open_patiently(server, policy));
        opening.await.unwrap_or_else(|_| Err(Error::Timeout { server: server.to_string() }))
    }

    async fn open_patiently(server: &ServerUrl, policy: &Policy) -> Result<Self, Error> {
        let mut stream = connect(server).await?;
        if !server.is_tls && policy.start_tls == StartTls::Off {
            return Self::over(stream, server, policy).await;
        }
        if !server.is_tls {
            start_tls(&mut stream, server).await?;
        }
        let failed = |source| Error::Tls { server: server.to_string(), source };
        let name = ServerName::try_from(server.host.clone())
            .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
        let stream = TlsConnector::from(Arc::clone(&policy.tls)).connect(name, stream).await.map_err(failed)?;
        Self::over(stream, server, policy).await
    }

    async fn over(
        stream: impl AsyncRead + AsyncWrite + Send + 'static,
        server: &ServerUrl,
        policy: &Policy,
    ) -> Result<Self, Error> {
        let misbehaved =
            |error: &dyn std::error::Error| Error::Misbehaved { server: server.to_string(), what: error.to_string() };
        let (ours, theirs) = UnixStream::pair().map_err(|error| misbehaved(&error))?;
        let theirs = theirs.into_std().map_err(|error| misbehaved(&error))?;
        let settings = LdapConnSettings::new().set_std_stream(StdStream::Unix(theirs));
        let opened = LdapConnAsync::with_settings(settings, "ldapi:///").await;
        let (connection, ldap) = opened.map_err(|error| misbehaved(&error))?;
        let mut tasks = JoinSet::new();
        let max_bytes = policy.max_bytes;
        let url = server.to_string();
        tasks.spawn(async move {
            if let Err(error) = pass(stream, ours, max_bytes).await {
                tracing::warn!(server = url, %error, "LDAP server dropped");
            }
        });
        tasks.spawn(async move {
            // Why it ended, the request that waits is told.
            drop(connection.drive().await);
        });
        Ok(Self { server: server.clone(), ldap, timeout: policy.timeout, _tasks: tasks })
    }

    /// For the next request, which has the usual time to be answered.
    pub(crate) fn request(&mut self) -> &mut Ldap {
        self.ldap.with_timeout(self.timeout)
    }

    /// What went wrong with a request.
    pub(crate) fn error(&self, error: &LdapError) -> Error {
        let server = self.server.to_string();
        #[expect(clippy::wildcard_enum_match_arm, reason = "all others say that no answer came")]
        match error {
            LdapError::Timeout { .. } => Error::Timeout { server },
            other => Error::Misbehaved { server, what: other.to_string() },
        }
    }
}

async fn connect(server: &ServerUrl) -> Result<TcpStream, Error> {
    let resolved = tokio::net::lookup_host((server.host.as_str(), server.port)).await;
    let addresses = resolved.map_err(|source| Error::UnknownHost { server: server.to_string(), source })?;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(Error::Connect { server: server.to_string(), source: last })
}

async fn start_tls(stream: &mut TcpStream, server: &ServerUrl) -> Result<(), Error> {
    let failed = |source| Error::Tls { server: server.to_string(), source };
    stream.write_all(START_TLS_REQUEST).await.map_err(failed)?;
    let answer = frames::read_message(stream).await.map_err(failed)?;
    let answer = answer.ok_or_else(|| failed(io::ErrorKind::UnexpectedEof.into()))?;
    match frames::start_tls_result(&answer).map_err(failed)? {
        0 => Ok(()),
        code => Err(Error::StartTlsRefused { server: server.to_string(), code }),
    }
}

/// Passes bytes to the server as they are, and messages from it that pass the checks, until one side ends.
async fn pass(stream: impl AsyncRead + AsyncWrite, ours: UnixStream, max_bytes: usize) -> io::Result<()> {
    let (from_server, mut to_server) = tokio::io::split(stream);
    let (mut from_client, mut to_client) = ours.into_split();
    let inward = async {
        let mut from_server = BufReader::new(from_server);
        let mut left = max_bytes;
        while let Some(message) = frames::read_message(&mut from_server).await? {
            left = left
                .checked_sub(message.len())
                .ok_or_else(|| io::Error::other("it sent more than anybody asked for"))?;
            to_client.write_all(&message).await?;
        }
        Ok(())
    };
    let outward = async {
        tokio::io::copy(&mut from_client, &mut to_server).await?;
        to_server.shutdown().await
    };
    tokio::select! {
        end = inward => end,
        // The client ended first: nothing that could still come matters.
        _ = outward => Ok(()),
    }
}
