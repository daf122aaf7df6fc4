# SPDX-License-Identifier: GPL-2.0-or-later
"""The private control socket: what it reports, who may do what, and that no client can hold up the daemon or another client."""

import contextlib
import json
import os
import re
import signal
import socket
import stat
import subprocess
import threading
import time

import harness
import peer
from peer import Failed, Peer, control, job_property, name_arguments, names
from saving import Saving

NOBODY = 65534


class Control(Saving):
    @property
    def path_of_socket(self):
        return os.path.join(self.runtime, "control")

    def pump(self):
        """A daemon blocks when its notifications are not read."""
        for daemon in self.daemons:
            daemon.pump()

    def call(self, member, signature="", *arguments, **keywords):
        self.pump()
        return control(self.path_of_socket, member, signature, *arguments, **keywords)

    def named(self, member, *given, **keywords):
        return self.call(member, "aay", *name_arguments(*given), **keywords)

    def peer(self, **keywords):
        found = Peer(self.path_of_socket, pump=self.pump, **keywords)
        self.addCleanup(found.close)
        return found

    def status(self, **keywords):
        daemon, mirrors = self.call("GetStatus", **keywords)
        return daemon, mirrors

    def wait_state(self, wanted, **keywords):
        """Waits until the daemon is in that state and its mirrors are idle: it may be ready and scan its trees again. Returns both."""
        found = []

        def is_there():
            found[:] = self.status(**keywords)
            return found[0]["state"] == wanted and all(mirror["state"] == "idle" for mirror in found[1])
        self.wait_until(is_there, "the state %s" % wanted, self.daemons[-1])
        return found

    def fds(self, daemon):
        """How many sockets and pipes it has."""
        n = 0
        for fd in os.listdir("/proc/%d/fd" % daemon.pid):
            with contextlib.suppress(FileNotFoundError):
                n += os.readlink("/proc/%d/fd/%s" % (daemon.pid, fd)).startswith(("socket:", "pipe:"))
        return n

    def rss(self, daemon):
        return int(re.search(r"VmRSS:\s*(\d+)", self.read("/proc/%d/status" % daemon.pid).decode())[1]) << 10

    def slow(self, size=20 << 20, rate="4M"):
        """A source of which a file takes seconds."""
        self.write("big", size=size)
        slow, process = self.bindfs(self.source, "--read-rate=" + rate)
        return self.config(Source=slow, ChunkSize="1M", CopyMethod="buffered"), process

    def wait_job(self, job, timeout=30):
        end = time.monotonic() + timeout * harness.LONG
        while job_property(self.path_of_socket, job, "State") == "running":
            self.assertLess(time.monotonic(), end, "the job goes on")
            self.daemons[-1].pump(0.05)
        return job_property(self.path_of_socket, job, "State"), job_property(self.path_of_socket, job, "Report")


