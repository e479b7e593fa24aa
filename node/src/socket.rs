//! What every TCP connection of ours has in common, whoever opened it.

use std::io::{self, Read as _, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Longest time that a peer may leave our answer unread.
const WRITE_TIMEOUT: Duration = Duration::from_mins(1);

/// Blocking, without Nagle's delay, with a bound on writes and with keep-alive.
///
/// # Errors
/// The system's, if an option is refused.
pub(crate) fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
    // A peer whose machine vanished is noticed long before the idle timer.
    let keepalive = socket2::TcpKeepalive::new().with_time(Duration::from_mins(1));
    socket2::SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

/// Reads into one place and then the other, and has the kernel acknowledge at once what comes.
///
/// DCMTK writes a message in two pieces under Nagle's algorithm, as carts and as PACS: it otherwise waits 40 ms for our
/// delayed ACK, with each object and each answer. The kernel clears the option by itself, so it is set before every read;
/// a kernel without it costs speed only.
///
/// # Errors
/// As [`std::io::Read::read_vectored`].
pub(crate) fn read(mut stream: &TcpStream, places: [&mut [u8]; 2]) -> io::Result<usize> {
    rustix::net::sockopt::set_tcp_quickack(stream, true).unwrap_or_default();
    stream.read_vectored(&mut places.map(io::IoSliceMut::new))
}

/// Writes all of `bytes`, unless `is_late` says in between that it has taken too long. The socket's own time-out is for one
/// call alone, and a peer that takes a byte a minute never lets it run out.
///
/// # Errors
/// `TimedOut`; otherwise as the writer gives them.
pub(crate) fn write_in_time(
    writer: &mut impl Write,
    mut bytes: &[u8],
    mut is_late: impl FnMut() -> bool,
) -> io::Result<()> {
    while !bytes.is_empty() {
        match writer.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if !bytes.is_empty() && is_late() {
            let what = "the peer takes what it is sent too slowly";
            return Err(io::Error::new(io::ErrorKind::TimedOut, what));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes one byte at a time.
    struct Trickle(Vec<u8>);

    impl Write for Trickle {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.extend(bytes.first());
            Ok(bytes.len().min(1))
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_peer_that_takes_a_byte_at_a_time_is_left_when_the_time_is_over() {
        let mut peer = Trickle(Vec::new());
        let mut looks = 0;
        let is_late = || {
            looks += 1;
            looks == 100
        };
        let error = write_in_time(&mut peer, &[7; 1000], is_late).unwrap_err();
        assert_eq!((error.kind(), peer.0.len()), (io::ErrorKind::TimedOut, 100));
        write_in_time(&mut peer, &[7; 1000], || false).unwrap();
        assert_eq!(peer.0.len(), 1100);
    }
}
