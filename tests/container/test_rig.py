# SPDX-License-Identifier: GPL-2.0-or-later
"""The rig reports correctly: order of starts and stops, mounts, status, and leaves nothing behind.

    test_rig.py     TREE names the tree (tree.sh makes it if need be); default: container/tree below $BUILD
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
import unittest

from boot import HERE, PATIENCE, Container, ContainerError, run_bounded, wait_until
from units import Engine, make_sample, read_text, usec, xxh128

TREE = os.environ.get('TREE') or os.path.join(os.environ.get('BUILD', 'build'), 'container/tree')

STAGER = '''
[Unit]
RequiresMountsFor=/data/models /dev/shm/models
[Service]
Type=notify
NotifyAccess=all
ExecStart=/usr/local/bin/stager /data/models /dev/shm/models
KillMode=mixed
Restart=on-failure
RestartSec=0
'''

MOUNT = '''
[Unit]
StopWhenUnneeded=yes
[Mount]
What=tmpfs
Where=/dev/shm/models
Type=tmpfs
Options=size=64M,mode=755
LazyUnmount=yes
'''


def setUpModule():
        subprocess.run([HERE + '/tree.sh', TREE], check=True, timeout=900)


def install_stager(box):
        box.write('/usr/local/bin/stager', read_text(HERE + '/stager.sh'), 0o755)
        box.write('/etc/systemd/system/stager.service', STAGER)
        box.write('/etc/systemd/system/dev-shm-models.mount', MOUNT)


def left_behind(name):
        """Every trace of a container of this name on the host."""
        traces = []
        if os.path.exists(os.path.join(tempfile.gettempdir(), name)):
                traces.append('directory')
        with open('/proc/self/mountinfo') as file:
                mounts = file.read()
        if name in mounts:
                traces.append('mount')
        for line in mounts.splitlines():
                if ' - cgroup2 ' in line and os.path.exists(os.path.join(line.split()[4], name)):
                        traces.append('cgroup')
        for process in filter(str.isdigit, os.listdir('/proc')):
                with contextlib.suppress(OSError), open(f'/proc/{process}/cgroup') as groups, \
                     open(f'/proc/{process}/cmdline') as command, open(f'/proc/{process}/stat') as stat:
                        # a zombie that lost its parent is for the host's PID 1 to bury
                        if (name in groups.read() or name in command.read()) and ') Z ' not in stat.read():
                                traces.append('process ' + process)
        return traces


class TestCommands(unittest.TestCase):
        @classmethod
        def setUpClass(cls):
                cls.box = cls.enterClassContext(Container(TREE))

        def test_systemd_is_pid_1_on_the_unified_hierarchy(self):
                self.assertEqual(self.box.run('cat /proc/1/comm').out, 'systemd\n')
                self.assertEqual(self.box.run('stat -fc %T /sys/fs/cgroup').out, 'cgroup2fs\n')
                self.assertEqual(self.box.run('systemctl is-system-running').out, 'running\n')
                self.assertRegex(self.box.run('systemctl --version').out, r'^systemd \d+')

        def test_a_command_reports_status_output_and_error(self):
                result = self.box.run('echo out; echo err >&2; exit 7', check=False)
                self.assertEqual((result.status, result.out, result.err), (7, 'out\n', 'err\n'))
                with self.assertRaises(ContainerError):
                        self.box.run('false')

        def test_a_command_that_hangs_is_ended(self):
                started = time.monotonic()
                with self.assertRaisesRegex(ContainerError, 'no end after'):
                        self.box.run('sleep 100', timeout=0.5)
                self.assertLess(time.monotonic() - started, 5 * PATIENCE)

        def test_what_never_happens_is_named(self):
                with self.assertRaisesRegex(ContainerError, 'pigs fly'):
                        self.box.wait_for(lambda: False, 0.1, 'pigs fly')

        def test_files_and_journal_pass_in_both_directions(self):
                self.box.write('/run/deep/file', 'text\n', 0o600)
                self.assertEqual(self.box.run('stat -c %a /run/deep/file; cat /run/deep/file').out, '600\ntext\n')
                self.box.run('systemd-run --wait --unit=speaker echo a word')
                self.assertIn('a word', self.box.messages('speaker.service'))

        def test_a_mount_of_pid_1_is_seen_by_all_and_a_sandboxed_one_by_none(self):
                self.box.run('systemd-mount -t tmpfs tmpfs /mnt/public')
                self.assertIsNotNone(self.box.mount_options('/mnt/public'))
                self.box.run('mkdir -p /mnt/private; systemd-run --wait -p PrivateTmp=yes mount -t tmpfs x /mnt/private')
                self.assertIsNone(self.box.mount_options('/mnt/private'))


class TestOrder(unittest.TestCase):
        def setUp(self):
                self.models = tempfile.mkdtemp(prefix='models-')
                self.addCleanup(shutil.rmtree, self.models)
                for i in range(5):
                        make_sample(f'{self.models}/model-{i}', 4 << 20, i)
                self.digest = xxh128(self.models + '/model-4')
                self.box = self.enterContext(Container(TREE, binds={self.models: '/data/models'}, prepare=install_stager))

        def engine(self, unit=''):
                engine = Engine(self.box, 'engine.service', '/dev/shm/models/model-4', unit)
                self.box.pin('engine.service', 'stager.service')
                return engine

        def test_an_engine_wired_to_the_stager_starts_after_ready_and_stops_before_the_mirror_goes(self):
                engine = self.engine('Requires=stager.service\nAfter=stager.service')
                self.box.systemctl('start engine.service')
                self.assertEqual(engine.wait_for_record(), ('start', self.digest))
                self.assertLessEqual(usec(self.box, 'stager.service', 'ActiveEnter'),
                                     usec(self.box, 'engine.service', 'ExecMainStart'))
                self.assertIn('size=65536k', self.box.mount_options('/dev/shm/models'))

                self.box.systemctl('stop stager.service')
                self.assertEqual(engine.records()[1:], [('stop', self.digest)])
                self.assertLessEqual(usec(self.box, 'engine.service', 'InactiveEnter'),
                                     usec(self.box, 'stager.service', 'ActiveExit'))
                self.box.wait_for(lambda: not self.box.mount_options('/dev/shm/models'), 5, 'unmount')

        def test_an_engine_that_is_not_wired_is_seen_to_start_too_early_and_to_outlive_the_mirror(self):
                engine = self.engine()
                with self.box.slowed('stager.service', 0.05):
                        self.box.systemctl('start stager.service engine.service')
                self.assertEqual(engine.wait_for_record(), ('start', 'absent'))
                self.assertGreater(usec(self.box, 'stager.service', 'ActiveEnter'),
                                   usec(self.box, 'engine.service', 'ExecMainStart'))

                self.box.systemctl('stop stager.service')
                self.box.systemctl('stop engine.service')
                self.assertEqual(engine.wait_for_record(2), ('stop', 'absent'))
                self.assertGreater(usec(self.box, 'engine.service', 'InactiveEnter'),
                                   usec(self.box, 'stager.service', 'ActiveExit'))

        def test_the_order_at_shutdown_is_reported_after_the_reboot(self):
                engine = self.engine('Requires=stager.service\nAfter=stager.service')
                self.box.systemctl('enable engine.service')
                self.box.reboot()
                self.assertEqual(engine.wait_for_record(), ('start', self.digest))
                self.box.reboot()
                self.assertEqual(engine.wait_for_record(3)[0], 'start')
                self.assertEqual(engine.records()[:2], [('start', self.digest), ('stop', self.digest)])

        def test_progress_is_seen_and_slowing_down_slows_down(self):
                # right after the boot PID 1 reads the mount table only once a second
                self.box.systemctl('start dev-shm-models.mount')
                started = time.monotonic()
                self.box.systemctl('start stager.service')
                unhindered = time.monotonic() - started
                self.assertEqual(self.box.show('stager.service', 'StatusText'), 'Ready: 5 files')
                self.box.systemctl('stop stager.service')

                seen = set()
                started = time.monotonic()
                with self.box.slowed('stager.service', 0.05):
                        self.box.systemctl('start --no-block stager.service')
                        while self.box.show('stager.service', 'ActiveState') != 'active':
                                seen.add(self.box.show('stager.service', 'StatusText'))
                                self.assertLess(time.monotonic() - started, 60)
                self.assertGreater(time.monotonic() - started, 3 * unhindered)
                self.assertTrue(any(text.startswith('Staging: ') for text in seen), seen)

        def test_a_crash_is_seen_as_one_and_the_mount_outlives_the_restart(self):
                self.box.systemctl('start stager.service')
                before = os.stat(self.box.host_path('/dev/shm/models')).st_dev
                self.box.kill('stager.service', signal.SIGKILL)
                self.box.wait_for(lambda: self.box.show('stager.service', 'NRestarts') == '1' and
                                  self.box.show('stager.service', 'ActiveState') == 'active', 10, 'the restart')
                self.assertEqual(os.stat(self.box.host_path('/dev/shm/models')).st_dev, before)

        def test_a_failing_start_leaves_the_engine_down_and_the_reason_in_the_status(self):
                engine = self.engine('Requires=stager.service\nAfter=stager.service')
                self.box.write('/etc/systemd/system/stager.service.d/broken.conf',
                               '[Service]\nRestart=no\nExecStart=\nExecStart=/usr/local/bin/stager /nowhere /dev/shm/models\n')
                self.box.systemctl('daemon-reload')
                self.assertNotEqual(self.box.systemctl('start engine.service', check=False).status, 0)
                self.assertEqual(engine.records(), [])
                self.assertEqual(self.box.show('stager.service', 'Result'), 'exit-code')
                self.assertIn('/nowhere is missing', self.box.systemctl('status stager.service', check=False).out)


class TestNothingStays(unittest.TestCase):
        def test_a_container_starts_clean_and_the_tree_is_not_written_to(self):
                with Container(TREE) as box:
                        box.write('/etc/mark', 'x')
                        box.write('/run/mark', 'x')
                        box.reboot()
                        self.assertTrue(box.exists('/etc/mark'))
                        self.assertFalse(box.exists('/run/mark'))
                self.assertFalse(os.path.exists(TREE + '/etc/mark'))
                with Container(TREE) as box:
                        self.assertFalse(box.exists('/etc/mark'))

        def test_a_layer_and_a_bind_are_seen_inside(self):
                with tempfile.TemporaryDirectory() as layer, tempfile.TemporaryDirectory() as shared:
                        os.makedirs(layer + '/usr/lib/systemd/system')
                        with open(layer + '/usr/lib/systemd/system/layered.service', 'w') as file:
                                file.write('[Service]\nType=oneshot\nExecStart=touch /mnt/shared/done\n')
                        with Container(TREE, [layer], {shared: '/mnt/shared'}) as box:
                                box.systemctl('start layered.service')
                        self.assertEqual(os.listdir(shared), ['done'])

        def test_nothing_is_left_after_the_end_nor_after_an_exception(self):
                with Container(TREE) as box:
                        self.assertGreaterEqual(len(left_behind(box.group)), 2)
                self.assertEqual(left_behind(box.group), [])
                with self.assertRaises(ZeroDivisionError), Container(TREE) as box:
                        box.systemctl('start --no-block systemd-journald.service')
                        1 / 0
                self.assertEqual(left_behind(box.group), [])

        def test_nothing_is_left_when_the_owner_is_killed(self):
                for number in (signal.SIGTERM, signal.SIGKILL):
                        with self.subTest(number):
                                program = textwrap.dedent(f'''
                                        import sys, time
                                        sys.path.insert(0, {HERE!r})
                                        from boot import Container
                                        with Container({TREE!r}) as box:
                                                print(box.group, flush=True)
                                                time.sleep(100)
                                        ''')
                                owner = subprocess.Popen([sys.executable, '-c', program], stdout=subprocess.PIPE,
                                                         text=True)
                                name = owner.stdout.readline().strip()
                                self.assertGreaterEqual(len(left_behind(name)), 2)
                                owner.send_signal(number)
                                owner.wait(timeout=10)
                                owner.stdout.close()
                                wait_until(lambda: not left_behind(name), 15, 'nothing left')

        def test_a_failed_boot_is_reported_and_leaves_nothing_behind(self):
                def break_it(box):
                        os.unlink(box.host_path('/usr/lib/systemd/systemd'))
                        os.unlink(box.host_path('/usr/sbin/init'))

                box = Container(TREE, prepare=break_it)
                with self.assertRaisesRegex(ContainerError, 'console:'), box:
                        pass
                self.assertEqual(left_behind(box.group), [])


class TestTree(unittest.TestCase):
        def test_a_finished_tree_is_kept_and_a_failed_one_leaves_no_half_tree(self):
                before = os.stat(TREE).st_ino
                started = time.monotonic()
                self.assertEqual(run_bounded([HERE + '/tree.sh', TREE], 60).status, 0)
                self.assertLess(time.monotonic() - started, 5 * PATIENCE)
                self.assertEqual(os.stat(TREE).st_ino, before)
                with tempfile.TemporaryDirectory() as bin_only, tempfile.TemporaryDirectory() as place:
                        fake = bin_only + '/debootstrap'
                        with open(fake, 'w') as file:
                                file.write('#!/bin/sh\nmkdir "$4/etc"; echo gone wrong; exit 1\n')
                        os.chmod(fake, 0o755)
                        result = run_bounded([HERE + '/tree.sh', place + '/tree'], 60,
                                             env={**os.environ, 'PATH': bin_only + ':' + os.environ['PATH']})
                        self.assertEqual(result.status, 1)
                        self.assertIn('gone wrong', result.err)
                        self.assertEqual(sorted(os.listdir(place)), ['tree.lock', 'tree.log'])


if __name__ == '__main__':
        unittest.main()
