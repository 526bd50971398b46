//! The client itself: one loop over the connections, the machines above them, the workers and the user.
//!
//! Everything happens on the loop's thread. The machines ([`Session`](chatproto::session::Session), one
//! [`Peer`](chatproto::peer::Peer) for each link) decide what the protocol says; the files beside this one connect their
//! events with sockets, disks and the user, each one idea of it. What blocks is a job for the workers.

mod account;
mod advice;
mod again;
mod clock;
mod commands;
mod concealing;
mod direct;
mod ending;
mod errand;
mod events;
mod facts;
mod fetching;
mod gather;
mod history;
mod house;
mod jobs;
mod kept;
mod leaving;
mod linking;
mod links;
mod lists;
mod mapping;
mod memory;
mod meter;
mod pace;
mod paced;
mod parking;
mod persons;
mod placing;
mod pump;
mod rate;
mod reaching;
mod receiving;
mod redial;
mod remote;
mod rooms;
mod rotation;
mod sending;
mod server;
mod slots;
mod small;
mod sources;
mod start;
mod transfers;
mod voice;

use crate::command::Command;
use crate::downloads::Downloads;
use crate::exit::ExitStatus;
use crate::notice::{Code, Notice};
use crate::settings::Settings;
use crate::share::Share;
use crate::state::StateError;
use crate::ui::{Input, Ui};
use account::Account;
use again::Again;
use chatnet::{Identity, Mailbox, Net, NetEvent, Signal};
use chatproto::session::{RoomKey, State};
use chatproto::wire::{CloseReason, ErrorCode, Name, Note, RequestId};
use clock::Clock;
use direct::Direct;
use errand::{Errand, Errands};
use gather::Gathering;
use jobs::{Jobs, LinkTransfer};
use kept::KeptTransfers;
use leaving::Leaving;
use linking::Linking;
use links::Links;
use lists::Lists;
use mapping::Mapping;
use memory::Memory;
use pace::Pace;
use persons::Persons;
use placing::Batches;
use reaching::Reaching;
use redial::Redial;
use rooms::Question;
use sending::{Sent, Uploads};
use server::Server;
use sources::Sources;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};
use transfers::Transfers;
use voice::Voice;

/// Commands that may wait for something; while there are more, no input is read.
const MAX_HELD: usize = 256;

/// Says that may wait for the server; while there are more, no input is read, so that a long script is not refused.
const MAX_SAYS: usize = 256;

/// Time that a server which is gone has to come back once the input has ended. What was not said is kept.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

/// Runs the client until the user, a signal or a failure ends it.
#[must_use]
pub fn run(settings: Settings, ui: Ui) -> ExitStatus {
    let mut voice = Voice::new(ui);
    match App::start(settings, &mut voice) {
        Ok(start) => App::new(start, voice).serve(),
        Err(failure) => {
            voice.fatal(&Notice::error(failure.code, failure.message), failure.code);
            voice.status()
        }
    }
}

#[derive(Debug)]
struct App {
    settings: Settings,
    voice: Voice,
    clock: Clock,
    net: Net,
    jobs: Jobs,
    /// None until the server is known to be the right one, and the password given or not needed: until then the terminal
    /// belongs to these questions.
    input: Option<Mailbox<Input>>,
    /// No input will come any more: since when.
    input_ended: Option<Instant>,
    errands: Errands,
    /// Commands that wait for something that is under way.
    held: VecDeque<(Command, Errand)>,

    memory: Memory,
    identity: Identity,
    server: Server,
    account: Account,
    persons: Persons,
    /// How many rooms the first login enters.
    rooms_at_start: usize,
    /// The current room.
    room: Option<Name>,
    says: BTreeMap<u64, Errand>,
    joins: BTreeMap<RequestId, Errand>,
    /// Of the rooms that this client is in.
    topics: BTreeMap<Name, Note>,
    leaves: BTreeMap<RoomKey, Errand>,
    questions: BTreeMap<RequestId, Question>,

