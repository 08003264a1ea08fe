# SPDX-License-Identifier: MIT
"""Peers that send garbage of every kind while jobs run: nothing is lost, and the broker stays as it is.

JOBQ_TEST_GARBAGE_SECONDS says for how long (10), JOBQ_TEST_SEED which garbage.
"""

import os
import random
import socket
import struct
import threading
import time

import harness
import wire
from harness import wait_until

SECONDS = float(os.environ.get("JOBQ_TEST_GARBAGE_SECONDS", "10"))
SEED = int(os.environ.get("JOBQ_TEST_SEED", "20"))
RSS_MAX_MIB = int(os.environ.get("JOBQ_TEST_RSS_MIB", "384"))
HIGH = 1 << 40  # ids that no job has: a well-formed request for those that exist would be obeyed


# ---- kinds of garbage: each a function of a connected socket and a generator of numbers ----

def handshake(peer, socket_type=b"DEALER", identity=b""):
    peer.sendall(wire.greeting() + wire.ready_command(socket_type, identity))


def hello(rng, role=wire.CLIENT):
    return wire.encode("hello", version_min=1, version_max=1, role=role, session=rng.getrandbits(63) | 1,
                       name="garbage", software="garbage")


def raw_bytes(peer, rng):
    for _ in range(rng.randrange(1, 20)):
        peer.sendall(rng.randbytes(rng.randrange(1, 2000)))


def other_protocols(peer, rng):
    peer.sendall(rng.choice([b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n", b"\0" * 4096,
                             b"\xff" * 4096, b"EHLO x\r\n" * 100]))


def truncated_greeting(peer, rng):
    peer.sendall(wire.greeting()[:rng.randrange(64)])


def wrong_greeting(peer, rng):
    peer.sendall(rng.choice([wire.greeting(mechanism=b"PLAIN"), wire.greeting(mechanism=b"CURVE"),
                             wire.greeting(mechanism=b"\xff" * 20), wire.greeting(major=1),
                             wire.greeting(major=255), b"\x01\x00"]) + rng.randbytes(rng.randrange(200)))


def truncated_handshake(peer, rng):
    command = wire.ready_command()
    peer.sendall(wire.greeting() + command[:rng.randrange(len(command))])


def damaged_handshake(peer, rng):
    command = bytearray(wire.ready_command(rng.choice([b"DEALER", b"PUB", b"", b"X" * 200]), rng.randbytes(255)))
    for _ in range(rng.randrange(1, 4)):
        command[rng.randrange(len(command))] = rng.randrange(256)
    peer.sendall(wire.greeting() + bytes(command) + wire.ready_command() * rng.randrange(3))


def other_socket_types(peer, rng):
    handshake(peer, rng.choice([b"PUB", b"REQ", b"ROUTER", b"PULL", b"STREAM"]), rng.randbytes(rng.randrange(300)))
    peer.sendall(wire.zmtp_frame(hello(rng)) * 3)


def random_frames(peer, rng):
    handshake(peer)
    for _ in range(rng.randrange(1, 40)):
        peer.sendall(wire.zmtp_frame(rng.randbytes(rng.randrange(300))))


def random_commands(peer, rng):
    handshake(peer)
    for _ in range(rng.randrange(1, 40)):
        peer.sendall(wire.zmtp_frame(rng.choice([b"\x04PING\0\0", b"\x05READY", b"\x05ERROR", b"\xff", b""]) +
                                     rng.randbytes(rng.randrange(40)), flags=4))


