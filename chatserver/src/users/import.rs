//! `user import`: many accounts at once, all of them or none.
//!
//! Everything is checked before the first password is stretched, the stretching takes all cores, and one transaction adds
//! what came of it: an import that fails can be mended and repeated.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write as _};
use std::num::NonZero;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use chatproto::opaque::{OsRng, Password, RngCore as _, ServerSetup, Stretch, Zeroizing, register};
use chatproto::ticket;
use chatproto::wire::{Name, escaped};

use super::{failed, open, server_setup};
use crate::cli::{DataArg, StretchArg};
use crate::exit::Failure;
use crate::store::{Accounts, NewAccount, NewTicket, TicketHash, unix_ms};

/// What the command line asks for.
pub(super) struct Import<'a> {
    pub(super) file: &'a Path,
    pub(super) data: &'a DataArg,
    pub(super) stretch: StretchArg,
    /// Devices with a ticket for each account, and how long the tickets are good.
    pub(super) tickets: Option<(u8, Duration)>,
}

pub(super) fn run(import: &Import<'_>) -> Result<(), Failure> {
    if import.tickets.is_some_and(|(_, lifetime)| lifetime.is_zero()) {
        return Err(Failure::Usage("--ticket-lifetime 0: these tickets would be worth nothing".into()));
    }
    let from_stdin = import.file == Path::new("-");
    let shown = if from_stdin { "standard input".into() } else { import.file.display().to_string() };
    let unreadable = |error| Failure::new(format!("cannot read {shown}"), error);
    let parsed = if from_stdin {
        parse(io::stdin().lock()).map_err(unreadable)?
    } else {
        parse(BufReader::new(File::open(import.file).map_err(unreadable)?)).map_err(unreadable)?
    };
    let mut accounts = open(import.data)?;
    let wanted = check_free(&accounts, parsed).map_err(|faults| faults.into_failure(&shown))?;
    let setup = server_setup(&mut accounts)?;
    let made = make(&setup, wanted, import)?;
    let (new, printed): (Vec<_>, Vec<_>) = made.into_iter().unzip();
    accounts.import(&new).map_err(|error| failed(&error))?;
    let mut out = io::stdout().lock();
    let printed = printed.iter().try_for_each(|lines| out.write_all(lines.as_bytes()));
    printed.and_then(|()| out.flush()).map_err(|error| Failure::new("standard output", error))?;
    let count = new.len();
    // Beside the tickets, which a program reads.
    writeln!(io::stderr(), "imported {count} accounts").map_err(|error| Failure::new("standard error", error))
}

/// One line that is in order.
struct Wanted {
    line: usize,
    name: Name,
    password: Password,
}

/// What is wrong, line by line; the first few are kept, the rest are counted.
#[derive(Default)]
struct Faults {
    lines: Vec<(usize, String)>,
    more: usize,
}

impl Faults {
    fn add(&mut self, line: usize, fault: String) {
        if self.lines.len() < MAX_FAULTS {
            self.lines.push((line, fault));
        } else {
            self.more += 1;
        }
    }

    fn into_failure(mut self, file: &str) -> Failure {
        self.lines.sort_by_key(|(line, _)| *line);
        let mut text = "nothing was imported:".to_owned();
        for (line, fault) in &self.lines {
            // Writing to a String cannot fail.
            let _ = write!(text, "\n  {file}, line {line}: {fault}");
        }
        if self.more > 0 {
            let _ = write!(text, "\n  and {} more lines with faults", self.more);
        }
        Failure::Usage(text)
    }
}

/// Reads all lines; what is wrong with any of them is told together.
fn parse(mut input: impl BufRead) -> io::Result<(Vec<Wanted>, Faults)> {
    let (mut wanted, mut faults) = (Vec::new(), Faults::default());
    let mut names = HashMap::new();
    // Never grown: growing would leave copies of passwords behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_LINE_BYTES));
    for line in 1.. {
        bytes.clear();
        let bound = u64::try_from(MAX_LINE_BYTES).unwrap_or(u64::MAX);
        if io::Read::take(&mut input, bound).read_until(b'\n', &mut bytes)? == 0 {
            break;
        }
        if wanted.len() == MAX_ACCOUNTS {
            faults.add(line, format!("more than {MAX_ACCOUNTS} accounts; import the rest from another file"));
            break;
        }
        if bytes.len() == MAX_LINE_BYTES && bytes.last() != Some(&b'\n') {
            faults.add(line, format!("longer than {MAX_LINE_BYTES} bytes; lines from here on were not read"));
            break;
        }
        match parse_line(&bytes) {
            Ok(None) => {}
            Ok(Some((name, password))) => match names.insert(name.clone(), line) {
                None => wanted.push(Wanted { line, name, password }),
                Some(first) => faults.add(line, format!("`{}` is in line {first} already", name.as_str())),
            },
            Err(fault) => faults.add(line, fault),
        }
    }
    Ok((wanted, faults))
}

/// The name and the password; nothing of a line without them. Faults never show the password.
fn parse_line(line: &[u8]) -> Result<Option<(Name, Password)>, String> {
    let line = str::from_utf8(line).map_err(|_| "not UTF-8".to_owned())?;
    let line = line.strip_suffix('\n').unwrap_or(line);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let Some((name, password)) = line.split_once([' ', '\t']) else {
        return Err("an ID, a space and the password are needed".into());
    };
    let name = Name::new(name).map_err(|error| format!("`{}` is no ID: {error}", escaped(name)))?;
    let password =
        Password::new(password).map_err(|error| format!("password of {}: {error}", name.as_str()))?;
    Ok(Some((name, password)))
}

