# SPDX-License-Identifier: MIT
"""Jobs that only some workers may run."""

import harness


class Tags(harness.Case):
    def test_a_tag_that_no_worker_has_blocks_nothing_behind_it(self):
        self.d.start_broker()
        self.d.start_worker(1)
        needy = [self.d.submit("true", flags=["--need", "gpu"]) for _ in range(5)]
        self.assert_code(0, self.d.call("run", "--", "true"))
        self.assertEqual(["ready"] * 5, [job["state"] for job in self.d.info(*needy)])
        why = self.d.call("-o", "json", "why", str(needy[0]), check=0).json()
        self.assertIn("no_tag", [blocker["kind"] for blocker in why["blockers"]])
        self.d.start_worker(1, "--tags", "disk,gpu")
        self.assert_code(0, self.d.wait(*needy))
        self.assertEqual(1, len({job["worker"] for job in self.d.info(*needy)}))

    def test_a_job_for_a_tag_that_is_cancelled_never_runs(self):
        self.d.start_broker()
        id = self.d.submit("touch", self.d.path("ran"), flags=["--need", "gpu"])
        self.d.call("cancel", str(id), check=0)
        self.d.start_worker(1, "--tags", "gpu")
        self.assert_code(0, self.d.call("run", "--need", "gpu", "--", "true"))
        self.assertEqual(["cancelled"], [job["state"] for job in self.d.info(id)])
        self.assertRaises(FileNotFoundError, self.d.read, "ran")


if __name__ == "__main__":
    harness.main()