class Reading(Control):
    def test_the_status_has_the_values_of_the_daemon(self):
        self.write("a.gguf", size=3 << 20)
        self.write("b", size=1000)
        daemon = self.ready()
        daemon.wait_status("all saved")  # the last that changes by itself
        state, mirrors = self.wait_state("ready")
        self.assertEqual((state["state"], state["ready"], state["degraded"], state["pid"], state["jobs"]), ("ready", True, False, daemon.pid, 0))
        self.assertRegex(state["version"], r"^\d+\.\d+")
        self.assertEqual(state["status_text"], daemon.status())
        self.assertEqual([m["name"] for m in mirrors], ["m"])
        self.assertEqual({key: mirrors[0][key] for key in ("state", "ready", "degraded", "source", "target", "layout", "files", "bytes", "unsaved", "withheld", "source_state")},
                         {"state": "idle", "ready": True, "degraded": False, "source": self.source, "target": self.target, "layout": "plain", "files": 2,
                          "bytes": (3 << 20) + 1000, "unsaved": 0, "withheld": 0, "source_state": "healthy"})
        self.assertNotIn("problem", mirrors[0])
        self.assertNotIn("conflict", mirrors[0])

    def test_everybody_may_read(self):
        self.write("a.gguf", size=1000)
        self.ready()
        self.assertEqual(stat.S_IMODE(os.lstat(self.path_of_socket).st_mode), 0o666)
        self.assertEqual(self.status(user=NOBODY)[1][0]["files"], 1)
        self.assertEqual(len(self.call("ListFiles", "sayu", "m", 0, 100, user=NOBODY)[0]), 1)
        self.assertEqual(self.call("ListModels", "s", "m", user=NOBODY)[0][0]["name"], "a")
        self.assertEqual(self.named("GetReadiness", "a.gguf", user=NOBODY)[0][0][1], "ready")
        self.assertIn("shmstaged_ready", self.call("GetMetrics", user=NOBODY)[0])
        self.assertEqual(self.named("Wait", user=NOBODY), [])

    def test_it_describes_itself(self):
        self.ready()
        out = peer.busctl("unix:path=" + self.path_of_socket, "introspect", "io.shmstaged", peer.PATH)
        members = set(re.findall(r"^\.(\w+) +(\w+)", out, re.M))
        for name in ("GetStatus", "ListFiles", "ListModels", "GetReadiness", "Wait", "GetMetrics", "Stage", "Release", "Accept", "Sync", "Verify", "Reload"):
            self.assertIn((name, "method"), members)
        for name in ("Version", "State", "StatusText", "Ready", "Degraded", "Mirrors", "Files", "BytesInRAM", "UnsavedFiles", "UnsavedBytes"):
            self.assertIn((name, "property"), members)

    def test_the_manual_page_has_all_of_it_and_nothing_else(self):
        self.write("a", size=10)
        self.ready()
        page = self.read(os.path.join(os.path.dirname(peer.__file__), "../../docs/io.shmstaged.5")).decode()
        described = set(re.findall(r"^\.It Fn (\w+)", page, re.M)) | set(re.findall(r"^\.It (\w+) Pq", page, re.M)) - {""}
        out = peer.busctl("unix:path=" + self.path_of_socket, "introspect", "io.shmstaged", peer.PATH, peer.INTERFACE)
        self.assertEqual(described - {"PropertiesChanged"}, set(re.findall(r"^\.(\w+) ", out, re.M)))
        state, mirrors = self.status()
        keys = page[page.index(".Sh KEYS"):page.index(".Sh LIMITS")]
        for key in [*state, *mirrors[0]]:
            self.assertRegex(keys, r"\b%s\b" % key)

    def test_rows_come_in_pages_and_whatever_a_file_is_called(self):
        strange = [b"\xff\xfe", b"a\nb", b"back\\slash", "ü".encode(), b"plain", b"d/x"]
        for name in strange:
            self.write(os.fsdecode(name), size=10)
        self.ready()
        whole = [bytes(row[0]) for row in self.call("ListFiles", "sayu", "m", 0, 0)[0]]
        self.assertEqual(whole, sorted(strange))
        pages, after = [], b""
        while rows := self.call("ListFiles", "sayu", "m", len(after), *after, 2)[0]:
            self.assertLessEqual(len(rows), 2)
            pages += [bytes(row[0]) for row in rows]
            after = pages[-1]
        self.assertEqual(pages, whole)
        row = self.call("ListFiles", "sayu", "m", 0, 1)[0][0]
        self.assertEqual(row[1:6], ["staged", 10, 4096, 3, False])
        self.assertEqual(row[6], self.digest(os.path.join(self.source, os.fsdecode(strange[1]))))

    def test_an_answer_is_never_longer_than_a_page(self):
        for i in range(6000):
            self.write("d%d/%s-%d" % (i % 50, "x" * 200, i), b"")
        self.ready()
        found, after, n_pages = 0, b"", 0
        client = self.peer()
        while True:
            body = peer.string("m")
            body = peer.padded(body, 4) + peer.struct.pack("<I", len(after)) + after
            reply = client.call("ListFiles", "sayu", peer.padded(body, 4) + peer.struct.pack("<I", 0))
            self.assertEqual(reply.type, peer.RETURN)
            self.assertLess(len(reply.body), 2 << 20)
            rows = list(re.finditer(rb"d\d+/x{200}-\d+", reply.body))
            if not rows:
                break
            found, after, n_pages = found + len(rows), rows[-1][0], n_pages + 1
        self.assertEqual(found, 6000)
        self.assertGreater(n_pages, 1)

    def test_names_that_lead_nowhere_are_refused_with_the_mirrors_there_are(self):
        self.write("a", size=10)
        self.ready()
        for given in ("/etc/passwd", "../a", self.target + "/../x", "no-such-file", "m:no-such-file", self.target + "/no-such-file"):
            with self.subTest(name=given):
                # what is in no list may be on the disk all the same, or be kept aside, which is found out later
                for member in ("Stage", "Accept") * (given in ("/etc/passwd", "../a")) + ("Release", "Verify"):
                    with self.assertRaisesRegex(Failed, "'m'"):
                        self.named(member, given)
        self.assertEqual(self.named("GetReadiness", "/etc/passwd", "a", self.target + "/a", "m:a", self.source)[0][0][1], "unknown")
        for bad in ((1, 0), (1, 3, 97, 0, 97), (1, 4096, *[97] * 4096)):
            with self.assertRaisesRegex(Failed, "A name must have"):
                self.call("GetReadiness", "aay", *bad)
        with self.assertRaisesRegex(Failed, "At most 1000 names"):
            self.named("GetReadiness", *["a"] * 1001)
        self.assertEqual(len(self.named("GetReadiness", *["a"] * 1000)[0]), 1000)
        for member in ("ListFiles", "ListModels"):
            with self.assertRaisesRegex(Failed, "no mirror 'x'"):
                self.call(member, *(("sayu", "x", 0, 1) if member == "ListFiles" else ("s", "x")))
        client = self.peer()
        for member in ("Release", "Wait"):
            self.assertIn("\\xff\\x0a", client.call(member, "aay", names(b"\xff\n")).text())
        self.assertEqual(self.status()[0]["jobs"], 0)

    def test_a_degraded_mirror_is_reported(self):
        self.write("a", size=5000)
        self.write("b", size=5000)
        self.ready().stop()
        self.rot(os.path.join(self.source, "a"))
        self.ready()
        state, mirrors = self.wait_state("degraded")
        self.assertEqual((state["state"], state["ready"], state["degraded"]), ("degraded", True, True))
        self.assertEqual((mirrors[0]["withheld"], mirrors[0]["degraded"]), (1, True))
        self.assertIn("source/a' is withheld: it is corrupt on disk", mirrors[0]["withheld_text"])
        self.assertEqual(self.named("GetReadiness", "a", "b")[0][0][1:2] + self.named("GetReadiness", "a", "b")[0][1][1:2], ["never", "ready"])


