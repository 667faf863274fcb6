//! A host: a network namespace and a file system as the test wants them, and the server in it.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use rustls::{ClientConnection, StreamOwned};
use tempfile::TempDir;

/// The addresses that hosts have beside loopback.
pub(crate) const IPV4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 5));
pub(crate) const IPV6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 5));
/// The server's defaults.
pub(crate) const HTTP_PORT: u16 = 8000;
const HTTPS_PORT: u16 = 8443;
/// Anything on one host comes long before, also where two cores are shared by many tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Network {
    #[default]
    Both,
    /// No IPv4 address, not even 127.0.0.1.
    Ipv6Only,
    /// IPv6 switched off.
    Ipv4Only,
}

impl Network {
    /// Brings a new namespace into this state, in a shell.
    const fn setup(self) -> &'static str {
        match self {
            Self::Both => {
                "ip link set lo up; ip address add 10.0.0.5/32 dev lo; ip address add fd00::5/128 dev lo nodad"
            }
            Self::Ipv6Only => "ip link set lo up; ip -4 address flush dev lo; ip address add fd00::5/128 dev lo nodad",
            Self::Ipv4Only => {
                "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6; echo 1 >/proc/sys/net/ipv6/conf/lo/disable_ipv6; \
                 ip link set lo up; ip address add 10.0.0.5/32 dev lo"
            }
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Storage {
    /// A home directory that can be written.
    #[default]
    Home,
    /// Nothing can be written anywhere.
    ReadOnly,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Privileges {
    #[default]
    Root,
    /// A user without a home and without any capability.
    Nobody,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Host {
    pub(crate) network: Network,
    pub(crate) storage: Storage,
    pub(crate) privileges: Privileges,
    pub(crate) flags: &'static [&'static str],
}

impl Host {
    pub(crate) fn with(flags: &'static [&'static str]) -> Self {
        Self { flags, ..Self::default() }
    }

    /// The server as a process of its own, which the namespaces end with.
    fn command(&self, home: &Path) -> Command {
        let storage = match self.storage {
            Storage::Home => "",
            Storage::ReadOnly => {
                "mount --bind \"$HOME\" \"$HOME\"; mount -o remount,bind,ro \"$HOME\"; mount -o remount,bind,ro /"
            }
        };
        let nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups --bounding-set=-all --inh-caps=-all \
                      --no-new-privs env --unset=HOME";
        let run = match self.privileges {
            Privileges::Root => "exec",
            Privileges::Nobody => &format!("exec {nobody}"),
        };
        // The program by a descriptor: nobody may have a way into the directory where it was built.
        let script =
            format!("set -e; {}; {storage}\nexec 9<\"$0\"; {run} /proc/self/fd/9 serve \"$@\"", self.network.setup());
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount", "sh", "-c", &script, env!("CARGO_BIN_EXE_teranga")]);
        // Two threads of media, whatever the machine has: what is to be shared between threads is.
        command.args(["--media-threads", "2"]).args(self.flags);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", home);
        command
    }

    /// Starts the server and waits until it says that it is ready.
    pub(crate) fn start(self) -> Server {
        let home = tempfile::tempdir().unwrap();
        let log = home.path().with_extension("log");
        let mut command = self.command(home.path());
        let child = command.stdout(Stdio::piped()).stderr(File::create(&log).unwrap()).spawn().unwrap();
        let mut server = Server { child, log, _home: home };
        let mut banner = String::new();
        let mut reader = BufReader::new(server.child.stdout.as_mut().unwrap());
        while !banner.contains("Ctrl-C") {
            let len = reader.read_line(&mut banner).unwrap();
            assert!(len > 0, "{self:?} ended early: {}", fs::read_to_string(&server.log).unwrap());
        }
        // A host says at which address it can be opened.
        let shown = match self.network {
            Network::Both | Network::Ipv4Only => "https://10.0.0.5:8443/",
            Network::Ipv6Only => "https://[fd00::5]:8443/",
        };
        assert!(banner.contains(shown), "{banner}");
        server
    }

    /// What the server says when it does not start.
    pub(crate) fn fail(self) -> String {
        let home = tempfile::tempdir().unwrap();
        let output = self.command(home.path()).output().unwrap();
        assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stderr).unwrap()
    }
}

/// A running server.
pub(crate) struct Server {
    child: Child,
    /// What it logs. Beside its home, which may be read-only.
    log: std::path::PathBuf,
    _home: TempDir,
}

impl Server {
    /// Runs `work` on the server's host.
    pub(crate) fn inside<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let namespace = File::open(format!("/proc/{}/ns/net", self.child.id())).unwrap();
        let thread = thread::spawn(move || {
            setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
            work()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    pub(crate) fn get(&self, at: IpAddr, path: &'static str) -> String {
        self.inside(move || ask(connect(at, HTTP_PORT), path))
    }

    pub(crate) fn get_over_tls(&self, at: IpAddr, path: &'static str) -> String {
        self.inside(move || {
            // As a user who accepts the self-signed certificate.
            let config = net::client_config(net::ServerTrust::Anything).unwrap();
            let connection = ClientConnection::new(Arc::new(config), at.into()).unwrap();
            ask(StreamOwned::new(connection, connect(at, HTTPS_PORT)), path)
        })
    }

    /// Stops it as Ctrl-C does; answers what it logged.
    pub(crate) fn stop(mut self) -> String {
        assert!(Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
        fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A server that has ended already is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.log);
    }
}

pub(crate) fn connect(at: IpAddr, port: u16) -> TcpStream {
    let stream = TcpStream::connect_timeout(&SocketAddr::new(at, port), PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn ask(mut stream: impl Read + Write, path: &str) -> String {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: meet.example\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    // The end of a connection without a word of TLS is an end too.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}
