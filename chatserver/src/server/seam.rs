//! The log seam: what the hub asks of the log becomes the store's requests, and the store's answers the hub's verbs. With
//! durability `off` a ring in memory answers for messages, and the store only for rooms.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use chatproto::hub::{
    AppendId, AuditLine, Gate, GateAction, Holder, House, Hub, Imposed, Label, Lockdown, LogRequest, OrderId,
    Ordered, QueryId, Record, Role, RoomRecord, Stored,
};
use chatproto::wire::{Action, Anchor, DeviceId, Name, Network, Note, RoomId, Subject, Text};

use super::ring::{Reservation, Ring};
use crate::exit::Failure;
use crate::store::{
    AuditRow, DbError, FoundMessage, GateChange, GateRow, HouseChange, HouseRow, Message, Outcome,
    PAIR_SEPARATOR, Read, Reply, RoleRow, RoomKind, RoomRow, Sanction, SanctionRow, Search, Store, Write,
    WriteError, unix_ms,
};

/// Set in the id of a write that makes a room; the rest is the room's number.
pub(super) const ROOM_WRITE: u64 = 1 << 63;

/// Set in the id of a write that changes a room or the whole server; the rest is the hub's number for it. The bit between is
/// for tickets.
const ORDER_WRITE: u64 = 1 << 61;

/// The id of writes that end a conversation: nobody waits for them.
const RETIRE_WRITE: u64 = 1 << 57;

/// Set in the id of a write that reserves numbers of a room; the rest is the room's number.
const NUMBER_WRITE: u64 = 1 << 58;

/// What is under way between hub and log.
#[derive(Debug, Default)]
pub(super) struct Seam {
    /// Writes of this turn, and between turns those that the store had no room for. While there are any, no connection is
    /// read.
    waiting: VecDeque<Write>,
    /// Rooms that the log has not answered for, by the ids of their writes.
    rooms: BTreeMap<u64, OrderId>,
    /// Has the messages, where the log has none.
    ring: Option<Ring>,
    /// Writes that remove a room: the ring forgets it once they are done.
    removals: BTreeSet<u64>,
}

impl Seam {
    /// The seam to a log, or to the ring that takes its place.
    pub(super) fn new(ring: Option<Ring>) -> Self {
        Self { ring, ..Self::default() }
    }