/// Adds to the faults the names that are taken.
fn check_free(accounts: &Accounts, parsed: (Vec<Wanted>, Faults)) -> Result<Vec<Wanted>, Faults> {
    let (wanted, mut faults) = parsed;
    for Wanted { line, name, .. } in &wanted {
        match accounts.lookup(name.as_str()) {
            Ok(None) => {}
            Ok(Some(_)) => faults.add(*line, format!("account `{}` exists already", name.as_str())),
            Err(error) => {
                faults.add(*line, error.to_string());
                break;
            }
        }
    }
    if faults.lines.is_empty() { Ok(wanted) } else { Err(faults) }
}

/// An account, and the lines to print for its tickets.
type Made = (NewAccount, Zeroizing<String>);

/// Registers all of them on all cores, in the order of the file.
fn make(setup: &ServerSetup, wanted: Vec<Wanted>, import: &Import<'_>) -> Result<Vec<Made>, Failure> {
    let (next, stopped) = (AtomicUsize::new(0), AtomicBool::new(false));
    let cores = thread::available_parallelism().map_or(1, NonZero::get).min(wanted.len().max(1));
    let work = || -> Result<Vec<(usize, Made)>, Failure> {
        let mut made = Vec::new();
        while !stopped.load(Ordering::Relaxed) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(wanted) = wanted.get(at) else { break };
            let account =
                make_one(setup, wanted, import).inspect_err(|_| stopped.store(true, Ordering::Relaxed));
            made.push((at, account?));
        }
        Ok(made)
    };
    let mut made = thread::scope(|scope| {
        let threads = (0..cores).map(|_| scope.spawn(work)).collect::<Vec<_>>();
        let mut made = Vec::with_capacity(wanted.len());
        for thread in threads {
            let died = |_| Failure::new("cannot make the login records", "a thread died");
            made.extend(thread.join().map_err(died)??);
        }
        Ok::<_, Failure>(made)
    })?;
    made.sort_by_key(|(at, _)| *at);
    Ok(made.into_iter().map(|(_, made)| made).collect())
}

fn make_one(setup: &ServerSetup, wanted: &Wanted, import: &Import<'_>) -> Result<Made, Failure> {
    let Wanted { line, name, password } = wanted;
    let stretch = Stretch::from(import.stretch);
    let record = register(setup, name.as_str(), password.clone(), stretch, &mut OsRng)
        .map_err(|error| Failure::new(format!("line {line}: cannot make the login record"), error))?;
    let mut account =
        NewAccount { name: name.as_str().into(), record: record.to_bytes(), tickets: Vec::new() };
    let (devices, lifetime) = import.tickets.unwrap_or_default();
    let mut lines = Zeroizing::new(String::new());
    for _ in 0..devices {
        let mut device = [0; 16];
        OsRng.fill_bytes(&mut device);
        let mut secret = Zeroizing::new([0; ticket::LEN]);
        OsRng.fill_bytes(&mut *secret);
        let lifetime_ms = u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX);
        let expires_ms = unix_ms().saturating_add(lifetime_ms);
        account.tickets.push(NewTicket { hash: TicketHash::of(&*secret), device, expires_ms });
        let _ = writeln!(lines, "{} {} {}", name.as_str(), hex(&device).as_str(), hex(&*secret).as_str());
    }
    Ok((account, lines))
}

fn hex(bytes: &[u8]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(2 * bytes.len()));
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Accounts in one import. Bounds its memory, and the time for which its transaction keeps the server's writes waiting.
const MAX_ACCOUNTS: usize = 100_000;

/// The longest line: an ID, a space and the longest password fit well.
const MAX_LINE_BYTES: usize = 4096;

/// Faults that are told one by one.
const MAX_FAULTS: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &[u8]) -> String {
        let (_, faults) = parse(text).unwrap();
        faults.into_failure("accounts").to_string()
    }

    #[test]
    fn a_line_is_a_name_and_all_that_follows() {
        let text = b"# staff\nalice correct horse \n\nb\xc3\xbccher\tx y\r\n";
        let (wanted, faults) = parse(&text[..]).unwrap();
        assert!(faults.lines.is_empty());
        let wanted = wanted.iter().map(|wanted| (wanted.line, wanted.name.as_str())).collect::<Vec<_>>();
        assert_eq!(wanted, [(2, "alice"), (4, "b\u{fc}cher")]);
    }

    #[test]
    fn every_fault_is_told_with_its_line_and_without_the_password() {
        let text = b"alice one\nbob\n-x secret\nalice two\ncarol \n\xff\n";
        let told = faults(text);
        let lines = told.lines().collect::<Vec<_>>();
        assert_eq!(lines.len(), 6, "{told}");
        for (line, part) in lines.iter().zip([
            "nothing was imported",
            "accounts, line 2: an ID, a space and the password",
            "accounts, line 3: `-x` is no ID",
            "accounts, line 4: `alice` is in line 1 already",
            "accounts, line 5: password of carol",
            "accounts, line 6: not UTF-8",
        ]) {
            assert!(line.contains(part), "{line}");
        }
        assert!(!told.contains("secret"), "{told}");
    }

    #[test]
    fn what_is_endless_is_not_read_to_its_end() {
        let told = faults(&vec![b'x'; 1 << 20]);
        assert!(told.contains("line 1: longer than 4096 bytes"), "{told}");
        let many = faults("x\n".repeat(1_000).as_bytes());
        assert_eq!(many.lines().count(), MAX_FAULTS + 2);
        assert!(many.ends_with("and 980 more lines with faults"), "{many}");
    }
}
