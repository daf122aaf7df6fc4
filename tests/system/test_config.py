# SPDX-License-Identifier: GPL-2.0-or-later
"""The configuration and the command line, as a person meets them."""

import os
import random
import re
import signal
import subprocess

import harness

# For every key values that must not be taken. That no key is missing here is tested too.
BAD_VALUES = {
    "Workers": ["0", "65", "-1", "2.5", "many", "1 2", "99999999999999999999"],
    "ReserveMemory": ["-1", "96%", "100%", "10 %", "1Q", "lots", "99999999999T", "1.2.3%"],
    "MetricsFile": ["metrics.prom", "./m", "/", "/a/../b", "/a\x01b", "/x" * 2100],
    "Source": ["models", "./models", "/", "/a/../b", "/a\x01b", "/" + "x" * 256, "/x" * 2100, "//"],
    "Target": ["models", "/", "/..", "/a/../b", "/\x7f", "/" + "x" * 256, "/\xff\xfe"],
    "Size": ["0", "1", "1023K", "0%", "101%", "-5G", "12X", "99999999999999999999", "16777217T"],
    "HugePages": ["yes", "Always", "2M", "within-size"],
    "NUMAPolicy": ["Auto", "auto:0", "bind", "bind:", "bind:1-", "bind:3-1", "prefer:0-1", "interleave:x", "bind:9999", "0"],
    "Swap": ["maybe", "2", "yes no"],
    "Include": ["\"unclosed", "''", "a\\q"],
    "Exclude": ["\"unclosed", "''", "a\\q"],
    "Priority": ["\"unclosed", "''", "a\\q"],
    "OnNoRoom": ["ignore", "Fail", "fail skip"],
    "OnCorrupt": ["keep", "WITHHOLD"],
    "CopyMethod": ["Auto", "mmap", "direct sendfile", "O_DIRECT"],
    "ChunkSize": ["0", "1", "63K", "65537", "100000", "1025M", "2G", "-16M", "sixteen"],
    "BandwidthLimit": ["0", "1", "63K", "63999", "-1M", "10%", "100MB", "1.5M", "none", "Off", "fast", "99999999T", "99999999999999999999", "100 M"],
    "WatchSource": ["sometimes", "3"],
    "PollInterval": ["-1", "10ms", "999ms", "25h", "soon", "1 fortnight"],
    "SettleTime": ["-1", "61min", "2h", "x", "5 5"],
    "RemoveOnStop": ["never", "10"],
    "WriteBack": ["auto", "2", "trash"],
    "Layout": ["Ollama", "hf", "llama.cpp", "auto plain"],
    "Models": ["\"unclosed", "''", "/llama3.1", "org/name/", "org//name", "../name", "a\\q", "a/./b"],
    "Deletes": ["yes", "Trash", "trash keep", "delete"],
    "TrashKeep": ["-1", "never", "101y", "1 fortnight", "infinity 2d", "99999999999999999999"],
    "MassDeleteLimit": ["3", "25%", "3 25", "3% 25%", "3 101%", "3 25.5%", "-3 25%", "3,25%", "3 25% off", "99999999999 25%"],
    "SweepDelay": ["0", "999ms", "infinity", "-1h", "101y", "off"],
    "Scrub": ["weekly", "999ms", "infinity", "-1d", "366d", "yes 1d"],
    "Engines": ["ollama", "a.mount", "a@.service", "@.service", "a b.service", "x/y.service", "a" * 260 + ".service"],
}


