//! Signals of the process as events of the loop.

use std::io;

use mio::{Interest, Registry, Token};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook_mio::v1_0::Signals as SignalSource;

/// A signal of the process that can be watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// SIGINT, usually from Ctrl-C.
    Interrupt,
    /// SIGTERM, the polite request to end.
    Terminate,
    /// SIGHUP: the terminal is gone, or a daemon is to read its settings again.
    Hangup,
}

impl Signal {
    const ALL: [Self; 3] = [Self::Interrupt, Self::Terminate, Self::Hangup];

    const fn number(self) -> i32 {
        match self {
            Self::Interrupt => SIGINT,
            Self::Terminate => SIGTERM,
            Self::Hangup => SIGHUP,
        }
    }
}

/// The watched signals, registered with the loop.
pub(crate) struct Signals(SignalSource);

impl Signals {
    pub(crate) fn new(registry: &Registry, token: Token, signals: &[Signal]) -> io::Result<Self> {
        let mut source = SignalSource::new(signals.iter().map(|signal| signal.number()))?;
        registry.register(&mut source, token, Interest::READABLE)?;
        Ok(Self(source))
    }

    /// The signals since the last call.
    pub(crate) fn pending(&mut self) -> impl Iterator<Item = Signal> + '_ {
        self.0.pending().filter_map(|number| Signal::ALL.into_iter().find(|signal| signal.number() == number))
    }
}
