//! Orders of the operator: given to the hub like those of everybody else, answered when they are durable. Without a
//! running server, a hub without connections carries them out on the data directory.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chatproto::hub::{Event, Hub, OrderId, Ordered, RoomOrder};
use chatproto::wire::{ErrorCode, Name, Network, Note, RoomId, Subject};
use crossbeam_channel::Sender;

use super::seam::{self, Seam};
use crate::control::listener::Question;
use crate::control::{Answer, Order};
use crate::exit::Failure;
use crate::settings::Settings;
use crate::store::{Outcome, Read, ServerLock, Store, unix_ms};

/// Orders whose answer waits for the log.
#[derive(Debug, Default)]
pub(super) struct Orders {
    waiting: HashMap<OrderId, Sender<Answer>>,
    /// Those who want removed accounts to be looked for now.
    looking: HashMap<u64, Sender<Answer>>,
    looks: u64,
}

impl Orders {
    /// Begins what a caller asks for.
    pub(super) fn take(&mut self, hub: &mut Hub, store: &Store, question: Question) {
        let Question { order, answer } = question;
        let refused = match begin(hub, order) {
            Ok(Some(id)) => {
                self.waiting.insert(id, answer);
                return;
            }
            Ok(None) => {
                self.looks += 1;
                // With a full queue it is looked for soon anyway.
                if store.reader.try_send(Read::Removals { id: self.looks }).is_ok() {
                    self.looking.insert(self.looks, answer);
                    return;
                }
                None
            }
            Err(error) => Some(error),
        };
        // The caller may have given up.
        let _ = answer.send(Answer { error: refused });
    }

    /// Removed accounts were looked for, and told of before.
    pub(super) fn looked(&mut self, id: u64) {
        if let Some(answer) = self.looking.remove(&id) {
            let _ = answer.send(Answer { error: None });
        }
    }

    /// The log has answered.
    pub(super) fn ordered(&mut self, id: OrderId, outcome: Ordered) {
        if let Some(answer) = self.waiting.remove(&id) {
            let _ = answer.send(Answer { error: not_done(outcome).map(str::to_owned) });
        }
    }
}

/// Gives an order to the hub; `None` for one that is not its business.
fn begin(hub: &mut Hub, order: Order) -> Result<Option<OrderId>, String> {
    let refused = |(_, note): (ErrorCode, &'static str)| note.to_owned();
    match order {
        Order::Room { room, action, user, network, seconds, note } => {
            let user = user.as_deref().map(name).transpose()?;
            let network = network.as_deref().map(self::network).transpose()?;
            let (room, note) = (name(&room)?, reason(&note)?);
            let wanted = RoomOrder { room, action, user, network, seconds, note };
            hub.moderate_as_host(wanted).map(Some).map_err(refused)
        }
        Order::Create { room, owner, is_private } => {
            let owner = owner.as_deref().map(name).transpose()?;
            hub.create_room_as_host(name(&room)?, owner.as_ref(), is_private).map(Some).map_err(refused)
        }
        Order::Server { action, subject, seconds, note } => {
            let subject = subject.map(|subject| subject.parse::<Subject>()).transpose();
            let subject = subject.map_err(|error| error.to_string())?;
            hub.govern_as_host(action, subject, seconds, reason(&note)?).map(Some).map_err(refused)
        }
        Order::Forget {} => Ok(None),
    }
}

fn name(text: &str) -> Result<Name, String> {
    Name::new(text).map_err(|error| format!("`{}` is no name: {error}", chatproto::wire::escaped(text)))
}

fn network(text: &str) -> Result<Network, String> {
    match text.parse::<Subject>() {
        Ok(Subject::Network(network)) => Ok(network),
        Ok(Subject::User(_)) => Err("this is no address and no network".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn reason(text: &str) -> Result<Note, String> {
    Note::new(text).map_err(|error| format!("the text is not allowed: {error}"))
}

/// Carries an order out on a data directory on which no server runs.
///
/// # Errors
/// Says why it is not done.
pub(crate) fn offline(lock: ServerLock, settings: &Settings, order: Order) -> Result<(), Failure> {
    // What a removed account has left behind is gone from the tables already.
    if matches!(order, Order::Forget {}) {
        return Ok(());
    }
    let (sender, outcomes) = crossbeam_channel::unbounded::<Vec<Outcome>>();
    let on_write = Box::new(move |outcomes| drop(sender.send(outcomes)));
    let store = Store::start(lock, &settings.store(), on_write, Arc::new(|_| {})).map_err(Failure::said)?;
    let mut config = super::hub_config(chatproto::wire::ServerId([0; 16]), settings)?;
    let rooms = seam::room_records(store.rooms(), unix_ms())?;
    config.last_room = RoomId(store.last_room());
    let mut hub = Hub::new(config, rooms, |bytes: &mut [u8]| super::fill_random(bytes));
    hub.set_gate(seam::gate(store.gate(), unix_ms())?);

    let mut seam = Seam::default();
    let begun = begin(&mut hub, order).map_err(Failure::Said)?;
    let deadline = Instant::now() + TIMEOUT;
    while let Some(id) = begun {
        while let Some(event) = hub.poll_event() {
            // Without connections there is nothing else to tell.
            if let Event::Log(request) = event {
                seam.ask(&mut hub, &store, request);
            }
        }
        // Only a log in memory answers at once, and this is none.
        drop(seam.hand_over(&store));
        let batch = outcomes
            .recv_deadline(deadline)
            .map_err(|_| Failure::new("the data directory", "the order was not stored in time"))?;
        let mut answers = Vec::new();
        for outcome in batch {
            answers.extend(seam.on_outcome(&mut hub, outcome)?);
        }
        if let Some((_, outcome)) = answers.into_iter().find(|(answered, _)| *answered == id) {
            if let Some(why) = not_done(outcome) {
                return Err(Failure::said(why));
            }
            break;
        }
    }
    store.finish().map_err(Failure::said)
}

/// Why an order is not done, if it is not.
fn not_done(outcome: Ordered) -> Option<&'static str> {
    match outcome {
        Ordered::Stored => None,
        Ordered::Busy => Some("the database is locked by another process, and this is not done; try again"),
        Ordered::Failed => Some("this could not be stored, and is not done"),
    }
}

/// Time for one commit: a disk may be slow.
const TIMEOUT: Duration = Duration::from_secs(15);
