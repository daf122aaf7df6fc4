# SPDX-License-Identifier: GPL-2.0-or-later
"""The installed daemon under a real systemd: what DESIGN promises of units, order, status, stops and crashes.

    test_system.py      BUILD names the build directory to install from; TREE the tree, default $BUILD/container/tree

Everywhere here a system call that the unit's filter refuses kills the daemon, so that no test passes with one
refused silently.
"""

import contextlib
import glob
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

from boot import HERE, Container
from units import Engine, make_sample, usec, xxh128

sys.path.append(os.path.join(HERE, '..', 'system'))
from mapped import Mapping

BUILD = os.path.abspath(os.environ.get('BUILD', 'build'))
TREE = os.environ.get('TREE') or os.path.join(BUILD, 'container/tree')
SERVICE = 'shmstaged.service'
TARGET = '/dev/shm/models'
MIB = 1 << 20

CAP_SYS_RESOURCE = 24

installed = None


def has_capability(process, number):
        with open(f'/proc/{process}/status') as file:
                return bool(int(re.search(r'CapEff:\s*(\w+)', file.read())[1], 16) >> number & 1)


def setUpModule():
        global installed
        subprocess.run([HERE + '/tree.sh', TREE], check=True, timeout=900)
        installed = tempfile.mkdtemp(prefix='installed-')
        unittest.addModuleCleanup(shutil.rmtree, installed)
        os.chmod(installed, 0o755)
        # as in the tree: what is installed in /lib lands in /usr/lib
        for name in ('bin', 'sbin', 'lib'):
                os.makedirs(f'{installed}/usr/{name}')
                os.symlink(f'usr/{name}', f'{installed}/{name}')
        subprocess.run(['meson', 'install', '-C', BUILD, '--no-rebuild', '--quiet', '--destdir', installed],
                       check=True, timeout=120, stdout=subprocess.DEVNULL)


class SystemTest(unittest.TestCase):
        """One container for each test, with /data/models inside being self.models outside."""

        def setUp(self):
                self.models = tempfile.mkdtemp(prefix='models-')
                self.addCleanup(shutil.rmtree, self.models)
                os.chmod(self.models, 0o755)

        def sample(self, name='llama/model.gguf', size=4 * MIB, seed=1):
                """Makes a file of the source, returns its digest."""
                make_sample(f'{self.models}/{name}', size, seed)
                return xxh128(f'{self.models}/{name}')

        def write_many(self, n, text):
                """@n small files of the source, @text and a number in each."""
                for i in range(n):
                        path = f'{self.models}/{i % 40}/{i}'
                        os.makedirs(os.path.dirname(path), exist_ok=True)
                        with open(path, 'w') as file:
                                file.write(f'{text} {i}')

        def boot(self, mirror='', service='', more='', prepare=None):
                """@mirror: more keys of [Mirror models]; @service: more keys of the unit's [Service]; @more: more
                sections of the configuration."""
                def write_files(box):
                        self.configure(box, mirror, more)
                        box.write(f'/etc/systemd/system/{SERVICE}.d/test.conf',
                                  f'[Service]\nSystemCallErrorNumber=kill\n{service}\n')
                        if prepare:
                                prepare(box)

                self.box = self.enterContext(Container(TREE, [installed], {self.models: '/data/models'}, write_files))
                self.box.pin(SERVICE)
                return self.box

        def configure(self, box, mirror='', more=''):
                box.write('/etc/shmstaged.conf', '[Daemon]\nReserveMemory=64M\n\n[Mirror models]\nSource=/data/models\n'
                          f'Target={TARGET}\nSize=1G\nEngines=engine.service\n{mirror}\n{more}\n')

        def engine(self, name='engine.service', file='llama/model.gguf', unit='', service=''):
                engine = Engine(self.box, name, f'{TARGET}/{file}', unit, service)
                self.box.pin(SERVICE, name)
                return engine

        def start(self, timeout=30):
                done = self.box.systemctl('start ' + SERVICE, timeout, check=False)
                self.assertEqual(done.status, 0, (done.err, self.box.messages(SERVICE)[-8:]))

        def status(self):
                return self.box.show(SERVICE, 'StatusText')

        def state(self, unit=SERVICE):
                return self.box.show(unit, 'ActiveState')

        def wait_for_state(self, state, unit=SERVICE, timeout=15):
                self.box.wait_for(lambda: self.state(unit) == state, timeout, f'{unit} is {state}')

        def wait_for_restart(self, n=1, timeout=20):
                self.box.wait_for(lambda: self.box.show(SERVICE, 'NRestarts') == str(n) and self.state() == 'active',
                                  timeout, f'restart {n}')

        def wait_for_unmount(self, timeout=10):
                self.box.wait_for(lambda: self.box.mount_options(TARGET) is None, timeout, 'the unmount')

        def path(self, name):
                """A file of the mirror, as the host reaches it."""
                return self.box.host_path(f'{TARGET}/{name}')

        def identities(self):
                """What changes when a file of the mirror is written again: {name: (inode, ctime)}."""
                found = {}
                root = self.box.host_path(TARGET)
                for directory, _, names in os.walk(root):
                        for name in names:
                                path = os.path.join(directory, name)
                                st = os.lstat(path)
                                found[os.path.relpath(path, root)] = (st.st_dev, st.st_ino, st.st_ctime_ns)
                return {name: what for name, what in found.items() if not name.startswith('.shmstaged')}


