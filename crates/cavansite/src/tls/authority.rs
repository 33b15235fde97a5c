//! The local certificate authority: made once, kept in a directory, good for local names alone.
//!
//! Its name constraints keep a stolen key from vouching for anything on the internet. CA and leaf
//! have different subject names: with equal ones OpenSSL takes the leaf for self-signed.

use std::fs::{self, File};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cavansite_core::model::Timestamp;
use cavansite_core::store::sqlite::Durability;
use ipnet::IpNet;
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, PublicKeyData,
    SanType, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::name::{Name, Realm};
use super::{DAY_MS, TlsError};
use crate::directories::{write_private, write_public};
use crate::platform;

/// The CA's certificate, for clients to trust.
pub const CA_FILE: &str = "ca.pem";
const KEY_FILE: &str = "ca-key.pem";
const LOCK_FILE: &str = "ca.lock";

/// A new CA lives this long.
const CA_LIFE_MS: i64 = 3650 * DAY_MS;
/// A CA with less than this left is replaced: its leaves must not outlive it.
const CA_REST_MIN_MS: i64 = LEAF_LIFE_MS + 30 * DAY_MS;
/// A leaf lives this long; every start makes one, and a running server renews it.
const LEAF_LIFE_MS: i64 = 90 * DAY_MS;
/// Certificates begin this long ago, for clients whose clock is behind.
const BACKDATE_MS: i64 = DAY_MS;

/// The local CA, able to sign.
pub struct Authority {
    file: PathBuf,
    certificate: CertificateDer<'static>,
    key_pem: String,
}

/// How a CA came to be the one in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was there.
    Kept,
    /// The directory held none.
    Made,
    /// The one there ends soon, was damaged, or may not vouch for a name that is asked for:
    /// clients must trust the new one.
    Replaced,
}

