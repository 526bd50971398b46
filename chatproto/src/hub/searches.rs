//! Searches: the program works on one at a time for each account, so that nobody's questions stand before everybody else's.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use super::query::{Page, Query};
use super::{ConnId, Hub, LogRequest, QueryId};
use crate::wire::{Anchor, Capability, ErrorCode, FrameType, MAX_PAGE_MESSAGES, Name, RoomId, Search, Text};

/// The accounts that search.
#[derive(Debug, Default)]
pub(super) struct Searches {
    /// What waits behind the search that is under way; who has none under way is not here. How many they are is bounded by the
    /// requests that each connection may have open.
    waiting: BTreeMap<Name, VecDeque<Wanted>>,
}

/// A search that the program was not asked for yet.
#[derive(Debug)]
struct Wanted {
    query: QueryId,
    conn: ConnId,
    /// `None` for all that the connection is in when it is asked for.
    room: Option<RoomId>,
    words: Text,
    limit: u16,
}

impl Hub {
    pub(super) fn on_search(&mut self, id: ConnId, search: &Search<'_>) {
        let Some((user, _)) = self.identity(id) else { return };
        if !self.clients.get(&id).is_some_and(|client| client.capabilities.has(Capability::Search)) {
            let note = "searching was not agreed on";
            return self.send_error(id, ErrorCode::NotSupported, search, search.request.into(), note);
        }
        let room = match search.target {
            None => None,
            Some(target) => match self.find_room(&user, target).filter(|room| self.may_read(id, *room)) {
                Some(room) => Some(room),
                None => {
                    let note = "not in such a room";
                    return self.send_error(id, ErrorCode::NoSuchRoom, search, search.request.into(), note);
                }
            },
        };
        if !self.may_ask(id) {
            let note = "too many requests are open";
            return self.send_error(id, ErrorCode::TooManyRequests, search, search.request.into(), note);
        }
        // The newest come first, and are kept.
        let (about, request, anchor) = (FrameType::Search, search.request, Anchor::After);
        let searcher = Some(user.clone());
        let asked = Page { about, request, room: None, anchor, seq: 0, is_due: false, searcher };
        let query = self.ask(Query::Page { conn: id, asked });
        let limit = search.limit.clamp(1, MAX_PAGE_MESSAGES);
        let wanted = Wanted { query, conn: id, room, words: search.words.to_owned(), limit };
        match self.searches.waiting.get_mut(&user) {
            Some(waiting) => waiting.push_back(wanted),
            None => {
                self.searches.waiting.insert(user, VecDeque::new());
                self.search(wanted);
            }
        }
    }

    fn search(&mut self, wanted: Wanted) {
        let Wanted { query: id, conn, room, words, limit } = wanted;
        let rooms = match room {
            Some(room) => Vec::from([room]),
            None => self
                .clients
                .get(&conn)
                .map(|client| client.rooms.iter().copied().collect())
                .unwrap_or_default(),
        };
        self.request(LogRequest::Search { id, rooms, words, limit });
    }

    /// The search of an account that was under way is answered: the next of it goes on.
    pub(super) fn end_search(&mut self, searcher: Option<&Name>) {
        let Some(user) = searcher else { return };
        match self.searches.waiting.get_mut(user).and_then(VecDeque::pop_front) {
            Some(wanted) => self.search(wanted),
            None => drop(self.searches.waiting.remove(user)),
        }
    }

    /// Nobody waits for what a connection wanted to search.
    pub(super) fn drop_searches_of(&mut self, id: ConnId, user: &Name) {
        let Some(waiting) = self.searches.waiting.get_mut(user) else { return };
        waiting.retain(|wanted| {
            let is_gone = wanted.conn == id;
            if is_gone {
                self.queries.remove(&wanted.query);
            }
            !is_gone
        });
    }
}
