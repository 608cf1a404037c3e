//! Goal: one process at a time has a state directory, and only one that fits. Method: directories in each state.

use crate::store::{Change, Identity, IdentityError, Log, Position, Record, StateDirectory};
use std::fs;

fn identity() -> Identity {
    Identity { cluster: 7, node: 3, timeout_ms: 2_500 }
}

#[test]
fn a_directory_is_made_once_and_opened_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    assert!(matches!(StateDirectory::open(path), Err(IdentityError::Missing(_))));
    assert!(!StateDirectory::is_one(path).unwrap());
    // Other files of the daemon may be there.
    fs::write(path.join("tokens"), "1").unwrap();
    let made = StateDirectory::create(path, identity()).unwrap();
    assert!(matches!(StateDirectory::open(path), Err(IdentityError::InUse(_))));
    assert!(matches!(StateDirectory::create(path, identity()), Err(IdentityError::InUse(_))));
    drop(made);
    let again = StateDirectory::create(path, identity());
    assert!(matches!(again, Err(IdentityError::NotEmpty { file: "cluster.identity", .. })), "{again:?}");
    let opened = StateDirectory::open(path).unwrap();
    assert_eq!((opened.identity(), opened.path()), (identity(), path));
    assert!(StateDirectory::is_one(path).unwrap());
    let record = Record { position: Position { term: 1, index: 0 }, content: crate::store::Content::Blank };
    opened.log().unwrap().change(&[Change::Append([record].into())]).unwrap();
    assert_eq!(opened.log().unwrap().head().unwrap().0.last, Some(Position { term: 1, index: 0 }));
    assert!(opened.log_bytes().unwrap() > 0);
    // Without its log it would vote twice in one term.
    fs::remove_file(path.join("cluster.log")).unwrap();
    assert_eq!(opened.log().unwrap_err().kind(), std::io::ErrorKind::InvalidData);
}

#[test]
fn a_damaged_or_later_identity_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    drop(StateDirectory::create(path, identity()).unwrap());
    let file = path.join("cluster.identity");
    let bytes = fs::read(&file).unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        fs::write(&file, damaged).unwrap();
        assert!(matches!(StateDirectory::open(path), Err(IdentityError::Damaged(_))), "bit {bit}");
    }
    // A later release may have written anything behind the format.
    fs::write(&file, crate::wire::seal(&[2, 0, 0, 0, 99])).unwrap();
    let later = StateDirectory::open(path).unwrap_err();
    assert!(matches!(later, IdentityError::Format(2)), "{later}");
    fs::write(&file, &bytes).unwrap();
    StateDirectory::open(path).unwrap();
}

#[test]
fn a_refused_directory_is_only_renewed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let directory = StateDirectory::create(path, identity()).unwrap();
    let vote = crate::store::Ballot { term: 4, node: 3, is_elected: false };
    directory.log().unwrap().change(&[Change::Vote(vote)]).unwrap();
    directory.refuse("its digest differs").unwrap();
    drop(directory);
    let refused = StateDirectory::open(path).unwrap_err();
    assert!(refused.to_string().contains("its digest differs"), "{refused}");
    let mut directory = StateDirectory::open_refused(path).unwrap();
    let new = Identity::found(2_500).unwrap();
    assert_ne!((new.cluster, new.node), (Identity::found(2_500).unwrap().cluster, 2));
    directory.renew(new).unwrap();
    drop(directory);
    let directory = StateDirectory::open(path).unwrap();
    assert_eq!(directory.identity(), new);
    assert_eq!(directory.log().unwrap().head().unwrap().0, crate::store::Head::default());
}