impl Authority {
    /// The CA in `directory`, which is made, together with its directory, where there is none that
    /// may vouch for all the names.
    pub fn open(
        directory: &Path,
        names: &[Name],
        now: Timestamp,
    ) -> Result<(Self, Origin), TlsError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |error| TlsError::File { path, error }
        };
        platform::create_private_directory(directory).map_err(failed(directory))?;
        // Two servers that start side by side must come to the same CA.
        let lock_path = directory.join(LOCK_FILE);
        let lock = File::create(&lock_path).map_err(failed(&lock_path))?;
        lock.lock().map_err(failed(&lock_path))?;

        let file = directory.join(CA_FILE);
        let had_one = file.exists();
        let mut realms = Realm::standard();
        if let Some((authority, allowed)) = Self::read(directory, now) {
            if names
                .iter()
                .all(|name| allowed.iter().any(|realm| realm.covers(name)))
            {
                return Ok((authority, Origin::Kept));
            }
            realms.extend(
                allowed
                    .into_iter()
                    .filter(|r| !Realm::standard().contains(r)),
            );
        }
        for name in names {
            if !realms.iter().any(|realm| realm.covers(name)) {
                realms.push(Realm::of(name));
            }
        }
        let authority = Self::make(file, &realms, now)?;
        let key_path = directory.join(KEY_FILE);
        // Synced before they are named: what a later start finds is whole after a power cut too.
        let key_pem = authority.key_pem.as_bytes();
        write_private(&key_path, key_pem, Durability::Synced).map_err(failed(&key_path))?;
        let pem = pem(&authority.certificate);
        write_public(&authority.file, pem.as_bytes(), Durability::Synced)
            .map_err(failed(&authority.file))?;
        let origin = if had_one {
            Origin::Replaced
        } else {
            Origin::Made
        };
        Ok((authority, origin))
    }

    /// The CA that is there and what it may vouch for; `None` when there is none that can be used.
    fn read(directory: &Path, now: Timestamp) -> Option<(Self, Vec<Realm>)> {
        let file = directory.join(CA_FILE);
        let certificate = CertificateDer::from_pem_file(&file).ok()?;
        let key_pem = fs::read_to_string(directory.join(KEY_FILE)).ok()?;
        let key = KeyPair::from_pem(&key_pem).ok()?;
        let (_, parsed) = X509Certificate::from_der(&certificate).ok()?;
        let rest = parsed.validity().not_after.timestamp() * 1000 - now.as_millis();
        let same_key = parsed.public_key().raw == key.subject_public_key_info();
        let constraints = parsed.name_constraints().ok()??.value;
        let allowed = constraints.permitted_subtrees.as_ref()?;
        let allowed = allowed.iter().filter_map(|tree| realm_of(&tree.base));
        let allowed = allowed.collect();
        (rest >= CA_REST_MIN_MS && same_key).then_some((
            Self {
                file,
                certificate,
                key_pem,
            },
            allowed,
        ))
    }

    fn make(file: PathBuf, realms: &[Realm], now: Timestamp) -> Result<Self, TlsError> {
        let key = KeyPair::generate()?;
        let mut parameters = CertificateParams::default();
        set_life(&mut parameters, now, CA_LIFE_MS);
        // A name of its own, so that a client that holds an older CA too picks the right one.
        let identifier = parameters.key_identifier(&key);
        let mark = identifier
            .iter()
            .take(4)
            .fold(0, |mark: u32, byte| mark << 8 | u32::from(*byte));
        let subject = &mut parameters.distinguished_name;
        subject.push(DnType::CommonName, format!("Cavansite local CA {mark:08x}"));
        parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        parameters.name_constraints = Some(NameConstraints {
            permitted_subtrees: realms.iter().map(subtree_of).collect(),
            excluded_subtrees: Vec::new(),
        });
        let certificate = parameters.self_signed(&key)?;
        Ok(Self {
            file,
            certificate: certificate.der().clone(),
            key_pem: key.serialize_pem(),
        })
    }

    /// Has the names of the CA's files survive a power cut, and its directory's, which may be new
    /// too. Systems other than Unix do that themselves.
    pub fn sync_names(&self) -> Result<(), TlsError> {
        let directories = if cfg!(unix) { 2 } else { 0 };
        for path in self.file.ancestors().skip(1).take(directories) {
            let synced = File::open(path).and_then(|file| file.sync_all());
            synced.map_err(|error| TlsError::File {
                path: path.to_owned(),
                error,
            })?;
        }
        Ok(())
    }

    /// The file with the CA's certificate.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// A leaf for the names with a key of its own that touches no disk, and when it ends.
    pub(super) fn issue(
        &self,
        names: &[Name],
        now: Timestamp,
    ) -> Result<
        (
            Vec<CertificateDer<'static>>,
            PrivateKeyDer<'static>,
            Timestamp,
        ),
        TlsError,
    > {
        let issuer =
            Issuer::from_ca_cert_der(&self.certificate, KeyPair::from_pem(&self.key_pem)?)?;
        let key = KeyPair::generate()?;
        let mut parameters = CertificateParams::default();
        set_life(&mut parameters, now, LEAF_LIFE_MS);
        let subject = &mut parameters.distinguished_name;
        subject.push(DnType::CommonName, "Cavansite server");
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        parameters.use_authority_key_identifier_extension = true;
        for name in names {
            parameters.subject_alt_names.push(match name {
                Name::Dns(name) => SanType::DnsName(name.as_str().try_into()?),
                Name::Ip(address) => SanType::IpAddress(*address),
            });
        }
        let leaf = parameters.signed_by(&key, &issuer)?;
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        Ok((vec![leaf.der().clone()], key, now.plus_millis(LEAF_LIFE_MS)))
    }
}

/// The names in a leaf and when it ends; what is wrong with it otherwise.
pub(super) fn read_leaf(leaf: &CertificateDer<'_>) -> Result<(Vec<Name>, Timestamp), String> {
    let (_, parsed) = X509Certificate::from_der(leaf).map_err(|error| error.to_string())?;
    let names = parsed
        .subject_alternative_name()
        .map_err(|error| error.to_string())?
        .map(|extension| extension.value.general_names.as_slice())
        .unwrap_or_default();
    let names = names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(Name::Dns(name.to_ascii_lowercase())),
        GeneralName::IPAddress(bytes) => address(bytes).map(Name::Ip),
        _ => None,
    });
    let end = parsed.validity().not_after.timestamp().saturating_mul(1000);
    Ok((names.collect(), Timestamp::from_millis(end)))
}