class TestInstalled(SystemTest):
        """What holds for the unit and the files without staging much."""

        def test_units_are_clean_and_the_score_is_2_or_better(self):
                self.sample()
                box = self.boot()
                self.engine()
                out = box.run(f'systemd-analyze verify --man=no {SERVICE} /run/systemd/generator/dev-shm-models.mount 2>&1').out
                self.assertEqual(out, '')
                box.run(f'systemd-analyze security --offline=true --threshold=20 /usr/lib/systemd/system/{SERVICE}')
                # the unit with what the generator and this test have added
                text = box.run(f'systemd-analyze security {SERVICE}', check=False).out
                self.assertLessEqual(float(re.search(r'exposure level for \S+: ([\d.]+)', text)[1]), 2.0)
                complaints = [entry['MESSAGE'] for entry in box.journal()
                              if int(entry.get('PRIORITY', 6)) <= 4 and 'shmstaged' in str(entry.get('MESSAGE'))]
                self.assertEqual(complaints, [])

        def test_the_unit_has_the_type_the_limits_and_the_mounts_it_needs(self):
                self.sample()
                box = self.boot()
                self.assertEqual(box.show(SERVICE, 'Type'), 'notify')
                self.assertEqual(box.show(SERVICE, 'MemoryMax'), 'infinity')
                self.assertEqual(box.show(SERVICE, 'MemorySwapMax'), '0')
                for relation in ('Requires', 'After'):
                        self.assertIn('dev-shm-models.mount', box.show(SERVICE, relation).split())
                self.start()
                self.assertLess(int(box.show(SERVICE, 'OOMScoreAdjust')), 0)
                # a machine that denies root CAP_SYS_RESOURCE denies PID 1 this, too, and systemd goes on without it
                with open(f'/proc/{box.pid(SERVICE)}/oom_score_adj') as file:
                        self.assertEqual(int(file.read()) < 0, has_capability(box.leader, CAP_SYS_RESOURCE))
                self.assertEqual(os.getxattr(box.cgroup(SERVICE), 'user.oomd_avoid'), b'1')
                self.assertEqual(box.run('stat -c %a:%U /run/shmstaged /var/lib/shmstaged').out, '755:root\n' * 2)

        def test_doctor_accepts_the_installation_and_finds_changes_to_it(self):
                def complaints():
                        found = json.loads(box.run('shmstagectl doctor --json', check=False).out)
                        return [(finding['check'], finding['subject']) for finding in found if finding['verdict'] != 'ok']

                self.sample()
                box = self.boot()
                box.systemctl('enable ' + SERVICE)
                self.engine()
                self.start()
                box.systemctl('start engine.service')
                self.assertEqual(complaints(), [])
                users = json.loads(box.run('shmstagectl users --json').out)
                self.assertEqual({(user['reads'], user['unit'], user['path']) for user in users}, {('ram', 'engine.service', 'llama/model.gguf')})
                self.assertIn('engine(', box.run('shmstagectl list --noheadings --output=users').out)

                # PrivateDevices= after the generator has run, a configuration that it has not read, and an engine that is configured for the disk
                box.run('mkdir -p /run/systemd/system/engine.service.d')
                box.run('printf "[Service]\\nPrivateDevices=yes\\nEnvironment=MODELS=/data/models\\n" >/run/systemd/system/engine.service.d/x.conf')
                box.run('touch -d +1min /etc/shmstaged.conf')
                self.assertEqual(complaints(), [('daemon-reload', None), ('place', 'engine.service'), ('sight', 'engine.service')])

        def test_a_source_that_is_mounted_from_fstab_is_waited_for(self):
                self.sample('disk/file')

                def write_files(box):
                        box.write('/etc/fstab', '/data/models/disk /mnt/models none bind,noauto 0 0\n')

                box = self.boot('Source=/mnt/models', prepare=write_files)
                self.start()
                for relation in ('Requires', 'After'):
                        self.assertIn('mnt-models.mount', box.show(SERVICE, relation).split())
                self.assertEqual(list(self.identities()), ['file'])

        def test_the_running_daemon_has_few_rights(self):
                self.sample()
                box = self.boot()
                self.start()
                with open(f'/proc/{box.pid(SERVICE)}/status') as file:
                        status = dict(line.rstrip('\n').split(':\t', 1) for line in file if ':\t' in line)
                # CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID, CAP_LEASE
                self.assertEqual(int(status['CapBnd'], 16) & ~(1 << 0 | 1 << 1 | 1 << 3 | 1 << 4 | 1 << 28), 0)
                self.assertEqual(status['Seccomp'], '2')
                self.assertEqual(status['NoNewPrivs'], '1')
                self.assertNotEqual(os.readlink(f'/proc/{box.pid(SERVICE)}/ns/mnt'),
                                    os.readlink(f'/proc/{box.leader}/ns/mnt'))

        def test_configuration_files_count_as_cat_config_lists_them(self):
                def write_files(box):
                        box.write('/usr/lib/shmstaged.conf.d/10-a.conf', '[Mirror models]\nSource=/data/hidden\n')
                        box.write('/etc/shmstaged.conf.d/10-a.conf', '[Mirror models]\nSource=/data/one\n')
                        box.write('/usr/lib/shmstaged.conf.d/20-b.conf', '[Mirror models]\nSource=/data/two\n')
                        box.write('/run/shmstaged.conf.d/30-c.conf', '[Mirror models]\nSource=/data/masked\n')

                box = self.boot(prepare=write_files)
                # nspawn's /run is a new one, and a mask cannot be written by write()
                box.run('mkdir -p /run/shmstaged.conf.d && ln -s /dev/null /etc/shmstaged.conf.d/30-c.conf')
                box.write('/run/shmstaged.conf.d/30-c.conf', '[Mirror models]\nSource=/data/masked\n')
                for wanted in ('/data/two', '/data/three'):
                        with self.subTest(wanted):
                                listed = box.run('systemd-analyze cat-config shmstaged.conf').out
                                effective = box.run('shmstaged --check-config').out
                                self.assertEqual(re.findall('^Source=(.*)', listed, re.M)[-1], wanted)
                                self.assertEqual(re.findall('^Source=(.*)', effective, re.M), [wanted])
                        box.write('/usr/local/lib/shmstaged.conf.d/25-c.conf', '[Mirror models]\nSource=/data/three\n')

        def test_an_unknown_key_is_a_warning_with_file_and_line(self):
                self.sample()
                self.boot('Colour=blue')
                self.start()
                warnings = [entry['MESSAGE'] for entry in self.box.journal(SERVICE) if entry['PRIORITY'] == '4']
                self.assertTrue(any(re.search(r'^/etc/shmstaged\.conf:9: .*Colour', text) for text in warnings), warnings)

        def test_a_bad_value_ends_the_start_with_78_and_is_not_tried_again(self):
                self.sample()
                self.boot()
                engine = self.engine()
                self.configure(self.box, 'ChunkSize=plenty')
                self.assertNotEqual(self.box.systemctl('start engine.service', check=False).status, 0)
                self.wait_for_state('failed')
                # longer than RestartSec=
                time.sleep(2.5)
                self.assertEqual(self.state(), 'failed')
                self.assertEqual(self.box.show(SERVICE, 'ExecMainStatus'), '78')
                self.assertEqual(self.box.show(SERVICE, 'NRestarts'), '0')
                self.assertEqual(engine.records(), [])
                errors = [entry['MESSAGE'] for entry in self.box.journal(SERVICE) if entry['PRIORITY'] == '3']
                self.assertTrue(any(re.search(r'^/etc/shmstaged\.conf:9: .*ChunkSize', text) for text in errors), errors)

        def test_a_boot_with_a_configuration_that_cannot_be_used_still_ends(self):
                self.sample()
                box = self.boot('ChunkSize=plenty')
                box.systemctl(f'enable {SERVICE}')
                box.reboot()
                self.assertEqual(self.state(), 'failed')
                self.assertEqual(box.systemctl('list-units --failed --plain --no-legend').out.split()[0], SERVICE)


