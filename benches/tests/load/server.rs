//! A server of our own in a network namespace, which can be told to do something wrong, and the load generator beside it.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use tests::planted::faulty_teranga;

/// The server's only address beside loopback, which media of bridges does not use.
const ADDRESS: &str = "10.0.0.5";
pub(crate) const URL: &str = "https://10.0.0.5:8443";

/// A running server; it ends with this.
pub(crate) struct Server {
    child: Child,
    home: TempDir,
}

impl Server {
    /// Starts a server with these flags and waits until it says that it is ready.
    pub(crate) fn start(flags: &[&str]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let log = home.path().join("log");
        let set_up = format!("ip link set lo up; ip address add {ADDRESS}/32 dev lo; exec \"$0\" serve \"$@\"");
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-ec", &set_up]).arg(faulty_teranga().unwrap()).args(flags);
        command.env("HOME", home.path()).stdout(Stdio::piped()).stderr(File::create(&log).unwrap());
        let mut server = Self { child: command.spawn().unwrap(), home };
        let mut banner = String::new();
        let mut reader = BufReader::new(server.child.stdout.take().unwrap());
        while !banner.contains("Ctrl-C") {
            let len = reader.read_line(&mut banner).unwrap();
            assert!(len > 0, "ended early: {}", std::fs::read_to_string(&log).unwrap());
        }
        server
    }

    pub(crate) fn stop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The load generator in the same namespace, to be started.
    pub(crate) fn load(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.child.id()));
        command.arg(env!("CARGO_BIN_EXE_teranga-load")).args([URL, "--quiet"]).args(arguments);
        command
    }

    /// Runs the load generator to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome {
        let json = self.home.path().join("report.json");
        let pid = self.child.id().to_string();
        let mut command = self.load(&["--insecure", "--server", &pid, "--json"]);
        command.arg(&json).args(arguments);
        Outcome::new(command.output().unwrap(), &json)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have been stopped by the test.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a run of the load generator left behind.
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) report: Value,
}

impl Outcome {
    pub(crate) fn new(output: Output, json: &Path) -> Self {
        let report = std::fs::read_to_string(json).ok();
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            report: report.map_or(Value::Null, |text| serde_json::from_str(&text).unwrap()),
        }
    }

    /// A metric in its base unit: seconds, parts of one, a second.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let value = self.report["metrics"][name]["value"].as_f64();
        value.unwrap_or_else(|| panic!("no {name}: {}{}", self.stdout, self.stderr))
    }

    /// What was said of failures.
    pub(crate) fn failures(&self) -> String {
        self.report["failures"].to_string()
    }
}