    /// Whether the store has more to do than it can queue.
    pub(super) fn is_full(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Hands the writes of this turn over, and those that waited before them, as far as there is room. What is known at
    /// once comes back.
    #[must_use]
    pub(super) fn hand_over(&mut self, store: &Store) -> Vec<Outcome> {
        let outcomes = self.ring.as_mut().map(Ring::take_outcomes).unwrap_or_default();
        for reservation in self.ring.as_mut().map(Ring::take_reservations).unwrap_or_default() {
            self.waiting.push_back(number(reservation));
        }
        // What is left waits for the next answer; a store that has ended is noticed by the loop.
        let _ = store.writer.try_send_all(&mut self.waiting);
        outcomes
    }

    /// The last writes of a server that stops in good order.
    pub(super) fn finish(&mut self, store: &Store) {
        let ends = self.ring.iter().flat_map(Ring::ends).map(number);
        self.waiting.extend(ends);
        // Numbers that were reserved and are not given back are left out, and that is all.
        let _ = store.writer.try_send_all(&mut self.waiting);
    }

    /// Passes one question or request of the hub on to the store; writes wait for [`hand_over`](Self::hand_over).
    pub(super) fn ask(&mut self, hub: &mut Hub, store: &Store, request: LogRequest) {
        let Some(request) = self.ask_ring(hub, request) else { return };
        match request {
            LogRequest::RoomCreated { id: order, room, by, label, house } => {
                let (kind, name) = match label {
                    Label::Group(name) => (RoomKind::Group, name.as_str().to_owned()),
                    // Rooms become this, none begins as it.
                    Label::Former(..) => return,
                    Label::Direct(first, second) => {
                        (RoomKind::Direct, format!("{}{PAIR_SEPARATOR}{}", first.as_str(), second.as_str()))
                    }
                };
                let id = ROOM_WRITE | u64::from(room.0);
                let owner = house.roles.iter().find(|(_, role)| **role == Role::Owner);
                let owner = owner.map(|(name, _)| name.as_str().to_owned());
                let is_private = house.is_private;
                let by = by.map(|by| by.as_str().into());
                let write = Write::CreateRoom { id, room: room.0, kind, name, by, owner, is_private };
                self.rooms.insert(id, order);
                self.waiting.push_back(write);
            }
            LogRequest::Moderate { id, room, by, action, user, seconds, note, admits, networks } => {
                let Some(change) = change(action, &admits, &networks) else {
                    hub.ordered(id, Ordered::Failed);
                    return;
                };
                if action == Action::Remove && self.ring.is_some() {
                    self.removals.insert(ORDER_WRITE | id.0);
                }
                self.waiting.push_back(Write::Moderate {
                    id: ORDER_WRITE | id.0,
                    room: room.0,
                    by: by.map(|by| by.as_str().into()),
                    action: action.name(),
                    change: Box::new(change),
                    user: user
                        .map(|user| user.as_str().to_owned())
                        .or_else(|| named_network(action, &networks)),
                    seconds,
                    note: note.as_str().into(),
                });
            }
            LogRequest::Govern { id, by, action, subject, seconds, note } => {
                let Some(change) = gate_change(action) else {
                    hub.ordered(id, Ordered::Failed);
                    return;
                };
                self.waiting.push_back(Write::Govern {
                    id: ORDER_WRITE | id.0,
                    by: by.map(|by| by.as_str().into()),
                    action: action.name(),
                    change,
                    subject: subject.as_ref().map(kept_subject),
                    seconds,
                    note: note.as_str().into(),
                });
            }
            LogRequest::Retired { room, gone, keeper } => {
                if keeper.is_none() {
                    self.ring.iter_mut().for_each(|ring| ring.forget(room));
                }
                self.waiting.push_back(Write::Retire {
                    id: RETIRE_WRITE,
                    room: room.0,
                    gone: gone.as_str().into(),
                    keeper: keeper.map(|keeper| keeper.as_str().into()),
                });
            }
            LogRequest::Audit { id, room, before, limit } => {
                let room = room.map(|room| room.0);
                let read = Read::Audit { id: id.0, room, before, limit: limit.into() };
                read_or_put_off(hub, store, id, read);
            }
            LogRequest::Append { id, room, from, device, counter, text } => {
                let write = Write::Append {
                    id: id.0,
                    room: room.0,
                    sender: from.as_str().into(),
                    device: device.0,
                    counter,
                    text: text.as_str().into(),
                };
                self.waiting.push_back(write);
            }
            LogRequest::Recall { id, from, device, counter, .. } => {
                let sender = from.as_str().into();
                self.waiting.push_back(Write::Recall { id: id.0, sender, device: device.0, counter });
            }
            LogRequest::Read { id, room, after, limit } => page(hub, store, id, room, after, limit),
            LogRequest::History { id, room, anchor, seq, limit } => match anchor {
                Anchor::Before => {
                    let read = Read::Before {
                        id: id.0,
                        room: room.0,
                        before: seq,
                        limit: limit.into(),
                        max_bytes: page_bytes(hub),
                    };
                    read_or_put_off(hub, store, id, read);
                }
                Anchor::After => page(hub, store, id, room, seq, limit),
                Anchor::Around => {
                    let read = Read::Around {
                        id: id.0,
                        room: room.0,
                        seq,
                        limit: limit.into(),
                        max_bytes: page_bytes(hub),
                    };
                    read_or_put_off(hub, store, id, read);
                }
            },
            LogRequest::Search { id, rooms, words, limit } => {
                let search = Search {
                    id: id.0,
                    rooms: rooms.into_iter().map(|room| room.0).collect(),
                    words: words.as_str().into(),
                    limit: limit.into(),
                };
                if store.reader.try_search(search).is_err() {
                    hub.put_off_query(id);
                }
            }
            LogRequest::FindUser { id, name } => {
                let read = Read::Account { id: id.0, name: name.as_str().into() };
                read_or_put_off(hub, store, id, read);
            }
        }
    }

    /// With messages in memory only, the ring answers for them at once; hands back what is the store's.
    fn ask_ring(&mut self, hub: &mut Hub, request: LogRequest) -> Option<LogRequest> {
        let Some(ring) = &mut self.ring else { return Some(request) };
        match request {
            LogRequest::Append { id, room, from, device, counter, text } => {
                ring.append(id, Record { room, seq: 0, time: 0, from, device, counter, text }, unix_ms());
            }
            LogRequest::Recall { id, room, from, device, counter } => {
                ring.recall(id, room, (from, device), counter);
            }
            LogRequest::Read { id, room, after, limit } => {
                hub.records(id, Some(&ring.history(room, Anchor::After, after, limit)));
            }
            LogRequest::History { id, room, anchor, seq, limit } => {
                hub.records(id, Some(&ring.history(room, anchor, seq, limit)));
            }
            LogRequest::RoomCreated { .. }
            | LogRequest::Moderate { .. }
            | LogRequest::Govern { .. }
            | LogRequest::Retired { .. }
            | LogRequest::Audit { .. }
            | LogRequest::Search { .. }
            | LogRequest::FindUser { .. } => return Some(request),
        }
        None
    }

    /// Tells the hub what became of a write. Hands back what became of an order: somebody else may wait for it too.
    ///
    /// # Errors
    /// When the hub's numbers are not the log's: nothing more may be acknowledged then.
    pub(super) fn on_outcome(
        &mut self,
        hub: &mut Hub,
        outcome: Outcome,
    ) -> Result<Option<(OrderId, Ordered)>, Failure> {
        let (id, stored) = match outcome {
            Outcome::Committed { id, seq, time_ms } => (id, Stored::Committed { seq, time: time_ms }),
            Outcome::Duplicate { id, room, seq, time_ms } => {
                (id, Stored::Duplicate { room: RoomId(room), seq, time: time_ms })
            }
            Outcome::Forgotten { id } => (id, Stored::Forgotten),
            Outcome::Absent { id } => (id, Stored::Absent),
            Outcome::Failed { id, error } => {
                if matches!(error, WriteError::Gone(_)) {
                    tracing::info!(%error, "what was to be noted about it is not");
                } else {
                    tracing::error!(%error, "the log refused a write");
                }
                let is_locked = error == WriteError::Database(DbError::Busy);
                let not_done = if is_locked { Ordered::Busy } else { Ordered::Failed };
                if let Some(order) = self.rooms.remove(&id) {
                    return Ok(Some(ordered(hub, order, not_done)));
                }
                if let Some(room) = numbered(id) {
                    self.ring.iter_mut().for_each(|ring| ring.not_reserved(room, &error));
                    return Ok(None);
                }
                if id == RETIRE_WRITE {
                    return Ok(None);
                }
                self.removals.remove(&id);
                if id & ORDER_WRITE != 0 {
                    return Ok(Some(ordered(hub, OrderId(id & !ORDER_WRITE), not_done)));
                }
                (id, if is_locked { Stored::Busy } else { Stored::Failed })
            }
            Outcome::Numbered { room, last, .. } => {
                self.ring.iter_mut().for_each(|ring| ring.reserved(RoomId(room), last));
                return Ok(None);
            }
            Outcome::RoomCreated { id, .. } => {
                let order = self.rooms.remove(&id);
                return Ok(order.map(|order| ordered(hub, order, Ordered::Stored)));
            }
            Outcome::Moderated { id: RETIRE_WRITE, .. } => return Ok(None),
            Outcome::Moderated { id, room } => {
                if self.removals.remove(&id) {
                    self.ring.iter_mut().for_each(|ring| ring.forget(RoomId(room)));
                }
                return Ok(Some(ordered(hub, OrderId(id & !ORDER_WRITE), Ordered::Stored)));
            }
            Outcome::TicketKept { .. } => return Ok(None),
        };
        if hub.stored(AppendId(id), stored) {
            Ok(None)
        } else {
            Err(Failure::new("the message log", format!("it numbered message {id} out of turn")))
        }
    }
}

fn ordered(hub: &mut Hub, order: OrderId, outcome: Ordered) -> (OrderId, Ordered) {
    hub.ordered(order, outcome);
    (order, outcome)
}

/// A subject as it is kept: accounts have their mark, so that none is taken for an address.
fn kept_subject(subject: &Subject) -> String {
    match subject {
        Subject::User(name) => format!("@{}", name.as_str()),
        Subject::Network(network) => network.to_string(),
    }
}

fn number(Reservation { room, last }: Reservation) -> Write {
    Write::Number { id: NUMBER_WRITE | u64::from(room.0), room: room.0, last }
}

/// The room whose numbers a write with this id reserves.
fn numbered(id: u64) -> Option<RoomId> {
    let room = u32::try_from(id.checked_sub(NUMBER_WRITE)?).ok()?;
    Some(RoomId(room))
}

/// What an action changes in the tables of a room; `None` for one that changes none.
pub(super) fn change(action: Action, admits: &[Name], networks: &[Network]) -> Option<HouseChange> {
    let networks = || networks.iter().map(Network::to_string).collect();
    Some(match action {
        Action::Topic => HouseChange::Topic,
        Action::Slow => HouseChange::Slow,
        Action::Invite => HouseChange::Admit,
        Action::Kick => HouseChange::Dismiss,
        Action::Mute => HouseChange::Impose(Sanction::Mute),
        Action::Unmute => HouseChange::Lift(Sanction::Mute),
        Action::Ban => HouseChange::Impose(Sanction::Ban),
        Action::BanAddress => HouseChange::BanWith(networks()),
        Action::BanNetwork => HouseChange::BarNetworks(networks()),
        Action::UnbanNetwork => HouseChange::UnbarNetworks(networks()),
        Action::Unban => HouseChange::Lift(Sanction::Ban),
        Action::Op => HouseChange::Role(Some(RoleRow::Operator)),
        Action::Deop => HouseChange::Demote,
        Action::Private => HouseChange::Close(admits.iter().map(|name| name.as_str().into()).collect()),
        Action::Public => HouseChange::Open,
        Action::Owner => HouseChange::Own,
        Action::Remove => HouseChange::Remove,
        Action::Create | Action::Lockdown | Action::Hush | Action::Unlock => return None,
    })
}

/// What an action changes for the whole server; `None` for one that is done to rooms.
fn gate_change(action: Action) -> Option<GateChange> {
    GateAction::of(action).map(|action| match action {
        GateAction::Bar => GateChange::Bar,
        GateAction::Unbar => GateChange::Unbar,
        GateAction::Lock { is_hushed } => GateChange::Lock { hushed: is_hushed },
        GateAction::Unlock => GateChange::Unlock,
    })
}

/// What the audit log has for a person where a network is banned. Those that a person's ban covers stand nowhere in it.
fn named_network(action: Action, networks: &[Network]) -> Option<String> {
    let is_named = matches!(action, Action::BanNetwork | Action::UnbanNetwork);
    networks.first().filter(|_| is_named).map(Network::to_string)
}

/// Bytes of names and texts to read for one page. As frames they are longer: it is all that a page can take, and what is
/// read beyond it would be read again with the next one.
fn page_bytes(hub: &Hub) -> usize {
    hub.config().page_bytes
}

fn page(hub: &mut Hub, store: &Store, id: QueryId, room: RoomId, after: u64, limit: u16) {
    let read = Read::Page { id: id.0, room: room.0, after, limit: limit.into(), max_bytes: page_bytes(hub) };
    read_or_put_off(hub, store, id, read);
}

fn read_or_put_off(hub: &mut Hub, store: &Store, id: QueryId, read: Read) {
    if store.reader.try_send(read).is_err() {
        hub.put_off_query(id);
    }
}

/// A reply of the store on its way to the loop.
#[derive(Debug)]
pub(super) enum Answer {
    /// Messages; `None` if one of them is not what this server would have written.
    Records(QueryId, Option<Vec<Record>>),
    /// Anything else.
    Reply(Reply),
}

/// Checks messages on the thread that has read them: for a page that takes longer than to send it, and the loop has others to
/// serve.
impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        match reply {
            Reply::Page { id, room, messages, .. } => {
                let records = messages.into_iter().map(|message| record(room, message));
                Self::Records(QueryId(id), records.collect())
            }
            Reply::Found { id, messages, .. } => {
                let found = |FoundMessage { room, message }| record(room, message);
                Self::Records(QueryId(id), messages.into_iter().map(found).collect())
            }
            other @ (Reply::Account { .. }
            | Reply::Audit { .. }
            | Reply::Invite { .. }
            | Reply::Ticket { .. }
            | Reply::Removed { .. }
            | Reply::Looked { .. }
            | Reply::Failed { .. }) => Self::Reply(other),
        }
    }
}

