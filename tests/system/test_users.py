#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""shmstagectl users with real processes: who reads the copy in RAM, who the disk although there is a copy."""

import json
import os
import pathlib
import select
import subprocess

import harness

CTL = os.environ.get("SHMSTAGECTL", str(pathlib.Path(harness.DAEMON).resolve().parent / "shmstagectl"))
NOBODY = 65534
PYTHON = "/usr/bin/python3"  # one that all users may run

# Does something with the file that its last argument names, prints a line, and waits until it is to end.
HOLDER = """
import ctypes, os, sys
what, path = sys.argv[1], sys.argv[-1]
if what != "nothing":
    fd = os.open(path, os.O_RDWR if "write" in what else os.O_RDONLY)
if what in ("map", "mapwrite"):
    libc = ctypes.CDLL(None)
    libc.mmap.restype = ctypes.c_void_p
    assert libc.mmap(None, ctypes.c_size_t(4096), 3 if what == "mapwrite" else 1, 1, fd, ctypes.c_long(0)) != ctypes.c_void_p(-1).value
    os.close(fd)
print("holds", flush=True)
sys.stdin.read()
"""


class UsersCase(harness.Case):
    def setUp(self):
        super().setUp()
        self.write("a.gguf", size=70000)
        self.write("sub/b.gguf", size=5000)
        os.symlink("a.gguf", os.path.join(self.source, "link.gguf"))
        self.conf = self.config(WriteBack="no")
        os.chmod(self.conf, 0o644)

    def hold(self, what, path, name="holder", user=NOBODY, wrapper=(), env=None):
        """A process called @name that holds a file."""
        process = subprocess.Popen([*wrapper, name, "-c", HOLDER, what, "--model", path], executable=None if wrapper else PYTHON, user=user, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, env={"PYTHONHOME": "/usr", **(env or {})}, cwd="/")
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.stdin.close)
        self.assertTrue(select.select([process.stdout], [], [], 20)[0])
        self.assertEqual(process.stdout.readline(), b"holds\n")
        return process

    def ctl(self, *arguments, user=NOBODY, expect=0):
        done = subprocess.run([CTL, "users", "--config=" + self.conf, *arguments], user=user, capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, expect, done.stderr)
        return done.stdout

    def rows(self, process=None, user=NOBODY):
        rows = json.loads(self.ctl("--json", user=user))
        return [row for row in rows if process is None or row["pid"] == process.pid]

    def row(self, process, user=NOBODY):
        rows = self.rows(process, user)
        self.assertEqual(len(rows), 1, rows)
        return rows[0]


