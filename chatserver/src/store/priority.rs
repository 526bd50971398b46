//! Threads that work for later give way to those that somebody waits for.

/// How far a thread stands back, in steps of the system's scheduler ("nice"): each is a fifth of the processor less while
/// others want it too, and nothing while they do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Priority {
    /// What is asked for and not urgent: pages of those who are behind.
    Patient = 4,
    /// What nobody waits for: the search index, and writing the log back into the file.
    Background = 10,
}

/// Lowers the priority of the calling thread. Where the system knows priorities of processes only, nothing happens.
pub(super) fn give_way(priority: Priority) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Err(error) = rustix::process::nice(priority as i32) {
        tracing::debug!(%error, "a thread keeps its priority");
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = priority;
}
