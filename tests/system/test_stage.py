# SPDX-License-Identifier: GPL-2.0-or-later
"""What is staged, and how faithfully."""

import os
import harness


class Stage(harness.Case):
    def test_a_tree_is_mirrored_verified_and_removed(self):
        self.write("a/model.gguf", size=40 << 20)
        self.write("b.json", b"{}")
        daemon = self.ready()
        self.assert_same_file("a/model.gguf")
        self.assert_same_file("b.json")
        self.assertEqual(self.xxh128sum().returncode, 0)
        daemon.stop()
        self.assert_gone()
        self.assertTrue(os.path.exists(os.path.join(self.source, "b.json")))


if __name__ == "__main__":
    harness.main()
