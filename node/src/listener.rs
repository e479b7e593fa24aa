//! Accepts connections and gives each its thread.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use sonode_dimse::Timers;
use tokio::net::TcpListener;

use crate::association::{self, End};
use crate::node::{Node, OpenConnection};
use crate::socket;
use crate::store::StoreService;

/// Connections beyond the associations that are allowed: they get a thread, so that they can be rejected politely.
/// Beyond that the oldest one without an association is closed for each newcomer.
const REJECTABLE: usize = 64;
/// An association's thread parses PDUs and writes files; nothing in it recurses.
const STACK_BYTES: usize = 512 * 1024;

/// Accepts until the runtime ends.
pub(crate) async fn accept(listener: TcpListener, node: Arc<Node>) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => match stream.into_std() {
                Ok(stream) => admit(&node, stream, address),
                Err(error) => tracing::error!(%error, "a connection could not be taken over"),
            },
            // Out of file descriptors, most likely: it passes when connections end.
            Err(error) => {
                tracing::error!(%error, "no connection can be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn admit(node: &Arc<Node>, stream: TcpStream, address: SocketAddr) {
    let max = node.config().limits.max_associations;
    if node.open_connections() >= max + REJECTABLE && !node.strangers().show_out_the_oldest() {
        tracing::warn!(%address, "connection closed: too many");
        return;
    }
    let connection = match node.count_connection(&stream) {
        Ok(connection) => connection,
        Err(error) => return tracing::error!(%address, %error, "connection closed"),
    };
    let node = Arc::clone(node);
    let thread = std::thread::Builder::new()
        .name("association".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || serve(&node, &stream, address, &connection));
    if let Err(error) = thread {
        tracing::error!(%error, "no thread for an association");
    }
}

fn serve(node: &Arc<Node>, stream: &TcpStream, address: SocketAddr, open: &OpenConnection) {
    let association = open.association();
    let span = tracing::info_span!(
        "association",
        id = association,
        calling_ae = tracing::field::Empty
    );
    let _entered = span.enter();
    if let Err(error) = socket::prepare(stream) {
        tracing::warn!(%address, %error, "the connection can't be used");
        return;
    }
    let limits = &node.config().limits;
    let timers = Timers {
        artim: limits.artim,
        idle: limits.idle,
        inside_message: limits.inside_message,
        response: limits.response,
    };
    let mut service = StoreService::new(Arc::clone(node), association, address);
    let end = association::run(stream, timers, node.stop_flag(), &mut service);
    let peer = service.peer_name().unwrap_or("unknown");
    let stored = service.stored;
    match end {
        End::Released => {
            tracing::info!(peer, %address, stored, "association released");
        }
        End::Stopped => {
            tracing::info!(peer, %address, stored, "association ended: the node stops");
        }
        End::Yielded => {
            node.metrics().yielded(peer);
            tracing::info!(peer, %address, stored, "association ended: it was idle and the node full, and another peer needed its place");
        }
        End::Broken(reason) => {
            tracing::warn!(peer, %address, stored, reason, "association broken");
        }
        // Rejections were logged with their titles; probes would fill the log.
        End::Rejected(_) => {}
        End::Probe => tracing::debug!(%address, "probe"),
    }
}