def huge_lengths(peer, rng):
    handshake(peer)
    size = rng.choice([1 << 25, (36 << 20) + 1, 1 << 31, 1 << 32, 1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
    peer.sendall(b"\x02" + struct.pack(">Q", size) + rng.randbytes(rng.randrange(1 << 18)))


def many_parts(peer, rng):
    handshake(peer)
    for _ in range(rng.randrange(1, 10)):
        for _ in range(rng.randrange(1, 200)):
            peer.sendall(wire.zmtp_frame(rng.randbytes(rng.randrange(20)), flags=1))
        if rng.random() < 0.7:
            peer.sendall(wire.zmtp_frame(hello(rng)))


def bombs(peer, rng):
    """Few bytes that promise many."""
    handshake(peer)
    peer.sendall(wire.zmtp_frame(hello(rng)))
    for head in (b"\xdd\xff\xff\xff\xff", b"\xdd\x7f\xff\xff\xff", b"\xdc\xff\xff", b"\xc6\xff\xff\xff\xff",
                 b"\xdb\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xc9\xff\xff\xff\xff\x01", b"\x91" * 10000,
                 b"\xdd\x00\x03\xff\xff" + b"\x90" * 262143):
        peer.sendall(wire.zmtp_frame(head))
        peer.sendall(wire.zmtp_frame(b"\x94\x01\x10\x01" + head))


def random_fields(rng, name):
    fields, _ = wire.DEFINITIONS[name]
    out = {}
    for field, kind, record in fields:
        if rng.random() < 0.2:
            continue
        if kind == "U64":
            out[field] = rng.choice([0, 1, 2, HIGH, (1 << 63), (1 << 64) - 1, HIGH + rng.getrandbits(40)])
        elif kind == "I64":
            out[field] = rng.choice([0, 1, -1, -(1 << 63), (1 << 63) - 1])
        elif kind == "STR":
            out[field] = rng.choice(["", "x", "exec", "a" * 129, "\0", "../..", "収" * 60])
        elif kind == "BIN":
            out[field] = rng.randbytes(rng.choice([0, 1, 100, 5000]))
        else:
            out[field] = [random_fields(rng, record) for _ in range(rng.choice([0, 1, 3, 50]))]
    if "id" in out:
        out["id"] = HIGH + rng.getrandbits(30)
    return out


# A worker that takes jobs and never runs them would be no garbage but a bad worker: no HELLO as one.
MESSAGES = sorted(set(wire.NAME_OF_TAG.values()) - {"hello"})


def meant_messages(rng):
    name = rng.choice(MESSAGES)
    return wire.encode(name, rng.choice([0, 1, 7, HIGH, (1 << 64) - 1]), **random_fields(rng, name))


def messages_of_strangers(peer, rng):
    handshake(peer)
    for _ in range(rng.randrange(1, 50)):
        peer.sendall(wire.zmtp_frame(meant_messages(rng)))


def messages_of_members(peer, rng):
    handshake(peer)
    peer.sendall(wire.zmtp_frame(hello(rng, rng.choice([wire.CLIENT, wire.BEAT, 0, 7]))))
    for _ in range(rng.randrange(1, 50)):
        peer.sendall(wire.zmtp_frame(meant_messages(rng)))


def damaged_messages(peer, rng):
    handshake(peer)
    if rng.random() < 0.5:
        peer.sendall(wire.zmtp_frame(hello(rng)))
    for _ in range(rng.randrange(1, 50)):
        name = rng.choice(["ping", "log_data", "stats", "wait", "info", "beat", "watch"])
        data = bytearray(wire.encode(name, 5, **random_fields(rng, name)))
        data[rng.randrange(1, len(data))] = rng.randrange(256)
        peer.sendall(wire.zmtp_frame(bytes(data[:rng.randrange(1, len(data) + 1)])))


def never_reads(peer, rng):
    """Asks for much, and lets the answers lie."""
    handshake(peer)
    peer.sendall(wire.zmtp_frame(hello(rng)))
    for number in range(2000):
        peer.sendall(wire.zmtp_frame(wire.encode("stats", number + 1)))


def says_nothing(peer, rng):
    if rng.random() < 0.5:
        handshake(peer)
    time.sleep(0.05)


KINDS = (raw_bytes, other_protocols, truncated_greeting, wrong_greeting, truncated_handshake, damaged_handshake,
         other_socket_types, random_frames, random_commands, huge_lengths, many_parts, bombs,
         messages_of_strangers, messages_of_members, damaged_messages, never_reads, says_nothing)


class Attacker(threading.Thread):
    """One connection after the other, each of some kind, some of them left open for a while."""

    def __init__(self, url, number, until):
        super().__init__()
        self.url, self.until, self.rng = url, until, random.Random(SEED * 1000 + number)
        self.open, self.counts, self.error = [], {}, None

    def once(self):
        kind = self.rng.choice(KINDS)
        peer = wire.connect(self.url, timeout=1)
        self.open.append(peer)
        try:
            kind(peer, self.rng)
            if self.rng.random() < 0.3:
                peer.recv(1 << 16)
        except (ConnectionError, socket.timeout):
            pass  # it may well hang up, or stop reading
        self.counts[kind.__name__] = self.counts.get(kind.__name__, 0) + 1
        if len(self.open) > 20:
            for peer in self.open[:10]:
                peer.close()
            del self.open[:10]

    def run(self):
        try:
            while time.monotonic() < self.until:
                self.once()
        except Exception as error:  # for the test to tell
            self.error = error
        finally:
            for peer in self.open:
                peer.close()


class Garbage(harness.Case):
    def test_garbage_of_every_kind_while_jobs_run_harms_nothing(self):
        self.d.start_broker()
        self.d.start_worker(4)
        ids = [self.d.submit("sh", "-c", "sleep 0.1; echo $1", "sh", str(n)) for n in range(20)]
        until = time.monotonic() + SECONDS
        attackers = [Attacker(self.d.url, number, until) for number in range(3)]
        for attacker in attackers:
            attacker.start()
        peak = rounds = 0
        try:
            while time.monotonic() < until:
                self.assertTrue(self.d.broker.running(), "the broker is gone")
                output = self.d.call("run", "--", "sh", "-c", "echo out $1; exit 7", "sh", str(rounds))
                self.assertEqual((7, b"out %d\n" % rounds), (output.code, output.out), output)
                ids.append(self.d.submit("sh", "-c", "echo $1", "sh", str(len(ids))))
                peak = max(peak, harness.rss_kib(self.d.broker.pid))
                rounds += 1
        finally:
            for attacker in attackers:
                attacker.join()
        self.assertEqual([None] * 3, [attacker.error for attacker in attackers])
        counts = {kind.__name__: sum(a.counts.get(kind.__name__, 0) for a in attackers) for kind in KINDS}
        print("\n%d rounds, peak %d MiB, %s" % (rounds, peak >> 10, counts))
        if SECONDS >= 5:
            self.assertGreater(min(counts.values()), 0, counts)
        self.assertLess(peak >> 10, RSS_MAX_MIB)
        for at in range(0, len(ids), 200):
            self.assert_code(0, self.d.wait(*ids[at:at + 200]))
        self.assert_all_succeeded(ids)
        for number, id in list(enumerate(ids))[::7]:
            self.assertEqual(b"%d\n" % number, self.d.call("logs", str(id)).out)
        self.assertTrue(self.d.broker.running())
        self.assertEqual([1], sorted({job["attempt"] for job in self.d.info(*ids)}))
        # Whoever is gone is forgotten.
        wait_until(lambda: self.d.counters()["connections"] < 20, "connections are forgotten")
        self.assertEqual(0, self.d.broker.stop())
        self.assertIn("refused_proto=", self.d.broker.text())


if __name__ == "__main__":
    harness.main()
