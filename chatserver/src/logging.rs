//! What the operator sees on standard error. The event loop never waits for it: lines go through a bounded queue, and
//! when nobody reads them, lines are dropped and counted, not connections.

use std::fmt;

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{EnvFilter, reload};

use crate::cli::LogFormat;
use crate::exit::Failure;

/// Lines that may wait for standard error.
const MAX_WAITING_LINES: usize = 16_384;

/// Puts another filter in the place of the one in force.
type SetFilter = Box<dyn Fn(EnvFilter) -> Result<(), reload::Error>>;

/// The running log.
pub struct Logs {
    /// Writes the last lines when it is dropped.
    _guard: WorkerGuard,
    set_filter: SetFilter,
}

impl Logs {
    /// From now on logs what `filter` says.
    ///
    /// # Errors
    /// When the filter is malformed; the old one stays.
    pub fn set_filter(&self, filter: &str) -> Result<(), Failure> {
        (self.set_filter)(parse(filter)?).map_err(|error| Failure::new("cannot change what is logged", error))
    }
}

impl fmt::Debug for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Logs")
    }
}

/// Starts logging; it ends, with the last lines written, when what is returned is dropped.
///
/// # Errors
/// When the filter is malformed.
pub fn start(filter: &str, format: LogFormat) -> Result<Logs, Failure> {
    let filter = parse(filter)?;
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(MAX_WAITING_LINES)
        .lossy(true)
        .finish(std::io::stderr());
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_target(false);
    let (set_filter, started): (SetFilter, _) = match format {
        LogFormat::Text => {
            let logs = logs.with_ansi(false).with_filter_reloading();
            let handle = logs.reload_handle();
            (Box::new(move |filter| handle.reload(filter)), logs.try_init())
        }
        LogFormat::Json => {
            let logs = logs.json().flatten_event(true).with_filter_reloading();
            let handle = logs.reload_handle();
            (Box::new(move |filter| handle.reload(filter)), logs.try_init())
        }
    };
    started.map_err(|error| Failure::new("cannot start logging", error))?;
    Ok(Logs { _guard: guard, set_filter })
}

/// Reads a filter.
///
/// # Errors
/// When it is malformed.
pub(crate) fn parse(filter: &str) -> Result<EnvFilter, Failure> {
    EnvFilter::try_new(filter)
        .map_err(|error| Failure::Usage(format!("log: `{filter}` is no filter: {error}")))
}
