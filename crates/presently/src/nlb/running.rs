//! An nlb on a thread of its own, for programs that have other things to do.

use std::thread::JoinHandle;

use tokio::runtime::Builder;
use tokio::sync::oneshot;

use super::{Addresses, Config, Control, Nlb, StartError};

/// An nlb that serves on its own thread. Dropping it stops the nlb as [`Running::stop`] does,
/// without waiting.
#[derive(Debug)]
pub struct Running {
    addresses: Addresses,
    control: Control,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Starts what `config` says on a thread of its own, and returns once it serves.
///
/// # Errors
///
/// See [`StartError`].
pub fn start(config: Config) -> Result<Running, StartError> {
    let (stop, stopped) = oneshot::channel::<()>();
    let (ready, started) = std::sync::mpsc::sync_channel(1);
    let thread = std::thread::Builder::new().name("nlb".to_owned());
    let thread = thread.spawn(move || {
        if let Err(error) = run(config, stopped, &ready) {
            // Whoever started it waits for this.
            let _ = ready.send(Err(error));
        }
    });
    let thread = thread.map_err(StartError::Runtime)?;
    let died = |_| StartError::Runtime(std::io::ErrorKind::BrokenPipe.into());
    let (addresses, control) = started.recv().map_err(died)??;
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
) -> Result<(), StartError> {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.map_err(StartError::Runtime)?.block_on(async {
        let nlb = Nlb::open(config).await?;
        // Whoever started it may have gone.
        let _ = ready.send(Ok((nlb.addresses().clone(), nlb.control())));
        let ran = nlb.run(async {
            // An error says that the handle was dropped: that stops it too.
            let _ = stopped.await;
        });
        if let Err(error) = ran.await {
            tracing::error!("{error}");
        }
        Ok(())
    })
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

    /// Stops it, and waits until it has ended.
    pub fn stop(mut self) {
        drop(self.stop.take());
        // A panic has said so already.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
