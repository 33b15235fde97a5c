//! The CA bundle: the system's CAs and ours in one file.
//!
//! Clients that are given one file trust nothing else, so that package managers would stop to work
//! with our CA alone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

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
    let mut bundle = HEADER.to_vec();
    bundle.append(&mut system_authorities());
    if !bundle.ends_with(b"\n") {
        bundle.push(b'\n');
    }
    bundle.append(&mut fs::read(ca_file)?);
    if !fs::read(&path).is_ok_and(|present| present == bundle) {
        write_public(&path, &bundle)?;
    }
    Ok(path)
}

/// The CAs that this user trusts now, PEM. Nothing where the system has none.
fn system_authorities() -> Vec<u8> {
    let chosen = VARIABLES.iter().filter_map(std::env::var_os);
    let files = SYSTEM_FILES.iter().map(PathBuf::from);
    let mut files = chosen.map(PathBuf::from).chain(files);
    let of_others = |path: PathBuf| fs::read(path).ok().filter(|pem| !pem.starts_with(HEADER));
    files.find_map(of_others).unwrap_or_else(|| {
        let native = rustls_native_certs::load_native_certs();
        native
            .certs
            .iter()
            .map(pem)
            .collect::<String>()
            .into_bytes()
    })
}

#[cfg(test)]
mod tests {
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
    }
}
