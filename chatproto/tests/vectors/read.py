#!/usr/bin/env python3
"""A second reader of the wire, written from PROTOCOL.md: decodes the golden vectors and compares every field.

Standard library only. Run it from anywhere:

    python3 chatproto/tests/vectors/read.py

It prints `N passed, 0 failed` and exits with 0, or names what differs and exits with 1.
"""

import ipaddress
import json
import sys
import unicodedata
from pathlib import Path

MAX_FRAME = 65_536
IGNORABLE = 0x80
LARGEST = 2**64 - 1

# Section 7: number, name, to whom, fields in the order of the wire.
FRAMES = """
01 ping            server,client,peer  nonce:u64
02 pong            server,client,peer  nonce:u64
03 bye             server,client,peer  reason:close_reason retry_after:u32 note:note
04 error           server,client,peer  code:error_code about:u8 request:u64 retry_after:u32 note:note
10 client_hello    server  magic:bytes4 version_min:u8 version_max:u8 capabilities:u64 max_frame:u32 agent:note
11 server_hello    client  version:u8 capabilities:u64 max_frame:u32 server:bytes16 agent:note mechanisms:note
12 login_start     server  user:name device:bytes16 mechanism:note data:blob
13 login_challenge client  data:blob
14 login_response  server  data:blob
15 login_ok        client  user:name default_room:name observed:addr ticket:blob ticket_lifetime:u32 data:blob
16 register_start  server  user:name mechanism:note invite:note data:blob
17 register_finish server  data:blob
18 link_hello      peer    magic:bytes4 version_min:u8 version_max:u8 capabilities:u64 max_frame:u32 offer:u64 ticket:bytes32 user:name device:bytes16 purpose:purpose agent:note
19 link_welcome    peer    version:u8 capabilities:u64 max_frame:u32 user:name device:bytes16 agent:note
1a password_start  server  request:u32 mechanism:note data:blob
1b password_finish server  request:u32 data:blob
1c account_reply   client  request:u32 data:blob
1d server_key      client  fingerprint:bytes32
1e devices         server  request:u32 revoke:bytes16?
1f device_list     client  request:u32 devices:device_entry*64
20 say             server  counter:u64 target:target text:text
21 posted          client  counter:u64 room:u32 seq:u64 time:u64
22 messages        client  room:u32 seq:u64 time:u64 flags:u8 runs:run*
23 join            server  request:u32 target:target cursor:u64?
24 joined          client  request:u32 room:u32 kind:room_kind name:name topic:note last:u64 cursor:u64
25 leave           server  room:u32
26 left            client  room:u32 code:error_code?
27 presence        client  room:u32 change:change device:bytes16 user:name
28 rooms           server  request:u32
29 room_list       client  request:u32 more:bool rooms:room_entry*
2a who             server  request:u32 target:target
2b members         client  request:u32 room:u32 more:bool members:member*
2c history         server  request:u32 target:target anchor:anchor seq:u64 limit:u16
2d search          server  request:u32 target:target? limit:u16 words:text
2e message_page    client  request:u32 more:bool messages:page_message*
2f direct_room     client  room:u32 last:u64 over:bool with:name
30 caught_up       client  room:u32 seq:u64
31 gap             client  room:u32 from:u64 to:u64
33 invited         client  room:u32 name:name by:name?
34 moderate        server  request:u32 target:target action:action user:name? seconds:u32 note:note
35 moderated       client  request:u32 room:u32 action:action by:name? device:bytes16 user:name? seconds:u32 note:note
36 create          server  request:u32 name:name private:bool
38 govern          server  request:u32 action:action subject:subject? seconds:u32 note:note
39 governed        client  request:u32 action:action subject:subject? seconds:u32 note:note
3a link_say        peer    counter:u64 text:text
3b link_said       peer    counter:u64
3c inquire         server  request:u32 target:target? about:inquiry before:u64 limit:u16
3d report          client  request:u32 more:bool lines:report_line*
40 announce        server  port:u16 link_key:bytes32 candidates:addr*4
41 peer_request    server  request:u32 purpose:purpose concealed:bool to:name
42 peer_offer      client  offer:u64 purpose:purpose expires:u32 device:bytes16 from:name
43 peer_answer     server  offer:u64 accept:bool concealed:bool
44 peer_introduce  client  offer:u64 request:u32 purpose:purpose role:dial_role expires:u32 ticket:bytes32 token:bytes32 device:bytes16 link_key:bytes32 hidden:bool peer:name addresses:addr*5
45 peer_closed     client  offer:u64 request:u32 code:error_code
46 peer_withdraw   server  request:u32
47 peer_outcome    server,client  offer:u64 way:way code:error_code
48 peer_try        server,client  offer:u64 way:way
49 probe           server  token:bytes32 way:way
4a relay           server  token:bytes32
4b relay_opened    client  offer:u64
4c peer_meet       client  offer:u64 way:way after:u32 address:addr
4d peer_failed     server,client  offer:u64 code:error_code
4e reach           server  request:u32
4f reached         client  request:u32 address:addr code:error_code?
50 list            peer    request:u32 generation:u32 page:u32 flags:u8 path:path
51 list_page       peer    request:u32 generation:u32 page:u32 pages:u32 total:u32 path:path entries:entry*
60 file_request    peer    transfer:u32 source:source unit_log2:u8 offset:u64 held:bytes32?
61 file_head       peer    transfer:u32 size:u64 mtime:u64 unit_log2:u8 offset:u64 root:bytes32? path:path
62 file_data       peer    transfer:u32 offset:u64 data:rest
63 file_unit       peer    transfer:u32 unit:u64 value:bytes32
64 file_end        peer    transfer:u32 root:bytes32
65 file_cancel     peer    transfer:u32 code:error_code
66 file_queued     peer    transfer:u32 position:u32
67 file_done       peer    transfer:u32
68 file_pause      peer    transfer:u32
69 file_resume     peer    transfer:u32
6a unit_request    peer    transfer:u32 root:bytes32 unit_log2:u8 first:u64 count:u64 flags:u8
6b file_values     peer    transfer:u32 first:u64 values:rest
6c file_rate       peer    bytes_per_second:u64
"""

