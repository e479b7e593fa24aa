//! Connections without an association: who has only connected, or was turned down and doesn't go.
//!
//! They take nobody's place among the associations, and each costs a thread and a socket until ARTIM ends it. So there is
//! room for a number of them, and when that is taken the oldest goes for a newcomer: whoever holds connections open and
//! says nothing keeps nobody out.

use std::collections::BTreeMap;
use std::net::{Shutdown, TcpStream};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// By the association's number, which grows with each connection.
#[derive(Debug, Default)]
pub(crate) struct Strangers(Mutex<BTreeMap<u64, TcpStream>>);

impl Strangers {
    /// A connection was accepted.
    ///
    /// # Errors
    /// No file descriptor is left.
    pub(crate) fn enter(&self, id: u64, stream: &TcpStream) -> std::io::Result<()> {
        let stream = stream.try_clone()?;
        self.lock().insert(id, stream);
        Ok(())
    }

    /// It has an association now, or has ended.
    pub(crate) fn leave(&self, id: u64) {
        self.lock().remove(&id);
    }

    /// Closes the oldest; says whether there was one. Its thread ends by itself.
    pub(crate) fn show_out_the_oldest(&self) -> bool {
        let Some((id, stream)) = self.lock().pop_first() else {
            return false;
        };
        tracing::warn!(
            association = id,
            "a connection without an association is closed: another one needs its place"
        );
        // The peer may have gone already.
        stream.shutdown(Shutdown::Both).unwrap_or_default();
        true
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, TcpStream>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::TcpListener;

    use super::*;

    fn connection(listener: &TcpListener) -> (TcpStream, TcpStream) {
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (peer, listener.accept().unwrap().0)
    }

    #[test]
    fn the_oldest_that_is_still_there_goes() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let strangers = Strangers::default();
        let mut peers = Vec::new();
        for id in [3, 4, 5] {
            let (peer, stream) = connection(&listener);
            strangers.enter(id, &stream).unwrap();
            peers.push((peer, stream));
        }
        strangers.leave(3);
        assert!(strangers.show_out_the_oldest());
        assert_eq!(peers[1].0.read(&mut [0]).unwrap(), 0, "4 was closed");
        assert!(strangers.show_out_the_oldest());
        assert!(!strangers.show_out_the_oldest());
    }
}