class TestStart(SystemTest):
        def test_at_boot_the_engine_starts_after_ready_on_a_whole_verified_mirror(self):
                digest = self.sample(size=64 * MIB)
                for i in range(20):
                        self.sample(f'many/{i}', i * 1000, i)
                self.boot()
                engine = self.engine()
                self.box.systemctl(f'enable {SERVICE} engine.service')
                self.box.reboot()
                self.assertEqual(self.box.systemctl('is-system-running', check=False).out, 'running\n')
                self.assertEqual(engine.wait_for_record(), ('start', digest))
                self.assertLessEqual(usec(self.box, SERVICE, 'ActiveEnter'), usec(self.box, 'engine.service', 'ExecMainStart'))
                self.assertIn('size=1048576k', self.box.mount_options(TARGET))
                for path in glob.glob(self.models + '/*/*'):
                        copy = self.path(os.path.relpath(path, self.models))
                        self.assertEqual(xxh128(path), xxh128(copy))
                        self.assertEqual(os.stat(path).st_mtime_ns, os.stat(copy).st_mtime_ns)
                self.box.run(f'cd {TARGET} && xxh128sum -c --quiet /var/lib/shmstaged/models.xxh128')
                chain = self.box.run('systemd-analyze critical-chain engine.service').out
                self.assertIn(SERVICE, chain)

        def test_status_shows_progress_while_the_engine_waits_and_ready_afterwards(self):
                digest = self.sample(size=400 * MIB)
                self.boot()
                engine = self.engine()
                percents, shown = [], []
                with self.box.slowed(SERVICE, 0.06):
                        self.box.systemctl('start --no-block engine.service')
                        self.box.wait_for(lambda: self.state() != 'inactive', 10, 'the start')
                        while self.state() == 'activating':
                                found = re.match(r'Staging: (\d+)%', self.status())
                                if found:
                                        percents.append(int(found[1]))
                                        shown.append(self.box.systemctl(f'status {SERVICE}', check=False).out)
                                engine_state = self.state('engine.service')
                                if self.state() == 'activating':
                                        self.assertEqual(engine_state, 'inactive')
                self.assertEqual(self.state(), 'active')
                self.assertGreater(len(set(percents)), 2)
                self.assertEqual(percents, sorted(percents))
                self.assertRegex(''.join(shown), r'Status: "Staging: \d+% \(.* of 400.*model\.gguf')
                self.assertRegex(self.status(), '^Ready: 1 file .1 model., 400')
                self.assertEqual(engine.wait_for_record(), ('start', digest))

        def test_a_slow_start_is_given_the_time_it_needs(self):
                self.sample(size=400 * MIB)
                self.boot(service='TimeoutStartSec=2')
                started = time.monotonic()
                with self.box.slowed(SERVICE, 0.03):
                        self.start(60)
                self.assertGreater(time.monotonic() - started, 3, 'the start was not slow: this proves nothing')
                self.assertEqual(self.state(), 'active')

        def test_a_start_that_does_not_move_is_ended_in_time(self):
                self.sample()
                self.boot(service='TimeoutStartSec=2\nTimeoutStopSec=1\nRestart=no')
                started = time.monotonic()
                with self.box.slowed(SERVICE, 0):
                        self.box.systemctl(f'start {SERVICE}', 30, check=False)
                self.assertLess(time.monotonic() - started, 20)
                self.assertEqual(self.box.show(SERVICE, 'Result'), 'timeout')

        def test_a_failing_start_leaves_the_engine_down_and_the_reason_in_the_status(self):
                self.sample(size=8 * MIB)
                self.boot('Size=4M', service='Restart=no')
                engine = self.engine()
                self.assertNotEqual(self.box.systemctl('start engine.service', check=False).status, 0)
                self.assertEqual(self.state('engine.service'), 'inactive')
                self.assertEqual(engine.records(), [])
                self.assertEqual(self.box.show(SERVICE, 'ExecMainStatus'), '1')
                shown = self.box.systemctl(f'status {SERVICE}', check=False).out
                self.assertRegex(shown, r'Status: "Failed: .*short by \d{7} bytes')
                self.assertIn('llama/model.gguf', shown)
                self.assertEqual(self.identities(), {})

        def test_an_engine_comes_up_when_a_failed_first_start_is_repeated(self):
                self.boot('Source=/data/models/late')
                engine = self.engine(file='model.gguf')
                self.box.systemctl('start --no-block engine.service')
                self.box.wait_for(lambda: int(self.box.show(SERVICE, 'NRestarts')) >= 1, 15, 'a second try')
                self.assertEqual(engine.records(), [])
                digest = self.sample('late.new/model.gguf')
                os.rename(self.models + '/late.new', self.models + '/late')
                self.wait_for_state('active')
                self.assertEqual(engine.wait_for_record(), ('start', digest))

        def test_corruption_at_rest_is_found_at_the_next_boot_and_named_with_both_digests(self):
                # on a tmpfs a store through a mapping leaves no trace in the file's times, as rot on a disk leaves none
                subprocess.run(['mount', '-t', 'tmpfs', 'models', self.models], check=True)
                self.addCleanup(subprocess.run, ['umount', self.models], check=True)
                os.chmod(self.models, 0o755)
                before = self.sample()
                self.sample('good', seed=2)
                self.boot()
                self.box.systemctl(f'enable {SERVICE}')
                self.box.reboot()
                self.assertRegex(self.status(), '^Ready')
                path = self.models + '/llama/model.gguf'
                was = os.stat(path)
                mapping = Mapping(os.open(path, os.O_RDWR)) # its end would be reported as the end of a write
                self.addCleanup(mapping.close)
                mapping.store(12345, b'flip')
                self.assertEqual((os.stat(path).st_mtime_ns, os.stat(path).st_ctime_ns), (was.st_mtime_ns, was.st_ctime_ns))
                self.box.reboot()
                self.assertRegex(self.status(), r'^Degraded: .*1 withheld.*model\.gguf')
                said = [text for text in self.box.messages(SERVICE) if before in text and xxh128(path) in text]
                self.assertTrue(said)
                self.assertEqual(list(self.identities()), ['good'])
                self.configure(self.box, 'OnCorrupt=fail')
                self.box.write(f'/etc/systemd/system/{SERVICE}.d/once.conf', '[Service]\nRestart=no\n')
                self.box.reboot()
                self.assertEqual(self.state(), 'failed')
                self.assertRegex(self.box.systemctl(f'status {SERVICE}', check=False).out, r'Status: "Failed: .*model\.gguf')

        def test_an_engine_with_a_private_dev_sees_the_mirror(self):
                digest = self.sample()
                self.boot(prepare=lambda box: Engine(box, 'engine.service', f'{TARGET}/llama/model.gguf', '', 'PrivateDevices=yes'))
                self.box.systemctl('start engine.service')
                engine = self.engine(service='PrivateDevices=yes')
                self.assertEqual(engine.wait_for_record(), ('start', digest))

        def test_several_mirrors_and_an_awkward_target_have_a_mount_each(self):
                digest = self.sample()
                self.sample('other/file')
                self.boot('Exclude=other', more='[Mirror second]\nSource=/data/models/other\n'
                          'Target=/srv/fast-copies/of_my models\nSize=100M\nEngines=engine.service')
                engine = self.engine()
                self.box.systemctl('start engine.service')
                self.assertEqual(engine.wait_for_record(), ('start', digest))
                self.assertIn('size=102400k', self.box.mount_options('/srv/fast-copies/of_my\\040models'))
                self.assertEqual(os.listdir(self.box.host_path('/srv/fast-copies/of_my models')).count('file'), 1)
                self.box.systemctl('stop ' + SERVICE)
                self.wait_for_unmount()
                self.box.wait_for(lambda: self.box.mount_options('/srv/fast-copies/of_my\\040models') is None, 10, 'unmount')


