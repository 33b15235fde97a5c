//! A device: one connection identity of a user with its websocket, or one event stream. It keeps
//! what it was told, in the order in which it was, and when it was not listening.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, sleep_until};

use super::event::Told;
use super::stream;
use super::websocket;
use super::world::{RETRY, World, count, now_ms};

/// How long before the end of a connection what it brought may not have been read.
const UNREAD_MS: u64 = 2_000;
/// Who is told something no older is not behind any more, in milliseconds.
const FRESH_MS: u64 = 1_000;
/// The receive buffer of those who stop reading, in bytes. One smaller than a segment of the
/// loopback interface (64 KiB) is filled only each time that the system asks whether there is room,
/// five times a second: what waits then takes minutes.
const SMALL_BUFFER: u32 = 64 * 1024;
/// How often is looked whether everybody is to be quiet.
pub(super) const LOOK: Duration = Duration::from_millis(100);

/// What a device speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// What the official client speaks.
    Websocket,
    /// Server-Sent Events.
    Stream,
}

/// What a device does beside being told, every now and then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Temper {
    /// Nothing.
    Steady,
    /// It loses its connection, mostly by a reset.
    Flaky,
    /// It stops reading, or answering.
    Slow,
    /// It stops and comes back as somebody new, or opens a second connection beside the first.
    Restless,
}

/// A device.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) user: usize,
    pub(super) kind: Kind,
    pub(super) temper: Temper,
    /// Its connection identity, or a name like one.
    pub(super) epid: String,
    /// What it was told, by thread.
    pub(super) told: RefCell<HashMap<usize, Vec<Told>>>,
    /// When what it was told last had happened, or when it was connected, in milliseconds.
    newest: Cell<u64>,
    /// From when on it is to be told everything, in milliseconds.
    pub(super) since: Cell<Option<u64>>,
    /// It has stopped and does not come back.
    pub(super) has_stopped: Cell<bool>,
    pub(super) is_connected: Cell<bool>,
    /// From when to when it was not connected, in milliseconds.
    away: RefCell<Vec<(u64, u64)>>,
    away_since: Cell<Option<u64>>,
    /// From when to when it was behind: it did not listen, or was told what it had missed.
    behind: RefCell<Vec<(u64, u64)>>,
    behind_since: Cell<Option<u64>>,
}

/// What a device is to do next.
pub(super) enum Mischief {
    /// It loses its connection: all that is on its way is gone.
    Reset,
    /// The same, and it stays away for a while.
    Away,
    /// It reads nothing for a while.
    Stall,
    /// It reads and does not answer.
    Silence,
    /// It stops, and another identity takes its place.
    Stop,
    /// It opens another connection.
    Replace,
}

impl Device {
    pub(super) fn new(user: usize, kind: Kind, temper: Temper, epid: String) -> Self {
        Self {
            user,
            kind,
            temper,
            epid,
            told: RefCell::default(),
            newest: Cell::default(),
            since: Cell::new(None),
            has_stopped: Cell::new(false),
            is_connected: Cell::new(false),
            away: RefCell::default(),
            away_since: Cell::new(None),
            behind: RefCell::default(),
            behind_since: Cell::new(None),
        }
    }

    /// How people are told of it.
    pub(super) fn name(&self) -> String {
        format!(
            "{:?} {} ({:?}) of user {}, there since {}",
            self.kind,
            self.epid,
            self.temper,
            self.user,
            self.since.get().unwrap_or_default()
        )
    }

    /// It is listening from now on.
    pub(super) fn connected(&self) {
        let now = now_ms();
        self.is_connected.set(true);
        self.newest.set(now);
        if self.since.get().is_none() {
            self.since.set(Some(now));
        }
        if let Some(at) = self.away_since.take() {
            self.away.borrow_mut().push((at, now));
        }
    }

    /// It is not listening from now on.
    pub(super) fn interrupted(&self) {
        self.is_connected.set(false);
        let at = now_ms().saturating_sub(UNREAD_MS);
        self.away_since.set(self.away_since.get().or(Some(at)));
        self.fell_behind(at);
    }

