//! The message family: saying, rooms, presence, catching up, history.

use super::body::body;
use super::{
    Action, Anchor, Change, DeviceId, ErrorCode, Inquiry, List, NameRef, NoteRef, Rank, RequestId, RoomId,
    RoomKind, SubjectRef, Target, TextRef,
};

/// Bit of [`Message::flags`](super::Message::flags): sent while catching up, not live.
pub const MESSAGE_MISSED: u8 = 0x01;

/// Most lines of the audit log that one inquiry brings.
pub const MAX_AUDIT_LINES: u16 = 200;

/// Most messages that a history or search page holds.
pub const MAX_PAGE_MESSAGES: u16 = 200;

body! {
    /// A message to a room or a person.
    frame Say Say<'a> {
        /// The sender's own number, unique for its device for good. Sent again, the message appears once.
        counter: u64,
        /// Where it goes.
        target: Target<'a>,
        /// What is said.
        text: TextRef<'a>,
    }
}

body! {
    /// The message is durable.
    frame Posted Posted {
        /// The sender's number.
        counter: u64,
        /// The room it went to; 0 if that is not known any more.
        room: RoomId,
        /// Its number in the room; 0 if the log has let go of the message since.
        seq: u64,
        /// When it was stored, in milliseconds since 1970-01-01 UTC.
        time: u64,
    }
}

body! {
    /// One message of a page.
    part PageMessage<'a> {
        /// The room.
        room: RoomId,
        /// Its number in the room.
        seq: u64,
        /// When it was stored, in milliseconds since 1970-01-01 UTC.
        time: u64,
        /// The device that said it.
        device: DeviceId,
        /// The device's own number for it.
        counter: u64,
        /// Who said it.
        from: NameRef<'a>,
        /// What was said.
        text: TextRef<'a>,
    }
}

body! {
    /// Enters a room, or takes up the conversation with a person.
    frame Join Join<'a> {
        /// Ties the answer to the request.
        request: RequestId,
        /// Which room.
        target: Target<'a>,
        /// Last number seen there: what follows is caught up. Without it, the room is entered at its end.
        cursor: Option<u64>,
    }
}

body! {
    /// The room was entered.
    frame Joined Joined<'a> {
        /// The request.
        request: RequestId,
        /// The room's number.
        room: RoomId,
        /// Its kind.
        kind: RoomKind,
        /// Its name; for a conversation, the other person.
        name: NameRef<'a>,
        /// Topic, may be empty.
        topic: NoteRef<'a>,
        /// Number of its last message, 0 for none.
        last: u64,
        /// Messages above this number follow: first those missed, then live ones.
        cursor: u64,
    }
}

body! {
    /// Leaves a room.
    frame Leave Leave {
        /// Which room.
        room: RoomId,
    }
}

body! {
    /// The room was left.
    frame Left Left {
        /// Which room.
        room: RoomId,
        /// Why, if it was not asked for.
        code: Option<ErrorCode>,
    }
}

body! {
    /// Somebody entered or left a room: the first or the last device of a person.
    frame Presence Presence<'a> {
        /// The room.
        room: RoomId,
        /// What happened.
        change: Change,
        /// The device.
        device: DeviceId,
        /// Who.
        user: NameRef<'a>,
    }
}

body! {
    /// Asks for the public rooms.
    frame Rooms Rooms {
        /// Ties the answer to the request.
        request: RequestId,
    }
}

body! {
    /// One room of a room list.
    part RoomEntry<'a> {
        /// The room's number.
        room: RoomId,
        /// Its name.
        name: NameRef<'a>,
        /// How many people are in it now.
        people: u32,
        /// Number of its last message, 0 for none.
        last: u64,
        /// Topic, may be empty.
        topic: NoteRef<'a>,
    }
}

body! {
    /// One page of rooms.
    frame RoomList RoomList<'a> {
        /// The request.
        request: RequestId,
        /// Whether another page follows.
        more: bool,
        /// The rooms, by name.
        rooms: List<'a, RoomEntry<'a>>,
    }
}

body! {
    /// Asks who is in a room.
    frame Who Who<'a> {
        /// Ties the answer to the request.
        request: RequestId,
        /// Which room.
        target: Target<'a>,
    }
}

body! {
    /// One person in a room.
    part Member<'a> {
        /// Who.
        user: NameRef<'a>,
        /// With how many devices.
        devices: u16,
        /// What they are in the room.
        rank: Rank,
    }
}

body! {
    /// One page of the people in a room.
    frame Members Members<'a> {
        /// The request; 0 when the server sends the present state on its own.
        request: RequestId,
        /// The room.
        room: RoomId,
        /// Whether another page follows.
        more: bool,
        /// The people, by name.
        members: List<'a, Member<'a>>,
    }
}

body! {
    /// Asks for messages before, after or around a number.
    frame History History<'a> {
        /// Ties the answer to the request.
        request: RequestId,
        /// Which room.
        target: Target<'a>,
        /// Which messages.
        anchor: Anchor,
        /// The number that the anchor is about.
        seq: u64,
        /// At most this many; the server caps it at [`MAX_PAGE_MESSAGES`].
        limit: u16,
    }
}

body! {
    /// Asks for messages that contain words, newest first.
    frame Search Search<'a> {
        /// Ties the answer to the request.
        request: RequestId,
        /// One room, or without it all rooms that the asker is in.
        target: Option<Target<'a>>,
        /// At most this many; the server caps it at [`MAX_PAGE_MESSAGES`].
        limit: u16,
        /// The words, separated by spaces; all must occur.
        words: TextRef<'a>,
    }
}

