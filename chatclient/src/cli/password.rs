//! Where the password comes from: a file, or the person at the terminal.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

use chatproto::opaque::Password;
use chatproto::wire::Name;
use zeroize::Zeroizing;

use super::ArgsError;
use crate::settings::ServerAddr;
use crate::ui;

/// Why a password file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PasswordFileError {
    /// The system refused it.
    #[error("cannot read the password file {path:?}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Its first line is not UTF-8.
    #[error("the first line of the password file {0:?} is not UTF-8")]
    NotUtf8(PathBuf),
    /// Its first line is empty.
    #[error("the first line of the password file {0:?} is empty")]
    Empty(PathBuf),
}

/// The first line of a file, without its end. Of a longer one as much is read as makes it too long.
pub(super) fn from_file(path: &Path) -> Result<Zeroizing<String>, PasswordFileError> {
    let failed = |source| PasswordFileError::Read { path: path.to_owned(), source };
    let not_utf8 = || PasswordFileError::NotUtf8(path.to_owned());
    let file = File::open(path).map_err(failed)?;
    // Never grown: growing would leave a copy behind that nobody wipes.
    let bound = Password::MAX_LEN + LINE_END.len() + LONGEST_CHAR;
    let mut line = Zeroizing::new(Vec::with_capacity(bound));
    let mut reader = BufReader::with_capacity(bound, file).take(u64::try_from(bound).unwrap_or(u64::MAX));
    reader.read_until(b'\n', &mut line).map_err(failed)?;
    let text = match str::from_utf8(&line) {
        Ok(text) => text,
        // Cut within a character: what is left is too long all the same.
        Err(error) if line.len() == bound && error.error_len().is_none() => line
            .get(..error.valid_up_to())
            .and_then(|whole| str::from_utf8(whole).ok())
            .ok_or_else(not_utf8)?,
        Err(_) => return Err(not_utf8()),
    };
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(PasswordFileError::Empty(path.to_owned()));
    }
    Ok(Zeroizing::new(text.to_owned()))
}

/// The password in the first line of a file.
pub(crate) fn new_from_file(path: &Path) -> Result<Password, ArgsError> {
    Ok(Password::new(&from_file(path)?)?)
}

/// Whether somebody is there to be asked.
pub(super) fn can_ask() -> bool {
    io::stdin().is_terminal()
}

/// What the person at the terminal types, without echo. Only before the terminal is read for anything else.
pub(crate) fn ask(user: &Name, server: &ServerAddr) -> Result<Password, ArgsError> {
    if !can_ask() {
        return Err(ArgsError::NoPassword);
    }
    let typed = hidden(format!("password of {} at {server}: ", user.as_str()))?;
    Ok(Password::new(&typed)?)
}

/// A password that is new, typed twice.
pub(crate) fn ask_new(user: &Name, server: &ServerAddr) -> Result<Password, ArgsError> {
    if !can_ask() {
        return Err(ArgsError::NoPassword);
    }
    let prompt = |again: &str| hidden(format!("new password of {} at {server}{again}: ", user.as_str()));
    let first = prompt("")?;
    if *first != *prompt(", again")? {
        return Err(ArgsError::Differ);
    }
    Ok(Password::new(&first)?)
}

fn hidden(prompt: String) -> Result<Zeroizing<String>, ArgsError> {
    ui::ask(|| rpassword::prompt_password(prompt).map(Zeroizing::new)).map_err(ArgsError::Ask)
}

const LINE_END: &[u8] = b"\r\n";

/// The longest character in UTF-8, in bytes.
const LONGEST_CHAR: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &[u8]) -> Result<Zeroizing<String>, PasswordFileError> {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("password");
        std::fs::write(&path, content).unwrap();
        from_file(&path)
    }

    #[test]
    fn the_first_line_counts_and_its_spaces_belong_to_it() {
        for content in ["  open sesame ", "  open sesame \n", "  open sesame \r\nsecond\n"] {
            assert_eq!(*read(content.as_bytes()).unwrap(), "  open sesame ", "{content:?}");
        }
    }

    #[test]
    fn a_file_that_holds_no_password_is_refused() {
        assert!(matches!(read(b""), Err(PasswordFileError::Empty(_))));
        assert!(matches!(read(b"\nsecond"), Err(PasswordFileError::Empty(_))));
        assert!(matches!(read(b"\xff\n"), Err(PasswordFileError::NotUtf8(_))));
        let gone = from_file(Path::new("/nowhere/at/all")).unwrap_err();
        assert!(gone.to_string().starts_with("cannot read the password file \"/nowhere/at/all\""), "{gone}");
    }

    #[test]
    fn a_password_of_any_length_is_kept_whole_or_refused() {
        let longest = "x".repeat(Password::MAX_LEN);
        assert_eq!(*read(format!("{longest}\r\n").as_bytes()).unwrap(), longest);
        let longer = read(format!("{longest}x\r\n").as_bytes()).unwrap();
        assert!(Password::new(&longer).is_err());
        for endless in
            [vec![b'x'; 1 << 20], "ü".repeat(1 << 20).into_bytes(), "x🔑".repeat(1 << 18).into_bytes()]
        {
            assert!(Password::new(&read(&endless).unwrap()).is_err());
        }
    }
}
