//! The `user` commands: accounts are made here, and nothing but the OPAQUE record is kept of a password.

mod devices;
mod import;

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use chatproto::opaque::{OsRng, Password, Record, STRETCH_LEN, ServerSetup, Stretch, Zeroizing, register};
use chatproto::wire::Name;

use crate::cli::{DataArg, PasswordArgs, StretchArg, UserCommand};
use crate::exit::Failure;
use crate::settings;
use crate::store::{AccountError, Accounts, DataDir};

/// Longest line that is read as a password, in bytes; longer ones are refused by [`Password`] anyway.
const MAX_PASSWORD_LINE: u64 = 4096;

/// Runs one `user` command.
///
/// # Errors
/// Says what is wrong with the name, the password, the account or the data directory.
pub fn run(command: &UserCommand) -> Result<(), Failure> {
    match command {
        UserCommand::Add { name, data, admin, password } => {
            let name = checked_name(name)?;
            let mut accounts = open(data)?;
            if accounts.lookup(name.as_str()).map_err(|error| failed(&error))?.is_some() {
                return Err(failed(&AccountError::Exists(name.as_str().into())));
            }
            let record = new_record(&mut accounts, &name, password)?;
            accounts.add(name.as_str(), *admin, &record).map_err(|error| failed(&error))?;
            say(&format!("added {}{}", name.as_str(), if *admin { " (admin)" } else { "" }))
        }
        UserCommand::Import { file, data, stretch, tickets, ticket_lifetime } => {
            import::run(&import::Import {
                file,
                data,
                stretch: *stretch,
                tickets: tickets.map(|devices| (devices, *ticket_lifetime)),
            })
        }
        UserCommand::List { data } => {
            let accounts = open_existing(data)?.list().map_err(|error| failed(&error))?;
            for account in accounts {
                let role = if account.admin { " admin" } else { "" };
                let state = if account.disabled { " disabled" } else { "" };
                say(&format!("{}{role}{state}", account.name))?;
            }
            Ok(())
        }
        UserCommand::Remove { name, data } => {
            open_existing(data)?.remove(name).map_err(|error| failed(&error))?;
            // A running server ends their connections, and forgets what it has noted about them.
            crate::house::forget(data)?;
            say(&format!("removed {}", chatproto::wire::escaped(name)))
        }
        UserCommand::Devices { name, revoke, data } => {
            devices::run(&mut open_existing(data)?, name, revoke.as_deref())
        }
        UserCommand::Passwd { name, data, password } => {
            let name = checked_name(name)?;
            let mut accounts = open_existing(data)?;
            if accounts.lookup(name.as_str()).map_err(|error| failed(&error))?.is_none() {
                return Err(failed(&AccountError::Unknown(name.as_str().into())));
            }
            let record = new_record(&mut accounts, &name, password)?;
            accounts.set_record(name.as_str(), &record).map_err(|error| failed(&error))?;
            say(&format!("changed the password of {}", name.as_str()))
        }
    }
}

/// The server's OPAQUE keys, made by whoever needs them first.
///
/// # Errors
/// When the database refuses, or what it holds is no setup.
pub fn server_setup(accounts: &mut Accounts) -> Result<ServerSetup, Failure> {
    let bytes = accounts
        .meta_get_or_create("opaque_setup", || ServerSetup::generate(&mut OsRng).to_bytes().to_vec())
        .map_err(|error| failed(&error))?;
    ServerSetup::from_bytes(&bytes)
        .map_err(|error| Failure::new("the server's login keys in the data directory", error))
}

/// What unknown users are told to stretch with: what most accounts have, so that few can be told from them by it. Without
/// accounts, what new ones get.
///
/// # Errors
/// When the database refuses.
pub(crate) fn decoy_stretch(accounts: &Accounts, of_new: Stretch) -> Result<Stretch, Failure> {
    // The version and the stretch stand in front.
    let common = accounts.commonest_record(1 + STRETCH_LEN).map_err(|error| failed(&error))?;
    let record = common.as_deref().map(Record::from_bytes).and_then(Result::ok);
    Ok(record.map_or(of_new, |record| record.stretch()))
}

fn open(data: &DataArg) -> Result<Accounts, Failure> {
    let dir = DataDir::open(settings::data_dir(data)?).map_err(Failure::said)?;
    Accounts::open(&dir).map_err(Failure::said)
}

/// Nobody is in a directory that is not there: making it would only hide that its name is wrong.
fn open_existing(data: &DataArg) -> Result<Accounts, Failure> {
    let dir = settings::data_dir(data)?;
    if !dir.is_dir() {
        return Err(Failure::NotFound(format!("there is no data directory {}", dir.display())));
    }
    open(data)
}

fn checked_name(name: &str) -> Result<Name, Failure> {
    Name::new(name).map_err(|error| {
        let shown = chatproto::wire::escaped(name);
        Failure::Usage(format!(
            "`{shown}` is no ID: {error}. An ID has 1 to 32 bytes: letters and digits, and inside also - _ ."
        ))
    })
}

fn new_record(accounts: &mut Accounts, name: &Name, args: &PasswordArgs) -> Result<Vec<u8>, Failure> {
    let password = read_password(name, args)?;
    let password = Password::new(&password).map_err(|error| Failure::Usage(format!("password: {error}")))?;
    let setup = server_setup(accounts)?;
    let record = register(&setup, name.as_str(), password, args.stretch.into(), &mut OsRng)
        .map_err(|error| Failure::new("cannot make the login record", error))?;
    Ok(record.to_bytes())
}

impl From<StretchArg> for Stretch {
    fn from(stretch: StretchArg) -> Self {
        match stretch {
            StretchArg::Standard => Self::STANDARD,
            StretchArg::Light => Self::LIGHT,
        }
    }
}

fn read_password(name: &Name, args: &PasswordArgs) -> Result<Zeroizing<String>, Failure> {
    let failed = |error: io::Error| Failure::new("cannot read the password", error);
    if args.password_stdin {
        let mut line = Zeroizing::new(String::new());
        io::Read::take(io::stdin().lock(), MAX_PASSWORD_LINE).read_line(&mut line).map_err(failed)?;
        let len = line.trim_end_matches(['\r', '\n']).len();
        line.truncate(len);
        return Ok(line);
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::Usage(
            "there is no terminal to ask for the password: use --password-stdin".into(),
        ));
    }
    let prompt = |again: &str| rpassword::prompt_password(format!("Password for {}{again}: ", name.as_str()));
    let first = Zeroizing::new(prompt("").map_err(failed)?);
    let second = Zeroizing::new(prompt(", again").map_err(failed)?);
    if first != second {
        return Err(Failure::Usage("the two passwords differ; nothing was changed".into()));
    }
    Ok(first)
}

fn failed(error: &AccountError) -> Failure {
    match error {
        AccountError::Unknown(_) => Failure::NotFound(error.to_string()),
        AccountError::Exists(_) | AccountError::Lookalike { .. } | AccountError::Database(_) => {
            Failure::said(error)
        }
    }
}

fn say(line: &str) -> Result<(), Failure> {
    writeln!(io::stdout(), "{line}").map_err(|error| Failure::new("standard output", error))
}
