//! The limit: a blocking receive of up to 1 MiB, a write, an fdatasync at the object's end, a thread a connection. It
//! understands nothing: each object is announced by its length in 8 bytes and answered by one byte.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

const PIECE: usize = 1 << 20;

/// Takes objects until it is killed.
pub(crate) fn serve(port: u16, folder: &Path) -> Result<()> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    for stream in listener.incoming() {
        let mut stream = stream?;
        stream.set_nodelay(true)?;
        let folder = folder.to_owned();
        thread::spawn(move || -> Result<()> {
            let mut piece = vec![0; PIECE];
            let mut head = [0; 8];
            // Until the sender closes the connection.
            while stream.read_exact(&mut head).is_ok() {
                let number = NEXT.fetch_add(1, Ordering::Relaxed);
                let mut file = File::create(folder.join(format!("{number}.pump")))?;
                let mut left = u64::from_be_bytes(head);
                while left > 0 {
                    let wanted = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE));
                    let space = piece.get_mut(..wanted).context("no space")?;
                    let read = stream.read(space)?;
                    anyhow::ensure!(read > 0, "the sender went inside an object");
                    file.write_all(piece.get(..read).unwrap_or_default())?;
                    left -= u64::try_from(read)?;
                }
                file.sync_data()?;
                stream.write_all(&[1])?;
            }
            Ok(())
        });
    }
    Ok(())
}

/// Sends one object to a pump: the time from its last byte to the answer.
pub(crate) fn send(stream: &mut TcpStream, head: &[u8], rest: &[u8]) -> Result<Duration> {
    let length = u64::try_from(head.len() + rest.len())?;
    let mut first = length.to_be_bytes().to_vec();
    first.extend_from_slice(head);
    stream.write_all(&first)?;
    stream.write_all(rest)?;
    let sent = Instant::now();
    stream.read_exact(&mut [0; 1])?;
    Ok(sent.elapsed())
}
