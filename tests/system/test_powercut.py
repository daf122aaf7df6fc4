# SPDX-License-Identifier: GPL-2.0-or-later
"""What is on the disk when a save is cut off, at each of its steps: the whole old file or the whole new one, never a pointer without its content.

Three ways to cut:

Steps    The daemon is held with ptrace(2) before each system call with which it changes the disk (tracer.py), and the disk is checked while nothing
         moves; and it is killed there, and the next one has to finish and to clean up. Proves the order of the calls, and that no state between
         two of them is one that a reader cannot live with; nor the next start, of a conflict and of a deletion at each step, of a whole cycle at
         each fourth, because each kill there is a cycle of its own. Shows nothing about what is on the medium by then.
Power    The disk is one that records every write and every flush of the block device (recorder.py). From the record all states are made that
         a power cut may leave at each moment: everything that was written before the last flush, and of what came after it nothing, everything, or
         parts in any order, blocks torn. Each is mounted, so that the journal is replayed, and checked. Proves that fsync() is called where it has
         to be, on ext4 with its default options and with those that promise least. Shows nothing about other filesystems, nor about a disk that lies
         about flushes. A write that the device has not completed is not in the record yet: what it may have done by then is the same as
         what a later position shows of it.
Errors   Calls on the way to the disk fail (strace -e inject), and reads of the block device do. Directories: the last of these calls.

The tree: an Ollama store (blobs, and manifests that point to them) and a plain one, each a mirror of one daemon.

The dice are thrown with a fixed seed, which decides at which steps it is killed and what arrives of what was not flushed; how the threads of the daemon
take turns it does not decide. SHMSTAGED_POWERCUT_SEED=n is another one, and with SHMSTAGED_POWERCUT_ALL=1 it is killed at every step.
"""

import collections
import contextlib
import hashlib
import json
import os
import re
import signal
import subprocess
import time

import harness
from recorder import Cuts, RecordedDisk
from saving import Saving
from tracer import Tracer

SEED = int(os.environ.get("SHMSTAGED_POWERCUT_SEED", "1"))
STRIDE = 1 if "SHMSTAGED_POWERCUT_ALL" in os.environ else 4  # of the steps of a cycle at which the daemon is killed
CLEAN = r"^Ready: \d+ files?( \(\d+ models?\))?, \S+ in RAM, verified; all saved(; 2 MiB pages: \d+%)?(; \d+ changed on both sides, [^;]*)?$"