class Rights(Control):
    def test_an_unprivileged_user_is_refused_and_nothing_changes(self):
        self.write("a", size=1000)
        daemon = self.ready()
        before = daemon.log(), self.inode("a")
        for member in ("Stage", "Release", "Accept", "Verify"):
            with self.assertRaisesRegex(Failed, "(?i)access denied|Only root"):
                self.named(member, "a", user=NOBODY)
        for member in ("Sync", "Reload"):
            with self.assertRaisesRegex(Failed, "(?i)access denied|Only root"):
                self.call(member, user=NOBODY)
        self.assertEqual((daemon.log(), self.inode("a")), before)
        with self.assertRaises(Failed):
            job_property(self.path_of_socket, "/io/shmstaged/job/1", "State")
        with self.assertRaisesRegex(Failed, "not writable"):
            peer.busctl("unix:path=" + self.path_of_socket, "set-property", "io.shmstaged", peer.PATH, peer.INTERFACE, "State", "s", "x")

    def test_a_claimed_name_does_not_help(self):
        self.ready()
        code = ("import sys; sys.path.insert(0, %r); import peer; p = peer.Peer(%r, hello=False)\n"
                "p.socket.sendall(b'\\0AUTH EXTERNAL 30\\r\\nBEGIN\\r\\n')\n"
                "p.receive(); p.data = b''; r = p.call('Sync'); print(r.error)" % (os.path.dirname(peer.__file__), self.path_of_socket))
        done = subprocess.run(["setpriv", "--reuid=65534", "--clear-groups", "python3", "-B", "-c", code], capture_output=True, text=True)
        self.assertEqual(done.stdout.strip(), "org.freedesktop.DBus.Error.AccessDenied", done.stderr)

    def test_a_users_own_daemon_obeys_that_user_and_root_alone(self):
        os.chown(self.source, NOBODY, NOBODY)
        os.chown(self.state, NOBODY, NOBODY)
        os.mkdir(self.target)
        os.chown(self.target, NOBODY, NOBODY)
        xdg = self.path("xdg")
        os.mkdir(xdg)
        os.chown(xdg, NOBODY, NOBODY)
        self.daemon(user=NOBODY, env={"RUNTIME_DIRECTORY": "", "XDG_RUNTIME_DIR": xdg}).wait_ready()
        path = os.path.join(xdg, "shmstaged/control")
        for user in (NOBODY, 0):
            job = control(path, "Reload", user=user)[0]
            self.assertRegex(job, "^/io/shmstaged/job/")
        with self.assertRaisesRegex(Failed, "(?i)access denied|Only root"):
            control(path, "Reload", user=1234)
        self.wait_until(lambda: control(path, "GetStatus", user=1234)[0]["state"] == "ready", "it to be ready", self.daemons[-1])

    def test_without_a_place_for_it_the_daemon_goes_without(self):
        os.chown(self.source, NOBODY, NOBODY)
        os.chown(self.state, NOBODY, NOBODY)
        os.mkdir(self.target)
        os.chown(self.target, NOBODY, NOBODY)
        daemon = self.daemon(user=NOBODY, env={"RUNTIME_DIRECTORY": "", "XDG_RUNTIME_DIR": ""}).wait_ready()
        self.assertRegex(daemon.log(), "XDG_RUNTIME_DIR is not set; continuing without a control socket")
        daemon.stop()


