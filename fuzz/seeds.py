#!/usr/bin/env python3
"""Makes the seeds of `decode` and `split`, and the dictionary, out of the golden vectors, those of `paths` out of names that
have hurt somebody, and noise for the targets that draw everything from it.

Run it after the vectors have changed: python3 fuzz/seeds.py
"""

import json
import random
import re
from pathlib import Path

HERE = Path(__file__).parent
VECTORS = HERE.parent / "chatproto" / "tests" / "vectors"

# Longer ones repeat a byte.
MAX_SEED = 1500

# Seeds of noise for each target that takes them, and the bytes of each.
NOISE_SEEDS = 12
NOISE_BYTES = 600

# Folders and names, some of which collide, lead out through the links "a" and "b" that are there, or are no names at all.
PATHS = [
    [("", "film.mkv"), ("", "film.mkv"), ("", "FILM.mkv"), ("summer/beach", "one.jpg")],
    [("a", "x"), ("", "a"), ("", "b"), ("b/c", "x"), ("A", "x")],
    [("..", "x"), ("x", ".."), ("/etc", "passwd"), ("C:", "x"), ("x/../..", "y"), ("x//y", "z")],
    [("", "nul"), ("", "COM1.txt"), ("", "x."), ("", " x"), ("", "x\0y"), ("", "\x1b[2J")],
    [("", "stra\u00dfe"), ("", "STRASSE"), ("", "e\u0301"), ("", "\u00e9"), ("", "x\u202egpj.exe")],
    [("", "STRA\u1e9eE"), ("", "stra\u00dfe"), ("", "\u2764\ufe0f"), ("", "\u2764"), ("", "\u03c3"), ("", "\u03c2")],
    [("", ".x.12345678.held"), ("", ".x.12345678.part"), ("", "x"), ("c", ".y.12345678.held"), ("c", "y")],
    [("", "x" * 240), ("", "x" * 241), ("x/" * 31 + "x", "y"), ("", ".x.12345678.part"), ("", "x (1)")],
]

# Tables have a vector for every value; two of a kind are enough to start from.
MAX_PER_FRAME = 4


def vectors():
    for path in sorted(VECTORS.glob("*.json")):
        counts = {}
        for vector in json.loads(path.read_text(encoding="ascii")):
            frame = vector.get("frame", "invalid")
            counts[frame] = counts.get(frame, 0) + 1
            data = bytes.fromhex(vector["hex"])
            if len(data) <= MAX_SEED and (frame == "invalid" or counts[frame] <= MAX_PER_FRAME):
                yield path.stem, frame, vector["case"], data


def write(target, name, data):
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def quoted(data):
    return '"' + "".join(chr(b) if 0x20 <= b < 0x7F and b not in b'"\\' else f"\\x{b:02x}" for b in data) + '"'


def main():
    families = {}
    dictionary = {"chat": b"chat", "lobby": b"\x05lobby", "alice": b"\x05alice", "bob": b"\x03bob",
                  "longest_frame": (65536).to_bytes(4, "big"), "longest_hello": (1024).to_bytes(4, "big"),
                  "override": "\u202e".encode(), "escape": b"\x1b[", "up": b"../", "root": b"\xaf\x13\x49\xb9"}
    for family, frame, case, data in vectors():
        name = re.sub(r"[^a-z0-9]+", "_", f"{frame}_{case}".lower()).strip("_")
        # A type and a body.
        write("decode", name, data[4:])
        if frame != "invalid":
            families.setdefault(family, []).append(data)
            dictionary.setdefault(frame, data[:5])
    for family, frames in families.items():
        stream = b"".join(frames)
        write("split", f"{family}_bytewise", bytes([0, 1, 1, 1, 1, 1, 1, 1, 1]) + stream)
        write("split", f"{family}_uneven", bytes([1, 3, 200, 1, 7, 90, 2, 255, 5]) + stream)
    for number, pairs in enumerate(PATHS):
        write("paths", f"seed_{number}", b"\xff".join(text.encode() for pair in pairs for text in pair))
    # What they draw from any bytes is a life of clients, log and hub, of a link, or of a part of a file.
    for target in ("lists", "log", "records", "resume"):
        for number in range(NOISE_SEEDS):
            write(target, f"noise_{number:02}", random.Random(number).randbytes(NOISE_BYTES))
    lines = ["# Made by seeds.py: beginnings of frames, and bytes that mean something."]
    lines += [f"{name}={quoted(data)}" for name, data in dictionary.items()]
    (HERE / "frames.dict").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