body! {
    /// Answers history (oldest first) and search (newest first).
    frame MessagePage MessagePage<'a> {
        /// The request.
        request: RequestId,
        /// Whether another page follows for this request.
        more: bool,
        /// The messages.
        messages: List<'a, PageMessage<'a>>,
    }
}

body! {
    /// A conversation with one person exists; sent after login, when a new one begins, and when one is over.
    frame DirectRoom DirectRoom<'a> {
        /// Its room.
        room: RoomId,
        /// Number of its last message.
        last: u64,
        /// Whether the other person's account was removed: nothing more is said, and whoever has the name now is somebody else.
        over: bool,
        /// The other person.
        with: NameRef<'a>,
    }
}

body! {
    /// Everything up to this number was sent; what follows is live.
    frame CaughtUp CaughtUp {
        /// The room.
        room: RoomId,
        /// Number of the last message sent.
        seq: u64,
    }
}

body! {
    /// These numbers are gone and will not be sent.
    frame Gap Gap {
        /// The room.
        room: RoomId,
        /// First number missing.
        from: u64,
        /// Last number missing.
        to: u64,
    }
}

body! {
    /// Somebody invites to a private room, which can be entered by its name from now on.
    frame Invited Invited<'a> {
        /// The room.
        room: RoomId,
        /// Its name.
        name: NameRef<'a>,
        /// Who invites; absent for the operator of the server.
        by: Option<NameRef<'a>>,
    }
}

body! {
    /// Changes a room, or what somebody may do there.
    frame Moderate Moderate<'a> {
        /// Ties the answer to the request.
        request: RequestId,
        /// Which room.
        target: Target<'a>,
        /// What to do.
        action: Action,
        /// To whom; absent for the topic and slow mode.
        user: Option<NameRef<'a>>,
        /// For how long, where the action has a time; else 0.
        seconds: u32,
        /// The topic, or the reason; may be empty.
        note: NoteRef<'a>,
    }
}

body! {
    /// A room, or what somebody may do there, was changed.
    frame Moderated Moderated<'a> {
        /// The request, for the one who asked; 0 for all others.
        request: RequestId,
        /// The room.
        room: RoomId,
        /// What was done.
        action: Action,
        /// Who did it; absent when the server tells the present state on its own.
        by: Option<NameRef<'a>>,
        /// On which device; zeros when nobody did.
        device: DeviceId,
        /// To whom.
        user: Option<NameRef<'a>>,
        /// For how long, where the action has a time; else 0.
        seconds: u32,
        /// The topic, or the reason; may be empty.
        note: NoteRef<'a>,
    }
}

body! {
    /// Makes a room and enters it; its maker owns it.
    frame Create Create<'a> {
        /// Ties the answer to the request.
        request: RequestId,
        /// Its name.
        name: NameRef<'a>,
        /// Whether only those who are invited see and enter it.
        private: bool,
    }
}

body! {
    /// Changes what holds for the whole server. For administrators.
    frame Govern Govern<'a> {
        /// Ties the answer to the request.
        request: RequestId,
        /// What to do: ban, unban, lockdown, hush or unlock.
        action: Action,
        /// Upon whom, of a ban and its lifting; else absent.
        subject: Option<SubjectRef<'a>>,
        /// For how long, of a ban; 0 until it is lifted.
        seconds: u32,
        /// The reason, may be empty; shown to those who are refused.
        note: NoteRef<'a>,
    }
}

body! {
    /// What holds for the whole server was changed.
    frame Governed Governed<'a> {
        /// The request.
        request: RequestId,
        /// What was done.
        action: Action,
        /// Upon whom.
        subject: Option<SubjectRef<'a>>,
        /// For how long; 0 until it is lifted.
        seconds: u32,
        /// The reason, may be empty.
        note: NoteRef<'a>,
    }
}

body! {
    /// Asks what was done, or what is imposed.
    frame Inquire Inquire<'a> {
        /// Ties the answer to the request.
        request: RequestId,
        /// In which room; absent for the whole server.
        target: Option<Target<'a>>,
        /// What to tell.
        about: Inquiry,
        /// Of the audit log, only lines below this number; 0 for the newest.
        before: u64,
        /// Of the audit log, at most so many; the server caps it at [`MAX_AUDIT_LINES`].
        limit: u16,
    }
}

body! {
    /// One thing that was done or is imposed.
    part ReportLine<'a> {
        /// Its number in the audit log; 0 of what is imposed.
        number: u64,
        /// When it was done, in milliseconds since 1970-01-01 UTC; 0 of what is imposed.
        time: u64,
        /// The room's name; empty for the whole server.
        room: NoteRef<'a>,
        /// Who did it; empty for the server's operator, and of what is imposed.
        by: NoteRef<'a>,
        /// What.
        action: Action,
        /// Upon whom: a person's name or, for the whole server, an address or network; may be empty.
        subject: NoteRef<'a>,
        /// For how long it was done, or still holds; 0 without an end, or where there is no time.
        seconds: u32,
        /// The reason, or the topic; may be empty.
        note: NoteRef<'a>,
    }
}

body! {
    /// One page of what was done (newest first) or is imposed.
    frame Report Report<'a> {
        /// The request.
        request: RequestId,
        /// Whether another page follows for this request.
        more: bool,
        /// The lines.
        lines: List<'a, ReportLine<'a>>,
    }
}

body! {
    /// A message over the direct link.
    frame LinkSay LinkSay<'a> {
        /// The sender's own number on this link, from 1.
        counter: u64,
        /// What is said.
        text: TextRef<'a>,
    }
}

body! {
    /// The message over the direct link was received.
    frame LinkSaid LinkSaid {
        /// The sender's number; everything up to it was received.
        counter: u64,
    }
}
