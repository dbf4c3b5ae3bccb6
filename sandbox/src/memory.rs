//! How the allocator keeps memory.

#![allow(unsafe_code, reason = "the allocator's settings are reached through C alone")]

/// Blocks from this size on come from the kernel and go back to it when they are freed, in bytes.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MAPPED_FROM: libc::c_int = 128 * 1024;

/// Makes the process give large blocks back as soon as they are freed. To be called once, at the
/// start. Does nothing where the C library is not glibc.
///
/// glibc begins with the same limit but raises it with every large block that is freed, so that a
/// single answer of 20 MB leaves twice its size behind in the heap (mallopt(3), M_MMAP_THRESHOLD).
pub fn give_large_blocks_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it changes a number inside the allocator, which takes its own lock to do so.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_FROM);
    }
}
