# SPDX-License-Identifier: GPL-2.0-or-later
"""Writers on both sides that do random things, and what may be expected afterwards.

A *version* is content that a writer finished: written, and closed while its file had a name. Each has bytes of its own, so that
the digest of a file found later identifies its version. The model knows every version, and whether each may still
be expected somewhere:

 released   An operation of a writer took its last name away, or wrote over it, and by the model this ends it:
            - written over (in place, by an append, or by a rename to its name), on either side: replaced by a writer that saw it;
            - deleted on the source: the mirror follows, nothing is kept;
            - deleted in the mirror before it was ever on disk.
 deleted    Deleted in the mirror while the disk had it at a name that the mirror does not have any more. Deletes=trash: it must be in the
            trash, or still (or again) in the trees; if no daemon can have seen it, not in the trash: its absence is no
            deletion. It is released when the mirror gives one of these names to something else, because that replaces it on disk;
            and by the end of a time without room on disk, because the trash goes before anything is refused. So is a version that lost one of several names (hard links), until all of them are gone.
 else       it has to be found: in the source, in the mirror or in conflicts/.

What an operation took away is known exactly: the file is opened before, and a watch shows whether the daemon put something else
there at the same moment; if so, whatever may have been meant is released. Content that was seen by no writer of the same side (a version that was
about to come from the other one) is never released by an operation there: both are kept, that is what conflicts/ is for.

A *draft* is what a file held while a writer had it open. Drafts of the source may be found (the daemon may stage and keep what it saw); drafts of the
mirror may not be found on disk, because a writer had the file open. A *scrap* is what a writer left when there was no room.
"""

import contextlib
import hashlib
import os
import random
import stat
import time

import harness

DIRECTORIES = ["a", "b", "a/c", "d", "b/e"]
FILES = [os.path.join(d, "f%d" % i) for d in ["", *DIRECTORIES] for i in range(4)] + ["d"]
DISK, RAM = "source", "mirror"
TICK = 0.05  # what is written on both sides within so short a time may have the same mtime


class Version:
    def __init__(self, number, side, path):
        self.number, self.side, self.path = number, side, path
        self.released = None  # why
        self.deleted = None   # names on disk that the mirror has deleted
        self.unseen = False   # no daemon can have seen that

    def __str__(self):
        return "#%d of the %s, '%s'" % (self.number, self.side, self.path)


