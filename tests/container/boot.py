# SPDX-License-Identifier: GPL-2.0-or-later
"""Boots a real systemd as PID 1 on a throw-away overlay of the tree that tree.sh makes.

    with Container(tree, binds={'/var/tmp/models': '/data/models'}) as box:
            box.write('/etc/shmstaged.conf', '...')
            box.run('systemctl start shmstaged', timeout=30)

Every Container starts clean and the tree is never written to. Everything has a time limit. Leaving the context,
by whatever way, ends every process, mount and cgroup of the container; so does killing the process that owns it.
Only root can do this.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
# What every time limit here is multiplied by: on a busy machine all is slower.
PATIENCE = float(os.environ.get('SHMSTAGED_TEST_PATIENCE', '1'))


class ContainerError(Exception):
        pass


class Result:
        """What a command left behind: status (negative: the signal), out, err."""

        def __init__(self, status, out, err):
                self.status, self.out, self.err = status, out, err

        def __repr__(self):
                return f'Result(status={self.status}, out={self.out!r}, err={self.err!r})'


def run_bounded(argv, timeout, **more):
        """Runs @argv in a session of its own; all of that session dies when @timeout is over."""
        with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              start_new_session=True, text=True, errors='replace', **more) as process:
                try:
                        out, err = process.communicate(timeout=timeout)
                except BaseException as reason:
                        with contextlib.suppress(ProcessLookupError):
                                os.killpg(process.pid, signal.SIGKILL)
                        process.communicate()
                        if isinstance(reason, subprocess.TimeoutExpired):
                                raise ContainerError(f'no end after {timeout} s: {argv[-1]}') from None
                        raise
        return Result(process.returncode, out, err)


def wait_until(predicate, timeout, what, interval=0.02):
        """Returns what @predicate() gives as soon as it is true; @what names it if that never happens."""
        end = time.monotonic() + timeout * PATIENCE
        while True:
                value = predicate()
                if value:
                        return value
                if time.monotonic() > end:
                        raise ContainerError(f'not within {timeout} s: {what}')
                time.sleep(interval)


def namespace_pids(process):
        """The numbers of @process, from our PID namespace to its own."""
        with open(f'/proc/{process}/status') as file:
                return next(line for line in file if line.startswith('NSpid:')).split()[1:]


def cgroup_processes(group):
        with contextlib.suppress(OSError), open(group + '/cgroup.procs') as file:
                return [int(line) for line in file]
        return []


def cgroup_cpu_seconds(group):
        with contextlib.suppress(OSError), open(group + '/cpu.stat') as file:
                return int(file.readline().split()[1]) / 1e6
        return 0


class Container:
        """@layers are directories laid over the tree (a `meson install --destdir`), @binds are host directories
        that appear inside. @prepare is called with the Container before the first boot, when only install(),
        write(), read() and host_path() work."""

        def __init__(self, tree, layers=(), binds=None, prepare=None):
                self.tree = os.path.abspath(tree)
                self.layers = [os.path.abspath(layer) for layer in layers]
                self.binds = dict(binds or {})
                self.prepare = prepare
                self.boot_seconds = None
                self.leader = None
                self.holder = None
                self.nspawn = None

        # Coming and going

        def __enter__(self):
                if os.geteuid() != 0:
                        raise ContainerError('only root can boot a container')
                for path in (self.tree, *self.layers, *self.binds):
                        if set(path) & set(':,\\'):
                                raise ContainerError(f'overlayfs and nspawn take no such path: {path}')
                if not os.path.exists(self.tree + '/etc/test-tree'):
                        raise ContainerError(f'{self.tree} is no finished tree: run tree.sh first')
                try:
                        self._hold()
                        if self.prepare:
                                self.prepare(self)
                        self.boot()
                except BaseException:
                        self.close()
                        raise
                return self

        def __exit__(self, *reason):
                self.close()

        def _hold(self):
                self.directory = tempfile.mkdtemp(prefix='container-')
                self.group = os.path.basename(self.directory)
                self.root = self.directory + '/root'
                self.holder = subprocess.Popen(
                        ['unshare', '-m', '--propagation', 'private', HERE + '/holder.sh', self.directory, self.group,
                         ':'.join(self.layers + [self.tree])],
                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
                if self.holder.stdout.readline() != b'ready\n':
                        raise ContainerError('holder.sh could not make the mounts; it says why above')

        def close(self):
                """Ends everything. Safe to call twice, and half-way through __enter__."""
                if self.holder:
                        self.holder.stdin.close()
                        self.holder.stdout.close()
                        try:
                                self.holder.wait(timeout=30 * PATIENCE)
                        except subprocess.TimeoutExpired:
                                # the mounts go with it, only cgroups may stay
                                self.holder.kill()
                                self.holder.wait()
                                raise ContainerError('holder.sh did not end') from None
                        finally:
                                self.holder = None
                                self._reap()

        def _reap(self):
                if self.nspawn:
                        self.nspawn.kill()
                        self.nspawn.wait()
                self.nspawn = self.leader = None

        def boot(self, timeout=60):
                """Starts systemd and waits until it has started what it wants to start, failed units included."""
                started = time.monotonic()
                binds = [f'--bind={outside}:{inside}' for outside, inside in self.binds.items()]
                self.nspawn = subprocess.Popen(
                        ['setpriv', '--pdeathsig', 'KILL', 'nsenter', '-t', str(self.holder.pid), '-m', 'sh', '-c',
                         'exec >"$0/console" 2>&1; echo $$ >"/sys/fs/cgroup/$1/cgroup.procs"; shift; exec "$@"',
                         self.directory, self.group,
                         'systemd-nspawn', '-D', self.root, '--boot', '--register=no', '--keep-unit',
                         '--console=pipe', '--settings=no', '--private-network', '--capability=all',
                         '--drop-capability=CAP_SYS_MODULE,CAP_SYS_TIME',
                         '--machine=container', '--resolv-conf=off', '--timezone=off', '--link-journal=no', *binds],
                        stdin=subprocess.DEVNULL, start_new_session=True,
                        # nspawn's own system call filter is not what a unit meets on a host
                        env={**os.environ, 'SYSTEMD_SECCOMP': '0'})
                try:
                        self.leader = wait_until(self._find_leader, timeout, 'PID 1')
                        wait_until(lambda: os.path.exists(self.host_path('/run/systemd/private')), timeout,
                                   'the socket of PID 1', interval=0.005)
                        state = self.run('systemctl is-system-running --wait', timeout, check=False)
                        if state.out.strip() not in ('running', 'degraded'):
                                raise ContainerError(f'the boot ended as {state!r}')
                except ContainerError as error:
                        raise ContainerError(f'{error}; console:\n{self.console()}') from None
                self.boot_seconds = time.monotonic() - started
                print(json.dumps({'event': 'boot', 'seconds': round(self.boot_seconds, 3),
                                  'state': state.out.strip()}), file=sys.stderr, flush=True)

        def shut_down(self, timeout=60):
                """An orderly shutdown, as at poweroff: every unit is stopped. The overlay stays."""
                self.run('systemctl poweroff --no-block', 10, check=False)
                try:
                        self.nspawn.wait(timeout=timeout * PATIENCE)
                except subprocess.TimeoutExpired:
                        raise ContainerError(f'no shutdown within {timeout} s') from None
                self._reap()

        def reboot(self, timeout=60):
                self.shut_down(timeout)
                self.boot(timeout)

        def _find_leader(self):
                if self.nspawn.poll() is not None:
                        raise ContainerError(f'systemd-nspawn ended with {self.nspawn.returncode}')
                pending = [self.nspawn.pid]
                while pending:
                        pid = pending.pop()
                        with contextlib.suppress(OSError):
                                with open(f'/proc/{pid}/task/{pid}/children') as file:
                                        pending += [int(child) for child in file.read().split()]
                                with open(f'/proc/{pid}/comm') as file:
                                        name = file.read().strip()
                                numbers = namespace_pids(pid)
                                if len(numbers) > 1 and numbers[-1] == '1' and name == 'systemd':
                                        return pid
                return None

        def console(self):
                with contextlib.suppress(OSError), open(f'/proc/{self.holder.pid}/root{self.directory}/console',
                                                        errors='replace') as file:
                        return file.read()
                return ''

        # Inside

        def host_path(self, path):
                """The path by which a process of the host finds what is at @path inside, mounts included. It must
                not be used for paths that contain absolute symlinks: those lead into the host's own tree."""
                if self.leader:
                        return f'/proc/{self.leader}/root{path}'
                return f'/proc/{self.holder.pid}/root{self.root}{path}'

        def run(self, command, timeout=20, check=True):
                """A shell command in PID 1's namespaces. With @check a status other than 0 is an error."""
                result = run_bounded(['nsenter', '-t', str(self.leader), '-m', '-p', '-u', '-i', '-n', '-C', '-r', '-w',
                                      'env', '-i', 'PATH=/usr/sbin:/usr/bin', 'LC_ALL=C.UTF-8', 'SYSTEMD_PAGER=cat',
                                      'sh', '-c', command], timeout * PATIENCE)
                if check and result.status != 0:
                        raise ContainerError(f'{command}: {result!r}')
                return result

        def wait_for(self, predicate, timeout=10, what='the condition'):
                return wait_until(predicate, timeout, what)

        def write(self, path, text, mode=0o644):
                file = self.host_path(path)
                os.makedirs(os.path.dirname(file), exist_ok=True)
                with open(file, 'w') as stream:
                        stream.write(text)
                os.chmod(file, mode)

        def read(self, path):
                with open(self.host_path(path), errors='surrogateescape') as stream:
                        return stream.read()

        def exists(self, path):
                return os.path.lexists(self.host_path(path))

        def remove(self, path):
                os.unlink(self.host_path(path))

        def mount_options(self, path):
                """The options of the filesystem mounted at @path in PID 1's namespace; None when nothing is."""
                with open(f'/proc/{self.leader}/mountinfo') as file:
                        # the last one lies on top
                        for line in reversed(file.readlines()):
                                mount, _, filesystem = line.partition(' - ')
                                if mount.split()[4] == path:
                                        return set(mount.split()[5].split(',') + filesystem.split()[2].split(','))
                return None

        # systemd

        def pin(self, *units):
                """Keeps @units in PID 1's memory. Else it forgets a stopped unit that no other one wants, and the
                times of its life with it."""
                self.write('/run/systemd/system/pin.target', '[Unit]\nDefaultDependencies=no\n' +
                           ''.join(f'Wants={unit}\n' for unit in units))
                self.systemctl('daemon-reload')
                self.systemctl('start --job-mode=ignore-dependencies pin.target')

        def systemctl(self, arguments, timeout=30, check=True):
                return self.run('systemctl ' + arguments, timeout, check)

        def show(self, unit, name):
                return self.systemctl(f"show -p {name} --value -- '{unit}'").out.strip()

        def cgroup(self, unit):
                """The directory of the unit's cgroup, for the host; it is there while the unit has processes."""
                inside = self.show(unit, 'ControlGroup')
                return self.host_path('/sys/fs/cgroup' + inside) if inside else None

        def processes(self, unit):
                """All processes of the unit, as the host numbers them."""
                group = self.cgroup(unit)
                return cgroup_processes(group) if group else []

        def pid(self, unit):
                """The main process, as the host numbers it; 0 when there is none."""
                inside = self.show(unit, 'MainPID')
                for process in self.processes(unit) if inside != '0' else []:
                        with contextlib.suppress(OSError):
                                if namespace_pids(process)[-1] == inside:
                                        return process
                return 0

        def kill(self, unit, number):
                """Sends the main process a signal; to have none is an error."""
                process = self.pid(unit)
                if not process:
                        raise ContainerError(f'{unit} has no main process')
                os.kill(process, number)

        @contextlib.contextmanager
        def slowed(self, service, share):
                """Inside this context the processes of @service, from their first moment, get no more than this
                @share of one processor; 0: none at all. They are stopped and continued by signals, of which PID 1
                takes no notice. It works with every source and needs no controller. They run on unhindered
                afterwards."""
                group = self.host_path(f'/sys/fs/cgroup/system.slice/{service}')
                end = threading.Event()

                def signal_all(number):
                        processes = cgroup_processes(group)
                        for process in processes:
                                with contextlib.suppress(ProcessLookupError):
                                        os.kill(process, number)
                        return processes

                def is_paid(started, before):
                        return share > 0 and (cgroup_cpu_seconds(group) - before) / share <= time.monotonic() - started

                def hold_back():
                        with contextlib.suppress(PermissionError):
                                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), -15)
                        started, before = time.monotonic(), cgroup_cpu_seconds(group)
                        while not end.is_set():
                                # again and again: PID 1 continues what it wants to end
                                if signal_all(signal.SIGSTOP) and not is_paid(started, before):
                                        end.wait(0.001)
                                        continue
                                started, before = time.monotonic(), cgroup_cpu_seconds(group)
                                signal_all(signal.SIGCONT)
                                end.wait(0.001)
                        signal_all(signal.SIGCONT)

                thread = threading.Thread(target=hold_back)
                thread.start()
                try:
                        yield
                finally:
                        end.set()
                        thread.join()

        def journal(self, unit=None, everything=False):
                """The entries of @unit (or of all), oldest first, as dicts; @everything: of earlier boots too."""
                self.run('journalctl --sync', check=False)
                arguments = ([] if everything else ['-b']) + (['-u', unit] if unit else [])
                out = self.run('journalctl -q -o json --no-pager ' + ' '.join(arguments), 30).out
                return [json.loads(line) for line in out.splitlines()]

        def messages(self, unit=None, everything=False):
                return [entry.get('MESSAGE') or '' for entry in self.journal(unit, everything)]
