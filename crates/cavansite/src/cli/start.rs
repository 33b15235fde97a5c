//! Starting and stopping a server: what `dev` and `serve` have in common.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use cavansite_core::Error;
use cavansite_core::clock::{Clock, SystemClock, SystemRandomness};
use cavansite_core::model::{Installation, KeySlot};
use cavansite_core::store::sqlite::{self, Durability, SqliteOptions, SqliteStore};
use tokio::sync::{oneshot, watch};

use super::{Failure, dev};
use crate::config::Settings;
use crate::emulator::{self, TemporaryDirectory};
use crate::http::{self, HttpSettings, Workers};
use crate::logging::{self, LogFormat};
use crate::platform::{self, Request, Signals};
use crate::ready::{Published, Ready, connection_string};
use crate::state::{AppState, StateOptions};
use crate::tls::{self, Authority, Name, Origin, ServerCertificate, Source, TlsError};
use crate::{api, directories};

/// How far a signed request's date may be off, in milliseconds.
const DATE_SKEW_MS: i64 = 15 * 60 * 1000;
/// How often a running server looks whether its certificate is near its end.
const RENEWAL_CHECK: Duration = Duration::from_hours(12);
/// How long the store may take to close. What it had acknowledged is safe without that.
const STORE_CLOSE_TIMEOUT: Duration = Duration::from_secs(20);

/// Which of the two servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// The emulator.
    Dev,
    /// The server.
    Serve,
}

/// A server that listens.
pub(super) struct Running {
    pub(super) state: Arc<AppState>,
    pub(super) ready: Ready,
    /// Whether the data goes away with the server.
    pub(super) is_temporary: bool,
}

/// Starts a server and runs it until it is told to stop.
pub(super) fn start(mode: Mode, settings: Settings) -> Result<(), Failure> {
    let (format, filter) = match mode {
        Mode::Dev => (LogFormat::Pretty, "info,cavansite::access=debug"),
        Mode::Serve => (LogFormat::Json, "info"),
    };
    let filter = settings.log_filter.as_deref().unwrap_or(filter);
    logging::start(settings.log.unwrap_or(format), filter);
    if let Some(path) = &settings.ready_file {
        // Whoever waits for this file must not find that of a server before.
        let _ = std::fs::remove_file(path);
    }
    platform::raise_open_files();

    // First of all: requests that come from now on wait for their answer, they are not refused.
    let listener = TcpListener::bind(settings.listen).map_err(|error| {
        let hint = if error.kind() == ErrorKind::AddrInUse {
            ": stop what runs there, or choose another with --listen; port 0 takes a free one"
        } else {
            ""
        };
        Failure::new(format!(
            "cannot listen on {}: {error}{hint}",
            settings.listen
        ))
    })?;
    let (data, temporary) = if let Some(data) = &settings.data {
        (data.clone(), None)
    } else {
        let temporary = TemporaryDirectory::create()?;
        (temporary.data(), Some(temporary))
    };
    platform::create_private_directory(&data).map_err(|error| unusable(&data, &error))?;
    let data = std::path::absolute(data)?;
    let is_there = sqlite::recognise(&data).map_err(Failure::new)?;

    // Certificate and store have nothing to do with each other: they are made side by side.
    let (certificate, store) = std::thread::scope(|scope| {
        let certificate = scope.spawn(|| open_certificate(mode, &settings, &data));
        let store = open_store(&settings, &data, temporary.is_some());
        (certificate.join(), store)
    });
    let store = Arc::new(store?);
    let certificate = certificate
        .map_err(|_| Failure::new("the certificate could not be made"))?
        .map_err(Failure::new)?;
    if temporary.is_none() && !is_there {
        // A mistyped directory is one, too.
        tracing::info!(data = %data.display(), "made a new store: no data was there");
    }

    let runtime = http::new_runtime()?;
    let server = Server {
        mode,
        settings,
        data,
        listener,
        certificate,
        is_temporary: temporary.is_some(),
    };
    let result = runtime.block_on(server.run(store));
    // A request that does not end must not keep the process.
    runtime.shutdown_background();
    drop(temporary);
    result
}

fn unusable(data: &Path, error: &impl std::fmt::Display) -> Failure {
    Failure::new(format!(
        "the data directory {} cannot be used: {error}: check its owner, its rights and the disk",
        data.display()
    ))
}

fn open_store(settings: &Settings, data: &Path, temporary: bool) -> Result<SqliteStore, Failure> {
    SqliteStore::open(SqliteOptions {
        directory: data.to_owned(),
        durability: if temporary {
            Durability::None
        } else {
            Durability::Synced
        },
        limits: settings.limits.clone(),
        clock: Arc::new(SystemClock),
    })
    .map_err(Failure::new)
}

/// A certificate and, where the local CA made it, that CA's file.
struct Certificate {
    server: Arc<ServerCertificate>,
    ca_file: Option<PathBuf>,
}

