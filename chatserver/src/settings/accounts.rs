//! The section on accounts: who may make one, and how often somebody may try.

use std::time::Duration;

use chatproto::opaque::Stretch;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::values::{Number, Time};
use crate::cli::StretchArg;

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const DAY: u64 = 24 * 60 * MINUTE;

/// Who may make an account over the wire. Administrators are made on the command line only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Registration {
    /// Nobody: accounts are made on the command line.
    Closed,
    /// Who has the code of an invitation.
    Invite,
    /// Everybody, within the budgets.
    Open,
}

/// Who may make an account, and how often somebody may try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccountPolicy {
    pub(super) registration: Registration,
    registrations_per_address: Number<u32, 1, 1_000_000>,
    registrations: Number<u32, 1, 1_000_000>,
    registration_interval: Time<SECOND, { 30 * DAY }>,
    max_attempts: Number<u32, 1, 1_000_000>,
    attempt_refill: Time<1, DAY>,
    max_attempts_per_address: Number<u32, 1, 1_000_000>,
    attempt_refill_per_address: Time<1, DAY>,
    stretch: StretchArg,
}

impl AccountPolicy {
    /// Who may make an account over the wire.
    #[must_use]
    pub fn registration(&self) -> Registration {
        self.registration
    }

    /// Registrations tried from one address in each interval.
    pub(crate) fn registrations_per_address(&self) -> u32 {
        self.registrations_per_address.0
    }

    /// Registrations tried in each interval.
    pub(crate) fn registrations(&self) -> u32 {
        self.registrations.0
    }

    pub(crate) fn registration_interval(&self) -> Duration {
        self.registration_interval.0
    }

    /// Tries with a wrong password from one address at one account.
    pub(crate) fn max_attempts(&self) -> u32 {
        self.max_attempts.0
    }

    /// Time after which one of them comes back.
    pub(crate) fn attempt_refill(&self) -> Duration {
        self.attempt_refill.0
    }

    /// Tries with a wrong password from one address at all accounts together.
    pub(crate) fn max_attempts_per_address(&self) -> u32 {
        self.max_attempts_per_address.0
    }

    /// Time after which one of them comes back.
    pub(crate) fn attempt_refill_per_address(&self) -> Duration {
        self.attempt_refill_per_address.0
    }

    /// How hard new passwords are stretched.
    pub(crate) fn stretch(&self) -> Stretch {
        self.stretch.into()
    }
}

impl Default for AccountPolicy {
    fn default() -> Self {
        Self {
            registration: Registration::Closed,
            registrations_per_address: 5.into(),
            registrations: 100.into(),
            registration_interval: Duration::from_secs(60 * 60).into(),
            max_attempts: 20.into(),
            attempt_refill: Duration::from_secs(30).into(),
            max_attempts_per_address: 200.into(),
            attempt_refill_per_address: Duration::from_secs(3).into(),
            stretch: StretchArg::Standard,
        }
    }
}
