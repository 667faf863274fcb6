//! Hints to the processor.

#![allow(unsafe_code, reason = "the standard library has no stable safe prefetch; each block says why it is sound")]

/// Bytes that a processor fetches at once.
const CACHE_LINE: usize = 64;

/// Asks the processor to bring the first `len` bytes of `value` near, without waiting for them: for what is read soon, and
/// of which it cannot guess the place. Does nothing where stable Rust has no instruction for it.
#[inline(always)]
pub fn prefetch<T: ?Sized>(value: &T, len: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        let start = std::ptr::from_ref(value).cast();
        let len = len.min(size_of_val(value));
        for at in (0..len).step_by(CACHE_LINE) {
            prefetch_line(start, at);
        }
        // What does not begin with a line reaches into one more, where the last byte is.
        if align_of_val(value) < CACHE_LINE && len > 1 {
            prefetch_line(start, len - 1);
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (value, len);
}

/// As [`prefetch`], of the first `len` bytes at each address that stands in `value`: for what a library keeps behind a pointer
/// that it does not give out. Words that are no addresses ask for nothing.
#[inline(always)]
pub fn prefetch_behind<T>(value: &T, len: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::asm;
        let start: *const usize = std::ptr::from_ref(value).cast();
        for at in 0..size_of::<T>() / size_of::<usize>() {
            let address: usize;
            // SAFETY: it reads a word that is part of the value. Of bytes that nobody ever wrote, which are between fields, it
            // gives some number, where reading them in Rust would not be defined.
            unsafe {
                asm!(
                    "mov {address}, [{word}]",
                    word = in(reg) start.wrapping_add(at),
                    address = out(reg) address,
                    options(pure, readonly, nostack, preserves_flags),
                );
            }
            if address < LOWEST_ADDRESS {
                continue;
            }
            for at in (0..len).step_by(CACHE_LINE) {
                prefetch_line(std::ptr::without_provenance(address), at);
            }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (value, len);
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn prefetch_line(start: *const i8, at: usize) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: a prefetch reads nothing that a program sees, and faults at no address.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(at)) }
}

/// Below it no system has anything: small numbers are no addresses.
#[cfg(target_arch = "x86_64")]
const LOWEST_ADDRESS: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_about_anything_changes_nothing() {
        let values = [0, 1, LOWEST, usize::MAX, usize::MAX - 63, 1 << 47, std::ptr::from_ref(&LOWEST).addr()];
        prefetch(&values, usize::MAX);
        prefetch_behind(&values, 4096);
        prefetch_behind(&(7_u8, Box::new(values), values.to_vec()), 640);
        assert_eq!(values[..2], [0, 1]);
    }

    static LOWEST: usize = 1 << 16;
}
