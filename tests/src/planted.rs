//! Servers that do something wrong on purpose, for tests of what measures servers.
//!
//! Here: how such a binary comes about. Not here: the faults (the feature `planted-faults` of `bridge`).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, anyhow, ensure};
use cargo_metadata::MetadataCommand;

/// Path of a `teranga` that knows the flag `--planted-fault`, built by the first call of a process in its debug form. Its
/// directory within the target directory is its own: the ordinary binary is not overwritten, and later builds are quick.
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
    let target = workspace.target_directory.into_std_path_buf().join("planted-faults");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--locked", "-p", "all-in-one", "--bin", "teranga", "--features", "planted-faults"])
        .arg("--manifest-path")
        .arg(&manifest)
        .arg("--target-dir")
        .arg(&target)
        .status()
        .context("cannot start cargo")?;
    ensure!(status.success(), "cargo build: {status}");
    Ok(target.join("debug").join("teranga"))
}
