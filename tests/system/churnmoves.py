# SPDX-License-Identifier: GPL-2.0-or-later
"""Moves after which size and times say little of a file: copies with their times from one side to the other, stores through mappings, times that are put
back, directories that are renamed against each other, the same bytes on both sides. They come on top of those of churnmodel.py.

One version may have several files here, whose paths are its *claims*: a writer has put it there, and no writer has taken it away since, on either
side. A version is released when the last of its claims has gone, not before."""

import contextlib
import hashlib
import os
import stat
import subprocess

import harness
from churnmodel import DIRECTORIES, DISK, FILES, RAM, TICK, Model, Version
from mapped import Mapping

SMALL = 60000  # what cp and rsync write at once


def other_side(side):
    return RAM if side == DISK else DISK


class Moves(Model):
    NAMES = ("mv", "cp", "rsync", "store", "map", "alter", "equal", "swap", "link", "unlink")

    def __init__(self, seed, roots, uid=0, tick=TICK, moves=NAMES):
        super().__init__(seed, roots)
        self.moves = moves
        self.uid = uid  # of the writers
        self.tick = tick
        self.claims = {}  # path -> Version
        self.left = {}    # path that the mirror has renamed -> looks of what was saved there

    @contextlib.contextmanager
    def as_writer(self):
        before = os.geteuid(), os.getegid()
        if before[0] == self.uid:
            yield
            return
        os.setegid(self.uid)
        os.seteuid(self.uid)
        try:
            yield
        finally:
            os.seteuid(before[0])
            os.setegid(before[1])

    def step(self):
        with self.as_writer():
            super().step()

    def finish_writers(self):
        with self.as_writer():
            super().finish_writers()

    # --- what becomes of versions ---

    def release(self, version, why):
        for path in [p for p, v in self.claims.items() if v is version]:
            del self.claims[path]
        super().release(version, why)

    def is_claimed(self, version, path):
        """By another path."""
        if version and self.claims.get(path) is version:
            del self.claims[path]
        return version and not version.released and version in self.claims.values()

    def overwritten(self, side, path, version):
        with contextlib.suppress(OSError):
            if os.lstat(self.at(side, path)).st_nlink > 1:  # written in place, it is lost under all names
                self.release(version, "written over at '%s' in the %s, which has other names" % (path, side))
        if not self.is_claimed(version, path):
            super().overwritten(side, path, version)

    def take_unseen(self, side, path, version):
        """Where times are whole seconds or coarser, what was written on disk within a tick of a save may look as what was saved. If that is deleted in the
        mirror, it goes to the trash in its place: the daemon cannot tell them apart without reading, and keeps what it removes."""
        other = self.version_at(DISK, path) if side == RAM and self.tick >= 1 else None
        if other and other is not version and not other.released and self.alive:
            other.deleted = (other.deleted or set()) | {path}
            self.note("    %s may go to the trash in its place", other)

    def removed(self, side, path, version, on_disk):
        self.take_unseen(side, path, version)
        if not self.is_claimed(version, path):
            super().removed(side, path, version, on_disk)

    def unlinked(self, side, path, version):
        if not self.is_claimed(version, path):
            super().unlinked(side, path, version)

    def looks(self, path):
        """All that the daemon can see of the disk's file without reading it, in numbers of the filesystem. A FUSE filesystem has no stable inodes."""
        st = os.lstat(self.at(DISK, path))
        return st.st_size, st.st_mtime_ns, st.st_ctime_ns, st.st_ino if self.tick < 2 else 0

    def looks_saved(self, path):
        """The disk has a file of the size and time of the mirror's: that one as it was saved, or what was written over it within the same tick."""
        with contextlib.suppress(OSError):
            disk, ram = os.lstat(self.at(DISK, path)), os.lstat(self.at(RAM, path))
            return all(stat.S_ISREG(st.st_mode) for st in (disk, ram)) and disk.st_size == ram.st_size and len({
                st.st_mtime_ns // (int(self.tick) * 10**9) for st in (disk, ram)}) == 1
        return False

    @contextlib.contextmanager
    def leaving(self, side, paths):
        """Around a renaming in the mirror. What was saved under the old name is renamed on disk too, or, if its new name is written to before, deleted:
        with what looks the same."""
        saved = {p: (self.version_at(RAM, p), self.looks(p)) for p in paths if side == RAM and self.tick >= 1 and self.looks_saved(p)}
        yield
        for path, (moved, looks) in saved.items():
            if not os.path.lexists(self.at(RAM, path)):
                self.left[path] = looks
                if self.version_at(DISK, path) is not moved:
                    self.take_lookalike(path, self.version_at(DISK, path))

    def take_lookalike(self, path, version):
        """@version was written over what was saved under a name that the mirror has renamed, within a tick of the save. See take_unseen()."""
        if not version or version.released or path not in self.left or self.version_at(DISK, path) is not version:
            return
        if self.looks(path) == self.left[path]:
            version.deleted = (version.deleted or set()) | {path}
            self.note("    %s may go to the trash for what was renamed in the mirror", version)

    def finish(self, side, path, fd, content):
        super().finish(side, path, fd, content)
        version = self.versions.get(hashlib.sha256(content).digest())
        if side == DISK and version:
            self.take_lookalike(path, version)

    def named(self, side, path):
        self.claims.pop(path, None)
        if side == RAM:
            self.left.pop(path, None)
        super().named(side, path)

    def rename(self, side, path, to):
        claims = self.claims_that_move(side, lambda p: p == path)
        with self.leaving(side, [path]):
            super().rename(side, path, to)
        self.follow(side, {path: to}, claims)

    def rename_directory(self, side, path, to):
        claims = self.claims_that_move(side, lambda p: p.startswith(path + "/"))
        with self.leaving(side, [p for p in self.walk(side) if p.startswith(path + "/")]):
            super().rename_directory(side, path, to)
        self.follow(side, {p: to + p[len(path):] for p in claims}, claims)

    def claims_that_move(self, side, is_moved):
        """If this side has something else at the path, because the other one's version has not come here yet, that is what moves: the claim is the
        other side's, and stays."""
        return {p: v for p, v in self.claims.items() if is_moved(p) and self.version_at(side, p) is v}

    def follow(self, side, names, claims):
        """What was renamed takes its claims with it; if it was not, nothing has changed. What is at the name on the other side only, and has not come
        over, stays there."""
        for path, version in claims.items():
            if version.released or os.path.lexists(self.at(side, path)) or self.version_at(side, names[path]) is not version:
                continue
            if self.claims.get(path) is version:
                del self.claims[path]
            self.claims[names[path]] = version

    def agreed(self, path, version):
        return all(self.version_at(side, path) is version for side in (DISK, RAM))

    def claim(self, side, path, version, origin=None):
        """A writer has completed a file with the content of a version that there was already."""
        if self.version_at(side, path) is not version:
            return  # something else has come to the name by now
        if origin and not version.released and self.agreed(origin, version):
            self.claims[origin] = version
        version.released = version.deleted = None
        version.unseen = False
        self.claims[path] = version
        self.forget_newest(path)
        self.note("    %s is at '%s' in the %s now", version, path, side)

    # --- one at a time ---

    def is_regular(self, side, path):
        with contextlib.suppress(OSError):
            return stat.S_ISREG(os.lstat(self.at(side, path)).st_mode)
        return False

    def is_being_written(self, side, path):
        with contextlib.suppress(OSError):
            st = os.lstat(self.at(side, path))
            return any(os.path.samestat(os.fstat(writer["fd"]), st) for writer in self.writers)
        return False

    def content_of(self, side, path, limit=SMALL):
        """Of a version that is copied, with the version and its times."""
        if not self.is_regular(side, path) or self.is_being_written(side, path):
            return None, None, None
        with open(os.open(self.at(side, path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as f:
            st, content = os.fstat(f.fileno()), f.read()
        version = self.versions.get(hashlib.sha256(content).digest())
        return (version, content, st) if version and len(content) <= limit else (None, None, None)

    @contextlib.contextmanager
    def arriving(self, side, path):
        """Around an operation that gives @path a new file, made there. Yields what had the name."""
        if os.path.lexists(self.at(side, path)):
            with self.taking(side, path) as seen:
                yield seen
        else:
            with contextlib.closing(harness.Inotify()) as watch:
                watch.add(os.path.dirname(self.at(side, path)))
                before = [self.version_at(other, path) for other in (DISK, RAM)]
                yield {"version": None, "last": True}
                if any(p == self.at(side, path) and m & watch.MOVED_TO for m, p in watch.read()):
                    for version in before:
                        self.release(version, "the daemon came between at '%s'" % path)

    def to_same_name_or(self, to, act, side, path):
        path = self.some(side, path)
        act(side, path, self.rng.choice([path, path, to]))

    def move_across(self, side, path, to):
        """mv from one side to the other: what is at the target is unlinked, the file is copied with its time, the origin is unlinked."""
        other = other_side(side)
        if os.path.isdir(self.at(other, to)) or self.is_being_written(other, to):
            return
        version, content, _ = self.content_of(side, path, 1 << 30)
        if not version:
            return
        self.note("mv '%s' of the %s to '%s' of the %s", path, side, to, other)
        self.drafts[DISK].add(hashlib.sha256(b"").digest())
        with self.taking(side, path) as gone, self.arriving(other, to) as seen:
            done = subprocess.run(["mv", "-f", "-T", self.at(side, path), self.at(other, to)], capture_output=True)
        before = seen["version"]
        if before and before is not version:
            if seen["last"]:
                self.overwritten(other, to, before)
            else:
                self.unlinked(other, to, before)
        self.named(other, to)
        self.forget_newest(path)
        self.forget_newest(to)
        if done.returncode != 0:
            self.note("    failed: %s", done.stderr.decode(errors="surrogateescape").strip())
            self.scraps.add(self.digest(self.at(other, to)))
            if os.path.lexists(self.at(side, path)) and version is not before:
                return
            self.release(version, "mv failed")
            return
        if gone["version"] is not version:
            self.release(gone["version"], "mv removed it from '%s' in the %s" % (path, side))
        if self.claims.get(path) is version:
            del self.claims[path]
        if to != path:
            self.take_unseen(side, path, version)
        self.named(other, to)
        self.claim(other, to, version)
        if side == RAM and to == path:  # if the disk's new file was agreed upon before that of the mirror went, this is a deletion
            version.deleted = {path}
            version.unseen = not self.alive

    def copy(self, side, path, to):
        """cp -p, to the other side or on the same: written in place, and the time set before it is closed."""
        other = other_side(side) if path == to else self.rng.choice([DISK, RAM])
        version, content, st = self.content_of(side, path)
        if not version:
            return
        existed = os.path.lexists(self.at(other, to))
        fd = self.open_alone(other, to, os.O_CREAT)
        with open(os.dup(fd), "rb") as f:
            old = f.read()
        if os.path.samestat(os.fstat(fd), os.lstat(self.at(side, path))):
            os.close(fd)
            return
        before = self.versions.get(hashlib.sha256(old).digest())
        self.note("cp -p '%s' of the %s to '%s' of the %s%s", path, side, to, other, " in place" if existed else "")
        os.ftruncate(fd, 0)
        if before is not version:
            self.overwritten(other, to, before)
        self.named(other, to)
        self.forget_newest(to)
        self.drafts[DISK].add(hashlib.sha256(b"").digest())
        try:
            os.lseek(fd, 0, os.SEEK_SET)
            self.put(fd, content)
            os.utime(fd, ns=(st.st_atime_ns, st.st_mtime_ns))
        except OSError:
            self.scrap(to, fd)
            if before is version:
                self.release(version, "there was no room to write it again")
            return
        has_name = os.fstat(fd).st_nlink > 0
        os.close(fd)
        if has_name:
            self.claim(other, to, version, path)

    def rsync(self, side, path, to):
        """The real one: it writes in place, closes, and sets the time by name."""
        other = other_side(side)
        version, content, _ = self.content_of(side, path)
        if not version or not content or self.is_being_written(other, to):
            return
        if os.path.lexists(self.at(other, to)) and not self.is_regular(other, to):
            return
        if self.is_regular(other, to) and os.path.samestat(os.lstat(self.at(side, path)), os.lstat(self.at(other, to))):
            return
        old, before = b"", None
        if self.is_regular(other, to):
            with open(self.at(other, to), "rb") as f:
                old = f.read()
            before = self.versions.get(hashlib.sha256(old).digest())
        self.note("rsync -t --inplace '%s' of the %s to '%s' of the %s", path, side, to, other)
        for draft in (b"", content, content + old[len(content):]):
            self.drafts[DISK].add(hashlib.sha256(draft).digest())
        with self.arriving(other, to):
            done = subprocess.run(["rsync", "-t", "--inplace", "--ignore-times", self.at(side, path), self.at(other, to)], capture_output=True)
        if before is not version:
            self.overwritten(other, to, before)
        self.named(other, to)
        self.forget_newest(to)
        if done.returncode != 0:
            self.note("    failed: %s", done.stderr.decode(errors="surrogateescape").strip())
            self.scraps.add(self.digest(self.at(other, to)))
            return
        self.claim(other, to, version, path)

    def tag(self, content):
        """Other bytes of the same size, and where they are other ones."""
        mark = b"%014d" % (self.next() * 10**6 + self.rng.randrange(10**6))
        at = self.rng.randrange(len(content) - len(mark) + 1)
        return content[:at] + mark + content[at + len(mark):], (at, mark)

    def opened(self, side, path):
        """A file that is there, to be altered, with its content; its version has to be known."""
        fd = self.open_alone(side, path, 0)
        with open(os.dup(fd), "rb") as f:
            content = f.read()
        version = self.versions.get(hashlib.sha256(content).digest())
        if not version or len(content) < 14:
            os.close(fd)
            raise BlockingIOError
        return fd, content, version

    def store(self, side, path, keep=False):
        """Through a mapping, which is kept for a while or let go of."""
        fd, content, version = self.opened(side, path)
        held = os.open("/proc/self/fd/%d" % fd, os.O_PATH)
        try:
            mapping = Mapping(fd)
        except OSError:
            os.close(held)
            raise
        content, (at, mark) = self.tag(content)
        self.note("storing into '%s' in the %s through a mapping%s", path, side, ", which is kept" if keep else "")
        self.overwritten(side, path, version)
        self.named(side, path)
        self.forget_newest(path)
        mapping.store(at, mark)
        self.drafts[side].add(hashlib.sha256(content).digest())
        writer = {"side": side, "path": path, "fd": held, "content": content, "mapping": mapping, "pieces": self.rng.randrange(2, 8) if keep else 1}
        if keep:
            self.writers.append(writer)
        else:
            self.let_go(writer)

    def let_go(self, writer):
        writer["mapping"].close()
        self.finish(writer["side"], writer["path"], writer["fd"], writer["content"])
        self.forget_newest(writer["path"])

    def advance(self, writer):
        if "mapping" not in writer:
            super().advance(writer)
            return
        writer["pieces"] -= 1
        if writer["pieces"] > 0:
            return
        self.writers.remove(writer)
        writer["content"], (at, mark) = self.tag(writer["content"])
        writer["mapping"].store(at, mark)
        self.let_go(writer)

    def alter(self, side, path):
        """In place, and the time put back: before it is closed, or by name after that."""
        fd, content, version = self.opened(side, path)
        st = os.fstat(fd)
        content, (at, mark) = self.tag(content)
        self.note("altering '%s' in the %s, and putting its time back", path, side)
        try:
            os.pwrite(fd, mark, at)
        except OSError:
            os.close(fd)
            raise
        self.overwritten(side, path, version)
        self.named(side, path)
        by_name = self.rng.random() < 0.5
        if not by_name:
            os.utime(fd, ns=(st.st_atime_ns, st.st_mtime_ns))
        self.finish(side, path, fd, content)
        self.forget_newest(path)
        if by_name:
            os.utime(self.at(side, path), ns=(st.st_atime_ns, st.st_mtime_ns), follow_symlinks=False)

    def arrive_on_both(self, path):
        """The same bytes, in files of different times."""
        content = self.fresh(DISK, path)
        digest = hashlib.sha256(content).digest()
        self.drafts[DISK].add(digest)
        self.note("the same bytes for '%s' on both sides", path)
        version = None
        for side in self.rng.sample([DISK, RAM], 2):
            temporary = self.at(side, os.path.join(os.path.dirname(path), "new-%d" % self.next()))
            moment = self.rng.randrange(10**18, 15 * 10**17)
            try:
                with open(temporary, "xb") as f:
                    f.write(content)
                os.utime(temporary, ns=(moment, moment))
                self.rename_to(side, temporary, path)
            except OSError:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
                continue
            if not version:
                version = self.versions[digest] = Version(self.next(), side, path)
            self.claim(side, path, version)

    def swap_directories(self, side, path, other):
        if path == other or path.startswith(other + "/") or other.startswith(path + "/") or not os.path.isdir(self.at(side, other)):
            return
        passing = "swap-%d" % self.next()
        self.rename_directory(side, path, passing)
        self.rename_directory(side, other, path)
        self.rename_directory(side, passing, other)

    def unlink(self, side, path):
        with self.as_writer():
            super().unlink(side, path)

    def unlink_link(self, side):
        """One name of several."""
        for path in self.rng.sample(FILES, len(FILES)):
            if self.is_regular(side, path) and os.lstat(self.at(side, path)).st_nlink > 1:
                self.unlink(side, path)
                return

    def some(self, side, path):
        """A file that is there, mostly; else most of what is tried would come to nothing."""
        for name in [path, *self.rng.sample(FILES, len(FILES))]:
            if self.is_regular(side, name):
                return name
        return path

    def operations(self):
        rng = self.rng
        side, path, to = rng.choice([DISK, RAM, RAM]), rng.choice(FILES), rng.choice(FILES)
        a, b = rng.choice(DIRECTORIES), rng.choice(DIRECTORIES)
        moves = {
            "mv": (10, lambda: self.to_same_name_or(to, self.move_across, side, path)),
            "cp": (8, lambda: self.to_same_name_or(to, self.copy, side, path)),
            "rsync": (5, lambda: self.to_same_name_or(to, self.rsync, side, path)),
            "store": (10, lambda: self.store(side, self.some(side, path))),
            "map": (6, lambda: self.store(RAM, self.some(RAM, path), keep=True)),
            "alter": (8, lambda: self.alter(side, self.some(side, path))),
            "equal": (5, lambda: self.arrive_on_both(path)),
            "swap": (3, lambda: self.swap_directories(side, a, b)),
            "link": (4, lambda: self.link(side, path, to)),
            "unlink": (4, lambda: self.unlink_link(side)),
        }
        return super().operations() + [moves[name] for name in self.moves]