/// Brings messages that the store has read to the hub.
pub(super) fn on_records(hub: &mut Hub, id: QueryId, records: Option<&[Record]>) {
    if records.is_none() {
        tracing::error!("the log holds a message that this server would not have written");
    }
    hub.records(id, records);
}

/// Brings what else the store has read to the hub.
pub(super) fn on_reply(hub: &mut Hub, reply: Reply) {
    match reply {
        Reply::Account { id, account } => {
            let holder = match account {
                None => Holder::Nobody,
                Some(account) if account.admin => Holder::Admin,
                Some(_) => Holder::Person,
            };
            hub.user_known(QueryId(id), Some(holder));
        }
        Reply::Audit { id, lines } => {
            let lines = lines.into_iter().filter_map(audit_line).collect::<Vec<_>>();
            hub.audited(QueryId(id), Some(&lines));
        }
        // Messages come as [`Answer::Records`], and only logins and registrations ask for the rest.
        Reply::Page { .. }
        | Reply::Invite { .. }
        | Reply::Found { .. }
        | Reply::Ticket { .. }
        | Reply::Removed { .. }
        | Reply::Looked { .. } => {}
        Reply::Failed { id, error } => {
            tracing::error!(%error, "the log could not be read");
            if !hub.records(QueryId(id), None) && !hub.audited(QueryId(id), None) {
                hub.user_known(QueryId(id), None);
            }
        }
    }
}

