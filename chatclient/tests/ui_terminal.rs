//! A person at a terminal: a pseudo-terminal with the user interface at its other end.
//!
//! The other end is this very program, started again to play [`the_other_end`].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command as Process, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use chatclient::command::Command;
use chatclient::notice::{Code, Notice};
use chatclient::ui::{Format, Input, Ui};
use chatnet::{Net, NetConfig};
use chatproto::opaque::{ClientLogin, OsRng, Password, ServerLogin, ServerSetup, Stretch, register};
use chatproto::wire::{Name, Text};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

const ROLE: &str = "CHATCLIENT_TEST_OTHER_END";

/// Longer than any answer takes; only a failing test waits for it.
const PATIENCE: Duration = Duration::from_secs(20);

/// A file that appears when the other end is to change its prompt, as if somebody had done something.
const MOVE: &str = "CHATCLIENT_TEST_MOVE";

/// In that file, when nothing is to be said about it.
const QUIETLY: &str = "quietly";

/// The other end looks for that file so often.
const LOOK: Duration = Duration::from_millis(10);

const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";
const CTRL_R: &str = "\x12";

#[test]
fn lines_are_edited_and_arrive_as_commands() {
    let mut terminal = Terminal::open();
    terminal.sees("lobby> ");
    terminal.types("helo\x08lo\r");
    terminal.sees("got Say { text: \"hello\" }");
    terminal.types("/nonsense\r");
    terminal.sees("error: there is no command \"/nonsense\"");
    terminal.types("/le\tgames\r");
    terminal.sees("got Leave { room: Some(\"games\") }");
    terminal.types(CTRL_D);
    terminal.sees("got Quit");
    terminal.ends_as_it_was();
}

#[test]
fn output_does_not_disturb_what_is_being_typed() {
    let mut terminal = Terminal::open();
    terminal.sees("lobby> ");
    terminal.types("say this\rhalf a li");
    terminal.sees("got Say { text: \"say this\" }");
    terminal.sees("half a li");
    terminal.types("ne\r");
    terminal.sees("got Say { text: \"half a line\" }");
    terminal.types("/quit\r");
    terminal.sees("got Quit");
    terminal.ends_as_it_was();
}

#[test]
fn a_changed_room_shows_in_the_next_prompt() {
    let mut terminal = Terminal::open();
    terminal.sees("lobby> ");
    terminal.types("/join games\r");
    terminal.sees("games> ");
    terminal.types("/quit\r");
    terminal.ends_as_it_was();
}

#[test]
fn a_line_whose_prompt_changes_is_not_sent_before_it_was_seen() {
    let mut terminal = Terminal::open();
    terminal.sees("lobby> ");
    terminal.types("for the lob");
    terminal.sees("for the lob");
    terminal.moves();
    terminal.sees("moved");
    terminal.types("b");
    terminal.sees("elsewhere> for the lobb");
    terminal.types("y");
    terminal.moves();
    terminal.sees("moved");
    // The key that would have sent it only shows where it would have gone.
    terminal.types("\r");
    terminal.sees("elsewhere, too> for the lobby");
    terminal.types("\r");
    terminal.sees("got Say { text: \"for the lobby\" }");
    terminal.sees("elsewhere, too> ");
    terminal.moves();
    terminal.sees("moved");
    // What is typed faster than the line begins anew is not lost.
    terminal.types("all at once\r");
    terminal.sees("got Say { text: \"all at once\" }");
    terminal.types("/quit\r");
    terminal.ends_as_it_was();
}

#[test]
fn a_prompt_that_changes_shows_at_once() {
    let mut terminal = Terminal::open();
    terminal.sees("lobby> ");
    terminal.types("half a line");
    terminal.sees("half a line");
    terminal.moves_quietly();
    terminal.sees("els..> half a line");
    terminal.types(".");
    terminal.sees("elsewhere> half a line.");
    terminal.types("\r");
    terminal.sees("got Say { text: \"half a line.\" }");
    terminal.types("/quit\r");
    terminal.ends_as_it_was();
}

#[test]
fn what_somebody_says_does_not_look_like_a_line_of_somebody_else() {
    let mut terminal = Terminal::open();
    terminal.sees("lobby> ");
    terminal.types("fold\r");
    terminal.sees("(link) eve: hello");
    terminal.sees("\n    [lobby] admin: what was your password again?");
    terminal.types("/quit\r");
    terminal.ends_as_it_was();
}

