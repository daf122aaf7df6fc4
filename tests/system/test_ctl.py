# SPDX-License-Identifier: GPL-2.0-or-later
"""shmstagectl as a person and a program meet it: against the daemon, without one, and against what is none."""

import json
import os
import re
import signal
import subprocess
import tempfile
import time

import harness
import terminal
import wire

PROGRAM = os.environ.get("SHMSTAGECTL", "/usr/bin/shmstagectl")
COMPLETIONS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "conf", "completions")
MIB = 1 << 20
NOBODY = 65534


class Case(harness.Case):
    def environment(self, **more):
        env = {**os.environ, "SHMSTAGED_SOCKET": os.path.join(self.runtime, "control"), "STATE_DIRECTORY": self.state, "LC_ALL": "C.UTF-8"}
        for name in ("NO_COLOR", "SYSTEMD_COLORS", "XDG_RUNTIME_DIR"):
            env.pop(name, None)
        return {**env, **more}

    def take_notifications(self):
        """Takes the notifications of all daemons: one whose socket is full would wait."""
        for daemon in self.daemons:
            daemon.pump()

    def finish(self, process, timeout=60):
        end = time.monotonic() + timeout * harness.LONG
        while process.poll() is None and time.monotonic() < end:
            self.take_notifications()
            time.sleep(0.005)
        self.assertIsNotNone(process.returncode, "%s does not end" % process.args)

    def ctl(self, *args, expect=0, user=None, **env):
        """A finished process with its output as text."""
        with tempfile.TemporaryFile("w+", errors="surrogateescape") as output, tempfile.TemporaryFile("w+", errors="surrogateescape") as errors:
            done = subprocess.Popen([PROGRAM, *args], stdout=output, stderr=errors, env=self.environment(**env), stdin=subprocess.DEVNULL, user=user)
            self.finish(done)
            output.seek(0)
            errors.seek(0)
            done.stdout, done.stderr = output.read(), errors.read()
        self.assertNotRegex(done.stderr, r"Sanitizer|runtime error")
        if expect is not None:
            self.assertEqual(done.returncode, expect, (args, done.stdout, done.stderr))
        return done

    def json(self, *args, expect=0, **options):
        return json.loads(self.ctl(*args, "--json", expect=expect, **options).stdout)

    def begin(self, *args, **env):
        """One that goes on meanwhile."""
        process = subprocess.Popen([PROGRAM, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL,
                                   env=self.environment(**env))

        def end():
            process.kill()
            process.communicate()
        self.addCleanup(end)
        return process

    def ended(self, process, expect):
        self.finish(process)
        output, errors = process.communicate()
        self.assertEqual(process.returncode, expect, output + errors)
        return output, errors

    def ready_and_idle(self):
        """A daemon that is ready and has nothing to do any more: right after READY=1 it may still end its round."""
        daemon = self.ready()
        self.wait_until(lambda: all(mirror["state"] == "idle" for mirror in self.json("status")["mirrors"]), "an idle mirror", daemon)
        return daemon

    def files(self, *names, size=1000):
        for name in names:
            self.write(name, size=size)

    def slow(self, **keys):
        """A daemon that stages for some ten seconds. A check that takes longer comes too late."""
        self.files("one.gguf", "two.gguf", size=5 * MIB)
        daemon = self.daemon(self.config(BandwidthLimit="1M", **keys))
        daemon.wait_status("Staging: [1-9]")
        return daemon

    def withheld(self):
        """A daemon that is degraded, because the bytes of "bad.gguf" are not what they were."""
        self.files("bad.gguf", "good.gguf")
        self.ready().stop()
        self.rot(os.path.join(self.source, "bad.gguf"))
        return self.ready()


class Status(Case):
    def test_a_ready_daemon_is_shown_and_the_exit_status_is_0(self):
        self.files("a.gguf", "sub/b.gguf")
        daemon = self.ready()
        lines = self.ctl("status").stdout.splitlines()
        self.assertEqual(lines[0], "● shmstaged: ready")
        self.assertIn("PID %d" % daemon.pid, lines[1])
        self.assertIn("● m: %s → %s" % (self.source, self.target), lines)
        self.assertRegex("\n".join(lines), r"In RAM: 2 files \(2 models\), 1.9K")
        self.assertEqual(self.ctl().stdout.splitlines()[0], lines[0], "without a command: status")
        self.assertIn("2000", self.ctl("status", "--bytes").stdout)

    def test_json_has_the_values_of_the_daemon(self):
        self.files("a.gguf")
        daemon = self.ready()
        status = self.json("status")
        self.assertEqual((status["daemon"]["state"], status["daemon"]["ready"], status["daemon"]["pid"]), ("ready", True, daemon.pid))
        self.assertEqual([(m["name"], m["files"], m["bytes"], m["ready"]) for m in status["mirrors"]], [("m", 1, 1000, True)])
        self.assertEqual(self.ctl("status", "--json=short").stdout.count("\n"), 1)
        self.assertEqual(self.ctl("status", "--json=off").stdout[0], "●")

    def test_while_it_stages_the_status_is_3_with_how_far_it_is(self):
        self.slow()
        done = self.ctl("status", expect=3)
        self.assertEqual(done.stdout.splitlines()[0], "● shmstaged: staging")
        self.assertRegex(done.stdout, r"(?m)^   Staging: \d+%, \S+ of 10M")
        self.assertFalse(self.json("status", expect=3)["mirrors"][0]["ready"])

    def test_degraded_stands_in_the_first_line_and_the_reason_below(self):
        self.withheld()
        done = self.ctl("status")
        self.assertEqual(done.stdout.splitlines()[0], "● shmstaged: degraded")
        self.assertRegex(done.stdout, r"(?m)^  Withheld: 1 .*\n +bad.gguf: .*XXH3")

    def test_of_many_files_some_are_shown_with_the_command_for_the_others(self):
        self.files(*("f%d.gguf" % i for i in range(9)), size=200 << 10)
        self.ready(self.config(Size="1M", OnNoRoom="skip"))
        out = self.ctl("status").stdout
        self.assertRegex(out, r"(?m)^   No room: \d ")
        self.assertRegex(out, r"list --state=skipped" if len(re.findall(r"(?m)^ {12}f\d.gguf", out)) == 5 else r"(?m)^ {12}f\d.gguf")

    def test_a_mirror_can_be_named(self):
        self.files("a.gguf")
        self.ready()
        self.assertIn("● m: ", self.ctl("status", "m").stdout)
        self.assertIn("No mirror 'n'", self.ctl("status", "m", "n", expect=4).stderr)

    def test_unsaved_files_are_shown_with_their_age(self):
        self.files("a.gguf")
        self.ready(self.config(SettleTime="1min"))
        self.write("new.txt", b"x", root=self.target)
        self.wait_until(lambda: "Unsaved:" in self.ctl("status").stdout, "an unsaved file")
        self.assertRegex(self.ctl("status").stdout, r"Unsaved: 1 file, 1B, not on disk yet")


class List(Case):
    def test_a_row_for_each_file(self):
        self.files("b.gguf", "a/x.bin")
        self.ready()
        rows = self.json("list")
        self.assertEqual([row["path"] for row in rows], ["a/x.bin", "b.gguf"])
        self.assertEqual({(row["mirror"], row["state"], row["size"], row["where"]) for row in rows}, {("m", "staged", 1000, "both")})
        self.assertEqual(rows[1]["digest"], self.digest(self.mirrored("b.gguf")))
        self.assertEqual(self.ctl("list", "m").stdout.splitlines()[0].split(), ["STATE", "SIZE", "WHERE", "METHOD", "PATH"])
        self.assertEqual(self.ctl("list", "--noheadings", "--output=path,size", "--bytes").stdout, "a/x.bin 1000\nb.gguf  1000\n")

    def test_models_have_rows_too(self):
        self.files("b.gguf", "a/x.gguf")
        self.ready()
        self.assertEqual([(row["name"], row["files"], row["ready"]) for row in self.json("list", "--models")], [("a/x", 1, 1), ("b", 1, 1)])
        self.assertEqual(self.ctl("list", "--models", "--noheadings", "--output=NAME,RAM").stdout, "a/x 1000B\nb   1000B\n")

    def test_states_can_be_chosen(self):
        self.withheld()
        self.assertEqual([(row["path"], row["state"]) for row in self.json("list", "--state=withheld,rejected")], [("bad.gguf", "withheld")])
        self.assertIn("XXH3", self.json("list", "--state=withheld")[0]["reason"])
        self.assertEqual(self.ctl("list", "--state=rejected").stdout, "")
        self.assertIn("States: staged waiting", self.ctl("list", "--state=good", expect=2).stderr)

    def test_names_that_are_not_text_stay_distinct_and_are_valid_json(self):
        names = [b"a\xff", b"a\xfe", b"line\nbreak", b"tab\there", b'quote"back\\slash', b"\x1b[31mred", "ünï-模型".encode(), b"\xe2\x80\xaeturned"]
        for name in names:
            with open(os.path.join(os.fsencode(self.source), name), "wb") as f:
                f.write(b"x")
        self.ready()
        paths = [row["path"] for row in self.json("list")]
        self.assertEqual(len(set(paths)), len(names))
        undone = [re.sub(rb"\\x([0-9a-f]{2})", lambda m: bytes([int(m[1], 16)]), path.encode()) for path in paths]
        self.assertEqual(sorted(undone), sorted(names))
        for locale in ("C.UTF-8", "C"):
            out = self.ctl("list", LC_ALL=locale).stdout
            self.assertEqual(len(out.splitlines()), 1 + len(names))
            self.assertTrue(all(line.isprintable() for line in out.splitlines()), out)
        self.assertIn("ünï-模型", self.ctl("list").stdout)
        self.assertTrue(self.ctl("list", LC_ALL="C").stdout.isascii())

    def test_a_list_of_more_than_a_page_is_whole(self):
        count = 10003
        for i in range(count):
            os.mknod(os.path.join(self.source, "%05d" % i))
        self.ready()
        out = self.ctl("list", "--noheadings", "--output=path").stdout
        self.assertEqual(out.split(), ["%05d" % i for i in range(count)])

    def test_columns_that_are_not_there_are_refused_with_those_that_are(self):
        for args in (("list",), ("list", "--models"), ("plan",)):
            done = self.ctl(*args, "--output=path,bogus", expect=2)
            self.assertRegex(done.stderr, r"(?s)'(bogus|path)'.*\n  mirror ")
            self.assertEqual(done.stdout, "")

    def test_on_a_terminal_no_row_is_wider_than_it_is_and_elsewhere_none_is_cut(self):
        name = "a-directory-with-a-name/that/%s/model-00001-of-00001.gguf" % ("goes-on-" * 20)
        self.files(name)
        self.ready()
        for args in (("list", "--output=+digest,reason"), ("list", "--models"), ("list",)):
            shown = terminal.Terminal(self, [PROGRAM, *args], 70, 24, env=self.environment(NO_COLOR="1"))
            self.assertEqual(shown.join(), 0)
            self.assertEqual([line for line in shown.sent.decode().split("\r\n") if len(line) > 70], [], args)
        self.assertIn(name, self.ctl("list").stdout)

    def test_a_reader_that_goes_early_is_no_error(self):
        self.files("a", "b", "c")
        self.ready()
        done = subprocess.run("%s list | head -n1" % PROGRAM, shell=True, capture_output=True, text=True, env=self.environment())
        self.assertEqual((done.returncode, done.stderr, done.stdout.split()[0]), (0, "", "STATE"))


class Wait(Case):
    def test_a_ready_model_is_not_waited_for(self):
        self.files("a.gguf", "sub/b.gguf")
        self.ready()
        for names in ((), ("a.gguf",), ("a",), ("sub",), ("m:a.gguf",), (self.mirrored("a.gguf"),), (os.path.join(self.source, "sub/b.gguf"), "a")):
            self.ctl("wait", "--timeout=0", *names)
        os.chdir(self.target)
        self.addCleanup(os.chdir, "/")
        self.ctl("wait", "--timeout=0", "./a.gguf", "./sub/../a.gguf")

    def test_one_model_is_ready_before_all(self):
        self.files("one.gguf", size=MIB)
        self.files("two.gguf", size=100 * MIB)
        self.daemon(self.config(BandwidthLimit="1M", Priority="one*")).wait_status("Staging")
        self.ctl("wait", "one", "--timeout=80s")
        self.ctl("wait", "two", "--timeout=100ms", expect=124)
        self.ctl("wait", "--timeout=0", expect=124)

    def test_a_daemon_that_is_not_there_yet_is_waited_for(self):
        self.files("a.gguf")
        waiting = self.begin("wait", "a.gguf", "--timeout=30s")
        time.sleep(0.5)
        self.assertIsNone(waiting.poll())
        self.ready()
        self.ended(waiting, 0)

    def test_a_daemon_that_is_restarted_is_waited_for(self):
        daemon = self.slow()
        waiting = self.begin("wait")
        time.sleep(0.5)
        daemon.kill()
        time.sleep(0.5)
        self.assertIsNone(waiting.poll())
        self.ready()
        self.ended(waiting, 0)

    def test_without_a_daemon_the_time_ends_it(self):
        begin = time.monotonic()
        done = self.ctl("wait", "--timeout=600ms", expect=124)
        self.assertGreaterEqual(time.monotonic() - begin, 0.6)
        self.assertIn("No daemon at", done.stderr)

    def test_an_impossible_wait_ends_with_the_reason(self):
        self.withheld()
        self.ctl("wait", "good", "--timeout=0")
        self.assertIn("XXH3", self.ctl("wait", "good", "bad.gguf", expect=1).stderr)
        self.assertIn("nonesuch", self.ctl("wait", "nonesuch", expect=1).stderr)

    def test_a_timeout_that_is_none_is_refused(self):
        for value in ("", "soon", "-1", "5 parsecs"):
            self.assertIn("--timeout=", self.ctl("wait", "--timeout=" + value, expect=2).stderr)


class Operate(Case):
    def test_ram_is_freed_and_comes_back(self):
        self.files("a.gguf", "b.gguf")
        self.ready()
        self.ctl("release", "a")
        self.assertEqual([row["path"] for row in self.json("list", "--state=released")], ["a.gguf"])
        self.assertFalse(os.path.exists(self.mirrored("a.gguf")))
        self.assertIn("Released: 1", self.ctl("status").stdout)
        self.assertIn("released", self.ctl("wait", "a", expect=1).stderr)
        result = self.json("stage", "a.gguf")
        self.assertEqual(result["result"], "done")
        self.assert_same_file("a.gguf")
        self.assertTrue(result["job"].startswith("/io/shmstaged/job/"))

    def test_unsaved_files_are_saved_at_once(self):
        self.files("a.gguf")
        self.ready(self.config(SettleTime="5min"))
        self.write("new.txt", b"x", root=self.target)
        self.wait_until(lambda: self.json("status")["mirrors"][0]["unsaved"] == 1, "an unsaved file")
        self.assertEqual(self.ctl("sync").stderr, "")
        self.assertEqual(self.read(os.path.join(self.source, "new.txt")), b"x")

    def test_the_report_of_a_job_is_printed_for_people_and_for_programs(self):
        self.files("a.gguf", "b.gguf")
        self.ready()
        self.assertRegex(self.ctl("verify").stdout, "^Mirror 'm': verified 2 files .* in RAM, 0 corrupted\n$")
        result = self.json("verify", "a")
        self.assertEqual((result["result"], len(result["report"])), ("done", 1))

    def test_a_withheld_file_is_accepted_as_it_is(self):
        self.withheld()
        self.assertIn("good", self.ctl("accept", "good.gguf", expect=1).stderr)
        self.ctl("accept", "bad.gguf")
        self.assert_same_file("bad.gguf")
        self.assertEqual(self.ctl("status").stdout.splitlines()[0], "● shmstaged: ready")

    def test_a_name_that_does_not_exist_is_refused(self):
        self.files("a.gguf")
        self.ready()
        for command in ("stage", "release", "accept", "verify"):
            for name in ("nonesuch", "/etc/passwd", "../../etc/passwd", "n:a.gguf", b"\xff\xfe"):
                done = self.ctl(command, name, expect=1)
                self.assertRegex(done.stderr, r"^Error: .", (command, name))
        self.assertEqual(self.names(), {"a.gguf"})

    def test_without_names_nothing_is_done_to_everything(self):
        for command in ("stage", "accept"):
            self.assertIn("--all", self.ctl(command, expect=2).stderr)
            self.assertIn("mutually exclusive", self.ctl(command, "--all", "x", expect=2).stderr)
        self.assertIn("arguments", self.ctl("release", expect=2).stderr)

    def test_the_configuration_is_read_again(self):
        self.files("a.gguf")
        config = self.config()
        self.ready(config)
        os.mkdir(self.path("other"))
        with open(config, "a") as f:
            f.write("[Mirror n]\nSource=%s\nTarget=%s\n" % (self.path("other"), self.path("target-n")))
        self.ctl("reload")
        self.assertEqual([m["name"] for m in self.json("status")["mirrors"]], ["m", "n"])
        with open(config, "a") as f:
            f.write("Size=much\n")
        done = self.ctl("reload", expect=1)
        self.assertIn("Size=much", done.stderr)

    def test_a_job_need_not_be_waited_for(self):
        self.slow()
        for option in ("--no-block", "--no-wait"):
            result = self.json("reload", option)
            self.assertIsNone(result["result"])

    def test_a_daemon_that_ends_meanwhile_is_reported(self):
        daemon = self.slow()
        waiting = self.begin("reload")
        self.wait_until(lambda: self.json("status", expect=3)["daemon"]["jobs"] == 1, "the job")
        daemon.kill()
        self.assertIn("Lost the connection", self.ended(waiting, 1)[1])

    def test_a_stop_is_reported(self):
        daemon = self.slow()
        waiting = self.begin("reload")
        self.wait_until(lambda: self.json("status", expect=3)["daemon"]["jobs"] == 1, "the job")
        daemon.signal(signal.SIGTERM)
        self.assertRegex(self.ended(waiting, 1)[1], "(?i)stop|Lost the connection")
        daemon.join()


class Rights(Case):
    def test_all_users_may_read(self):
        self.files("a.gguf")
        self.ready()
        os.chmod(self.runtime, 0o755)
        self.assertEqual(self.ctl("status", user=NOBODY).stdout.splitlines()[0], "● shmstaged: ready")
        self.assertEqual(len(self.json("list", user=NOBODY)), 1)
        self.ctl("wait", "a", user=NOBODY)
        self.assertIn("# HELP", self.ctl("metrics", user=NOBODY).stdout)

    def test_other_users_change_nothing_and_learn_who_may(self):
        self.files("a.gguf")
        daemon = self.ready()
        inode = self.inode("a.gguf")
        for args in (("stage", "a"), ("release", "a"), ("accept", "a"), ("sync",), ("verify",), ("reload",)):
            done = self.ctl(*args, user=NOBODY, expect=1)
            self.assertIn("uid %d may not" % NOBODY, done.stderr)
            self.assertIn("io.shmstaged.manage", done.stderr)
        self.assertEqual((self.inode("a.gguf"), self.json("status")["daemon"]["jobs"]), (inode, 0))
        daemon.stop()

    def test_an_ordinary_user_controls_an_instance_of_their_own(self):
        runtime = self.path("xdg")
        for path in (runtime, runtime + "/shmstaged", self.state, self.source, self.target):
            os.makedirs(path, exist_ok=True)
            os.chown(path, NOBODY, NOBODY)
        self.files("a.gguf")
        os.chown(os.path.join(self.source, "a.gguf"), NOBODY, NOBODY)
        self.ready(user=NOBODY, env={"RUNTIME_DIRECTORY": runtime + "/shmstaged", "XDG_RUNTIME_DIR": runtime})
        environment = {"SHMSTAGED_SOCKET": "", "XDG_RUNTIME_DIR": runtime}
        self.assertEqual(self.json("status", user=NOBODY, **environment)["daemon"]["state"], "ready")
        self.ctl("reload", user=NOBODY, **environment)


class Bus(Case):
    """Over a system bus, which is one of our own here."""

    def bus(self):
        path, config = self.path("bus"), self.path("bus.conf")
        with open(config, "w") as f:
            f.write("""<busconfig><type>system</type><listen>unix:path=%s</listen><auth>EXTERNAL</auth><policy context="default">
                       <allow user="*"/><allow own="*"/><allow send_destination="*"/><allow send_type="method_call"/><allow receive_sender="*"/>
                       </policy></busconfig>""" % path)
        process = subprocess.Popen(["dbus-daemon", "--nofork", "--nopidfile", "--nosyslog", "--config-file=" + config], stdin=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.wait_until(lambda: os.path.exists(path), "the bus")
        return {"DBUS_SYSTEM_BUS_ADDRESS": "unix:path=" + path}

    def test_all_goes_over_the_system_bus_too(self):
        self.files("a.gguf")
        env = self.bus()
        self.assertIn("No daemon on the system bus", self.ctl("status", "--system-bus", expect=3, **env).stdout)
        waiting = self.begin("wait", "a", "--system-bus", "--timeout=20s", **env)
        self.ready(env=env)
        self.ended(waiting, 0)
        self.assertEqual(self.json("status", "--system-bus", **env)["daemon"]["state"], "ready")
        self.assertEqual(len(self.json("list", "--system-bus", user=NOBODY, **env)), 1)
        self.assertEqual(self.json("reload", "--system-bus", **env)["result"], "done")

    def test_a_user_without_rights_on_the_socket_is_authorized_on_the_bus(self):
        self.files("a.gguf")
        env = self.bus()
        self.ready(env=env)
        # the name on the bus is asked for and may come a moment after READY=1
        self.wait_until(lambda: self.ctl("list", "--system-bus", expect=None, **env).returncode == 0, "the daemon on the bus")
        # without polkit there the answer is no again, with what to do about it
        done = self.ctl("release", "a", user=NOBODY, expect=1, **env)
        self.assertRegex(done.stderr, r"uid %d may not .* on the system bus; .*io\.shmstaged\.manage" % NOBODY)
        self.assertTrue(os.path.exists(self.mirrored("a.gguf")))


class NoDaemon(Case):
    """Without a daemon, and with something else in its place."""

    commands = (("list",), ("list", "--models"), ("metrics",), ("stage", "a"), ("release", "a"), ("accept", "a"), ("sync",), ("verify",), ("reload",))

    def test_a_missing_daemon_is_reported_with_the_way_to_start_it(self):
        for args in self.commands:
            done = self.ctl(*args, expect=1)
            self.assertIn("systemctl start shmstaged.service", done.stderr)
            self.assertEqual(done.stdout, "")
        done = self.ctl("status", expect=3)
        self.assertEqual(done.stdout.splitlines()[0], "○ shmstaged: not running")
        self.assertIn("systemctl start shmstaged.service", done.stdout)
        self.assertEqual(self.json("status", expect=3)["mirrors"], [])

    def test_a_socket_without_a_listener_is_no_daemon(self):
        self.files("a.gguf")
        self.ready().kill()
        self.assertTrue(os.path.exists(os.path.join(self.runtime, "control")))
        self.ctl("status", expect=3)

    def test_a_file_that_is_not_a_socket_is_no_daemon(self):
        for path in (self.source, self.write("plain", b""), self.path("a" * 150), self.path("none/such")):
            done = self.ctl("status", "--socket=" + path, expect=None)
            self.assertIn(done.returncode, (3, 4))
            self.assertIn(path[:40], done.stdout + done.stderr)

    def test_a_foreign_peer_is_reported_and_does_not_delay_the_command(self):
        peers = [wire.Peer(self, self.path(mode), mode) for mode in ("close", "garbage", "silent")]
        for peer, process in [(peer, self.begin("status", "--socket=" + self.path(peer.mode))) for peer in peers]:
            errors = self.ended(process, 4)[1]
            self.assertRegex(errors, r"^Error: The process that listens at '%s' is not shmstaged" % self.path(peer.mode))

    def test_a_daemon_of_another_version_is_reported_with_both_versions(self):
        path = self.path("old")
        wire.Peer(self, path, "old")
        ours = self.ctl("--version").stdout.split()[1]
        for args in (*self.commands, ("wait",)):
            done = self.ctl(*args, "--socket=" + path, expect=1)
            self.assertRegex(done.stderr, r"version 9\.9\.9.*%s" % re.escape(ours))
        self.assertIn("9.9.9", self.ctl("status", "--socket=" + path, expect=4).stderr)

    def test_a_missing_system_bus_is_reported(self):
        bus = "unix:path=" + self.path("no-bus")
        self.assertIn("system bus", self.ctl("status", "--system-bus", expect=4, SHMSTAGED_SOCKET="", DBUS_SYSTEM_BUS_ADDRESS=bus).stderr)

    def test_bad_arguments_are_refused(self):
        for args in (("bogus",), ("--bogus",), ("sync", "x"), ("status", "--models"), ("list", "--watch"), ("--json=xml",), ("--socket=",),
                     ("--socket=/x", "--system-bus"), ("plan", "--config=/x", "--root=/y"), ("list", "--timeout=5s"), ("--output",), ("metrics", "--json"),
                     ("wait", "--json"), ("sync", "--output=path"), ("status", "--noheadings")):
            done = self.ctl(*args, expect=2)
            self.assertEqual(done.stdout, "")
            self.assertNotEqual(done.stderr, "")


class Files(Case):
    """What needs no daemon."""

    def tree(self):
        root = self.path("root")
        os.makedirs(root + "/etc/shmstaged.conf.d")
        os.makedirs(root + "/usr/lib/shmstaged.conf.d")
        for name, content in (("etc/shmstaged.conf", "[Mirror m]\nSource=/a"), ("etc/shmstaged.conf.d/20-x.conf", "[Mirror m]\nTarget=/b\n"),
                              ("usr/lib/shmstaged.conf.d/10-y.conf", "# nothing\n"), ("usr/lib/shmstaged.conf.d/20-x.conf", "masked\n")):
            with open(os.path.join(root, name), "w") as f:
                f.write(content)
        os.symlink("/dev/null", root + "/etc/shmstaged.conf.d/30-z.conf")
        return root

    def test_the_files_are_shown_as_systemd_shows_them(self):
        root = self.tree()
        theirs = subprocess.run(["systemd-analyze", "cat-config", "--root=" + root, "shmstaged.conf"], capture_output=True, text=True, check=True)
        self.assertIn("10-y.conf", theirs.stdout)
        self.assertEqual(self.ctl("cat-config", "--root=" + root).stdout, theirs.stdout)

    def test_the_effective_configuration_is_that_of_the_daemon(self):
        root = self.tree()
        self.assertEqual(self.ctl("cat-config", "--effective", "--root=" + root).stdout, self.run_tool("--check-config", "--root=" + root).stdout)
        path = self.config(Size="much")
        self.assertIn("Size=much", self.ctl("cat-config", "--effective", "--config=" + path, expect=1).stderr)
        self.assertEqual(self.ctl("cat-config", "--config=" + path).stdout, "# %s\n" % path + self.read(path).decode())
        self.assertIn("No such file", self.ctl("cat-config", "--config=/none/such", expect=1).stderr)

    def test_no_files_are_no_error(self):
        os.mkdir(self.path("empty"))
        self.assertIn("default", self.ctl("cat-config", "--root=" + self.path("empty")).stdout)

    def test_a_plan_lists_the_work_and_whether_it_fits(self):
        self.files("a.gguf", "sub/b.gguf")
        config = self.config()
        done = self.ctl("plan", "--config=" + config)
        self.assertRegex(done.stdout, r"(?m)^stage +1000B a.gguf$")
        self.assertTrue(done.stdout.endswith("It fits\n"))
        mirror = self.json("plan", "--config=" + config)[0]
        self.assertEqual([(i["action"], i["size"], i["path"]) for i in mirror["items"]], [("stage", 1000, "a.gguf"), ("stage", 1000, "sub/b.gguf")])
        self.assertTrue(mirror["fits"] and any(room["decides"] for room in mirror["room"]))
        self.assertFalse(os.path.exists(self.target), "nothing is made")

    def test_a_plan_that_does_not_fit_exits_with_1_and_shows_how_much_is_missing(self):
        self.files("a.gguf", size=3 * MIB)
        config = self.config(Size="1M")
        self.assertIn("Insufficient space", self.ctl("plan", "--config=" + config, expect=1).stdout)
        mirror = self.json("plan", "--config=" + config, expect=1)[0]
        self.assertFalse(mirror["fits"])
        self.assertGreaterEqual(mirror["short_bytes"], 2 * MIB)

    def test_a_plan_that_cannot_be_made_reports_why(self):
        os.rmdir(self.source)
        config = self.config()
        self.assertIn(self.source, self.ctl("plan", "--config=" + config, expect=1).stderr)
        self.assertIn("Failed to open the source", self.json("plan", "--config=" + config, expect=1)[0]["problem"])
        self.assertIn("No mirror 'x'", self.ctl("plan", "x", "--config=" + config, expect=2).stderr)


class Watch(Case):
    def watch(self, *args, columns=80, rows=24, **env):
        return terminal.Terminal(self, [PROGRAM, "status", "--watch", *args], columns, rows, env=self.environment(**env))

    def test_it_draws_in_place_and_leaves_the_terminal_as_it_was(self):
        self.slow()
        watch = self.watch()
        watch.wait_for(r"Staging: █*\S+ [3-9]\d%")
        first = watch.screen()
        watch.wait(lambda: watch.screen() != first, "progress")
        lines, alternate, visible = watch.shown()
        self.assertTrue(alternate and not visible)
        self.assertEqual(sum("shmstaged:" in line for line in lines), 1)
        self.assertNotEqual(watch.settings(), watch.before, "what is typed is not shown")
        watch.type(b"\x03")
        self.assertEqual(watch.join(), -signal.SIGINT)
        lines, alternate, visible = watch.shown()
        self.assertEqual((alternate, visible, watch.settings()), (False, True, watch.before))
        self.assertIn("● shmstaged: staging", lines, "what was last to be seen stays")

    def test_q_ends_it_with_the_status_of_status(self):
        self.files("a.gguf")
        self.ready()
        watch = self.watch()
        watch.wait_for("shmstaged: ready")
        watch.type(b"xq")
        self.assertEqual(watch.join(), 0)
        self.assertEqual(watch.settings(), watch.before)

    def test_it_follows_the_size_of_the_window(self):
        self.slow()
        watch = self.watch(columns=40, rows=8)
        watch.wait_for(r"(?s)shmstaged: staging.*\d+ more lines")
        watch.size(120, 30)
        watch.wait_for("Source: healthy")
        watch.size(20, 3)
        watch.wait_for("more lines")

    def test_a_daemon_that_comes_and_goes_is_seen(self):
        self.files("a.gguf")
        watch = self.watch()
        watch.wait_for("not running")
        daemon = self.ready()
        watch.wait_for("shmstaged: ready")
        daemon.stop()
        watch.wait_for("not running")
        watch.type(b"q")
        self.assertEqual(watch.join(), 3)

    def test_a_change_is_seen_without_a_clock(self):
        self.files("a.gguf")
        self.ready()
        watch = self.watch()
        watch.wait_for(r"In RAM: 1 file ")
        self.wait_for_rest(lambda: len(watch.sent), 2, "it draws while nothing happens", watch)
        self.files("b.gguf")
        watch.wait_for(r"In RAM: 2 files ")

    def test_it_is_stopped_and_goes_on_like_any_program(self):
        self.files("a.gguf")
        self.ready()
        watch = self.watch()
        watch.wait_for("shmstaged: ready")
        watch.process.send_signal(signal.SIGTSTP)
        watch.wait(lambda: not watch.shown()[1] and watch.settings() == watch.before, "the terminal as it was")
        watch.process.send_signal(signal.SIGCONT)
        watch.wait(lambda: watch.shown()[1], "its screen")
        watch.wait_for("shmstaged: ready")

    def test_colours_and_letters_are_those_that_are_wanted(self):
        self.files("a.gguf")
        self.ready()
        for env, colours, unicode in (({}, True, True), ({"NO_COLOR": "1"}, False, True), ({"SYSTEMD_COLORS": "0"}, False, True),
                                      ({"NO_COLOR": "1", "SYSTEMD_COLORS": "1"}, True, True), ({"LC_ALL": "C"}, True, False)):
            shown = terminal.Terminal(self, [PROGRAM, "status"], env=self.environment(**env))
            self.assertEqual(shown.join(), 0)
            self.assertEqual((b"\x1b[0;1;32m" in shown.sent, not shown.sent.isascii()), (colours, unicode), env)
        self.assertNotIn("\x1b", self.ctl("status").stdout)

    def test_elsewhere_it_prints_a_line_when_something_has_changed(self):
        self.files("a.gguf")
        daemon = self.ready_and_idle()
        watch = self.begin("status", "--watch")
        jsons = self.begin("status", "--watch", "--json=short")
        first = watch.stdout.readline(), watch.stdout.readline()
        states = [json.loads(jsons.stdout.readline())["daemon"]["state"]]
        self.assertEqual((first, states), (("shmstaged: ready\n", "m: ready; 1 file, 1000B in RAM\n"), ["ready"]))
        daemon.stop()
        lines = []
        while not lines or not re.search("No daemon at|Lost the connection", lines[-1]):
            lines.append(watch.stdout.readline())
            self.assertTrue(lines[-1], lines)
        while states[-1] != "not-running":
            states.append(json.loads(jsons.stdout.readline())["daemon"]["state"])
        time.sleep(1.5)  # now nothing changes any more
        watch.send_signal(signal.SIGTERM)
        jsons.send_signal(signal.SIGTERM)
        lines += self.ended(watch, -signal.SIGTERM)[0].splitlines()
        self.assertRegex(lines[-1], "No daemon at|Lost the connection")
        self.assertLess(len(lines), 10)
        self.assertNotIn("\x1b", "".join(lines))
        states += [json.loads(line)["daemon"]["state"] for line in self.ended(jsons, -signal.SIGTERM)[0].splitlines()]
        self.assertEqual(states[-1], "not-running")

    def test_it_ends_when_its_output_is_no_longer_read(self):
        self.files("a.gguf")
        self.ready()
        watch = self.begin("status", "--watch")
        self.assertEqual(watch.stdout.readline(), "shmstaged: ready\n")
        watch.stdout.close()
        self.assertEqual(watch.wait(timeout=20 * harness.LONG), -signal.SIGPIPE)

    def test_a_job_shows_how_far_it_is(self):
        self.slow()
        job = terminal.Terminal(self, [PROGRAM, "reload"], env=self.environment())
        job.wait(lambda: b"Reloading" in job.sent, "progress", timeout=30)
        job.type(b"\x03")
        self.assertEqual(job.join(), -signal.SIGINT)


BASH = r"""
. /usr/share/bash-completion/bash_completion
. "$1"
compopt() { :; }
shift
# as readline splits it: = is a word of its own
COMP_WORDS=()
for word; do
    if [[ $word == --*=* ]]; then
        COMP_WORDS+=("${word%%=*}" "=")
        [[ ${word#*=} ]] && COMP_WORDS+=("${word#*=}")
    else
        COMP_WORDS+=("$word")
    fi
done
COMP_LINE="$*" COMP_POINT=${#COMP_LINE} COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_shmstagectl
(( ${#COMPREPLY[@]} )) && printf '%s\n' "${COMPREPLY[@]}"
"""

ZSH = r"""
fpath=("$1" $fpath)
autoload -Uz compinit && compinit -u -D
# the candidates, as they would be offered
compadd() {
    local -a found
    builtin compadd -O found "$@"
    (( $#found )) && print -rl -- $found >>"$CANDIDATES"
    builtin compadd "$@"
}
zmodload zsh/zle
"""


class Completion(Case):
    def bash(self, *words):
        done = subprocess.run(["bash", "-c", BASH, "bash", os.path.join(COMPLETIONS, "shmstagectl.bash"), *words], capture_output=True, text=True,
                              env=self.environment(PATH=os.path.dirname(PROGRAM) + ":" + os.environ["PATH"]))
        self.assertEqual(done.stderr, "")
        return done.stdout.splitlines()

    def test_bash_completes_commands_options_columns_and_names(self):
        self.files("a.gguf", "dir/b.gguf", "odd name.gguf", "$(touch x).gguf")
        self.ready()
        self.assertEqual(sorted(self.bash("shmstagectl", "s")), ["stage", "status", "sync"])
        self.assertEqual(self.bash("shmstagectl", "list", "--mo"), ["--models"])
        self.assertEqual(self.bash("shmstagectl", "sync", "--mo"), [])
        self.assertEqual(self.bash("shmstagectl", "list", "--output=path,d"), ["path,digest"])
        self.assertEqual(self.bash("shmstagectl", "list", "--models", "--output=ra"), ["ram"])
        self.assertEqual(self.bash("shmstagectl", "list", "--state=w"), ["waiting", "withheld"])
        self.assertEqual(self.bash("shmstagectl", "status", ""), ["m"])
        self.assertEqual(self.bash("shmstagectl", "stage", "a"), ["a", "a.gguf"])
        self.assertEqual(self.bash("shmstagectl", "stage", "dir/b.g"), ["dir/b.gguf"])
        self.assertEqual(self.bash("shmstagectl", "stage", "odd"), ["odd\\ name", "odd\\ name.gguf"])
        self.assertIn("\\$\\(touch\\ x\\).gguf", self.bash("shmstagectl", "stage", "$"))

    def test_bash_gives_up_where_there_is_no_daemon(self):
        path = self.path("silent")
        wire.Peer(self, path, "silent")
        for words in (("stage", "a"), ("--socket=" + path, "status", "")):
            begin = time.monotonic()
            self.assertEqual(self.bash("shmstagectl", *words), [])
            self.assertLess(time.monotonic() - begin, 5 * harness.LONG)

    def zsh(self, line, wanted):
        """What zsh offers for a line, as a terminal shows it, when all that is wanted has come, or does not."""
        shell = terminal.Terminal(self, ["zsh", "-f", "-i"], 200, 60,
                                  env=self.environment(PATH=os.path.dirname(PROGRAM) + ":" + os.environ["PATH"], PS1="", TERM="dumb"))
        shell.type(b"PROMPT= fpath=(%s $fpath); autoload -Uz compinit; compinit -u -D; LISTMAX=10000; unsetopt zle; echo rea''dy\n" %
                   os.fsencode(COMPLETIONS))
        shell.wait(lambda: b"ready\r\n" in shell.sent, "zsh")
        shell.type(b"setopt zle; bindkey '^I' list-choices; echo aga''in\n")
        shell.wait(lambda: b"again\r\n" in shell.sent, "zsh")
        shell.pump(0.3)
        start = len(shell.sent)
        shell.type(line.encode() + b"\t")

        def offered():
            return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00\x07\x08]", "", shell.sent[start:].decode(errors="replace")).replace(line, "")
        end = time.monotonic() + 20 * harness.LONG
        while time.monotonic() < end and not all(word in offered() for word in wanted):
            shell.pump(0.1)
            self.take_notifications()
        shell.pump(0.5)
        return offered()

    def test_zsh_completes_commands_options_columns_and_names(self):
        self.files("a.gguf", "dir/b.gguf")
        self.ready()
        for line, wanted, unwanted in (("shmstagectl st", ("stage", "status"), "sync"), ("shmstagectl list --output=", ("digest", "where"), "files"),
                                       ("shmstagectl list --models --output=", ("ram", "files"), "digest"),
                                       ("shmstagectl wait --", ("--timeout", "--socket"), "--models"), ("shmstagectl stage ", ("a.gguf", "dir/b"), "status")):
            offered = self.zsh(line, wanted)
            for word in wanted:
                self.assertIn(word, offered, line)
            self.assertNotIn(unwanted, offered, line)


class Metrics(Case):
    def test_they_are_as_the_daemon_has_them(self):
        self.files("a.gguf")
        self.ready()
        out = self.ctl("metrics").stdout
        self.assertIn('shmstaged_files{mirror="m"} 1\n', out)
        self.assertIn("# HELP shmstaged_ready ", out)


if __name__ == "__main__":
    harness.main(jobs=4)
