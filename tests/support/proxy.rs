//! A TCP proxy between a client and a server: holds replies back, cuts connections, counts what passes.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    /// Replies wait while this is true.
    held: watch::Sender<bool>,
    /// Rises with every cut; connections of an older number are closed.
    cuts: watch::Sender<u64>,
    refusing: AtomicBool,
    /// How many bytes still reach the server before all is cut, where that is planned.
    until_cut: Mutex<Option<usize>>,
    connections: AtomicU64,
    /// Times the direction turned from reply to request: what a client waited for.
    round_trips: AtomicU64,
    to_server: AtomicU64,
    to_client: AtomicU64,
}

impl Proxy {
    /// In front of a server on this machine.
    pub async fn start(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared::default());
        let accepting = tokio::spawn(accept(listener, port, shared.clone()));
        Self { address, shared, accepting }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Requests pass; what the server answers stays here until [`Proxy::let_go`].
    pub fn hold_replies(&self) {
        self.shared.held.send_replace(true);
    }

    pub fn let_go(&self) {
        self.shared.held.send_replace(false);
    }

    /// Closes every connection there is, with the replies that were held for them; new ones are welcome.
    pub fn cut(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Cuts when so many more bytes have reached the server, in the middle of whatever they belong to.
    pub fn cut_after(&self, bytes: usize) {
        *self.shared.until_cut.lock().unwrap() = Some(bytes);
    }

    /// Closes new connections at once, while `refuse`.
    pub fn refuse(&self, refuse: bool) {
        self.shared.refusing.store(refuse, Ordering::Release);
    }

    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Acquire)
    }

    pub fn round_trips(&self) -> u64 {
        self.shared.round_trips.load(Ordering::Acquire)
    }

    pub fn bytes_to_server(&self) -> u64 {
        self.shared.to_server.load(Ordering::Acquire)
    }

    pub fn bytes_to_client(&self) -> u64 {
        self.shared.to_client.load(Ordering::Acquire)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

async fn accept(listener: TcpListener, port: u16, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        if shared.refusing.load(Ordering::Acquire) {
            continue;
        }
        let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { continue };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        shared.connections.fetch_add(1, Ordering::AcqRel);
        let mut cuts = shared.cuts.subscribe();
        let shared = shared.clone();
        tokio::spawn(async move {
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            let asking = Arc::new(AtomicBool::new(false));
            // A cut comes first: what was held for the connection is never delivered.
            tokio::select! {
                biased;
                _ = cuts.changed() => {}
                () = requests(from_client, to_server, &shared, &asking) => {}
                () = replies(from_server, to_client, &shared, &asking) => {}
            }
        });
    }
}

async fn requests(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, shared: &Shared, asking: &AtomicBool) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(len @ 1..) = from.read(&mut buffer).await {
        if !asking.swap(true, Ordering::AcqRel) {
            shared.round_trips.fetch_add(1, Ordering::AcqRel);
        }
        let (len, last) = match &mut *shared.until_cut.lock().unwrap() {
            Some(left) => {
                let passes = len.min(*left);
                *left -= passes;
                (passes, *left == 0)
            }
            None => (len, false),
        };
        if to.write_all(&buffer[..len]).await.is_err() {
            return;
        }
        if last {
            *shared.until_cut.lock().unwrap() = None;
            shared.cuts.send_modify(|cuts| *cuts += 1);
        }
        shared.to_server.fetch_add(len as u64, Ordering::AcqRel);
    }
}

async fn replies(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, shared: &Shared, asking: &AtomicBool) {
    let mut buffer = vec![0; 64 * 1024];
    let mut held = shared.held.subscribe();
    while let Ok(len @ 1..) = from.read(&mut buffer).await {
        if held.wait_for(|held| !held).await.is_err() {
            return;
        }
        asking.store(false, Ordering::Release);
        shared.to_client.fetch_add(len as u64, Ordering::AcqRel);
        if to.write_all(&buffer[..len]).await.is_err() {
            return;
        }
    }
}