class Place(Control):
    def test_it_is_there_before_the_mirror_and_goes_with_the_daemon(self):
        config, _ = self.slow()
        daemon = self.daemon(config)
        daemon.wait_status("^Staging")
        self.wait_until(lambda: "path" in self.status()[1][0], "the file", daemon)
        state, mirrors = self.status()
        self.assertEqual((state["state"], state["ready"], mirrors[0]["state"], mirrors[0]["path"]), ("staging", False, "staging", b"big"))
        self.assertEqual(mirrors[0]["todo_bytes"], 20 << 20)
        daemon.wait_ready()
        daemon.stop()
        self.assertEqual(os.listdir(self.runtime), [])

    def test_the_socket_of_a_dead_daemon_is_replaced(self):
        self.write("a", size=10)
        first = self.ready()
        first.kill()
        self.assertTrue(os.path.exists(self.path_of_socket))
        with self.assertRaises(ConnectionRefusedError):
            self.peer()
        second = self.ready()
        self.assertEqual(self.status()[0]["pid"], second.pid)
        self.assertNotRegex(second.log(), "(?i)warning.*socket")

    def test_a_socket_with_a_listener_is_left_alone_and_reported(self):
        self.write("a", size=10)
        first = self.ready()
        second = self.ready(self.config(Target=self.path("other")), env={"STATE_DIRECTORY": self.path("state2")})
        self.assertRegex(second.log(), r"Another process is listening on the control socket '.*/run/control'")
        self.assertEqual(self.status()[0]["pid"], first.pid)
        second.stop()
        self.assertEqual(self.status()[0]["pid"], first.pid)

    def test_a_file_that_is_not_a_socket_is_left_alone_and_reported(self):
        for make in (lambda: self.write("control", b"precious", root=self.runtime), lambda: os.symlink("/nowhere", self.path_of_socket), lambda: os.mkdir(self.path_of_socket)):
            make()
            before = os.lstat(self.path_of_socket)
            daemon = self.ready()
            self.assertRegex(daemon.log(), "is not a socket; continuing without a control socket until it is removed and the daemon restarted")
            daemon.stop()
            after = os.lstat(self.path_of_socket)
            self.assertEqual((before.st_ino, before.st_size, before.st_mode), (after.st_ino, after.st_size, after.st_mode))
            (os.rmdir if stat.S_ISDIR(after.st_mode) else os.unlink)(self.path_of_socket)

    def test_a_name_that_another_process_has_taken_meanwhile_stays(self):
        daemon = self.ready()
        os.unlink(self.path_of_socket)
        self.write("control", b"precious", root=self.runtime)
        daemon.stop()
        self.assertEqual(self.read(self.path_of_socket), b"precious")

    def test_an_unusable_path_is_reported_and_the_daemon_continues(self):
        self.write("a", size=10)
        for directory in (self.write("file", b"x", root=self.work), self.path("x" * 200)):
            daemon = self.ready(env={"RUNTIME_DIRECTORY": directory})
            self.assertRegex(daemon.log(), r"Failed to .* control socket '.*': .*; continuing without a control socket")
            daemon.stop()


