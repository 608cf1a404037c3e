//! Goal: a disk that fails ends its node alone, and what a disk has changed is never read. Method: a small disk gets
//! full under one node of three, and a byte of a stopped node's log is changed.

use crate::nodes::{Cluster, get};
use crate::support::tell;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// A small disk in memory. Dropped, it is gone, also when a test panics.
struct Small(PathBuf);

impl Small {
    /// Needs to be root. Else it says why it cannot be.
    fn mount(at: &Path) -> Result<Self, String> {
        fs::create_dir(at).unwrap();
        mount("none", at, "tmpfs", MountFlags::empty(), Some(c"size=24m"))
            .map_err(|error| error.to_string())?;
        Ok(Self(at.to_owned()))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // What is open there stays until it is closed.
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

#[test]
fn a_full_disk_ends_its_node_alone() {
    let folder = tempfile::TempDir::new().unwrap();
    let small = match Small::mount(&folder.path().join("small")) {
        Ok(small) => small,
        Err(error) => return tell(format!("SKIPPED: no disk can be mounted here: {error}")),
    };
    let mut cluster = Cluster::with(3, |at, node| {
        if at == 2 {
            node.folder = small.0.join("state");
        }
    });
    let [mut keeper, mut lost] = [0, 2].map(|at| cluster.nodes[at].client());
    get(&mut keeper, "kept");
    get(&mut lost, "lost");
    // Something else fills the disk.
    let mut filler = File::create(small.0.join("filler")).unwrap();
    while filler.write_all(&[0; 4096]).is_ok() {}
    // The log grows until it needs a new page of the disk.
    let name = "n".repeat(200);
    while cluster.nodes[2].daemon().ended().is_none() {
        assert!(keeper.ask(&format!("g {name}")).starts_with("1 "));
        assert!(keeper.ask(&format!("r {name}")).starts_with("1 "));
    }
    let (status, log) = cluster.nodes[2].end();
    assert_eq!(status.code(), Some(74), "{log}");
    lost.wait_for_end();
    assert!(keeper.ask("gw 20000 lost").starts_with("1 "));
    assert_eq!(keeper.ask("r kept"), "1 Lock Release Success: kept");

    // With room again it goes on.
    drop(filler);
    fs::remove_file(small.0.join("filler")).unwrap();
    cluster.nodes[2].start();
    cluster.until_whole();
}

#[test]
fn a_changed_byte_is_refused() {
    let mut cluster = Cluster::start(1);
    let mut client = cluster.nodes[0].client();
    for number in 0..50 {
        get(&mut client, &format!("some-lock-{number}"));
    }
    drop(client);
    cluster.nodes[0].stop();
    let changed = change(&cluster.nodes[0].folder);
    cluster.nodes[0].spawn();
    let (status, log) = cluster.nodes[0].end();
    assert_ne!(status.code(), Some(0), "{changed:?}: {log}");
    assert!(log.contains("remove") && log.contains("join"), "{changed:?}: {log}");
}

/// Changes a byte of an entry, in whichever file of the folder has it.
fn change(folder: &Path) -> PathBuf {
    let needle = b"some-lock-7";
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        let places: Vec<_> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(needle)).collect();
        if places.is_empty() {
            continue;
        }
        // Old copies of a page are there too.
        for at in places {
            bytes[at] ^= 1;
        }
        fs::write(&path, bytes).unwrap();
        return path;
    }
    panic!("no file has the name of the lock");
}