class CheckConfig(harness.Case):
    def text(self, text):
        path = self.path("conf-%d" % self.count())
        with open(path, "wb") as f:
            f.write(text if isinstance(text, bytes) else text.encode(errors="surrogateescape"))
        return path

    def check(self, text, expect=None):
        path = self.text(text)
        done = self.run_tool("--check-config", config=path, expect=expect)
        self.assertNotRegex(done.stderr, r"Sanitizer|runtime error")
        return path, done

    def paths(self):
        return "Source=%s\nTarget=%s\n" % (self.source, self.target)

    def test_the_output_of_check_config_loads_back_equal(self):
        everything = """
[Daemon]
Workers=7
ReserveMemory=1536M
[Mirror one]
Source=/data/with blank \nTarget=/dev/shm/ü
Size=12.5%
HugePages=never
NUMAPolicy=bind:0-3,5
Swap=yes
Include="a b/*" c\\x20d
Exclude=*.tmp
Exclude=x y
Priority='it''s' z
OnNoRoom=link
OnCorrupt=fail
ChunkSize=64K
WatchSource=no
PollInterval=off
SettleTime=1min 500ms
RemoveOnStop=no
WriteBack=no
Layout=ollama
Models=llama3.1:70b hf.co/org/name:*
Models='odd name' qwen?
Deletes=propagate
TrashKeep=2w 1h
MassDeleteLimit=50% 10
SweepDelay=90min
Scrub=yes
Engines=ollama.service llama@a\\x2db.service
[Mirror two]
Source=/data/two
Target=/dev/shm/two
Size=3G
TrashKeep=infinity
MassDeleteLimit=off
"""
        first = self.check(everything, expect=0)[1]
        second = self.check(first.stdout, expect=0)[1]
        self.assertEqual(first.stdout, second.stdout)
        self.assertEqual(first.stderr + second.stderr, "")
        for line in ("Workers=7", "ReserveMemory=1536M", "[Mirror two]", "Size=12.5%", "PollInterval=off",
                     "Engines=ollama.service llama@a\\x2db.service", "Layout=ollama", "WriteBack=no", "Deletes=propagate",
                     "Models=llama3.1:70b hf.co/org/name:* \"odd name\" qwen?", "TrashKeep=14d 1h", "TrashKeep=infinity",
                     "MassDeleteLimit=10 50%", "MassDeleteLimit=off", "SweepDelay=1h 30min", "Scrub=7d"):
            self.assertIn(line + "\n", first.stdout)
        self.assertEqual(first.stdout.count("\nSource="), 2)

    def test_without_a_mirror_the_defaults_are_the_mission(self):
        done = self.check("", expect=0)[1]
        for line in ("Source=/data/models", "Target=/dev/shm/models", "OnNoRoom=fail", "OnCorrupt=withhold", "WriteBack=yes", "Layout=auto",
                     "Models=", "Deletes=trash", "TrashKeep=7d", "MassDeleteLimit=3 25%", "SweepDelay=1h", "Scrub=no"):
            self.assertIn(line + "\n", done.stdout)

    def test_every_key_refuses_values_out_of_range_with_file_and_line(self):
        known = set(re.findall(r"^(\w+)=", self.check("", expect=0)[1].stdout, re.M))
        self.assertEqual(known, set(BAD_VALUES), "every key has its bad values here")
        for key, values in BAD_VALUES.items():
            # one file for all values of a key, each error in its own line
            section = "[Daemon]" if key in ("Workers", "ReserveMemory", "MetricsFile") else "[Mirror m]"
            text = section + "\n" + "".join("# %d\n%s=%s\n" % (i, key, v) for i, v in enumerate(values))
            path, done = self.check(text.encode("latin-1"), expect=78)
            lines = done.stderr.splitlines()
            self.assertEqual(len(lines), len(values), done.stderr)
            for i, line in enumerate(lines):
                self.assertTrue(line.startswith("Error: %s:%d: %s=" % (path, 3 + 2 * i, key)), (line, values[i]))
                self.assertIn(": must be ", line)
                self.assertTrue(line.isprintable(), line)
            self.assertEqual(done.stdout, "")

    def test_a_wrong_configuration_starts_nothing(self):
        path = self.text("[Mirror m]\n%sSize=small\n" % self.paths())
        daemon = self.daemon(path)
        self.assertEqual(daemon.join(), 78)
        self.assertIn("%s:4: Size=small: must be" % path, daemon.log())
        self.assertFalse(os.path.exists(self.target))
        self.assertFalse(daemon.notified("READY"))
        self.run_tool("--plan", config=path, expect=78)

    def test_all_errors_are_reported_at_once_and_in_order(self):
        path, done = self.check("[Daemon]\nWorkers=x\n[Mirror a b]\n[Mirror m]\nSize=x\nhello\n=5\n[Mirror\n", expect=78)
        found = [int(n) for n in re.findall(re.escape(path) + r":(\d+):", done.stderr)]
        self.assertEqual(found, [2, 3, 5, 6, 7, 8], done.stderr)

    def test_a_file_that_is_not_ini_is_refused(self):
        cases = {
            "prose": b"Dear daemon,\nplease stage my models.\n",
            "xml": b"<?xml version=\"1.0\"?>\n<mirror source=\"/a\"/>\n",
            "json": b"{ \"mirrors\": [ ] }\n",
            "elf": b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0" * 50,
            "utf16": "[Mirror m]\nSource=/a\n".encode("utf-16"),
            "key before section": b"Source=/a\n[Mirror m]\n",
        }
        for name, content in cases.items():
            with self.subTest(name):
                path, done = self.check(content, expect=78)
                self.assertRegex(done.stderr, r"^Error: %s:\d+: " % re.escape(path))
                self.assertLessEqual(len(done.stderr.splitlines()), 60)

    def test_a_file_that_cannot_be_read_is_named(self):
        for path, words in ((self.path("nothing"), "No such file or directory"), (self.source, "Is a directory")):
            done = self.run_tool("--check-config", config=path, expect=78)
            self.assertIn(path, done.stderr)
            self.assertIn(words, done.stderr)
            self.assertEqual(len(done.stderr.splitlines()), 1)

    def test_paths_that_overlap_are_refused(self):
        def mirrors(*pairs):
            return "".join("[Mirror m%d]\nSource=%s\nTarget=%s\n" % (i, s, t) for i, (s, t) in enumerate(pairs))

        for name, pairs, line in (
                ("the same", [("/a", "/a")], 3),
                ("target inside source", [("/a", "/a/b")], 3),
                ("source inside target", [("/a/b", "/a")], 3),
                ("spelt differently", [("/a/./b//", "/a/b/c")], 3),
                ("two on one target", [("/a", "/t"), ("/b", "/t")], 6),
                ("nested targets", [("/a", "/t"), ("/b", "/t/u")], 6),
                ("nested targets, in the reverse order", [("/a", "/t/u"), ("/b", "/t")], 6),
                ("a mirror of a mirror", [("/a", "/t"), ("/t", "/u")], 5),
                ("a mirror of a part of a mirror", [("/a", "/t"), ("/t/x", "/u")], 5),
                ("target inside another's source", [("/a", "/t"), ("/b", "/a/x")], 6)):
            with self.subTest(name):
                path, done = self.check(mirrors(*pairs), expect=78)
                self.assertIn("%s:%d: " % (path, line), done.stderr)
                self.assertIn("must not overlap", done.stderr)
                self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.check(mirrors(("/a", "/t"), ("/a/b", "/u")), expect=0)  # of two sources neither is in the other's way
        self.check(mirrors(("/a", "/ab"), ("/b", "/a-b")), expect=0)

    def test_a_setting_in_the_wrong_section_is_an_error(self):
        done = self.check("[Daemon]\nSource=/a\n[Mirror m]\nWorkers=3\n", expect=78)[1]
        self.assertIn("Source= belongs in section [Mirror NAME], not in [Daemon]", done.stderr)
        self.assertIn("Workers= belongs in section [Daemon], not in [Mirror NAME]", done.stderr)

    def test_an_unknown_key_or_section_is_a_warning_and_the_daemon_runs(self):
        self.write("a", b"x")
        path = self.text("[Mirror m]\n%sSize=64M\nColour=blue\nsettletime=1s\n[Colours]\nSky=blue\n" % self.paths())
        done = self.run_tool("--check-config", config=path, expect=0)
        self.assertEqual(done.stderr.splitlines(), [
            "Warning: %s:5: Unknown key Colour= in section [Mirror m], ignored" % path,
            "Warning: %s:6: Unknown key settletime= in section [Mirror m], ignored; did you mean SettleTime=?" % path,
            "Warning: %s:7: Unknown section [Colours], ignored" % path])
        daemon = self.ready(path)
        self.assertIn(":5: Unknown key Colour=", daemon.log())
        daemon.stop()

    def test_garbage_never_crashes(self):
        seed = 20240229
        dice = random.Random(seed)
        good = self.run_tool("--check-config", config=self.text("[Mirror a]\nSource=/a\nTarget=/b\n"), expect=0).stdout.encode()
        words = [b"[Mirror ", b"]", b"=", b"\\", b"\n", b"\\\n", b"\"", b"'", b"%", b"\0", b"\xff", b"\xc3", b"99999999999999999999",
                 b"-", b"T", b"[Daemon]", b"Target=/", b"Include=", b"\\x", b"\\u12", b"\r", b";", b"#", b" " * 300, b"/x" * 3000]
        for i in range(150):
            content = bytearray(good)
            for _ in range(dice.randint(1, 12)):
                at = dice.randint(0, len(content))
                how = dice.randint(0, 3)
                if how == 0:
                    content[at:at] = dice.choice(words)
                elif how == 1:
                    del content[at:at + dice.randint(1, 40)]
                elif how == 2:
                    content[at:at + 1] = bytes([dice.randint(0, 255)])
                else:
                    other = dice.randint(0, len(content))
                    content[at:at] = content[min(at, other):max(at, other)]
            done = self.check(bytes(content))[1]
            self.assertIn(done.returncode, (0, 78), "seed %d, run %d: %r\n%s" % (seed, i, bytes(content), done.stderr))
            if done.returncode == 0:
                again = self.check(done.stdout, expect=0)[1]
                self.assertEqual(again.stdout, done.stdout, "seed %d, run %d" % (seed, i))


