//! Settings: defaults, then the TOML file, then `CAVANSITE_*` variables, then flags.
//!
//! [`ServerOptions`] is one layer of them: clap fills one from flags and environment, serde another
//! from the file, and [`Settings`] is what they come to. The doc comments of its fields are the
//! text of `--help` and of `cavansite.example.toml`.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use axum::http::Uri;
use cavansite_core::limits::Limits;
use ipnet::IpNet;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::http::HttpLimits;
use crate::logging::LogFormat;
use crate::realtime::RealtimeLimits;
use crate::state::{ErrorShape, Profile};
use crate::tls::Name;

/// Where a server listens that was told nothing else.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:10010";

/// What every `CAVANSITE_*` variable begins with.
const VARIABLE_PREFIX: &str = "CAVANSITE_";

/// Kubernetes sets variables of these names in every pod beside a service called `cavansite`.
const FOREIGN_VARIABLES: [&str; 2] = ["CAVANSITE_SERVICE_", "CAVANSITE_PORT"];

/// What is wrong with a setting: one line that names it and where it was set.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SettingError(String);

/// One layer of settings: what is not set is left to the layer below.
#[derive(Clone, Debug, Default, clap::Args, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerOptions {
    /// Address and port to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", env = "CAVANSITE_LISTEN")]
    #[arg(hide_env_values = true)]
    pub listen: Option<SocketAddr>,
    /// The data directory; `dev` without it keeps nothing, `serve` needs it
    #[arg(
        long,
        value_name = "DIR",
        env = "CAVANSITE_DATA",
        hide_env_values = true
    )]
    pub data: Option<PathBuf>,
    /// A file with settings (TOML), as cavansite.example.toml shows them
    #[arg(
        long,
        value_name = "FILE",
        env = "CAVANSITE_CONFIG",
        hide_env_values = true
    )]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// `open` is convenient, `azure` keeps the hosted service's restrictions
    #[arg(long, env = "CAVANSITE_PROFILE", hide_env_values = true)]
    pub profile: Option<Profile>,
    /// The shape of chat errors; `azure` has `hosted` as its default, `open` has `published`
    #[arg(long, env = "CAVANSITE_ERROR_SHAPE", hide_env_values = true)]
    pub error_shape: Option<ErrorShape>,
    /// One more name or address in the certificate of the local CA
    #[arg(
        long,
        value_name = "NAME",
        env = "CAVANSITE_HOST",
        hide_env_values = true
    )]
    #[arg(value_delimiter = ',')]
    pub host: Option<Vec<Name>>,
    /// The URL under which clients reach the server, when it is not the listening address
    #[arg(
        long,
        value_name = "URL",
        env = "CAVANSITE_PUBLIC_URL",
        hide_env_values = true
    )]
    pub public_url: Option<PublicUrl>,
    /// A certificate chain of your own (PEM), in place of the local CA's; read anew on SIGHUP
    #[arg(
        long,
        value_name = "FILE",
        env = "CAVANSITE_TLS_CERT",
        hide_env_values = true
    )]
    pub tls_cert: Option<PathBuf>,
    /// The private key of that certificate (PEM)
    #[arg(
        long,
        value_name = "FILE",
        env = "CAVANSITE_TLS_KEY",
        hide_env_values = true
    )]
    pub tls_key: Option<PathBuf>,
    /// Addresses of proxies whose plain HTTP and X-Forwarded-* headers are accepted
    #[arg(long, value_name = "CIDR", env = "CAVANSITE_TRUSTED_PROXY")]
    #[arg(value_delimiter = ',', hide_env_values = true)]
    pub trusted_proxy: Option<Vec<IpNet>>,
    /// A file to write, mode 0600, once the port answers: endpoint, connection string, CA, pid
    #[arg(
        long,
        value_name = "PATH",
        env = "CAVANSITE_READY_FILE",
        hide_env_values = true
    )]
    pub ready_file: Option<PathBuf>,
    /// The form of the log: `pretty` for people (as in `dev`), `json` for machines (as in `serve`)
    #[arg(long, env = "CAVANSITE_LOG", hide_env_values = true)]
    pub log: Option<LogFormat>,
    /// What is logged, by module and level; `cavansite::access=debug` logs every request
    #[arg(
        long,
        value_name = "FILTER",
        env = "CAVANSITE_LOG_FILTER",
        hide_env_values = true
    )]
    pub log_filter: Option<String>,
    /// Bounds of connections and requests; the variables are `CAVANSITE_HTTP_*`
    #[arg(skip)]
    pub http: HttpLimits,
    /// Bounds of the service; the variables are `CAVANSITE_LIMITS_*`
    #[arg(skip)]
    pub limits: Limits,
    /// Bounds of real-time notifications; the variables are `CAVANSITE_REALTIME_*`
    #[arg(skip)]
    pub realtime: RealtimeLimits,
}