class Crowd(Control):
    def test_a_thousand_clients_at_once_are_all_answered(self):
        self.write("a", size=10)
        daemon = self.ready()
        before, answered, highest = self.fds(daemon), [], [0]

        def ask():
            for _ in range(100):
                client = Peer(self.path_of_socket, timeout=60)
                answered.append(client.call("GetStatus").type)
                client.close()
        threads = [threading.Thread(target=ask) for _ in range(10)]
        waiting = [socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) for _ in range(100)]
        for each in waiting:  # before any client is accepted
            each.connect(self.path_of_socket)
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            highest[0] = max(highest[0], self.fds(daemon))
            time.sleep(0.01)
        for each in waiting:
            each.close()
        self.assertEqual(answered, [peer.RETURN] * 1000)
        self.assertLess(highest[0], 700)
        self.wait_until(lambda: self.fds(daemon) <= before, "the descriptors to be given back", daemon)

    def test_silent_clients_of_some_users_lock_out_neither_themselves_nor_others(self):
        self.write("a", size=10)
        daemon = self.ready()
        for user in range(1231, 1235):
            self.crowd(user)
        time.sleep(0.3)
        for user in (0, NOBODY, 1234):
            self.wait_state("ready", user=user)
        self.assertLess(self.fds(daemon), 500)

    def crowd(self, user):
        """A thousand connections of a user who sends nothing."""
        code = ("import socket, sys, time\nkept = []\n"
                "for i in range(1000):\n  s = socket.socket(socket.AF_UNIX); s.connect(%r); kept.append(s)\n"
                "print('there', flush=True); time.sleep(600)" % self.path_of_socket)
        crowd = subprocess.Popen(["setpriv", "--reuid=%d" % user, "--clear-groups", "python3", "-c", code], stdout=subprocess.PIPE)
        self.addCleanup(crowd.stdout.close)
        self.addCleanup(crowd.wait)
        self.addCleanup(crowd.kill)
        self.assertEqual(crowd.stdout.readline(), b"there\n")

    def test_a_silent_client_is_disconnected_and_one_that_has_called_may_stay(self):
        self.ready()
        silent, half, quiet = self.peer(hello=False), self.peer(), self.peer()
        half.socket.sendall(peer.message(1, "GetStatus")[:20])
        self.assertEqual(quiet.call("GetStatus").type, peer.RETURN)
        self.assertFalse(silent.is_closed(20))
        self.assertTrue(silent.is_closed(20 * harness.LONG))
        self.assertTrue(half.is_closed(5 * harness.LONG))
        self.assertEqual(quiet.call("GetStatus").type, peer.RETURN)

    def test_a_client_that_never_reads_takes_little_memory_and_delays_no_other(self):
        for i in range(3000):
            self.write("d/%d-%s" % (i, "x" * 150), b"")
        daemon = self.ready(measured=True)
        self.status()
        before = self.rss(daemon)
        deaf = [self.peer() for _ in range(8)]
        body = peer.padded(peer.string("m"), 4) + peer.struct.pack("<II", 0, 0)
        flood = b"".join(peer.message(i, "ListFiles", "sayu", body) for i in range(1, 20001))
        for client in deaf:
            client.socket.setblocking(False)
            try:
                while True:
                    client.socket.send(flood)
            except BlockingIOError:
                pass
        for _ in range(20):
            begin = time.monotonic()
            self.assertEqual(self.peer().call("GetStatus").type, peer.RETURN)
            self.assertLess(time.monotonic() - begin, 5 * harness.LONG)
        self.assertLess(self.rss(daemon) - before, 64 << 20)

    def test_one_question_after_the_other_is_answered_however_many_are_sent_at_once(self):
        self.ready()
        client = self.peer()
        sender = threading.Thread(target=lambda: [client.send("GetStatus") for _ in range(2000)])
        sender.start()
        for serial in range(1, 2001):
            self.assertEqual(client.reply(serial).type, peer.RETURN)
        sender.join()

    def test_garbage_ends_the_connection_and_nothing_else(self):
        daemon = self.ready(measured=True)
        before = self.rss(daemon)
        head = peer.message(1, "GetStatus")
        for garbage in (b"GET / HTTP/1.1\r\n\r\n" * 100, b"\0" * 100000, b"\0AUTH\r\n" * 20000, os.urandom(100000)):
            client = self.peer(hello=False)
            try:
                client.socket.sendall(garbage)
                client.is_closed(0.5)
            except OSError:
                pass
        for garbage in (b"x" + head[1:], head[:3] + b"\7" + head[4:], head[:4] + b"\xff\xff\xff\x7f" + head[8:], head[:12] + b"\xff\xff\xff\xff" + head[16:]):
            client = self.peer()
            try:
                client.socket.sendall(garbage)
            except OSError:
                pass
            self.assertTrue(client.is_closed(5 * harness.LONG), garbage)
        client = self.peer()
        client.socket.sendall(head[:16] + b"\xff" * (len(head) - 16))  # of the right length: that is passed over
        client.socket.sendall(head[:1] + b"\0" + head[2:])
        self.assertEqual(client.call("GetStatus").type, peer.RETURN)
        self.wait_state("ready")
        self.assertLess(self.rss(daemon) - before, 16 << 20)

    def test_a_large_message_is_not_taken(self):
        daemon = self.ready(measured=True)
        before = self.rss(daemon)
        client = self.peer()
        data = peer.message(1, "Stage", "aay", b"\0" * (100 << 20))
        with self.assertRaises(OSError):
            client.socket.sendall(data)
        self.assertLess(self.rss(daemon) - before, 16 << 20)

    def test_wrong_calls_are_errors(self):
        self.ready()
        client = self.peer()
        self.assertEqual(client.call("NoSuchCall").error, "org.freedesktop.DBus.Error.UnknownMethod")
        self.assertEqual(client.call("GetStatus", path="/elsewhere").error, "org.freedesktop.DBus.Error.UnknownObject")
        self.assertEqual(client.call("Stage", "s", peer.string("a")).error, "org.freedesktop.DBus.Error.InvalidArgs")
        self.assertEqual(client.call("GetStatus", "s", peer.string("a")).error, "org.freedesktop.DBus.Error.InvalidArgs")
        self.assertEqual(client.call("GetStatus").type, peer.RETURN)


