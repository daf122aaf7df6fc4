# SPDX-License-Identifier: GPL-2.0-or-later
"""Random operations on both sides at once, with everything thrown in that goes wrong: kill -9, full disk, full mirror, SIGHUP,
lost events, stops. At the end nothing is lost, nothing is torn, and both sides agree.

What may be expected is in churnmodel.py. At the end, when all writers are done, there is room and nothing moves any more:
 1. the status is clean: Ready, nothing withheld, refused, held back or unsaved;
 2. both trees are equal: names, types, content, mode, owner, mtime, text of links;
 3. no version is lost that was not released;
 4. nothing is on disk that no writer wrote: every file is a version, a draft of the source, or a scrap;
 5. a name that was last written to holds what was written, whichever side wrote it: it is the newest on either side;
 6. after a stop all this is true of the disk alone, the mirror is gone, and tmp/ is empty.

There is a test for each seed that has found something. SHMSTAGED_CHURN_SEED=n runs that one instead, SHMSTAGED_CHURN_MINUTES=n tries fresh ones for so
long. What an operation tries is decided by the seed alone; how it meets the daemon is not, so a seed that found something may need some runs to find it
again. SHMSTAGED_CHURN_LOG=FILE: all that model and daemons logged about a failed seed goes to FILE-SEED.

The same with the moves of churnmoves.py, on sources that know less of a file and as an ordinary user, by hand:

    test_churn.py [--rounds=N] [--seed=N] [--source=ext4|small-inodes|coarse] [--user] [--minutes=N] [--moves=NAME,...]
"""

import argparse
import contextlib
import os
import random
import re
import signal
import stat
import subprocess
import sys
import time
import unittest

import harness
from churnmodel import DISK, FILES, RAM, TICK, Model, Version
from churnmoves import Moves

FOUND = [3, 17, 36, 1225492955, 1789171334]  # seeds that found defects, which were corrected
SEEDS = [int(os.environ["SHMSTAGED_CHURN_SEED"])] if "SHMSTAGED_CHURN_SEED" in os.environ else FOUND
MINUTES = float(os.environ.get("SHMSTAGED_CHURN_MINUTES", "0"))
STEPS = int(os.environ.get("SHMSTAGED_CHURN_STEPS", "400"))
USER = 1000

CLEAN = r"^Ready: \d+ files?( \(\d+ models?\))?, \S+ in RAM, verified; all saved(; 2 MiB pages: \d+%)?(; direct reads: \d+%)?(; \d+ changed on both sides, [^;]*)?$"