/// The settings in force.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The data directory, where one was given.
    pub data: Option<PathBuf>,
    /// Which of the service's rules hold.
    pub profile: Profile,
    /// The shape of chat errors, where it was chosen.
    pub error_shape: Option<ErrorShape>,
    /// More names in the local CA's certificate.
    pub host: Vec<Name>,
    /// The URL under which clients reach the server.
    pub public_url: Option<PublicUrl>,
    /// The operator's own certificate and key.
    pub tls_files: Option<TlsFiles>,
    /// Proxies to believe.
    pub trusted_proxy: Vec<IpNet>,
    /// One more place for the ready file.
    pub ready_file: Option<PathBuf>,
    /// The log's form, where it was chosen.
    pub log: Option<LogFormat>,
    /// The log's filter, where one was given.
    pub log_filter: Option<String>,
    /// Bounds of connections and requests.
    pub http: HttpLimits,
    /// Bounds of the service.
    pub limits: Limits,
    /// Bounds of real-time notifications.
    pub realtime: RealtimeLimits,
}

/// A certificate and key that the operator brings.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The chain, leaf first, PEM.
    pub certificate: PathBuf,
    /// The leaf's private key, PEM.
    pub key: PathBuf,
}

/// An absolute `http` or `https` URL without path and query.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct PublicUrl(Uri);

impl PublicUrl {
    /// The URL.
    pub fn uri(&self) -> &Uri {
        &self.0
    }

    /// As links begin with it: without a slash at the end.
    pub fn base(&self) -> String {
        self.0.to_string().trim_end_matches('/').to_owned()
    }
}

impl std::str::FromStr for PublicUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "must be like https://chat.example.com, without a path".to_owned();
        let uri: Uri = text.to_ascii_lowercase().parse().map_err(|_| wrong())?;
        let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
        let has_host = uri.authority().is_some_and(|a| !a.as_str().contains('@'));
        if is_http && has_host && matches!(uri.path(), "" | "/") && uri.query().is_none() {
            Ok(Self(uri))
        } else {
            Err(wrong())
        }
    }
}

impl TryFrom<String> for PublicUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl Settings {
    /// Brings the layers together: `given` holds flags and environment, the file that it names lies
    /// below it, and `variables` sets what has no flag (`CAVANSITE_HTTP_*`, `CAVANSITE_LIMITS_*`,
    /// `CAVANSITE_REALTIME_*`).
    pub fn resolve(
        given: ServerOptions,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, SettingError> {
        let file = match &given.config {
            Some(path) => read_file(path)?,
            None => ServerOptions::default(),
        };
        let variables: BTreeMap<_, _> = variables.collect();
        let tls_files = match (
            given.tls_cert.or(file.tls_cert),
            given.tls_key.or(file.tls_key),
        ) {
            (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key }),
            (None, None) => None,
            _ => return Err(SettingError("tls-cert and tls-key go together".to_owned())),
        };
        let default_listen = SocketAddr::from(([127, 0, 0, 1], 10010));
        let settings = Self {
            listen: given.listen.or(file.listen).unwrap_or(default_listen),
            data: given.data.or(file.data),
            profile: given.profile.or(file.profile).unwrap_or(Profile::Open),
            error_shape: given.error_shape.or(file.error_shape),
            host: given.host.or(file.host).unwrap_or_default(),
            public_url: given.public_url.or(file.public_url),
            tls_files,
            trusted_proxy: given
                .trusted_proxy
                .or(file.trusted_proxy)
                .unwrap_or_default(),
            ready_file: given.ready_file.or(file.ready_file),
            log: given.log.or(file.log),
            log_filter: given.log_filter.or(file.log_filter),
            http: override_section("HTTP", &file.http, &variables)?,
            limits: override_section("LIMITS", &file.limits, &variables)?,
            realtime: override_section("REALTIME", &file.realtime, &variables)?,
        };
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> Result<(), SettingError> {
        if self.tls_files.is_some() && !self.host.is_empty() {
            return Err(SettingError(
                "host names the local CA's certificate, which tls-cert replaces".to_owned(),
            ));
        }
        if let Some(filter) = &self.log_filter {
            crate::logging::check_filter(filter)
                .map_err(|error| SettingError(format!("log-filter: {error}")))?;
        }
        check_positive("http", &self.http)?;
        check_positive("limits", &self.limits)?;
        check_positive("realtime", &self.realtime)
    }

    /// Whether the listening address can be reached from other machines.
    pub fn listens_beyond_loopback(&self) -> bool {
        !self.listen.ip().to_canonical().is_loopback()
    }

    /// The address at which a client on this machine reaches the server that listens on `bound`.
    pub fn local_address(bound: SocketAddr) -> SocketAddr {
        let ip = match bound.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
            ip => ip,
        };
        SocketAddr::new(ip, bound.port())
    }
}