# Items of lists.
PARTS = {
    "room_entry": "room:u32 name:name people:u32 last:u64 topic:note",
    "member": "user:name devices:u16 rank:rank",
    "report_line": "number:u64 time:u64 room:note by:note action:action subject:note seconds:u32 note:note",
    "device_entry": "device:bytes16 first:u64 last:u64 address:addr ticket:bool online:bool",
    "run": "device:bytes16 from:name said:said*",
    "said": "later:u32 counter:u64 text:text",
    "page_message": "room:u32 seq:u64 time:u64 device:bytes16 counter:u64 from:name text:text",
    "entry": "number:u32 kind:entry_kind size:u64 mtime:u64 root:bytes32? inline:blob? name:file_name",
}

# Appendix A: width in bytes, then the names by number.
TABLES = {
    "error_code": (2, """1 malformed 2 too_large 3 unknown_frame 4 wrong_state 5 version 6 timeout 7 flood 8 internal
        9 shutting_down 10 busy 11 not_supported 12 gone 20 login_refused 21 unknown_mechanism 22 replaced 23 account_removed
        24 registration_closed 25 name_taken 26 bad_invite 27 too_many_attempts 28 wrong_password 29 no_such_device
        30 no_such_room 31 no_such_user 32 not_member 33 too_many_rooms 34 not_stored 35 backlog 36 too_many_requests
        37 room_exists 38 forbidden 39 muted 40 slow_mode 41 banned 42 kicked
        43 barred 44 locked_down 45 room_full 46 too_fast 47 conversation_over
        50 offline 51 denied 52 expired 53 no_peer_port 54 withdrawn 55 answered_elsewhere 56 self_request
        57 no_announce 58 not_reachable 59 no_relay 60 bad_ticket 61 dial_refused 62 dial_timeout 63 no_route 64 wrong_key
        65 private_address 66 no_family 67 relay_busy 68 declined 69 link_broken 70 no_such_path 71 no_such_number 72 changed 73 not_a_file 74 unreadable
        75 too_many_transfers 76 cancelled 77 verify_failed 78 storage 79 no_share"""),
    "close_reason": (1, """1 done 2 direct 3 shutting_down 4 replaced 5 idle 6 handshake_timeout 7 login_timeout
        8 violation 9 login_refused 10 removed 11 too_slow 12 busy 13 bad_ticket 14 revoked"""),
    "purpose": (1, "1 files 2 direct"),
    "dial_role": (1, "1 dial 2 await"),
    "way": (1, "1 direct 2 reverse 3 family 4 punch 5 relay"),
    "room_kind": (1, "1 group 2 direct 3 former"),
    "change": (1, "1 entered 2 departed"),
    "anchor": (1, "1 before 2 after 3 around"),
    "action": (1, """1 topic 2 slow 3 invite 4 kick 5 mute 6 unmute 7 ban 8 unban 9 op 10 deop 11 private 12 public
        13 owner 14 remove 15 create 16 lockdown 17 hush 18 unlock 19 ban_address 20 ban_network 21 unban_network"""),
    "rank": (1, "0 guest 1 member 2 operator 3 owner"),
    "inquiry": (1, "1 audit 2 imposed"),
    "entry_kind": (1, "1 file 2 folder"),
}


