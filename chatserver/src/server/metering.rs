//! What the loop counts, and the page that it makes of it when somebody asks. Connections are gone through then and only
//! then.

use std::time::Duration;

use chatnet::{Net, TurnedAway};
use chatproto::hub::Hub;

use super::logins::Logins;
use super::relays::Relays;
use crate::metrics::{Histogram, Page};
use crate::store::{LogWriter, Outcome};

/// Counts since the start of the server.
#[derive(Debug, Default)]
pub(super) struct Meter {
    logged_in: u64,
    appended: u64,
    repeated: u64,
    failed: u64,
    bytes_in: u64,
    bytes_out: u64,
    turns: Histogram,
}

impl Meter {
    /// Somebody is logged in.
    pub(super) fn logged_in(&mut self) {
        self.logged_in += 1;
    }

    /// Bytes of frames came in.
    pub(super) fn received(&mut self, bytes: usize) {
        self.bytes_in += u64::try_from(bytes).unwrap_or(0);
    }

    /// Bytes of frames went out.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.bytes_out += u64::try_from(bytes).unwrap_or(0);
    }

    /// The log has answered.
    pub(super) fn written(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Committed { .. } => self.appended += 1,
            Outcome::Duplicate { .. } | Outcome::Forgotten { .. } => self.repeated += 1,
            Outcome::Failed { .. } => self.failed += 1,
            Outcome::Absent { .. }
            | Outcome::Numbered { .. }
            | Outcome::RoomCreated { .. }
            | Outcome::Moderated { .. }
            | Outcome::TicketKept { .. } => {}
        }
    }

    /// The loop has been busy for so long.
    pub(super) fn turned(&self, busy: Duration) {
        self.turns.record(busy);
    }

    /// Everything as it is now.
    pub(super) fn page(
        &self,
        hub: &Hub,
        logins: &Logins,
        log: &LogWriter,
        relays: &Relays,
        net: &Net,
    ) -> String {
        let mut page = Page::default();
        let (connections, logged_in) = hub.connections();
        page.gauge("chatserver_connections", "Connections past their TLS handshake.", connections);
        page.gauge("chatserver_logged_in", "Connections that are logged in.", logged_in);
        page.gauge("chatserver_strangers", "Connections in or before a login.", hub.strangers());
        page.gauge("chatserver_rooms", "Group rooms.", hub.router().groups());
        let help = "Connections that were told to come back later, for too many waited for a login.";
        page.counter("chatserver_busy_total", help, hub.strangers_refused());
        let help = "Bytes that wait to be sent, over all connections.";
        page.gauge("chatserver_queue_bytes", help, hub.queued_bytes());
        let (refused, abandoned) = logins.failed();
        let results = [("accepted", self.logged_in), ("refused", refused), ("abandoned", abandoned)];
        let help = "Logins that ended, by result; a wrong password shows as abandoned, for it is the client that notices.";
        page.counters("chatserver_logins_total", help, "result", &results);
        let results = [("appended", self.appended), ("repeated", self.repeated), ("failed", self.failed)];
        let help = "Messages brought to the log, by result; repeated ones were stored before.";
        page.counters("chatserver_messages_total", help, "result", &results);
        let help = "Messages queued for connections, live and caught up.";
        page.counter("chatserver_deliveries_total", help, hub.deliveries());
        page.counter("chatserver_received_bytes_total", "Bytes of frames received.", self.bytes_in);
        page.counter("chatserver_sent_bytes_total", "Bytes of frames sent.", self.bytes_out);
        page.gauge("chatserver_relays", "Links that pass through the server as ciphertext.", hub.relays());
        let help = "Bytes of relayed links, counted once.";
        page.counter("chatserver_relayed_bytes_total", help, relays.bytes());
        let help = "Messages that retention has removed.";
        page.counter("chatserver_messages_removed_total", help, log.removed());
        let help = "Time of one commit of the log with its flush.";
        page.histogram("chatserver_log_commit_seconds", help, log.commit_times());
        let help = "Time that the loop was busy between two waits.";
        page.histogram("chatserver_loop_turn_seconds", help, &self.turns);
        add_turned_away(&mut page, net);
        add_io_threads(&mut page, net);
        page.into_text()
    }
}

/// Who was closed unanswered.
fn add_turned_away(page: &mut Page, net: &Net) {
    page.counter("chatserver_taken_in_total", "Callers that were taken in.", net.taken_in());
    let TurnedAway { too_often, too_many, half_open } = net.turned_away();
    let reasons = [("too_often", too_often), ("too_many", too_many), ("half_open", half_open)];
    let help = "Callers that were closed unanswered: their address called too often, all did, or it had too many handshakes.";
    page.counters("chatserver_turned_away_total", help, "reason", &reasons);
}

/// What each I/O thread has to do; nothing where there are none.
fn add_io_threads(page: &mut Page, net: &Net) {
    let threads: Vec<_> = net.io_threads().enumerate().collect();
    if threads.is_empty() {
        return;
    }
    let connections: Vec<_> = threads.iter().map(|(number, stats)| (number, stats.connections)).collect();
    let help = "Connections of each I/O thread.";
    page.gauges("chatserver_io_thread_connections", help, "thread", &connections);
    let turns: Vec<_> = threads.iter().map(|(number, stats)| (number, stats.turns)).collect();
    let help = "Turns of each I/O thread's loop.";
    page.counters("chatserver_io_thread_turns_total", help, "thread", &turns);
    let busy: Vec<_> = threads.iter().map(|(number, stats)| (number, stats.busy.as_secs_f64())).collect();
    let help = "Time that each I/O thread has worked.";
    page.counters("chatserver_io_thread_busy_seconds_total", help, "thread", &busy);
}
