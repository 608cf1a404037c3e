//! Programs of others that some tests need, and the project's own files.

use super::tell;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};

/// Whether all of these programs are here. Where one is missing a test says so and passes, except in CI,
/// which is meant to have them all.
pub(crate) fn has_tools(names: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    // Where Debian keeps daemons; an ordinary user's path does not have it.
    folders.extend(["/usr/sbin", "/sbin"].map(PathBuf::from));
    let is_here = |name: &&&str| folders.iter().any(|folder| folder.join(name).is_file());
    let Some(missing) = names.iter().find(|name| !is_here(name)) else { return true };
    assert!(std::env::var_os("CI").is_none(), "{missing} is missing, and CI has to have it");
    tell(format!("SKIPPED: there is no {missing} here"));
    false
}

/// A loopback address for a program that has to be told its port. Nobody else takes it meanwhile: the address is
/// this process's own, so that not even connections from other tests come from it.
pub(crate) fn own_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(20_000);
    (address_of(std::process::id()), NEXT.fetch_add(1, Ordering::Relaxed)).into()
}

/// Another for each process: a process id has at most 22 bits, and all of them are in it.
fn address_of(pid: u32) -> Ipv4Addr {
    let [zero, high, middle, low] = pid.to_be_bytes();
    assert!(zero == 0 && high < 128, "a process id of more than 22 bits: {pid}");
    // All of 127.0.0.0/8 is this machine, but for its first and its last address; 127.0 and 127.1 others use.
    Ipv4Addr::new(127, 128 + high, middle, low)
}

/// A file of the project's documentation.
pub(crate) fn document(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(path)
}
