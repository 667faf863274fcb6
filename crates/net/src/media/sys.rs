//! The system calls that neither the standard library nor `socket2` wraps, each behind a safe function.
//!
//! All `unsafe` of this crate is here: `sendmmsg`, `recvmmsg`, integer socket options, the CPU affinity of a thread.
//! Message headers live on the stack of one call, so that no pointer outlives what it points to. The bytes of
//! addresses and control messages are encoded and decoded in `ancillary`, in safe code.

#![allow(unsafe_code, reason = "system calls; every block says why it is sound")]

use std::ffi::c_int;
use std::io::{self, IoSliceMut};
use std::mem::{MaybeUninit, size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::from_mut;

use super::ancillary::{Control, Name};

/// Messages of one `sendmmsg` or `recvmmsg`: more of them save little (stack.md §3.3) and cost cache.
pub(super) const BATCH: usize = 64;

/// A message on its way out: a range of the slab, where to, and what the kernel is told besides.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outgoing {
    /// First byte in the slab.
    pub(super) start: usize,
    /// Bytes of all its datagrams.
    pub(super) len: usize,
    /// Bytes of each of its datagrams, but for a shorter last one.
    pub(super) segment: usize,
    /// How many datagrams it is.
    pub(super) datagrams: usize,
    /// The destination.
    pub(super) name: Name,
    /// Source address and segment size.
    pub(super) control: Control,
}

/// What the kernel tells of a datagram that came in.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Incoming {
    /// Who sent it.
    pub(super) name: Name,
    /// To which of our addresses.
    pub(super) control: Control,
    /// Bytes in the buffer.
    pub(super) len: usize,
    /// Whether it was longer than the buffer.
    pub(super) truncated: bool,
}

/// Sends the first [`BATCH`] of `messages`, whose bytes are in `slab`. Answers how many of them went, from the first on.
///
/// # Errors
/// What the kernel says of the first message; the others were not tried then. `InvalidInput` for one outside `slab`.
pub(super) fn send_batch(socket: BorrowedFd<'_>, slab: &[u8], messages: &[Outgoing]) -> io::Result<usize> {
    let mut vectors = [const { MaybeUninit::<libc::iovec>::uninit() }; BATCH];
    let mut headers = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; BATCH];
    let mut count: u32 = 0;
    for ((message, vector), header) in messages.iter().zip(&mut vectors).zip(&mut headers) {
        let payload = slab.get(message.start..message.start + message.len).ok_or(io::ErrorKind::InvalidInput)?;
        let vector = vector.write(libc::iovec { iov_base: payload.as_ptr().cast_mut().cast(), iov_len: payload.len() });
        // SAFETY: `mmsghdr` is a plain C structure of integers and pointers, for which all zeroes is a value.
        let header = header.write(unsafe { zeroed() });
        let (name, control) = (message.name.bytes(), message.control.bytes());
        header.msg_hdr.msg_name = name.as_ptr().cast_mut().cast();
        header.msg_hdr.msg_namelen = name.len() as _;
        header.msg_hdr.msg_iov = vector;
        header.msg_hdr.msg_iovlen = 1;
        if !control.is_empty() {
            header.msg_hdr.msg_control = control.as_ptr().cast_mut().cast();
            header.msg_hdr.msg_controllen = control.len() as _;
        }
        count += 1;
    }
    // SAFETY: the first `count` headers were written above. Each points to a vector, an address and control bytes that
    // outlive the call (this stack frame, `slab` and `messages`, all borrowed here), with their true lengths. The
    // kernel only reads what they point to; it writes `msg_len` of the headers, which are ours.
    let sent =
        unsafe { libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr().cast(), count, libc::MSG_DONTWAIT as _) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Receives into `buffers`, one datagram each, as many as wait and fit, and [`BATCH`] at most; never waits. Describes
