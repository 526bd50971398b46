//! Lists of many pages. A page is made when the connection has taken most of what waits for it, so a long list costs a page
//! of memory, however long it is and however often it is asked for.
//!
//! Between two pages the world goes on. Each list is in an order and goes on behind what was last, so everything is listed once;
//! what came or went behind the reader is told as it happens. No page costs more for what was listed before it.

use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

use super::govern::{Holding, Place};
use super::moderate::TOO_MANY;
use super::{AuditLine, ConnId, Hub};
use crate::wire::{
    Body, FrameType, HEADER_LEN, List, Member, Members, Name, NameRef, Rank, Report, ReportLine, RequestId,
    RoomEntry, RoomId, RoomList, Target, Wire,
};

/// A list under way, and where it goes on.
#[derive(Debug, Clone)]
pub(super) enum Listing {
    /// The rooms that the asker may see.
    Rooms { request: RequestId, after: Option<Name> },
    /// Who is in a room.
    People { request: RequestId, room: RoomId, after: Option<Name> },
    /// What is imposed in a room, or on the whole server.
    Imposed { request: RequestId, room: Option<RoomId>, after: Option<Place> },
}

impl Listing {
    fn about(&self) -> (FrameType, RequestId) {
        match self {
            Self::Rooms { request, .. } => (FrameType::Rooms, *request),
            Self::People { request, .. } => (FrameType::Who, *request),
            Self::Imposed { request, .. } => (FrameType::Inquire, *request),
        }
    }
}

impl Hub {
    /// Begins to answer with a list, unless the connection is owed as many as it may be.
    pub(super) fn begin_list(&mut self, id: ConnId, listing: Listing) {
        let max = usize::try_from(self.config.max_requests).unwrap_or(usize::MAX);
        let Some(client) = self.clients.get_mut(&id) else { return };
        if client.listings.len() >= max {
            let (about, request) = listing.about();
            return self.send_error(id, TOO_MANY.0, &about, request.into(), TOO_MANY.1);
        }
        client.listings.push_back(listing);
        self.go_on_listing(id);
    }

    /// Queues pages until half of what may be queued waits, or all lists are told.
    pub(super) fn go_on_listing(&mut self, id: ConnId) {
        let enough = self.config.limits.max_queue / 2;
        while let Some(client) = self.clients.get_mut(&id).filter(|client| client.conn.queue.len() <= enough)
            && let Some(listing) = client.listings.pop_front()
        {
            let (page, rest) = self.list_page(id, listing);
            let Some(client) = self.clients.get_mut(&id) else { return };
            client.conn.send_shared(page);
            client.listings.extend(rest.clone());
            if rest.is_some() {
                // It goes on before those that were asked for later.
                client.listings.rotate_right(1);
            }
            self.mark_writable(id);
        }
    }

    /// The next page as a frame, and what is left of the list. Whoever may not see it any more sees its end.
    fn list_page(&self, id: ConnId, listing: Listing) -> (Bytes, Option<Listing>) {
        let limit = usize::try_from(self.frame_limit(id)).unwrap_or(usize::MAX);
        let user = self.identity(id).map(|(user, _)| user);
        match listing {
            Listing::Rooms { request, after } => {
                let empty = RoomList { request, more: false, rooms: List::new(&[]) };
                let is_shown = |room: RoomId| {
                    let house = self.router.house(room).zip(user.as_ref());
                    house.is_some_and(|(house, user)| house.shows_itself_to(user))
                };
                let rooms = self.router.list_behind(after.as_ref()).filter(|(room, ..)| is_shown(*room));
                let rooms = rooms.map(|(room, name, topic, last, people)| RoomEntry {
                    room,
                    name: name.borrow(),
                    people: u32::try_from(people).unwrap_or(u32::MAX),
                    last,
                    topic: topic.borrow(),
                });
                let (page, more) = fitting(rooms, limit, &empty);
                let after = last_name(page.last().map(|entry| entry.name), more);
                let frame = encoded(&RoomList { request, more, rooms: List::new(&page) });
                (frame, after.map(|after| Listing::Rooms { request, after: Some(after) }))
            }
            Listing::People { request, room, after } => {
                let empty = Members { request, room, more: false, members: List::new(&[]) };
                let is_seen = user.is_some_and(|user| self.find_room(&user, Target::Id(room)).is_some());
                let house = self.router.house(room);
                let rank = |name: &Name| house.map_or(Rank::Guest, |house| house.rank(name));
                let people = self.router.people_behind(room, after.as_ref()).take_while(|_| is_seen);
                let people =
                    people.map(|(name, devices)| Member { user: name.borrow(), devices, rank: rank(name) });
                let (page, more) = fitting(people, limit, &empty);
                let after = last_name(page.last().map(|member| member.user), more);
                let frame = encoded(&Members { request, room, more, members: List::new(&page) });
                (frame, after.map(|after| Listing::People { request, room, after: Some(after) }))
            }
            Listing::Imposed { request, room, after } => {
                let empty = Report { request, more: false, lines: List::new(&[]) };
                let may_see = self.may_inquire(id, room);
                let is_admin = self.clients.get(&id).is_some_and(|client| client.is_admin);
                // One page's worth: no line is shorter than its fixed fields.
                let most = limit / MIN_LINE + 1;
                let lines = self.imposed(room, after.as_ref()).filter(|_| may_see).take(most);
                let lines = lines.collect::<Vec<_>>();
                let shown = lines.iter().map(|it| self.imposed_line(room, is_admin, it)).collect::<Vec<_>>();
                let (page, more) = fitting(shown.iter().map(report_line), limit, &empty);
                let frame = encoded(&Report { request, more, lines: List::new(&page) });
                let last = page.len().checked_sub(1).filter(|_| more).and_then(|last| lines.get(last));
                let after = last.map(Holding::place);
                (frame, after.map(|after| Listing::Imposed { request, room, after: Some(after) }))
            }
        }
    }
}

/// The least that a line of a report takes: its numbers and the lengths of its texts.
const MIN_LINE: usize = 25;

/// A line as it is sent.
pub(super) fn report_line(line: &AuditLine) -> ReportLine<'_> {
    ReportLine {
        number: line.number,
        time: line.time,
        room: line.room.borrow(),
        by: line.by.borrow(),
        action: line.action,
        subject: line.subject.borrow(),
        seconds: line.seconds,
        note: line.note.borrow(),
    }
}

fn last_name(last: Option<NameRef<'_>>, more: bool) -> Option<Name> {
    last.filter(|_| more).map(|name| name.to_owned())
}

/// As many of the items as a frame takes that is `empty` without them, and whether there are more. One always fits:
/// [`MIN_FRAME`](crate::wire::MIN_FRAME) is far above the largest.
fn fitting<'a, T: Wire<'a>>(
    items: impl Iterator<Item = T>,
    limit: usize,
    empty: &impl Body<'a>,
) -> (Vec<T>, bool) {
    let mut left = limit.saturating_sub(empty.body_len() + HEADER_LEN);
    let mut page = Vec::new();
    for item in items {
        let len = item.encoded_len();
        if len > left && !page.is_empty() {
            return (page, true);
        }
        left = left.saturating_sub(len);
        page.push(item);
    }
    (page, false)
}

fn encoded<'a>(frame: &impl Body<'a>) -> Bytes {
    let mut bytes = BytesMut::with_capacity(frame.frame_len());
    frame.encode_frame(&mut bytes);
    bytes.freeze()
}
