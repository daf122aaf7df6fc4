#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Prometheus's own checks of the metrics and of the alerts.

Usage: promtool.py PROMTOOL PRINT-METRICS SOURCE-ROOT [STAMP of install.sh, which is not read]
"""

import re
import subprocess
import sys
import tempfile
import textwrap
import unittest
from pathlib import Path

PROMTOOL, PRINT_METRICS, SOURCE_ROOT = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve(), Path(sys.argv[3])
ALERTS = SOURCE_ROOT / 'docs' / 'alerts.yml'

# alert -> (series that set it off after half an hour, the same series as it is when all is well)
CASES = {
    'ShmstagedDown': ('node_systemd_unit_state{name="shmstaged.service",state="active"}', '0x90', '1x90'),
    'ShmstagedNotReady': ('shmstaged_ready{mirror="m"}', '0x90', '1x90'),
    'ShmstagedFailed': ('shmstaged_state{mirror="m",state="failed"}', '1x90', '0x90'),
    'ShmstagedDegraded': ('shmstaged_degraded{mirror="m"}', '1x90', '0x90'),
    'ShmstagedSourceLost': ('shmstaged_source_up{mirror="m"}', '0x90', '1x90'),
    'ShmstagedSavingFails': ('shmstaged_save_failing{mirror="m"}', '1x90', '0x90'),
    # the tests' clock begins at 1970-01-01 00:00
    'ShmstagedUnsaved': ('shmstaged_unsaved_since_timestamp_seconds{mirror="m"}', '60x90', '3000x90'),
    'ShmstagedDeletionsHeld': ('shmstaged_deletions_held{mirror="m"}', '7x90', '0x90'),
    'ShmstagedConflict': ('shmstaged_open_conflicts{mirror="m"}', '1x90', '0x90'),
    'ShmstagedMemoryFaulty': ('shmstaged_mismatches_total{mirror="m",found_by="scrub"}', '0x30 1x60', '5x90'),
    'ShmstagedSwapped': ('shmstaged_swapped_bytes{mirror="m"}', '4096x90', '0x90'),
}


def run(*arguments, text=None):
    done = subprocess.run([PROMTOOL, *arguments], input=text, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


class Promtool(unittest.TestCase):
    def test_the_metrics_follow_prometheus_conventions(self):
        text = subprocess.run([PRINT_METRICS], check=True, capture_output=True, text=True).stdout
        self.assertEqual(run('check', 'metrics', text=text), (0, ''))

    def test_metrics_that_do_not_would_be_noticed(self):
        for text in ('# HELP a_total x\n# TYPE a_total gauge\na_total 1\n', 'a{b="c} 1\n'):
            self.assertNotEqual(run('check', 'metrics', text=text)[0], 0, text)

    def test_the_rules_load(self):
        status, output = run('check', 'rules', str(ALERTS))
        self.assertEqual(status, 0, output)
        self.assertIn(f'SUCCESS: {len(CASES)} rules found', output)

    def test_every_alert_has_its_case(self):
        self.assertEqual(set(re.findall(r'- alert: (\w+)', ALERTS.read_text())), set(CASES))

    def alerts(self, alert, series, values, expected):
        test = textwrap.dedent(f'''
            rule_files: [{ALERTS.resolve()}]
            evaluation_interval: 1m
            tests:
              - interval: 1m
                input_series:
                  - series: '{series}'
                    values: '{values}'
                promql_expr_test:
                  - expr: 'count(ALERTS{{alertname="{alert}",alertstate="firing"}}) or vector(0)'
                    eval_time: 80m
                    exp_samples: [{{labels: '{{}}', value: {expected}}}]
            ''')
        with tempfile.NamedTemporaryFile('w', suffix='.yml') as file:
            file.write(test)
            file.flush()
            return run('test', 'rules', file.name)

    def test_each_alert_fires_when_it_should_and_only_then(self):
        for alert, (series, bad, good) in CASES.items():
            with self.subTest(alert=alert):
                self.assertEqual(self.alerts(alert, series, bad, 1)[0], 0, self.alerts(alert, series, bad, 1)[1])
                self.assertEqual(self.alerts(alert, series, good, 0)[0], 0, self.alerts(alert, series, good, 0)[1])


if __name__ == '__main__':
    unittest.main(argv=sys.argv[:1])
