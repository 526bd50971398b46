//! Questions that the program answers: history, search, missed messages, accounts.

use alloc::vec::Vec;

use super::govern::Decree;
use super::moderate::Order;
use super::orders::Refused;
use super::pages::Askers;
use super::rooms::pages;
use super::router::message;
use super::{ConnId, Hub, LogRequest, QueryId, Record};
use crate::wire::{
    Anchor, Body, ErrorCode, FrameType, History, List, MAX_PAGE_MESSAGES, MessagePage, Name, PageMessage,
    RequestId, RoomId, RoomKind,
};

/// What is being asked, and for whom.
#[derive(Debug)]
pub(super) enum Query {
    /// The next page for some who are behind.
    Missed { conns: Askers, room: RoomId, after: u64 },
    /// A page of history or search.
    Page { conn: ConnId, asked: Page },
    /// Whether somebody exists, as `conn` wants to know first.
    User { conn: ConnId, from: Name, to: Name },
    /// Whether the person exists whom an order is about.
    Order(Wanted),
    /// Lines of the audit log.
    Audit { conn: ConnId, request: RequestId, room: Option<RoomId> },
}

/// A page that somebody asked for.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) about: FrameType,
    pub(super) request: RequestId,
    /// The one room that its history was asked of; `None` for a search.
    pub(super) room: Option<RoomId>,
    /// If not all fits, what is nearest to this goes first.
    pub(super) anchor: Anchor,
    pub(super) seq: u64,
    /// Once there were messages to be had for it.
    pub(super) is_due: bool,
    /// Who searches; `None` for history.
    pub(super) searcher: Option<Name>,
}

/// What somebody wants done, while it is found out whether there is the person that it is about.
#[derive(Debug)]
pub(super) enum Wanted {
    Room(Order),
    Server(Decree),
}

impl Hub {
    pub(super) fn ask(&mut self, query: Query) -> QueryId {
        let id = QueryId(self.next_query);
        self.next_query += 1;
        self.queries.insert(id, query);
        id
    }

    pub(super) fn take_query(&mut self, id: QueryId, wanted: impl FnOnce(&Query) -> bool) -> Option<Query> {
        self.queries.get(&id).filter(|query| wanted(query))?;
        self.queries.remove(&id)
    }

    pub(super) fn on_history(&mut self, id: ConnId, history: &History<'_>) {
        let Some((user, _)) = self.identity(id) else { return };
        let Some(room) = self.find_room(&user, history.target) else {
            let note = "no such room";
            return self.send_error(id, ErrorCode::NoSuchRoom, history, history.request.into(), note);
        };
        if !self.may_read(id, room) {
            let note = "join the room first";
            return self.send_error(id, ErrorCode::NotMember, history, history.request.into(), note);
        }
        let limit = history.limit.clamp(1, MAX_PAGE_MESSAGES);
        // Before 0 means before the end that is committed now.
        let last = self.router.info(room).map_or(0, |(.., last)| last);
        let seq = match history.anchor {
            Anchor::Before if history.seq == 0 => last.saturating_add(1),
            Anchor::Before | Anchor::After | Anchor::Around => history.seq,
        };
        let anchor = history.anchor;
        let is_due = match anchor {
            Anchor::Before => last > 0 && seq > 1,
            Anchor::After => seq < last,
            Anchor::Around => last > 0,
        };
        if !self.may_ask(id) {
            let note = "too many requests are open";
            return self.send_error(id, ErrorCode::TooManyRequests, history, history.request.into(), note);
        }
        let (about, request) = (FrameType::History, history.request);
        let asked = Page { about, request, room: Some(room), anchor, seq, is_due, searcher: None };
        let query = self.ask(Query::Page { conn: id, asked });
        self.request(LogRequest::History { id: query, room, anchor, seq, limit });
    }

    /// Groups are read by those who are in them, conversations by their two people.
    pub(super) fn may_read(&self, id: ConnId, room: RoomId) -> bool {
        let is_direct = self.router.info(room).is_some_and(|(label, ..)| label.kind() != RoomKind::Group);
        is_direct || self.clients.get(&id).is_some_and(|client| client.rooms.contains(&room))
    }

    /// Counts a request that the program will work on, unless there are too many.
    pub(super) fn may_ask(&mut self, id: ConnId) -> bool {
        let Some(client) = self.clients.get_mut(&id) else { return false };
        if client.requests >= self.config.max_requests {
            return false;
        }
        client.requests += 1;
        true
    }

