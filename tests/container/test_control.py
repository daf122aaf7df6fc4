# SPDX-License-Identifier: GPL-2.0-or-later
"""The control interface of the installed daemon on a real system bus: dbus-daemon, polkit, and the tools that come with them.

    test_control.py     BUILD and TREE as for test_system.py
"""

import json
import os
import signal
import unittest

import test_system
from test_system import SERVICE, SystemTest

BUS, PATH, INTERFACE = 'io.shmstaged', '/io/shmstaged', 'io.shmstaged.Manager1'
MEMBER, STRANGER = 1001, 1002


def setUpModule():
        test_system.setUpModule()


class TestSystemBus(SystemTest):
        def boot(self, **more):
                def write_files(box):
                        with open(box.host_path('/etc/passwd'), 'a') as file:
                                file.write(f'member:x:{MEMBER}:{MEMBER}::/:/bin/sh\nstranger:x:{STRANGER}:{STRANGER}::/:/bin/sh\n')
                        box.write('/etc/polkit-1/rules.d/10-test.rules',
                                  'polkit.addRule(function(action, subject) {\n'
                                  '        if (action.id == "io.shmstaged.manage" && subject.user == "member")\n'
                                  '                return polkit.Result.YES;\n});\n')
                        if 'prepare' in more:
                                more['prepare'](box)

                return super().boot(service=more.get('service', ''), prepare=write_files)

        def busctl(self, arguments, user=0, check=True):
                return self.box.run(f'setpriv --reuid={user} --regid={user} --clear-groups busctl --timeout=20 {arguments}', 40, check)

        def call(self, member, arguments='', user=0, check=True):
                return self.busctl(f'--json=short call {BUS} {PATH} {INTERFACE} {member} {arguments}', user, check)

        def wait_for_name(self, there=True):
                self.box.wait_for(lambda: (f'"{BUS}"' in self.box.run('busctl --json=short call org.freedesktop.DBus /org/freedesktop/DBus '
                                           'org.freedesktop.DBus ListNames', check=False).out) == there, 15, f'{BUS} on the bus: {there}')

        def daemon_state(self, user=0):
                return json.loads(self.call('GetStatus', user=user).out)['data'][0]['state']['data']

        def job_result(self, job):
                def ended():
                        out = self.busctl(f'--json=short get-property {BUS} {job} io.shmstaged.Job1 State').out
                        return json.loads(out)['data'] != 'running' and json.loads(out)['data']
                return self.box.wait_for(ended, 15, 'the end of ' + job)

        def test_all_users_see_it_and_polkit_decides_who_may_change_something(self):
                self.sample()
                self.boot()
                self.start()
                self.wait_for_name()
                out = self.busctl(f'introspect {BUS} {PATH}', user=STRANGER).out
                for name in ('.GetStatus', '.Stage', '.JobRemoved', '.State'):
                        self.assertIn(name + ' ', out)
                self.assertIn(PATH, self.busctl(f'tree {BUS}', user=STRANGER).out)
                for user in (0, MEMBER, STRANGER):
                        self.assertEqual(self.daemon_state(user), 'ready')
                        self.assertEqual(self.call('Wait', 'aay 0', user).status, 0)

                # reloads can be counted
                def reloads():
                        return sum('Reload requested by' in text for text in self.box.messages(SERVICE))
                refused = self.call('Reload', user=STRANGER, check=False)
                self.assertNotEqual(refused.status, 0)
                self.assertRegex(refused.err, '(?i)access denied|authoriz')
                self.assertEqual(reloads(), 0)
                for n, user in enumerate((0, MEMBER), 1):
                        job = json.loads(self.call('Reload', user=user).out)['data'][0]
                        self.assertEqual(self.job_result(job), 'done')
                        self.assertEqual(reloads(), n)
                self.assertTrue(any(f'by uid {MEMBER} (pid ' in text for text in self.box.messages(SERVICE)))
                # interactive, without an agent to ask
                refused = self.call('Reload', user=STRANGER, check=False)
                self.assertNotEqual(refused.status, 0)

                # the private socket permits root alone, whatever polkit decides
                private = f'--address=unix:path=/run/shmstaged/control call {BUS} {PATH} {INTERFACE}'
                self.assertEqual(self.busctl(f'{private} GetStatus', user=STRANGER).status, 0)
                self.assertNotEqual(self.busctl(f'{private} Reload', user=MEMBER, check=False).status, 0)
                self.assertEqual(self.busctl(f'{private} Reload').status, 0)

                # no other user may take the name
                taken = self.busctl(f'call org.freedesktop.DBus /org/freedesktop/DBus org.freedesktop.DBus RequestName su {BUS} 3', user=MEMBER, check=False)
                self.assertNotEqual(taken.status, 0)

                # without polkit only root may
                self.box.systemctl('stop polkit.service')
                self.box.systemctl('mask --runtime polkit.service')
                refused = self.call('Reload', user=MEMBER, check=False)
                self.assertNotEqual(refused.status, 0)
                self.assertRegex(refused.err, '(?i)access denied')
                self.assertEqual(self.call('Reload').status, 0)
                self.box.systemctl('stop ' + SERVICE)
                self.wait_for_name(False)
                self.assertFalse(self.box.exists('/run/shmstaged/control'))

        def ctl(self, arguments, user=0, check=True):
                return self.box.run(f'setpriv --reuid={user} --regid={user} --clear-groups shmstagectl {arguments}', 40, check)

        def test_shmstagectl_takes_the_way_that_is_open_to_its_user(self):
                self.sample()
                self.boot()
                self.start()
                self.wait_for_name()
                for user in (0, MEMBER, STRANGER):
                        self.assertIn('shmstaged: ready', self.ctl('status', user).out.splitlines()[0])
                        self.assertIn('llama/model.gguf', self.ctl('list --system-bus --noheadings', user).out)
                refused = self.ctl('release llama/model.gguf', STRANGER, check=False)
                self.assertEqual(refused.status, 1)
                self.assertRegex(refused.err, f'uid {STRANGER} may not .*io.shmstaged.manage')
                self.assertEqual(list(self.identities()), ['llama/model.gguf'])
                # the private socket refuses a member, polkit does not
                self.ctl('release llama/model.gguf', MEMBER)
                self.assertEqual(list(self.identities()), [])
                self.assertEqual(json.loads(self.ctl('stage --json llama/model.gguf', MEMBER).out)['result'], 'done')
                self.assertEqual(list(self.identities()), ['llama/model.gguf'])

        def test_a_unit_waits_for_its_model(self):
                self.sample()
                box = self.boot()
                box.write('/etc/systemd/system/early.service', '[Service]\nType=oneshot\nRemainAfterExit=yes\n'
                          'ExecStartPre=/usr/bin/shmstagectl wait --timeout=60s llama/model.gguf\nExecStart=/bin/true\n')
                box.write('/etc/systemd/system/vain.service', '[Service]\nType=oneshot\n'
                          'ExecStartPre=/usr/bin/shmstagectl wait --timeout=60s nonesuch\nExecStart=/bin/true\n')
                box.systemctl('daemon-reload')
                box.systemctl('start --no-block early.service')
                box.wait_for(lambda: box.show('early.service', 'ActiveState') == 'activating', 10, 'the unit to begin')
                self.start()
                box.wait_for(lambda: box.show('early.service', 'ActiveState') == 'active', 10, 'the unit to go on')
                self.assertNotEqual(box.systemctl('start vain.service', check=False).status, 0)
                self.assertTrue(any('nonesuch' in text for text in box.messages('vain.service')))

        def test_the_bus_may_come_later_and_go_and_come_again(self):
                self.sample()

                def without_bus(box):
                        for unit in ('dbus.socket', 'dbus.service'):
                                os.symlink('/dev/null', box.host_path(f'/etc/systemd/system/{unit}'))

                box = self.boot(prepare=without_bus)
                self.start()
                self.assertFalse(box.exists('/run/dbus/system_bus_socket'))
                self.assertEqual(box.run(f'busctl --address=unix:path=/run/shmstaged/control get-property {BUS} {PATH} {INTERFACE} State').out.strip(), 's "ready"')
                quiet = len(box.messages(SERVICE))
                for unit in ('dbus.socket', 'dbus.service'):
                        box.remove(f'/etc/systemd/system/{unit}')
                box.systemctl('daemon-reload')
                box.systemctl('start dbus.socket')
                self.wait_for_name()
                self.assertEqual(self.daemon_state(), 'ready')
                pid = box.pid(SERVICE)
                for _ in range(2):
                        box.kill('dbus.service', signal.SIGKILL)
                        box.wait_for(lambda: box.pid('dbus.service') == 0 or box.show('dbus.service', 'ActiveState') != 'active', 10, 'the end of the bus')
                        box.systemctl('start dbus.service', check=False)
                        self.wait_for_name()
                        self.assertEqual(self.daemon_state(), 'ready')
                self.assertEqual(box.pid(SERVICE), pid)
                # it has no entry for it
                self.assertEqual(len(box.messages(SERVICE)), quiet)

        def test_a_reload_is_over_when_systemctl_comes_back_and_fails_with_its_reason(self):
                self.sample()
                self.sample('extra', seed=2)
                box = self.boot()
                self.start()
                self.configure(box, 'Exclude=extra')
                box.systemctl('reload ' + SERVICE)
                self.assertEqual(list(self.identities()), ['llama/model.gguf'])
                self.configure(box, 'Size=perhaps')
                failed = box.systemctl('reload ' + SERVICE, check=False)
                self.assertNotEqual(failed.status, 0)
                self.assertEqual(self.state(), 'active')
                self.assertTrue(any('Size=' in text for text in box.messages(SERVICE)))
                self.configure(box)
                # without its socket the signal is sent
                box.remove('/run/shmstaged/control')
                box.systemctl('reload ' + SERVICE)
                box.wait_for(lambda: sorted(self.identities()) == ['extra', 'llama/model.gguf'], 10, 'the reload')


if __name__ == '__main__':
        unittest.main()