class TestRunning(SystemTest):
        def test_changes_of_the_source_arrive(self):
                self.sample()
                self.sample('goes')
                self.boot('SettleTime=0')
                self.start()
                new = self.sample('llama/new', seed=7)
                changed = self.sample(seed=8)
                os.unlink(self.models + '/goes')

                def arrived():
                        with contextlib.suppress(OSError, subprocess.CalledProcessError):
                                return (xxh128(self.path('llama/new')) == new and not os.path.exists(self.path('goes')) and
                                        xxh128(self.path('llama/model.gguf')) == changed)

                self.box.wait_for(arrived, 15, 'what changed in the source')
                self.box.wait_for(lambda: self.status().startswith('Ready: 2 files'), 10, 'ready again')

        def test_a_reload_applies_the_configuration_and_leaves_the_other_mirrors_untouched(self):
                self.sample()
                self.sample('extra', seed=2)
                self.boot()
                engine = self.engine()
                self.box.systemctl('start engine.service')
                engine.wait_for_record()
                before = self.identities()
                pid = self.box.pid(SERVICE)

                self.configure(self.box, 'Exclude=extra')
                self.box.systemctl('reload ' + SERVICE)
                self.box.wait_for(lambda: not os.path.exists(self.path('extra')), 10, 'the removal')
                self.wait_for_state('active')
                self.assertEqual(self.identities(), {'llama/model.gguf': before['llama/model.gguf']})

                self.configure(self.box)
                self.box.systemctl('reload ' + SERVICE)
                self.box.wait_for(lambda: os.path.exists(self.path('extra')), 10, 'the return')
                self.wait_for_state('active')
                self.assertEqual(self.identities()['llama/model.gguf'], before['llama/model.gguf'])

                self.configure(self.box, 'ChunkSize=plenty')
                self.assertNotEqual(self.box.systemctl('reload ' + SERVICE, check=False).status, 0)
                self.box.wait_for(lambda: any('keeping the previous one' in text for text in self.box.messages(SERVICE)), 10,
                                  'the refusal')
                self.wait_for_state('active')
                self.assertEqual(self.box.pid(SERVICE), pid)
                self.assertEqual(len(self.identities()), 2)
                self.assertEqual(len(engine.records()), 1)

        def test_a_mirror_is_added_and_taken_away_by_reload(self):
                self.sample()
                self.sample('other/file')
                self.boot('Exclude=other')
                self.start()
                before = self.identities()
                self.configure(self.box, 'Exclude=other', '[Mirror second]\nSource=/data/models/other\n'
                               'Target=/dev/shm/second\nSize=100M')
                self.box.systemctl('daemon-reload')
                self.box.systemctl('start dev-shm-second.mount')
                self.box.systemctl('reload ' + SERVICE)
                self.box.wait_for(lambda: self.box.exists('/dev/shm/second/file'), 10, 'the second mirror')
                self.wait_for_state('active')
                self.configure(self.box, 'Exclude=other')
                self.box.systemctl('daemon-reload')
                self.box.systemctl('reload ' + SERVICE)
                self.box.wait_for(lambda: not self.box.exists('/dev/shm/second/file'), 10, 'the second mirror to go')
                self.wait_for_state('active')
                self.assertEqual(self.identities(), before)

        def test_an_engine_that_was_stopped_stays_stopped(self):
                self.sample()
                self.boot()
                engine = self.engine()
                self.box.systemctl('start engine.service')
                engine.wait_for_record()
                self.box.systemctl('stop engine.service')
                time.sleep(3)
                self.assertEqual(self.state('engine.service'), 'inactive')
                self.assertEqual(self.state(), 'active')

        def test_the_watchdog_ends_a_daemon_that_hangs_and_the_mirror_is_taken_over(self):
                self.sample()
                self.boot(service='WatchdogSec=3\nRestartSec=0')
                self.start()
                before = self.identities()
                time.sleep(7)
                self.assertEqual(self.box.show(SERVICE, 'NRestarts'), '0')
                self.box.kill(SERVICE, signal.SIGSTOP)
                self.wait_for_restart()
                self.assertTrue(any("result 'watchdog'" in text for text in self.box.messages(SERVICE)))
                self.assertEqual(self.identities(), before)

        def test_the_journal_explains_the_events_that_it_has(self):
                self.sample()
                # its digest is wrong, which its name states: degraded, and withheld
                self.sample('blobs/sha256-' + '0' * 64)
                self.sample('manifests/registry.ollama.ai/library/m/latest')
                box = self.boot('Layout=ollama')
                box.run('journalctl --update-catalog')
                self.start()
                box.run('journalctl --sync')
                explained = box.run(f'journalctl -x --no-pager -u {SERVICE}').out
                path = 'blobs/sha256-' + '0' * 64
                for line in (f'Subject: {path} is withheld from RAM', 'Defined-By: shmstaged', 'A file or directory of /data/models is not in',
                             'Subject: The mirror models can be used, but it is degraded'):
                        self.assertIn(line, explained)
                self.assertNotIn('@', explained.replace('user@', ''))
                self.assertNotIn('SHMSTAGED_', explained)

        def test_the_metrics_are_where_the_node_exporter_looks(self):
                self.sample()
                file = '/var/lib/prometheus/node-exporter/shmstaged.prom'
                box = self.boot(more=f'[Daemon]\nMetricsFile={file}', prepare=lambda box: box.write(os.path.dirname(file) + '/other.prom', ''))
                self.start()
                box.wait_for(lambda: box.exists(file) and 'shmstaged_ready{mirror="models"} 1\n' in box.read(file), 20, 'the metrics of a ready mirror')
                self.assertEqual(box.run(f'stat -c %a {file}; ls -A {os.path.dirname(file)}').out, '644\nother.prom\nshmstaged.prom\n')
                box.systemctl('stop ' + SERVICE)
                self.assertIn('shmstaged_state{mirror="models",state="stopped"} 1\n', box.read(file))

        def test_many_files_make_few_lines(self):
                self.write_many(3000, 'first')
                self.boot('SettleTime=0')
                self.start()
                self.assertRegex(self.status(), '^Ready: 3000 files')
                self.write_many(3000, 'changed')

                def arrived():
                        with open(self.path('39/2999')) as file:
                                return file.read() == 'changed 2999'

                self.box.wait_for(arrived, 30, 'the last change')
                self.box.systemctl('stop ' + SERVICE)
                self.assertLess(len(self.box.messages(SERVICE)), 100)


