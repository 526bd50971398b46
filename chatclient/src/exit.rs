//! What the program tells the shell that started it.

use std::process::ExitCode;

/// The exit codes; scripts rely on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ExitStatus {
    /// 0: all that was asked for is done.
    #[default]
    Done,
    /// 1: something failed that has no code of its own.
    Failure,
    /// 2: a wrong argument, or a line that is no command.
    Usage,
    /// 3: no connection, or a server that is not known.
    Connect,
    /// 4: the login was refused.
    Login,
    /// 5: no such room, person, path or number.
    NotFound,
    /// 6: the peer, or somebody's policy, said no.
    Refused,
    /// 7: bytes or keys are not what they must be.
    Verification,
    /// 8: nobody answered in time.
    Timeout,
    /// 130: the person at the terminal, or a signal, ended it.
    Interrupted,
}

impl ExitStatus {
    /// The number that the shell sees.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::Connect => 3,
            Self::Login => 4,
            Self::NotFound => 5,
            Self::Refused => 6,
            Self::Verification => 7,
            Self::Timeout => 8,
            Self::Interrupted => 130,
        }
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status.code())
    }
}

/// The outcome of a run: the first command that failed decides it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcome(ExitStatus);

impl Outcome {
    /// Notes how one command ended. After the first failure nothing changes any more.
    pub fn note(&mut self, status: ExitStatus) {
        if self.0 == ExitStatus::Done {
            self.0 = status;
        }
    }

    /// How the run ends as far as it is known.
    #[must_use]
    pub fn status(self) -> ExitStatus {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_decides() {
        let mut outcome = Outcome::default();
        assert_eq!(outcome.status().code(), 0);
        for status in [ExitStatus::Done, ExitStatus::NotFound, ExitStatus::Done, ExitStatus::Timeout] {
            outcome.note(status);
        }
        assert_eq!(outcome.status().code(), 5);
    }
}