    /// From that time on it may not have been told all that happened.
    fn fell_behind(&self, at: u64) {
        self.behind_since.set(self.behind_since.get().or(Some(at)));
    }

    /// It hears that what was for it after what it has is told from the store.
    pub(super) fn overflowed(&self) {
        self.fell_behind(self.newest.get().saturating_sub(UNREAD_MS));
    }

    /// What it misses now is not owed to it: nobody knows what it has.
    pub(super) fn begin_anew(&self) {
        self.since.set(None);
        self.away.borrow_mut().clear();
        self.away_since.set(None);
    }

    /// It was told something.
    pub(super) fn tell(&self, world: &World, thread: usize, told: Told) {
        count(&world.counts.told);
        let now = now_ms();
        if told.what.is_stored() {
            self.newest.set(told.version.min(now));
        }
        if told.what.is_stored()
            && told.version + FRESH_MS > now
            && let Some(since) = self.behind_since.take()
        {
            self.behind.borrow_mut().push((since, now));
        }
        let mut threads = self.told.borrow_mut();
        threads.entry(thread).or_default().push(told);
    }

    /// Whether it was behind at some time between these.
    pub(super) fn was_behind(&self, from: u64, to: u64) -> bool {
        let behind = self.behind.borrow();
        let open = self.behind_since.get().map(|since| (since, u64::MAX));
        let mut all = behind.iter().copied().chain(open);
        all.any(|(begin, end)| end >= from && begin <= to)
    }

    /// Whether it was away at that time for longer than so many milliseconds.
    pub(super) fn was_away_for(&self, at: u64, longer_than_ms: u64) -> bool {
        let away = self.away.borrow();
        away.iter().any(|(begin, end)| {
            end.saturating_sub(*begin) > longer_than_ms && *begin <= at && at <= end + UNREAD_MS
        })
    }

    /// Connects to the server, with little room for those who are slow.
    pub(super) async fn dial(&self, world: &World) -> anyhow::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        if self.temper == Temper::Slow {
            socket.set_recv_buffer_size(SMALL_BUFFER)?;
        }
        let stream = socket.connect(world.address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Stops reading for a while.
    pub(super) async fn stall(&self, world: &World, rng: &mut Rng) {
        count(&world.counts.stalls);
        self.fell_behind(now_ms().saturating_sub(UNREAD_MS));
        let pause = Duration::from_millis(rng.u64(500..6_000));
        let end = Instant::now() + pause;
        while Instant::now() < end && !world.is_quiet.get() {
            sleep(LOOK).await;
        }
    }
}

/// Waits until it is time for mischief, and says for which.
pub(super) async fn mischief(
    world: &World,
    temper: Temper,
    at: Instant,
    rng: &mut Rng,
) -> Mischief {
    sleep_until(at).await;
    while world.is_quiet.get() || temper == Temper::Steady {
        sleep(LOOK).await;
    }
    match temper {
        Temper::Slow if rng.u8(..3) > 0 => Mischief::Stall,
        Temper::Slow => Mischief::Silence,
        Temper::Restless if rng.bool() => Mischief::Stop,
        Temper::Restless => Mischief::Replace,
        _ if rng.u8(..3) > 0 => Mischief::Reset,
        _ => Mischief::Away,
    }
}

/// When the next mischief is due.
pub(super) fn next_mischief(rng: &mut Rng) -> Instant {
    Instant::now() + Duration::from_millis(rng.u64(1_500..9_000))
}

/// Lives a device to the end of all.
pub(super) async fn live(world: Rc<World>, device: Rc<Device>, mut rng: Rng) {
    match device.kind {
        Kind::Websocket => websocket::live(&world, device, &mut rng).await,
        Kind::Stream => stream::live(&world, &device, &mut rng).await,
    }
}

/// Waits before connecting again: hardly, as official clients do, or for some seconds.
pub(super) async fn pause(world: &World, is_away: bool, rng: &mut Rng) {
    if !is_away {
        return sleep(RETRY + Duration::from_millis(rng.u64(..100))).await;
    }
    let end = Instant::now() + Duration::from_millis(rng.u64(500..6_000));
    while Instant::now() < end && !world.is_quiet.get() {
        sleep(LOOK).await;
    }
}
