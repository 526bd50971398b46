//! Every number that has a meaning on the wire (PROTOCOL.md, appendix A).
//!
//! One number space for frame types, whoever sends them. A number is never given a second meaning: what is retired or
//! planned stands in [`RESERVED_FRAMES`].

use super::table::table;

table! {
    /// The type byte of a frame.
    pub enum FrameType: u8 {
        0x01 Ping "ping" "Asks for a pong with the same nonce."
        0x02 Pong "pong" "Answers a ping."
        0x03 Bye "bye" "Last frame of a connection: says why it ends."
        0x04 Error "error" "Refuses a request, or says what was wrong before a bye."

        0x10 ClientHello "client_hello" "First frame of a client: versions, capabilities, limits."
        0x11 ServerHello "server_hello" "First frame of a server: what was chosen."
        0x12 LoginStart "login_start" "Names the account, the device and the login mechanism, with the mechanism's first bytes."
        0x13 LoginChallenge "login_challenge" "The mechanism's bytes from the server."
        0x14 LoginResponse "login_response" "The mechanism's bytes from the client."
        0x15 LoginOk "login_ok" "Ends the login: the session stands."
        0x16 RegisterStart "register_start" "Asks for a new account, with the mechanism's first bytes."
        0x17 RegisterFinish "register_finish" "Hands over the record of the new account."
        0x18 LinkHello "link_hello" "First frame of the peer that dialled: versions and the ticket of the introduction."
        0x19 LinkWelcome "link_welcome" "First frame of the peer that was dialled: the link stands."
        0x1a PasswordStart "password_start" "Asks to change the password, with the mechanism's first bytes."
        0x1b PasswordFinish "password_finish" "Proves the old password and hands over the new record."
        0x1c AccountReply "account_reply" "The mechanism's bytes for a registration or a change of password; empty when it is done."
        0x1d ServerKey "server_key" "The certificate that the server will show next."
        0x1e Devices "devices" "Asks for the devices of the own account, or ends the sessions of one."
        0x1f DeviceList "device_list" "The devices of the own account."

        0x20 Say "say" "A message to a room or a person, with the sender's own number."
        0x21 Posted "posted" "The message is durable: its room and number."
        0x22 Messages "messages" "Messages of a room that follow one another, live or caught up."
        0x23 Join "join" "Enters a room, with the last number seen there."
        0x24 Joined "joined" "The room was entered: its number, name and last message."
        0x25 Leave "leave" "Leaves a room."
        0x26 Left "left" "The room was left."
        0x27 Presence "presence" "Somebody entered or left a room."
        0x28 Rooms "rooms" "Asks for the public rooms."
        0x29 RoomList "room_list" "One page of rooms."
        0x2a Who "who" "Asks who is in a room."
        0x2b Members "members" "One page of the people in a room."
        0x2c History "history" "Asks for messages before, after or around a number."
        0x2d Search "search" "Asks for messages that contain words."
        0x2e MessagePage "message_page" "Answers history and search."
        0x2f DirectRoom "direct_room" "A conversation with one person exists: its room and last message."
        0x30 CaughtUp "caught_up" "Everything up to this number was sent; what follows is live."
        0x31 Gap "gap" "These numbers are gone and will not be sent."
        0x33 Invited "invited" "Somebody invites to a private room."
        0x34 Moderate "moderate" "Changes a room, or what somebody may do there."
        0x35 Moderated "moderated" "A room, or what somebody may do there, was changed."
        0x36 Create "create" "Makes a room, public or private, and enters it."
        0x38 Govern "govern" "Changes what holds for the whole server: bans, lockdown."
        0x39 Governed "governed" "What holds for the whole server was changed."
        0x3a LinkSay "link_say" "A message over the direct link."
        0x3b LinkSaid "link_said" "The message over the direct link was received."
        0x3c Inquire "inquire" "Asks what was done, or what is imposed, in a room or on the whole server."
        0x3d Report "report" "One page of what was done or is imposed."

        0x40 Announce "announce" "The port where the client accepts peers, its link key and private candidates."
        0x41 PeerRequest "peer_request" "Asks to be introduced to a person, for a purpose."
        0x42 PeerOffer "peer_offer" "Somebody asks to be introduced."
        0x43 PeerAnswer "peer_answer" "Accepts or denies an offer."
        0x44 PeerIntroduce "peer_introduce" "Names the other side: addresses, link key and the ticket of the link."
        0x45 PeerClosed "peer_closed" "A request or an offer has ended without an introduction."
        0x46 PeerWithdraw "peer_withdraw" "Takes a request back."
        0x47 PeerOutcome "peer_outcome" "One way to the other side did not work."
        0x48 PeerTry "peer_try" "Asks the other side to do its part of a way."
        0x49 Probe "probe" "First frame of a connection that shows the server an address."
        0x4a Relay "relay" "First frame of a connection that the server joins to another."
        0x4b RelayOpened "relay_opened" "The relay stands: what follows goes to the other side."
        0x4c PeerMeet "peer_meet" "Both sides connect to each other at the same moment."
        0x4d PeerFailed "peer_failed" "No way led to a link: the verdict."
        0x4e Reach "reach" "Asks whether peers can reach this client."
        0x4f Reached "reached" "Whether they can, and if not, why."

        0x50 List "list" "Asks for one page of a folder."
        0x51 ListPage "list_page" "One page of a folder: numbered entries."

        0x60 FileRequest "file_request" "Asks for a file by number and generation, or by root."
        0x61 FileHead "file_head" "The file that comes: path, size, unit."
        0x62 FileData "file_data" "Bytes of a file."
        0x63 FileUnit "file_unit" "The sender's value for a unit whose bytes were sent."
        0x64 FileEnd "file_end" "All bytes were sent: the root over the whole file."
        0x65 FileCancel "file_cancel" "Ends a transfer early, from either side."
        0x66 FileQueued "file_queued" "The transfer waits at this position."
        0x67 FileDone "file_done" "The receiver has the file, verified."
        0x68 FilePause "file_pause" "The transfer stands still, for one side."
        0x69 FileResume "file_resume" "The transfer may go on, for one side."
        0x6a UnitRequest "unit_request" "Asks for some units of a file by its root."
        0x6b FileValues "file_values" "The values of a file's units, before the first of them."
        0x6c FileRate "file_rate" "How fast files may come over this link."
    }
}

