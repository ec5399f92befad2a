//! SIGHUP: the configuration file is read again while the pool runs.

use std::error::Error;
use std::path::PathBuf;

use presently::{Config, Control, Settings};
use tokio::signal::unix::Signal;

use crate::log::{self, Filter};
use crate::output;

/// What a running process goes by, and where it may change.
pub(crate) struct Reload {
    /// The file; without one there is nothing to read.
    pub(crate) file: Option<PathBuf>,
    /// What the flags say: they win over the file, also over the changed one.
    pub(crate) flags: Settings,
    /// What is in force.
    pub(crate) present: Settings,
    /// What decides which log lines are written.
    pub(crate) filter: Filter,
}

impl Reload {
    /// Reads the file at each signal, until the pool of `control` has ended.
    pub(crate) async fn run(mut self, mut hangup: Signal, control: Control) {
        while hangup.recv().await.is_some() {
            let Some(file) = self.file.clone() else {
                tracing::warn!("there is no configuration file (--config), so nothing to reload");
                continue;
            };
            match read(file.clone(), self.flags.clone()).await {
                Ok((settings, config)) => {
                    if control.take_over(&config).await.is_some() {
                        self.settle(settings, &file.display().to_string());
                    } else {
                        tracing::error!("the loop does not answer: nothing is reloaded");
                    }
                }
                Err(error) => {
                    let reason = log::chain(error.as_ref());
                    tracing::error!("the configuration stays as it was: {reason}");
                }
            }
        }
    }

    /// Says what has changed, and what has not.
    fn settle(&mut self, settings: Settings, file: &str) {
        let level = |settings: &Settings| settings.log_level.unwrap_or_default();
        self.filter.set(level(&settings));
        for key in settings.needing_restart(&self.present) {
            tracing::warn!(key, "changed in the configuration file: needs a restart");
        }
        let expires = |settings: &Settings| settings.expires.unwrap_or_default();
        let changed = [
            ("domains", settings.domains != self.present.domains),
            ("expires", expires(&settings) != expires(&self.present)),
            ("log_level", level(&settings) != level(&self.present)),
        ];
        let what = changed_keys(&changed);
        // Whoever read the summary may be gone by now.
        let _ = output::line(format_args!("reloaded {file}: {what}"));
        // The rest stays in force, and is told again at the next signal.
        self.present.domains = settings.domains;
        self.present.expires = settings.expires;
        self.present.log_level = settings.log_level;
    }
}

/// The keys that have changed, for people.
pub(super) fn changed_keys(keys: &[(&str, bool)]) -> String {
    let changed = keys.iter().filter(|(_, is_changed)| *is_changed);
    let changed: Vec<_> = changed.map(|(key, _)| *key).collect();
    match changed.as_slice() {
        [] => "nothing has changed".to_owned(),
        keys => keys.join(", "),
    }
}

/// What the file and `flags` say now, checked as at a start.
async fn read(
    file: PathBuf,
    flags: Settings,
) -> Result<(Settings, Config), Box<dyn Error + Send + Sync>> {
    // A file may be far away, and a listener in it a name to be looked up.
    let read = tokio::task::spawn_blocking(move || Settings::read(&file));
    let settings = flags.over(read.await??);
    let config = Config::new(settings.clone())?;
    Ok((settings, config))
}
