//! The fan-out floor: a frame is written to each of many TLS connections, and nothing else is done.
//!
//! One task writes to all of them, which is cheaper than a task for each. Each frame is a TLS
//! record and a write of its own: what a server that gathers what waits saves is its own merit. A
//! connection says in its first byte whether it is to be written to or tells of messages.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::floors;
use crate::load::BODY_BYTES;
use crate::wire;

/// The first byte of a connection that is written to; it comes back once that is so.
pub(crate) const RECEIVER: u8 = b'r';
/// The first byte of a connection that tells of messages, of [`BODY_BYTES`] bytes each; this byte
/// comes back for each.
pub(crate) const SENDER: u8 = b's';

/// What the writing task is told.
enum Told {
    Receiver(Box<TlsStream<TcpStream>>),
    Message(usize),
}

/// Serves until it is killed.
pub(crate) async fn run(ready_file: &Path, frame_bytes: usize) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let ca_file = ready_file.with_file_name("ca.pem");
    let acceptor = TlsAcceptor::from(Arc::new(floors::tls(&ca_file)?));
    floors::announce(ready_file, &listener, ca_file)?;
    let (teller, told) = unbounded_channel();
    tokio::spawn(async move {
        // A receiver that cannot be written to is missed by the load.
        let _ = write(told, frame_bytes).await;
    });
    loop {
        let (stream, _) = listener.accept().await?;
        let (acceptor, teller) = (acceptor.clone(), teller.clone());
        tokio::spawn(async move {
            // A connection that ends in an error was broken by the client.
            let _ = serve(stream, &acceptor, &teller).await;
        });
    }
}

async fn serve(
    stream: TcpStream,
    acceptor: &TlsAcceptor,
    teller: &UnboundedSender<Told>,
) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = acceptor.accept(stream).await?;
    match stream.read_u8().await? {
        RECEIVER => Ok(teller.send(Told::Receiver(Box::new(stream)))?),
        SENDER => {
            let mut body = vec![0; BODY_BYTES];
            loop {
                stream.read_exact(&mut body).await?;
                let number = wire::number(std::str::from_utf8(&body)?)?;
                teller.send(Told::Message(number.context("no message")?))?;
                stream.write_all(&[SENDER]).await?;
                stream.flush().await?;
            }
        }
        _ => bail!("neither receiver nor sender"),
    }
}

/// Writes each message to all.
async fn write(mut told: UnboundedReceiver<Told>, frame_bytes: usize) -> anyhow::Result<()> {
    let mut receivers = Vec::new();
    while let Some(told) = told.recv().await {
        match told {
            Told::Receiver(mut receiver) => {
                receiver.write_all(&[RECEIVER]).await?;
                receiver.flush().await?;
                receivers.push(receiver);
            }
            Told::Message(number) => {
                let frame = wire::floor_frame(number, frame_bytes);
                let frame = frame.context("the size of a frame")?;
                for receiver in &mut receivers {
                    receiver.write_all(frame.as_ref()).await?;
                    // What is written may have been taken by TLS and not have left yet.
                    receiver.flush().await?;
                }
            }
        }
    }
    Ok(())
}
