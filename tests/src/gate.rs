//! A door before a peer: whoever calls while it is shut waits there, connected and without an answer.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Result;

use crate::wait::{eventually, free_port};

/// A port of its own on loopback, shut at first. What is connected already when it is shut stays so.
#[derive(Debug)]
pub struct Gate {
    at: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    door: Mutex<Door>,
    moved: Condvar,
}

#[derive(Debug, Default)]
struct Door {
    is_open: bool,
    /// Nobody comes through any more.
    is_gone: bool,
    /// Callers that have said something and wait.
    waiting: usize,
}

impl Gate {
    /// Before this peer.
    pub fn before(peer: SocketAddr) -> Result<Self> {
        let at = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let listener = TcpListener::bind(at)?;
        let state = Arc::new(State::default());
        let its = Arc::clone(&state);
        thread::spawn(move || {
            for caller in listener.incoming().map_while(Result::ok) {
                if its.door().is_gone {
                    return;
                }
                let state = Arc::clone(&its);
                thread::spawn(move || state.let_through(&caller, peer));
            }
        });
        Ok(Self { at, state })
    }

    /// Where to call.
    pub fn port(&self) -> u16 {
        self.at.port()
    }

    /// Lets in who waits and who comes.
    pub fn open(&self) {
        self.state.door().is_open = true;
        self.state.moved.notify_all();
    }

    /// Lets whoever comes wait.
    pub fn shut(&self) {
        self.state.door().is_open = false;
    }

    /// Waits until somebody has called, sent something and waits.
    pub fn is_called(&self, within: Duration) -> Result<()> {
        eventually("somebody to call", within, || {
            Ok((self.state.door().waiting > 0).then_some(()))
        })
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.state.door().is_gone = true;
        self.state.moved.notify_all();
        // Its listener looks up once more.
        TcpStream::connect(self.at).ok();
    }
}

impl State {
    fn door(&self) -> MutexGuard<'_, Door> {
        self.door.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Errors are the caller's and the peer's own: each sees the other one's end.
    fn let_through(&self, caller: &TcpStream, peer: SocketAddr) -> io::Result<()> {
        caller.peek(&mut [0])?;
        let mut door = self.door();
        door.waiting += 1;
        let mut door = self
            .moved
            .wait_while(door, |door| !door.is_open && !door.is_gone)
            .unwrap_or_else(PoisonError::into_inner);
        door.waiting -= 1;
        if door.is_gone {
            return Ok(());
        }
        drop(door);
        let peer = TcpStream::connect(peer)?;
        thread::scope(|scope| {
            scope.spawn(|| pass_on(caller, &peer));
            pass_on(&peer, caller);
        });
        Ok(())
    }
}

fn pass_on(mut from: &TcpStream, mut to: &TcpStream) {
    // However it ended, no more comes from there.
    io::copy(&mut from, &mut to).ok();
    to.shutdown(Shutdown::Write).ok();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};

    #[test]
    fn who_calls_at_a_shut_door_is_heard_when_it_opens() {
        let peer = TcpListener::bind("127.0.0.1:0").unwrap();
        let gate = Gate::before(peer.local_addr().unwrap()).unwrap();
        let mut caller = TcpStream::connect(("127.0.0.1", gate.port())).unwrap();
        caller.write_all(b"hello").unwrap();
        gate.is_called(Duration::from_secs(10)).unwrap();
        gate.open();
        let (mut heard, _) = peer.accept().unwrap();
        let mut words = [0; 5];
        heard.read_exact(&mut words).unwrap();
        assert_eq!(&words, b"hello");
        drop(caller);
        assert_eq!(heard.read(&mut words).unwrap(), 0);
    }
}