/// A line as the hub knows it; `None` for one that only another program can have written.
fn audit_line(row: AuditRow) -> Option<AuditLine> {
    let note = |text: &str| Note::new(text).ok();
    Some(AuditLine {
        number: row.id,
        time: row.time_ms,
        room: note(&row.room)?,
        by: note(row.by.as_deref().unwrap_or_default())?,
        action: Action::ALL.iter().copied().find(|action| action.name() == row.action)?,
        subject: note(row.user.as_deref().unwrap_or_default())?,
        seconds: row.seconds,
        note: note(&row.note)?,
    })
}

/// A message as the hub knows it; `None` for one that breaks the rules, which only another program can have written.
fn record(room: u32, message: Message) -> Option<Record> {
    Some(Record {
        room: RoomId(room),
        seq: message.seq,
        time: message.time_ms,
        from: Name::new(&message.sender).ok()?,
        device: DeviceId(message.device),
        counter: message.counter,
        text: Text::new(&message.text).ok()?,
    })
}

/// Who may do what in a room, as the hub knows it whose clock is at 0 now.
fn house(row: &HouseRow, now_ms: u64) -> Option<House> {
    let mut house = House {
        is_private: row.is_private,
        slow: Duration::from_secs(row.slow_s.into()),
        ..House::default()
    };
    for (name, role) in &row.roles {
        let role = match role {
            RoleRow::Member => Role::Member,
            RoleRow::Operator => Role::Operator,
            RoleRow::Owner => Role::Owner,
        };
        house.roles.insert(Name::new(name).ok()?, role);
    }
    for row in &row.sanctions {
        let notes = match row.kind {
            Sanction::Mute => &mut house.mutes,
            Sanction::Ban => &mut house.bans,
        };
        if let Some(imposed) = imposed(row, now_ms)? {
            notes.insert(Name::new(&row.subject).ok()?, imposed);
        }
    }
    for (row, with) in &row.networks {
        let Ok(Subject::Network(network)) = row.subject.parse() else { return None };
        let with = with.as_deref().map(Name::new).transpose().ok()?;
        if let Some(imposed) = imposed(row, now_ms)? {
            house.networks.insert((network, with), imposed);
        }
    }
    Some(house)
}

