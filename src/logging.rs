//! The log and the last word of a command, on stderr.

use std::io::{IsTerminal, Write};

use lakefeed_core::Error;
use tracing_subscriber::EnvFilter;

/// Starts the log. `LAKEFEED_LOG` filters it (`info` by default, `warn` for commands that are `quiet`; `debug`, `lakefeed=trace`, ...); colours on a terminal only, and not
/// with `NO_COLOR`.
pub(crate) fn start(quiet: bool) {
    let filter =
        EnvFilter::try_from_env("LAKEFEED_LOG").unwrap_or_else(|_| EnvFilter::new(if quiet { "warn" } else { "warn,lakefeed=info" }));
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colour).with_target(false).init();
}

/// Prints what ended the command: the message and its causes.
pub(crate) fn error(error: &Error) {
    // Nobody is left to tell if stderr is closed.
    let _ = writeln!(std::io::stderr(), "lakefeed: {}", error.chain());
}
