# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests put into a container: an engine that records what it saw, samples, and the times PID 1 keeps."""

import os
import random
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))


class Engine:
        """A service that runs engine.sh. @unit and @service are more lines for these sections."""

        def __init__(self, box, name, file, unit='', service=''):
                self.box, self.name, self.log = box, name, f'/var/log/{name}.seen'
                box.write('/usr/local/bin/engine', read_text(HERE + '/engine.sh'), 0o755)
                box.write(f'/etc/systemd/system/{name}',
                          f'[Unit]\n{unit}\n[Service]\nExecStart=/usr/local/bin/engine {self.log} {file}\n'
                          # the stop signal goes to the engine only, not to what it runs then
                          f'KillMode=mixed\n{service}\n'
                          '[Install]\nWantedBy=multi-user.target\n')

        def records(self):
                """[(act, seen)]: act is "start" or "stop", seen a digest or "absent"."""
                if not self.box.exists(self.log):
                        return []
                return [tuple(line.split()[1:]) for line in self.box.read(self.log).splitlines()]

        def wait_for_record(self, n=1, timeout=10):
                """Waits until the engine has recorded its @n-th sight; Type=simple is active before that."""
                self.box.wait_for(lambda: len(self.records()) >= n, timeout, f'record {n} of {self.name}')
                return self.records()[n - 1]


def read_text(path):
        with open(path) as file:
                return file.read()


def make_sample(path, size, seed=1):
        """A file of @size bytes that are hard to compress and differ by @seed, made at the speed of the disk."""
        os.makedirs(os.path.dirname(path), exist_ok=True)
        generator = random.Random(seed)
        block = generator.randbytes(min(size, 1 << 22))
        with open(path, 'wb') as file:
                left = size
                while left > 0:
                        # each block begins with its own number
                        part = left.to_bytes(8, 'little') + block[8:]
                        file.write(part[:min(left, len(part))])
                        left -= min(left, len(part))


def xxh128(path):
        return subprocess.run(['xxh128sum', path], check=True, capture_output=True, text=True).stdout.split()[0]


def usec(box, unit, what):
        """A time PID 1 keeps of @unit, in microseconds of the monotonic clock; 0: it never came. @what is like
        ActiveEnter, ActiveExit, InactiveEnter, ExecMainStart, ExecMainExit."""
        return int(box.show(unit, what + 'TimestampMonotonic'))