class TestStop(SystemTest):
        def test_the_engine_stops_before_the_mirror_goes_and_nothing_stays(self):
                digest = self.sample()
                source = os.stat(self.models + '/llama/model.gguf')
                self.boot()
                engine = self.engine()
                self.box.systemctl('start engine.service')
                engine.wait_for_record()
                self.box.systemctl('stop ' + SERVICE)
                self.assertEqual(engine.records(), [('start', digest), ('stop', digest)])
                self.assertLessEqual(usec(self.box, 'engine.service', 'InactiveEnter'), usec(self.box, SERVICE, 'ActiveExit'))
                self.assertEqual(self.box.show(SERVICE, 'Result'), 'success')
                self.assertEqual(self.box.show(SERVICE, 'ExecMainStatus'), '0')
                self.wait_for_unmount()
                self.wait_for_state('inactive', 'dev-shm-models.mount')
                self.assertFalse(self.box.exists('/run/shmstaged'))
                after = os.stat(self.models + '/llama/model.gguf')
                self.assertEqual((source.st_ino, source.st_mtime_ns, source.st_ctime_ns),
                                 (after.st_ino, after.st_mtime_ns, after.st_ctime_ns))

        def test_the_mirror_is_removed_although_a_process_holds_one_of_its_files(self):
                self.sample()
                self.boot()
                self.start()
                self.box.run(f"systemd-run --unit=holder sh -c 'exec 3<{TARGET}/llama/model.gguf; exec sleep 1000'")
                holder = self.box.wait_for(lambda: self.box.pid('holder.service'), 5, 'the holder')
                self.box.wait_for(lambda: os.path.exists(f'/proc/{holder}/fd/3'), 5, 'the open file')
                self.box.systemctl('stop ' + SERVICE)
                self.assertEqual(self.box.show(SERVICE, 'Result'), 'success')
                self.wait_for_unmount()
                self.assertEqual(os.stat(f'/proc/{holder}/fd/3').st_size, 4 * MIB)

        def test_files_of_others_keep_the_mirror_and_the_mount(self):
                self.sample()
                self.boot('WriteBack=no', service='Restart=no')
                self.start()
                with open(self.path('not-ours'), 'w') as file:
                        file.write('precious')
                time.sleep(1)
                self.box.systemctl('stop ' + SERVICE, check=False)
                time.sleep(1)
                self.assertEqual(self.box.read(TARGET + '/not-ours'), 'precious')
                self.assertIsNotNone(self.box.mount_options(TARGET))
                self.assertIn('not-ours', self.box.systemctl(f'status {SERVICE}', check=False).out)

        def test_at_shutdown_the_order_is_the_same(self):
                digest = self.sample()
                self.boot()
                engine = self.engine()
                self.box.systemctl(f'enable {SERVICE} engine.service')
                self.box.reboot()
                engine.wait_for_record()
                self.box.reboot()
                engine.wait_for_record(3)
                self.assertEqual(engine.records()[:3], [('start', digest), ('stop', digest), ('start', digest)])
                said = [text for text in self.box.messages(SERVICE, everything=True) if 'was removed from' in text]
                self.assertEqual(len(said), 1)

        def test_a_slow_stop_is_given_the_time_it_needs(self):
                self.write_many(32000, 'file')
                self.boot(service='TimeoutStopSec=2')
                self.start()
                said = set()
                started = time.monotonic()
                with self.box.slowed(SERVICE, 0.03):
                        self.box.systemctl('stop --no-block ' + SERVICE)
                        # long enough to prove it; no longer, however slow this machine is
                        while self.state() not in ('inactive', 'failed') and time.monotonic() - started < 40 and not (
                                        time.monotonic() - started > 6 and any('Removing' in text for text in said)):
                                said.add(self.status())
                self.box.wait_for(lambda: self.state() in ('inactive', 'failed'), 60, 'the end of the stop')
                self.assertEqual(self.box.show(SERVICE, 'Result'), 'success', self.box.messages(SERVICE, everything=True)[-6:])
                self.assertGreater(time.monotonic() - started, 2.5, 'the stop was not slow: this proves nothing')
                self.assertTrue(any(text.startswith('Removing the mirror: ') for text in said), said)
                self.assertFalse(any(text.startswith('Ready: 0 files') for text in said), said)
                self.wait_for_unmount()