class Malformed(Exception):
    """A rule that the bytes break."""

    def __init__(self, code, why):
        super().__init__(why)
        self.code = code


def require(condition, why, code="malformed"):
    if not condition:
        raise Malformed(code, why)


def fields_of(spec):
    return [tuple(field.split(":")) for field in spec.split()]


def parse_frames():
    frames = {}
    for line in FRAMES.strip().splitlines():
        number, name, to, *fields = line.split()
        frames[int(number, 16)] = (name, to.split(","), fields_of(" ".join(fields)))
    return frames


def parse_table(text):
    words = text.split()
    return dict(zip(map(int, words[::2]), words[1::2]))


FRAMES = parse_frames()
PARTS = {name: fields_of(spec) for name, spec in PARTS.items()}
TABLES = {name: (width, parse_table(text)) for name, (width, text) in TABLES.items()}


# --- text (sections 3.3 to 3.5) ---------------------------------------------------------------------------------------

def forbidden(char):
    code = ord(char)
    return (
        code <= 0x1F or 0x7F <= code <= 0x9F or 0x2028 <= code <= 0x202E or 0x2066 <= code <= 0x206F
        or 0xFDD0 <= code <= 0xFDEF or code == 0xFEFF or 0xFFF9 <= code <= 0xFFFB or code & 0xFFFE == 0xFFFE
    )


INVISIBLE = [
    (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F),
    (0x200B, 0x200F), (0x2060, 0x2065), (0x2800, 0x2800), (0x3164, 0x3164), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8),
    (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF),
]

# The symbols that Unicode counts as alphabetic: letters in circles and squares.
ENCLOSED_LETTERS = [(0x24B6, 0x24E9), (0x1F130, 0x1F149), (0x1F150, 0x1F169), (0x1F170, 0x1F189)]


def within(char, ranges):
    return any(first <= ord(char) <= last for first, last in ranges)


def utf8(data):
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed("malformed", "not UTF-8") from error


def check_note(text):
    require(not any(map(forbidden, text)), "a forbidden character")


def check_text(text):
    require(text, "empty")
    check_note(text)