class Waiting(Control):
    def test_a_waiting_client_is_answered_when_the_model_is_ready_and_not_before(self):
        self.write("zz-last", size=10)
        config, process = self.slow()
        daemon = self.daemon(config)
        daemon.wait_status("^Staging")
        clients = {given: self.peer() for given in ("", "big", "m", self.target, os.path.join(self.target, "zz-last"))}
        serials = {given: client.send("Wait", "aay", names(*([given] if given else []))) for given, client in clients.items()}
        self.assertTrue(clients["m"].is_unanswered(0.5))
        self.assertFalse(os.path.exists(self.mirrored("big")))
        for given, client in clients.items():
            self.assertEqual(client.reply(serials[given]).type, peer.RETURN, given)
            self.assertTrue(os.path.exists(self.mirrored("zz-last" if given.endswith("last") else "big")), given)
        daemon.wait_ready()
        self.assertEqual(self.peer().call("Wait", "aay", names("big", "zz-last")).type, peer.RETURN)

    def test_a_model_that_never_arrives_is_reported(self):
        self.write("a", size=5000)
        self.write("b", size=5000)
        self.ready().stop()
        self.rot(os.path.join(self.source, "a"))
        self.ready()
        client = self.peer()
        for given in ("a", "no-such-thing", "/etc/passwd"):
            reply = client.call("Wait", "aay", names("b", given))
            self.assertEqual(reply.error, "io.shmstaged.Error.NeverReady", given)
            self.assertIn("'%s'" % given, reply.text())
        self.assertEqual(client.call("Wait", "aay", names("b")).type, peer.RETURN)

    def test_an_unknown_name_may_still_arrive_before_the_first_scan(self):
        config, process = self.slow()
        os.kill(process.pid, signal.SIGSTOP)
        self.addCleanup(os.kill, process.pid, signal.SIGCONT)
        self.daemon(config)
        self.wait_until(lambda: os.path.exists(self.path_of_socket), "the socket")
        client, other = self.peer(), self.peer()
        serial, unknown = client.send("Wait", "aay", names("big")), other.send("Wait", "aay", names("no-such-model"))
        self.assertTrue(client.is_unanswered(0.5))
        self.assertTrue(other.is_unanswered(0.1))
        os.kill(process.pid, signal.SIGCONT)
        self.assertEqual(client.reply(serial).type, peer.RETURN)
        self.assertEqual(other.reply(unknown).error, "io.shmstaged.Error.NeverReady")

    def test_a_failed_start_is_reported_to_waiting_clients(self):
        config, _ = self.slow(size=30 << 20)
        daemon = self.daemon(config)
        daemon.wait_status("^Staging")
        client = self.peer()
        serial = client.send("Wait", "aay", names())
        daemon.signal(signal.SIGTERM)
        self.assertEqual(client.reply(serial).error, "io.shmstaged.Error.Stopping")
        daemon.join()

    def test_a_client_that_disconnects_is_forgotten(self):
        config, _ = self.slow()
        daemon = self.daemon(config)
        daemon.wait_status("^Staging")
        before = self.fds(daemon)
        for _ in range(30):
            clients = [self.peer() for _ in range(20)]
            for client in clients:
                client.send("Wait", "aay", names("big"))
            for client in clients:
                client.close()
        self.wait_until(lambda: self.fds(daemon) <= before, "the descriptors to be given back", daemon)
        # more than may wait at the same time
        self.assertFalse(os.path.exists(self.mirrored("big")))
        self.assertEqual(self.peer().call("Wait", "aay", names("big")).type, peer.RETURN)
        daemon.wait_ready()

    def test_waiting_unprivileged_clients_leave_room_for_root(self):
        config, _ = self.slow()
        daemon = self.daemon(config)
        daemon.wait_status("^Staging")
        code = ("import sys, time; sys.path.insert(0, %r); import peer\n"
                "kept = [peer.Peer(%r) for i in range(40)]\n"
                "for p in kept:\n  for i in range(16): p.send('Wait', 'aay', peer.names('big'))\n"
                "print('there', flush=True); time.sleep(600)" % (os.path.dirname(peer.__file__), self.path_of_socket))
        crowd = subprocess.Popen(["setpriv", "--reuid=1234", "--clear-groups", "python3", "-B", "-c", code], stdout=subprocess.PIPE)
        self.addCleanup(crowd.stdout.close)
        self.addCleanup(crowd.wait)
        self.addCleanup(crowd.kill)
        self.assertEqual(crowd.stdout.readline(), b"there\n")
        time.sleep(0.3)
        self.assertFalse(os.path.exists(self.mirrored("big")))
        with self.assertRaisesRegex(Failed, "Too many"):
            self.named("Wait", "big", user=1235)
        client = self.peer()
        serial = client.send("Wait", "aay", names("big"))
        self.assertEqual(client.reply(serial).type, peer.RETURN)

    def test_only_so_many_wait(self):
        config, _ = self.slow()
        self.daemon(config).wait_status("^Staging")
        client = self.peer()
        serials = [client.send("Wait", "aay", names("big")) for _ in range(40)]
        self.assertEqual({client.reply(serial).error for serial in serials[16:]}, {"io.shmstaged.Error.TooMany"})
        waiting = set(serials[:16]) # the order of the answers is not guaranteed
        while waiting:
            found = client.read()
            if found.reply_to:
                self.assertEqual(found.type, peer.RETURN)
                waiting.remove(found.reply_to)


