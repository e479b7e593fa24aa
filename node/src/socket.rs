//! What every TCP connection of ours has in common, whoever opened it.

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
