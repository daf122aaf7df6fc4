# SPDX-License-Identifier: GPL-2.0-or-later
"""Peers at a socket that are not the daemon of this version: one that sends little, and one of another version that understands D-Bus."""

import os
import re
import socket
import struct
import threading


def align(data, n):
    return data + b"\0" * (-len(data) % n)


def text(value):
    raw = value.encode()
    return struct.pack("<I", len(raw)) + raw + b"\0"


def message(kind, serial, reply_to, signature=None, error=None, body=b""):
    """A D-Bus message, little endian: 2 a reply, 3 an error."""
    fields = b"\x05\x01u\0" + struct.pack("<I", reply_to)
    if error:
        fields = align(fields, 8) + b"\x04\x01s\0" + text(error)
    if signature:
        fields = align(fields, 8) + b"\x08\x01g\0" + bytes([len(signature)]) + signature.encode() + b"\0"
    head = struct.pack("<BBBBII", ord("l"), kind, 1, 1, len(body), serial) + struct.pack("<I", len(fields)) + fields
    return align(head, 8) + body


class Peer:
    """Listens at a path and treats each connection as the mode says: close, garbage, silent, or old (knows nothing but its version)."""

    def __init__(self, case, path, mode):
        self.mode = mode
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(path)
        os.chmod(path, 0o666)
        self.socket.listen(8)
        self.connections = []
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        case.addCleanup(self.close)

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)  # which ends accept(); close() would not
        self.thread.join()
        self.socket.close()
        for connection in self.connections:
            connection.close()

    def run(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            if self.mode == "close":
                connection.close()
                continue
            self.connections.append(connection)
            if self.mode == "garbage":
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            elif self.mode == "old":
                threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        data = b""
        while b"BEGIN\r\n" not in data:
            data = self.more(connection, data)
        # the client has sent it all without waiting: an answer to each line
        lines, data = data.split(b"BEGIN\r\n", 1)
        for line in lines.lstrip(b"\0").split(b"\r\n"):
            if line == b"AUTH EXTERNAL":
                connection.sendall(b"DATA\r\n")
            elif line.startswith((b"DATA", b"AUTH")):
                connection.sendall(b"OK 0123456789abcdef0123456789abcdef\r\n")
            elif line == b"NEGOTIATE_UNIX_FD":
                connection.sendall(b"AGREE_UNIX_FD\r\n")
        while True:
            while len(data) < 16:
                data = self.more(connection, data)
            _, _, _, _, body, serial, fields = struct.unpack_from("<BBBBIII", data)
            length = 16 + fields + (-fields % 8) + body
            while len(data) < length:
                data = self.more(connection, data)
            whole, data = data[:length], data[length:]
            if re.search(rb"Version\0", whole):
                connection.sendall(message(2, serial, serial, "v", body=b"\x01s\0\0" + text("9.9.9")))
            else:
                connection.sendall(message(3, serial, serial, "s", "org.freedesktop.DBus.Error.UnknownMethod", text("What is that?")))

    @staticmethod
    def more(connection, data):
        try:
            got = connection.recv(65536)
        except OSError:  # the test is over
            got = b""
        if not got:
            raise SystemExit
        return data + got
