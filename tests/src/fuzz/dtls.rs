//! DTLS records, from the first byte of a datagram to the state of a connection (`dtls`).

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use dtls::{DtlsContext, DtlsRole, DtlsTransport, Event, KeyingMaterial, Output};
use ice::DatagramKind;

/// Datagrams from a stranger to a server and to a client that have just begun, then a handshake between both whose
/// datagrams are lost, repeated, damaged and preceded by records of a stranger as the input says.
pub fn dtls_demux(data: &[u8]) {
    let _ = DatagramKind::of(data);
    for role in [DtlsRole::Server, DtlsRole::Client] {
        let mut side = Side::new(role);
        side.handle(data);
        let mut script = Script(data);
        for _ in 0..MAX_STEPS {
            let Some(record) = script.record() else { break };
            side.handle(&record);
        }
    }
    handshake(Script(data));
}

fn handshake(mut script: Script<'_>) {
    let is_undisturbed = script.0.is_empty();
    let mut client = Side::new(DtlsRole::Client);
    let mut server = Side::new(DtlsRole::Server);
    for step in 0.. {
        if step == MAX_STEPS || client.is_over || server.is_over {
            break;
        }
        script.carry_all(&mut client, &mut server);
        script.carry_all(&mut server, &mut client);
        if client.outbox.is_empty() && server.outbox.is_empty() {
            if client.transport.is_connected() && server.transport.is_connected() {
                break;
            }
            client.wait();
            server.wait();
        }
    }
    if let (Some(ours), Some(theirs)) = (&client.keys, &server.keys) {
        assert_eq!((ours.profile, &ours.bytes), (theirs.profile, &theirs.bytes));
        assert_ne!(ours.role, theirs.role);
    } else {
        assert!(!is_undisturbed, "an undisturbed handshake failed");
    }
}

/// One connection and its own clock.
struct Side {
    transport: DtlsTransport,
    now: Instant,
    deadline: Instant,
    outbox: VecDeque<Vec<u8>>,
    keys: Option<KeyingMaterial>,
    is_over: bool,
}

impl Side {
    fn new(role: DtlsRole) -> Self {
        #[expect(clippy::disallowed_methods, reason = "some instant to count from; it never shows in a result")]
        let now = Instant::now();
        let context = context();
        let Ok(mut transport) = DtlsTransport::new(now, context, role) else { unreachable!("the context is usable") };
        let accepted = transport.set_remote_fingerprints(std::slice::from_ref(context.fingerprint()));
        assert!(accepted.is_ok());
        let outbox = VecDeque::new();
        let mut side = Self { transport, now, deadline: now, outbox, keys: None, is_over: false };
        side.drain();
        side
    }

    /// The connection of a real service ends with its first error; so does this one.
    fn handle(&mut self, datagram: &[u8]) {
        if !self.is_over {
            self.is_over = self.transport.handle_datagram(self.now, datagram).is_err();
            self.drain();
        }
    }

    fn wait(&mut self) {
        if !self.is_over {
            self.now = self.deadline.max(self.now + Duration::from_millis(1));
            self.is_over = self.transport.handle_timeout(self.now).is_err();
            self.drain();
        }
    }

    fn drain(&mut self) {
        for _ in 0..MAX_OUTPUTS {
            match self.transport.poll_output() {
                Output::Transmit(datagram) => {
                    assert_eq!(DatagramKind::of(&datagram), DatagramKind::Dtls);
                    self.outbox.push_back(datagram);
                }
                Output::Event(Event::Connected(keys)) => {
                    assert!(self.keys.is_none(), "connected twice");
                    self.keys = Some(keys);
                }
                Output::Event(Event::Data(_) | Event::Closed) => {}
                Output::Timeout(at) => {
                    self.deadline = at;
                    return;
                }
            }
        }
        panic!("more than {MAX_OUTPUTS} outputs for one input");
    }
}

/// What happens on the way, two bytes a datagram. Without more bytes everything arrives.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn carry_all(&mut self, from: &mut Side, to: &mut Side) {
        while let Some(datagram) = from.outbox.pop_front() {
            self.carry(datagram, to);
        }
    }

    fn carry(&mut self, mut datagram: Vec<u8>, to: &mut Side) {
        let Some((&[what, how], rest)) = self.0.split_first_chunk() else { return to.handle(&datagram) };
        self.0 = rest;
        match what & 7 {
            0 => {}
            1 => {
                to.handle(&datagram);
                to.handle(&datagram);
            }
            2 => {
                let at = usize::from(how) * datagram.len() / 256;
                if let Some(byte) = datagram.get_mut(at) {
                    *byte ^= 1 << (what >> 5);
                }
                to.handle(&datagram);
            }
            3 => {
                datagram.truncate(usize::from(how) * datagram.len() / 256);
                to.handle(&datagram);
            }
            4 => {
                if let Some(record) = self.record() {
                    to.handle(&record);
                }
                to.handle(&datagram);
            }
            5 => {
                if let Some(record) = self.record() {
                    datagram.extend(record);
                }
                to.handle(&datagram);
            }
            _ => to.handle(&datagram),
        }
    }

    /// A record of a stranger: its type and length of the script, in clear, numbered as the script says.
    fn record(&mut self) -> Option<Vec<u8>> {
        let (&[content_type, version, number, len], rest) = self.0.split_first_chunk()?;
        let (fragment, rest) = rest.split_at(usize::from(len).min(rest.len()));
        self.0 = rest;
        let version = if version & 1 == 0 { 0xfd } else { 0xff };
        let mut record = vec![content_type, 0xfe, version, 0, 0, 0, 0, 0, 0, 0, number];
        record.extend((fragment.len() as u16).to_be_bytes());
        record.extend(fragment);
        Some(record)
    }
}

/// One for all runs: a certificate is dear.
fn context() -> &'static Arc<DtlsContext> {
    static CONTEXT: OnceLock<Arc<DtlsContext>> = OnceLock::new();
    CONTEXT.get_or_init(|| match DtlsContext::new() {
        Ok(context) => Arc::new(context),
        Err(error) => panic!("no DTLS on this machine: {error}"),
    })
}

/// Flights with all their retransmissions are fewer.
const MAX_STEPS: usize = 64;
/// Far above the datagrams and events of one flight.
const MAX_OUTPUTS: usize = 1000;
