//! The CA bundle: the system's CAs and ours in one file.
//!
//! Clients that are given one file trust nothing else, so that package managers would stop to work
//! with our CA alone.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read as _};
use std::path::{Path, PathBuf};

use cavansite_core::store::sqlite::Durability;

use super::authority::pem;
use crate::directories::write_public;

/// The first line of a bundle, by which one is not taken for the system's.
const HEADER: &[u8] = b"# The system's CAs and Cavansite's, made by Cavansite at each start.\n";

/// Where systems keep their CAs in one file: Debian and Alpine, Fedora, SUSE, BSD and macOS.
const SYSTEM_FILES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The variables by which a user names another bundle (that of a company's proxy, for one).
const VARIABLES: [&str; 2] = ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"];

/// Writes the bundle beside the CA's file, unless it is there as it should be; returns its path.
pub fn write_bundle(ca_file: &Path) -> io::Result<PathBuf> {
    let path = ca_file.with_file_name("ca-bundle.pem");
    let present = File::open(&path).map(BufReader::new);
    let is_present = present.is_ok_and(|present| {
        bundle(ca_file).is_ok_and(|bundle| are_same(bundle, present).unwrap_or(false))
    });
    if !is_present {
        write_public(&path, bundle(ca_file)?, Durability::None)?;
    }
    Ok(path)
}

/// The bundle. It is never in memory whole: it would be most of what a server takes.
fn bundle(ca_file: &Path) -> io::Result<impl BufRead> {
    let ours = BufReader::new(File::open(ca_file)?);
    Ok(HEADER
        .chain(system_authorities())
        .chain(&b"\n"[..])
        .chain(ours))
}

fn are_same(mut one: impl BufRead, mut other: impl BufRead) -> io::Result<bool> {
    loop {
        let (left, right) = (one.fill_buf()?, other.fill_buf()?);
        let count = left.len().min(right.len());
        if count == 0 || left[..count] != right[..count] {
            return Ok(left.is_empty() && right.is_empty());
        }
        one.consume(count);
        other.consume(count);
    }
}

/// The CAs that this user trusts now, PEM. Nothing where the system has none.
fn system_authorities() -> Box<dyn BufRead> {
    let chosen = VARIABLES.iter().filter_map(std::env::var_os);
    let files = SYSTEM_FILES.iter().map(PathBuf::from);
    let mut files = chosen.map(PathBuf::from).chain(files);
    let of_others = |path: PathBuf| {
        let mut file = BufReader::new(File::open(path).ok()?);
        (!file.fill_buf().ok()?.starts_with(HEADER)).then_some(file)
    };
    if let Some(file) = files.find_map(of_others) {
        return Box::new(file);
    }
    let native = rustls_native_certs::load_native_certs();
    let native: String = native.certs.iter().map(pem).collect();
    Box::new(Cursor::new(native))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_bundle_ends_with_our_ca_and_is_written_once() {
        let directory = tempfile::tempdir().unwrap();
        let ca = directory.path().join("ca.pem");
        fs::write(&ca, "ours\n").unwrap();
        let path = write_bundle(&ca).unwrap();
        let bundle = fs::read(&path).unwrap();
        assert!(bundle.starts_with(HEADER) && bundle.ends_with(b"ours\n"));
        let written = fs::metadata(&path).unwrap().modified().unwrap();
        assert_eq!(write_bundle(&ca).unwrap(), path);
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), written);
        for other in [&bundle[1..], &bundle[..bundle.len() - 1], b""] {
            fs::write(&path, other).unwrap();
            write_bundle(&ca).unwrap();
            assert_eq!(fs::read(&path).unwrap(), bundle);
        }
    }
}