fn open_certificate(mode: Mode, settings: &Settings, data: &Path) -> Result<Certificate, TlsError> {
    let now = SystemClock.now();
    let (source, ca_file) = if let Some(files) = &settings.tls_files {
        (Source::Files(files.clone()), None)
    } else {
        let (authority, names) = open_authority(mode, settings, data)?;
        let file = authority.file().to_owned();
        (Source::Local { authority, names }, Some(file))
    };
    Ok(Certificate {
        server: Arc::new(ServerCertificate::new(source, now)?),
        ca_file,
    })
}

/// The local CA: one per user for emulators, so that it has to be trusted once; a server's own in
/// its data directory.
fn open_authority(
    mode: Mode,
    settings: &Settings,
    data: &Path,
) -> Result<(Authority, Vec<Name>), TlsError> {
    let directory = match mode {
        Mode::Dev => directories::user_data()
            .map_err(|error| TlsError::File {
                path: PathBuf::from("tls"),
                error,
            })?
            .join("tls"),
        Mode::Serve => data.join("tls"),
    };
    let mut extra = settings.host.clone();
    let address = settings.listen.ip().to_canonical();
    if !address.is_unspecified() {
        extra.push(Name::Ip(address));
    }
    let names = Name::standard_and(&extra);
    let (authority, origin) = Authority::open(&directory, &names, SystemClock.now())?;
    // The emulator's is made anew without much ado; that of a server is what its clients trust. One
    // that is kept may be of a start that ended before it had synced the names, or could not.
    if mode == Mode::Serve {
        authority.sync_names()?;
    }
    match origin {
        Origin::Kept => {}
        Origin::Made => tracing::info!(file = %authority.file().display(), "made a local CA"),
        Origin::Replaced => tracing::warn!(
            file = %authority.file().display(),
            "made a new local CA: clients that trust the old one must be told (cavansite trust)"
        ),
    }
    Ok((authority, names))
}

/// A server about to listen.
struct Server {
    mode: Mode,
    settings: Settings,
    data: PathBuf,
    listener: TcpListener,
    certificate: Certificate,
    is_temporary: bool,
}

impl Server {
    async fn run(self, store: Arc<SqliteStore>) -> Result<(), Failure> {
        let result = self.serve(Arc::clone(&store)).await;
        let closed = tokio::time::timeout(STORE_CLOSE_TIMEOUT, store.close()).await;
        if closed.is_err() {
            tracing::warn!("the store did not close in time: its next start takes longer");
        }
        let writes = store.writes();
        tracing::info!(
            writes = writes.requests,
            groups = writes.groups,
            reads = store.reads(),
            "the store is closed; the writes of a group shared one sync, the reads went to the \
             database"
        );
        result
    }