class Found(harness.Case):
    """What churn has found, without dice."""

    def at(self, name):
        return os.path.join(self.source, name)

    def begin(self, **files):
        self.write("anchor", b"x")
        for name, content in files.items():
            self.write(name, content)
        return self.ready()

    def end(self, daemon, *names):
        """Both sides agree about these."""
        def agree():
            with contextlib.suppress(OSError):
                return all(os.lstat(self.at(n)).st_mode == os.lstat(self.mirrored(n)).st_mode and self.read(self.at(n)) == self.read(self.mirrored(n))
                           for n in names)
        self.wait_until(agree, "both sides to agree", daemon)
        daemon.wait_status(CLEAN)
        daemon.stop()
        self.assert_gone()

    def test_a_mode_that_is_set_after_a_rename_reaches_the_disk(self):
        """The digest did not go with the name, and without one nothing could be compared, for ever."""
        daemon = self.begin(old=b"content")
        os.rename(self.mirrored("old"), self.mirrored("new"))
        daemon.wait_log("Renamed 'old' to 'new' on disk")
        daemon.wait_status(CLEAN)
        os.chmod(self.mirrored("new"), 0o600)
        self.wait_until(lambda: os.stat(self.at("new")).st_mode & 0o777 == 0o600, "the mode", daemon)
        self.end(daemon, "new")

    def test_the_newer_version_of_the_disk_comes_into_the_mirror(self):
        """What had been moved aside in the mirror was taken for a client's work that blocks the staging."""
        daemon = self.begin(file=b"first")
        daemon.kill()
        self.write("file", b"of the mirror", root=self.target)
        os.utime(self.mirrored("file"), ns=(10**18, 10**18))
        self.write("file", b"of the disk")
        daemon = self.ready()
        self.wait_until(lambda: self.read(self.mirrored("file")) == b"of the disk", "the disk's version", daemon)
        conflicts = [os.path.join(d, n) for d, _, names in os.walk(self.at(".shmstaged/conflicts")) for n in names]
        self.assertEqual([self.read(path) for path in conflicts], [b"of the mirror"])
        self.end(daemon, "file")

    def test_a_stop_right_after_that_takes_the_mirror_down(self):
        daemon = self.begin(file=b"first")
        daemon.kill()
        self.write("file", b"of the mirror", root=self.target)
        os.utime(self.mirrored("file"), ns=(10**18, 10**18))
        self.write("file", b"of the disk")
        daemon = self.daemon()
        daemon.wait_log("'file' differs on disk and in the mirror")
        daemon.stop()
        self.assert_gone()
        self.assertEqual(self.read(self.at("file")), b"of the disk")

    def test_a_second_name_on_disk_does_not_keep_the_first_from_being_saved(self):
        """To tie the second name again, the first was linked and unlinked, which moved its ctime: so it seemed changed to the thread that saved it,
        again and again."""
        self.write("first", b"old")
        os.link(self.at("first"), self.at("second"))
        daemon = self.begin()
        daemon.kill()
        self.write("new", b"new", root=self.target)
        os.rename(self.mirrored("new"), self.mirrored("first"))
        os.unlink(self.mirrored("second"))
        daemon = self.ready()
        self.wait_until(lambda: self.read(self.at("first")) == b"new", "the new version on disk", daemon)
        self.assertEqual(self.read(self.at("second")), b"old")
        self.end(daemon, "first", "second")

    def test_a_directory_whose_name_was_taken_behind_the_daemons_back_comes_back(self):
        """What is in it was not deleted, as far as the daemon knows."""
        def link(path):
            os.symlink("anchor", path)

        def file(path):
            with open(path, "wb") as f:
                f.write(b"a file now")
        for name, make in (("d", link), ("e", file)):
            with self.subTest(make=make.__name__):
                self.write(name + "/file", b"content")
                self.begin().kill()
                os.unlink(self.mirrored(name + "/file"))
                os.rmdir(self.mirrored(name))
                make(self.mirrored(name))
                daemon = self.ready()
                self.wait_until(lambda: os.path.isdir(self.mirrored(name)), "the directory", daemon)
                self.assertIn(name, [n for _, directories, names in os.walk(self.at(".shmstaged/conflicts")) for n in directories + names])
                self.end(daemon, name + "/file")

    def test_a_renamed_file_is_saved_when_its_old_name_has_something_else_on_disk(self):
        """It was to be linked from there, for ever."""
        self.write("anchor", b"x")
        self.write("b/file", b"content")
        daemon = self.ready(self.config(SettleTime="1s"))
        os.rename(self.mirrored("b"), self.mirrored("a"))
        daemon.wait_log("Saved 'a'")  # so the file is in the queue
        self.write("new", b"of the disk")
        os.rename(self.at("new"), self.at("b/file"))
        self.wait_until(lambda: os.path.exists(self.at("a/file")), "the new name on disk", daemon)
        self.assertEqual(self.read(self.at("a/file")), b"content")
        self.assertEqual(self.read(self.at("b/file")), b"of the disk")
        self.end(daemon, "a/file", "b/file")

    def test_of_a_directory_and_a_newer_file_of_the_disk_both_are_kept(self):
        """The file was to take the name in the mirror, where it could not because of what is in the directory, and that could not be saved."""
        self.begin(old=b"x").kill()
        self.write("d/file", b"of the mirror", root=self.target)
        os.utime(self.mirrored("d"), ns=(10**18, 10**18))
        self.write("d", b"of the disk")
        daemon = self.ready()
        self.wait_until(lambda: os.path.exists(self.at("d/file")), "the file on disk", daemon)
        daemon.wait_log("'d' differs on disk and in the mirror; the version from the mirror now has this name")
        self.assertEqual(self.read(self.at("d/file")), b"of the mirror")
        conflicts = [os.path.join(d, n) for d, _, names in os.walk(self.at(".shmstaged/conflicts")) for n in names]
        self.assertEqual([self.read(path) for path in conflicts], [b"of the disk"])
        self.end(daemon, "d/file")


