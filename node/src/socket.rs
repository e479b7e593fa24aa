//! What every TCP connection of ours has in common, whoever opened it.

use std::io::Read as _;
use std::net::TcpStream;
use std::time::Duration;

/// Longest time that a peer may leave our answer unread.
const WRITE_TIMEOUT: Duration = Duration::from_mins(1);

/// Blocking, without Nagle's delay, with a bound on writes and with keep-alive.
///
/// # Errors
/// The system's, if an option is refused.
pub(crate) fn prepare(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
    // A peer whose machine vanished is noticed long before the idle timer.
    let keepalive = socket2::TcpKeepalive::new().with_time(Duration::from_mins(1));
    socket2::SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

/// Reads, and has the kernel acknowledge at once what comes.
///
/// DCMTK writes a message in two pieces under Nagle's algorithm, as carts and as PACS: it otherwise waits 40 ms for our
/// delayed ACK, with each object and each answer. The kernel clears the option by itself, so it is set before every read;
/// a kernel without it costs speed only.
///
/// # Errors
/// As [`std::io::Read::read`].
pub(crate) fn read(mut stream: &TcpStream, space: &mut [u8]) -> std::io::Result<usize> {
    rustix::net::sockopt::set_tcp_quickack(stream, true).unwrap_or_default();
    stream.read(space)
}