    async fn serve(self, store: Arc<SqliteStore>) -> Result<(), Failure> {
        let state = self.open_state(Arc::clone(&store)).await?;
        if self.mode == Mode::Serve && emulator::has_well_known_key(&state.identity.installation())
        {
            return Err(Failure::new(format!(
                "{} was made by `cavansite dev`, whose access key everyone knows: serve needs a \
                 directory of its own",
                self.data.display()
            )));
        }
        let mut signals = Signals::new()?;
        self.listener.set_nonblocking(true)?;
        let bound = self.listener.local_addr()?;
        let installation = state.identity.installation();
        let ready = self.ready(&installation, bound);
        let tls = tls::server_config(Arc::clone(&self.certificate.server)).map_err(Failure::new)?;
        let http = HttpSettings {
            trusted_proxies: self.settings.trusted_proxy.clone(),
            limits: self.settings.http.clone(),
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let mut serving = tokio::spawn(http::serve(
            tokio::net::TcpListener::from_std(self.listener.try_clone()?)?,
            Workers::one_per_core()?,
            api::router(Arc::clone(&state)),
            Some(tls),
            http,
            async { drop(stopped.await) },
        ));

        let running = Running {
            state,
            ready,
            is_temporary: self.is_temporary,
        };
        let rotations = running.state.identity.installation_changes();
        let announced = self.announce(running).await?;
        let interrupted = tokio::select! {
            () = wait_for_stop(&mut signals, &self.certificate.server) => None,
            ended = &mut serving => Some(ended),
            () = announced.follow(rotations) => None,
            () = store.ended() => {
                return Err(Failure::new(
                    "the store's writer has stopped (its reason is in the log): start the server \
                     again, what was acknowledged is kept",
                ));
            }
        };
        // From here on nobody should find this server, and nobody can connect to it.
        drop(announced);
        drop(self.listener);
        let ended = if let Some(ended) = interrupted {
            ended
        } else {
            tracing::info!("stopping");
            let _ = stop.send(());
            tokio::select! {
                biased;
                ended = &mut serving => ended,
                () = wait_for_stop(&mut signals, &self.certificate.server) => {
                    return Err(Failure::new("stopped at once by a second signal"));
                }
            }
        };
        ended.map_err(Failure::new)??;
        tracing::info!("stopped");
        Ok(())
    }

    async fn open_state(&self, store: Arc<SqliteStore>) -> Result<Arc<AppState>, Failure> {
        let is_emulator = self.mode == Mode::Dev;
        let names = self.certificate.server.names();
        let public_url = self.settings.public_url.as_ref();
        let options = StateOptions {
            clock: Arc::new(SystemClock),
            randomness: Arc::new(SystemRandomness),
            limits: self.settings.limits.clone(),
            realtime: self.settings.realtime.clone(),
            profile: self.settings.profile,
            proposed_installation: emulator::new_installation(&SystemRandomness, is_emulator),
            hosts: names.iter().map(Name::to_string).collect(),
            public_url: public_url.map(|url| url.uri().clone()),
            error_shape: self.settings.error_shape,
            date_skew_ms: DATE_SKEW_MS,
            body_bytes_max: self.settings.http.body_bytes_max,
            own_hosts_only: is_emulator && !self.settings.listens_beyond_loopback(),
        };
        let state = AppState::new(store, options)
            .await
            .map_err(|error| match error {
                // The first start writes: a full disk shows here at the latest.
                Error::Store(failure) => unusable(&self.data, &failure),
                other => Failure::new(other),
            })?;
        Ok(Arc::new(state))
    }

    /// What the ready file will say.
    fn ready(&self, installation: &Installation, bound: SocketAddr) -> Ready {
        let address = Settings::local_address(bound);
        let names = self.certificate.server.names();
        let is_local = self.certificate.ca_file.is_some();
        let local = format!("https://{address}");
        // A certificate of the operator's own is for the public name, not for this address.
        let endpoint = match &self.settings.public_url {
            Some(url) if !is_local => url.base(),
            _ => local,
        };
        let server_name = match names.first() {
            Some(name) if !is_local => name.to_string(),
            _ => address.ip().to_string(),
        };
        Ready {
            connection_string: primary_connection_string(&endpoint, installation),
            endpoint,
            ca_file: self.certificate.ca_file.clone(),
            ca_bundle: None,
            pid: std::process::id(),
            address,
            server_name,
            data: self.data.clone(),
        }
    }

    /// Tells the world, while the first requests are being answered already.
    async fn announce(&self, mut running: Running) -> Result<Announced, Failure> {
        let extra = self.settings.ready_file.clone();
        let mut ready = running.ready.clone();
        let published = tokio::task::spawn_blocking(move || {
            if let Some(ca_file) = &ready.ca_file {
                ready.ca_bundle = Some(tls::write_bundle(ca_file)?);
            }
            let published = Published::publish(&ready, extra.as_deref())?;
            Ok::<_, std::io::Error>((ready, published))
        });
        let published = published.await.map_err(Failure::new)?;
        let (ready, published) = published.map_err(|error| {
            Failure::new(format!(
                "{error}: check that place, its rights and the disk"
            ))
        })?;
        running.ready = ready;
        let ready = &running.ready;
        tracing::info!(endpoint = ready.endpoint, data = %self.data.display(), "listening");
        if self.mode == Mode::Dev {
            dev::welcome(&running).await;
            tokio::task::spawn_blocking(|| emulator::remove_stale_directories(&SystemClock));
        }
        let ready = running.ready;
        Ok(Announced { published, ready })
    }
}

/// The connection string with the primary access key.
fn primary_connection_string(endpoint: &str, installation: &Installation) -> String {
    let key = installation.access_key(KeySlot::Primary).key.expose();
    connection_string(endpoint, &BASE64_STANDARD.encode(key))
}

/// What the ready files say.
struct Announced {
    published: Published,
    ready: Ready,
}

impl Announced {
    /// Keeps the connection string up to date, for as long as the server runs.
    async fn follow(&self, mut rotations: watch::Receiver<Arc<Installation>>) {
        let mut ready = self.ready.clone();
        while rotations.changed().await.is_ok() {
            let installation = Arc::clone(&rotations.borrow_and_update());
            ready.connection_string = primary_connection_string(&ready.endpoint, &installation);
            if let Err(error) = self.published.update(&ready) {
                tracing::warn!(%error, "a ready file still says the old access key");
            }
        }
    }
}

/// Waits for the signal to stop, and meanwhile keeps the certificate up to date.
async fn wait_for_stop(signals: &mut Signals, certificate: &ServerCertificate) {
    loop {
        let done = tokio::select! {
            request = signals.next() => match request {
                Request::Stop => return,
                Request::Reload => certificate.reload(SystemClock.now()).map(|()| true),
            },
            () = tokio::time::sleep(RENEWAL_CHECK) => certificate.renew_if_due(SystemClock.now()),
        };
        match done {
            Ok(true) => tracing::info!(
                expires_at_ms = certificate.expires_at().as_millis(),
                "the certificate was renewed"
            ),
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "the certificate stays as it is"),
        }
    }
}