class Users(UsersCase):
    def setUp(self):
        super().setUp()
        self.ready(self.conf)

    def test_a_model_without_users(self):
        self.assertEqual(self.rows(user=0), [])  # not even the daemon
        self.assertNotIn("Fix", self.ctl())

    def test_a_mapped_copy(self):
        row = self.row(self.hold("map", self.mirrored("a.gguf")))
        self.assertEqual({key: row[key] for key in ("reads", "user", "how", "mirror", "path", "fix")},
                         {"reads": "ram", "user": "nobody", "how": "mapped", "mirror": "m", "path": "a.gguf", "fix": None})

    def test_an_open_copy_that_was_reached_by_a_link(self):
        row = self.row(self.hold("open", self.mirrored("link.gguf")))
        self.assertEqual((row["reads"], row["how"], row["path"]), ("ram", "open", "a.gguf"))

    def test_a_copy_that_is_written_to(self):
        process = self.hold("write", self.mirrored("sub/b.gguf"), user=0)
        row = self.row(process, user=0)
        self.assertEqual((row["reads"], row["how"], row["user"]), ("ram", "open,writing", "root"))

    def test_a_copy_that_is_written_to_through_a_mapping(self):
        row = self.row(self.hold("mapwrite", self.mirrored("sub/b.gguf"), user=0), user=0)
        self.assertEqual((row["reads"], row["how"]), ("ram", "mapped,writing"))

    def test_a_copy_that_was_replaced_meanwhile(self):
        for what in ("map", "open"):
            process = self.hold(what, self.mirrored("a.gguf"))
            os.rename(self.write("new", size=100, root=self.target), self.mirrored("a.gguf"))
            row = self.row(process)
            self.assertEqual((row["reads"], row["path"]), ("old", "a.gguf"))

    def test_the_daemons_own_files_are_not_listed(self):
        self.assertEqual(self.rows(self.hold("open", self.write(".shmstaged/x", size=10, root=self.target), user=0), user=0), [])

    def test_the_disk_is_read_although_there_is_a_copy(self):
        process = self.hold("map", os.path.join(self.source, "sub/b.gguf"))
        row = self.row(process)
        self.assertEqual((row["reads"], row["path"], row["fix"]), ("disk", "sub/b.gguf", "let it read %s/sub/b.gguf" % self.target))
        text = self.ctl()
        self.assertIn("(%d) reads the disk although a copy is in RAM.\n  Fix: let it read %s/sub/b.gguf\n" % (process.pid, self.target), text)

    def test_the_advice_names_the_change_to_the_command_line(self):
        row = self.row(self.hold("open", os.path.join(self.source, "a.gguf"), name="llama-server"))
        self.assertEqual((row["reads"], row["fix"]), ("disk", "restart it with --model %s/a.gguf" % self.target))

    def test_the_advice_names_the_change_to_the_environment(self):
        row = self.row(self.hold("open", os.path.join(self.source, "a.gguf"), name="ollama", env={"OLLAMA_MODELS": self.source}))
        self.assertEqual((row["reads"], row["fix"]), ("disk", "restart it with OLLAMA_MODELS=%s" % self.target))

    def test_an_engine_that_is_only_configured_for_the_disk(self):
        row = self.row(self.hold("nothing", os.path.join(self.source, "a.gguf"), name="llama-server"))
        self.assertEqual((row["reads"], row["how"], row["path"]), ("configured-disk", None, "a.gguf"))
        self.assertEqual(row["fix"], "restart it with --model %s/a.gguf" % self.target)

    def test_others_may_name_the_disk(self):
        self.assertEqual(self.rows(self.hold("nothing", os.path.join(self.source, "a.gguf"), name="backup")), [])

    def test_an_engine_that_is_configured_for_the_mirror(self):
        self.assertEqual(self.rows(self.hold("nothing", self.mirrored("a.gguf"), name="llama-server")), [])

    def test_a_file_that_is_on_disk_only_may_be_read_there(self):
        self.write("unknown", size=10)
        os.unlink(os.path.join(self.source, "unknown"))
        self.write(".shmstaged/trash/x", size=10)
        self.assertEqual(self.rows(self.hold("open", os.path.join(self.source, ".shmstaged/trash/x"))), [])

    def test_other_mount_namespaces_are_seen_through(self):
        """The source, and the mirror, under other paths: as in a container."""
        other = self.path("other")
        os.mkdir(other)
        for directory, reads in ((self.source, "disk"), (self.target, "ram")):
            process = self.hold("map", other + "/a.gguf", name=PYTHON, user=0,
                                wrapper=["unshare", "-m", "sh", "-c", 'mount --bind "$0" "$1"; shift; exec "$@"', directory, other])
            row = self.row(process, user=0)
            self.assertEqual((row["reads"], row["path"]), (reads, "a.gguf"))

    def test_a_path_that_means_something_else_there(self):
        """What lies over the source in another namespace is not the source."""
        lure = self.write("a.gguf", size=10, root=self.path("lure"))
        process = self.hold("map", self.source + "/a.gguf", name=PYTHON, user=0,
                            wrapper=["unshare", "-m", "sh", "-c", 'mount --bind "$0" "$1"; shift; exec "$@"', os.path.dirname(lure), self.source])
        self.assertEqual(self.rows(process, user=0), [])

    def test_the_paths_of_a_container_are_its_own(self):
        """Its source/a.gguf is another file than ours, and its mirror has another name."""
        box = self.path("box")
        for directory in ("usr", "models", *(path.strip("/") for path in (self.source, self.target))):
            os.makedirs(os.path.join(box, directory))
        for name in ("bin", "lib", "lib64"):
            os.symlink("usr/" + name, os.path.join(box, name))
        self.write("a.gguf", size=10, root=box + self.source)
        script = 'mount --rbind /usr "$0/usr"; mount --bind "$1" "$0/models"; shift; exec chroot "$0" /bin/bash -c \'exec -a llama-server "$@"\' "$@"'
        wrapper = ["unshare", "-m", "sh", "-c", script, box, self.source, "llama-server"]
        self.assertEqual(self.rows(self.hold("nothing", self.source + "/a.gguf", name=PYTHON, user=0, wrapper=wrapper), user=0), [])
        row = self.row(self.hold("map", "/models/a.gguf", name=PYTHON, user=0, wrapper=wrapper), user=0)
        self.assertEqual((row["reads"], row["path"]), ("disk", "a.gguf"))
        self.assertEqual(row["fix"], "mount the mirror into its container and let it read %s/a.gguf" % self.target)

    def test_of_engines_of_others_the_command_lines_are_seen(self):
        row = self.row(self.hold("open", os.path.join(self.source, "a.gguf"), name="llama-server", user=0))
        self.assertEqual((row["reads"], row["user"], row["fix"]), ("configured-disk", "root", "restart it with --model %s/a.gguf" % self.target))

    def test_an_ordinary_user_sees_only_their_own_processes_and_a_note(self):
        other = self.hold("map", self.mirrored("a.gguf"), user=0)
        mine = self.hold("map", self.mirrored("a.gguf"))
        self.assertEqual((self.rows(other), len(self.rows(mine))), ([], 1))
        self.assertRegex(self.ctl(), r"\n\d+ process(es)? of other users could not be inspected; run as root to include them\.\n$")
        self.assertEqual(len(self.rows(other, user=0)), 1)
        self.assertNotIn("run as root", self.ctl(user=0))

    def test_processes_that_end_meanwhile_do_no_harm(self):
        spawner = subprocess.Popen(["sh", "-c", 'while :; do cat "$0" >/dev/null; done', self.mirrored("a.gguf")], stdin=subprocess.DEVNULL)
        self.addCleanup(spawner.wait)
        self.addCleanup(spawner.kill)
        for _ in range(20):
            for row in self.rows(user=0):
                self.assertEqual((row["reads"], row["path"]), ("ram", "a.gguf"))

    def test_names_that_are_no_text_make_valid_json_and_a_safe_table(self):
        name = b"\xff\x1b[2J\nx.gguf".decode(errors="surrogateescape")
        row = self.row(self.hold("map", self.write(name, size=10, root=self.target)))
        self.assertEqual(row["path"], "\\xff\\x1b[2J\\x0ax.gguf")
        self.assertNotIn("\x1b", self.ctl())

    def test_mirrors_by_name(self):
        process = self.hold("map", self.mirrored("a.gguf"))
        self.assertIn(str(process.pid), self.ctl("m"))
        self.assertEqual(self.ctl("nonsense", expect=1), "")


