//! `teranga` as an operator runs it, told by the environment only, and its other names.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::symlink;
use std::process::{Child, Command, Output, Stdio};

use crate::common::{free_ports, get, on_ports};

const TERANGA: &str = env!("CARGO_BIN_EXE_teranga");

/// A running server.
pub(crate) struct Server {
    child: Child,
    state: tempfile::TempDir,
    pub(crate) http: String,
}

impl Server {
    /// Starts with these variables, as lines of an `.env` file.
    pub(crate) fn start(env: &[(&str, &str)]) -> Self {
        let state = tempfile::tempdir().unwrap();
        // A port may be taken between the look and the start.
        for _ in 0..5 {
            let ports = free_ports();
            let mut child = Command::new(TERANGA)
                .args(["serve", "--address", "127.0.0.1", "--state-dir"])
                .arg(state.path())
                .args(on_ports(&ports))
                .args(["--media-tcp-port", "0"])
                .envs(env.iter().copied())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            if lines.any(|line| line.unwrap().contains("Ctrl-C")) {
                let [_, http, ..] = ports;
                return Self { child, state, http };
            }
            let _ = child.wait();
        }
        panic!("no server starts with {env:?}");
    }

    /// A command beside the server, with what it reads from standard input.
    pub(crate) fn command(&self, name: &str, words: &[&str], input: &str) -> Output {
        let path = self.state.path().join(name);
        if !path.exists() {
            symlink(TERANGA, &path).unwrap();
        }
        run(Command::new(path).args(words).env("TERANGA_STATE_DIR", self.state.path()), input)
    }

    pub(crate) fn get(&self, path: &str) -> String {
        get(&self.http, path)
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
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
    child.wait_with_output().unwrap()
}

pub(crate) fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

pub(crate) fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}
