#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A real engine uses a model from the mirror of a real daemon.

    engine.py --make-gguf=PROGRAM --engine=DIRECTORY --shmstaged=PROGRAM [unittest's own arguments]

make-gguf makes the model, install.sh filled the directory with llama.cpp, and the daemon is run by hand, as a
person would. Nothing is skipped: what is missing is an error.
"""

import argparse
import filecmp
import hashlib
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
MIB = 1024 * 1024
ALIGNMENT = 32
START_TIMEOUT = 60
paths = argparse.Namespace()


class Gguf:
        """Reads the structure of a GGUF file, sharing nothing with the program that wrote it."""

        SCALARS = {0: 'B', 1: 'b', 2: 'H', 3: 'h', 4: 'I', 5: 'i', 6: 'f', 7: '?', 10: 'Q', 11: 'q', 12: 'd'}
        STRING, ARRAY = 8, 9
        ELEMENT_SIZE = {0: 4, 1: 2}  # F32, F16

        def __init__(self, path):
                with open(path, 'rb') as self.file:
                        self.magic = self.file.read(4)
                        self.version, n_tensors, n_pairs = self.number('I'), self.number('Q'), self.number('Q')
                        self.pairs = dict(self.pair() for _ in range(n_pairs))
                        self.tensors = dict(self.tensor() for _ in range(n_tensors))
                        self.n_tensors, self.n_pairs = n_tensors, n_pairs
                        self.data = -(-self.file.tell() // ALIGNMENT) * ALIGNMENT

        def number(self, code):
                return struct.unpack('<' + code, self.file.read(struct.calcsize(code)))[0]

        def string(self):
                return self.file.read(self.number('Q')).decode()

        def value(self, kind):
                if kind == self.STRING:
                        return self.string()
                if kind == self.ARRAY:
                        kind, n = self.number('I'), self.number('Q')
                        return [self.value(kind) for _ in range(n)]
                return self.number(self.SCALARS[kind])

        def pair(self):
                return self.string(), self.value(self.number('I'))

        def tensor(self):
                name = self.string()
                dimensions = [self.number('Q') for _ in range(self.number('I'))]
                return name, (dimensions, self.number('I'), self.number('Q'))

        def extents(self):
                """(first byte, byte after the last) of each tensor, counted from the start of the data."""
                for dimensions, kind, offset in self.tensors.values():
                        size = self.ELEMENT_SIZE[kind]
                        for dimension in dimensions:
                                size *= dimension
                        yield offset, offset + size


def run(*command, timeout=120):
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


def make_gguf(path, size, *more):
        result = run(paths.make_gguf, f'--size={size}', f'--output={path}', *more)
        if result.returncode != 0:
                raise AssertionError(f'make-gguf failed: {result.stderr}')
        return path


def generate(path, engine=None):
        return run('node', os.path.join(HERE, 'generate.mjs'), f'--engine={engine or paths.engine}', path)


def digest(path):
        with open(path, 'rb') as file:
                return hashlib.file_digest(file, 'sha256').hexdigest()


class WithDirectory(unittest.TestCase):
        def setUp(self):
                self.directory = tempfile.mkdtemp(prefix='shmstaged-engine-')
                self.addCleanup(shutil.rmtree, self.directory)

        def path(self, name):
                return os.path.join(self.directory, name)


class MakeGguf(WithDirectory):
        def test_the_same_size_and_seed_give_the_same_bytes(self):
                first, second, other = (make_gguf(self.path(name), '5M', f'--seed={seed}')
                                        for name, seed in (('a', 7), ('b', 7), ('c', 8)))

                self.assertEqual(digest(first), digest(second))
                self.assertNotEqual(digest(first), digest(other))
                self.assertEqual(os.path.getsize(first), os.path.getsize(other))

        def test_the_size_is_within_a_tenth_of_the_requested_size(self):
                sizes = {'1M': MIB, str(3 * MIB + 1): 3 * MIB, '17M': 17 * MIB, '100M': 100 * MIB}
                for asked, size in sizes.items():
                        with self.subTest(size=asked):
                                got = os.path.getsize(make_gguf(self.path('model'), asked))
                                self.assertLess(abs(got - size), size / 10)

        def test_the_structure_reads_back(self):
                path = make_gguf(self.path('model'), '20M')
                model = Gguf(path)

                self.assertEqual((model.magic, model.version), (b'GGUF', 3))
                self.assertEqual((len(model.pairs), len(model.tensors)), (model.n_pairs, model.n_tensors))
                self.assertEqual(model.n_tensors, 3 + 9 * model.pairs['llama.block_count'])
                self.assertEqual(model.pairs['general.alignment'], ALIGNMENT)
                self.check_tokenizer(model)
                self.check_tensors(model, os.path.getsize(path))

        def check_tokenizer(self, model):
                tokens = model.pairs['tokenizer.ggml.tokens']

                self.assertEqual(len(set(tokens)), len(tokens))
                self.assertEqual(len(tokens), model.pairs['llama.vocab_size'])
                self.assertEqual(len(tokens), len(model.pairs['tokenizer.ggml.scores']))
                self.assertEqual(len(tokens), len(model.pairs['tokenizer.ggml.token_type']))
                self.assertEqual(tokens[model.pairs['tokenizer.ggml.bos_token_id']], '<s>')
                self.assertEqual(tokens[model.pairs['tokenizer.ggml.eos_token_id']], '</s>')
                self.assertEqual([token for token in tokens if token.startswith('<0x')],
                                 [f'<0x{byte:02X}>' for byte in range(256)])

        def check_tensors(self, model, file_size):
                width = model.pairs['llama.embedding_length']
                hidden = model.pairs['llama.feed_forward_length']
                end = 0

                self.assertEqual(model.tensors['blk.0.ffn_down.weight'][0], [hidden, width])
                self.assertEqual(model.tensors['token_embd.weight'][0], [width, model.pairs['llama.vocab_size']])
                for start, tensor_end in model.extents():
                        self.assertEqual(start % ALIGNMENT, 0)
                        self.assertGreaterEqual(start, end)
                        end = tensor_end
                self.assertEqual(model.data + end, file_size)

        def test_wrong_arguments_are_named_and_exit_with_2(self):
                for argument in '--size=', '--size=0', '--size=-5M', '--size=5X', '--size=5MB', '--size=2000G', \
                                '--size=99999999999999999999', '--seed=x', '--seed=16777216', '--nonsense', 'stray':
                        with self.subTest(argument=argument):
                                result = run(paths.make_gguf, f'--output={self.path("model")}', argument)
                                self.assertEqual(result.returncode, 2)
                                self.assertIn('make-gguf', result.stderr)
                                self.assertFalse(os.path.exists(self.path('model')))

        def test_a_full_disk_exits_with_1_and_is_reported(self):
                result = run(paths.make_gguf, '--size=5M', '--output=/dev/full')

                self.assertEqual(result.returncode, 1)
                self.assertIn('/dev/full: No space left on device', result.stderr)
                self.assertTrue(os.path.exists('/dev/full'))

        def test_a_file_that_could_not_be_finished_is_removed(self):
                limited = ['sh', '-c', 'trap "" XFSZ; ulimit -f 2048; exec "$@"', 'sh', paths.make_gguf]
                result = run(*limited, '--size=5M', f'--output={self.path("model")}')

                self.assertEqual(result.returncode, 1)
                self.assertIn('File too large', result.stderr)
                self.assertEqual(os.listdir(self.directory), [])

        def test_a_directory_that_is_not_there_exits_with_1(self):
                result = run(paths.make_gguf, '--size=1M', f'--output={self.path("no/model")}')

                self.assertEqual(result.returncode, 1)
                self.assertIn('No such file or directory', result.stderr)


class Generate(WithDirectory):
        def assert_refused(self, result, sentence):
                self.assertEqual(result.returncode, 1, result.stderr)
                self.assertIn('generate: cannot use ', result.stderr)
                self.assertIn(sentence, result.stderr)
                self.assertEqual(result.stdout, '')

        def test_a_truncated_model_is_refused(self):
                path = make_gguf(self.path('model'), '2M')
                os.truncate(path, MIB)
                self.assert_refused(generate(path), 'corrupted or incomplete')

        def test_a_model_with_a_wrong_magic_is_refused(self):
                path = make_gguf(self.path('model'), '2M')
                with open(path, 'r+b') as file:
                        file.write(b'JUNK')
                self.assert_refused(generate(path), 'magic')

        def test_a_model_with_a_weight_that_is_no_number_is_refused(self):
                path = make_gguf(self.path('model'), '2M')
                with open(path, 'r+b') as file:
                        file.seek(MIB)
                        file.write(b'\xff' * 64)
                self.assert_refused(generate(path), 'invalid data')

        def test_a_model_that_is_not_there_is_refused(self):
                self.assert_refused(generate(self.path('model')), 'no such file')

        def test_a_directory_without_an_engine_is_reported(self):
                path = make_gguf(self.path('model'), '1M')
                self.assert_refused(generate(path, engine=self.directory), 'run install.sh first')


class Notifications:
        """The socket a Type=notify service is given. A thread empties it, or the daemon would wait for us."""

        def __init__(self, path):
                self.path = path
                self.lines = []
                self.changed = threading.Condition()
                self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
                self.socket.bind(path)
                self.thread = threading.Thread(target=self.collect, daemon=True)
                self.thread.start()

        def collect(self):
                while message := self.socket.recv(65536):
                        with self.changed:
                                self.lines += message.decode(errors='replace').splitlines()
                                self.changed.notify_all()

        def wait(self, line, timeout, process=None):
                """True once @line came; False when time is over or @process ended without it."""
                deadline = time.monotonic() + timeout
                with self.changed:
                        while line not in self.lines:
                                if time.monotonic() > deadline or (process and process.poll() is not None):
                                        return False
                                self.changed.wait(0.1)
                return True

        def close(self):
                with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
                        end.sendto(b'', self.path)  # an empty datagram ends the thread
                self.thread.join()
                self.socket.close()


class Mirror(WithDirectory):
        """The daemon in the foreground, with one mirror in a tmpfs and a source that holds one model."""

        def setUp(self):
                super().setUp()
                shm = tempfile.mkdtemp(prefix='shmstaged-engine-', dir='/dev/shm')
                self.addCleanup(shutil.rmtree, shm)
                self.target = os.path.join(shm, 'models')
                self.addCleanup(self.unmount)
                os.mkdir(self.path('source'))
                os.mkdir(self.path('state'))
                self.source = make_gguf(self.path('source/model.gguf'), '60M')
                self.copy = os.path.join(self.target, 'model.gguf')
                with open(self.path('shmstaged.conf'), 'w', encoding='utf-8') as file:
                        file.write('[Mirror models]\n'
                                   f'Source={self.path("source")}\nTarget={self.target}\nSize=128M\n')
                self.notifications = Notifications(self.path('notify'))
                self.addCleanup(self.notifications.close)
                self.log = open(self.path('log'), 'w+', encoding='utf-8', errors='replace')
                self.addCleanup(self.log.close)

        def unmount(self):
                if os.path.ismount(self.target):  # only after a test that failed
                        subprocess.run(['umount', '--lazy', self.target], check=True)

        def start(self):
                ours = {'NOTIFY_SOCKET': self.path('notify'), 'STATE_DIRECTORY': self.path('state'),
                        'RUNTIME_DIRECTORY': self.path('run')}
                daemon = subprocess.Popen([paths.shmstaged, f'--config={self.path("shmstaged.conf")}'],
                                          env=os.environ | ours, stdin=subprocess.DEVNULL,
                                          stdout=self.log, stderr=self.log)
                self.addCleanup(daemon.wait)
                self.addCleanup(daemon.kill)
                return daemon

        def logged(self):
                self.log.seek(0)
                return 'the daemon logged:\n' + self.log.read()

        def test_an_engine_maps_the_copy_in_ram_and_generates_from_it(self):
                daemon = self.start()
                self.assertTrue(self.notifications.wait('READY=1', START_TIMEOUT, daemon), self.logged())
                self.assertNotEqual(os.stat(self.copy).st_dev, os.stat(self.source).st_dev)
                self.assertTrue(filecmp.cmp(self.copy, self.source, shallow=False))

                result = generate(self.copy)
                self.assertEqual(result.returncode, 0, result.stderr)
                answer = json.loads(result.stdout)
                self.assertEqual(answer['loaded'], self.copy)
                self.assertTrue(answer['mapped'])
                self.assertGreaterEqual(answer['tokens'], 1)

                daemon.send_signal(signal.SIGTERM)
                self.assertEqual(daemon.wait(timeout=30), 0, self.logged())
                self.assertTrue(self.notifications.wait('STOPPING=1', 5), self.notifications.lines)
                self.assertFalse(os.path.lexists(self.copy))
                self.assertFalse(os.path.ismount(self.target))
                self.assertTrue(os.path.exists(self.source))


def interrupted(number, _):
        """unittest runs its cleanups after any exception but KeyboardInterrupt."""
        sys.exit(f'interrupted by {signal.Signals(number).name}')


def main():
        parser = argparse.ArgumentParser(allow_abbrev=False)
        parser.add_argument('--make-gguf', required=True, type=os.path.abspath)
        parser.add_argument('--engine', required=True, type=os.path.abspath)
        parser.add_argument('--installed', help='the stamp of install.sh, which is not read')
        parser.add_argument('--shmstaged', required=True, type=os.path.abspath)
        _, rest = parser.parse_known_args(namespace=paths)
        signal.signal(signal.SIGINT, interrupted)
        signal.signal(signal.SIGTERM, interrupted)
        unittest.main(argv=[sys.argv[0], *rest], verbosity=2)


if __name__ == '__main__':
        main()
