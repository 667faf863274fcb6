//! `teranga` as an operator runs it, told by the environment only, and its other names.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::symlink;
use std::process::{Child, Command, Output, Stdio};

use crate::common::{free_ports, get, on_ports};

const TERANGA: &str = env!("CARGO_BIN_EXE_teranga");
/// What every secret of these tests begins with. It may stand in no line that a server or a command writes.
const PLANTED: &str = "planted";

/// A running server.
pub(crate) struct Server {
    child: Child,
    state: tempfile::TempDir,
    pub(crate) http: String,
}

impl Server {
    /// Starts with these variables, as lines of an `.env` file given to docker.
    pub(crate) fn start(env: &[(&str, &str)]) -> Self {
        Self::start_with_file(env, "")
    }

    /// The same, with a `teranga.env` in the state directory.
    pub(crate) fn start_with_file(env: &[(&str, &str)], file: &str) -> Self {
        let state = tempfile::tempdir().unwrap();
        if !file.is_empty() {
            std::fs::write(state.path().join("teranga.env"), file).unwrap();
        }
        // A port may be taken between the look and the start.
        for _ in 0..5 {
            let ports = free_ports();
            let mut child = Command::new(TERANGA)
                .args(["serve", "--address", "127.0.0.1"])
                .args(on_ports(&ports))
                .args(["--media-tcp-port", "0"])
                .env("TERANGA_STATE_DIR", state.path())
                .env("TERANGA_LOG", "trace")
                .envs(env.iter().copied())
                .stdout(Stdio::piped())
                .stderr(File::create(state.path().join("log")).unwrap())
                .spawn()
                .unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            if lines.any(|line| line.unwrap().contains("Ctrl-C")) {
                let [_, http, ..] = ports;
                return Self { child, state, http };
            }
            let _ = child.wait();
        }
        panic!("no server starts with {env:?}: {}", std::fs::read_to_string(state.path().join("log")).unwrap());
    }

    /// A command beside the server, with what it reads from standard input.
    pub(crate) fn command(&self, name: &str, words: &[&str], input: &str) -> Output {
        let path = self.state.path().join(name);
        if !path.exists() {
            symlink(TERANGA, &path).unwrap();
        }
        run(Command::new(path).args(words).env("TERANGA_STATE_DIR", self.state.path()), input)
    }

    /// The lines of `teranga room list`.
    pub(crate) fn rooms(&self) -> Vec<String> {
        stdout(&self.command("teranga", &["room", "list"], "")).lines().map(str::to_owned).collect()
    }

    pub(crate) fn get(&self, path: &str) -> String {
        get(&self.http, path)
    }

    /// Everything that the server logged, at every level.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.state.path().join("log")).unwrap()
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if !std::thread::panicking() {
            expect_no_secret(&self.log());
        }
    }
}

/// `teranga` with these words, without a server.
pub(crate) fn teranga(words: &[&str], env: &[(&str, &str)], input: &str) -> Output {
    run(Command::new(TERANGA).args(words).envs(env.iter().copied()), input)
}

fn run(command: &mut Command, input: &str) -> Output {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    expect_no_secret(stdout(&output));
    expect_no_secret(stderr(&output));
    output
}

fn expect_no_secret(text: &str) {
    let line = text.lines().find(|line| line.contains(PLANTED));
    assert!(line.is_none(), "a secret is written down: {line:?}");
}

pub(crate) fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

pub(crate) fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}
