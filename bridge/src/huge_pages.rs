//! Huge pages for the heap.
//!
//! A round of media visits the state of all its receivers, on more pages of 4 kB than a processor remembers the places of. Above all
//! in a virtual machine, whose pages are looked up twice, it waits for these places rather than for the state. glibc asks the
//! kernel for pages of 2 MB where an environment variable says so before `main`: the program starts itself once more.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::{env, fs};

/// Where glibc reads how memory is to be had (glibc manual, "Memory Allocation Tunables").
pub const TUNABLES: &str = "GLIBC_TUNABLES";
/// Huge pages for the heap, which has to be one and to grow by whole ones.
pub const HUGE_PAGES: &str = "glibc.malloc.hugetlb=1:glibc.malloc.arena_max=1:glibc.malloc.top_pad=2097152";

/// Set where the program was started by itself, and by operators who want no huge pages. glibc takes its own variable away from
/// programs with privileges of their file (`setcap`), which would start themselves for ever.
const STARTED: &str = "TERANGA_HUGE_PAGES";
/// Whether programs may ask for huge pages (Linux, Documentation/admin-guide/mm/transhuge.rst).
const KERNEL_MODE: &str = "/sys/kernel/mm/transparent_hugepage/enabled";

/// Starts this program once more, as the same process, with its heap in huge pages. To be called before there are threads.
///
/// It only returns where that is done, the kernel has none, another libc is in use, the operator wants none
/// (`TERANGA_HUGE_PAGES=0`) or has settings of his own in [`TUNABLES`]; the program then goes on as it is.
pub fn use_huge_pages() {
    let has_them = fs::read_to_string(KERNEL_MODE).is_ok_and(|mode| !mode.contains("[never]"));
    let is_settled = [TUNABLES, STARTED].iter().any(|name| env::var_os(name).is_some());
    if cfg!(not(target_env = "gnu")) || !has_them || is_settled {
        return;
    }
    let mut arguments = env::args_os();
    if let (Some(name), Ok(program)) = (arguments.next(), env::current_exe()) {
        // An error leaves what there is, which works too.
        let _ = Command::new(program).arg0(name).args(arguments).env(TUNABLES, HUGE_PAGES).env(STARTED, "1").exec();
    }
}
