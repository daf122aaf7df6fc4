#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later

"""What shmstaged-generator writes, file by file, and what release-mount lets go.

Usage: generator.py GENERATOR RELEASE-MOUNT SERVICE LIBRARY-DIRECTORY [unittest arguments]

The generator reads a tree made here (SHMSTAGED_GENERATOR_ROOT). What it writes is compared as text, and the real systemd-escape
and systemd-analyze have to accept it. Needs root for a mount namespace of its own."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
import unittest

GENERATOR, RELEASE_MOUNT, SERVICE = (str(pathlib.Path(path).resolve()) for path in sys.argv[1:4])
HELPER = sys.argv[4] + '/release-mount'  # where the build installs it
HEADER = '# Written by shmstaged-generator from the configuration. Changes made here do not last.\n\n'
NOBODY = 65534

# For a mirror that asks the kernel for nothing
PLAIN = 'HugePages=never\nSwap=yes\n'


def text(block):
    return textwrap.dedent(block).lstrip('\n')


class Case(unittest.TestCase):
    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix='test-generator-'))
        self.addCleanup(shutil.rmtree, self.directory)
        self.directory.chmod(0o755)
        self.root = self.directory / 'root'
        self.put('proc/meminfo', 'MemTotal: 16777216 kB\nMemAvailable: 8000000 kB\nSwapTotal: 0 kB\n')
        self.put('proc/cmdline', 'root=/dev/vda quiet\n')

    def put(self, path, content):
        path = self.root / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)

    def run_generator(self, *, arguments=None, user=None, expect=0):
        """Returns the messages; what was written is then in self.files."""
        out = pathlib.Path(tempfile.mkdtemp(prefix='out-', dir=self.directory))
        if user:
            os.chown(out, user, user)
        done = subprocess.run([GENERATOR] + ([out] * 3 if arguments is None else arguments), user=user,
                              env=os.environ | {'SHMSTAGED_GENERATOR_ROOT': str(self.root)},
                              capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, expect, done.stderr)
        self.out = out
        self.files = {str(path.relative_to(out)): path.read_text() for path in out.rglob('*') if path.is_file()}
        return done.stderr

    def generate(self, configuration, **how):
        self.put('etc/shmstaged.conf', configuration)
        return self.run_generator(**how)


class Written(Case):
    maxDiff = None

    def test_a_mirror_becomes_a_mount_and_a_drop_in(self):
        self.assertEqual(self.generate('[Daemon]\nReserveMemory=4G\n[Mirror llama]\nSource=/data/llama\n'
                                       'Target=/dev/shm/llama\n' + PLAIN), '')
        self.assertEqual(self.files, {
            'dev-shm-llama.mount': HEADER + text('''
                [Unit]
                Description=Memory of the mirror llama
                Documentation=man:shmstaged-generator(8) man:shmstaged.conf(5)
                SourcePath=/etc/shmstaged.conf
                DefaultDependencies=no
                Conflicts=umount.target
                Before=umount.target
                After=local-fs-pre.target swap.target

                [Mount]
                What=tmpfs
                Where=/dev/shm/llama
                Type=tmpfs
                Options=size=12884901888,mode=0755,nosuid,nodev,noexec
                LazyUnmount=yes
                DirectoryMode=0755
                '''),
            'shmstaged.service.d/50-mirrors.conf': HEADER + text('''
                [Unit]
                RequiresMountsFor="/data/llama"
                RequiresMountsFor="/dev/shm/llama"

                [Service]
                ExecStopPost=+-HELPER "dev-shm-llama.mount" "/dev/shm/llama"
                ReadWritePaths="-/data/llama"
                ReadWritePaths="-/dev/shm/llama"
                MemorySwapMax=infinity
                ''').replace('HELPER', HELPER),
        })

    def test_engines_are_wired_both_ways_and_once(self):
        self.generate('[Mirror a]\nSource=/data/a\nTarget=/run/a\nSize=1G\nEngines=ollama.service vllm.socket\n'
                      '[Mirror b]\nSource=/data/b\nTarget=/run/b\nSize=25%\nEngines=ollama.service\nSwap=no\n')
        wired = HEADER + '[Unit]\nRequires=shmstaged.service\nAfter=shmstaged.service\n'
        self.assertEqual(self.files['ollama.service.d/50-shmstaged.conf'], wired)
        self.assertEqual(self.files['vllm.socket.d/50-shmstaged.conf'], wired)
        self.assertIn('Options=size=1073741824,', self.files['run-a.mount'])
        self.assertIn('Options=size=4294967296,', self.files['run-b.mount'])
        unit = self.files['shmstaged.service.d/50-mirrors.conf'].split('[Service]')[0]
        self.assertEqual(unit, HEADER + text('''
            [Unit]
            RequiresMountsFor="/data/a"
            RequiresMountsFor="/run/a"
            RequiresMountsFor="/data/b"
            RequiresMountsFor="/run/b"
            Wants=ollama.service
            Before=ollama.service
            Wants=vllm.socket
            Before=vllm.socket

            '''))
        self.assertEqual(len(self.files), 5)

    def test_without_a_configuration_the_mount_asks_for_the_source_first(self):
        self.run_generator()
        self.assertEqual(set(self.files), {'dev-shm-models.mount', 'shmstaged.service.d/50-mirrors.conf'})
        unit = self.files['dev-shm-models.mount']
        self.assertIn('\nConditionPathIsDirectory=/data/models\n', unit)
        self.assertNotIn('SourcePath=', unit)

    def test_special_characters_of_unit_files_are_escaped(self):
        self.generate('[Mirror odd]\nSource=/data/a "b" %n $HOME\nTarget=/dev/shm/c \\d "e" 100% $f\n' + PLAIN)
        unit = self.files[r'dev-shm-c\x20\x5cd\x20\x22e\x22\x20100\x25\x20\x24f.mount']
        self.assertIn('\nWhere=/dev/shm/c \\d "e" 100%% $f\n', unit)
        service = self.files['shmstaged.service.d/50-mirrors.conf']
        self.assertIn('\nRequiresMountsFor="/data/a \\"b\\" %%n $HOME"\n', service)
        self.assertIn('\nReadWritePaths="-/dev/shm/c \\\\d \\"e\\" 100%% $f"\n', service)
        self.assertIn(r'"dev-shm-c\\x20\\x5cd\\x20\\x22e\\x22\\x20100\\x25\\x20\\x24f.mount" '
                      r'"/dev/shm/c \\d \"e\" 100%% $$f"', service)

    def test_temporary_directories_are_let_in_where_a_mirror_needs_them(self):
        for path, needed in (('/tmp/models', True), ('/var/tmp/models', True), ('/tmpfs/models', False)):
            self.generate(f'[Mirror m]\nSource={path}\nTarget=/run/m\n{PLAIN}')
            self.assertEqual('PrivateTmp=no\n' in self.files['shmstaged.service.d/50-mirrors.conf'], needed)

    def paths(self, *sources):
        """What the sandbox lets through for mirrors with these (source, WriteBack=), the targets left out."""
        self.generate(''.join(f'[Mirror m{i}]\nSource={source}\nTarget=/run/m{i}\nWriteBack={write_back}\n'
                              for i, (source, write_back) in enumerate(sources)))
        service = self.files['shmstaged.service.d/50-mirrors.conf']
        for i in range(len(sources)):
            self.assertEqual(service.count(f'\nReadWritePaths="-/run/m{i}"\n'), 1)
        return re.findall('^(Read(?:Only|Write)Paths)="-(/data.*)"$', service, re.MULTILINE)

    def test_a_source_is_writable_only_with_write_back(self):
        self.assertEqual(self.paths(('/data/a', 'yes')), [('ReadWritePaths', '/data/a')])
        self.assertEqual(self.paths(('/data/a', 'no')), [('ReadOnlyPaths', '/data/a')])
        self.assertEqual(self.paths(('/data/a', 'yes'), ('/data/b', 'no'), ('/data/ab', 'no')),
                         [('ReadWritePaths', '/data/a'), ('ReadOnlyPaths', '/data/b'), ('ReadOnlyPaths', '/data/ab')])

    def test_a_source_that_any_mirror_saves_to_is_nowhere_read_only(self):
        for sources in ((('/data/a', 'yes'), ('/data/a', 'no')), (('/data/a', 'no'), ('/data/a', 'yes')),
                        (('/data/a', 'yes'), ('/data/a/b', 'no')), (('/data/a/b/c', 'no'), ('/data/a', 'yes'))):
            self.assertEqual(self.paths(*sources), [('ReadWritePaths', '/data/a')], sources)

    def test_a_source_inside_one_that_is_only_read_is_writable(self):
        self.assertEqual(self.paths(('/data/a', 'no'), ('/data/a/b', 'yes')),
                         [('ReadOnlyPaths', '/data/a'), ('ReadWritePaths', '/data/a/b')])

    def test_the_directory_of_the_metrics_is_writable(self):
        mirror = f'[Mirror m]\nSource=/data/m\nTarget=/run/m\n{PLAIN}'
        for path, line in (('/var/lib/node exporter/m.prom', 'ReadWritePaths="-/var/lib/node exporter"\n'), ('/tmp/m.prom', 'PrivateTmp=no\n'),
                           ('/tmp/m.prom', 'ReadWritePaths="-/tmp"\n')):
            self.generate(f'[Daemon]\nMetricsFile={path}\n' + mirror)
            self.assertIn('\n' + line, self.files['shmstaged.service.d/50-mirrors.conf'])
        without = self.files['shmstaged.service.d/50-mirrors.conf'].replace('PrivateTmp=no\n', '').replace('ReadWritePaths="-/tmp"\n', '')
        # the root would be no sandbox any more
        for path in ('', '/m.prom'):
            self.generate(f'[Daemon]\nMetricsFile={path}\n' + mirror)
            self.assertEqual(self.files['shmstaged.service.d/50-mirrors.conf'], without)

    def test_a_mirror_that_may_not_swap_leaves_the_limit_of_the_service(self):
        self.generate('[Mirror m]\nSource=/data/m\nTarget=/run/m\nSwap=no\n')
        self.assertNotIn('MemorySwapMax', self.files['shmstaged.service.d/50-mirrors.conf'])

    def test_a_reserve_larger_than_the_memory_leaves_the_smallest_size(self):
        self.generate('[Daemon]\nReserveMemory=64G\n[Mirror m]\nSource=/data/m\nTarget=/run/m\n')
        self.assertIn('Options=size=4096,', self.files['run-m.mount'])

    def test_a_service_that_would_not_see_the_mirror_gets_it_bound(self):
        self.put('usr/lib/systemd/system/plain.service', '[Service]\nPrivateDevices=no\nPrivateTmp=yes\n')
        self.put('usr/lib/systemd/system/private.service', '[Service]\n  PrivateDevices = Yes\n')
        self.put('lib/systemd/system/late.service', '[Service]\nPrivateDevices=no\n')
        self.put('etc/systemd/system/late.service.d/x.conf', '[Service]\nPrivateDevices=true\n')
        self.put('etc/systemd/system/llama@.service', '[Service]\nTemporaryFileSystem=/dev/shm\n')
        self.put('etc/systemd/system/off.service.d/x.conf.bak', 'PrivateDevices=yes\n')
        self.put('etc/systemd/system/off.service', '#PrivateDevices=yes\nPrivateDevicesX=yes\nRootDirectory=/\nRootImage=\n')
        self.put('etc/systemd/system/rooted.service', 'RootDirectory=/srv/root')
        self.generate('[Mirror a]\nSource=/data/a\nTarget=/dev/shm/a b\nEngines=plain.service private.service '
                      'late.service llama@70b.service off.service rooted.service unknown.service\n'
                      '[Mirror c]\nSource=/data/c\nTarget=/dev/shm/c\nEngines=private.service\n')
        bound = {name.split('.service.d/')[0]: content.split('\n[Service]\n')[1]
                 for name, content in self.files.items() if name.endswith('50-shmstaged.conf') and '[Service]' in content}
        only_a = 'BindPaths="-/dev/shm/a b"\n'
        self.assertEqual(bound, {'private': only_a + 'BindPaths="-/dev/shm/c"\n', 'late': only_a, 'llama@70b': only_a,
                                 'rooted': only_a})

    def test_a_mount_that_others_configured_is_theirs(self):
        both = '[Mirror a]\nSource=/data/a\nTarget=/dev/shm/a\n[Mirror b]\nSource=/data/b\nTarget=/dev/shm/b\n'
        self.put('etc/fstab', '# a comment\ntmpfs /dev/shm/a/ tmpfs size=1G 0 0\n')
        self.put('etc/systemd/system/dev-shm-b.mount', '[Mount]\nWhat=tmpfs\nWhere=/dev/shm/b\n')
        self.generate(both)
        self.assertEqual(set(self.files), {'shmstaged.service.d/50-mirrors.conf'})
        service = self.files['shmstaged.service.d/50-mirrors.conf']
        self.assertNotIn('release-mount', service)
        self.assertIn('RequiresMountsFor="/dev/shm/a"\n', service)

    def test_drop_ins_are_read(self):
        self.put('usr/lib/shmstaged.conf.d/50-x.conf', '[Mirror x]\nSource=/data/x\nTarget=/run/x\n')
        self.run_generator()
        self.assertIn('SourcePath=/usr/lib/shmstaged.conf.d/50-x.conf\n', self.files['run-x.mount'])


class Kernel(Case):
    ASKED = '[Mirror m]\nSource=/data/m\nTarget=/run/m\nHugePages=within_size\nSwap=no\nNUMAPolicy=bind:0\n'

    def options(self):
        lines = self.files['run-m.mount'].splitlines()
        return [line for line in lines if line.startswith('Options=')][0].split(',')[5:]

    def test_options_that_the_kernel_takes_are_written(self):
        """The oracle is a real mount of each option in a namespace of its own."""
        taken = []
        for option in ('huge=within_size', 'noswap', 'mpol=bind:0'):
            done = subprocess.run(['unshare', '--mount', 'mount', '-t', 'tmpfs', '-o', option, 'tmpfs', self.directory],
                                  stderr=subprocess.DEVNULL, check=False)
            taken += [option] if done.returncode == 0 else []
        self.generate(self.ASKED)
        self.assertEqual(self.options(), taken)

    def test_the_automatic_policy_follows_the_nodes_of_the_machine(self):
        """The nodes are those below the root that is given; whether the kernel accepts the policy is not tested here."""
        taken = subprocess.run(['unshare', '--mount', 'mount', '-t', 'tmpfs', '-o', 'mpol=interleave', 'tmpfs', self.directory],
                               stderr=subprocess.DEVNULL, check=False).returncode == 0
        plain = '[Mirror m]\nSource=/data/m\nTarget=/run/m\nHugePages=never\nSwap=yes\n'
        for configuration in (plain, plain + 'NUMAPolicy=auto\n'):
            for nodes, several in (('0', False), ('0-1', True), ('0,2', True), ('', False), ('1', False)):
                self.put('sys/devices/system/node/has_memory', nodes + '\n')
                self.generate(configuration)
                self.assertEqual(self.options(), ['mpol=interleave'] if several and taken else [], nodes)
        (self.root / 'sys/devices/system/node/has_memory').unlink()
        self.generate(plain)
        self.assertEqual(self.options(), [])

    def test_options_that_cannot_be_probed_are_left_out(self):
        self.generate(self.ASKED, user=NOBODY)
        self.assertEqual(self.options(), [])

    def test_the_switch_on_the_command_line(self):
        for line, off in (('quiet shmstaged=0', True), ('shmstaged=0 shmstaged=1', False), ('shmstaged=00', False),
                          ('xshmstaged=0', False), ('shmstaged=1 shmstaged=0\n', True), ('', False)):
            self.put('proc/cmdline', line)
            self.run_generator()
            self.assertEqual(self.files == {}, off, line)
        (self.root / 'proc/cmdline').unlink()
        self.run_generator()
        self.assertNotEqual(self.files, {})


class Refused(Case):
    def refused(self, configuration, message):
        self.assertIn(message, self.generate(configuration, expect=1))
        self.assertEqual(list(self.out.iterdir()), [])

    def test_errors_in_the_configuration_leave_nothing_behind(self):
        self.refused('[Mirror good]\nSource=/data/a\nTarget=/run/a\n[Mirror bad]\nSource=/data/b\nTarget=/run/b\nSize=much\n',
                     '/etc/shmstaged.conf:7: ')

    def test_a_directory_of_the_system_is_not_hidden(self):
        for target in '/etc', '/dev/shm', '/usr/lib/models':
            self.refused('[Mirror m]\nSource=/data/m\nTarget=%s\n' % target, 'is a directory of the system')

    def test_engines_wait_for_the_daemon_also_with_errors_in_the_configuration(self):
        self.assertIn('/etc/shmstaged.conf:5: ', self.generate(
            '[Mirror m]\nSource=/data/m\nTarget=/run/m\nEngines=ollama.service\nSize=much\n', expect=1))
        self.assertEqual(set(self.files), {'ollama.service.d/50-shmstaged.conf', 'shmstaged.service.d/50-mirrors.conf'})
        self.assertIn('Requires=shmstaged.service\n', self.files['ollama.service.d/50-shmstaged.conf'])
        self.assertIn('Wants=ollama.service\n', self.files['shmstaged.service.d/50-mirrors.conf'])

    def test_a_configuration_that_cannot_be_read_leaves_nothing_behind(self):
        (self.root / 'etc/shmstaged.conf').mkdir(parents=True)
        self.assertNotEqual(self.run_generator(expect=1), '')
        self.assertEqual(self.files, {})

    def test_targets_that_no_mount_unit_can_name(self):
        mirror = '[Mirror good]\nSource=/data/a\nTarget=/run/a\n[Mirror m]\nSource=/data/m\nTarget='
        self.refused(mirror + '/run/m\\/\n', 'Target=/run/m')
        self.refused(mirror + '/run/m /\n', 'Target=/run/m')
        self.refused(mirror + '/run/' + '-' * 62 + '\n', 'cannot be the path of a mount unit')

    def test_the_longest_name_that_fits(self):
        self.generate('[Mirror m]\nSource=/data/m\nTarget=/' + 'm' * 249 + '\n')
        self.assertIn('m' * 249 + '.mount', self.files)

    def test_the_service_is_not_an_engine(self):
        self.refused('[Mirror m]\nSource=/data/m\nTarget=/run/m\nEngines=shmstaged.service\n', 'shmstaged.service itself')

    def test_a_machine_without_meminfo(self):
        (self.root / 'proc/meminfo').unlink()
        self.assertIn('Failed to determine the size of the RAM', self.run_generator(expect=1))
        self.assertEqual(self.files, {})

    def test_wrong_calls(self):
        for arguments in ([], ['/tmp'], ['a', 'b', 'c', 'd']):
            self.assertIn('Usage:', self.run_generator(arguments=arguments, expect=2))

    def test_an_output_directory_that_is_missing_or_full_of_surprises(self):
        nowhere = str(self.directory / 'nowhere')
        self.assertIn("Failed to write '" + nowhere, self.run_generator(arguments=[nowhere] * 3, expect=1))
        blocked = self.directory / 'blocked'
        blocked.mkdir()
        (blocked / 'dev-shm-models.mount').symlink_to(self.directory / 'elsewhere')
        self.assertIn("Failed to write 'dev-shm-models.mount'", self.run_generator(arguments=[str(blocked)] * 3, expect=1))
        self.assertFalse((self.directory / 'elsewhere').exists())


class Systemd(Case):
    ODD = ['/dev/shm/models', '/a', '/.hidden/.b', '/a-b/c--d', '/with space/x', '/tab-less/\\back', '/colon:semi;comma,',
           '/per%cent/$dollar', '/quo"te/apo\'s', '/ümlaut/模型', '/at@x/plus+y', '/~tilde/#hash', '/UPPER_lower.0',
           '/a.mount/b.', '/{x}[y](z)', '/-/--', '/\U0001f999', '/q?*!', '/=|<>^`&', '/..a/...']

    def test_names_are_those_of_systemd_escape(self):
        self.generate(''.join(f'[Mirror m{i}]\nSource=/data/m{i}\nTarget={path}\n' for i, path in enumerate(self.ODD)))
        names = subprocess.run(['systemd-escape', '--path', '--suffix=mount', '--'] + self.ODD, capture_output=True, text=True,
                               check=True).stdout.split()
        self.assertEqual(len(names), len(self.ODD))
        self.assertEqual({name for name in self.files if name.endswith('.mount')}, set(names))

    def verify(self, *units):
        """systemd's own verdict. It compares Where= with the unit's name, so this also shows that paths are read back."""
        system = self.directory / 'system'
        shutil.rmtree(system, ignore_errors=True)
        shutil.copytree(self.out, system)
        shutil.copy(SERVICE, system / 'shmstaged.service')
        # the programs need not be installed for this test
        for path in system.rglob('*'):
            if path.is_file():
                path.write_text(re.sub('^ExecStart=.*', 'ExecStart=/bin/true', path.read_text().replace(HELPER, '/bin/true'),
                                       flags=re.MULTILINE))
        done = subprocess.run(['systemd-analyze', 'verify', '--man=no'] + [str(system / unit) for unit in units],
                              env=os.environ | {'SYSTEMD_UNIT_PATH': f'{system}:'}, capture_output=True, text=True, check=False)
        return done.stderr

    def test_all_that_is_written_is_clean(self):
        self.generate(''.join(f'[Mirror m{i}]\nSource=/data/m{i}{path}\nTarget={path}\nEngines=e{i}.service\n'
                              for i, path in enumerate(self.ODD)))
        mounts = [name for name in self.files if name.endswith('.mount')]
        self.assertEqual(len(mounts), len(self.ODD))
        # on this command line a colon has a meaning of its own; units that the service requires are verified anyway
        mounts = [name for name in mounts if ':' not in name]
        self.assertEqual(self.verify('shmstaged.service', *mounts), '')

    def test_the_check_for_cleanness_can_fail(self):
        self.generate('[Mirror m]\nSource=/data/m\nTarget=/run/m\n')
        unit = self.out / 'run-m.mount'
        unit.write_text(unit.read_text().replace('Where=/run/m', 'Where=/run/n'))
        self.assertNotEqual(self.verify('run-m.mount'), '')

    def test_the_service_is_sandboxed(self):
        self.generate('[Mirror m]\nSource=/data/m\nTarget=/run/m\n')
        done = subprocess.run(['systemd-analyze', 'security', '--offline=true', '--threshold=20', '--no-pager', SERVICE],
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)

    def refused_calls(self):
        """The system calls that the unit refuses, by systemd's own groups: the first line is a list of what is refused, so what follows
        without ~ takes away from it."""
        refused = set()
        for line in re.findall('^SystemCallFilter=(.*)', pathlib.Path(SERVICE).read_text(), re.MULTILINE):
            calls = set()
            for name in line.lstrip('~').split():
                calls |= self.calls_of(name)
            refused = refused | calls if line.startswith('~') else refused - calls
        return refused

    def calls_of(self, name):
        if not name.startswith('@'):
            return {name}
        done = subprocess.run(['systemd-analyze', 'syscall-filter', name], capture_output=True, text=True, check=True)
        words = [line.strip() for line in done.stdout.splitlines()[1:] if line.startswith('    ') and not line.strip().startswith('#')]
        return set().union(*(self.calls_of(word) for word in words))

    def test_the_system_calls_of_saving_are_not_refused(self):
        refused = self.refused_calls()
        self.assertLessEqual({'mount', 'ptrace', 'setuid', 'kexec_load', 'mbind', 'sched_setscheduler', 'bpf', 'swapon'}, refused)
        self.assertEqual(refused & {'fcntl', 'ioprio_set', 'setpriority', 'fallocate', 'ftruncate', 'renameat', 'renameat2', 'linkat', 'symlinkat', 'unlinkat',
                                    'mkdirat', 'fsetxattr', 'fgetxattr', 'flistxattr', 'copy_file_range', 'sendfile', 'fsync', 'fdatasync',
                                    'sync_file_range', 'syncfs', 'fadvise64', 'cachestat', 'fchown', 'fchownat', 'fchmod', 'fchmodat', 'utimensat',
                                    'openat2', 'statx', 'flock', 'getrandom', 'mlock'}, set())


class ReleaseMount(Case):
    def setUp(self):
        super().setUp()
        self.mirror = self.directory / 'my * mirror'
        self.mirror.mkdir()
        self.calls = self.directory / 'calls'
        program = self.directory / 'bin/systemctl'
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >>"{self.calls}"\n')
        program.chmod(0o755)

    def released(self, **environment):
        self.calls.unlink(missing_ok=True)
        path = f'{self.directory}/bin:{os.environ["PATH"]}'
        done = subprocess.run([RELEASE_MOUNT, 'my\\x2dmirror.mount', self.mirror], env={'PATH': path} | environment,
                              capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        return self.calls.exists()

    def test_an_empty_mirror_is_let_go_without_waiting_and_without_cancelling_a_start(self):
        self.assertTrue(self.released(SERVICE_RESULT='success'))
        self.assertEqual(self.calls.read_text().split(),
                         ['stop', '--no-block', '--job-mode=fail', '--', 'my\\x2dmirror.mount'])

    def test_the_daemons_own_files_do_not_count(self):
        (self.mirror / '.shmstaged/tmp/deep').mkdir(parents=True)
        (self.mirror / '.shmstaged/lock').touch()
        (self.mirror / '.shmstaged/mirror.state').touch()
        self.assertTrue(self.released())

    def test_anything_else_keeps_the_mount(self):
        for name in ('model.gguf', '.hidden', 'lock', 'mirror', '.shmstaged/new', '.shmstaged/tmp/x', ' ', '-print', '\n',
                     'mirror/.shmstaged/lock'):
            path = self.mirror / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            self.assertFalse(self.released(), name)
            shutil.rmtree(self.mirror)
            self.mirror.mkdir()

    def test_directories_and_odd_files_keep_the_mount(self):
        def link(path):
            path.symlink_to('/nowhere')
        for make in (pathlib.Path.mkdir, os.mkfifo, link):
            for name in ('x', '.shmstaged/lock', '.shmstaged'):
                if make == pathlib.Path.mkdir and name != 'x':
                    continue
                path = self.mirror / name
                path.parent.mkdir(exist_ok=True)
                make(path)
                self.assertFalse(self.released(), (make, name))
                shutil.rmtree(self.mirror)
                self.mirror.mkdir()

    def test_only_a_stop_that_went_well_lets_go(self):
        for result, final in (('success', True), ('exit-code', False), ('signal', False), ('core-dump', False),
                              ('watchdog', False), ('timeout', False), ('start-limit-hit', False)):
            self.assertEqual(self.released(SERVICE_RESULT=result), final, result)

    def test_a_refused_stop_is_no_failure(self):
        (self.directory / 'bin/systemctl').write_text('#!/bin/sh\necho refused >&2\nexit 4\n')
        self.assertFalse(self.released())

    def test_a_mirror_that_is_gone_is_nothing_to_do(self):
        self.mirror.rmdir()
        self.assertFalse(self.released())

    def test_wrong_calls(self):
        self.assertEqual(subprocess.run([RELEASE_MOUNT, 'x'], stderr=subprocess.DEVNULL, check=False).returncode, 2)


if __name__ == '__main__':
    unittest.main(argv=[sys.argv[0]] + sys.argv[5:])
