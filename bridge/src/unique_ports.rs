//! UDP ports beside the media port, each for one link to another bridge (`use-unique-port`): where two bridges share several
//! conferences, all links come from one media port, and only the other side's port tells them apart.
//!
//! Here: which are open. Not here: their sockets (`net`), whose they are (`Connection::unique_port`), who is asked to have one
//! (`colibri::relays`).

use std::collections::HashSet;
use std::fmt;
use std::io;

use ice::LocalAddress;
use model::{FiveTuple, TransportProtocol};

/// Ports that may be open at once, a file descriptor each; other bridges times the conferences shared with each.
const MAX_UNIQUE_PORTS: usize = 8192;

/// A port that is open.
#[derive(Debug)]
pub(crate) struct OpenedPort {
    pub(crate) number: u16,
    /// `None` in a network without sockets.
    pub(crate) socket: Option<net::UniquePort>,
}

/// Opens a port, at once: the shell has one that binds sockets.
pub(crate) type PortOpener = Box<dyn FnMut() -> io::Result<OpenedPort> + Send>;

/// The ports that are open.
pub(crate) struct UniquePorts {
    opener: PortOpener,
    open: HashSet<u16>,
}

impl fmt::Debug for UniquePorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UniquePorts").field("open", &self.open).finish_non_exhaustive()
    }
}

impl Default for UniquePorts {
    fn default() -> Self {
        Self::new(Box::new(|| Err(io::ErrorKind::Unsupported.into())))
    }
}

impl UniquePorts {
    pub(crate) fn new(opener: PortOpener) -> Self {
        Self { opener, open: HashSet::new() }
    }

    /// Opens one for who has yet to come.
    ///
    /// # Errors
    /// What the system says, or that there are too many.
    pub(crate) fn open(&mut self) -> io::Result<OpenedPort> {
        if self.open.len() >= MAX_UNIQUE_PORTS {
            return Err(io::Error::other(format!("{MAX_UNIQUE_PORTS} are open")));
        }
        (self.opener)()
    }

    /// It has come.
    pub(crate) fn note_open(&mut self, number: u16) {
        self.open.insert(number);
    }

    pub(crate) fn close(&mut self, number: u16) {
        self.open.remove(&number);
    }

    /// The number of the unique port that a path ends at on this side; `None`: it is one of the media ports.
    pub(crate) fn of(&self, path: FiveTuple) -> Option<u16> {
        let number = Some(path.local.port()).filter(|_| path.protocol == TransportProtocol::Udp);
        number.filter(|number| self.open.contains(number))
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }
}

/// The addresses of the media port with another port. What is mapped keeps its address, unless the mapping is about the number
/// of the media port: one that forwards that only says nothing of others.
pub(crate) fn at_port(addresses: &[LocalAddress], number: u16) -> Vec<LocalAddress> {
    let mut at_port: Vec<LocalAddress> = Vec::new();
    for address in addresses.iter().filter(|address| address.transport.protocol() == TransportProtocol::Udp) {
        let LocalAddress { mut host, public, .. } = *address;
        let mut public = public.filter(|public| public.port() == host.port());
        host.set_port(number);
        if let Some(public) = &mut public {
            public.set_port(number);
        }
        let address = LocalAddress { host, public, ..*address };
        if !at_port.contains(&address) {
            at_port.push(address);
        }
    }
    at_port
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_with_the_unique_port_and_forwarded_ones_are_not() {
        let address = |host: &str, public: Option<&str>| LocalAddress {
            public: public.map(|public| public.parse().unwrap()),
            ..LocalAddress::host(host.parse().unwrap())
        };
        let told = [
            address("10.0.0.5:10000", Some("203.0.113.7:10000")),
            address("10.0.0.5:10000", Some("203.0.113.8:443")),
            address("[2001:db8::5]:10000", None),
            LocalAddress::tcp("10.0.0.5:4443".parse().unwrap()),
        ];
        assert_eq!(
            at_port(&told, 50_001),
            [
                address("10.0.0.5:50001", Some("203.0.113.7:50001")),
                address("10.0.0.5:50001", None),
                address("[2001:db8::5]:50001", None),
            ]
        );
    }
}
