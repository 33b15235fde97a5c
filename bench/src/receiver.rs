//! A connection that is pushed to: a websocket with the official protocol, whose client answers
//! each push and pings behind it, an event stream, or a connection of the fan-out floor.
//!
//! Written for this load: what the load itself takes bounds what it can ask of the server.

use std::io::Write as _;

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncBufRead as _, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::wire::{self, Piece};

/// What a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Frames of socket.io 0.9 on a websocket.
    Websocket,
    /// Server-Sent Events.
    EventStream,
    /// Unmasked websocket frames behind nothing; the client says nothing.
    Floor,
}

/// What came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Came {
    /// The message of that number, in so many bytes with all that is around it.
    Message { number: usize, bytes: usize },
    /// The server asked whether the client is there.
    Heartbeat,
    /// What the client sent has arrived.
    Acknowledged,
    /// Anything else.
    Other,
}

/// What the client says to what came.
#[derive(Debug, Clone, Copy)]
enum Reply {
    Answer(u64),
    Heartbeat,
}

/// A connection that is pushed to.
pub(crate) struct Receiver {
    stream: TlsStream<TcpStream>,
    way: Way,
    /// The beginning of what has not come whole.
    partial: Vec<u8>,
    /// Number of the last frame that wants an acknowledgement, and whether that is to come.
    asked: u32,
    is_waiting: bool,
    pub(crate) counts: Counts,
}

/// What went over a connection, beside messages.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counts {
    /// TLS records that came.
    pub(crate) records: u64,
    /// Pings that were sent.
    pub(crate) pings: u64,
}

impl Receiver {
    /// Of a connection over which pushes will come from here on.
    pub(crate) fn new(stream: TlsStream<TcpStream>, way: Way) -> Self {
        Self {
            stream,
            way,
            partial: Vec::new(),
            asked: 0,
            is_waiting: false,
            counts: Counts::default(),
        }
    }

    /// Reads the head of an HTTP answer, which must have this status.
    pub(crate) async fn expect_head(&mut self, status: &str) -> anyhow::Result<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let read = self.stream.read_until(b'\n', &mut head).await?;
            ensure!(read > 0, "the server closed a connection");
        }
        let head = String::from_utf8_lossy(&head);
        let expected = format!("HTTP/1.1 {status} ");
        ensure!(head.starts_with(&expected), "the answer was {head}");
        Ok(())
    }

    /// Reads one byte, which must be this.
    pub(crate) async fn expect_byte(&mut self, byte: u8) -> anyhow::Result<()> {
        let read = self.stream.read_u8().await?;
        ensure!(read == byte, "the answer was {read}");
        Ok(())
    }

    /// Reads until this came.
    pub(crate) async fn until(&mut self, wanted: Came) -> anyhow::Result<()> {
        let mut is_there = false;
        while !is_there {
            self.step(&mut |came| {
                is_there |= came == wanted;
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    /// Reads one record, tells what is in it, and sends what the client says to that.
    pub(crate) async fn step(
        &mut self,
        tell: &mut (dyn FnMut(Came) -> anyhow::Result<()> + Send),
    ) -> anyhow::Result<()> {
        let way = self.way;
        let mut replies = Vec::new();
        let record = self.stream.fill_buf().await?;
        ensure!(!record.is_empty(), "the server closed a connection");
        let read = record.len();
        self.counts.records += 1;
        let mut note = |piece: Piece<'_>| {
            let came = came(way, &piece, &mut replies)?;
            self.is_waiting &= came != Came::Acknowledged;
            tell(came)
        };
        if self.partial.is_empty() {
            let taken = pieces(way, record, &mut note)?;
            self.partial.extend_from_slice(&record[taken..]);
        } else {
            self.partial.extend_from_slice(record);
            let taken = pieces(way, &self.partial, &mut note)?;
            self.partial.drain(..taken);
        }
        std::pin::Pin::new(&mut self.stream).consume(read);
        if way == Way::Websocket && !replies.is_empty() {
            self.reply(&replies).await?;
        }
        Ok(())
    }

    /// As the official client does: an answer to each push, and a ping behind them unless one is
    /// on its way. Each is a TLS record of its own, as with browsers; they leave together.
    async fn reply(&mut self, replies: &[Reply]) -> anyhow::Result<()> {
        for reply in replies {
            match reply {
                Reply::Answer(id) => {
                    self.put(&wire::answer(*id))?;
                    if !self.is_waiting {
                        self.put_event("{\"name\":\"ping\"}")?;
                        self.counts.pings += 1;
                    }
                }
                Reply::Heartbeat => self.put(b"2::")?,
            }
        }
        Ok(self.stream.flush().await?)
    }

    /// Sends an event that wants an acknowledgement.
    pub(crate) async fn ask(&mut self, event: &str) -> anyhow::Result<()> {
        self.put_event(event)?;
        Ok(self.stream.flush().await?)
    }

    /// Sends bytes as they are.
    pub(crate) async fn say(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.stream.write_all(bytes).await?;
        Ok(self.stream.flush().await?)
    }

    fn put_event(&mut self, event: &str) -> anyhow::Result<()> {
        self.asked += 1;
        self.is_waiting = true;
        let frame = format!("5:{}+::{event}", self.asked);
        self.put(frame.as_bytes())
    }

    fn put(&mut self, text: &[u8]) -> anyhow::Result<()> {
        let frame = wire::masked(text).context("a frame of the client")?;
        let (_, session) = self.stream.get_mut();
        Ok(session.writer().write_all(&frame)?)
    }
}

fn pieces(
    way: Way,
    bytes: &[u8],
    note: &mut dyn FnMut(Piece<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<usize> {
    match way {
        Way::EventStream => wire::chunks(bytes, note),
        Way::Websocket | Way::Floor => wire::frames(bytes, note),
    }
}

fn came(way: Way, piece: &Piece<'_>, replies: &mut Vec<Reply>) -> anyhow::Result<Came> {
    let bytes = piece.bytes;
    if way != Way::Websocket {
        let number = wire::number(piece.text)?;
        return Ok(number.map_or(Came::Other, |number| Came::Message { number, bytes }));
    }
    match piece.text.as_bytes().first() {
        Some(b'3') => {
            replies.push(Reply::Answer(wire::push_id(piece.text)?));
            let number = wire::number(piece.text)?;
            Ok(number.map_or(Came::Other, |number| Came::Message { number, bytes }))
        }
        Some(b'2') => {
            replies.push(Reply::Heartbeat);
            Ok(Came::Heartbeat)
        }
        Some(b'6') => Ok(Came::Acknowledged),
        Some(b'0') => anyhow::bail!("the server said: {}", piece.text),
        _ => Ok(Came::Other),
    }
}