def check_name(name):
    require(name, "empty")

    def alphanumeric(char):
        return unicodedata.category(char)[0] in "LN" or within(char, ENCLOSED_LETTERS)

    def mark(char):
        return unicodedata.category(char)[0] == "M"

    require(alphanumeric(name[0]), "a name begins with a letter or digit")
    for char in name:
        require(alphanumeric(char) or mark(char) or char in "-_.", "a character that names do not have")
        require(not within(char, INVISIBLE) and not 0xFE00 <= ord(char) <= 0xFE0F, "an invisible character")
    require(unicodedata.is_normalized("NFC", name), "not in form C")


DEVICES = ["con", "prn", "aux", "nul", "conin$", "conout$", "clock$"]
DEVICES += [family + digit for family in ("com", "lpt") for digit in "0123456789\u00b9\u00b2\u00b3"]


def ascii_lower(text):
    return "".join(chr(ord(char) + 32) if "A" <= char <= "Z" else char for char in text)


def check_file_name(name):
    require(name, "an empty file name")
    require(len(name.encode()) <= 240, "a file name of more than 240 bytes")
    require(name not in (".", ".."), "a file name that means a folder")
    require(not any(char in "/\\:" for char in name), "a separator in a file name")
    require(not any(forbidden(char) or within(char, INVISIBLE) for char in name), "a character not for file names")
    require(not name[0].isspace(), "white space at the start")
    require(name[-1] != "." and not name[-1].isspace(), "white space or a dot at the end")
    require(ascii_lower(name.split(".")[0].rstrip()) not in DEVICES, "a device name")
    require(unicodedata.is_normalized("NFC", name), "not in form C")


def check_path(path):
    if path:
        names = path.split("/")
        require(len(names) <= 32, "more than 32 names")
        for name in names:
            check_file_name(name)


# Width of the length, longest value, check.
STRINGS = {
    "name": (1, 32, check_name),
    "note": (1, 255, check_note),
    "text": (2, 4096, check_text),
    "file_name": (1, 240, check_file_name),
    "path": (2, 1024, check_path),
}


# --- values (section 3) -----------------------------------------------------------------------------------------------