class Asked(UsersCase):
    """The mirrors are those of the daemon that runs, whatever is in the configuration by now."""

    def setUp(self):
        super().setUp()
        self.ready(self.conf)
        os.unlink(self.conf)
        self.process = self.hold("map", self.mirrored("a.gguf"), name="llama-server")

    def ask(self, *arguments, socket=None):
        return subprocess.run([CTL, "--socket=" + (socket or os.path.join(self.runtime, "control")), *arguments], user=NOBODY, capture_output=True, text=True, timeout=60,
                              check=False)

    def test_users(self):
        done = self.ask("users", "--json")
        self.assertEqual((done.stderr, [(row["pid"], row["reads"], row["path"]) for row in json.loads(done.stdout)]), ("", [(self.process.pid, "ram", "a.gguf")]))

    def test_a_column_of_the_list(self):
        done = self.ask("list", "--noheadings", "--output=path,users")
        self.assertEqual((done.stderr, done.returncode), ("", 0))
        rows = dict(line.split(None, 1) for line in done.stdout.splitlines())
        self.assertEqual(rows["a.gguf"], "python3(%d)" % self.process.pid)
        self.assertEqual(rows["sub/b.gguf"], "-")
        self.assertNotIn("USERS", self.ask("list").stdout)

    def test_a_daemon_that_is_named_and_not_there(self):
        done = self.ask("users", "--json", socket=os.path.join(self.runtime, "nothing"))
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("nothing", done.stderr)


class Without(UsersCase):
    def test_no_mirror_is_there(self):
        process = self.hold("map", os.path.join(self.source, "a.gguf"))
        self.assertEqual(self.rows(process), [])


if __name__ == "__main__":
    harness.main()
