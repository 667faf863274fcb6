//! `teranga import`: variables for our binaries out of a stock Prosody's, Jicofo's or bridge's configuration.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Whose configuration it is.
    pub(crate) program: Program,
    /// jicofo.conf, jvb.conf, a sip-communicator.properties, or a .cfg.lua of Prosody.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Write the variables there instead of to the terminal; it may have passwords and is readable by its owner only.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Program {
    Jicofo,
    Jvb,
    Prosody,
}

/// Writes the variables, and tells on standard error what has no effect.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let program = match options.program {
        Program::Jicofo => jitsi_config::Program::Jicofo,
        Program::Jvb => jitsi_config::Program::Jvb,
        Program::Prosody => jitsi_config::Program::Prosody,
    };
    let import = jitsi_config::import(program, &options.file)?;
    let variables = import.to_env_file();
    match &options.output {
        Some(path) => {
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
            let mut file = file.with_context(|| format!("cannot create {}", path.display()))?;
            file.write_all(variables.as_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
        }
        None => std::io::stdout().write_all(variables.as_bytes()).context("cannot write the variables")?,
    }
    for (key, reason) in &import.without_effect {
        eprintln!("no effect: {key}: {reason}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn variables_are_written_for_their_owner_only_and_over_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (file, output) = (dir.path().join("jvb.conf"), dir.path().join("bridge.env"));
        std::fs::write(&file, "videobridge.ice.udp.port = 10001").unwrap();
        let options = Options { program: Program::Jvb, file, output: Some(output.clone()) };
        run(&options).unwrap();
        assert_eq!(std::fs::read_to_string(&output).unwrap(), "TERANGA_MEDIA_PORT=10001\n");
        assert_eq!(output.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(format!("{:#}", run(&options).unwrap_err()).contains("cannot create"));
    }

    /// Every variable that `jitsi-config` sets is one that a binary reads.
    #[test]
    fn variables_are_those_of_our_binaries() {
        let tables = [
            include_str!("../../jitsi-config/src/jvb.rs"),
            include_str!("../../jitsi-config/src/jicofo.rs"),
            include_str!("../../jitsi-config/src/prosody.rs"),
        ];
        let options = [
            include_str!("../../../bridge/src/main.rs"),
            include_str!("../../../bridge/src/flags.rs"),
            include_str!("../../../bridge/src/flags/control.rs"),
            include_str!("../../../focus/src/main.rs"),
            include_str!("../../../focus/src/flags.rs"),
            include_str!("../../../focus/src/flags/bridges.rs"),
            include_str!("../../../focus/src/flags/connects.rs"),
            include_str!("../../../focus/src/flags/visitors.rs"),
            include_str!("../../../signaling/src/auth_flags.rs"),
            include_str!("../../../signaling/src/token_flags.rs"),
            include_str!("../../../signaling/src/room_flags.rs"),
            include_str!("../../../signaling/src/outside_flags.rs"),
            include_str!("../../../signaling/src/visitor_flags.rs"),
        ];
        let is_variable = |text: &&str| {
            text.contains('_') && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
        };
        let of_connections = ["MUC_JIDS", "MUC_NICKNAME", "IQ_HANDLER_MODE", "SECURITY_MODE"];
        let is_key = |name: &&str| of_connections.contains(name) || *name == "DISABLE_CERTIFICATE_VERIFICATION";
        let named: Vec<&str> = tables.iter().flat_map(|table| table.split('"')).filter(is_variable).collect();
        assert!(named.len() > 30, "{named:?}");
        for name in named.iter().filter(|name| !is_key(name)).filter(|name| !["PROTECT_ALL", "EXT_JWT"].contains(*name))
        {
            let option = format!("env = \"{name}\"");
            assert!(options.iter().any(|options| options.contains(&option)), "{name} is read by no binary");
        }
    }
}
