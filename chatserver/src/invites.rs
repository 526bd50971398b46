//! The `invite` commands: codes with which strangers make accounts, and the link that carries server, certificate and code.

use std::io::{self, Write as _};
use std::time::Duration;

use chatnet::Fingerprint;
use chatproto::wire::escaped;
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;

use crate::certificate::Source;
use crate::cli::{DataArg, InviteCommand};
use crate::exit::Failure;
use crate::settings::{self, Registration, Settings};
use crate::store::{AccountError, Accounts, CODE_BYTES, DataDir, invite_code, unix_ms};

/// Runs one `invite` command.
///
/// # Errors
/// Says what is wrong with the data directory or the settings.
pub fn run(command: &InviteCommand) -> Result<(), Failure> {
    match command {
        InviteCommand::Create { data, uses, expires, label, host, qr } => {
            create(data, *uses, *expires, label, host.as_deref(), *qr)
        }
        InviteCommand::List { data } => {
            let now = unix_ms();
            for invite in open(data)?.invites().map_err(|error| failed(&error))? {
                let state = if invite.uses_left == 0 {
                    "used up".to_owned()
                } else if invite.expires_ms <= now {
                    "expired".to_owned()
                } else {
                    let hours = (invite.expires_ms - now).div_ceil(60 * 60 * 1_000);
                    format!("{} left, for {hours} h", invite.uses_left)
                };
                say(format!("{}\t{state}\t{}", invite.id, escaped(&invite.label)))?;
            }
            Ok(())
        }
        InviteCommand::Revoke { id, data } => {
            if open(data)?.remove_invite(*id).map_err(|error| failed(&error))? {
                say(format!("invitation {id} is worth nothing any more; accounts made with it stay"))
            } else {
                Err(Failure::NotFound(format!("there is no invitation {id}")))
            }
        }
    }
}

fn create(
    data: &DataArg,
    uses: u32,
    expires: Duration,
    label: &str,
    host: Option<&str>,
    qr: bool,
) -> Result<(), Failure> {
    let mut accounts = open(data)?;
    let mut bytes = [0; CODE_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| Failure::new("no randomness", error))?;
    let code = invite_code(&bytes);
    let lifetime = u64::try_from(expires.as_millis()).unwrap_or(u64::MAX);
    let until = unix_ms().saturating_add(lifetime);
    let id = accounts.invite(&code, label, uses, until).map_err(|error| failed(&error))?;
    say(format!("invitation {id}: {code}"))?;
    let settings = Settings::of_command(data)?;
    if settings.accounts().registration() != Registration::Invite {
        let hint = "the server must run with --registration invite, or the setting accounts.registration";
        writeln!(io::stderr(), "{hint}").map_err(|error| Failure::new("standard error", error))?;
    }
    let Some(host) = host else { return Ok(()) };
    let fingerprint = Source::of(&settings).load()?.fingerprint();
    let link = link(host, Some(fingerprint), Some(&code));
    say(link.clone())?;
    if qr { say(qr_code(&link)?) } else { Ok(()) }
}

/// A link that says where a server is, which certificate it shows, and maybe with which code one may register.
pub(crate) fn link(host: &str, fingerprint: Option<Fingerprint>, code: Option<&str>) -> String {
    let fingerprint = fingerprint.map(|fingerprint| format!("fp={fingerprint}"));
    let code = code.map(|code| format!("invite={code}"));
    let query = [fingerprint, code].into_iter().flatten().collect::<Vec<_>>().join("&");
    let query = if query.is_empty() { query } else { format!("?{query}") };
    format!("chat://{host}/{query}")
}

/// A text for a phone's camera, in half-blocks: two rows of modules in a line of the terminal.
///
/// # Errors
/// When it is too long for a code.
pub(crate) fn qr_code(text: &str) -> Result<String, Failure> {
    let code = QrCode::new(text.as_bytes()).map_err(|error| Failure::new("no QR code", error))?;
    // Dark terminals are more common than light ones, and readers want dark on light.
    let drawn = code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build();
    Ok(drawn)
}

fn open(data: &DataArg) -> Result<Accounts, Failure> {
    let dir = settings::data_dir(data)?;
    if !dir.is_dir() {
        return Err(Failure::NotFound(format!("there is no data directory {}", dir.display())));
    }
    let dir = DataDir::open(dir).map_err(Failure::said)?;
    Accounts::open(&dir).map_err(Failure::said)
}

fn failed(error: &AccountError) -> Failure {
    Failure::said(error)
}

fn say(line: String) -> Result<(), Failure> {
    writeln!(io::stdout(), "{line}").map_err(|error| Failure::new("standard output", error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use qrcode::Color;

    /// The modules that are drawn: a lit half of a character is a light one.
    fn modules(drawn: &str) -> Vec<Vec<Color>> {
        let of = |lit: bool| if lit { Color::Light } else { Color::Dark };
        let rows = drawn.lines().flat_map(|line| {
            let halves = |upper| {
                let lit = move |c| matches!((c, upper), ('█', _) | ('▀', true) | ('▄', false));
                line.chars().map(|c| of(lit(c))).collect::<Vec<_>>()
            };
            [halves(true), halves(false)]
        });
        rows.collect()
    }

    #[test]
    fn the_drawn_code_is_the_link_with_a_light_border_around_it() {
        let identity = chatnet::Identity::generate(["localhost"]).expect("a certificate");
        let link = link("chat.example:4900", Some(identity.fingerprint()), Some("2345-6789-abcd-efgh"));
        let code = QrCode::new(link.as_bytes()).expect("a code");
        let (width, expected) = (code.width(), code.to_colors());
        let drawn = modules(&qr_code(&link).expect("a drawing"));
        let border = (drawn[0].len() - width) / 2;
        assert!(border >= 4, "readers need four modules of border");
        for (y, row) in drawn.iter().enumerate() {
            assert_eq!(row.len(), width + 2 * border, "row {y} is as wide as the others");
            for (x, module) in row.iter().enumerate() {
                let inside = (border..border + width).contains(&x) && (border..border + width).contains(&y);
                let is = if inside { expected[(y - border) * width + (x - border)] } else { Color::Light };
                // The last half row of an odd number of rows is no part of the code.
                if y < width + 2 * border {
                    assert_eq!(*module, is, "at {x}, {y}");
                }
            }
        }
        assert!(drawn.len() >= width + 2 * border);
    }
}