class TestSaving(SystemTest):
        """What an engine puts into the mirror is on disk after whatever kind of end."""

        def puller(self):
                """An engine that finishes its downloads when it is stopped, in an order that is not the one they are to be saved in."""
                weights = os.urandom(3 * MIB)
                header = json.dumps({'w': {'dtype': 'U8', 'shape': [len(weights)], 'data_offsets': [0, len(weights)]}}).encode()
                shard = struct.pack('<Q', len(header)) + header + weights
                names = [f'set/model-0000{i}-of-00002.safetensors' for i in (1, 2)]
                index = json.dumps({'metadata': {'total_size': 2 * len(weights)}, 'weight_map': {'a': names[0][4:], 'b': names[1][4:]}})
                self.pulled = {'set/model.safetensors.index.json': index.encode(), names[0]: shard, names[1]: shard[:-1] + b'x',
                               'llama/new.bin': os.urandom(20 * MIB), 'own': b'mine'}
                for name, content in {**self.pulled, 'late.gguf.part': b'not yet'}.items():
                        path = self.box.host_path('/srv/incoming/' + name)
                        os.makedirs(os.path.dirname(path), exist_ok=True)
                        with open(path, 'wb') as file:
                                file.write(content)
                os.chown(self.box.host_path('/srv/incoming/own'), 1234, 4321)
                os.chmod(self.box.host_path('/srv/incoming/own'), 0o4640)
                self.box.write('/usr/local/bin/puller', '#!/bin/sh\n'
                               f"trap 'cp -a /srv/incoming/set/*.json {TARGET}/set/; cp -a /srv/incoming/. {TARGET}/; exit 0' TERM\n"
                               f'mkdir -p {TARGET}/set\ntouch /run/pulling\nwhile :; do sleep 1000 & wait; done\n', 0o755)
                self.box.write('/etc/systemd/system/engine.service', '[Service]\nExecStart=/usr/local/bin/puller\nKillMode=mixed\n'
                               '[Install]\nWantedBy=multi-user.target\n')
                self.box.pin(SERVICE, 'engine.service')

        def wait_for_puller(self):
                self.box.wait_for(lambda: self.box.exists('/run/pulling'), 10, 'the engine')

        def on_disk(self):
                """{name: content} of all that the source has, except our private directory."""
                found = {}
                for directory, _, names in os.walk(self.models):
                        for name in names:
                                path = os.path.join(directory, name)
                                with open(path, 'rb') as file:
                                        found[os.path.relpath(path, self.models)] = file.read()
                self.assertEqual([name for name in found if name.startswith('.shmstaged')], [])
                return found

        def assert_pulled(self, before):
                self.assertEqual(self.on_disk(), {**before, **self.pulled})
                st = os.stat(self.models + '/own')
                self.assertEqual((st.st_uid, st.st_gid, st.st_mode & 0o7777), (1234, 4321, 0o640))
                self.assertEqual(st.st_mtime_ns, os.stat(self.box.host_path('/srv/incoming/own')).st_mtime_ns)

        def test_files_the_engine_finishes_at_a_shutdown_are_on_disk_after_it(self):
                self.sample()
                before = self.on_disk()
                self.boot()
                self.puller()
                self.box.systemctl(f'enable {SERVICE} engine.service')
                self.box.reboot()
                self.wait_for_puller()
                self.assertEqual(self.on_disk(), before)
                self.box.shut_down()
                self.assertEqual(self.on_disk(), {**before, **self.pulled})
                self.box.boot()
                self.assert_pulled(before)
                self.wait_for_state('active')
                self.assertEqual(set(self.identities()), set(before) | set(self.pulled))
                said = [text for text in self.box.messages(SERVICE, everything=True) if 'was removed from' in text]
                self.assertEqual(len(said), 1)

        def test_files_the_engine_finishes_at_a_stop_are_on_disk_after_it(self):
                self.sample()
                before = self.on_disk()
                self.boot()
                self.puller()
                self.box.systemctl('start engine.service')
                self.wait_for_puller()
                self.box.systemctl('stop ' + SERVICE)
                self.assertEqual(self.box.show(SERVICE, 'Result'), 'success')
                self.assert_pulled(before)
                self.wait_for_unmount()

        def test_a_slow_last_save_is_given_the_time_it_needs(self):
                self.sample()
                self.boot('SettleTime=1h', service='TimeoutStopSec=2')
                self.start()
                content = os.urandom(200 * MIB)
                with open(self.path('large'), 'wb') as file:
                        file.write(content)
                self.box.wait_for(lambda: 'not on disk yet' in self.status(), 10, 'the scan')
                started, said = time.monotonic(), set()
                with self.box.slowed(SERVICE, 0.02):
                        self.box.systemctl('stop --no-block ' + SERVICE)
                        while self.state() not in ('inactive', 'failed') and time.monotonic() - started < 6:
                                said.add(self.status())
                self.box.wait_for(lambda: self.state() in ('inactive', 'failed'), 60, 'the end of the stop')
                self.assertEqual(self.box.show(SERVICE, 'Result'), 'success', self.box.messages(SERVICE)[-6:])
                self.assertGreater(time.monotonic() - started, 2.5, 'the stop was not slow: this proves nothing')
                self.assertTrue(any(text.startswith('Saving before the stop: 1 remaining (200M)') for text in said), said)
                self.assertEqual(self.on_disk()['large'], content)
                self.wait_for_unmount()

        def small_disk(self, size):
                """The source on a disk of its own."""
                image = tempfile.NamedTemporaryFile(prefix='disk-')
                self.addCleanup(image.close)
                image.truncate(size)
                subprocess.run(['mkfs.ext4', '-q', '-m', '0', image.name], check=True)
                subprocess.run(['mount', '-o', 'loop', image.name, self.models], check=True)
                self.addCleanup(subprocess.run, ['umount', '-l', self.models], check=True)
                os.rmdir(self.models + '/lost+found')

        def test_a_save_that_fails_keeps_mirror_and_mount_and_the_next_start_saves_it(self):
                self.small_disk(24 * MIB)
                self.sample()
                self.sample('ballast', 8 * MIB)
                self.boot()
                self.start()
                content = os.urandom(12 * MIB)
                with open(self.path('llama/big.bin'), 'wb') as file:
                        file.write(content)
                self.box.wait_for(lambda: 'saving fails' in self.status(), 10, 'the failure')
                self.box.systemctl('stop ' + SERVICE, check=False)
                self.assertEqual(self.state(), 'failed')
                self.assertEqual(self.box.show(SERVICE, 'ExecMainStatus'), '1')
                shown = self.box.systemctl(f'status {SERVICE}', check=False).out
                self.assertRegex(shown, r'Status: "Failed: .*llama/big\.bin')
                self.assertIsNotNone(self.box.mount_options(TARGET))
                self.assertEqual(list(self.identities()), ['llama/big.bin'])
                self.assertNotIn('llama/big.bin', self.on_disk())
                # longer than RestartSec=: a service that was stopped on purpose stays stopped
                time.sleep(2.5)
                self.assertEqual(self.state(), 'failed')

                os.unlink(self.models + '/ballast')
                self.start()
                self.box.wait_for(lambda: os.path.exists(self.models + '/llama/big.bin'), 10, 'the save')
                self.assertEqual(self.on_disk()['llama/big.bin'], content)
                self.box.systemctl('stop ' + SERVICE)
                self.assertEqual(self.box.show(SERVICE, 'Result'), 'success')
                self.wait_for_unmount()

        def test_a_daemon_that_was_killed_with_something_unsaved_saves_it_after_its_restart(self):
                self.sample()
                self.boot('SettleTime=1h')
                self.start()
                with open(self.path('new'), 'wb') as file:
                        file.write(b'precious')
                self.box.wait_for(lambda: 'not on disk yet' in self.status(), 10, 'the scan')
                self.box.kill(SERVICE, signal.SIGKILL)
                self.wait_for_restart()
                self.assertEqual(self.box.read(TARGET + '/new'), 'precious')
                self.box.systemctl('stop ' + SERVICE)
                self.assertEqual(self.on_disk()['new'], b'precious')
                self.wait_for_unmount()

        def can_write(self, directory):
                """To a process that sees the filesystem as the daemon does."""
                process = self.box.show(SERVICE, 'MainPID')
                return self.box.run(f'nsenter -t {process} -m sh -c "touch {directory}/probe && rm {directory}/probe"', check=False).status == 0

        def test_the_daemon_can_write_to_source_mirror_and_state_and_nowhere_else(self):
                self.sample()
                self.boot()
                self.box.run('mkdir -p /home/somebody /data/other /srv/x')
                self.start()
                for directory in ('/data/models', '/data/models/llama', TARGET, '/var/lib/shmstaged', '/run/shmstaged'):
                        with self.subTest(directory):
                                self.assertTrue(self.can_write(directory))
                for directory in ('/', '/data', '/data/other', '/etc', '/usr', '/var', '/var/lib', '/srv/x', '/root', '/home/somebody', '/run', '/boot'):
                        with self.subTest(directory):
                                self.assertFalse(self.can_write(directory))

        def test_without_write_back_the_source_is_not_writable_either(self):
                self.sample()
                self.boot('WriteBack=no')
                self.start()
                self.assertFalse(self.can_write('/data/models'))
                self.assertTrue(self.can_write(TARGET))

        def test_a_source_in_a_home_directory_is_saved_to(self):
                self.boot('Source=/home/somebody/models', prepare=lambda box: box.write('/home/somebody/models/a', 'x'))
                self.start()
                self.box.write(TARGET + '/new', 'mine')
                self.box.wait_for(lambda: self.box.exists('/home/somebody/models/new'), 10, 'the save')
                self.assertEqual(self.box.read('/home/somebody/models/new'), 'mine')
                self.assertFalse(self.can_write('/home/somebody'))
                self.box.systemctl('stop ' + SERVICE)
                self.wait_for_unmount()


