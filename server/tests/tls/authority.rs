//! An authority of certificates, made as a test needs it.

// Two test programs use this, each its own part.
#![allow(dead_code)]

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use std::fs;
use std::path::{Path, PathBuf};

/// An authority, with its files in a folder.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: PathBuf,
    pub(crate) pem: String,
    pub(crate) file: String,
}

/// A certificate and its key, in PEM, and their files.
pub(crate) struct Issued {
    pub(crate) pem: String,
    pub(crate) key_pem: String,
    pub(crate) cert: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(folder: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let file = folder.join(format!("{name}.pem"));
        fs::write(&file, &pem).unwrap();
        let file = file.to_str().unwrap().to_owned();
        Self { issuer: Issuer::new(params, key), folder: folder.to_owned(), pem, file }
    }

    /// A certificate for a name, valid until the end of a year.
    pub(crate) fn issue_until(&self, name: &str, year: i32) -> Issued {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "common name");
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(year, 12, 31);
        let key = KeyPair::generate().unwrap();
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        let key_pem = key.serialize_pem();
        let path = |end: &str| self.folder.join(format!("{name}.{year}.{end}")).to_str().unwrap().to_owned();
        let issued = Issued { pem, key_pem, cert: path("crt"), key: path("key") };
        fs::write(&issued.cert, &issued.pem).unwrap();
        fs::write(&issued.key, &issued.key_pem).unwrap();
        issued
    }

    pub(crate) fn issue(&self, name: &str) -> Issued {
        self.issue_until(name, 2999)
    }
}