#[test]
fn a_terminal_that_knows_nothing_gets_plain_lines() {
    let mut terminal = Terminal::open_as("dumb");
    terminal.types("hello\n");
    terminal.sees("got Say { text: \"hello\" }");
    terminal.types(CTRL_D);
    terminal.sees("got End");
    terminal.ends_as_it_was();
}

#[test]
fn a_new_password_is_typed_unseen_and_cannot_be_called_back() {
    let mut terminal = Terminal::open();
    terminal.sees("lobby> ");
    terminal.types("/passwd\r");
    terminal.sees("the password as it is: ");
    terminal.types("old secreX\x7ft\r");
    terminal.sees("the new password: ");
    terminal.types("new secret\r");
    terminal.sees("the new password, again: ");
    terminal.types("new secret\r");
    terminal.sees("got the passwords: true");
    terminal.types("/passwd\r");
    terminal.sees("the password as it is: ");
    terminal.types("old secret\r");
    terminal.sees("the new password: ");
    terminal.types("new secret\r");
    terminal.sees("the new password, again: ");
    terminal.types("another secret\r");
    terminal.sees("error: the password was not changed: the two new passwords differ");
    // Two lines up is the first /passwd: nothing that was typed in between.
    terminal.types("\x10\x10\x01\x0bhello\r");
    terminal.sees("got Say { text: \"hello\" }");
    terminal.types("/quit\r");
    terminal.sees("got Quit");
    assert!(!terminal.everything.contains("secre"), "{}", terminal.everything);
    terminal.ends_as_it_was();
}

#[test]
fn ctrl_c_interrupts_and_leaves_the_terminal_as_it_was() {
    let mut terminal = Terminal::open();
    terminal.sees("lobby> ");
    terminal.types("not fini");
    terminal.sees("fini");
    terminal.types(CTRL_C);
    terminal.sees("got Interrupt");
    terminal.ends_as_it_was();
}

#[test]
fn a_program_that_ends_by_itself_shows_its_last_words_and_leaves_the_terminal_as_it_was() {
    let mut terminal = Terminal::open();
    terminal.sees("lobby> ");
    terminal.types("end it\rtyping on");
    terminal.sees("error: these are the last words");
    terminal.ends_as_it_was();
}

#[test]
fn a_person_who_searches_the_history_does_not_stop_the_program() {
    let mut terminal = Terminal::open();
    terminal.sees("lobby> ");
    // 100 notices come while the editor takes none; were the loop to wait for it, the end would never come.
    terminal.types(&format!("flood and end\r{CTRL_R}"));
    terminal.ends_as_it_was();
}

/// Shows what it gets, until it is told to end.
#[test]
fn the_other_end() {
    if std::env::var_os(ROLE).is_none() {
        return;
    }
    let mut net = Net::new(NetConfig::default()).unwrap();
    let mut ui = Ui::new(Format::Text);
    assert!(ui.is_interactive());
    ui.set_prompt("lobby> ");
    let mut mailbox = ui.listen(net.waker()).unwrap();
    let mut events = Vec::new();
    let wish_to_move = PathBuf::from(std::env::var_os(MOVE).unwrap());
    let mut places = ["elsewhere> ", "elsewhere, too> ", "away> "].into_iter();
    loop {
        net.turn(Some(Instant::now() + LOOK), &mut events).unwrap();
        events.clear();
        if let Ok(how) = std::fs::read_to_string(&wish_to_move) {
            std::fs::remove_file(&wish_to_move).unwrap();
            ui.set_prompt(places.next().unwrap());
            if how != QUIETLY {
                ui.show(&Notice::Info("moved".to_owned()), None);
            }
        }
        for input in mailbox.drain() {
            match input {
                Input::Request(request) => {
                    ui.show(&Notice::Info(format!("got {:?}", request.command)), None);
                    if obey(&request.command, &mut ui) {
                        return;
                    }
                }
                Input::Malformed { error, .. } => {
                    ui.show(&Notice::error(Code::Usage, error.to_string()), None);
                }
                Input::NewPassword(passwords) => {
                    let (old, new) = passwords.into_parts();
                    let want = |typed: &str| Password::new(typed).unwrap();
                    let is_it = format!("{:?}", (old.clone(), new.clone()))
                        == "(Password(***), Password(***))"
                        && proves(&old, &want("old secret"))
                        && proves(&new, &want("new secret"));
                    ui.show(&Notice::Info(format!("got the passwords: {is_it}")), None);
                }
                Input::End | Input::Interrupt => {
                    ui.show(&Notice::Info(format!("got {input:?}")), None);
                    return;
                }
            }
        }
    }
}

