//! What the program says beside its output: log lines on standard error, and an error with its
//! causes.

use std::error::Error;
use std::io::{self, IsTerminal};

use presently::config::{LogFormat, LogLevel};
use tracing_subscriber::EnvFilter;

/// What decides which lines are written, while the program runs.
pub(crate) struct Filter(Box<dyn Fn(EnvFilter) + Send>);

/// Sends log lines to standard error. `RUST_LOG` wins over `level`.
pub(crate) fn install(format: LogFormat, level: LogLevel) -> Filter {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter(level))
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        // It would tell of a line that nobody reads where nobody reads, and panic.
        .log_internal_errors(false);
    // It fails only when the subscriber is gone, and nobody hears of anything then.
    match format {
        LogFormat::Json => {
            let lines = lines.json().with_filter_reloading();
            let handle = lines.reload_handle();
            lines.init();
            Filter(Box::new(move |filter| drop(handle.reload(filter))))
        }
        LogFormat::Text => {
            let lines = lines.with_filter_reloading();
            let handle = lines.reload_handle();
            lines.init();
            Filter(Box::new(move |filter| drop(handle.reload(filter))))
        }
    }
}

impl Filter {
    /// Writes lines of `level` and above from now on, as far as `RUST_LOG` says nothing else.
    pub(crate) fn set(&self, level: LogLevel) {
        (self.0)(filter(level));
    }
}

fn filter(level: LogLevel) -> EnvFilter {
    EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level.to_string()))
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
