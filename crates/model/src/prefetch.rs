//! A hint to the processor.

#![allow(unsafe_code, reason = "the standard library has no stable safe prefetch; the one block says why it is sound")]

/// Bytes that a processor fetches at once.
const CACHE_LINE: usize = 64;

/// Asks the processor to bring the first `len` bytes of `value` near, without waiting for them: for what is read soon, and
/// of which it cannot guess the place. Does nothing where stable Rust has no instruction for it.
#[inline(always)]
pub fn prefetch<T: ?Sized>(value: &T, len: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let start: *const i8 = std::ptr::from_ref(value).cast();
        for at in (0..len.min(size_of_val(value))).step_by(CACHE_LINE) {
            // SAFETY: a prefetch reads nothing that a program sees, and faults at no address.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(at)) }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (value, len);
}
