//! SIGHUP: the nlb's configuration file is read again while it serves.

use std::error::Error;
use std::path::PathBuf;

use presently::config::LogLevel;
use presently::nlb::{Config, Control, Settings};
use tokio::signal::unix::Signal;

use crate::command::reload::changed_keys;
use crate::log::{self, Filter};
use crate::output;

/// What a running nlb goes by, and where it may change.
pub(super) struct Reload {
    pub(super) file: PathBuf,
    /// What the flags say: it wins over the file, also over the changed one.
    pub(super) level: Option<LogLevel>,
    /// What is in force.
    pub(super) present: Settings,
    /// What decides which log lines are written.
    pub(super) filter: Filter,
}

impl Reload {
    /// Reads the file at each signal, until the nlb of `control` has ended.
    pub(super) async fn run(mut self, mut hangup: Signal, control: Control) {
        while hangup.recv().await.is_some() {
            match self.reload(&control).await {
                // Whoever read the summary may be gone by now.
                Ok(text) => drop(output::line(text)),
                Err(error) => {
                    let reason = log::chain(error.as_ref());
                    tracing::error!("the configuration stays as it was: {reason}");
                }
            }
        }
    }

    async fn reload(&mut self, control: &Control) -> Result<String, Box<dyn Error + Send + Sync>> {
        let file = self.file.clone();
        // A file may be far away, and a server in it a name to be looked up.
        let read = tokio::task::spawn_blocking(move || Settings::read(&file));
        let settings = read.await??;
        Config::new(settings.clone())?;
        if !control.take_over(&settings).await? {
            return Err("the loop does not answer".into());
        }
        Ok(self.settle(settings))
    }

    /// Says what has changed, and what has not.
    fn settle(&mut self, settings: Settings) -> String {
        let level = |settings: &Settings| self.level.or(settings.log_level).unwrap_or_default();
        self.filter.set(level(&settings));
        for key in settings.needing_restart(&self.present) {
            tracing::warn!(key, "changed in the configuration file: needs a restart");
        }
        let changed = [
            ("server", settings.server != self.present.server),
            ("log_level", level(&settings) != level(&self.present)),
        ];
        let what = changed_keys(&changed);
        // The rest stays in force, and is told again at the next signal.
        self.present.server = settings.server;
        self.present.log_level = settings.log_level;
        format!("reloaded {}: {what}", self.file.display())
    }
}