    /// Answers [`LogRequest::Read`], [`LogRequest::History`] or [`LogRequest::Search`]; an error answers with `None`.
    /// `false` if the hub did not ask.
    ///
    /// An answer to [`LogRequest::Read`] holds the messages directly above the number asked for; one that is left out is gone
    /// for good.
    pub fn records(&mut self, id: QueryId, records: Option<&[Record]>) -> bool {
        match self.take_query(id, |query| matches!(query, Query::Missed { .. } | Query::Page { .. })) {
            Some(Query::Missed { conns, room, after }) => self.on_missed(conns, room, after, records),
            Some(Query::Page { conn, asked }) => {
                self.end_request(conn);
                self.end_search(asked.searcher.as_ref());
                if let Err((code, note)) = self.answer_page(conn, &asked, records) {
                    self.send_error(conn, code, &asked.about, asked.request.into(), note);
                }
            }
            Some(Query::User { .. } | Query::Order(_) | Query::Audit { .. }) | None => return false,
        }
        true
    }

    /// Answers any question of the hub's with: not now, because the program has more to do than it can queue. Who is behind waits, and
    /// the hub asks for it again after a millisecond; everybody else is told `busy`. `false` if the hub did not ask.
    pub fn put_off_query(&mut self, id: QueryId) -> bool {
        if self.user_known(id, None) {
            return true;
        }
        let (conn, about, request) = match self.queries.remove(&id) {
            Some(Query::Missed { conns, room, after }) => {
                self.put_off(conns, room, after);
                return true;
            }
            Some(Query::Page { conn, asked }) => {
                self.end_search(asked.searcher.as_ref());
                (conn, asked.about, asked.request)
            }
            Some(Query::Audit { conn, request, .. }) => (conn, FrameType::Inquire, request),
            Some(Query::User { .. } | Query::Order(_)) | None => return false,
        };
        self.end_request(conn);
        self.send_error(conn, NOT_NOW.0, &about, request.into(), NOT_NOW.1);
        true
    }

    pub(super) fn end_request(&mut self, id: ConnId) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.requests = client.requests.saturating_sub(1);
        }
    }

    /// Who asked may have been put out of a room since, and the log has gone on: what is not theirs to read any more is left out.
    fn answer_page(&mut self, id: ConnId, asked: &Page, records: Option<&[Record]>) -> Result<(), Refused> {
        let records = records.ok_or((ErrorCode::Internal, "the log could not be read"))?;
        if asked.room.is_some_and(|room| !self.may_read(id, room)) {
            return Err((ErrorCode::NotMember, "you are not in the room any more"));
        }
        if asked.is_due && records.is_empty() {
            return Err((ErrorCode::Gone, "what was said there is not kept any more"));
        }
        let near = match asked.anchor {
            Anchor::Before => records.len(),
            Anchor::After => 0,
            Anchor::Around => records.iter().take_while(|record| record.seq < asked.seq).count(),
        };
        let records = fitting(records, near, self.config.page_bytes);
        let records = records.iter().filter(|record| self.may_read(id, record.room));
        let messages = records.map(|record| PageMessage {
            room: record.room,
            seq: record.seq,
            time: record.time,
            device: record.device,
            counter: record.counter,
            from: record.from.borrow(),
            text: record.text.borrow(),
        });
        let messages = messages.collect::<Vec<_>>();
        let request = asked.request;
        let empty = MessagePage { request, more: false, messages: List::new(&[]) };
        for (page, more) in pages(&messages, empty.body_len(), self.frame_limit(id)) {
            self.send(id, &MessagePage { request, more, messages: List::new(page) });
        }
        Ok(())
    }
}

/// Why a question is not answered that may be asked again.
const NOT_NOW: Refused = (ErrorCode::Busy, "the log has too much to do; ask again");

/// The records around index `centre` that have at most `max_bytes` with a frame for each; one at least, if there is any.
pub(super) fn fitting(records: &[Record], centre: usize, max_bytes: usize) -> &[Record] {
    let len = |at: usize| records.get(at).map(|record| message(record, 0).frame_len());
    let (mut low, mut high) = (centre.min(records.len()), centre.min(records.len()));
    let mut left = max_bytes;
    let mut fits = |at: usize, is_first: bool| {
        let fitting = len(at).filter(|len| *len <= left || is_first);
        left = left.saturating_sub(fitting.unwrap_or_default());
        fitting.is_some()
    };
    // Every round takes in a record or ends the loop.
    loop {
        let before = high - low;
        if fits(high, before == 0) {
            high += 1;
        }
        if low > 0 && fits(low - 1, high == low) {
            low -= 1;
        }
        if high - low == before {
            return records.get(low..high).unwrap_or_default();
        }
    }
}
