//! Requests that find no room in a queue go back to whoever sent them.

use std::fmt;

use crossbeam_channel::{Sender, TrySendError};

/// A request that was not taken, and that the caller has back.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused<T> {
    /// As many requests wait as may; try again after the next answer.
    #[error("the store's queue is full")]
    Full(T),
    /// The store has been closed.
    #[error("the store is closed")]
    Closed(T),
}

impl<T> Refused<T> {
    /// The request.
    #[must_use]
    pub fn into_inner(self) -> T {
        match self {
            Self::Full(request) | Self::Closed(request) => request,
        }
    }
}

/// Without the request: it may hold what somebody said in private, and this goes to logs.
impl<T> fmt::Debug for Refused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full",
            Self::Closed(_) => "Closed",
        })
    }
}

/// Sends without waiting; `None` is a queue that has been closed.
pub(super) fn try_send<T>(queue: Option<&Sender<T>>, request: T) -> Result<(), Refused<T>> {
    let Some(queue) = queue else { return Err(Refused::Closed(request)) };
    queue.try_send(request).map_err(|refused| match refused {
        TrySendError::Full(request) => Refused::Full(request),
        TrySendError::Disconnected(request) => Refused::Closed(request),
    })
}