class Reader:
    """The rest of a frame."""

    def __init__(self, data):
        self.data = data

    def take(self, count):
        require(len(self.data) >= count, "the frame ends inside a field")
        taken, self.data = self.data[:count], self.data[count:]
        return taken

    def number(self, width):
        return int.from_bytes(self.take(width), "big")

    def choice(self, values):
        value = self.number(1)
        require(value in values, f"the unknown value {value}")
        return value

    def value(self, kind):
        if kind in ("u8", "u16", "u32", "u64"):
            return self.number(int(kind[1:]) // 8)
        if kind == "bool":
            return self.choice((0, 1)) == 1
        if kind.endswith("?"):
            return self.value(kind[:-1]) if self.value("bool") else None
        if "*" in kind:
            return self.list(*kind.split("*"))
        if kind.startswith("bytes"):
            return self.take(int(kind[5:])).hex()
        if kind in STRINGS:
            width, longest, check = STRINGS[kind]
            length = self.number(width)
            require(length <= longest, f"{length} bytes, at most {longest} are allowed")
            text = utf8(self.take(length))
            check(text)
            return text
        if kind == "blob":
            length = self.number(2)
            require(length <= 8192, "a blob of more than 8192 bytes")
            return self.take(length).hex()
        if kind == "rest":
            return self.take(len(self.data)).hex()
        if kind in TABLES:
            width, table = TABLES[kind]
            number = self.number(width)
            require(number in table, f"the unknown value {number}")
            return table[number]
        return getattr(self, kind)()

    def fields(self, fields):
        return {name: self.value(kind) for name, kind in fields}

    def list(self, kind, most):
        items = Reader(self.take(self.number(4)))
        values = []
        while items.data:
            require(not most or len(values) < int(most), f"more than {most} items")
            values.append(items.fields(PARTS[kind]) if kind in PARTS else items.value(kind))
        return values

    def target(self):
        kind = self.choice((1, 2, 3))
        return {"id": self.value("u32")} if kind == 1 else {("room", "user")[kind - 2]: self.value("name")}

    def source(self):
        if self.choice((1, 2)) == 1:
            return {"generation": self.value("u32"), "number": self.value("u32")}
        return {"root": self.value("bytes32")}

    def subject(self):
        if self.choice((1, 2)) == 1:
            return {"user": self.value("name")}
        if self.choice((4, 6)) == 4:
            base, width = ipaddress.IPv4Address(self.take(4)), 32
        else:
            base, width = ipaddress.IPv6Address(self.take(16)), 128
        prefix = self.number(1)
        require(prefix <= width, "a prefix longer than the address")
        require(int(base) & ((1 << (width - prefix)) - 1) == 0, "bits behind the prefix")
        require(width == 32 or prefix < 96 or base.ipv4_mapped is None, "IPv4 inside of IPv6")
        return {"network": f"{base}/{prefix}"}

    def addr(self):
        if self.choice((4, 6)) == 4:
            return f"{ipaddress.IPv4Address(self.take(4))}:{self.number(2)}"
        return f"[{ipaddress.IPv6Address(self.take(16))}]:{self.number(2)}"


def check_messages(values):
    """What holds for the messages of a frame together (section 7.3)."""
    runs = values["runs"]
    require(runs and all(run["said"] for run in runs), "a run without a message")
    speakers = [(run["device"], run["from"]) for run in runs]
    require(all(one != other for one, other in zip(speakers, speakers[1:])), "two runs that must be one")
    steps = [said["later"] for run in runs for said in run["said"]]
    require(steps[0] == 0, "time before the first message")
    require(values["seq"] + len(steps) - 1 <= LARGEST, "numbers past the largest")
    require(values["time"] + sum(steps) <= LARGEST, "times past the largest")


def decode(data, to):
    """Decodes one whole frame that went to a `server`, a `client` or a `peer`."""
    length = int.from_bytes(data[:4], "big")
    require(length > 0, "a frame without a type")
    require(length <= MAX_FRAME, "a frame past the limit", "too_large")
    require(len(data) == 4 + length, "not one whole frame")
    number = data[4]
    if number not in FRAMES:
        require(number & IGNORABLE, "an unknown frame type", "unknown_frame")
        return None
    name, directions, fields = FRAMES[number]
    require(to in directions, f"{name} does not go to a {to}", "wrong_state")
    reader = Reader(data[5:])
    values = reader.fields(fields)
    require(not reader.data, "bytes after the last field")
    if name == "messages":
        check_messages(values)
    return name, values


# --- the vectors ------------------------------------------------------------------------------------------------------

def check_valid(vector):
    data = bytes.fromhex(vector["hex"])
    name = vector["frame"]
    directions = FRAMES[vector["number"]][1]
    assert vector["to"] == directions, f"goes to {directions}"
    for to in directions:
        decoded = decode(data, to)
        assert decoded == (name, vector["fields"]), f"decodes to {decoded}"
        assert list(decoded[1]) == list(vector["fields"]), "fields in another order"


def check_invalid(vector):
    try:
        decoded = decode(bytes.fromhex(vector["hex"]), vector["to"])
    except Malformed as refused:
        assert refused.code == vector["code"], f"refused as {refused.code}: {refused}"
    else:
        raise AssertionError(f"accepted as {decoded}")


def main():
    passed, failed, seen = 0, 0, set()
    for path in sorted(Path(__file__).parent.glob("*.json")):
        check = check_invalid if path.stem == "invalid" else check_valid
        for vector in json.loads(path.read_text(encoding="ascii")):
            seen.add(vector.get("number"))
            try:
                check(vector)
                passed += 1
            except (AssertionError, Malformed, KeyError) as error:
                failed += 1
                print(f"{path.name}: {vector.get('frame', 'invalid')}: {vector['case']}: {error}", file=sys.stderr)
    for number in FRAMES.keys() - seen:
        failed += 1
        print(f"no vector of 0x{number:02x} {FRAMES[number][0]}", file=sys.stderr)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
