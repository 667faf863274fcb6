//! Pins shards to CPUs, among those that this process may use.

use super::sys;

/// Lets the current thread run on one CPU only: the one at `core_index` among those that it may run on, counted round.
/// Answers whether it does; where there is only one CPU or it is not permitted, nothing changes.
pub fn pin_current_thread(core_index: usize) -> bool {
    let Ok(cpus) = sys::allowed_cpus() else { return false };
    match cpus.get(core_index % cpus.len().max(1)) {
        Some(cpu) if cpus.len() > 1 => sys::run_on(&[*cpu]).is_ok(),
        Some(_) | None => false,
    }
}

/// How many CPUs this thread may run on, and whether it may choose among them.
pub(super) fn cpus_and_permission() -> (usize, bool) {
    let Ok(cpus) = sys::allowed_cpus() else { return (1, false) };
    let is_permitted = sys::run_on(&cpus).is_ok();
    (cpus.len(), is_permitted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_has_one_cpu() {
        std::thread::spawn(|| {
            let (cpus, is_permitted) = cpus_and_permission();
            let pinned = pin_current_thread(cpus + 1);
            assert_eq!(pinned, is_permitted && cpus > 1);
            assert_eq!(cpus_and_permission().0, if pinned { 1 } else { cpus });
        })
        .join()
        .unwrap();
    }

    #[test]
    fn where_there_is_one_cpu_nothing_is_pinned() {
        std::thread::spawn(|| {
            let first: Vec<_> = sys::allowed_cpus().unwrap().into_iter().take(1).collect();
            sys::run_on(&first).unwrap();
            assert!(!pin_current_thread(0));
            assert!(!pin_current_thread(7));
        })
        .join()
        .unwrap();
    }
}
