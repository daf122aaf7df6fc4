# SPDX-License-Identifier: GPL-2.0-or-later
"""What an Ollama client does to its directory of models, by plain file operations and in its order, without a network or a server.

A Model is what a registry has: layers and a configuration. A Client acts on one directory. What takes time, pulls and creates, are generators
that stop after each step: to leave one half-way is to cancel it (the client writes down how far it came), and client.killed = True before that
makes it a kill -9. What a download is made of is scaled down: parts have a few hundred kilobytes instead of a hundred megabytes.
"""

import contextlib
import glob
import hashlib
import json
import os
import random
import re
import shutil
import tempfile
import time

PART_BYTES, CHUNK_BYTES = 256 << 10, 64 << 10
BLOB = re.compile(r"sha256[-:][0-9a-fA-F]{64}")
TENSOR = "application/vnd.ollama.image.tensor"


class DigestMismatch(Exception):
    pass


def digest(content):
    return "sha256-" + hashlib.sha256(content).hexdigest()


class Model:
    """Layers and a configuration, as bytes, and the manifest that names them."""

    def __init__(self, *layers, config=None, types=()):
        self.layers = list(layers)
        self.config = b'{"model_format":"gguf","salt":%d}' % random.getrandbits(60) if config is None else config
        self.types = list(types) or ["application/vnd.ollama.image.model"] * len(layers)

    @classmethod
    def random(cls, *sizes, **options):
        return cls(*(os.urandom(size) for size in sizes), **options)

    @property
    def contents(self):
        return [*self.layers, self.config]

    @property
    def blobs(self):
        return [digest(content) for content in self.contents]

    @property
    def manifest(self):
        def describe(kind, content):
            return {"mediaType": kind, "digest": digest(content).replace("-", ":"), "size": len(content)}
        return json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
                           "config": describe("application/vnd.docker.container.image.v1+json", self.config),
                           "layers": [describe(kind, content) for kind, content in zip(self.types, self.layers)]}).encode()


def manifest_name(name):
    """The path below the directory of models: llama3, llama3:70b, user/model:tag, host/user/model:tag."""
    parts = name.split("/")
    model, _, tag = parts.pop().partition(":")
    defaults = ["registry.ollama.ai", "library"]
    return os.path.join("manifests", *defaults[:2 - len(parts)], *parts, model, tag or "latest")


def named(manifest):
    """The digests that the text of a manifest names, with the sizes it gives."""
    data = json.loads(manifest)
    layers = [*data["layers"], *([data["config"]] if data.get("config", {}).get("digest") else [])]
    return [(layer["digest"].replace(":", "-"), layer["size"]) for layer in layers]