    linking: Linking,
    reaching: Reaching,
    /// The router forgets its port when this is dropped.
    mapping: Mapping,
    redial: Redial,
    links: Links,
    direct: Option<Direct>,
    lists: Lists,
    /// Files that are looked for again after a link was lost.
    again: Again,
    sources: Sources,
    share: Option<Share>,
    /// The last remark about what of the share is not shown.
    share_remark: String,
    downloads: Option<Downloads>,
    transfers: Transfers,
    uploads: Uploads,
    /// Those that have begun in this turn.
    begun_uploads: Vec<LinkTransfer>,
    sent: Sent,
    batches: Batches,
    kept: KeptTransfers,
    gathering: Gathering,
    pace: Pace,

    /// Since the end began.
    ending: Option<Leaving>,
}

impl App {
    fn serve(mut self) -> ExitStatus {
        let mut events = Vec::new();
        loop {
            self.settle();
            if self.is_over() {
                break;
            }
            let deadline = self.deadline();
            if let Err(error) = self.net.turn(deadline, &mut events) {
                self.voice.fatal(
                    &Notice::error(ErrorCode::Internal, error.to_string()),
                    ErrorCode::Internal.into(),
                );
                break;
            }
            events.drain(..).for_each(|event| self.on_net(event));
            self.take_input();
            self.take_results();
            self.take_mapping();
            self.tick();
        }
        self.tell_all_abandoned();
        // What is not over by now, such as the look-up of a name, nobody waits for.
        self.jobs.leave();
        self.voice.status()
    }

    fn on_net(&mut self, event: NetEvent) {
        match event {
            // The listener's own; who it is, the handshake and the hello will tell.
            NetEvent::Accepted { .. } | NetEvent::AcceptPaused { .. } | NetEvent::Woken => {}
            NetEvent::Connected { token, tls } => {
                let tls = tls.as_deref();
                if self.server.token == Some(token) {
                    self.on_server_connected(token, tls);
                } else if self.reaching.has(token) {
                    self.on_reached(token, tls);
                } else if self.redial.has(token) {
                    self.on_redialled(token, tls);
                } else {
                    self.on_called(token, tls);
                }
            }
            NetEvent::Readable { token } => self.read(token),
            // Everything that waits is written before the next turn.
            NetEvent::Writable { .. } => {}
            NetEvent::Closed { token, reason } => {
                if self.server.token == Some(token) {
                    self.on_server_closed(&reason);
                } else if let Some(link) = self.links.by_token(token) {
                    self.on_link_gone(link);
                } else if self.redial.has(token) {
                    self.on_not_redialled(token);
                } else {
                    self.on_unreached(token, &reason);
                }
            }
            NetEvent::Signal(signal) => self.on_signal(signal),
        }
    }

    fn on_signal(&mut self, signal: Signal) {
        let is_usual_end = self.settings.stay && signal != Signal::Interrupt;
        self.voice.note_status(if is_usual_end { ExitStatus::Done } else { ExitStatus::Interrupted });
        if self.ending.is_some() {
            self.ending = Some(Leaving::at_once(Instant::now()));
        }
        self.quit();
    }

    fn take_input(&mut self) {
        while self.ending.is_none()
            && self.held.len() < MAX_HELD
            && !self.held.iter().any(|(command, _)| matches!(command, Command::Quit))
            && self.says.len() < MAX_SAYS
            && let Some(input) = self.input.as_mut().and_then(|mailbox| mailbox.drain().next())
        {
            self.on_input(input);
        }
    }

    fn end_of_input(&mut self) {
        self.input_ended = Some(Instant::now());
        self.fail_parked();
        self.leave_paused();
    }

    /// Starts to read what the user types, unless the terminal may still have to ask for the password.
    fn start_input(&mut self) {
        let may_ask = self.settings.password.is_none() && !self.server.was_in;
        if self.input.is_some() || may_ask {
            return;
        }
        match self.voice.ui.listen(self.net.waker()) {
            Ok(mailbox) => self.input = Some(mailbox),
            Err(error) => {
                let notice = Notice::error(ErrorCode::Internal, format!("cannot read the input: {error}"));
                self.voice.fatal(&notice, ErrorCode::Internal.into());
                self.quit();
            }
        }
    }

    /// Begins the end: says goodbye everywhere.
    fn quit(&mut self) {
        if self.ending.is_some() {
            return;
        }
        // What is done is told as such; from here on, what was begun is given up.
        self.tell_done();
        self.ending = Some(Leaving::begin(Instant::now()));
        let now = self.clock.now();
        self.held.clear();
        self.forget_redial(None);
        let downloads = self.transfers.downloads.keys().copied().collect::<Vec<_>>();
        downloads.into_iter().for_each(|id| self.interrupt_download(id));
        for id in self.links.ids() {
            if let Some(link) = self.links.get_mut(id) {
                link.peer.close(CloseReason::Done, now);
            }
        }
        self.server.session.quit(now);
    }