class DropIns(harness.Case):
    def put(self, root, name, text):
        path = os.path.join(root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as f:
            f.write(text)

    def effective(self, root):
        return self.run_tool("--root=" + root, "--check-config", expect=0).stdout

    def merged_by_systemd(self, root):
        """What systemd lists, put together in its order, read as one file."""
        done = subprocess.run(["systemd-analyze", "cat-config", "--root=" + root, "shmstaged.conf"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        path = self.path("merged-%d" % self.count())
        with open(path, "w") as f:
            f.write(done.stdout)
        return self.run_tool("--check-config", config=path, expect=0).stdout

    def test_drop_ins_are_those_that_systemd_lists_in_its_order(self):
        root = self.path("root")
        self.put(root, "usr/lib/shmstaged.conf", "[Daemon]\nWorkers=1\n")
        self.put(root, "etc/shmstaged.conf", "[Daemon]\nWorkers=2\nReserveMemory=1G\n[Mirror m]\nInclude=main\n")
        self.put(root, "usr/lib/shmstaged.conf.d/10-a.conf", "[Daemon]\nWorkers=3\n[Mirror m]\nInclude=vendor\n")
        self.put(root, "etc/shmstaged.conf.d/10-a.conf", "[Daemon]\nWorkers=4\n[Mirror m]\nInclude=admin\n")
        self.put(root, "run/shmstaged.conf.d/20-b.conf", "[Mirror m]\nInclude=run\nSize=1G\n")
        self.put(root, "usr/local/lib/shmstaged.conf.d/05-c.conf", "[Mirror m]\nInclude=local\nSize=2G\n")
        self.put(root, "usr/lib/shmstaged.conf.d/30-masked.conf", "[Mirror m]\nInclude=masked\n")
        os.symlink("/dev/null", os.path.join(root, "etc/shmstaged.conf.d/30-masked.conf"))
        self.put(root, "usr/lib/shmstaged.conf.d/40-emptied.conf", "[Mirror m]\nInclude=emptied\n")
        self.put(root, "run/shmstaged.conf.d/40-emptied.conf", "")
        self.put(root, "etc/shmstaged.conf.d/README", "not a configuration\n")
        self.put(root, "etc/shmstaged.conf.d/.50-hidden.conf", "[Mirror m]\nInclude=hidden\n")
        found = self.effective(root)
        self.assertEqual(found, self.merged_by_systemd(root))
        self.assertIn("Workers=4\n", found)
        self.assertIn("Include=main local admin run\n", found)
        self.assertIn("Size=1G\n", found)

    def test_random_trees_are_read_as_systemd_lists_them(self):
        seed = 7
        dice = random.Random(seed)
        for i in range(12):
            root = self.path("root-%d" % i)
            os.mkdir(root)
            self.put(root, "usr/lib/shmstaged.conf", "[Mirror m]\nInclude=base\n")
            for n in range(dice.randint(1, 14)):
                where = dice.choice(["etc", "run", "usr/local/lib", "usr/lib"])
                name = "%s/shmstaged.conf.d/%s.conf" % (where, dice.choice("a b c 1 10 9 B aa a.b".split()))
                if os.path.lexists(os.path.join(root, name)):
                    continue
                kind = dice.randint(0, 5)
                if kind == 0:
                    self.put(root, name, "")
                elif kind == 1:
                    os.makedirs(os.path.dirname(os.path.join(root, name)), exist_ok=True)
                    os.symlink("/dev/null", os.path.join(root, name))
                else:
                    self.put(root, name, "[Mirror m]\nInclude=f%d\nSize=%dM\n" % (n, n + 1))
            if dice.randint(0, 2) == 0:
                self.put(root, "etc/shmstaged.conf", "[Mirror m]\nInclude=admin\n")
            self.assertEqual(self.effective(root), self.merged_by_systemd(root), "seed %d, tree %d" % (seed, i))

    def test_an_error_in_a_drop_in_names_the_drop_in(self):
        root = self.path("root")
        self.put(root, "etc/shmstaged.conf", "[Mirror m]\nSource=/a\nTarget=/b\n")
        self.put(root, "run/shmstaged.conf.d/x.conf", "\n\n[Mirror m]\nTarget=/a/c\n")
        done = self.run_tool("--root=" + root, "--check-config", expect=78)
        self.assertIn("%s/run/shmstaged.conf.d/x.conf:4: Target=/a/c of [Mirror m] is inside Source=/a" % root, done.stderr)
        self.assertIn("%s/etc/shmstaged.conf:2" % root, done.stderr)


class CommandLine(harness.Case):
    def run_options(self, *args):
        return subprocess.run([harness.DAEMON, *args], capture_output=True, text=True, timeout=20 * harness.LONG,
                              env=dict(os.environ, STATE_DIRECTORY=self.state))

    def test_help_and_version_are_answers(self):
        done = self.run_options("--help")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for option in ("--config=", "--root=", "--plan", "--check-config", "--log-level=", "--version"):
            self.assertIn(option, done.stdout)
        self.assertLessEqual(max(map(len, done.stdout.splitlines())), 100)
        self.assertEqual(self.run_options("-h").stdout, done.stdout)
        done = self.run_options("--version")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertRegex(done.stdout, r"\Ashmstaged \d+\.\d+\.\d+\n\Z")

    def test_an_unknown_argument_ends_with_status_2_and_a_message_on_stderr(self):
        for args, words in ((["--frobnicate"], "--frobnicate"), (["-x"], "x"), (["models"], "models"), (["--config"], "--config"),
                            (["--plan", "models"], "models"), (["--plan=5"], "--plan"), (["--log-level=loud"], "--log-level=loud"),
                            (["--log-target=moon"], "--log-target=moon"), (["--config=/a", "--root=/b"], "--root=")):
            with self.subTest(args):
                done = self.run_options(*args)
                self.assertEqual((done.returncode, done.stdout), (2, ""), done.stderr)
                self.assertIn(words, done.stderr)
                self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)

    def test_output_that_cannot_be_written_is_a_failure(self):
        config = self.config()
        with open("/dev/full", "w") as full:
            done = subprocess.run([harness.DAEMON, "--config=" + config, "--check-config"], stdout=full, stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("No space left on device", done.stderr)

    def test_a_reload_with_errors_changes_nothing(self):
        self.write("a", b"x")
        path = self.config()
        daemon = self.ready(path)
        with open(path, "a") as f:
            f.write("Size=tiny\n")
        daemon.signal(signal.SIGHUP)
        daemon.wait_log(r"Size=tiny: must be")
        daemon.wait(lambda: sum("READY" in m for m in daemon.messages) == 2, "the end of the reload")
        self.assertRegex(daemon.log(), r"Invalid configuration; keeping the previous one")
        self.assert_same_file("a")
        daemon.stop()


if __name__ == "__main__":
    harness.main()
