//! The network between a demo user and the nlb: a relay that can swallow everything, so that
//! neither side hears that the other is gone.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// One user's way to the nlb.
pub(crate) struct Network {
    /// Where the user connects to.
    pub(crate) address: SocketAddr,
    swallows: Arc<watch::Sender<bool>>,
}

impl Network {
    /// A way to `nlb`, whole at first.
    pub(crate) async fn lay(nlb: SocketAddr) -> Result<Self, String> {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.map_err(|error| error.to_string())?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let swallows = Arc::new(watch::Sender::new(false));
        let watching = Arc::clone(&swallows);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(nlb).await else {
                    continue;
                };
                let ((near_in, near_out), (far_in, far_out)) =
                    (near.into_split(), far.into_split());
                tokio::spawn(carry(near_in, far_out, watching.subscribe()));
                tokio::spawn(carry(far_in, near_out, watching.subscribe()));
            }
        });
        Ok(Self { address, swallows })
    }

    /// From now on it takes everything and delivers nothing: its own sockets stay open, as those
    /// of a carrier's relay do, or of a kernel whose program is frozen.
    pub(crate) fn swallow(&self) {
        self.swallows.send_replace(true);
    }
}

async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    swallows: watch::Receiver<bool>,
) -> Option<()> {
    let mut buffer = vec![0; 4_096];
    loop {
        let read = from.read(&mut buffer).await.ok()?;
        if *swallows.borrow() {
            if read == 0 {
                // An end is swallowed as well: the other socket is held for as long as the relay.
                return std::future::pending().await;
            }
            continue;
        }
        if read == 0 {
            return None;
        }
        to.write_all(buffer.get(..read)?).await.ok()?;
    }
}
