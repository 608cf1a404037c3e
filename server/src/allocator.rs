//! One setting of the C library's allocator. It exists because nothing else can make memory that a peak
//! of locks took go back to the system.
//!
//! glibc maps large blocks one by one and unmaps them when they are freed: just right for slabs, whose
//! chunks are large and go as a whole. But it raises the size that counts as large to that of the
//! largest such block freed so far, so that after the first chunk was freed all later ones come from the
//! heap, where one small block that lives on keeps everything below it. Setting the threshold, even to
//! its default, fixes it (mallopt(3), `M_MMAP_THRESHOLD`).

/// Blocks of at least this many bytes are mapped: glibc's default, and below every slab's chunk.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MMAP_THRESHOLD: libc::c_int = 128 << 10;

/// Makes large blocks go back to the system when they are freed. Call it first of all.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code, reason = "mallopt has no safe wrapper")]
pub(crate) fn return_large_blocks() {
    // SAFETY: mallopt takes two integers, checks them, and may be called at any time from any thread;
    // this is the only thread. It fails by returning 0, and then memory is used as if it was not called.
    let done = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, MMAP_THRESHOLD) };
    debug_assert_eq!(done, 1, "glibc takes thresholds up to 32 MiB");
}

/// Other allocators have no such setting.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn return_large_blocks() {}