/// Numbers that must not be given a meaning other than the one planned here.
pub const RESERVED_FRAMES: &[(u8, &str)] = &[(0x32, "topic"), (0x37, "read marker"), (0x7f, "extension")];

/// An unknown frame type with this bit is skipped; without it, it ends the connection.
pub const IGNORABLE: u8 = 0x80;

table! {
    /// Why a request was refused, or what was wrong with a frame.
    pub enum ErrorCode: u16 {
        1 Malformed "malformed" "A frame could not be decoded."
        2 TooLarge "too_large" "A frame is longer than the negotiated limit."
        3 UnknownFrame "unknown_frame" "A frame type is unknown and not ignorable."
        4 WrongState "wrong_state" "The frame is not allowed in this state or direction."
        5 Version "version" "No protocol version in common."
        6 Timeout "timeout" "A deadline passed."
        7 Flood "flood" "A budget was exceeded."
        8 Internal "internal" "The other side failed through no fault of this one."
        9 ShuttingDown "shutting_down" "The server is going away."
        10 Busy "busy" "Too much at once; try again after the given time."
        11 NotSupported "not_supported" "The frame is known, but this side does not offer what it asks for."
        12 Gone "gone" "What is asked for was there once and is not kept any more."

        20 LoginRefused "login_refused" "Wrong ID or password."
        21 UnknownMechanism "unknown_mechanism" "The server does not offer this login mechanism."
        22 Replaced "replaced" "The same device logged in again elsewhere."
        23 AccountRemoved "account_removed" "The account no longer exists."
        24 RegistrationClosed "registration_closed" "Accounts are made by the operator here."
        25 NameTaken "name_taken" "The ID is taken, or looks like one that is."
        26 BadInvite "bad_invite" "The invitation is unknown, used up or expired."
        27 TooManyAttempts "too_many_attempts" "Too many attempts from this address; try again after the given time."
        28 WrongPassword "wrong_password" "The old password is wrong."
        29 NoSuchDevice "no_such_device" "The account has no such device."

        30 NoSuchRoom "no_such_room" "No room of this name or number."
        31 NoSuchUser "no_such_user" "No person of this name."
        32 NotMember "not_member" "Only members of the room may do this."
        33 TooManyRooms "too_many_rooms" "The limit of rooms is reached."
        34 NotStored "not_stored" "What was said, or asked for, could not be stored; nobody was told of it."
        35 Backlog "backlog" "Too many messages wait to be stored; send it again later."
        36 TooManyRequests "too_many_requests" "Too many requests are open."
        37 RoomExists "room_exists" "A room of this name exists already."
        38 Forbidden "forbidden" "This takes a role in the room that one does not have."
        39 Muted "muted" "One may not speak in this room for now."
        40 SlowMode "slow_mode" "The room is in slow mode: speak again later."
        41 Banned "banned" "One may not enter this room for now."
        42 Kicked "kicked" "Somebody removed one from the room."
        43 Barred "barred" "This account or address may not use the server for now."
        44 LockedDown "locked_down" "The server is in lockdown."
        45 RoomFull "room_full" "The room holds as many people as it may."
        46 TooFast "too_fast" "A budget is used up; again after the given time."
        47 ConversationOver "conversation_over" "The account of the other person was removed: nothing more is said here."

        50 Offline "offline" "The person is not logged in."
        51 Denied "denied" "The other side said no."
        52 Expired "expired" "Nobody answered in time."
        53 NoPeerPort "no_peer_port" "The other side accepts no peers."
        54 Withdrawn "withdrawn" "The asking side took the request back."
        55 AnsweredElsewhere "answered_elsewhere" "Another device of the same person answered."
        56 SelfRequest "self_request" "One cannot ask oneself."
        57 NoAnnounce "no_announce" "Announce a link key before asking for peers."
        58 NotReachable "not_reachable" "No way to the other side worked."
        59 NoRelay "no_relay" "The server relays no links."
        60 BadTicket "bad_ticket" "The ticket is unknown, used or expired."
        61 DialRefused "dial_refused" "Nobody accepts connections at that address."
        62 DialTimeout "dial_timeout" "Nothing answers at that address: a firewall or an address translation is in between."
        63 NoRoute "no_route" "The network has no way to that address."
        64 WrongKey "wrong_key" "Somebody else answers at that address."
        65 PrivateAddress "private_address" "The server sees one side only at a private address, which means nothing to the other."
        66 NoFamily "no_family" "One side has no address of the other family."
        67 RelayBusy "relay_busy" "The server relays as much as it may already."
        68 Declined "declined" "One side does not want this way."
        69 LinkBroken "link_broken" "A connection was made and broke before the link stood."

        70 NoSuchPath "no_such_path" "No such folder or file is shared."
        71 NoSuchNumber "no_such_number" "The number is not in that list."
        72 Changed "changed" "The folder or file changed since it was listed."
        73 NotAFile "not_a_file" "The number names a folder."
        74 Unreadable "unreadable" "The file or folder could not be read."
        75 TooManyTransfers "too_many_transfers" "The limit of transfers on this link is reached."
        76 Cancelled "cancelled" "The transfer was cancelled."
        77 VerifyFailed "verify_failed" "The bytes do not match what the sender committed to."
        78 Storage "storage" "The receiving side could not store the file."
        79 NoShare "no_share" "The other side shares nothing."
    }
}

