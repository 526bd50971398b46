//! How the program ends when something is wrong: one line for a person, one code for a script.

use std::process::ExitCode;

/// Why the program cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The arguments do not make sense together.
    #[error("{0}")]
    Usage(String),
    /// What was named does not exist.
    #[error("{0}")]
    NotFound(String),
    /// Something whose message says it all.
    #[error("{0}")]
    Said(String),
    /// Anything else: what failed, and why.
    #[error("{what}: {why}")]
    Failed {
        /// What was being done.
        what: String,
        /// What went wrong.
        why: String,
    },
}

impl Failure {
    /// Names what was being done when `why` happened.
    pub fn new(what: impl Into<String>, why: impl std::fmt::Display) -> Self {
        Self::Failed { what: what.into(), why: why.to_string() }
    }

    /// For an error that names what it is about.
    pub fn said(why: impl std::fmt::Display) -> Self {
        Self::Said(why.to_string())
    }

    /// The exit code: 1 failure, 2 usage, 5 not found.
    #[must_use]
    pub fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Said(_) | Self::Failed { .. } => 1,
            Self::Usage(_) => 2,
            Self::NotFound(_) => 5,
        })
    }
}