class Model:
    """Two trees, their writers, and what is known of the versions."""

    def __init__(self, seed, roots):
        self.rng = random.Random(seed)
        self.roots = roots
        self.versions = {}   # digest -> Version
        self.drafts = {DISK: set(), RAM: set()}
        self.scraps = set()
        self.newest = {}     # path -> the Version that was written there last
        self.given = {}      # side and path -> when a writer of that side last put something there
        self.writers = []    # files that are open
        self.alive = True    # a daemon runs
        self.tick = TICK
        self.lines = []
        self.count = 0
        self.orphaned = 0    # versions whose file had lost its name when they were finished

    # --- what is there ---

    def note(self, text, *args):
        self.lines.append("%.3f %s" % (time.monotonic() % 10000, text % args))

    def at(self, side, path):
        return os.path.join(self.roots[side], path)

    def walk(self, side):
        """Paths of all that is there."""
        root = self.roots[side]
        for directory, directories, names in os.walk(root):
            if directory == root and ".shmstaged" in directories:
                directories.remove(".shmstaged")
            for name in directories + names:
                yield os.path.relpath(os.path.join(directory, name), root)

    def digest(self, path):
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return None
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            return None
        with open(fd, "rb") as f:
            return hashlib.sha256(f.read()).digest()

    def version_at(self, side, path):
        return self.versions.get(self.digest(self.at(side, path)))

    def is_last_name(self, side, path, st):
        """True if nothing else in this tree has the inode."""
        for other in self.walk(side) if st.st_nlink > 1 else ():
            with contextlib.suppress(OSError):
                if other != path and os.lstat(self.at(side, other)).st_ino == st.st_ino:
                    return False
        return True

    # --- what becomes of versions ---

    def release(self, version, why):
        if version and not version.released:
            version.released = why
            self.note("    released %s: %s", version, why)

    def overwritten(self, side, path, version):
        self.release(version, "written over at '%s' in the %s" % (path, side))

    def removed(self, side, path, version, on_disk):
        """The last name is gone. @on_disk: where the source had it before."""
        if side == DISK:
            self.release(version, "deleted at '%s' in the source" % path)
            return
        names = {p for p in on_disk if not os.path.lexists(self.at(RAM, p))}
        if not names:
            self.release(version, "deleted at '%s' in the mirror, and nowhere else" % path)
        elif version and not version.released:
            version.deleted = (version.deleted or set()) | names | {path}
            version.unseen = not self.alive
            self.note("    %s was deleted in the mirror: %s", version, sorted(version.deleted))

    def unlinked(self, side, path, version):
        """One name of several is gone. What the other side does to the others before it notices this may take the remaining ones."""
        left = [p for p in self.walk(DISK) if self.version_at(DISK, p) is version]
        if side == DISK and all(os.path.lexists(self.at(RAM, p)) and self.version_at(RAM, p) is not version for p in left):
            self.release(version, "its other names were given to something else in the mirror")
        elif version and not version.released:
            version.deleted = (version.deleted or set()) | set(left) | {path} | {p for p in self.walk(RAM) if self.version_at(RAM, p) is version}

    def named(self, side, path):
        """Something has come to a name."""
        self.given[side, path] = time.monotonic()
        if side == RAM:
            for version in self.versions.values():
                if version.deleted and path in version.deleted:
                    self.release(version, "its name '%s' was given to something else in the mirror" % path)

    def forget_newest(self, path):
        for known in list(self.newest):
            if known == path or known.startswith(path + "/") or path.startswith(known + "/"):
                del self.newest[known]

    @contextlib.contextmanager
    def taking(self, side, path):
        """Around an operation that takes @path's name away from what has it. Gives what that is; if the daemon put something there
        meanwhile, whatever may have been meant is released."""
        name = self.at(side, path)
        seen = {"version": None, "last": True, "on_disk": []}
        with contextlib.closing(harness.Inotify()) as watch, contextlib.ExitStack() as stack:
            watch.add(os.path.dirname(name))
            fd = os.open(name, os.O_PATH | os.O_NOFOLLOW)
            stack.callback(os.close, fd)
            st = os.fstat(fd)
            if stat.S_ISREG(st.st_mode):
                seen["version"] = self.versions.get(self.digest_of(fd))
                seen["last"] = self.is_last_name(side, path, st)
            if seen["version"] and side == RAM:
                seen["on_disk"] = [p for p in self.walk(DISK) if self.version_at(DISK, p) is seen["version"]]
            others = [self.version_at(other, path) for other in (DISK, RAM)]
            yield seen
            moves = [m for m, p in watch.read() if p == name and m & watch.MOVED_TO]
            if len(moves) > seen.get("moves", 0):
                for version in [seen["version"], *others, *(self.version_at(other, path) for other in (DISK, RAM))]:
                    self.release(version, "the daemon came between at '%s'" % path)

    def digest_of(self, fd):
        with open("/proc/self/fd/%d" % fd, "rb") as f:
            return hashlib.sha256(f.read()).digest()

    # --- writing ---

    def fresh(self, side, path):
        size = self.rng.choice([0, 1, 100, 4096, 5000, 20000, 65536, 100000]) if self.rng.random() < 0.93 else self.rng.randrange(1 << 20, 3 << 20)
        return b"%08d" % self.rng.randrange(10**8) + b"%06d" % self.next() + self.rng.randbytes(size)

    def next(self):
        self.count += 1
        return self.count

    def finish(self, side, path, fd, content):
        """All is written. It counts if the file still has a name when it is closed."""
        digest = hashlib.sha256(content).digest()
        st = os.fstat(fd)
        version = Version(self.next(), side, path)
        os.close(fd)
        if st.st_nlink == 0:
            self.orphaned += 1
            self.note("%s finished at '%s', which had lost its name", version, path)
            return
        self.versions[digest] = version
        self.note("%s finished, %d bytes", version, len(content))
        if side == DISK and self.is_in_trash(st):
            version.deleted = {path}  # in the mirror, while it was written
        self.forget_newest(path)
        for other in list(self.newest):  # it is written there too: a hard link, or the name it was given since it was opened
            with contextlib.suppress(OSError):
                if os.lstat(self.at(side, other)).st_ino == st.st_ino:
                    del self.newest[other]
        for name in [path, *(self.walk(side) if st.st_nlink > 1 else ())]:
            with contextlib.suppress(OSError):
                if os.lstat(self.at(side, name)).st_ino == st.st_ino:
                    self.given[side, name] = time.monotonic()
        with contextlib.suppress(OSError):
            if os.lstat(self.at(side, path)).st_ino == st.st_ino and self.agrees_on_types(path) and self.is_newer(side, path):
                self.newest[path] = version

    def is_newer(self, side, path):
        """Than what a writer of the other side put there of late. Of two changes the daemon can only compare the times, and where those of the
        source are whole seconds, an earlier one of the mirror has a later time. It need not be the last one before: this side may have been
        written to twice since."""
        other = RAM if side == DISK else DISK
        if time.monotonic() > self.given.get((other, path), 0) + self.tick:
            return True
        with contextlib.suppress(FileNotFoundError):
            return os.lstat(self.at(side, path)).st_mtime_ns > os.lstat(self.at(other, path)).st_mtime_ns
        return True

    def is_in_trash(self, st):
        for directory, _, names in os.walk(self.at(DISK, ".shmstaged/trash")):
            for name in names:
                with contextlib.suppress(OSError):  # it is being emptied
                    if os.lstat(os.path.join(directory, name)).st_ino == st.st_ino:
                        return True
        return False

    def agrees_on_types(self, path):
        """No part of the path is a directory on one side and something else on the other."""
        parts = path.split("/")
        for n in range(1, len(parts) + 1):
            for side in (DISK, RAM):
                with contextlib.suppress(OSError):
                    if stat.S_ISDIR(os.lstat(self.at(side, "/".join(parts[:n]))).st_mode) != (n < len(parts)):
                        return False
        return True

    def scrap(self, path, fd):
        os.lseek(fd, 0, os.SEEK_SET)
        with open(fd, "rb") as f:
            self.scraps.add(hashlib.sha256(f.read()).digest())
        self.forget_newest(path)
        self.note("no room for '%s'", path)

    def put(self, fd, data):
        while data:
            data = data[os.write(fd, data):]

    def open_alone(self, side, path, flags):
        """Opens a file to write into it, unless another writer is at it."""
        fd = os.open(self.at(side, path), os.O_RDWR | os.O_NOFOLLOW | flags, 0o644)
        if any(os.path.samestat(os.fstat(writer["fd"]), os.fstat(fd)) for writer in self.writers):
            os.close(fd)
            raise BlockingIOError
        return fd

    def write_in_place(self, side, path, slow=False):
        existed = os.path.lexists(self.at(side, path))
        fd = self.open_alone(side, path, os.O_CREAT)
        with open(os.dup(fd), "rb") as f:
            before = self.versions.get(hashlib.sha256(f.read()).digest())
        os.ftruncate(fd, 0)
        self.overwritten(side, path, before)
        self.named(side, path)
        self.forget_newest(path)
        self.note("writing '%s' in the %s%s%s", path, side, " in place" if existed else "", ", slowly" if slow else "")
        writer = {"side": side, "path": path, "fd": fd, "content": self.fresh(side, path), "done": 0, "pieces": self.rng.randrange(2, 6) if slow else 1}
        self.drafts[DISK].add(hashlib.sha256(b"").digest())
        self.writers.append(writer)
        if not slow:
            self.advance(writer)

    def advance(self, writer):
        """The next piece of a file that is being written."""
        os.lseek(writer["fd"], 0, os.SEEK_END)
        end = len(writer["content"]) if writer["pieces"] <= 1 else writer["done"] + (len(writer["content"]) - writer["done"]) // writer["pieces"]
        try:
            self.put(writer["fd"], writer["content"][writer["done"]:end])
        except OSError:
            self.writers.remove(writer)
            self.scrap(writer["path"], writer["fd"])
            return
        writer["done"], writer["pieces"] = end, writer["pieces"] - 1
        if end < len(writer["content"]):
            self.drafts[writer["side"]].add(hashlib.sha256(writer["content"][:end]).digest())
            return
        self.writers.remove(writer)
        self.finish(writer["side"], writer["path"], writer["fd"], writer["content"])

    def append(self, side, path):
        fd = self.open_alone(side, path, os.O_APPEND)
        with open(os.dup(fd), "rb") as f:
            old = f.read()
        more = self.fresh(side, path)[:200]
        try:
            self.put(fd, more)
        except OSError:
            os.close(fd)
            return
        self.overwritten(side, path, self.versions.get(hashlib.sha256(old).digest()))
        self.note("appended to '%s' in the %s", path, side)
        self.finish(side, path, fd, old + more)

    def replace(self, side, path):
        """Written under another name, and renamed."""
        temporary = self.at(side, os.path.join(os.path.dirname(path), self.rng.choice(["new-%d", "%d.part"]) % self.next()))
        content = self.fresh(side, path)
        fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o640)
        try:
            self.put(fd, content)
        except OSError:
            os.close(fd)
            os.unlink(temporary)
            return
        renamed = False
        self.note("replacing '%s' in the %s", path, side)
        self.drafts[DISK].add(hashlib.sha256(content).digest())
        try:
            renamed = self.rename_to(side, temporary, path)
        finally:
            if not renamed:
                os.close(fd)
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary)
        self.finish(side, path, fd, content)

    def rename_to(self, side, name, path):
        """Renames to a path, whatever has it."""
        if not os.path.lexists(self.at(side, path)):
            with contextlib.closing(harness.Inotify()) as watch:
                watch.add(os.path.dirname(self.at(side, path)))
                before = [self.version_at(other, path) for other in (DISK, RAM)]
                os.rename(name, self.at(side, path))
                if sum(p == self.at(side, path) and bool(m & watch.MOVED_TO) for m, p in watch.read()) > 1:
                    for version in before:
                        self.release(version, "the daemon came between at '%s'" % path)
        else:
            same = os.path.samestat(os.lstat(name), os.lstat(self.at(side, path)))
            with self.taking(side, path) as seen:
                os.rename(name, self.at(side, path))
                seen["moves"] = 1
            if seen["last"] and not same:
                self.overwritten(side, path, seen["version"])
            elif not same and seen["version"]:
                self.unlinked(side, path, seen["version"])
        self.named(side, path)
        return True

    # --- names ---

    def rename(self, side, path, to):
        if path == to or not stat.S_ISREG(os.lstat(self.at(side, path)).st_mode) or os.path.isdir(self.at(side, to)):
            return
        self.note("renaming '%s' to '%s' in the %s", path, to, side)
        self.rename_to(side, self.at(side, path), to)
        self.forget_newest(path)
        self.forget_newest(to)

    def rename_directory(self, side, path, to):
        if to == path or to.startswith(path + "/") or os.path.lexists(self.at(side, to)) or os.path.islink(self.at(side, path)):
            return
        if not os.path.isdir(self.at(side, path)) or self.leads_out(side, path, to):
            return
        self.note("renaming directory '%s' to '%s' in the %s", path, to, side)
        os.rename(self.at(side, path), self.at(side, to))
        self.forget_newest(path)
        self.forget_newest(to)
        self.named(side, to)
        for name in list(self.walk(side)):
            if name.startswith(to + "/"):
                self.named(side, name)

    def leads_out(self, side, path, to):
        """A symbolic link below @path would lead out of the tree from @to. Such a link is no part of a mirror, and keeps its name on the disk."""
        for name in self.walk(side):
            if name.startswith(path + "/") and os.path.islink(self.at(side, name)):
                target = os.readlink(self.at(side, name))
                if os.path.normpath(os.path.join(os.path.dirname(to + name[len(path):]), target)).startswith(".."):
                    return True
        return False

    def link(self, side, path, to):
        if not stat.S_ISREG(os.lstat(self.at(side, path)).st_mode):
            return
        os.link(self.at(side, path), self.at(side, to))
        self.note("linked '%s' to '%s' in the %s", path, to, side)
        self.named(side, to)
        self.forget_newest(to)

    def symlink(self, side, path, to):
        os.symlink(os.path.relpath(to, os.path.dirname(path) or "."), self.at(side, path))
        self.note("symbolic link '%s' to '%s' in the %s", path, to, side)
        self.named(side, path)
        self.forget_newest(path)

    def unlink(self, side, path):
        if os.path.isdir(self.at(side, path)) and not os.path.islink(self.at(side, path)):
            return
        with self.taking(side, path) as seen:
            os.unlink(self.at(side, path))
        self.note("deleted '%s' in the %s", path, side)
        if seen["last"]:
            self.removed(side, path, seen["version"], seen["on_disk"])
        elif seen["version"]:
            self.unlinked(side, path, seen["version"])
        self.forget_newest(path)

    def remove_tree(self, side, path):
        below = sorted((p for p in self.walk(side) if p == path or p.startswith(path + "/")), reverse=True)
        for name in below:
            with contextlib.suppress(OSError):
                if os.path.isdir(self.at(side, name)) and not os.path.islink(self.at(side, name)):
                    os.rmdir(self.at(side, name))
                    self.note("removed directory '%s' in the %s", name, side)
                else:
                    self.unlink(side, name)
        self.forget_newest(path)

    def mkdir(self, side, path):
        os.mkdir(self.at(side, path))
        self.note("made directory '%s' in the %s", path, side)
        self.named(side, path)
        self.forget_newest(path)

    def rmdir(self, side, path):
        os.rmdir(self.at(side, path))
        self.note("removed directory '%s' in the %s", path, side)
        self.forget_newest(path)

    # --- attributes ---

    def chmod(self, side, path):
        if not os.path.islink(self.at(side, path)):
            os.chmod(self.at(side, path), self.rng.choice([0o600, 0o640, 0o644, 0o755]) | 0o100 * os.path.isdir(self.at(side, path)))
            self.note("chmod '%s' in the %s", path, side)

    def chown(self, side, path):
        if not os.path.islink(self.at(side, path)):  # whose a symbolic link is means nothing, and is not carried over
            os.chown(self.at(side, path), self.rng.choice([0, 1000]), self.rng.choice([0, 100]))
            self.note("chown '%s' in the %s", path, side)

    def utime(self, side, path):
        """Into the past, so that what is written later is newer."""
        moment = self.rng.randrange(10**18, 15 * 10**17)
        version = self.version_at(side, path)
        os.utime(self.at(side, path), ns=(moment, moment), follow_symlinks=False)
        self.note("utimes '%s' in the %s", path, side)
        for known in [p for p, v in self.newest.items() if v is version or p == path]:
            del self.newest[known]

    # --- the dice ---

    def operations(self):
        """What may be done next, each with its weight."""
        rng = self.rng
        side, path, to = rng.choice([DISK, RAM, RAM]), rng.choice(FILES), rng.choice(FILES)
        directory, other = rng.choice(DIRECTORIES), rng.choice(DIRECTORIES)
        return [
            (14, lambda: self.write_in_place(side, path)), (6, lambda: self.write_in_place(side, path, slow=True)),
            (16, lambda: self.replace(side, path)), (6, lambda: self.append(side, path)), (10, lambda: self.rename(side, path, to)),
            (3, lambda: self.rename_directory(side, directory, other)), (4, lambda: self.link(side, path, to)),
            (2, lambda: self.symlink(side, path, to)), (4, lambda: self.chmod(side, rng.choice([path, directory]))),
            (2, lambda: self.chown(side, path)), (4, lambda: self.utime(side, path)), (14, lambda: self.unlink(side, path)),
            (1, lambda: self.remove_tree(side, directory)), (8, lambda: self.mkdir(side, directory)), (3, lambda: self.rmdir(side, directory)),
        ]

    def step(self):
        rng = self.rng
        operations = self.operations()
        operation = rng.choices([o for _, o in operations], [w for w, _ in operations])[0]
        state = random.Random(rng.getrandbits(64))
        self.rng, kept = state, rng  # how far an operation comes does not change what the next ones are
        try:
            operation()
        except OSError:
            pass  # a name that is not there, or is taken, or is something else: another time
        for writer in list(self.writers):
            if state.random() < 0.15:
                self.advance(writer)
        self.rng = kept

    def finish_writers(self):
        while self.writers:
            self.writers[0]["pieces"] = 1
            self.advance(self.writers[0])
