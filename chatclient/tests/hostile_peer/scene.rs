//! Who is there, and what holds after every case.

use std::path::Path;

use chatproto::wire::{CloseReason, ToPeer};
use serde_json::Value;

use crate::harness::{Client, Options, Scratch, Server};
use crate::mallory::{End, Link, Mallory};

/// What a client may need at the very most: its program, its buffers, the units of a few transfers, and Argon2 at the login.
const MOST_MEMORY: u64 = 96 << 20;

/// A real server and Mallory, who outlives her victims.
pub struct Scene {
    pub server: Server,
    pub mallory: Mallory,
    scratch: Scratch,
    victims: u32,
}

/// The real client of one case.
pub struct Victim {
    pub alice: Client,
    /// What the shell is to hear of the first failure that was noted.
    pub first_failure: i32,
    scratch: Scratch,
}

impl Scene {
    pub fn new() -> Self {
        Self::start(Scratch::new(), &[])
    }

    /// With these settings of the server.
    pub fn with_settings(settings: &str) -> Self {
        let scratch = Scratch::new();
        let config = scratch.path("server.toml");
        std::fs::write(&config, settings).expect("settings");
        let args = ["--config", config.to_str().expect("a path")];
        Self::start(scratch, &args)
    }

    fn start(scratch: Scratch, args: &[&str]) -> Self {
        let server = Server::start_with(&scratch.path("server"), "127.0.0.1:0", args);
        server.add_users(&["alice", "mallory"]);
        let mallory = Mallory::start(&server, "mallory");
        Self { server, mallory, scratch, victims: 0 }
    }

    /// A new device of alice, who says yes to everybody.
    pub fn victim(&mut self) -> Victim {
        self.victim_with(|options| options)
    }

    pub fn victim_with(&mut self, change: impl FnOnce(Options) -> Options) -> Victim {
        self.victims += 1;
        eprintln!("victim {}", self.victims);
        let scratch = Scratch::new();
        let options = Options::new("alice", &self.server, &scratch).args(["--accept", "all"]);
        let alice = Client::ready(change(options));
        Victim { alice, first_failure: 0, scratch }
    }

    /// Alice asks mallory, and is called back by nobody: she connects, and the link stands.
    pub fn link(&mut self, victim: &mut Victim) -> Link {
        victim.alice.type_line("[FILE] mallory");
        self.mallory.link()
    }

    /// Mallory answers whatever comes over a link until it is over, while the victim does something.
    pub fn play(
        &mut self,
        victim: &mut Victim,
        link: Link,
        answer: impl FnMut(ToPeer<'_>) -> Vec<u8> + Send,
        act: impl FnOnce(&mut Victim),
    ) -> End {
        let mallory = &mut self.mallory;
        std::thread::scope(|scope| {
            let served = scope.spawn(|| mallory.serve(link, answer));
            let acted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| act(victim)));
            if let Err(failure) = acted {
                // The link ends with her, and so does the play.
                victim.alice.terminate();
                std::panic::resume_unwind(failure);
            }
            served.join().expect("mallory plays on")
        })
    }
}

impl Victim {
    /// Waits for an error with this code.
    pub fn complains(&mut self, code: &str) -> Value {
        self.alice.expect("error", |event| event["code"] == code)
    }

    /// Waits until a transfer has failed with this code.
    pub fn gives_up(&mut self, code: &str) -> Value {
        let event = self.alice.expect("transfer", |event| event["state"] == "failed");
        assert_eq!(event["error"], code, "{event}");
        event
    }

    /// Waits until a file has arrived.
    pub fn has(&mut self, name: &str) {
        self.alice.expect("transfer", |event| event["state"] == "done" && event["name"] == name);
    }

    /// Waits until her first transfer has so many bytes. Progress is shown at a bounded rate: the last of it may not be.
    pub fn has_stored(&mut self, bytes: u64) {
        let mut stored = None;
        while stored != Some(bytes) {
            self.alice.type_line("/transfers");
            stored = self.alice.expect("transfers", |_| true)["transfers"][0]["bytes"].as_u64();
        }
    }

    /// Notes how a transfer ended.
    pub fn note(&mut self, last: &Value) {
        if self.first_failure == 0 && last["state"] == "failed" {
            self.first_failure = if last["error"] == "verify_failed" { 7 } else { 1 };
        }
    }

    /// Ends the link.
    pub fn hangs_up(&mut self) {
        self.alice.type_line("/hangup mallory");
        self.alice.expect("peer_closed", |_| true);
    }

    /// What has the name of a file among her downloads.
    pub fn downloads(&self) -> Vec<String> {
        let folder = self.scratch.path("alice-downloads");
        let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        let names = names.map(|name| name.into_string().expect("a name in UTF-8"));
        // What is on its way has names of the program's own.
        let mut names: Vec<_> = names.filter(|name| !name.starts_with('.')).collect();
        names.sort();
        names
    }

    pub fn download(&self, name: &str) -> std::path::PathBuf {
        self.scratch.path("alice-downloads").join(name)
    }

    /// The folder that she shares.
    pub fn share(&self) -> std::path::PathBuf {
        self.scratch.path("alice-share")
    }

    pub fn state(&self) -> std::path::PathBuf {
        self.scratch.path("alice-state")
    }

    /// She is not alone with Mallory: chat goes on, nothing has a name that should not, and nothing lies where it should
    /// not. Then she ends, and the shell hears of her first failure.
    pub fn ends_well(mut self, code: i32, names: &[&str]) {
        self.alice.type_line("still here");
        self.alice.expect("posted", |_| true);
        let (_, most) = self.alice.cost();
        assert!(most < MOST_MEMORY, "the client held {most} bytes");
        assert_eq!(self.downloads(), names, "other files than there should be");
        let known = ["alice-downloads", "alice-share", "alice-state", "password"];
        for entry in std::fs::read_dir(self.scratch.path("")).expect("the test's folder") {
            let name = entry.expect("an entry").file_name();
            assert!(
                known.iter().any(|known| *known == name),
                "{name:?} was written outside of the downloads"
            );
        }
        assert!(!Path::new("/tmp/mallory-was-here").exists(), "an absolute name was followed");
        self.alice.quit_with(code);
    }
}

/// That the other side ended a link because a rule was broken.
pub fn was_violation(end: &End) {
    assert_eq!(end.bye, Some(CloseReason::Violation), "{end:?}");
}