/// them in `incoming`. Answers how many there were.
///
/// # Errors
/// What the kernel says when it has none: `WouldBlock`, or an earlier fault of the socket.
pub(super) fn receive_batch(
    socket: BorrowedFd<'_>,
    buffers: &mut [IoSliceMut<'_>],
    incoming: &mut [Incoming; BATCH],
) -> io::Result<usize> {
    let mut headers = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; BATCH];
    let mut count: u32 = 0;
    for ((buffer, incoming), header) in buffers.iter_mut().zip(incoming.iter_mut()).zip(&mut headers) {
        // SAFETY: `mmsghdr` is a plain C structure of integers and pointers, for which all zeroes is a value.
        let header = header.write(unsafe { zeroed() });
        let name = incoming.name.space();
        header.msg_hdr.msg_name = name.as_mut_ptr().cast();
        header.msg_hdr.msg_namelen = name.len() as _;
        // `IoSliceMut` is guaranteed to have the layout of `iovec`.
        header.msg_hdr.msg_iov = from_mut(buffer).cast();
        header.msg_hdr.msg_iovlen = 1;
        let control = incoming.control.space();
        header.msg_hdr.msg_control = control.as_mut_ptr().cast();
        header.msg_hdr.msg_controllen = control.len() as _;
        count += 1;
    }
    // SAFETY: the first `count` headers were written above. Each points to exactly one buffer, address space and
    // control space, distinct from those of the others and mutably borrowed until this function returns, with their
    // true lengths, within which the kernel writes. Any byte is a value of what it writes to. No time-out is passed.
    let received = unsafe {
        libc::recvmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr().cast(),
            count,
            libc::MSG_DONTWAIT as _,
            std::ptr::null_mut(),
        )
    };
    let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
    for (header, incoming) in headers.iter().zip(incoming.iter_mut()).take(received) {
        // SAFETY: the kernel answers at most `count`, and that many headers were written above.
        let header = unsafe { header.assume_init_ref() };
        incoming.len = header.msg_len as usize;
        incoming.truncated = header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
        incoming.name.set_len(header.msg_hdr.msg_namelen as usize);
        incoming.control.set_len(header.msg_hdr.msg_controllen as _);
    }
    Ok(received)
}

/// Has a classic BPF program pick the socket among those of a port (`SO_ATTACH_REUSEPORT_CBPF`). It replaces the one before.
///
/// # Errors
/// What the kernel says, such as `EINVAL` for a program that it does not take.
pub(super) fn attach_reuseport_filter(socket: BorrowedFd<'_>, program: &[libc::sock_filter]) -> io::Result<()> {
    let len = libc::c_ushort::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let program = libc::sock_fprog { len, filter: program.as_ptr().cast_mut() };
    // SAFETY: `program` lives on this stack frame and its size is passed; it points to `len` instructions, which the
    // caller lends for the call. The kernel copies them and writes nothing.
    let answer = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_REUSEPORT_CBPF,
            (&raw const program).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sets a socket option that is an integer.
///
/// # Errors
/// What the kernel says, such as `ENOPROTOOPT` for an option that it does not have.
pub(super) fn set_option(socket: BorrowedFd<'_>, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
    // SAFETY: the value is a live integer on this stack frame and its size is passed; the kernel reads it only.
    let answer = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            std::ptr::from_ref(&value).cast(),
            size_of::<c_int>() as libc::socklen_t,
        )
    };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The CPUs that the current thread may run on, by number.
///
/// # Errors
/// What the kernel says; `EINVAL` on a machine with more CPUs than `cpu_set_t` has bits (1024).
pub(super) fn allowed_cpus() -> io::Result<Vec<usize>> {
    // SAFETY: `cpu_set_t` is an array of integers, for which all zeroes is a value: the empty set.
    let mut set: libc::cpu_set_t = unsafe { zeroed() };
    // SAFETY: thread 0 is the caller; the set is live, writable and of the size that is passed.
    if unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the numbers asked for are below the number of bits of the set.
    Ok((0..libc::CPU_SETSIZE as usize).filter(|cpu| unsafe { libc::CPU_ISSET(*cpu, &set) }).collect())
}

/// Lets the current thread run on `cpus` only.
///
/// # Errors
/// What the kernel says: none of them is there, or it is not permitted.
pub(super) fn run_on(cpus: &[usize]) -> io::Result<()> {
    // SAFETY: as in `allowed_cpus`: the empty set.
    let mut set: libc::cpu_set_t = unsafe { zeroed() };
    for cpu in cpus.iter().filter(|cpu| **cpu < libc::CPU_SETSIZE as usize) {
        // SAFETY: the number is below the number of bits of the set.
        unsafe { libc::CPU_SET(*cpu, &mut set) };
    }
    // SAFETY: thread 0 is the caller; the set is live and of the size that is passed; the kernel reads it only.
    let answer = unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