class Client:
    def __init__(self, root, prune=True):
        self.root, self.prune, self.killed = root, prune, False
        self.spoiled = {}  # digest -> the bytes that the network delivers instead
        self.truncated = lambda: None  # called between the two steps in which a manifest is replaced

    def path(self, *parts):
        return os.path.join(self.root, *parts)

    def blob(self, name):
        return self.path("blobs", name)

    # -- reading --

    def manifests(self, tolerant=False):
        """{path: text} of all that the client sees; a link that leads nowhere is an error even when it is tolerant."""
        found = {}
        for path in glob.glob(os.path.join(glob.escape(self.path("manifests")), *(["*"] * 4)), include_hidden=True):
            os.stat(path)
            with open(path, "rb") as f:
                text = f.read()
            try:
                named(text)
            except (ValueError, KeyError, TypeError):
                if tolerant:
                    continue
                raise
            found[os.path.relpath(path, self.root)] = text
        return found

    def used(self, tolerant=True):
        return {name for text in self.manifests(tolerant).values() for name, _ in named(text)}

    def read(self, name):
        with open(self.blob(name), "rb") as f:
            return f.read()

    def load(self, name):
        """Reads a model through its manifest, as a run does; raises if anything of it is missing or wrong."""
        with open(self.path(manifest_name(name)), "rb") as f:
            blobs = named(f.read())
        for blob, size in blobs:
            content = self.read(blob)
            if len(content) != size or digest(content) != blob:
                raise DigestMismatch(blob)
        return [blob for blob, _ in blobs]

    # -- pull --

    def pull(self, name, model, **options):
        for _ in self.pulling(name, model, **options):
            pass

    def pulling(self, name, model, in_order=True):
        """All blobs under their final names, then all of them are verified, then the manifest, then what the old one named goes."""
        os.makedirs(self.path("blobs"), exist_ok=True)
        old = self.old_blobs(name)
        fresh = []
        for content in model.contents:
            if not os.path.exists(self.blob(digest(content))):
                fresh.append(digest(content))
                yield from self.downloading(content)
        for blob in fresh:
            yield "verify", blob
            if digest(self.read(blob)) != blob:
                os.unlink(self.blob(blob))
                raise DigestMismatch(blob)
        yield "manifest", name
        self.write_manifest(name, model.manifest)
        yield "written", name
        if self.prune:
            self.remove_unused(old - set(model.blobs))

    def old_blobs(self, name):
        try:
            with open(self.path(manifest_name(name)), "rb") as f:
                return {blob for blob, _ in named(f.read())}
        except (OSError, ValueError, KeyError):
            return set()

    def downloading(self, content):
        blob = digest(content)
        partial = self.blob(blob) + "-partial"
        content = self.spoiled.get(blob, content)
        parts = self.prepare_parts(partial, len(content))
        with open(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644), "r+b", buffering=0) as f:
            with contextlib.suppress(OSError):
                f.truncate(len(content))
            yield from self.fetching(f.fileno(), partial, parts, content)
        for part in parts:
            os.unlink("%s-%d" % (partial, part["N"]))
        yield "unlinked", blob
        os.rename(partial, self.blob(blob))
        yield "renamed", blob

    def prepare_parts(self, partial, size):
        parts = []
        for path in glob.glob(glob.escape(partial) + "-*"):
            with open(path, "rb") as f:
                parts.append(json.load(f))
        if not parts:
            for n, offset in enumerate(range(0, size, PART_BYTES)):
                parts.append({"N": n, "Offset": offset, "Size": min(PART_BYTES, size - offset), "Completed": 0})
                self.write_part(partial, parts[-1])
        return parts

    @staticmethod
    def write_part(partial, part):
        with open("%s-%d" % (partial, part["N"]), "w") as f:
            json.dump(part, f)

    def fetching(self, fd, partial, parts, content):
        """All parts at once, a chunk of each in turn; how far a part came is written down when it ends, one way or the other."""
        todo = [part for part in parts if part["Completed"] < part["Size"]]
        try:
            while todo:
                for part in list(todo):
                    at = part["Offset"] + part["Completed"]
                    chunk = content[at:min(at + CHUNK_BYTES, part["Offset"] + part["Size"])]
                    if os.pwrite(fd, chunk, at) < len(chunk):
                        raise OSError("short write")
                    part["Completed"] += len(chunk)
                    if part["Completed"] == part["Size"]:
                        todo.remove(part)
                        self.write_part(partial, part)
                    yield "bytes", len(chunk)
        finally:
            if not self.killed:
                for part in todo:
                    with contextlib.suppress(OSError):
                        self.write_part(partial, part)

    def write_manifest(self, name, text):
        path = self.path(manifest_name(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            self.truncated()
            while text:
                text = text[os.write(fd, text):]
        finally:
            os.close(fd)

    def remove_unused(self, blobs):
        if not blobs:
            return
        used = self.used()
        for blob in blobs - used:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.blob(blob))

    # -- the other way to pull: tensors --

    def pull_tensors(self, name, model):
        """The stream is hashed, and the results of the writes are not checked. Returns what a rename put there that is not whole."""
        os.makedirs(self.path("blobs"), exist_ok=True)
        broken = []
        for content in model.contents:
            final = self.blob(digest(content))
            with contextlib.suppress(FileNotFoundError):
                if os.stat(final).st_size == len(content):
                    continue
            fd = os.open(final + ".tmp", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
            for at in range(0, len(content), CHUNK_BYTES):
                with contextlib.suppress(OSError):
                    os.write(fd, content[at:at + CHUNK_BYTES])
            os.close(fd)
            os.rename(final + ".tmp", final)
            if os.stat(final).st_size != len(content):
                broken.append(digest(content))
        self.write_manifest(name, model.manifest)
        return broken

    # -- create, cp, rm --

    def new_layer(self, content):
        """A temporary, and then it has the digest's name; one that is there already is touched only."""
        while True:
            temporary = self.path("blobs", "sha256-%d" % random.randrange(1 << 32))
            with contextlib.suppress(FileExistsError):
                fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                break
        for at in range(0, len(content), CHUNK_BYTES):
            os.write(fd, content[at:at + CHUNK_BYTES])
            yield "temporary", temporary
        os.close(fd)
        final = self.blob(digest(content))
        if os.path.exists(final):
            os.unlink(temporary)
            os.utime(final)
            return
        os.rename(temporary, final)
        yield "renamed", digest(content)
        os.chmod(final, 0o644)
        os.utime(final)

    def create(self, name, model, **options):
        for _ in self.creating(name, model, **options):
            pass

    def creating(self, name, model, safetensors=False, split=False):
        """What the model is made of is uploaded first; from safetensors there is a scratch directory with absolute links to it, from a split
        model one with hard links, and a quantized file is written under a name of its own kind."""
        os.makedirs(self.path("blobs"), exist_ok=True)
        old = self.old_blobs(name)
        for content in model.layers:
            yield from self.new_layer(content)
        scratch = None
        if safetensors:
            scratch = tempfile.mkdtemp(prefix="ollama-safetensors", dir=self.root)
            for i, blob in enumerate(model.blobs[:-1]):
                os.symlink(self.blob(blob), os.path.join(scratch, "model-%d.safetensors" % i))
            with open(os.path.join(scratch, "fp16-1"), "wb") as f:
                f.write(b"converted")
        if split:
            scratch = tempfile.mkdtemp(prefix="split-gguf-", dir=self.path("blobs"))
            for i, blob in enumerate(model.blobs[:-1]):
                os.link(self.blob(blob), os.path.join(scratch, "model-%05d-of-%05d.gguf" % (i + 1, len(model.layers))))
            with open(self.blob("Q4_K_M%d" % random.randrange(1 << 32)), "wb") as f:
                f.write(b"quantized")
                rest = f.name
        yield "scratch", scratch
        if split:
            os.unlink(rest)
        if scratch:
            shutil.rmtree(scratch)
        yield from self.new_layer(model.config)
        self.write_manifest(name, model.manifest)
        yield "written", name
        if self.prune:
            self.remove_unused(old - set(model.blobs))

    def cp(self, name, other):
        target = self.path(manifest_name(other))
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(self.path(manifest_name(name)), "rb") as a, open(target, "wb") as b:
            while os.copy_file_range(a.fileno(), b.fileno(), 1 << 20) > 0:
                pass

    def rm(self, name):
        """Also without pruning, the blobs go that no other manifest names."""
        path = self.path(manifest_name(name))
        with open(path, "rb") as f:
            blobs = {blob for blob, _ in named(f.read())}
        os.unlink(path)
        self.prune_directory(self.path("manifests"))
        os.makedirs(self.path("manifests"), exist_ok=True)
        self.remove_unused(blobs)

    def prune_directory(self, path):
        """All that is empty, and then itself if it is; links are left alone."""
        if not os.path.isdir(path) or os.path.islink(path):
            return
        for name in os.listdir(path):
            self.prune_directory(os.path.join(path, name))
        if not os.listdir(path):
            os.rmdir(path)

    # -- start of the server --

    def start(self, grace=3600):
        """Old names are renamed; then, if every manifest can be read, blobs that none names go, and all that is no blob: before v0.21 at once
        (grace 0), since then after an hour. True if it has pruned."""
        for name in ("blobs", "manifests"):
            os.makedirs(self.path(name), exist_ok=True)
        for name in os.listdir(self.path("blobs")):
            if name.startswith("sha256:"):
                os.rename(self.blob(name), self.blob(name.replace(":", "-")))
        if not self.prune:
            return False
        try:
            used = self.used(tolerant=False)
        except (OSError, ValueError, KeyError, TypeError):
            return False
        for name in os.listdir(self.path("blobs")):
            status = os.lstat(self.blob(name))
            if os.path.isdir(self.blob(name)) or (grace and time.time() - status.st_mtime < grace):
                continue
            if not BLOB.fullmatch(name) or name.replace(":", "-") not in used:
                os.unlink(self.blob(name))
        self.prune_directory(self.path("manifests"))
        os.makedirs(self.path("manifests"), exist_ok=True)
        return True
