//! Our side in this process, a foreign peer in another, and a network with faults between them.

use std::fmt::Debug;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use dtls::{DtlsContext, DtlsRole, DtlsTransport, DtlsVersion, Event, Fingerprint, KeyingMaterial, Output};
use sim::{Conditions, Network};

/// What we say until the peer shows that it heard it.
pub(crate) const HELLO: &str = "hello from the bridge";

/// A path of a few milliseconds.
pub(crate) const PATH: Conditions = Conditions::clean(Duration::from_millis(2)).with_jitter(Duration::from_millis(3));

/// Limit of a handshake: openssl's sixth transmission of a flight leaves after 63 s.
pub(crate) const PATIENCE: Duration = Duration::from_secs(100);

/// And of what comes behind it.
const GIVES_UP_AFTER: Duration = Duration::from_secs(120);

/// What came of a conversation.
pub(crate) struct Outcome {
    pub(crate) keys: KeyingMaterial,
    pub(crate) version: Option<DtlsVersion>,
    /// The first record that came.
    pub(crate) data: Vec<u8>,
    /// All that the peer printed.
    pub(crate) stdout: String,
}

/// Another process, ended with this value.
pub(crate) struct Peer {
    child: Child,
    stdout: Arc<Mutex<String>>,
}

impl Peer {
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it runs");
        let stdout = Arc::new(Mutex::new(String::new()));
        let (pipe, collected) = (child.stdout.take().expect("it is piped"), Arc::clone(&stdout));
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                let mut collected = collected.lock().expect("no holder panics");
                collected.push_str(&line);
                collected.push('\n');
            }
        });
        Self { child, stdout }
    }

    pub(crate) fn stdout(&self) -> String {
        self.stdout.lock().expect("no holder panics").clone()
    }

    /// What stands behind `word` at the start of a line, as soon as it does.
    pub(crate) fn wait_for(&self, word: &str) -> String {
        let gives_up = now() + Duration::from_secs(20);
        while now() < gives_up {
            if let Some(value) = self.stdout().lines().find_map(|line| line.strip_prefix(word)) {
                return value.trim().to_owned();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("no {word} in 20 s:\n{}", self.stdout());
    }

    fn say(&mut self, line: &str) {
        // A peer that left shows by its silence.
        let _ = self.child.stdin.as_mut().expect("it is piped").write_all(line.as_bytes());
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Side {
    Ours,
    Theirs,
}

/// Our side of a conversation.
pub(crate) struct Conversation<'a> {
    pub(crate) socket: &'a UdpSocket,
    pub(crate) role: DtlsRole,
    pub(crate) fingerprint: &'a Fingerprint,
    /// Where the peer listens, if it does.
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) conditions: Conditions,
    pub(crate) seed: u64,
    /// What the peer is told to say, if it has to be told.
    pub(crate) prompt: &'a str,
}

impl Conversation<'_> {
    /// Until each heard the other, or why not.
    pub(crate) fn run(&self, context: &Arc<DtlsContext>, peer: &mut Peer) -> Result<Outcome, String> {
        let started = now();
        let mut network = Network::new(self.conditions, self.seed);
        let mut remote = self.remote;
        let mut ours = DtlsTransport::new(started, context, self.role).map_err(|error| error.to_string())?;
        ours.set_remote_fingerprints(std::slice::from_ref(self.fingerprint)).map_err(|error| error.to_string())?;
        let (mut keys, mut data) = (None, None);
        let mut speaks_at = started;
        loop {
            let deadline = loop {
                match ours.poll_output() {
                    Output::Transmit(datagram) => network.send(now(), Side::Ours, Side::Theirs, datagram),
                    Output::Event(Event::Connected(material)) => keys = Some(material),
                    Output::Event(Event::Data(record)) => data = data.or(Some(record)),
                    Output::Event(Event::Closed) => return Err(format!("the peer left:\n{}", peer.stdout())),
                    Output::Timeout(at) => break at,
                }
            };
            while let Some(delivery) = network.receive(now()) {
                match (delivery.to, remote) {
                    (Side::Ours, _) => {
                        ours.handle_datagram(now(), &delivery.datagram).map_err(|error| error.to_string())?;
                    }
                    // A peer that left refuses it.
                    (Side::Theirs, Some(remote)) => drop(self.socket.send_to(&delivery.datagram, remote)),
                    (Side::Theirs, None) => return Err("there is nobody to send to".into()),
                }
            }
            ours.handle_timeout(now()).map_err(|error| error.to_string())?;
            if let (Some(keys), Some(data)) = (&keys, &data)
                && peer.stdout().contains(HELLO)
            {
                let (keys, data) = (keys.clone(), data.clone());
                return Ok(Outcome { keys, version: ours.version(), data, stdout: peer.stdout() });
            }
            if ours.is_connected() && now() >= speaks_at {
                speaks_at = now() + Duration::from_millis(100);
                ours.send(format!("{HELLO}\n").as_bytes()).map_err(|error| error.to_string())?;
                peer.say(self.prompt);
            }
            if now() > started + GIVES_UP_AFTER {
                return Err(format!("connected: {}, nothing more came:\n{}", ours.is_connected(), peer.stdout()));
            }
            let next = network.next_arrival().into_iter().chain([deadline, now() + Duration::from_millis(50)]).min();
            let wait = next.map_or(Duration::ZERO, |next| next.saturating_duration_since(now()));
            self.socket
                .set_read_timeout(Some(wait.max(Duration::from_millis(1))))
                .map_err(|error| error.to_string())?;
            let mut datagram = [0; 2_048];
            if let Ok((len, from)) = self.socket.recv_from(&mut datagram) {
                remote = Some(from);
                network.send(now(), Side::Theirs, Side::Ours, datagram[..len].to_vec());
            }
        }
    }
}

/// Runs all of `runs` at once, says how many succeeded and asserts that all did; of a series of 36 one may run out of time:
/// the peer is a process in real time, and what is lost falls elsewhere each time, whatever the seed.
pub(crate) fn assert_all_succeed<R: Debug + Sync>(
    runs: &[R],
    conversation: impl Fn(&R) -> Result<Outcome, String> + Sync,
) {
    let conversation = &conversation;
    let results: Vec<_> = std::thread::scope(|scope| {
        let running: Vec<_> = runs.iter().map(|run| scope.spawn(move || conversation(run))).collect();
        running.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    let failed: Vec<_> =
        runs.iter().zip(&results).filter_map(|(run, result)| Some((run, result.as_ref().err()?))).collect();
    eprintln!("{} of {} succeeded", runs.len() - failed.len(), runs.len());
    assert!(failed.len() <= runs.len() / 36, "{failed:#?}");
}

#[expect(clippy::disallowed_methods, reason = "the peer is another process, in real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
