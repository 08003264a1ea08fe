# SPDX-License-Identifier: MIT
"""A peer of jobqd in plain Python: ZMTP 3.0 over a stream socket, msgpack, jobq's messages.

It is here so that tests can ask the broker things the command line does not say, can keep hold of
a connection, and can break every rule below and above ZeroMQ. Messages and their fields are read
from proto/messages.def, so this file cannot drift from the protocol.
"""

import os
import re
import socket
import struct
import time

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CLIENT, WORKER, BEAT = 1, 2, 3  # enum jq_role
STATES = ("blocked", "delayed", "ready", "running", "succeeded", "failed", "cancelled", "expired",
          "skipped")  # enum jq_job_state


# ---- msgpack ----

def pack(value):
    if value is True or value is False or value is None:
        return {True: b"\xc3", False: b"\xc2", None: b"\xc0"}[value]
    if isinstance(value, int):
        if 0 <= value < 128:
            return struct.pack("B", value)
        if -32 <= value < 0:
            return struct.pack("b", value)
        return b"\xcf" + struct.pack(">Q", value) if value >= 0 else b"\xd3" + struct.pack(">q", value)
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value)
    if isinstance(value, dict):
        head = struct.pack("B", 0x80 | len(value)) if len(value) < 16 else b"\xdf" + struct.pack(">I", len(value))
        return head + b"".join(pack(key) + pack(element) for key, element in value.items())
    if isinstance(value, str):
        data = value.encode()
        head = struct.pack("B", 0xA0 | len(data)) if len(data) < 32 else b"\xdb" + struct.pack(">I", len(data))
        return head + data
    if isinstance(value, (bytes, bytearray)):
        return b"\xc6" + struct.pack(">I", len(value)) + bytes(value)
    if isinstance(value, (list, tuple)):
        head = struct.pack("B", 0x90 | len(value)) if len(value) < 16 else b"\xdd" + struct.pack(">I", len(value))
        return head + b"".join(pack(element) for element in value)
    raise TypeError(type(value))


