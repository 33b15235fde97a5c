//! The server's certificate: from a local CA that is made once, or from the operator's files; both
//! can change while the server runs.

mod authority;
mod bundle;
mod name;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use cavansite_core::model::Timestamp;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

pub use authority::{Authority, CA_FILE, Origin};
pub use bundle::write_bundle;
pub use name::Name;

use crate::config::TlsFiles;

/// A running server takes a new leaf from its CA when the present one has less than this left.
const RENEWAL_MARGIN_MS: i64 = 30 * DAY_MS;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// What is wrong with a key, a certificate or their files.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file could not be read or written.
    #[error("{}: {error}: check that file, its rights and the disk", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{}: {problem}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A certificate could not be made.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// The TLS library refused it.
    #[error("TLS: {0}")]
    Rustls(#[from] rustls::Error),
}

/// Where a server's certificate comes from.
pub enum Source {
    /// The local CA, for these names.
    Local {
        /// The CA.
        authority: Authority,
        /// Who the certificate is for.
        names: Vec<Name>,
    },
    /// The operator's files.
    Files(TlsFiles),
}

/// The certificate that new connections get.
pub struct ServerCertificate {
    source: Source,
    current: RwLock<Current>,
}

struct Current {
    key: Arc<CertifiedKey>,
    names: Vec<Name>,
    expires_at: Timestamp,
}

impl ServerCertificate {
    /// Makes or reads the first certificate.
    pub fn new(source: Source, now: Timestamp) -> Result<Self, TlsError> {
        let current = RwLock::new(obtain(&source, now)?);
        Ok(Self { source, current })
    }

    /// Reads the operator's files again, or makes a new leaf. When that fails the present
    /// certificate stays.
    pub fn reload(&self, now: Timestamp) -> Result<(), TlsError> {
        let next = obtain(&self.source, now)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(())
    }

    /// Makes a new leaf when the present one is near its end, and says whether it did. The
    /// operator's files are their own business.
    pub fn renew_if_due(&self, now: Timestamp) -> Result<bool, TlsError> {
        let local = matches!(self.source, Source::Local { .. });
        let expires_at = self.read(|current| current.expires_at);
        let due = local && expires_at.as_millis() - now.as_millis() < RENEWAL_MARGIN_MS;
        if due {
            self.reload(now)?;
        }
        Ok(due)
    }

    /// The names and addresses in the certificate.
    pub fn names(&self) -> Vec<Name> {
        self.read(|current| current.names.clone())
    }

    /// When the certificate ends.
    pub fn expires_at(&self) -> Timestamp {
        self.read(|current| current.expires_at)
    }

    fn read<T>(&self, look: impl FnOnce(&Current) -> T) -> T {
        look(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ResolvesServerCert for ServerCertificate {
    fn resolve(&self, _client: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.read(|current| Arc::clone(&current.key)))
    }
}

impl fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerCertificate({:?})", self.names())
    }
}

fn obtain(source: &Source, now: Timestamp) -> Result<Current, TlsError> {
    match source {
        Source::Local { authority, names } => {
            let (chain, key, expires_at) = authority.issue(names, now)?;
            Ok(Current {
                key: Arc::new(CertifiedKey::from_der(chain, key, &provider())?),
                names: names.clone(),
                expires_at,
            })
        }
        Source::Files(files) => read_files(files),
    }
}

fn read_files(files: &TlsFiles) -> Result<Current, TlsError> {
    let path = &files.certificate;
    let wrong = |path: &PathBuf, problem: String| TlsError::Content {
        path: path.clone(),
        problem,
    };
    let chain: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| wrong(path, error.to_string()))?;
    let leaf = chain
        .first()
        .ok_or_else(|| wrong(path, "holds no certificate".to_owned()))?;
    let (names, expires_at) = authority::read_leaf(leaf).map_err(|p| wrong(path, p))?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| wrong(&files.key, error.to_string()))?;
    let key = CertifiedKey::from_der(chain, key, &provider())
        .map_err(|error| wrong(&files.key, error.to_string()))?;
    Ok(Current {
        key: Arc::new(key),
        names,
        expires_at,
    })
}

/// The one crypto library of the program.
pub fn provider() -> Arc<CryptoProvider> {
    CryptoProvider::get_default().map_or_else(
        || Arc::new(rustls::crypto::aws_lc_rs::default_provider()),
        Arc::clone,
    )
}

/// TLS 1.2 and 1.3 with this certificate, HTTP/2 and HTTP/1.1; sessions resume by ticket, so that
/// the server keeps nothing for them.
pub fn server_config(certificate: Arc<ServerCertificate>) -> Result<Arc<ServerConfig>, TlsError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
    Ok(Arc::new(config))
}
