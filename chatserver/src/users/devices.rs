//! `user devices`: which devices an account logged in with, and the end of one.

use std::time::{Duration, SystemTime};

use chatproto::wire::{DeviceId, escaped};

use super::{failed, say};
use crate::exit::Failure;
use crate::store::{AccountError, Accounts};

pub(super) fn run(accounts: &mut Accounts, name: &str, revoke: Option<&str>) -> Result<(), Failure> {
    let devices = accounts.devices(name).map_err(|error| failed(&error))?;
    let Some(wanted) = revoke else {
        for row in devices {
            let ticket = if row.has_ticket { "ticket" } else { "no ticket" };
            let last = jiff::Timestamp::try_from(SystemTime::UNIX_EPOCH + Duration::from_millis(row.last_ms));
            let last = last.map_or_else(|_| row.last_ms.to_string(), |last| format!("{last:.0}"));
            say(&format!("{}\t{last}\t{}\t{ticket}", DeviceId(row.device), row.address.ip()))?;
        }
        return Ok(());
    };
    let mut meant = devices.iter().filter(|row| DeviceId(row.device).to_string().starts_with(wanted));
    let none = || Failure::NotFound(format!("`{}` names no device of {}", escaped(wanted), escaped(name)));
    let row = meant.next().filter(|_| !wanted.is_empty()).ok_or_else(none)?;
    if meant.next().is_some() {
        return Err(Failure::Usage(format!("more than one device begins with `{}`", escaped(wanted))));
    }
    if !accounts.revoke_device(name, row.device).map_err(|error: AccountError| failed(&error))? {
        return Err(none());
    }
    say(&format!("revoked {}", DeviceId(row.device)))
}
