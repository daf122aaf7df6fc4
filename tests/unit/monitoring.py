#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Dashboard, alerts and their page against the metrics that the program writes.

Usage: monitoring.py PRINT-METRICS SOURCE-ROOT

None of them names a metric, or a label of one, that is not there; the page has them all. Prometheus's own checks of them are in promtool.py.
"""

import json
import re
import subprocess
import sys
import unittest
from pathlib import Path

PRINT_METRICS, SOURCE_ROOT = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
DASHBOARD = json.loads((SOURCE_ROOT / 'docs' / 'grafana-dashboard.json').read_text())
ALERTS = (SOURCE_ROOT / 'docs' / 'alerts.yml').read_text()
PAGE = (SOURCE_ROOT / 'docs' / 'monitoring.md').read_text()


def metrics():
    """name -> (type, labels of its samples) of what the program writes."""
    text = subprocess.run([PRINT_METRICS], check=True, capture_output=True, text=True).stdout
    found = {}
    for line in text.splitlines():
        if match := re.fullmatch(r'# TYPE (\S+) (\S+)', line):
            found[match[1]] = (match[2], set())
        elif not line.startswith('#'):
            name, labels = re.fullmatch(r'(\w+)\{(.*)\} \S+', line).groups()
            found[name][1].update(re.findall(r'(\w+)="(?:[^"\\]|\\.)*"', labels))
    return found


METRICS = metrics()
# given by the scraper
TARGET_LABELS = {'instance', 'job'}


def uses(expression):
    """(metric, labels it is chosen by) for each of our metrics in an expression."""
    return [(name, set(re.findall(r'(\w+)\s*[=!]~?', selector or '')))
            for name, selector in re.findall(r'\b(shmstaged_\w+)(?:\{([^}]*)\})?', expression)]


def dashboard_expressions():
    for panel in DASHBOARD['panels']:
        for target in panel['targets']:
            yield panel['title'], target['expr']
    for variable in DASHBOARD['templating']['list']:
        if variable['type'] == 'query':
            yield variable['name'], variable['query']['query']


def alert_expressions():
    return re.findall(r'- alert: (\w+)\n(?:\s*#.*\n)*\s*expr: (.*)', ALERTS)


class Monitoring(unittest.TestCase):
    def test_every_family_has_a_sample_so_that_its_labels_are_known(self):
        self.assertGreater(len(METRICS), 30)
        self.assertEqual([name for name, (_, labels) in METRICS.items() if not labels], [])

    def assert_known(self, where, expression):
        self.assertTrue(uses(expression) or 'node_systemd_unit_state' in expression, f'{where}: {expression}')
        for name, labels in uses(expression):
            self.assertIn(name, METRICS, where)
            self.assertEqual(labels - METRICS[name][1] - TARGET_LABELS, set(), f'{where}: {expression}')

    def test_the_dashboard_names_only_metrics_that_are_written(self):
        expressions = list(dashboard_expressions())
        self.assertGreater(len(expressions), 20)
        for where, expression in expressions:
            self.assert_known(where, expression)

    def test_its_legends_name_only_labels_that_the_samples_have(self):
        for panel in DASHBOARD['panels']:
            for target in panel['targets']:
                wanted = set(re.findall(r'\{\{(\w+)\}\}', target['legendFormat']))
                for name, _ in uses(target['expr']):
                    with self.subTest(panel=panel['title'], metric=name):
                        self.assertEqual(wanted - METRICS[name][1] - TARGET_LABELS, set())

    def test_counters_are_shown_as_what_they_grow_by_and_gauges_as_they_are(self):
        for where, expression in [*dashboard_expressions(), *alert_expressions()]:
            for name, _ in uses(expression):
                if name in METRICS:
                    grows = re.search(r'\b(?:rate|increase)\(' + name, expression) is not None
                    self.assertEqual(grows, METRICS[name][0] == 'counter', f'{where}: {expression}')

    def test_the_dashboard_can_be_imported(self):
        self.assertIsInstance(DASHBOARD['schemaVersion'], int)
        self.assertIn({'name': 'datasource', 'type': 'datasource', 'query': 'prometheus'}.items(),
                      [({key: variable.get(key) for key in ('name', 'type', 'query')}).items() for variable in DASHBOARD['templating']['list']])
        ids = [panel['id'] for panel in DASHBOARD['panels']]
        self.assertEqual(len(ids), len(set(ids)))
        for panel in DASHBOARD['panels']:
            for thing in [panel, *panel['targets']]:
                self.assertEqual(thing['datasource']['uid'], '${datasource}', panel['title'])
            self.assertLessEqual(panel['gridPos']['x'] + panel['gridPos']['w'], 24, panel['title'])

    def test_no_panel_lies_on_another(self):
        taken = {}
        for panel in DASHBOARD['panels']:
            place = panel['gridPos']
            for x in range(place['x'], place['x'] + place['w']):
                for y in range(place['y'], place['y'] + place['h']):
                    self.assertNotIn((x, y), taken, f"{panel['title']} on {taken.get((x, y))}")
                    taken[x, y] = panel['title']

    def test_the_alerts_name_only_metrics_that_are_written(self):
        self.assertEqual(len(alert_expressions()), ALERTS.count('- alert: '))
        for where, expression in alert_expressions():
            self.assert_known(where, expression)

    def test_the_page_has_every_metric_and_no_other(self):
        listed = re.findall(r'`(shmstaged_\w+)`', PAGE)
        self.assertEqual(set(listed), set(METRICS))

    def test_the_page_leads_to_files_that_are_there(self):
        for link in re.findall(r'\]\(([^)]+)\)', PAGE):
            self.assertTrue((SOURCE_ROOT / 'docs' / link).exists(), link)


if __name__ == '__main__':
    unittest.main(argv=sys.argv[:1])