/// Reads a settings file; an error names the file, the line and the key.
fn read_file(path: &Path) -> Result<ServerOptions, SettingError> {
    let shown = path.display();
    let text = fs::read_to_string(path)
        .map_err(|error| SettingError(format!("settings file {shown}: {error}")))?;
    toml::from_str(&text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start));
        let line = before.map_or(1, |before| before.matches('\n').count() + 1);
        let message = error.message().replace('\n', " ");
        SettingError(format!("settings file {shown}, line {line}: {message}"))
    })
}

/// The section with what `CAVANSITE_<SECTION>_<KEY>` variables say put in. All its values are whole
/// numbers.
fn override_section<T: Serialize + DeserializeOwned>(
    section: &str,
    from_file: &T,
    variables: &BTreeMap<String, String>,
) -> Result<T, SettingError> {
    let internal = |error: String| SettingError(format!("{section}: {error}"));
    let mut table = toml::Table::try_from(from_file).map_err(|e| internal(e.to_string()))?;
    let prefix = format!("{VARIABLE_PREFIX}{section}_");
    for (name, value) in variables {
        let Some(key) = name.strip_prefix(&prefix) else {
            continue;
        };
        let key = key.to_ascii_lowercase();
        if !table.contains_key(&key) {
            return Err(SettingError(format!("unknown variable {name}")));
        }
        let number: i64 = value
            .parse()
            .map_err(|_| SettingError(format!("{name}: `{value}` is not a whole number")))?;
        table.insert(key, number.into());
        table
            .clone()
            .try_into::<T>()
            .map_err(|error| SettingError(format!("{name}: {}", error.message())))?;
    }
    table
        .try_into()
        .map_err(|error: toml::de::Error| internal(error.message().to_owned()))
}

/// Refuses bounds of nothing: every one is a size, a count or a time of at least 1, but for the
/// window of repeats, which 0 turns off.
fn check_positive(section: &str, bounds: &impl Serialize) -> Result<(), SettingError> {
    let table = toml::Table::try_from(bounds).map_err(|e| SettingError(e.to_string()))?;
    for (key, value) in &table {
        let least = i64::from(key != "send_repeat_window_ms");
        if value.as_integer().is_some_and(|number| number < least) {
            return Err(SettingError(format!(
                "{section}.{key}: {value} is below {least}"
            )));
        }
    }
    Ok(())
}

/// Refuses `CAVANSITE_*` variables that no setting goes by, so that a misspelt one is noticed.
/// `known` are the variables that options are read from.
pub fn check_variables<'a>(
    names: impl Iterator<Item = &'a str>,
    known: &[String],
) -> Result<(), SettingError> {
    let sections = ["HTTP_", "LIMITS_", "REALTIME_"];
    let sections = sections.map(|section| format!("{VARIABLE_PREFIX}{section}"));
    for name in names.filter(|name| name.starts_with(VARIABLE_PREFIX)) {
        let foreign = FOREIGN_VARIABLES.iter().any(|f| name.starts_with(f));
        let in_section = sections.iter().any(|s| name.starts_with(s.as_str()));
        if !foreign && !in_section && !known.iter().any(|known| known == name) {
            return Err(SettingError(format!("unknown variable {name}")));
        }
    }
    Ok(())
}
