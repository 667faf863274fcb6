//! The host that the load generator ran on.

use std::{fmt, fs};

use serde::Serialize;

use super::Unit;

/// What a reader must know of the host to judge figures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MachineInfo {
    /// As the CPU names itself. Empty if it does not.
    pub cpu_model: String,
    /// CPUs that this process may use.
    pub cpus: usize,
    /// All memory.
    pub memory_bytes: u64,
    /// Of the operating system.
    pub kernel: String,
}

impl MachineInfo {
    /// Of this host, from `/proc`. What cannot be read stays empty.
    #[must_use]
    pub fn of_this_host() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let kernel =
            format!("{} {}", read("/proc/sys/kernel/ostype").trim(), read("/proc/sys/kernel/osrelease").trim());
        Self {
            cpu_model: value(&read("/proc/cpuinfo"), "model name").to_owned(),
            cpus: std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
            memory_bytes: value(&read("/proc/meminfo"), "MemTotal").trim_end_matches(" kB").parse().unwrap_or(0) * 1024,
            kernel: kernel.trim().to_owned(),
        }
    }
}

impl fmt::Display for MachineInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cpu_model, cpus, memory_bytes, kernel } = self;
        let memory = Unit::Memory.format(*memory_bytes as f64);
        write!(f, "{cpu_model}, {cpus} CPUs, {memory} of memory, {kernel}")
    }
}

/// What stands behind `name:`.
fn value<'a>(text: &'a str, name: &str) -> &'a str {
    let found = text.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':'));
    found.unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_has_a_kernel_and_memory() {
        let machine = MachineInfo::of_this_host();
        assert!(machine.kernel.starts_with("Linux "), "{machine:?}");
        assert!(machine.memory_bytes > 1 << 20 && machine.cpus > 0, "{machine:?}");
    }

    #[test]
    fn it_is_told_in_a_line() {
        let machine = MachineInfo {
            cpu_model: "AMD EPYC".to_owned(),
            cpus: 2,
            memory_bytes: 24_000_000_000,
            kernel: "Linux 6.1".to_owned(),
        };
        assert_eq!(machine.to_string(), "AMD EPYC, 2 CPUs, 24 GB of memory, Linux 6.1");
    }

    #[test]
    fn values_stand_behind_their_names() {
        assert_eq!(value("model\t: 1\nmodel name\t: AMD EPYC\n", "model name"), "AMD EPYC");
        assert_eq!(value("model\t: 1\n", "model name"), "");
    }
}