class Unpacker:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, size):
        if self.at + size > len(self.data):
            raise ValueError("short msgpack")
        self.at += size
        return self.data[self.at - size:self.at]

    def number(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def value(self):
        head = self.take(1)[0]
        if head < 0x80:
            return head
        if head >= 0xE0:
            return head - 256
        if 0x80 <= head <= 0x8F:
            return self.map(head & 15)
        if 0x90 <= head <= 0x9F:
            return [self.value() for _ in range(head & 15)]
        if 0xA0 <= head <= 0xBF:
            return self.take(head & 31).decode(errors="surrogateescape")
        simple = {0xC0: None, 0xC2: False, 0xC3: True}
        if head in simple:
            return simple[head]
        numbers = {0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q", 0xD0: ">b", 0xD1: ">h", 0xD2: ">i",
                   0xD3: ">q", 0xCA: ">f", 0xCB: ">d"}
        if head in numbers:
            return self.number(numbers[head])
        lengths = {0xC4: ">B", 0xC5: ">H", 0xC6: ">I", 0xD9: ">B", 0xDA: ">H", 0xDB: ">I", 0xDC: ">H",
                   0xDD: ">I", 0xDE: ">H", 0xDF: ">I"}
        if head not in lengths:
            raise ValueError("msgpack byte 0x%02x" % head)
        size = self.number(lengths[head])
        if head <= 0xC6:
            return self.take(size)
        if head <= 0xDB:
            return self.take(size).decode(errors="surrogateescape")
        if head >= 0xDE:
            return self.map(size)
        return [self.value() for _ in range(size)]

    def map(self, pairs):
        return {self.value(): self.value() for _ in range(pairs)}


# ---- the list of messages ----

def read_definitions(path):
    """{name: ([(field, kind, record)], tag or None)} of every RECORD and MSG."""
    text = re.sub(r"/\*.*?\*/", "", open(path).read(), flags=re.S)
    found, fields, tag, name = {}, None, None, None
    for line in text.splitlines():
        call = re.match(r"\s*([A-Z_0-9]+)\(([^)]*)\)", line)
        if not call:
            continue
        words = [word.strip() for word in call.group(2).split(",")]
        kind = call.group(1)
        if kind in ("RECORD", "MSG"):
            name, fields = words[0], []
            tag = int(words[2]) if kind == "MSG" else None
        elif kind in ("RECORD_END", "MSG_END"):
            found[name] = (fields, tag)
        elif fields is not None:
            kind = kind.removeprefix("OPT_")
            fields.append((words[0], kind, words[1] if kind == "LIST" else None))
    return found


DEFINITIONS = read_definitions(os.path.join(SOURCE, "proto", "messages.def"))
NAME_OF_TAG = {tag: name for name, (_, tag) in DEFINITIONS.items() if tag is not None}
EMPTY = {"U64": 0, "I64": 0, "STR": "", "BIN": b"", "LIST": ()}


def to_list(name, values):
    fields, _ = DEFINITIONS[name]
    unknown = set(values) - {field for field, _, _ in fields}
    if unknown:
        raise KeyError("%s has no %s" % (name, ", ".join(unknown)))
    out = []
    for field, kind, record in fields:
        value = values.get(field, EMPTY[kind])
        out.append([to_list(record, element) for element in value] if kind == "LIST" else value)
    return out


def to_dict(name, values):
    fields, _ = DEFINITIONS[name]
    out = {field: EMPTY[kind] for field, kind, _ in fields}
    for (field, kind, record), value in zip(fields, values):
        out[field] = [to_dict(record, element) for element in value] if kind == "LIST" else value
    return out


def encode(name, correlation=0, /, **values):
    return pack([1, DEFINITIONS[name][1], correlation] + to_list(name, values))


# ---- ZMTP ----

def greeting(mechanism=b"NULL", major=3):
    return (b"\xff" + bytes(8) + b"\x7f" + bytes([major, 0]) + mechanism.ljust(20, b"\0") + bytes(32))


def zmtp_frame(data, flags=0):
    if len(data) < 256:
        return bytes([flags, len(data)]) + data
    return bytes([flags | 2]) + struct.pack(">Q", len(data)) + data


def ready_command(socket_type=b"DEALER", identity=b""):
    body = b"\x05READY"
    for name, value in ((b"Socket-Type", socket_type), (b"Identity", identity)):
        body += bytes([len(name)]) + name + struct.pack(">I", len(value)) + value
    return zmtp_frame(body, flags=4)


def connect(url, timeout=10):
    """A connected stream socket to an ipc:// or tcp:// URL."""
    if url.startswith("ipc://"):
        out = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        address = url[len("ipc://"):]
    else:
        out = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        host, port = url[len("tcp://"):].rsplit(":", 1)
        address = (host, int(port))
    out.settimeout(timeout)
    try:
        out.connect(address)
    except BaseException:
        out.close()
        raise
    return out


class Peer:
    """An honest peer. `with Peer(url) as peer: peer.ask("stats")`."""

    def __init__(self, url, timeout=10, role=CLIENT, session=None, name="test", byte_gap=None, **hello):
        self.timeout = timeout
        self.byte_gap = byte_gap  # seconds between single bytes of what is sent; None: all at once
        self.role, self.welcome = role, None
        self.socket = connect(url, timeout)
        self.received = b""
        self.correlation = 0
        self.session = session or int.from_bytes(os.urandom(8), "little") | 1
        try:
            self.put(greeting())
            self.take(64)
            self.put(ready_command())
            self.zmtp()
            self.send("hello", version_min=1, version_max=1, role=role, session=self.session, name=name,
                      software="test", pid=os.getpid(), **hello)
            self.welcome = self.expect("welcome")
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def close(self):
        """A client says BYE, or the broker would keep its session in mind for a while. A worker's BYE would
        give its jobs back: that is for tests to say."""
        try:
            if self.role == CLIENT and self.welcome:
                self.send("bye")
        except OSError:
            pass
        self.socket.close()

    def put(self, data):
        if self.byte_gap is None:
            self.socket.sendall(data)
            return
        for at in range(len(data)):
            self.socket.sendall(data[at:at + 1])
            time.sleep(self.byte_gap)

    def take(self, size):
        while len(self.received) < size:
            part = self.socket.recv(1 << 16)
            if not part:
                raise ConnectionError("the broker closed the connection")
            self.received += part
        out, self.received = self.received[:size], self.received[size:]
        return out

    def zmtp(self):
        flags = self.take(1)[0]
        size = struct.unpack(">Q", self.take(8))[0] if flags & 2 else self.take(1)[0]
        return flags, self.take(size)

    def send(self, name, correlation=0, /, **values):
        self.put(zmtp_frame(encode(name, correlation, **values)))

    def receive(self):
        """(name, correlation, fields) of the next message."""
        while True:
            flags, data = self.zmtp()
            if flags & 4:  # a command of ZMTP
                if data.startswith(b"\x04PING"):  # or the connection would be closed
                    self.put(zmtp_frame(b"\x04PONG" + data[7:], flags=4))
                continue
            values = Unpacker(data).value()
            name = NAME_OF_TAG[values[1]]
            return name, values[2], to_dict(name, values[3:])

    def expect(self, *names):
        while True:
            name, _, fields = self.receive()
            if name in names:
                return fields
            if name == "error":
                raise RuntimeError("the broker says: %s" % fields)

    def ask(self, name, /, **values):
        self.correlation += 1
        mine = self.correlation
        self.send(name, mine, **values)
        while True:
            got, correlation, fields = self.receive()
            if correlation != mine:
                continue
            if got == "error":
                raise RuntimeError("the broker says: %s" % fields)
            return fields

    def counters(self):
        return {c["name"]: c["value"] for c in self.ask("stats")["counters"]}