fn set_life(parameters: &mut CertificateParams, now: Timestamp, life_ms: i64) {
    let at = |time: Timestamp| {
        let millis = u64::try_from(time.as_millis()).unwrap_or_default();
        date_time_ymd(1970, 1, 1) + Duration::from_secs(millis / 1000)
    };
    parameters.not_before = at(now.plus_millis(-BACKDATE_MS));
    parameters.not_after = at(now.plus_millis(life_ms));
}

fn subtree_of(realm: &Realm) -> GeneralSubtree {
    match realm {
        Realm::Domain(name) => GeneralSubtree::DnsName(name.clone()),
        Realm::Network(network) => GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(
            network.network(),
            network.prefix_len(),
        )),
    }
}

fn realm_of(name: &GeneralName<'_>) -> Option<Realm> {
    match name {
        GeneralName::DNSName(name) => Some(Realm::Domain((*name).to_owned())),
        GeneralName::IPAddress(bytes) => {
            let (base, mask) = bytes.split_at_checked(bytes.len() / 2)?;
            let network = IpNet::with_netmask(address(base)?, address(mask)?);
            network.ok().map(Realm::Network)
        }
        _ => None,
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

/// A certificate in the form that every client reads.
pub(super) fn pem(certificate: &CertificateDer<'_>) -> String {
    use base64::prelude::{BASE64_STANDARD, Engine};
    let text = BASE64_STANDARD.encode(certificate);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn open(directory: &Path, more: &[&str], now: Timestamp) -> (Authority, Origin) {
        let more: Vec<Name> = more.iter().map(|name| name.parse().unwrap()).collect();
        Authority::open(directory, &Name::standard_and(&more), now).unwrap()
    }

    #[test]
    fn the_ca_is_made_once() {
        let directory = tempfile::tempdir().unwrap();
        let (first, origin) = open(directory.path(), &[], NOW);
        assert_eq!(origin, Origin::Made);
        let (second, origin) = open(directory.path(), &["a.b.test", "10.1.2.3"], NOW);
        assert_eq!(origin, Origin::Kept);
        assert_eq!(first.certificate, second.certificate);
    }

    #[test]
    fn a_name_outside_the_constraints_makes_a_new_ca_that_keeps_the_old_names() {
        let directory = tempfile::tempdir().unwrap();
        open(directory.path(), &[], NOW);
        let (_, origin) = open(directory.path(), &["chat.example.com"], NOW);
        assert_eq!(origin, Origin::Replaced);
        let (_, origin) = open(directory.path(), &["203.0.113.9"], NOW);
        assert_eq!(origin, Origin::Replaced);
        let (_, origin) = open(directory.path(), &["chat.example.com", "203.0.113.9"], NOW);
        assert_eq!(origin, Origin::Kept);
        let (_, origin) = open(directory.path(), &["example.com"], NOW);
        assert_eq!(origin, Origin::Replaced);
    }

    #[test]
    fn a_ca_near_its_end_or_with_a_foreign_key_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        open(directory.path(), &[], NOW);
        let late = NOW.plus_millis(CA_LIFE_MS - CA_REST_MIN_MS + 1000);
        assert_eq!(open(directory.path(), &[], late).1, Origin::Replaced);
        let foreign = KeyPair::generate().unwrap().serialize_pem();
        fs::write(directory.path().join(KEY_FILE), foreign).unwrap();
        assert_eq!(open(directory.path(), &[], late).1, Origin::Replaced);
        assert_eq!(open(directory.path(), &[], late).1, Origin::Kept);
    }

    #[test]
    fn a_leaf_names_what_it_is_for_and_ends_before_its_ca() {
        let directory = tempfile::tempdir().unwrap();
        let (authority, _) = open(directory.path(), &[], NOW);
        let names = Name::standard_and(&["a.test".parse().unwrap()]);
        let (chain, _, expires_at) = authority.issue(&names, NOW).unwrap();
        let (read, end) = read_leaf(&chain[0]).unwrap();
        assert_eq!(read, names);
        assert_eq!(end, expires_at);
        let (_, leaf) = X509Certificate::from_der(&chain[0]).unwrap();
        let (_, ca) = X509Certificate::from_der(&authority.certificate).unwrap();
        assert_ne!(leaf.subject(), ca.subject());
        assert_eq!(leaf.issuer(), ca.subject());
        assert!(leaf.validity().not_after < ca.validity().not_after);
        leaf.verify_signature(Some(ca.public_key())).unwrap();
    }
}
