//! Two settings of the C library's allocator. Without the first, memory that a peak of locks took would not go
//! back to the system; without the second, gaps between the blocks of connections would be lost.
//!
//! glibc maps large blocks one by one and unmaps them when they are freed: just right for slabs, whose
//! chunks are large and go as a whole. But it raises the size that counts as large to that of the
//! largest such block freed so far, so that after the first chunk was freed all later ones come from the
//! heap, where one small block that lives on keeps everything below it. Setting the threshold, even to
//! its default, fixes it (mallopt(3), `M_MMAP_THRESHOLD`).
//!
//! tokio aligns a connection's task, and what it keeps of its socket, to 128 bytes. glibc cuts such a block out of a
//! larger one and frees what is left before and behind it. Pieces of up to 128 bytes go into "fast bins", where
//! they are not joined with their neighbours and serve only requests of exactly their size: for an idle connection
//! that is a tenth of its memory. So nothing goes there (`M_MXFAST`). Small blocks that are freed and soon wanted
//! again lose little by that, since each thread keeps some of every size in a cache of its own, as before.

/// Blocks of at least this many bytes are mapped: glibc's default, and below every slab's chunk.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MMAP_THRESHOLD: libc::c_int = 128 << 10;

/// Blocks of at most this many bytes go into fast bins: none do.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const FAST_BINS: libc::c_int = 0;

/// Makes large blocks go back to the system when they are freed, and small ones join their neighbours. Call it first
/// of all.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code, reason = "mallopt has no safe wrapper")]
pub(crate) fn set_up() {
    for (setting, value) in [(libc::M_MMAP_THRESHOLD, MMAP_THRESHOLD), (libc::M_MXFAST, FAST_BINS)] {
        // SAFETY: mallopt takes two integers, checks them, and may be called at any time from any thread;
        // this is the only thread. It fails by returning 0, and then memory is used as if it was not called.
        let done = unsafe { libc::mallopt(setting, value) };
        debug_assert_eq!(done, 1, "glibc takes thresholds up to 32 MiB, and fast bins of 0 bytes");
    }
}

/// Other allocators have no such settings.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn set_up() {}
