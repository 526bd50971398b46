//! Passwords that are typed while the program runs: not shown, and not kept among the lines that can be called back.

use std::io;

use chatproto::opaque::Password;
use rpassword::ConfigBuilder;
use zeroize::Zeroizing;

use crate::ui::input::{InputError, NewPassword};

/// The command that begins it. With a file behind it, it is a command like any other.
pub(super) const COMMAND: &str = "/passwd";

/// Asks for the password as it is, and twice for the new one.
pub(super) fn new_password() -> Result<NewPassword, InputError> {
    let old = hidden("the password as it is: ")?;
    let new = hidden("the new password: ")?;
    if *new != *hidden("the new password, again: ")? {
        return Err(InputError::Differ);
    }
    Ok(NewPassword::new(Password::new(&old)?, Password::new(&new)?))
}

/// One line of the terminal that lines are edited on, which may not be the controlling one.
fn hidden(prompt: &str) -> Result<Zeroizing<String>, InputError> {
    let terminal = ConfigBuilder::new().input_file_path("/dev/stdin").output_file_path("/dev/stdout").build();
    let typed = rpassword::prompt_password_with_config(prompt, terminal);
    typed.map(Zeroizing::new).map_err(|error: io::Error| InputError::Failed(error.to_string()))
}
