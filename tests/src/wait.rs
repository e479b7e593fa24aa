//! Waiting for another process: bounded polling, the only place where a test lets time pass.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Between two looks.
const POLL: Duration = Duration::from_millis(50);

/// Ports are taken from below the range that systems hand out for outgoing connections (32768 and up on Linux), or
/// another test's connection could take a port between the look and the use.
const FIRST_PORT: u16 = 20_000;
const PORTS: u16 = 12_000;

/// Looks until `look` gives a value, and returns it. An error from `look` ends the wait at once.
pub fn eventually<T>(
    what: &str,
    within: Duration,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(value) = look().with_context(|| format!("while waiting for {what}"))? {
            return Ok(value);
        }
        if Instant::now() >= deadline {
            bail!("{what}: not within {} s", within.as_secs());
        }
        thread::sleep(POLL);
    }
}

/// Looks for the whole of `during` and fails as soon as `holds` doesn't: for what must not happen.
pub fn throughout(
    what: &str,
    during: Duration,
    mut holds: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let deadline = Instant::now() + during;
    while Instant::now() < deadline {
        if !holds().with_context(|| format!("while watching that {what}"))? {
            bail!("no longer true that {what}");
        }
        thread::sleep(POLL);
    }
    Ok(())
}

/// A port of loopback that nobody listens on. Two calls never give the same one.
pub fn free_port() -> Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test programs that run side by side begin at different places.
    let offset = std::process::id().wrapping_mul(97) % u32::from(PORTS);
    let offset = u16::try_from(offset)?;
    for _ in 0..PORTS {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST_PORT + (offset.wrapping_add(step)) % PORTS;
        if TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port")
}

/// Waits until something accepts connections there.
pub fn listening(what: &str, address: SocketAddr, within: Duration) -> Result<()> {
    eventually(what, within, || Ok(TcpStream::connect(address).ok())).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_with_its_value_or_with_its_deadline() {
        let mut looks = 0;
        let third = eventually("the third look", Duration::from_secs(5), || {
            looks += 1;
            Ok((looks == 3).then_some(looks))
        });
        assert_eq!(third.unwrap(), 3);
        let never = eventually("nothing", Duration::ZERO, || Ok(None::<()>));
        assert!(never.unwrap_err().to_string().contains("nothing"));
    }

    #[test]
    fn ports_differ() {
        assert_ne!(free_port().unwrap(), free_port().unwrap());
    }
}
