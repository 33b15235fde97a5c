//! The local CA, and certificates of the operator's own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::harness::{Home, Server, assert_refusal, exchange, tls};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_ca_of_dev_is_the_users_and_stays_over_restarts() {
    let home = Home::new();
    let server = home.start(&["dev"]);
    let file = home.path(".local/share/cavansite/tls/ca.pem");
    assert_eq!(Path::new(server.text("caFile")), file);
    assert_eq!(mode(&file.with_file_name("ca-key.pem")), 0o600);
    let first = fs::read(&file).unwrap();
    drop(server);
    let server = home.start(&["dev"]);
    assert_eq!(fs::read(&file).unwrap(), first);
    assert!(server.get("/health/live").contains("200 OK"));
}

#[test]
fn serve_keeps_its_ca_in_the_data_directory() {
    let home = Home::new();
    let server = home.start(&["serve", "--data", "data"]);
    assert_eq!(
        Path::new(server.text("caFile")),
        home.path("data/tls/ca.pem")
    );
    assert_eq!(mode(&home.path("data/tls/ca-key.pem")), 0o600);
    assert_eq!(mode(&home.path("data")), 0o700);
    assert!(!home.path(".local/share/cavansite").exists());
}

#[test]
fn the_ca_may_vouch_for_local_names_alone() {
    let home = Home::new();
    let server = home.start(&["dev"]);
    let certificate = CertificateDer::from_pem_file(server.text("caFile")).unwrap();
    let (_, ca) = X509Certificate::from_der(&certificate).unwrap();
    let constraints = ca.name_constraints().unwrap().unwrap();
    assert!(constraints.critical);
    let permitted = constraints.value.permitted_subtrees.as_ref().unwrap();
    let domains: Vec<&str> = permitted
        .iter()
        .filter_map(|tree| match tree.base {
            GeneralName::DNSName(name) => Some(name),
            _ => None,
        })
        .collect();
    assert_eq!(domains, ["localhost", "test", "internal", "cavansite"]);
    let networks = permitted
        .iter()
        .filter(|t| matches!(t.base, GeneralName::IPAddress(_)));
    assert_eq!(networks.count(), 6);
}

#[test]
fn the_certificate_is_for_every_local_name_and_for_those_given() {
    let home = Home::new();
    let server = home.start(&["dev", "--host", "a.chat.test,10.9.8.7"]);
    let ca = Path::new(server.text("caFile"));
    for name in [
        "localhost",
        "127.0.0.1",
        "::1",
        "cavansite",
        "a.chat.test",
        "10.9.8.7",
    ] {
        let answer = exchange(tls(server.address(), name, ca), "/health/live", "");
        assert!(answer.contains("200 OK"), "{name}: {answer}");
    }
}

#[test]
fn a_host_beyond_the_constraints_makes_a_new_ca_and_says_so() {
    let home = Home::new();
    let server = home.start(&["dev"]);
    let file = server.text("caFile").to_owned();
    let before = fs::read(&file).unwrap();
    assert!(!server.log().contains("made a new local CA"));
    drop(server);
    let server = home.start(&["dev", "--host", "chat.example.com"]);
    assert!(
        server.log().contains("made a new local CA"),
        "{}",
        server.log()
    );
    assert_ne!(fs::read(&file).unwrap(), before);
    let stream = tls(server.address(), "chat.example.com", Path::new(&file));
    assert!(exchange(stream, "/health/live", "").contains("200 OK"));
}

/// Writes a self-signed certificate and its key, and returns the certificate.
fn write_certificate(home: &Home) -> Vec<u8> {
    let key = KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let certificate = CertificateParams::new(names)
        .unwrap()
        .self_signed(&key)
        .unwrap();
    fs::write(home.path("key.pem"), key.serialize_pem()).unwrap();
    fs::write(home.path("chain.pem"), certificate.pem()).unwrap();
    certificate.der().to_vec()
}

fn presented(server: &Server, home: &Home) -> Vec<u8> {
    let mut stream = tls(server.address(), "localhost", &home.path("chain.pem"));
    std::io::Write::flush(&mut stream).unwrap();
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock).unwrap();
    }
    stream.conn.peer_certificates().unwrap()[0].to_vec()
}

const OWN: [&str; 7] = [
    "serve",
    "--data",
    "data",
    "--tls-cert",
    "chain.pem",
    "--tls-key",
    "key.pem",
];

#[test]
fn sighup_swaps_the_operators_certificate() {
    let home = Home::new();
    let first = write_certificate(&home);
    let server = home.start(&OWN);
    assert!(server.ready.get("caFile").is_none());
    assert_eq!(presented(&server, &home), first);

    let second = write_certificate(&home);
    server.signal("HUP");
    server.wait_for("the certificate was renewed", Server::log);
    assert_eq!(presented(&server, &home), second);

    fs::write(
        home.path("key.pem"),
        KeyPair::generate().unwrap().serialize_pem(),
    )
    .unwrap();
    server.signal("HUP");
    server.wait_for("the certificate stays as it is", Server::log);
    assert_eq!(presented(&server, &home), second);
}

#[test]
fn a_certificate_without_its_key_is_refused() {
    let home = Home::new();
    write_certificate(&home);
    fs::write(
        home.path("key.pem"),
        KeyPair::generate().unwrap().serialize_pem(),
    )
    .unwrap();
    let output = home.run(&[&OWN[..], &["--listen", "127.0.0.1:0"]].concat());
    assert_refusal(&output, 1, "key.pem");
}