table! {
    /// Why a connection ends.
    pub enum CloseReason: u8 {
        1 Done "done" "The sender has finished."
        2 Direct "direct" "The client leaves the server for a direct link."
        3 ShuttingDown "shutting_down" "The server is going away."
        4 Replaced "replaced" "The same device logged in again elsewhere."
        5 Idle "idle" "Nothing was heard for too long."
        6 HandshakeTimeout "handshake_timeout" "The hello did not come in time."
        7 LoginTimeout "login_timeout" "The login was not finished in time."
        8 Violation "violation" "The rules were broken; an error frame before says which."
        9 LoginRefused "login_refused" "The login failed."
        10 Removed "removed" "The account was removed."
        11 TooSlow "too_slow" "The other side does not read."
        12 Busy "busy" "No room for another connection now."
        13 BadTicket "bad_ticket" "The ticket of the link is unknown, used or expired."
        14 Revoked "revoked" "The session was ended: the password changed, or the device was revoked."
    }
}

table! {
    /// The bit positions of the capability field in both hellos.
    pub enum Capability: u8 {
        0 Search "search" "The server answers search."
        1 Tickets "tickets" "Sessions resume with a ticket."
        2 Register "register" "Accounts can be registered over the wire."
        3 Moderation "moderation" "Topics, roles, kick, mute, ban."
        4 Probe "probe" "The server answers probes of addresses."
        5 Relay "relay" "The server relays links."
        6 Inline "inline" "Lists can carry the content of small files."
        7 Resume "resume" "Transfers resume at a verified unit."
        8 Sources "sources" "Units can be asked for by root."
        10 Account "account" "Passwords change over the wire, devices are listed, the next certificate is told."
        11 Pace "pace" "Transfers can be paused, and kept to a rate."
        12 Ways "ways" "An introduction whose first dial fails goes on to other ways."
    }
}

