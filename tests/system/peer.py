# SPDX-License-Identifier: GPL-2.0-or-later
"""A client of the control socket that does what no library lets one do: half messages, questions without listening, a thousand at once.

It knows as much of D-Bus as that takes. What answers mean is left to busctl(1), see control().
"""

import itertools
import json
import os
import select
import socket
import struct
import subprocess
import time

from harness import LONG

PATH, INTERFACE = "/io/shmstaged", "io.shmstaged.Manager1"
CALL, RETURN, ERROR, SIGNAL = 1, 2, 3, 4


def string(text):
    data = text.encode()
    return struct.pack("<I", len(data)) + data + b"\0"


def padded(data, to):
    return data + b"\0" * (-len(data) % to)


def field(code, kind, value):
    return struct.pack("<B", code) + bytes([len(kind)]) + kind.encode() + b"\0" + value


def message(serial, member, signature="", body=b"", interface=INTERFACE, path=PATH):
    """The bytes of a method call."""
    fields = b""
    for part in (field(1, "o", string(path)), field(2, "s", string(interface)), field(3, "s", string(member)),
                 *([field(8, "g", bytes([len(signature)]) + signature.encode() + b"\0")] if signature else [])):
        fields = padded(fields, 8) + part
    head = struct.pack("<BBBBIII", ord("l"), CALL, 0, 1, len(body), serial, len(fields))
    return padded(head + fields, 8) + body


def names(*given):
    """The body of an "aay"."""
    data = b""
    for name in given:
        name = os.fsencode(name)
        data = padded(data, 4) + struct.pack("<I", len(name)) + name
    return struct.pack("<I", len(data)) + data


class Closed(Exception):
    """The daemon has closed the connection."""


class Message:
    def __init__(self, data):
        order, self.type, _, _, size, self.serial, length = struct.unpack("<BBBBIII", data[:16])
        assert order == ord("l")
        self.body = data[len(data) - size:]
        self.fields, at, end = {}, 16, 16 + length
        while at < end:
            at += -at % 8
            code, kind = data[at], data[at + 2:at + 2 + data[at + 1]].decode()
            at += 3 + data[at + 1]
            if kind == "u":
                at += -at % 4
                self.fields[code] = struct.unpack_from("<I", data, at)[0]
                at += 4
            elif kind == "g":
                self.fields[code] = data[at + 1:at + 1 + data[at]].decode()
                at += 2 + data[at]
            else:
                at += -at % 4
                size = struct.unpack_from("<I", data, at)[0]
                self.fields[code] = data[at + 4:at + 4 + size].decode()
                at += 5 + size
        self.member, self.error, self.reply_to = self.fields.get(3), self.fields.get(4), self.fields.get(5)

    def text(self):
        """The string that the body begins with: of an error, what went wrong."""
        size = struct.unpack_from("<I", self.body)[0]
        return self.body[4:4 + size].decode()


class Peer:
    def __init__(self, path, hello=True, timeout=30, pump=None):
        """@pump is called now and then while an answer is waited for."""
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout * LONG)
        try:
            self.socket.connect(path)
        except OSError:
            self.socket.close()
            raise
        self.data, self.serials, self.signals, self.pump = b"", itertools.count(1), [], pump
        if hello:
            self.socket.sendall(b"\0AUTH EXTERNAL %s\r\n" % str(os.geteuid()).encode().hex().encode())
            while not self.data.endswith(b"\r\n"):
                self.receive()
            assert self.data.startswith(b"OK "), self.data
            self.data = b""
            self.socket.sendall(b"BEGIN\r\n")

    def receive(self):
        while self.pump and not select.select([self.socket], [], [], 0.05)[0]:
            self.pump()
        try:
            more = self.socket.recv(1 << 16)
        except (ConnectionResetError, BrokenPipeError):
            more = b""
        if not more:
            raise Closed
        self.data += more

    def send(self, *arguments, **keywords):
        serial = next(self.serials)
        try:
            self.socket.sendall(message(serial, *arguments, **keywords))
        except (ConnectionResetError, BrokenPipeError):
            raise Closed from None
        return serial

    def read(self):
        """The next message."""
        while True:
            if len(self.data) >= 16:
                _, _, _, _, size, _, length = struct.unpack("<BBBBIII", self.data[:16])
                whole = 16 + length + -length % 8 + size
                if len(self.data) >= whole:
                    found, self.data = Message(self.data[:whole]), self.data[whole:]
                    return found
            self.receive()

    def reply(self, serial):
        """The answer to a call; signals that come before are kept in .signals."""
        while True:
            found = self.read()
            if found.type != SIGNAL:
                assert found.reply_to == serial, (found.reply_to, serial)
                return found
            self.signals.append(found)

    def call(self, *arguments, **keywords):
        return self.reply(self.send(*arguments, **keywords))

    def is_quiet(self, seconds):
        return not self.data and not select.select([self.socket], [], [], seconds)[0]

    def is_unanswered(self, seconds):
        """True if nothing but signals comes for so long."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if not self.is_quiet(left):
                found = self.read()
                if found.type != SIGNAL:
                    return False
                self.signals.append(found)
        return True

    def is_closed(self, timeout=0):
        """True if the daemon has closed it, whatever came before that."""
        while select.select([self.socket], [], [], timeout)[0]:
            try:
                self.receive()
            except Closed:
                return True
        return False

    def close(self):
        self.socket.close()


class Failed(Exception):
    """busctl(1) failed with this message."""


def busctl(address, *arguments, user=None, timeout=30):
    """Its standard output. As another user, if one is named."""
    timeout = round(timeout * LONG)
    done = subprocess.run([*(["setpriv", "--reuid=%d" % user, "--regid=%d" % user, "--clear-groups"] if user is not None else []),
                           "busctl", "--address=" + address, "--json=short", "--no-pager", "--timeout=%d" % timeout, *arguments],
                          capture_output=True, text=True, timeout=timeout + 30)
    if done.returncode != 0:
        raise Failed(done.stderr.strip())
    return done.stdout


def plain(value):
    """Without the types that busctl writes beside the values of a{sv}."""
    if isinstance(value, dict) and set(value) == {"type", "data"}:
        return bytes(value["data"]) if value["type"] == "ay" else plain(value["data"])
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [plain(entry) for entry in value]
    return value


def control(path, member, signature="", *arguments, **keywords):
    """Calls a method by busctl: a list of what it answers."""
    out = busctl("unix:path=" + path, "call", "io.shmstaged", PATH, INTERFACE, member, *([signature, *map(str, arguments)] if signature else []),
                 **keywords)
    return plain(json.loads(out)["data"]) if out.strip() else []


def job_property(path, job, name, **keywords):
    return json.loads(busctl("unix:path=" + path, "get-property", "io.shmstaged", job, "io.shmstaged.Job1", name, **keywords))["data"]


def name_arguments(*given):
    """Of an "aay", for busctl."""
    return [len(given), *(part for name in given for part in (len(os.fsencode(name)), *os.fsencode(name)))]