class Changes(Control):
    def test_a_reload_is_a_job_that_is_done_when_the_reload_is(self):
        self.write("a", size=10)
        other = self.path("other")
        self.write("x", size=1000, root=other)
        config = self.config()
        daemon = self.ready(config)
        client = self.peer()
        client.call("GetStatus")
        with open(config, "a") as f:
            f.write("[Mirror n]\nSource=%s\nTarget=%s\nSize=10M\n" % (other, self.path("t-other")))
        job = client.call("Reload")
        self.assertEqual(job.type, peer.RETURN)
        while True:
            found = client.read()
            if found.member == "JobRemoved":
                break
        self.assertTrue(os.path.exists(self.path("t-other", "x")))
        self.assertEqual(daemon.count("READY"), 1 + daemon.count("RELOADING"))
        self.assertEqual(self.wait_job(job.text()), ("done", []))
        self.assertEqual(json.loads(peer.busctl("unix:path=" + self.path_of_socket, "get-property", "io.shmstaged", peer.PATH, peer.INTERFACE, "Mirrors"))["data"],
                         ["m", "n"])

    def test_a_failed_reload_reports_why(self):
        self.write("a", size=10)
        config = self.config()
        self.ready(config)
        with open(config, "a") as f:
            f.write("Nonsense=1\nSize=perhaps\n")
        state, report = self.wait_job(self.call("Reload")[0])
        self.assertEqual(state, "failed")
        self.assertEqual(len(report), 1)
        self.assertRegex(report[0], re.escape(config) + r":\d+: .*Size=")
        os.unlink(config)
        state, report = self.wait_job(self.call("Reload")[0])
        self.assertEqual((state, len(report)), ("failed", 1))
        self.assertRegex(report[0], "No such file")
        self.config()
        self.wait_state("ready")

    def test_a_mirror_that_a_reload_could_not_begin_fails_it(self):
        self.write("a", size=10)
        config = self.config()
        self.ready(config)
        with open(config, "a") as f:
            f.write("[Mirror n]\nSource=%s\nTarget=%s\nSize=10M\n" % (self.path("not-there"), self.path("t-other")))
        state, report = self.wait_job(self.call("Reload")[0])
        self.assertEqual(state, "failed")
        self.assertRegex(report[0], "not-there")

    def test_every_reload_that_is_asked_for_ends(self):
        self.write("a", size=10)
        self.ready()
        jobs = [self.call("Reload")[0] for _ in range(5)]
        self.assertEqual(len(set(jobs)), 5)
        self.assertEqual([self.wait_job(job)[0] for job in jobs], ["done"] * 5)

    def test_only_the_last_results_are_kept(self):
        self.write("a", size=10)
        self.ready()
        jobs = []
        for _ in range(20):
            jobs.append(self.call("Reload")[0])
            self.wait_job(jobs[-1])
        with self.assertRaises(Failed):
            job_property(self.path_of_socket, jobs[0], "State")
        self.assertEqual(job_property(self.path_of_socket, jobs[10], "State"), "done")

    def test_during_a_stop_clients_may_read_and_not_change_anything(self):
        slow, _ = self.bindfs(self.source, "--write-rate=4M")
        daemon = self.ready(self.config(Source=slow, WriteBack="yes", SettleTime="1h"))
        self.put("pulled", os.urandom(12 << 20))
        daemon.wait_status("1 not on disk yet")
        client = self.peer()
        client.call("GetStatus")
        serial = client.send("Wait", "aay", names())
        client.reply(serial)
        daemon.signal(signal.SIGTERM)
        daemon.wait_status("^Saving before the stop")
        state, mirrors = self.status()
        self.assertEqual((state["state"], state["ready"], mirrors[0]["unsaved"]), ("saving", False, 1))
        self.assertIn(self.call("ListFiles", "sayu", "m", 0, 0)[0][0][1], ("unsaved", "saving"))
        for member in ("Sync", "Reload"):
            self.assertEqual(client.call(member).error, "io.shmstaged.Error.Stopping")
        self.assertEqual(client.call("Wait", "aay", names("pulled")).error, "io.shmstaged.Error.Stopping")
        self.assertEqual(daemon.join(), 0)
        self.assertTrue(client.is_closed(5))
        self.assertEqual(os.path.getsize(self.original("pulled")), 12 << 20)

    def test_a_reload_gets_an_error_when_the_daemon_ends_before_it(self):
        config, _ = self.slow()
        daemon = self.daemon(config)
        daemon.wait_status("^Staging")
        client = self.peer()
        client.call("GetStatus")
        client.call("Reload")
        daemon.signal(signal.SIGTERM)
        while True:
            found = client.read()
            if found.member == "JobRemoved":
                break
        self.assertIn(b"failed", found.body)
        self.assertIn(b"stopping", found.body)
        daemon.join()