/// What is imposed, as the hub knows it whose clock is at 0 now; nothing if its time is over.
fn imposed(row: &SanctionRow, now_ms: u64) -> Option<Option<Imposed>> {
    let left_ms = row.until_ms.map(|until| until.saturating_sub(now_ms));
    let reason = Note::new(&row.note).ok()?;
    let until = left_ms.map(chatproto::Instant::from_millis);
    Some((left_ms != Some(0)).then_some(Imposed { until, reason }))
}

/// What holds for the whole server, as the hub knows it whose clock is at 0 now.
///
/// # Errors
/// When it has something that this server would not have written.
pub(super) fn gate(row: &GateRow, now_ms: u64) -> Result<Gate, Failure> {
    let damaged = |what: &str| Failure::new("the message log", format!("{what} is not allowed"));
    let mut gate = Gate::default();
    for ban in &row.bans {
        let subject = ban.subject.parse::<Subject>().map_err(|_| damaged("the subject of a ban"))?;
        let imposed = imposed(ban, now_ms).ok_or_else(|| damaged("the reason of a ban"))?;
        if let Some(imposed) = imposed {
            gate.bar(subject, imposed);
        }
    }
    if let Some((is_hushed, reason)) = &row.lockdown {
        let reason = Note::new(reason).map_err(|_| damaged("the reason of the lockdown"))?;
        gate.set_lockdown(Some(Lockdown { is_hushed: *is_hushed, reason }));
    }
    Ok(gate)
}

