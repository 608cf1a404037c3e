//! Two settings of the C library's allocator. Without the first, memory of a peak of locks would not go back to the
//! system. Without the second, gaps between the blocks of connections would be lost.
//!
//! glibc maps large blocks one by one and unmaps them when they are freed. That is right for slabs and for long names,
//! whose chunks are large and are freed whole. But each time a mapped block is freed, glibc raises the size that counts
//! as large to the size of that block. So after the first chunk was freed, all later ones come from the heap. There one
//! small block that is still used keeps everything below it. Setting the threshold, even to its default, stops glibc
//! from changing it (mallopt(3), `M_MMAP_THRESHOLD`).
//!
//! tokio aligns a connection's task, and its data about the socket, to 128 bytes. glibc cuts such a block out of a
//! larger one and frees the pieces before and behind it. Pieces of up to 128 bytes go into "fast bins". There they are
//! not joined with their neighbours, and serve only requests of exactly their size. For an idle connection such pieces
//! are a tenth of its memory. So fast bins are switched off (`M_MXFAST`). That costs little: each thread still has a
//! cache of its own for small blocks of every size.

/// Blocks of at least this many bytes are mapped: glibc's default, and below every chunk of slots and of names.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MMAP_THRESHOLD: libc::c_int = 128 << 10;

/// Blocks of at most this many bytes go into fast bins. 0 switches them off.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const FAST_BINS: libc::c_int = 0;

/// Makes freed large blocks go back to the system, and freed small ones join their neighbours. Must be called before
/// anything else.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code, reason = "mallopt has no safe wrapper")]
pub(crate) fn set_up() {
    for (setting, value) in [(libc::M_MMAP_THRESHOLD, MMAP_THRESHOLD), (libc::M_MXFAST, FAST_BINS)] {
        // SAFETY: mallopt takes two integers and checks them. It may be called at any time from any thread, and this is
        // the only thread. If it fails, it returns 0 and changes nothing.
        let done = unsafe { libc::mallopt(setting, value) };
        debug_assert_eq!(done, 1, "glibc takes thresholds up to 32 MiB, and fast bins of 0 bytes");
    }
}

/// Other allocators have no such settings.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn set_up() {}