table! {
    /// Why a link is asked for.
    pub enum Purpose: u8 {
        1 Files "files" "List and fetch files."
        2 Direct "direct" "Leave the server, talk and exchange files over the link."
    }
}

table! {
    /// What one end of an introduction does first.
    pub enum DialRole: u8 {
        1 Dial "dial" "Connects to the addresses given."
        2 Await "await" "Waits for the other side to connect."
    }
}

table! {
    /// A way to the other side of an introduction. They are tried in this order.
    pub enum Way: u8 {
        1 Direct "direct" "The asking side dials."
        2 Reverse "reverse" "The asked side dials."
        3 Family "family" "Both connect at the same moment, by the other address family."
        4 Punch "punch" "Both connect at the same moment, each from the port that the server saw."
        5 Relay "relay" "The server passes the link's bytes on."
    }
}

table! {
    /// Kind of a room.
    pub enum RoomKind: u8 {
        1 Group "group" "A room that people join by name."
        2 Direct "direct" "The conversation of two people."
        3 Former "former" "What one of two people keeps of their conversation: the other's account was removed."
    }
}

table! {
    /// A change of presence in a room.
    pub enum Change: u8 {
        1 Entered "entered" "The person's first device entered."
        2 Departed "departed" "The person's last device left."
    }
}

table! {
    /// Which messages a history request wants, relative to a number.
    pub enum Anchor: u8 {
        1 Before "before" "The newest below the number; 0 means the end."
        2 After "after" "The oldest above the number."
        3 Around "around" "Half below, half from the number on."
    }
}

table! {
    /// What is changed about a room, or about a person there.
    pub enum Action: u8 {
        1 Topic "topic" "Sets the topic to the note; an empty one takes it away."
        2 Slow "slow" "Everybody waits so many seconds between two messages; 0 ends it."
        3 Invite "invite" "Lets a person into a private room."
        4 Kick "kick" "Removes a person, who may come back if the room is public."
        5 Mute "mute" "Lets a person not speak for so many seconds; 0 until it is lifted."
        6 Unmute "unmute" "Lifts a mute."
        7 Ban "ban" "Removes a person and keeps them out for so many seconds; 0 until it is lifted."
        8 Unban "unban" "Lifts a ban."
        9 Op "op" "Makes a person an operator."
        10 Deop "deop" "Takes that back."
        11 Private "private" "Makes the room private; whoever is there is let in."
        12 Public "public" "Opens the room to all."
        13 Owner "owner" "Makes a person the owner; the owner before becomes an operator."
        14 Remove "remove" "Removes the room."
        15 Create "create" "Made the room. Only told, never asked for with this number."
        16 Lockdown "lockdown" "Lets nobody log in but administrators."
        17 Hush "hush" "As lockdown, and only administrators may speak."
        18 Unlock "unlock" "Ends lockdown and hush."
        19 BanAddress "ban_address" "As ban, and nobody enters from the addresses that the person comes from now."
        20 BanNetwork "ban_network" "Removes everybody who comes from an address or a network, and keeps them out. Only told, never asked for with this number."
        21 UnbanNetwork "unban_network" "Lifts that. Only told, never asked for with this number."
    }
}

table! {
    /// What somebody is in a room. Later ones may do more.
    pub enum Rank: u8 {
        0 Guest "guest" "Is there, and no more."
        1 Member "member" "Was let into a private room."
        2 Operator "operator" "Keeps order."
        3 Owner "owner" "Owns the room."
    }
}

table! {
    /// What an inquiry is about.
    pub enum Inquiry: u8 {
        1 Audit "audit" "What was done, newest first."
        2 Imposed "imposed" "Who may not speak or enter, and whether there is lockdown."
    }
}

table! {
    /// Kind of a list entry.
    pub enum EntryKind: u8 {
        1 File "file" "A file that can be fetched by its number."
        2 Folder "folder" "A folder that can be listed by its path."
    }
}