/// The rooms of the log as the hub knows them whose clock is at 0 now.
///
/// # Errors
/// When a room has a name that this server would not have written.
pub(super) fn room_records(rows: &[RoomRow], now_ms: u64) -> Result<Vec<RoomRecord>, Failure> {
    let records = rows.iter().map(|row| {
        let label = match row.kind {
            RoomKind::Group => Name::new(&row.name).ok().map(Label::Group),
            RoomKind::Direct => row.name.split_once(PAIR_SEPARATOR).and_then(|(first, second)| {
                Some(Label::direct(&Name::new(first).ok()?, &Name::new(second).ok()?))
            }),
            RoomKind::Former => {
                let mut names = row.name.split(PAIR_SEPARATOR).map(|name| Name::new(name).ok());
                names
                    .next()
                    .flatten()
                    .zip(names.next().flatten())
                    .map(|(keeper, gone)| Label::Former(keeper, gone))
            }
        };
        let topic = Note::new(&row.topic).ok();
        let (Some(label), Some(topic)) = (label, topic) else {
            let why = format!("room {} has a name or topic that is not allowed", row.id);
            return Err(Failure::new("the message log", why));
        };
        let Some(house) = house(&row.house, now_ms) else {
            let why = format!("room {} knows a person whose name is not allowed", row.id);
            return Err(Failure::new("the message log", why));
        };
        Ok(RoomRecord { room: RoomId(row.id), label, last: row.last_seq, topic, house })
    });
    records.collect()
}

#[cfg(test)]
mod tests;
