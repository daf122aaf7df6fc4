# SPDX-License-Identifier: GPL-2.0-or-later
"""The trees that the benchmarks stage. Their bytes are random but quickly made, and no 4 KiB of a tree occur twice in it."""

import hashlib
import json
import os
import random

from measure import MIB, drop, fill, resident

POOL = 32 * MIB


class Random:
    """Random bytes: pieces of one pool, each 4 KiB with a number of its own."""

    def __init__(self):
        self.pool = os.urandom(POOL + MIB)
        self.rng = random.Random(1)
        self.counter = 0

    def pieces(self, size):
        while size > 0:
            n = min(size, MIB)
            at = self.rng.randrange(POOL)
            piece = bytearray(self.pool[at:at + n])
            for offset in range(0, n - 7, 4096):
                piece[offset:offset + 8] = self.counter.to_bytes(8, "little")
                self.counter += 1
            yield piece
            size -= n


class Source:
    """A tree on the disk, and what of it is in the page cache."""

    def __init__(self, path):
        self.path = path
        self.files = []  # (path, size)
        self.random = Random()
        self.buffer = bytearray(MIB)
        os.makedirs(path)

    @property
    def bytes(self):
        return sum(size for _, size in self.files)

    def name(self, name):
        path = os.path.join(self.path, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    def add(self, name, size):
        path = self.name(name)
        with open(path, "wb") as f:
            f.writelines(self.random.pieces(size))
            if size >= MIB:
                os.fdatasync(f.fileno())
        self.files.append((path, size))

    def add_blob(self, form, size, git=False):
        """One that is named by its SHA-256, or as git would name it. Returns the digest."""
        digest, path = hashlib.sha1(b"blob %d\0" % size) if git else hashlib.sha256(), self.name("new")
        with open(path, "wb") as f:
            for piece in self.random.pieces(size):
                digest.update(piece)
                f.write(piece)
        name = digest.hexdigest()
        final = self.name(form % name)
        os.rename(path, final)
        self.files.append((final, size))
        return name

    def add_text(self, name, text):
        path = self.name(name)
        with open(path, "w") as f:
            f.write(text)
        self.files.append((path, len(text)))

    def complete(self):
        os.sync()
        return self

    def cached(self):
        """In percent."""
        return 100 * sum(resident(path, size) for path, size in self.files) / self.bytes

    def chill(self):
        for path, _ in self.files:
            drop(path)
        cached = self.cached()
        if cached > 0.5:
            print("  note: %.1f %% of the source could not be dropped from the page cache" % cached, flush=True)

    def warm(self):
        for path, _ in self.files:
            fill(path, self.buffer)
        cached = self.cached()
        if cached < 99.5:
            print("  note: only %.1f %% of the source stay in the page cache" % cached, flush=True)


def one(path, size):
    source = Source(path)
    source.add("model.gguf", size)
    return source.complete()


def eight(path, size):
    source = Source(path)
    for i in range(8):
        source.add("model-%05d-of-00008.safetensors" % (i + 1), size // 8)
    return source.complete()


def small(path, n_files, sizes=(1024, 65536)):
    source = Source(path)
    rng = random.Random(2)
    for i in range(n_files):
        source.add("%03d/%05d.json" % (i // 200, i), rng.randint(*sizes))
    return source.complete()


def huggingface(path, size):
    """A cache of the Hub with two repositories: one in four shards, one in a single file."""
    source = Source(path)
    for repository, n_shards, share in (("models--org--large", 4, 6), ("models--org--small", 1, 2)):
        commit = hashlib.sha1(repository.encode()).hexdigest()
        for i in range(n_shards):
            blob = source.add_blob(repository + "/blobs/%s", size * share // 8 // n_shards)
            link(source, repository, commit, "model-%05d-of-%05d.safetensors" % (i + 1, n_shards), blob)
        for name, n_bytes in (("config.json", 700), ("generation_config.json", 200), ("tokenizer_config.json", 50000), ("tokenizer.json", 9 << 20),
                              ("model.safetensors.index.json", 90000), ("README.md", 12000)):
            blob = source.add_blob(repository + "/blobs/%s", n_bytes, git=True)
            link(source, repository, commit, name, blob)
        source.add_text(os.path.join(repository, "refs", "main"), commit)
    return source.complete()


def link(source, repository, commit, name, blob):
    os.symlink("../../blobs/" + blob, source.name(os.path.join(repository, "snapshots", commit, name)))


def ollama(path, size):
    """A store with three models, which have two small layers in common."""
    source = Source(path)
    common = [layer(source, kind, n_bytes) for kind, n_bytes in (("template", 1500), ("license", 11000))]
    for name, share in (("large", 4), ("middle", 3), ("small", 1)):
        weights = layer(source, "model", size * share // 8)
        config = layer(source, "config", 500)
        manifest = {"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
                    "config": config, "layers": [weights, *common]}
        source.add_text("manifests/registry.ollama.ai/library/%s/latest" % name, json.dumps(manifest))
    return source.complete()


def layer(source, kind, size):
    media = "application/vnd.docker.container.image.v1+json" if kind == "config" else "application/vnd.ollama.image." + kind
    return {"mediaType": media, "digest": "sha256:" + source.add_blob("blobs/sha256-%s", size), "size": size}


def files_below(directory):
    """What there is, except the daemon's private directory: relative path -> the target of a link, or None."""
    found = {}
    for at, directories, names in os.walk(directory):
        if at == directory and ".shmstaged" in directories:
            directories.remove(".shmstaged")
        for name in names + [name for name in directories if os.path.islink(os.path.join(at, name))]:
            path = os.path.join(at, name)
            found[os.path.relpath(path, directory)] = os.readlink(path) if os.path.islink(path) else None
    return found


def difference(source, directory):
    """A sentence, or None if the directory has the same names, links and bytes as the source."""
    wanted, found = files_below(source.path), files_below(directory)
    if wanted != found:
        names = sorted(set(wanted.items()) ^ set(found.items()), key=str)
        return "%d names differ, '%s' is the first" % (len(names), names[0][0])
    for name, target in wanted.items():
        if target is None and not same_bytes(os.path.join(source.path, name), os.path.join(directory, name)):
            return "the bytes of '%s' differ" % name
    return None


def same_bytes(path, other):
    with open(path, "rb", buffering=0) as a, open(other, "rb", buffering=0) as b:
        while True:
            piece = a.read(4 * MIB)
            if piece != b.read(4 * MIB):
                return False
            if not piece:
                return True