class TestCrash(SystemTest):
        def test_a_crash_with_restart_keeps_the_inodes_and_the_engine_comes_back(self):
                digest = self.sample(size=64 * MIB)
                self.sample('second', seed=2)
                self.boot()
                engine = self.engine()
                self.box.systemctl('start engine.service')
                engine.wait_for_record()
                before = self.identities()
                self.assertEqual(len(before), 2)
                self.box.kill(SERVICE, signal.SIGKILL)
                self.wait_for_restart()
                self.assertEqual(self.identities(), before)
                self.assertRegex(self.status(), '^Ready: 2 files')
                self.wait_for_state('active', 'engine.service')
                self.assertEqual(engine.wait_for_record(3), ('start', digest))

        def test_a_crash_in_the_middle_of_staging_publishes_nothing_half(self):
                digest = self.sample(size=300 * MIB)
                self.sample('small', seed=2)
                self.boot(service='RestartSec=0')
                engine = self.engine()
                with self.box.slowed(SERVICE, 0.06):
                        self.box.systemctl('start --no-block engine.service')
                        self.box.wait_for(lambda: re.match(r'Staging: [1-9]\d?%', self.status()), 30, 'progress')
                        self.box.kill(SERVICE, signal.SIGKILL)
                self.assertEqual([name for name in self.identities() if name == 'llama/model.gguf'], [])
                self.wait_for_restart()
                self.assertEqual(xxh128(self.path('llama/model.gguf')), digest)
                self.assertEqual(engine.wait_for_record(), ('start', digest))
                self.assertRegex(self.status(), '^Ready: 2 files')

        def test_after_a_crash_without_restart_the_mirror_waits_for_the_next_start(self):
                self.sample()
                self.boot(service='Restart=no')
                self.start()
                before = self.identities()
                self.box.kill(SERVICE, signal.SIGKILL)
                self.wait_for_state('failed')
                self.assertEqual(self.identities(), before)
                self.start()
                self.assertEqual(self.identities(), before)
                self.box.systemctl('stop ' + SERVICE)
                self.wait_for_unmount()

        def test_a_restart_by_hand_ends_ready_with_the_engine_running(self):
                digest = self.sample()
                self.boot()
                engine = self.engine()
                self.box.systemctl('start engine.service')
                engine.wait_for_record()
                self.box.systemctl('restart ' + SERVICE)
                self.wait_for_state('active', 'engine.service')
                self.assertEqual(engine.wait_for_record(3), ('start', digest))
                self.assertEqual(engine.records()[1], ('stop', digest))
                self.assertIsNotNone(self.box.mount_options(TARGET))


if __name__ == '__main__':
        unittest.main()
