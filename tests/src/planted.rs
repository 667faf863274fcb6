//! Servers that do something wrong on purpose, for tests of what measures servers.
//!
//! Here: how such a binary comes about. Not here: the faults (the feature `planted-faults` of `bridge`, which builds with tests
//! have and others have not).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, anyhow, ensure};
use cargo_metadata::MetadataCommand;

/// Path of a `teranga` that knows the flag `--planted-fault`: the debug form of builds with tests. The first call of a process
/// has cargo look whether it is as the sources are, which takes no time where all tests were built before.
///
/// # Errors
/// When cargo does not build it; what cargo said is on stderr.
pub fn faulty_teranga() -> anyhow::Result<&'static Path> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    built.as_deref().map_err(|error| anyhow!(error.clone()))
}

fn build() -> anyhow::Result<PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let workspace = MetadataCommand::new().manifest_path(&manifest).no_deps().exec().context("cannot ask cargo")?;
    let target = workspace.target_directory.into_std_path_buf();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--locked", "--workspace", "--bins", "--tests"])
        .arg("--manifest-path")
        .arg(&manifest)
        .status()
        .context("cannot start cargo")?;
    ensure!(status.success(), "cargo build: {status}");
    Ok(target.join("debug").join("teranga"))
}
