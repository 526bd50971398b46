//! Files from peer to peer between two real clients, each beside its floor in the same run.

mod big;
mod chat;
mod client;
mod copy;
mod latency;
mod many;
mod small;

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::Failure;
use crate::cli::{Durability, TransferArgs, TransferKind};
use crate::subject::{Guests, Running, Setup, Subject, built};

use client::Client;

const MIB: usize = 1 << 20;

/// Runs what was asked for as often as asked, and publishes the report.
///
/// # Errors
/// Says which step failed.
pub fn run(args: &TransferArgs) -> Result<(), Failure> {
    match args.kind {
        TransferKind::Big => big::run(args),
        TransferKind::Many => many::run(args),
        TransferKind::One => latency::run(args),
        TransferKind::Chat => chat::run(args),
    }
}

/// Where everything lies.
struct Place {
    setup: Setup,
    client: PathBuf,
    scratch: TempDir,
}

impl Place {
    fn new(args: &TransferArgs) -> Result<Self, Failure> {
        let setup = Setup::new(&args.server)?;
        let client = built("chatclient", "client", args.client.as_deref())?;
        let scratch =
            TempDir::with_prefix_in("load-", &setup.dir).map_err(Failure::io("make a directory"))?;
        Ok(Self { setup, client, scratch })
    }
}

/// Two fresh clients with a link between them; one has seen what the other shares.
struct Pair {
    asker: Client,
    giver: Client,
    running: Running,
    clients: PathBuf,
}

impl Pair {
    fn start(place: &Place, share: &Path) -> Result<Self, Failure> {
        let running = Subject::Server(Durability::Os).start(&place.setup, Guests::Devices(2))?;
        let clients = place.scratch.path().join("clients");
        let mut asker = Client::start(&place.client, &running, 0, &clients, None)?;
        let mut giver = Client::start(&place.client, &running, 1, &clients, Some(share))?;
        asker.expect("ready", |_| true)?;
        giver.expect("ready", |_| true)?;
        asker.type_line(&format!("[FILE] {}", giver.name))?;
        asker.expect("file_list", |_| true)?;
        Ok(Self { asker, giver, running, clients })
    }

    /// Ends both, and leaves nothing of them: it may be gigabytes.
    fn end(self) -> Result<(), Failure> {
        self.asker.quit()?;
        self.giver.quit()?;
        self.running.stop()?;
        fs::remove_dir_all(&self.clients).map_err(Failure::io("remove what was fetched"))
    }
}
