//! A pool on a thread of its own, for programs that have other things to do.

use std::io;
use std::thread::JoinHandle;

use tokio::runtime::Builder;
use tokio::sync::oneshot;

use crate::{Addresses, Admin, Config, Control, Pool, RunError, StartError, serve_admin};

/// A pool that serves on its own thread. Dropping it stops the pool as [`Running::stop`] does,
/// without waiting.
#[derive(Debug)]
pub struct Running {
    addresses: Addresses,
    control: Control,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), RunError>>>,
}

/// Starts what `config` says on a thread of its own, and returns once it serves.
///
/// # Errors
///
/// See [`StartError`].
pub fn start(config: Config) -> Result<Running, StartError> {
    let (stop, stopped) = oneshot::channel::<()>();
    let (ready, started) = std::sync::mpsc::sync_channel(1);
    let thread = std::thread::Builder::new().name("presently".to_owned());
    let thread = thread.spawn(move || {
        let opened = run(config, stopped, &ready);
        opened.unwrap_or_else(|error| {
            // Whoever started it waits for this.
            let _ = ready.send(Err(error));
            Ok(())
        })
    });
    let thread = thread.map_err(|source| not_opened("a thread", source))?;
    let died = || not_opened("the loop", io::ErrorKind::BrokenPipe.into());
    let (addresses, control) = started.recv().map_err(|_| died())??;
    Ok(Running {
        addresses,
        control,
        stop: Some(stop),
        thread: Some(thread),
    })
}

type Started = Result<(Addresses, Control), StartError>;

fn run(
    config: Config,
    stopped: oneshot::Receiver<()>,
    ready: &std::sync::mpsc::SyncSender<Started>,
) -> Result<Result<(), RunError>, StartError> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|source| not_opened("the runtime", source))?;
    runtime.block_on(async {
        let pool = Pool::open_with_admin(config).await?;
        // Whoever started it may have gone.
        let _ = ready.send(Ok((pool.addresses().clone(), pool.control())));
        Ok(pool
            .run(async {
                // An error says that the handle was dropped: that stops it too.
                let _ = stopped.await;
            })
            .await)
    })
}

impl Pool {
    /// As [`Pool::open`], and the admin port, if the configuration has one, is served beside it.
    ///
    /// # Errors
    ///
    /// As [`Pool::open`], or the admin port is taken.
    pub async fn open_with_admin(config: Config) -> Result<Self, StartError> {
        let Some(address) = config.admin else {
            return Self::open(config).await;
        };
        let not_bound = |source| not_opened(&format!("admin port {address}"), source);
        let admin = Admin::bind(address).await.map_err(not_bound)?;
        let address = admin.local_address().map_err(not_bound)?;
        let mut pool = Self::open(config).await?;
        pool.note_admin(address);
        tokio::spawn(serve_admin(admin, pool.control()));
        Ok(pool)
    }
}

impl Running {
    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// A handle to ask it something.
    #[must_use]
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Stops it: what is in flight is finished, within 2 s, and its members leave the pool.
    ///
    /// # Errors
    ///
    /// It had ended before, because another process took its place.
    pub fn stop(mut self) -> Result<(), RunError> {
        drop(self.stop.take());
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(ended)) => ended,
            // A panic has said so already.
            Some(Err(_)) | None => Ok(()),
        }
    }
}

fn not_opened(what: &str, source: io::Error) -> StartError {
    StartError::Socket {
        what: what.to_owned(),
        source,
    }
}