class Signals(Control):
    def changes(self, client):
        """Names of properties in the signals that are there."""
        found = []
        while not client.is_quiet(0.3):
            found.append(client.read())
        return [m for m in found if m.member == "PropertiesChanged"]

    def test_changed_properties_are_signalled(self):
        self.write("a", size=10)
        daemon = self.ready()
        client = self.peer()
        client.call("GetStatus")
        self.changes(client)
        self.write("b", size=10)
        daemon.wait_status("^Ready: 2 files")
        signals = self.changes(client)
        self.assertTrue(any(b"Files\0" in m.body for m in signals))
        self.assertFalse(any(b"Degraded\0" in m.body for m in signals))

    def test_a_client_that_was_not_reading_gets_the_current_state(self):
        self.write("a", size=10)
        daemon = self.ready(self.config(SettleTime="0"))
        client = self.peer()
        client.call("GetStatus")
        body = peer.padded(peer.string("m"), 4) + peer.struct.pack("<II", 0, 0)
        for i in range(2000):
            self.write("d/%d-%s" % (i, "x" * 200), b"")
        daemon.wait_status("^Ready: 2001 files")
        client.send("ListFiles", "sayu", body)  # more than the socket takes
        time.sleep(0.5)
        self.write("last", size=10)
        daemon.wait_status("^Ready: 2002 files")
        self.assertEqual(client.read().type in (peer.RETURN, peer.SIGNAL), True)
        signals = self.changes(client)
        self.assertTrue(signals)
        self.assertTrue(any(b"2002 files" in m.body for m in signals))

    def test_an_idle_client_causes_no_wakeups(self):
        self.write("a", size=10)
        daemon = self.ready()
        client = self.peer()
        client.call("GetStatus")
        client.send("Wait", "aay", names("a"))
        client.read()
        other = self.peer()
        other.send("Wait", "aay", names("x" * 50))
        other.read()
        self.assert_sleeps(daemon)


if __name__ == "__main__":
    harness.main(jobs=8)
