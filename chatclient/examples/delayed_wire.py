#!/usr/bin/env python3
"""A wire between two network namespaces that takes its time: delayed_wire.py HERE THERE

Makes the interface `wire` in each namespace and carries packets between the two: 100 Mbit/s each way, 10 ms each way, and
a buffer of 20 ms before it, past which packets are lost. It stands in for the kernel's netem, which not every kernel has.
It ends with its standard input, and the interfaces with it.
"""
import collections
import ctypes
import fcntl
import os
import select
import struct
import sys
import time

RATE = 100e6 / 8
DELAY = 0.010
BUFFER = 0.020
PACKET = 2048
CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
IFF_TUN_WITHOUT_HEADER = 0x0001 | 0x1000


def interface(namespace):
    """An open TUN device in this namespace: whole packets, with their checksums."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open(f"/run/netns/{namespace}", "rb") as place:
        if libc.setns(place.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"namespace {namespace}")
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", b"wire", IFF_TUN_WITHOUT_HEADER))
    return tun


class Way:
    """One direction: what is on its way, each with when it arrives."""

    def __init__(self, source, target):
        self.source, self.target = source, target
        self.packets = collections.deque()
        self.free = 0.0

    def take(self):
        try:
            packet = os.read(self.source, PACKET)
        except BlockingIOError:
            return
        now = time.monotonic()
        begin = max(now, self.free)
        if begin - now <= BUFFER:
            self.free = begin + len(packet) / RATE
            self.packets.append((self.free + DELAY, packet))

    def give(self):
        while self.packets and self.packets[0][0] <= time.monotonic():
            try:
                os.write(self.target, self.packets.popleft()[1])
            except OSError:
                # The interface is not up yet, or not any more.
                pass


def be_punctual():
    """A wire is never late because the machine is busy: that would look like a burst, and packets would be lost."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except OSError:
        # It is late now and then.
        pass


def main():
    be_punctual()
    here, there = (interface(name) for name in sys.argv[1:])
    ways = {here: Way(here, there), there: Way(there, here)}
    poll = select.epoll()
    for source in [*ways, sys.stdin.fileno()]:
        poll.register(source, select.EPOLLIN)
    print("ready", flush=True)
    while True:
        due = [way.packets[0][0] for way in ways.values() if way.packets]
        wait = max(0.0, min(due) - time.monotonic()) if due else None
        for source, _ in poll.poll(wait):
            if source not in ways:
                return
            ways[source].take()
        for way in ways.values():
            way.give()


main()