class Store(harness.Case):
    """A disk with both trees, their mirrors, and cycles of changes. After each the same names have new content."""

    weights = 30000

    def prepare(self, disk, settle="0"):
        self.disk_path = disk
        self.plain, self.ollama = os.path.join(disk, "plain"), os.path.join(disk, "ollama")
        self.plain_mirror, self.ollama_mirror = self.path("plain"), self.path("ollama")
        self.cycle = 0
        self.killed = False  # then the old name of a renamed file may come back: its absence is no deletion for the next start
        for name in ("rewritten", "replaced", "touched", "moved-0", "deleted-0", "both"):
            self.write(name, b"%s, the first\n" % name.encode() * 900, root=self.plain)
        self.write("anchor", b"never touched", root=self.plain)
        os.link(os.path.join(self.plain, "anchor"), os.path.join(self.plain, "tied-0"))
        self.write("manifests/registry.ollama.ai/library/m/latest", self.manifest(self.ollama, 0), root=self.ollama)
        self.write("manifests/registry.ollama.ai/library/other/latest", self.manifest(self.ollama, -1), root=self.ollama)
        subprocess.run(["sync", "-f", disk], check=True)
        self.settings = self.config("".join("[Mirror %s]\nSource=%s\nTarget=%s\nSize=64M\nSettleTime=%s\n" % m for m in (
            ("plain", self.plain, self.plain_mirror, settle), ("ollama", self.ollama, self.ollama_mirror, settle))))

    def blob(self, root, text, size=30000):
        content = (text * (size // len(text))).encode()
        name = "sha256-" + hashlib.sha256(content).hexdigest()
        self.write("blobs/" + name, content, root=root)
        return {"digest": name.replace("-", ":"), "size": len(content)}

    def manifest(self, root, n):
        """Of a model of two blobs, which are written too."""
        return json.dumps({"schemaVersion": 2, "config": self.blob(root, "{config %d}" % n),
                           "layers": [{"mediaType": "application/vnd.ollama.image.model", **self.blob(root, "weights %d " % n, self.weights)}]})

    def change_disk(self):
        """What another process does on the disk, as carefully as possible: the other half of a conflict."""
        path = self.write("both.part", self.text("both on disk", self.cycle + 1), root=self.plain)
        with open(path) as f:
            os.fsync(f.fileno())
        os.rename(path, os.path.join(self.plain, "both"))
        subprocess.run(["sync", "-f", self.disk_path], check=True)

    def change(self, deletion=True):
        """One cycle: what clients do in the mirrors."""
        self.cycle += 1
        n, m = self.cycle, self.plain_mirror

        def new(name):
            return self.text(name, n)
        self.write("both", new("both in the mirror"), root=m)
        self.write("rewritten", new("rewritten"), root=m)
        self.write("replaced.part", new("replaced"), root=m)
        os.rename(os.path.join(m, "replaced.part"), os.path.join(m, "replaced"))
        self.write("d%d/new" % n, new("new"), root=m)
        os.link(os.path.join(m, "d%d/new" % n), os.path.join(m, "d%d/linked" % n))
        os.symlink("new", os.path.join(m, "d%d/symlink" % n))
        os.rename(os.path.join(m, "moved-%d" % (n - 1)), os.path.join(m, "moved-%d" % n))
        os.chmod(os.path.join(m, "touched"), 0o600 + n % 2)
        if deletion:
            os.unlink(os.path.join(m, "deleted-%d" % (n - 1)))
            self.write("deleted-%d" % n, new("deleted"), root=m)
        manifest = self.manifest(self.ollama_mirror, n)
        self.write("manifests/registry.ollama.ai/library/m/latest", manifest, root=self.ollama_mirror)
        self.write("manifests/registry.ollama.ai/library/new-%d/latest" % n, manifest, root=self.ollama_mirror)

    # --- what may be on the disk ---

    def contents(self, top):
        found = {}
        for directory, _, names in os.walk(top):
            for name in names:
                path = os.path.join(directory, name)
                if not os.path.islink(path):
                    with contextlib.suppress(FileNotFoundError):
                        found[os.path.relpath(path, top)] = self.read(path)
        return found

    def text(self, name, n):
        """The content of a name after cycle @n."""
        return b"%s, the first\n" % name.encode() * 900 if n == 0 else b"%s, cycle %d\n" % (name.encode(), n) * 1500

    def check_plain(self, top, before, after):
        found = self.contents(top)
        private = {path: content for path, content in found.items() if path.startswith(".shmstaged/")}
        cycles = range(before, after + 1)
        kept = list(private.values()) + list(found.values())
        self.assertEqual(found["anchor"], b"never touched")
        for name in ("rewritten", "replaced"):
            self.assertIn(found[name], [self.text(name, n) for n in cycles], name)
        self.assertIn(found["touched"], [self.text("touched", 0)])
        moved = {path: found[path] for path in found if path.startswith("moved-")}
        self.assertTrue(moved, "the renamed file has no name")
        for path, content in moved.items():
            self.assertIn(path, ["moved-%d" % n for n in (range(after + 1) if self.killed else cycles)])
            self.assertEqual(content, self.text("moved-0", 0))
        for n in cycles:
            # both versions of a conflict: the disk's is somewhere at any time, the mirror's when its cycle is over, until the next begins
            if n > 0:
                self.assertIn(self.text("both on disk", n), kept, "the disk's version of cycle %d" % n)
            if n == before == after and n > 0:
                self.assertIn(self.text("both in the mirror", n), kept, "the mirror's version of cycle %d" % n)
        self.assertIn(found["both"], [self.text("both", 0)] + [self.text("both " + side, n) for n in cycles for side in ("on disk", "in the mirror")])
        for path, content in found.items():
            if re.fullmatch(r"d\d+/(new|linked)", path):
                self.assertEqual(content, self.text("new", int(path[1:path.index("/")])), path)
            elif not path.startswith((".shmstaged/", "moved-", "deleted-")):
                self.assertIn(path, ("anchor", "rewritten", "replaced", "touched", "both", "tied-0"))
            if path.startswith(".shmstaged/") and not path.startswith(".shmstaged/tmp/"):
                self.assertTrue(content and content.endswith(b"\n"), path)
        self.check_deleted(found, private)

    def check_deleted(self, found, private):
        """What was deleted is at its name or in the trash. On a slow machine a rename may be seen as a new file before it is reported; then the old name is
        a deletion, and goes to the trash too."""
        trash = {os.path.basename(path): content for path, content in private.items() if path.startswith(".shmstaged/trash/")}
        for path in [path for path in trash if path.startswith("moved-")]:
            self.assertEqual(trash.pop(path), self.text("moved-0", 0), path)
        names = {path: content for path, content in found.items() if path.startswith("deleted-")}
        for path, content in {**names, **trash}.items():
            n = int(path.rsplit("-", 1)[1])
            self.assertEqual(content, self.text("deleted" if n else "deleted-0", n), path)
        last = max(int(path.rsplit("-", 1)[1]) for path in {**names, **trash})
        for n in range(last + 1):
            self.assertIn("deleted-%d" % n, {**names, **trash}, "neither at its name nor in the trash")

    def check_ollama(self, top):
        found = {path: content for path, content in self.contents(top).items() if not path.startswith(".shmstaged/")}
        self.assertIn("manifests/registry.ollama.ai/library/m/latest", found)
        self.assertIn("manifests/registry.ollama.ai/library/other/latest", found)
        for path, content in found.items():
            if path.startswith("blobs/"):
                self.assertEqual(hashlib.sha256(content).hexdigest(), os.path.basename(path)[len("sha256-"):], "a blob that is not whole")
            else:
                for digest in re.findall(rb"sha256:[0-9a-f]{64}", content) or [b"none: %s" % content]:
                    self.assertIn("blobs/" + digest.decode().replace(":", "-"), found, "'%s' points to what is not there" % path)

    def check(self, top, before, after):
        self.check_plain(os.path.join(top, "plain"), before, after)
        self.check_ollama(os.path.join(top, "ollama"))

    def is_saved(self):
        """All of the cycle is on disk."""
        with contextlib.suppress(OSError, KeyError):
            found, n = self.contents(self.plain), self.cycle
            manifests = "manifests/registry.ollama.ai/library/%s/latest"
            return (all(found[name] == self.text(name, n) for name in ("rewritten", "replaced")) and "moved-%d" % n in found and
                    (self.killed or "moved-%d" % (n - 1) not in found) and {"d%d/new" % n, "d%d/linked" % n} <= found.keys() and
                    found["both"] == self.text("both in the mirror", n) and
                    os.stat(os.path.join(self.plain, "touched")).st_mode & 0o777 == 0o600 + n % 2 and
                    os.readlink(os.path.join(self.plain, "d%d/symlink" % n)) == "new" and
                    os.path.samefile(os.path.join(self.plain, "d%d/new" % n), os.path.join(self.plain, "d%d/linked" % n)) and
                    all(self.read(os.path.join(self.ollama, manifests % m)) == self.read(os.path.join(self.ollama_mirror, manifests % m))
                        for m in ("m", "new-%d" % n)))
        return False

    def assert_no_temporaries(self, top=None):
        for tree in ("plain", "ollama"):
            path = os.path.join(top or self.disk_path, tree, ".shmstaged/tmp")
            self.assertEqual(os.listdir(path) if os.path.isdir(path) else [], [])

    def is_on_record(self):
        """The common state is on record, a moment after it was saved: the time of each file is in the records."""
        records = b""
        for name in os.listdir(self.state):
            with contextlib.suppress(OSError):  # a directory, or a new version that has its name by now
                records += self.read(os.path.join(self.state, name))
        paths = [os.path.join(self.plain, name) for name in ("both", "rewritten", "replaced", "moved-%d" % self.cycle)]
        paths.append(os.path.join(self.ollama, "manifests/registry.ollama.ai/library/m/latest"))
        return all(b"%d" % os.lstat(path).st_mtime_ns in records for path in paths if os.path.exists(path))

    def wait_saved(self, daemon, is_saved=None, check=None):
        self.wait_until(is_saved or self.is_saved, "all to be saved", daemon)
        daemon.wait_status(CLEAN)
        self.wait_until(self.is_on_record, "the record of it", daemon)
        (check or self.check)(self.disk_path, self.cycle, self.cycle)
        self.assert_no_temporaries()

    def tearDown(self):
        for daemon in self.daemons:
            self.assertNotRegex(daemon.log(), "Sanitizer|runtime error")


class Steps(Store):
    def at_each_step(self, daemon, check, until):
        """Lets the daemon go on from call to call. Returns how many there were, by name."""
        tracer = Tracer(self, daemon.pid, self.disk_path)
        calls = collections.Counter()
        check()
        end = time.monotonic() + 90 * harness.LONG
        while True:
            call = tracer.next(0.3)
            daemon.pump()
            if call:
                calls[call.split()[0]] += 1
                check()
            elif until():
                break
            self.assertLess(time.monotonic(), end, "it does not end: %s" % daemon.log())
        tracer.close()
        return calls

    def test_between_any_two_steps_of_a_save_the_disk_is_whole(self):
        self.prepare(self.ext4(48 << 20)[0])
        daemon = self.ready(self.settings, traced=True)
        self.change_disk()
        self.change(deletion=False)
        calls = self.at_each_step(daemon, lambda: self.check(self.disk_path, 0, 1), self.is_saved)
        print("%d steps: %s" % (calls.total(), ", ".join("%d %s" % (n, name) for name, n in sorted(calls.items()))), flush=True)
        for name in ("openat", "fallocate", "pwrite64", "fsync", "renameat2", "linkat", "mkdirat", "symlinkat", "utimensat", "unlinkat"):
            self.assertGreater(calls[name], 0, "the trace has not seen %s" % name)
        self.wait_saved(daemon)
        daemon.stop()

    def test_a_pointer_waits_for_its_content_however_long_that_takes(self):
        self.prepare(self.ext4(48 << 20)[0])
        daemon = self.ready(self.settings, traced=True)
        tracer = Tracer(self, daemon.pid, self.ollama)
        self.weights = 2 << 20
        self.change_disk()
        self.change(deletion=False)
        held = False
        while call := tracer.next(3):
            name, place = call.split(" ", 1)
            if not held and name == "fsync" and os.path.isfile(place) and os.stat(place).st_size > 1 << 20:
                tracer.hold()
                held = True
        self.assertTrue(held)
        self.check_ollama(self.ollama)
        manifest = "manifests/registry.ollama.ai/library/%s/latest"
        self.assertFalse(os.path.exists(os.path.join(self.ollama, manifest % "new-1")))
        self.assertNotEqual(self.read(os.path.join(self.ollama, manifest % "m")), self.read(os.path.join(self.ollama_mirror, manifest % "m")))
        tracer.close()
        self.wait_saved(daemon)
        daemon.stop()

    def test_between_any_two_steps_of_a_stop_the_disk_is_whole(self):
        """With a deletion among them."""
        self.prepare(self.ext4(48 << 20)[0])
        daemon = self.ready(self.settings, traced=True)
        self.change_disk()
        os.unlink(os.path.join(self.plain_mirror, "deleted-0"))
        self.write("deleted-1", self.text("deleted", 1), root=self.plain_mirror)
        self.wait_until(lambda: os.path.exists(os.path.join(self.plain, "deleted-1")), "what came after the deletion", daemon)  # so it is known
        self.change(deletion=False)
        daemon.signal(signal.SIGTERM)
        calls = self.at_each_step(daemon, lambda: self.check(self.disk_path, 0, 1), lambda: daemon.process.poll() is not None)
        self.assertEqual(daemon.join(), 0, daemon.log())
        print("%d steps" % calls.total(), flush=True)
        self.check(self.disk_path, 1, 1)
        self.assert_no_temporaries()
        self.assertIn("deleted-0", {os.path.basename(p) for p in self.contents(os.path.join(self.plain, ".shmstaged/trash"))})
        self.assertFalse(os.path.exists(os.path.join(self.plain, "deleted-0")))

    def step(self, tracer, daemon, is_saved):
        """The next call, or None when all is done."""
        end = time.monotonic() + 30 * harness.LONG
        while not (call := tracer.next(1)) and not is_saved():
            self.assertIsNone(daemon.process.poll(), daemon.log())
            self.assertLess(time.monotonic(), end, "it does not go on: %s" % daemon.log())
        return call

    def kill_at_steps(self, steps, change, is_saved, check):
        """Cycle after cycle: held at the given step (0 is before the first) and killed there. Ends with the first that comes to its end."""
        daemon = self.ready(self.settings, traced=True)
        killed = 0
        for step in steps:
            tracer = Tracer(self, daemon.pid, self.disk_path)
            self.change_disk()
            change()
            for _ in range(step + 1):
                call = self.step(tracer, daemon, is_saved)
                if not call:
                    break
            if not call:
                tracer.close()
                break
            killed += 1
            with self.subTest(step=step, call=call):
                self.killed = True
                tracer.kill(daemon)
                check(self.disk_path, self.cycle - 1, self.cycle)
                daemon = self.ready(self.settings, traced=True)
                self.wait_saved(daemon, is_saved, check)
        self.wait_saved(daemon, is_saved, check)
        daemon.stop()
        print("killed at %d steps" % killed, flush=True)
        return killed

    def test_killed_before_any_step_the_next_start_finishes_and_cleans_up(self):
        """At each fourth of them (SHMSTAGED_POWERCUT_ALL=1: at all)."""
        self.prepare(self.ext4(192 << 20)[0])
        print("from step %d on each %d." % (SEED % STRIDE, STRIDE), end=" ", flush=True)
        self.assertGreater(self.kill_at_steps(range(SEED % STRIDE, 1000, STRIDE), lambda: self.change(deletion=False), self.is_saved, self.check),
                           100 // STRIDE)

    def test_killed_before_any_step_of_a_conflict_neither_version_is_lost(self):
        """Each step. Killed after the two have changed places and before the older one was among the conflicts, the next start found what was to be kept
        among its temporaries, and removed it."""
        self.prepare(self.ext4(48 << 20)[0])

        def change():
            self.cycle += 1
            self.write("both", self.text("both in the mirror", self.cycle), root=self.plain_mirror)

        def is_saved():
            return self.read(os.path.join(self.plain, "both")) == self.text("both in the mirror", self.cycle)

        def check(top, before, after):
            found = self.contents(os.path.join(top, "plain"))
            for n in range(1, after + 1):
                self.assertIn(self.text("both on disk", n), found.values(), "the disk's version of cycle %d" % n)
            self.assertIn(found["both"], [self.text("both " + side, n) for n in (before, after) for side in ("on disk", "in the mirror")])
        self.assertGreater(self.kill_at_steps(range(1000), change, is_saved, check), 10)

    def test_killed_before_any_step_of_a_deletion_the_next_start_lives_with_it(self):
        """All at the same time, each killed one step later, because each deletion waits for the others of its wave first."""
        runs = []
        for n in range(12):
            source, target, state = (self.path("%s-%d" % (name, n)) for name in ("source", "target", "state"))
            os.mkdir(state)
            self.write("deleted-0", self.text("deleted-0", 0), root=source)
            self.write("anchor", b"x", root=source)
            config = self.config("[Mirror m]\nSource=%s\nTarget=%s\nSize=16M\nSettleTime=0\n" % (source, target))
            daemon = self.ready(config, env={"STATE_DIRECTORY": state}, traced=True)
            runs.append((source, target, state, config, daemon, Tracer(self, daemon.pid, source)))
        for source, target, state, config, daemon, tracer in runs:
            os.unlink(os.path.join(target, "deleted-0"))
        killed = 0
        for n, (source, target, state, config, daemon, tracer) in enumerate(runs):
            call = tracer.next(20 * harness.LONG)
            self.assertTrue(call, "a deletion that is not carried out")
            for _ in range(n):
                call = call and tracer.next(1)
            with self.subTest(step=n, call=call):
                tracer.kill(daemon)
                killed += bool(call)
                found = self.contents(source)
                self.check_deleted(found, {path: content for path, content in found.items() if path.startswith(".shmstaged/")})
                daemon = self.ready(config, env={"STATE_DIRECTORY": state})
                found = self.contents(source)
                self.check_deleted(found, {path: content for path, content in found.items() if path.startswith(".shmstaged/")})
                self.assertEqual(os.path.exists(os.path.join(source, "deleted-0")), os.path.exists(os.path.join(target, "deleted-0")))
                daemon.stop()
                tmp = os.path.join(source, ".shmstaged/tmp")
                self.assertEqual(os.listdir(tmp) if os.path.isdir(tmp) else [], [])
        print("killed at %d steps" % killed, flush=True)
        self.assertGreater(killed, 3)
        self.assertLess(killed, len(runs), "there are steps at which it was not killed")


class Power(Store):
    def check_image(self, image, before, after, start=False):
        """Mounts what a power cut left."""
        with open(self.image, "r+b") as f:
            f.write(image)
        subprocess.run(["mount", "-o", "loop", self.image, self.recovered], check=True)
        try:
            self.check(self.recovered, before, after)
            if start:
                self.start_on(self.recovered)
        finally:
            subprocess.run(["umount", "-R", self.recovered], check=True)

    def start_on(self, top):
        """The mirror was RAM, and went with the power."""
        state, sides = self.path("state-%d" % self.count()), [(tree, os.path.join(top, tree), self.path("after-" + tree)) for tree in ("plain", "ollama")]
        os.mkdir(state)
        daemon = self.ready(self.config("".join("[Mirror %s]\nSource=%s\nTarget=%s\nSize=64M\nSettleTime=0\n" % side for side in sides)),
                            env={"STATE_DIRECTORY": state})
        self.addCleanup(daemon.close)
        daemon.wait_status(CLEAN)
        self.assert_no_temporaries(top)
        for _, source, target in sides:
            on_disk, in_ram = ({path: content for path, content in self.contents(top).items() if not path.startswith(".shmstaged/")}
                               for top in (source, target))
            named = b"".join(content for path, content in on_disk.items() if path.startswith("manifests/")).decode()
            wanted = {path: content for path, content in on_disk.items()  # blobs that no manifest names stay on the disk
                      if not path.startswith("blobs/") or path[len("blobs/sha256-"):] in named}
            self.assertTrue(in_ram == wanted, "%s and %s" % (sorted(in_ram), sorted(wanted)))
        daemon.stop()

    def cut(self, options):
        print("seed %d" % SEED, end=" ", flush=True)
        disk = RecordedDisk(self, options=options)
        self.recovered, self.image = self.path("recovered"), self.path("cut.image")
        os.mkdir(self.recovered)
        with open(self.image, "wb") as f:
            f.write(disk.base)
        self.prepare(disk.path)
        daemon = self.ready(self.settings)
        self.change_disk()
        begun = disk.position()
        self.change()
        self.wait_until(self.is_saved, "all to be saved", daemon)
        daemon.wait_status(CLEAN)
        saved = disk.position()  # from here on the daemon reports that all is on disk
        daemon.stop()
        ended = disk.position()
        cuts = Cuts(disk, SEED)
        states = starts = 0
        for i in range(len(cuts.records)):
            position = cuts.advance(i)
            if position < begun or position > ended:
                continue
            variants = [cuts.nothing_more(), cuts.everything(), *(cuts.some() for _ in range(4))] if cuts.pending else [cuts.nothing_more()]
            for n, image in enumerate(variants):
                with self.subTest(position=i, variant=n):
                    start = starts < 5 and states % 40 == 20
                    self.check_image(image, position >= saved, 1, start=start)
                states += 1
                starts += start
        self.assertGreater(states, 100)
        # at the end of the stop nothing depends on what is not flushed
        self.check_image(cuts.nothing_more(), 1, 1, start=True)
        print("%d records, %d states, %d of them started on" % (len(cuts.records), states, starts + 1), flush=True)

    def test_a_file_reported_as_saved_is_on_the_medium(self):
        """One thing after the other, so that no flush of another one helps. What was not flushed by then is lost."""
        disk = RecordedDisk(self)
        self.recovered, self.image = self.path("recovered"), self.path("cut.image")
        os.mkdir(self.recovered)
        self.prepare(disk.path)
        daemon = self.ready(self.settings)
        m = lambda name: os.path.join(self.plain_mirror, name)
        r = lambda name: os.path.join(self.recovered, "plain", name)
        steps = [
            ("a new file", lambda: self.write("file", b"new", root=m("")), r"Saved 'file'", lambda: self.read(r("file")) == b"new"),
            ("a new version", lambda: self.write("rewritten", b"new", root=m("")), r"Saved 'rewritten'", lambda: self.read(r("rewritten")) == b"new"),
            ("a directory", lambda: os.mkdir(m("d")), r"Saved 'd'", lambda: os.path.isdir(r("d"))),
            ("a file in it", lambda: self.write("d/file", b"inside", root=m("")), r"Saved 'd/file'", lambda: self.read(r("d/file")) == b"inside"),
            ("a hard link", lambda: os.link(m("file"), m("link")), r"Saved 'link'", lambda: os.path.samefile(r("link"), r("file"))),
            ("a symbolic link", lambda: os.symlink("file", m("symlink")), r"Saved 'symlink'", lambda: os.readlink(r("symlink")) == "file"),
            ("a rename", lambda: os.rename(m("moved-0"), m("d/moved")), r"Renamed 'moved-0' to 'd/moved' on disk",
             lambda: os.path.exists(r("d/moved")) and not os.path.exists(r("moved-0"))),
            ("a mode", lambda: os.chmod(m("touched"), 0o600), r"Updated owner, mode or time of 'touched' on disk", lambda: os.stat(r("touched")).st_mode & 0o777 == 0o600),
            ("a deletion", lambda: os.unlink(m("deleted-0")), r"'deleted-0' .*because it was deleted in the mirror",
             lambda: not os.path.exists(r("deleted-0")) and any("/trash/" in path for path in self.contents(r("")))),
        ]
        for what, act, line, holds in steps:
            with self.subTest(what):
                daemon.wait_status(CLEAN)
                act()
                daemon.wait_log(line)
                cuts = Cuts(disk, 0)
                for i in range(len(cuts.records)):
                    cuts.advance(i)
                with open(self.image, "wb") as f:
                    f.write(cuts.nothing_more())
                subprocess.run(["mount", "-o", "loop", self.image, self.recovered], check=True)
                try:
                    self.assertTrue(os.path.lexists(r("anchor")) and holds(), "%s is reported as saved and gone" % what)
                finally:
                    subprocess.run(["umount", self.recovered], check=True)
        daemon.stop()

    def test_whatever_a_power_cut_leaves_is_whole(self):
        self.cut("defaults")

    def test_so_it_is_where_the_filesystem_promises_least(self):
        self.cut("data=writeback,noauto_da_alloc,commit=1")


class Errors(Store):
    def assert_failure_logged(self, daemon, name, step):
        daemon.wait_log(r"Failed to save '%s': Input/output error while trying to %s; will retry" % (name, step))

    def test_a_call_that_fails_leaves_the_old_version_and_is_tried_again(self):
        """All at the same time, each with a daemon of its own, because each has to wait before it tries again."""
        cases = [("fsync", "1+", "sync it"), ("fsync", "2+", "put it in place on the disk"), ("pwrite64", "1+", "write it to the disk"),
                 ("fallocate", "1+", "reserve room on the disk"), ("fchmod", "1+", "set owner, mode, time and xattrs on the disk"),
                 ("utimensat", "1+", "set owner, mode, time and xattrs on the disk"), ("renameat2", "1+", "put it in place on the disk"),
                 ("renameat", "1+", "put it in place on the disk"), ("ftruncate", "1+", "reserve room on the disk")]
        runs = []
        for number, (call, when, step) in enumerate(cases):
            source, target, state = (self.path("%s-%d" % (name, number)) for name in ("source", "target", "state"))
            os.mkdir(state)
            self.write("file", b"old" * 5000, root=source)
            self.write("anchor", b"x", root=source)
            daemon = self.ready(self.config("[Mirror m]\nSource=%s\nTarget=%s\nSize=16M\nSettleTime=0\n" % (source, target)),
                                env={"STATE_DIRECTORY": state}, traced=True)
            # the private directory is there already, so that the first calls are those of the file
            self.write("warm", b"up", root=target)
            self.wait_until(lambda: os.path.exists(os.path.join(source, "warm")), "the private directory", daemon)
            daemon.wait_status(CLEAN)
            tracer = self.strace(daemon.pid, "-e", "trace=" + call, "-e", "inject=%s:error=EIO:when=%s" % (call, when))
            self.write("new", b"new" * 5000, root=target)
            os.rename(os.path.join(target, "new"), os.path.join(target, "file"))
            runs.append((call, when, step, source, target, daemon, tracer))
        for call, when, step, source, target, daemon, tracer in runs:
            with self.subTest(call=call, when=when):
                self.assert_failure_logged(daemon, "file", step)
                daemon.wait_status("1 not on disk yet .*, saving fails")
                self.assertEqual(self.read(os.path.join(source, "file")), b"old" * 5000)
                self.assertEqual(self.read(os.path.join(target, "file")), b"new" * 5000)
            tracer.terminate()
            tracer.wait()
        for call, when, step, source, target, daemon, tracer in runs:
            with self.subTest(call=call, when=when):
                self.wait_until(lambda: self.read(os.path.join(source, "file")) == b"new" * 5000, "it to be saved", daemon)
                daemon.wait_status(CLEAN)
                daemon.stop()
                self.assertEqual(os.listdir(os.path.join(source, ".shmstaged/tmp")), [])

    def test_a_file_that_cannot_be_read_back_is_not_put_in_place(self):
        """The disk takes what is written and does not give it back."""
        disk = RecordedDisk(self)
        self.prepare(disk.path)
        daemon = self.ready(self.settings)
        self.write("warm", b"up", root=self.plain_mirror)
        self.wait_until(lambda: os.path.exists(os.path.join(self.plain, "warm")), "the private directory", daemon)
        old = self.read(os.path.join(self.plain, "rewritten"))
        with open(disk.trouble, "w"):
            pass
        self.write("rewritten", self.text("rewritten", 1), root=self.plain_mirror)
        self.assert_failure_logged(daemon, "rewritten", "read it back from the disk")
        daemon.wait_status("1 not on disk yet .*, saving fails")
        os.unlink(disk.trouble)
        self.assertEqual(self.read(os.path.join(self.plain, "rewritten")), old)
        self.wait_until(lambda: self.read(os.path.join(self.plain, "rewritten")) == self.text("rewritten", 1), "it to be saved", daemon)
        daemon.wait_status(CLEAN)
        daemon.stop()
        self.assert_no_temporaries()

    def test_a_stop_while_it_fails_keeps_the_mirror(self):
        self.prepare(self.ext4(48 << 20)[0])
        daemon = self.ready(self.settings, traced=True)
        self.strace(daemon.pid, "-e", "trace=fsync", "-e", "inject=fsync:error=EIO")
        self.write("rewritten", self.text("rewritten", 1), root=self.plain_mirror)
        self.assert_failure_logged(daemon, "rewritten", "sync it")
        daemon.stop(expect=1)
        self.assertEqual(self.read(os.path.join(self.plain_mirror, "rewritten")), self.text("rewritten", 1))
        self.assertEqual(self.read(os.path.join(self.plain, "rewritten")), self.text("rewritten", 0))
        daemon = self.ready(self.settings)
        self.wait_until(lambda: self.read(os.path.join(self.plain, "rewritten")) == self.text("rewritten", 1), "it to be saved", daemon)
        daemon.stop()
        self.assert_no_temporaries()


class Directories(Saving):
    """What was renamed is on the medium when its directory has been synced, which fails once."""

    def prepare(self, **keys):
        os.rmdir(self.source)
        disk, _ = self.ext4(48 << 20)
        self.source = os.path.join(disk, "source")
        self.write("d/old", b"old")
        self.running = self.ready(self.config(SettleTime="1s", PollInterval="2s", **keys), traced=True)  # which is how soon a failure is tried again
        self.put("warm", b"up")  # the private directory is there from then on
        self.wait_saved(self.running, "warm")
        self.running.wait_status(CLEAN)
        self.calls = self.path("calls")
        self.strace(self.running.pid, "-o", self.calls, "-P", self.original("d"), "-e", "trace=fsync", "-e", "inject=fsync:error=EIO:when=1")

    def results(self):
        """Of each fsync() of the directory: threads are counted one by one, so it may fail once in each."""
        return re.findall(r"fsync\(\d+\)? *(?:<\.\.\. fsync resumed>\))? *= (-?\d+)", self.read(self.calls).decode())

    def is_synced(self):
        return self.results()[-1:] == ["0"]

    def assert_synced_before_it_is_called_saved(self, act, is_done):
        daemon = self.running
        seen = len(daemon.statuses())
        act()
        self.wait_until(lambda: "-1" in self.results(), "the failure", daemon)

        def is_saved():
            # in this order: whatever was done before the status was sent is in the record of the calls
            said = [status for status in daemon.statuses()[seen:] if "not on disk" in status or re.match(CLEAN, status)]
            unsaved = [n for n, status in enumerate(said) if "not on disk" in status]
            if not unsaved or not any(re.match(CLEAN, status) for status in said[unsaved[0]:]):
                return False
            self.assertTrue(self.is_synced(), "it says that all is saved: %s\n%s" % (self.read(self.calls).decode(), daemon.log()))
            return True
        self.wait_until(is_saved, "all to be saved", daemon, 60)
        self.assertTrue(is_done())
        daemon.stop()
        self.assert_gone()

    def test_a_file_is_not_called_saved_before(self):
        self.prepare()
        self.assert_synced_before_it_is_called_saved(lambda: self.put("d/new", b"new"), lambda: self.read(self.original("d/new")) == b"new")

    def test_a_changed_file_is_not_called_saved_before(self):
        self.prepare()
        self.assert_synced_before_it_is_called_saved(lambda: self.put("d/old", b"changed"), lambda: self.read(self.original("d/old")) == b"changed")

    def test_a_new_name_is_not_called_saved_before(self):
        self.prepare()
        self.assert_synced_before_it_is_called_saved(lambda: os.rename(self.mirrored("d/old"), self.mirrored("d/new")),
                                                     lambda: self.read(self.original("d/new")) == b"old")

    def test_a_link_is_not_called_saved_before(self):
        self.prepare()
        self.assert_synced_before_it_is_called_saved(lambda: os.symlink("old", self.mirrored("d/link")),
                                                     lambda: os.readlink(self.original("d/link")) == "old")

    def assert_stop_syncs_it(self):
        """Or keeps the mirror, and fails."""
        self.running.signal(signal.SIGTERM)
        if self.running.join() == 0:
            self.assert_gone()
            self.assertTrue(self.is_synced(), self.read(self.calls).decode())
        else:
            self.assertEqual(self.read(self.mirrored("d/new")), b"new")
            self.assertIn("d/new", self.running.log())
        self.assertIn("-1", self.results())

    def test_a_stop_after_it_failed_syncs_it_before_the_mirror_goes(self):
        self.prepare()
        self.put("d/new", b"new")
        self.wait_until(lambda: "-1" in self.results(), "the failure", self.running)
        self.assert_stop_syncs_it()

    def test_a_stop_in_which_it_fails_syncs_it_before_the_mirror_goes(self):
        self.prepare()
        self.put("d/new", b"new")
        self.assert_stop_syncs_it()


if __name__ == "__main__":
    harness.main(jobs=4)