    /// The server is out of reach for good; a link is worth staying for.
    fn quit_unless_linked(&mut self) {
        if self.links.iter().any(links::Link::stands) {
            return self.fail_waiting();
        }
        self.quit();
    }

    /// Whatever waits for the server waits in vain.
    fn fail_waiting(&mut self) {
        let says = std::mem::take(&mut self.says).into_values();
        let others = std::mem::take(&mut self.joins).into_values().chain(self.server.returning.take());
        let others = others.chain(std::mem::take(&mut self.leaves).into_values());
        let said =
            says.map(|errand| (errand, "not said: the server is out of reach; it is kept for the next time"));
        for (errand, text) in said.chain(others.map(|errand| (errand, "the server is out of reach"))) {
            self.voice.fail(Some(&errand), Code::NotConnected, text);
        }
    }

    /// Since when nobody is there any more to change their mind, so that what stands still must come to an end.
    fn last_word(&self) -> Option<Instant> {
        self.input_ended.filter(|_| !self.settings.stay)
    }

    /// Whether everything is done that was asked for, so that the end can begin.
    fn is_done(&self) -> bool {
        let asked_for_all = self.input_ended.is_some() && !self.settings.stay;
        asked_for_all && self.server.told_ready && self.errands.is_empty() && self.uploads.is_empty()
    }

    /// Whether nothing is left to do in direct mode but what only the server can finish.
    fn must_return(&self) -> bool {
        let asked_for_all = self.input_ended.is_some() && !self.settings.stay && self.ending.is_none();
        asked_for_all
            && self.server.session.state() == State::Away
            && !(self.says.is_empty() && self.joins.is_empty())
            && self.links_are_idle()
    }

    /// Whether nothing is done over links, nor to get one. That one stands is no work: its other end may stay for ever.
    fn links_are_idle(&self) -> bool {
        self.transfers.downloads.is_empty()
            && self.uploads.is_empty()
            && self.gathering.is_idle()
            && !self.lists.is_busy(None)
            && !self.links.is_opening(None)
            && self.links.iter().all(|link| link.says.is_empty())
    }

    /// Whether the server was waited for long enough after the end of the input.
    fn is_drained(&self) -> bool {
        let waited = self.input_ended.is_some_and(|since| since.elapsed() >= DRAIN_TIMEOUT);
        let is_gone = !matches!(self.server.session.state(), State::Ready | State::Stopped);
        waited && !self.settings.stay && is_gone && self.links_are_idle()
    }

    fn is_over(&self) -> bool {
        let Some(leaving) = self.ending else { return false };
        let is_quiet = self.server.session.state() == State::Stopped
            && self.links.is_empty()
            && self.net.connections() == 0
            && self.jobs.is_idle();
        is_quiet || leaving.is_over(Instant::now(), self.is_writing())
    }

    /// Whether a worker has files in its hands that would be less, or twice there, without it.
    fn is_writing(&self) -> bool {
        self.batches.is_under_way() || self.jobs.hold_any()
    }

    /// Tells that the state directory fails; the client goes on with what it has in memory.
    fn report(&mut self, outcome: Result<(), StateError>) {
        if let Err(error) = outcome {
            self.voice.note(Code::State);
            self.voice.fail(None, Code::State, error.to_string());
        }
    }

    fn refresh_prompt(&mut self) {
        let away = self.server.session.state() == State::Away;
        let prompt = match (&self.direct, &self.room) {
            (Some(direct), _) if away => {
                let link = self.links.iter().find(|link| link.name() == Some(&direct.peer));
                let with = link.and_then(|link| link.with.as_ref());
                let is_verified = with.is_some_and(|with| self.is_verified(&with.peer, with.device));
                let state = if is_verified { "direct" } else { "direct, unverified" };
                format!("{} ({state})> ", direct.peer.as_str())
            }
            (_, Some(room)) => format!("{}> ", room.as_str()),
            (_, None) => "> ".to_owned(),
        };
        self.voice.ui.set_prompt(&prompt);
    }
}