/// Whether one password is the other, told by a login: they cannot be compared.
fn proves(one: &Password, other: &Password) -> bool {
    let rng = &mut OsRng;
    let setup = ServerSetup::generate(rng);
    let record = register(&setup, "alice", one.clone(), Stretch::LIGHT, rng).unwrap();
    let (client, request) = ClientLogin::start(other.clone(), rng).unwrap();
    let (_, response) = ServerLogin::start(&setup, Some(&record), "alice", &request, b"", rng).unwrap();
    client.finish(&response, "alice", b"", rng).is_ok()
}

/// Does what a test wants of this end; whether it ends.
fn obey(command: &Command, ui: &mut Ui) -> bool {
    if let Command::Join { room } = command {
        ui.set_prompt(&format!("{}> ", room.as_str()));
    }
    let Command::Say { text } = command else { return *command == Command::Quit };
    match text.as_str() {
        "fold" => {
            let said = format!("hello{}[lobby] admin: what was your password again?", " ".repeat(84));
            let (peer, text) = (Name::new("eve").unwrap(), Text::new(&said).unwrap());
            ui.show(&Notice::PeerMessage { peer, text }, None);
            return false;
        }
        "end it" => ui.show(&Notice::error(Code::Connect, "these are the last words"), None),
        "flood and end" => {
            for number in 0..100 {
                ui.show(&Notice::Info(format!("notice {number}")), None);
            }
        }
        _ => return false,
    }
    true
}

/// The person's end.
struct Terminal {
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    unread: String,
    /// All that ever was on the screen.
    everything: String,
    /// Kept open, so that the modes can be read after the other end has gone.
    line: OwnedFd,
    before: LocalModes,
    child: Child,
    folder: tempfile::TempDir,
}

impl Terminal {
    fn open() -> Self {
        Self::open_as("xterm")
    }

    fn open_as(kind: &str) -> Self {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        let name = ptsname(&keyboard, Vec::new()).unwrap();
        let line = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        tcsetwinsize(&line, Winsize { ws_row: 24, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let before = tcgetattr(&line).unwrap().local_modes;
        assert!(before.contains(LocalModes::ECHO | LocalModes::ICANON));
        let folder = tempfile::tempdir().unwrap();
        let child = Process::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_other_end", "--nocapture"])
            .env(ROLE, "1")
            .env("TERM", kind)
            .env(MOVE, folder.path().join("move"))
            .stdin(Stdio::from(line.try_clone().unwrap()))
            .stdout(Stdio::from(line.try_clone().unwrap()))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let keyboard = File::from(keyboard);
        let (sender, screen) = channel();
        let mut output = keyboard.try_clone().unwrap();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        let (unread, everything) = (String::new(), String::new());
        Self { keyboard, screen, unread, everything, line, before, child, folder }
    }

    fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Lets the other end change its prompt, and say so.
    fn moves(&self) {
        self.wishes("");
    }

    /// Lets the other end change its prompt, and say nothing.
    fn moves_quietly(&self) {
        self.wishes(QUIETLY);
    }

    fn wishes(&self, how: &str) {
        // In one step, so that the other end does not find it half written.
        std::fs::write(self.folder.path().join("wish"), how).unwrap();
        std::fs::rename(self.folder.path().join("wish"), self.folder.path().join("move")).unwrap();
    }

    /// Waits until this is on the screen, after what was seen before.
    fn sees(&mut self, expected: &str) {
        loop {
            if let Some(at) = self.unread.find(expected) {
                self.unread.drain(..at + expected.len());
                return;
            }
            match self.screen.recv_timeout(PATIENCE) {
                Ok(bytes) => {
                    self.unread.push_str(&String::from_utf8_lossy(&bytes));
                    self.everything.push_str(&String::from_utf8_lossy(&bytes));
                }
                Err(_) => panic!("never saw {expected:?}, only {:?}", self.unread),
            }
        }
    }

    fn ends_as_it_was(mut self) {
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}");
        assert_eq!(tcgetattr(&self.line).unwrap().local_modes, self.before);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A test that failed must not leave its other end behind; one that passed has none any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