class Churning(harness.Case):
    steps = STEPS
    tick = 0.000000001  # seconds, of the times that the source has

    def prepare(self, seed):
        self.make_source()
        self.ballast = os.path.join(self.small_disk, "ballast")
        self.write("anchor", b"never touched, so that neither side is ever empty")
        self.settings = self.config(Size="48M", OnNoRoom="skip", SettleTime="100ms", Layout="plain", PollInterval="1s")
        self.model = self.make_model(seed, {DISK: self.source, RAM: self.target})
        self.model.versions[self.model.digest(self.at("anchor"))] = Version(0, DISK, "anchor")
        self.start().wait_ready()

    def make_source(self, *options):
        self.small_disk, _ = self.ext4(160 << 20, *options)
        self.source = os.path.join(self.small_disk, "source")
        os.mkdir(self.source)

    def make_model(self, seed, roots):
        return Model(seed, roots)

    def at(self, name):
        return os.path.join(self.source, name)

    def start(self):
        self.running = self.daemon(self.settings)
        return self.running

    # --- what goes wrong ---

    def fill(self, path):
        st = os.statvfs(os.path.dirname(path))
        with contextlib.suppress(OSError), open(path, "ab") as f:
            os.posix_fallocate(f.fileno(), 0, max(4096, st.f_bavail * st.f_frsize - self.model.rng.randrange(65536)))
        self.model.note("%s is full", os.path.dirname(path))

    def full_disk(self):
        if os.path.exists(self.ballast):
            os.unlink(self.ballast)
            self.model.note("the disk has room again")
            for version in self.model.versions.values():
                if version.deleted:
                    self.model.release(version, "the trash may have gone while the disk was full")
        else:
            self.fill(self.ballast)

    def full_mirror(self):
        path = os.path.join(self.target, "ballast.part")
        if os.path.exists(path):
            os.unlink(path)
            self.model.note("the mirror has room again")
        else:
            self.fill(path)

    def room_for_all(self):
        if os.path.exists(self.ballast):
            self.full_disk()
        if os.path.exists(os.path.join(self.target, "ballast.part")):
            self.full_mirror()

    def kill(self):
        """Nothing of the daemon runs for a while; sometimes work goes on before the next one is ready."""
        self.running.kill()
        self.model.note("killed")
        self.behind_its_back(self.model.rng.randrange(12))
        daemon = self.start()
        self.model.note("started")
        if self.model.rng.random() < 0.5:
            daemon.wait_ready()

    def stop_and_start(self):
        self.room_for_all()
        self.model.finish_writers()
        self.running.wait_ready()
        self.model.note("stopping")
        self.running.stop(timeout=90)
        self.assert_gone()
        self.start().wait_ready()
        self.model.note("started")

    def hang_up(self):
        if self.running.notified("READY"):
            self.running.signal(signal.SIGHUP)
            self.model.note("SIGHUP")

    def overflow(self):
        """More events than the kernel keeps, while they are not read, and work whose events are among those lost."""
        self.running.freeze()
        names = [os.path.join(root, "events-%d.part" % i) for root in (self.source, self.target) for i in range(2)]
        self.fill_event_queue(names)
        # a change of the same name may have been reported right before, and then that it is gone is a deletion: so it may be in the trash, or stay
        self.behind_its_back(8, alive=True)
        for name in names:
            with contextlib.suppress(OSError):
                os.unlink(name)
        self.running.signal(signal.SIGCONT)
        self.model.note("events were lost")

    def behind_its_back(self, n, alive=False):
        """Steps that the daemon does not notice, with a deletion in the mirror among them."""
        self.model.alive = alive
        for _ in range(n):
            self.model.step()
        for path in self.model.rng.sample(FILES, len(FILES)):
            if os.path.isfile(os.path.join(self.target, path)):
                with contextlib.suppress(OSError):
                    self.model.unlink(RAM, path)
                break
        self.model.alive = True

    def calm(self):
        """Long enough for deletions to be carried out."""
        self.model.note("a calm")
        self.running.listen(6)

    def troubles(self):
        return [(10, self.kill), (3, self.full_disk), (3, self.full_mirror), (4, self.hang_up), (1, self.overflow), (1, self.stop_and_start)]

    def trouble(self):
        rng, kinds = self.model.rng, self.troubles()
        rng.choices([k for _, k in kinds], [w for w, _ in kinds])[0]()

    # --- the end ---

    def snapshot(self, side):
        found = {}
        for path in self.model.walk(side):
            name = self.model.at(side, path)
            try:
                st = os.lstat(name)
                kind = "link" if stat.S_ISLNK(st.st_mode) else "directory" if stat.S_ISDIR(st.st_mode) else "file"
                found[path] = (kind, os.readlink(name) if kind == "link" else None, self.model.digest(name) if kind == "file" else None,
                               None if kind == "link" else oct(st.st_mode & 0o7777), st.st_uid, st.st_gid,
                               st.st_mtime_ns // round(self.tick * 10**9) if kind == "file" else None)
            except OSError:
                found[path] = None  # it is just going
        return found

    def difference(self):
        disk, ram = self.snapshot(DISK), self.snapshot(RAM)
        return ["%s: source %s, mirror %s" % (p, self.describe(disk.get(p)), self.describe(ram.get(p)))
                for p in sorted(set(disk) | set(ram)) if disk.get(p) != ram.get(p)]

    def describe(self, found):
        version = found and found[2] and self.model.versions.get(found[2])
        return (*found[:2], "#%d" % version.number if version else "no version", *found[3:]) if found else "nothing"

    def stored(self, *directories):
        """Digests of all files below, each with one of its paths."""
        found = {}
        for top in directories:
            if not os.path.isdir(top):
                found[self.model.digest(top)] = top
            for directory, _, names in os.walk(top):
                for name in names:
                    path = os.path.join(directory, name)
                    found.setdefault(self.model.digest(path), path)
        found.pop(None, None)
        return found

    def story(self, *words):
        """What the model and the daemons recorded about a path."""
        lines = [line for line in self.model.lines if any(w in line for w in words)]
        for daemon in self.daemons:
            lines += ["--"] + [line for line in daemon.log().splitlines() if any(w in line for w in words)]
        return "\n".join(lines[-400:])

    @contextlib.contextmanager
    def full_story(self, seed):
        try:
            yield
        except BaseException:
            if "SHMSTAGED_CHURN_LOG" in os.environ:
                with open("%s-%d" % (os.environ["SHMSTAGED_CHURN_LOG"], seed), "w", errors="surrogateescape") as f:
                    f.write("\n".join(self.model.lines) + "\n")
                    for daemon in self.daemons:
                        f.write("-- daemon %d\n%s" % (daemon.pid, daemon.log()))
                    for side in (DISK, RAM):
                        f.writelines("%s %s %s\n" % (side, path, self.describe(found)) for path, found in sorted(self.snapshot(side).items()))
            raise

    def assert_nothing_lost(self, *trees):
        stored = self.stored(*trees)
        # what was not deleted, or not seen deleted, must not be in the trash
        apart = self.stored(*(os.path.join(tree, name) for tree in trees for name in os.listdir(tree) if name != ".shmstaged"),
                            self.at(".shmstaged/conflicts"))
        lost = [v for digest, v in self.model.versions.items()
                if not v.released and digest not in (stored if v.deleted and not v.unseen else apart)]
        if lost:
            self.fail("%d versions are lost: %s\n%s" % (
                len(lost), "; ".join(map(str, lost)),
                self.story(*{"/%s'" % v.path for v in lost}, *{"'%s'" % v.path for v in lost}, *{"%s " % v for v in lost}, "killed", "started", "full", "room",
                           "Error", "Warning")))

    def assert_nothing_torn(self):
        known = set(self.model.versions) | self.model.drafts[DISK] | self.model.scraps
        for digest, path in self.stored(self.source).items():
            if digest not in known:
                what = "a draft of the mirror" if digest in self.model.drafts[RAM] else "of no writer"
                self.fail("'%s' is on disk and is %s\n%s" % (path, what, self.story(os.path.basename(path))))

    def assert_newest_at_its_name(self):
        for path, version in self.model.newest.items():
            if not version.released and self.model.version_at(DISK, path) is not version:
                self.fail("%s was written last, but there is %s\n%s" % (
                    version, self.model.version_at(DISK, path), self.story("'%s'" % path, "/%s'" % path, "killed", "started")))

    def come_to_rest(self):
        self.model.finish_writers()
        self.room_for_all()
        self.running.wait_ready()
        self.hang_up()
        end = time.monotonic() + 60 * harness.LONG
        since = None
        while True:
            self.running.pump(0.05)
            self.assertIsNone(self.running.process.poll(), self.running.log())
            difference = self.difference()
            if not difference and " held back" in (self.running.status() or ""):
                self.hang_up()  # many of the last steps were deletions, which is known seconds after they ended; it is shown until a reload
            calm = not difference and re.match(CLEAN, self.running.status() or "")
            since = (since or time.monotonic()) if calm else None
            if since and time.monotonic() > since + 1:
                return
            if time.monotonic() > end:
                self.fail("they do not come to agree; status %r\n%s\n%s" % (
                    self.running.status(), "\n".join(difference), self.story(*("/%s'" % d.split(":")[0] for d in difference), *(
                        "'%s'" % d.split(":")[0] for d in difference), "killed", "started", "full", "room", "Error", "Warning", "deleted at once")))

    def check(self):
        self.come_to_rest()
        self.assert_nothing_lost(self.source, self.target)
        self.assert_nothing_torn()
        self.assert_newest_at_its_name()
        self.running.stop(timeout=90)
        self.assert_gone()
        self.assert_nothing_lost(self.source)
        self.assert_nothing_torn()
        self.assert_newest_at_its_name()
        temporaries = self.at(".shmstaged/tmp")
        self.assertEqual(os.listdir(temporaries) if os.path.isdir(temporaries) else [], [])
        for daemon in self.daemons:
            self.assertNotRegex(daemon.log(), "Sanitizer|runtime error|Assertion")

    def churn(self, seed):
        """Nothing is lost, and both sides agree."""
        begun = time.monotonic()
        print("seed %d" % seed, end=" ", flush=True)
        self.prepare(seed)
        rng = self.model.rng
        for step in range(self.steps):
            self.model.step()
            time.sleep(rng.choice([0, 0, 0.001, 0.005, 0.02, 0.06]))
            if rng.random() < 0.05:
                self.trouble()
            if rng.random() < 0.1:
                self.room_for_all()
            if step == self.steps // 2:
                self.calm()
            self.running.pump()
            self.assertIsNone(self.running.process.poll(), self.running.log())
        self.check()
        kept = [v for v in self.model.versions.values() if not v.released]
        print("%d versions, %d not released, %d of them in the trash or a conflict, %d runs, %d finished without a name, %.1f s" % (
            len(self.model.versions), len(kept), len([v for v in kept if self.model.digest(self.at(v.path)) is None]), len(self.daemons),
            self.model.orphaned, time.monotonic() - begun), flush=True)

    def fresh_seeds(self):
        """As many as there is time for, one after the other."""
        end = time.monotonic() + 60 * MINUTES
        while time.monotonic() < end:
            seed = random.SystemRandom().randrange(1 << 32)
            with self.subTest(seed=seed), self.full_story(seed):
                self.churn(seed)
            self.doCleanups()
            self.setUp()


class Churn(Churning):
    """The operations of churnmodel.py."""


def test_of(seed):
    def test(self):
        with self.full_story(seed):
            self.churn(seed)
    return test


for seed in SEEDS:
    setattr(Churn, "test_seed_%d" % seed, test_of(seed))


if MINUTES:
    Churn.test_fresh_seeds = Churn.fresh_seeds


class MovesCase(Churning):
    """Those of churnmoves.py as well, and stops that cannot save."""
    steps = min(STEPS, 150)
    moves = Moves.NAMES
    uid = 0

    def make_model(self, seed, roots):
        if self.uid:
            self.give_to_user()
            roots[RAM] = self.target
        return Moves(seed, roots, self.uid, max(TICK, self.tick + 0.1), self.moves)

    def give_to_user(self):
        """The daemon of an ordinary user may not mount: its mirror is a directory of a tmpfs."""
        place = self.path("shared")
        os.mkdir(place)
        os.chmod(place, 0o1777)
        self.target = os.path.join(place, "models")
        self.settings = self.config(Size="48M", OnNoRoom="skip", SettleTime="100ms", Layout="plain", PollInterval="1s")
        for path in (self.state, self.source, self.at("anchor")):
            os.chown(path, self.uid, self.uid)

    def start(self):
        wrapper = ["setpriv", "--reuid=%d" % self.uid, "--regid=%d" % self.uid, "--clear-groups"] if self.uid else []
        self.running = self.daemon(self.settings, wrapper=wrapper)
        return self.running

    def is_there(self):
        """A mirror, as a stop may leave it."""
        return os.path.ismount(self.target) or (self.uid and os.path.isdir(self.target) and os.listdir(self.target))

    def read_only(self, on):
        """False if that cannot be: a file is being written."""
        done = subprocess.run(["mount", "-o", "remount,%s" % ("ro" if on else "rw"), self.small_disk], capture_output=True)
        self.model.note("the disk is %s%s", "read-only" if on else "writable", " not: it is in use" if done.returncode else "")
        return done.returncode == 0

    def failed_stop(self):
        """A stop while the disk takes nothing, or while files are being written. It keeps what it cannot save."""
        rng = self.model.rng
        kind = rng.choice(["full", "read-only", "written"])
        self.running.wait_ready()
        if kind == "read-only":
            self.model.finish_writers()
            kind = "read-only" if self.read_only(True) else "full"
        if kind == "full" and not os.path.exists(self.ballast):
            self.full_disk()
        for _ in range(rng.randrange(1, 8)):
            self.model.step()
        self.running.listen(rng.choice([0, 0.3]))
        held = [writer for writer in self.model.writers if writer["side"] == RAM and os.fstat(writer["fd"]).st_nlink > 0]
        self.model.note("stopping, %s", kind)
        self.running.signal(signal.SIGTERM)
        status = self.running.join(90)
        self.assertIn(status, (0, 1), self.running.log())
        for writer in held:
            self.assertGreater(os.fstat(writer["fd"]).st_nlink, 0, "'%s' was removed while it was being written\n%s" % (
                writer["path"], self.running.log()))
        if status == 0:
            self.assertFalse(self.is_there())
        else:
            self.assertTrue(self.is_there(), "exit status 1, and there is no mirror\n" + self.running.log())
        self.model.note("stopped with exit status %d", status)
        if kind == "read-only":
            self.read_only(False)
        self.room_for_all()
        self.model.finish_writers()
        if status == 1:
            self.behind_its_back(rng.randrange(4))
        self.start().wait_ready()
        self.model.note("started")

    def full_mirror(self):
        if not self.uid:  # an ordinary user's has no filesystem of its own
            super().full_mirror()

    def troubles(self):
        return [*super().troubles(), (4, self.failed_stop), (1, self.overflow)]

    def play(self, seed):
        with self.full_story(seed):
            self.churn(seed)
        print(", ".join("%d %s" % (sum(words in line for line in self.model.lines), name) for name, words in (
            ("mv", " mv '"), ("cp", " cp -p '"), ("rsync", " rsync -t"), ("stores", " storing into"), ("times put back", "putting its time back"),
            ("equal", "the same bytes for"), ("directories", "renaming directory"), ("links", " linked '"), ("stops that saved not all", "with exit status 1"),
            ("overflows", "events were lost"))), flush=True)


class OnSmallInodes(MovesCase):
    """The source is an ext4 with times of whole seconds."""
    tick = 1

    def make_source(self):
        super().make_source("-I", "128")


class OnCoarse(MovesCase):
    """The source is polled, and has times of two seconds."""
    tick = 2

    def make_source(self):
        super().make_source()
        self.source, _ = self.coarsefs(self.source, "--times=2")


SOURCES = {"ext4": MovesCase, "small-inodes": OnSmallInodes, "coarse": OnCoarse}


def class_of(source, uid):
    name = "Moves_%s_%s" % (source.replace("-", "_"), "user" if uid else "root")
    return type(name, (SOURCES[source],), {"uid": uid, "__module__": __name__})


def add_moves():
    """A short run of each variant."""
    for number, (source, uid) in enumerate((source, uid) for source in SOURCES for uid in (0, USER)):
        case = class_of(source, uid)
        case.test_moves = lambda self, seed=number: self.play(seed)
        globals()[case.__name__] = case


def run_chosen():
    """By hand."""
    parser = argparse.ArgumentParser(description="Runs one sequence of all the moves, or fresh ones for so many minutes.")
    parser.add_argument("--rounds", type=int, default=STEPS)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--source", choices=SOURCES, default="ext4")
    parser.add_argument("--user", action="store_true", help="daemon and writers are an ordinary user's")
    parser.add_argument("--minutes", type=float, default=0)
    parser.add_argument("--moves", default=",".join(Moves.NAMES), help="those of churnmoves.py that are made: %(default)s")
    chosen = parser.parse_args()

    def test(self):
        self.steps, self.moves = chosen.rounds, [name for name in chosen.moves.split(",") if name]
        seed, end = chosen.seed, time.monotonic() + 60 * chosen.minutes
        if seed is not None:
            self.play(seed)
        while seed is None:
            with self.subTest(fresh=True):
                self.play(random.SystemRandom().randrange(1 << 32))
            if time.monotonic() >= end:
                break
            self.doCleanups()
            self.setUp()
    case = class_of(chosen.source, USER if chosen.user else 0)
    case.test_chosen = test
    harness.enter_namespace()
    result = unittest.TextTestRunner(verbosity=2).run(case("test_chosen"))
    sys.exit(not result.wasSuccessful())


if __name__ == "__main__":
    if any(argument.startswith(("--rounds", "--seed", "--source", "--user", "--minutes", "--moves", "--help")) for argument in sys.argv[1:]):
        run_chosen()
    if SEEDS == FOUND:
        add_moves()
    harness.main(jobs=5)
