# SPDX-License-Identifier: MIT
"""What jobq exits with: the job's own code, or why there is none."""

import os
import signal
import time

import harness
from harness import CANCELLED, FAILED, SOME, TIMED_OUT, alive, wait_until

UNKNOWN = "999999"

# Notes its pid and that of a child, both deaf to TERM, and waits for ever.
STUBBORN = """
import os, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = os.fork()
with open(sys.argv[1], "a") as file:
    file.write("%d\\n" % os.getpid())
while True:
    signal.pause()
"""


class ExitCodes(harness.Case):
    def setUp(self):
        super().setUp()
        self.d.start_broker("--kill-grace", "300ms")

    def worker(self, slots=2):
        self.d.start_worker(slots)

    def assert_passed_on(self, code, *command):
        """By run, and by wait, any number of times."""
        self.assert_code(code, self.d.call("run", "--", *command))
        id = self.d.submit(*command)
        for _ in range(2):
            self.assert_code(code, self.d.wait(id))
        return id

    def test_run_and_wait_exit_with_the_code_of_the_job(self):
        self.worker()
        for code in (0, 1, 7, 120, 255):
            id = self.assert_passed_on(code, "sh", "-c", "exit %d" % code)
            self.assertEqual("succeeded" if code == 0 else "failed", self.d.state(id))

    def test_a_job_killed_by_signal_n_gives_128_plus_n(self):
        self.worker()
        for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV):
            id = self.assert_passed_on(128 + number, "sh", "-c", "kill -%d $$" % number)
            self.assertEqual(number, self.d.info(id)[0]["signal"])

    def test_a_missing_program_gives_127_and_one_that_cannot_run_126(self):
        self.worker()
        text = self.d.write("text", "no program")
        id = self.assert_passed_on(127, self.d.path("missing"))
        self.assertIn("missing", self.d.info(id)[0]["reason"])
        self.assert_passed_on(127, "no-such-program-on-path")
        self.assert_passed_on(126, text)
        self.assert_passed_on(126, self.d.directory)

    def test_an_unknown_id_is_an_error_at_once_for_every_command(self):
        for command in ("wait", "info", "logs", "result", "why", "cancel"):
            output = self.d.call(command, UNKNOWN, timeout=15)
            self.assert_code(FAILED, output)
            self.assertIn(UNKNOWN, output.errors)
            self.assertEqual(b"", output.out)
        self.assert_code(FAILED, self.d.call("logs", "-f", UNKNOWN, timeout=15))

    def test_an_unknown_id_among_known_ones_is_an_error(self):
        self.worker()
        id = self.d.submit("true")
        self.assert_code(FAILED, self.d.call("wait", str(id), UNKNOWN, timeout=15))

    def test_a_wait_that_times_out_exits_124_and_the_job_goes_on(self):
        self.worker()
        gate = self.d.gate()
        id = self.d.submit("sh", "-c", 'read line < "$1"; exit 7', "sh", gate.path)
        start = time.monotonic()
        self.assert_code(TIMED_OUT, self.d.call("wait", "--timeout", "1s", str(id)))
        self.assertGreaterEqual(time.monotonic() - start, 1.0)
        self.assertEqual("running", self.d.state(id))
        self.assert_code(TIMED_OUT, self.d.call("--timeout", "100ms", "wait", str(id)))
        gate.open()
        self.assert_code(7, self.d.wait(id))

    def test_a_job_over_its_own_time_limit_exits_124(self):
        self.worker()
        output = self.d.call("run", "--job-timeout", "200ms", "--", "sleep", "1000")
        self.assert_code(TIMED_OUT, output)

    def test_a_queued_job_that_is_cancelled_never_runs(self):
        self.worker(slots=1)
        gate = self.d.gate()
        first = self.d.submit("sh", "-c", 'read line < "$1"', "sh", gate.path)
        self.d.wait_state(first, "running")
        queued = self.d.submit("sh", "-c", 'echo ran > "$1"', "sh", self.d.path("ran"))
        self.assert_code(0, self.d.call("cancel", str(queued)))
        self.assert_code(CANCELLED, self.d.wait(queued))
        gate.open()
        self.assert_code(0, self.d.wait(first))
        self.assert_code(0, self.d.call("run", "--", "true"))
        self.assertFalse(os.path.exists(self.d.path("ran")))
        self.assertEqual((CANCELLED, "cancelled", 0), (self.d.wait(queued).code, self.d.state(queued),
                                                       self.d.info(queued)[0]["attempt"]))

    def test_cancel_of_a_running_job_is_term_first(self):
        self.worker()
        gate = self.d.gate()
        script = 'trap "echo term > $1; exit 3" TERM; echo up; while :; do read line < "$2"; done'
        id = self.d.submit("sh", "-c", script, "sh", self.d.path("term"), gate.path)
        # It has set its trap when it has said so.
        wait_until(lambda: self.d.call("logs", str(id)).out == b"up\n", "the job is up")
        self.assert_code(0, self.d.call("cancel", str(id)))
        self.assert_code(CANCELLED, self.d.wait(id))
        self.assertEqual(b"term\n", self.d.read("term"))

    def test_cancel_of_a_job_deaf_to_term_kills_its_whole_group(self):
        self.worker()
        script = self.d.script("stubborn", STUBBORN)
        id = self.d.submit(script, self.d.path("pids"))
        pids = [int(line) for line in wait_until(
            lambda: len(self.d.lines("pids")) == 2 and self.d.lines("pids"), "both processes run")]
        self.assertTrue(all(alive(pid) for pid in pids))
        self.assert_code(0, self.d.call("cancel", str(id)))
        self.assert_code(CANCELLED, self.d.wait(id))
        wait_until(lambda: not any(alive(pid) for pid in pids), "the whole group is gone")

    def test_cancel_of_an_ended_job_changes_nothing(self):
        self.worker()
        id = self.d.submit("sh", "-c", "exit 3")
        self.assert_code(3, self.d.wait(id))
        self.d.call("cancel", str(id))
        self.assert_code(3, self.d.wait(id))

    def test_a_wait_for_many_is_0_or_123(self):
        self.worker()
        good = [self.d.submit("true") for _ in range(3)]
        bad = self.d.submit("sh", "-c", "exit 7")
        self.assert_code(0, self.d.wait(*good))
        self.assert_code(0, self.d.wait("%d-%d" % (good[0], good[2])))
        output = self.d.wait(*good, bad)
        self.assert_code(SOME, output)
        self.assertIn(str(bad), output.text + output.errors)
        self.assert_code(SOME, self.d.call("wait", "-", input=b"%d\n%d\n" % (good[0], bad)))

    def test_json_says_how_a_job_ended_where_codes_collide(self):
        self.worker()
        own = self.d.submit("sh", "-c", "exit 124")
        limited = self.d.submit("sleep", "1000", flags=["--job-timeout", "100ms"])
        outcomes = []
        for id in (own, limited):
            output = self.d.call("-o", "json", "wait", str(id))
            self.assert_code(TIMED_OUT, output)
            value = output.json()
            outcomes.append((value[0] if isinstance(value, list) else value)["outcome"])
        self.assertEqual(["failed", "timed_out"], outcomes)


class NoBroker(harness.Case):
    def test_an_unreachable_broker_exits_125_and_says_where_it_looked(self):
        for args in (["ping"], ["submit", "--", "true"], ["run", "--", "true"], ["ls"], ["wait", "1"]):
            output = self.d.call("--timeout", "300ms", *args)
            self.assert_code(FAILED, output)
            self.assertIn(self.d.url, output.errors)
            self.assertEqual(b"", output.out)

    def test_no_autostart_exits_125_and_starts_nothing(self):
        for env in ({"JOBQ_URL": None}, {"JOBQ_URL": None, "JOBQ_NO_AUTOSTART": "1"}):
            flags = [] if len(env) == 2 else ["--no-autostart"]
            output = self.d.call(*flags, "submit", "--", "true", env=env)
            self.assert_code(FAILED, output)
            self.assertIn("jobqd.sock", output.errors)
            self.assertEqual([], harness.descendants())


if __name__ == "__main__":
    harness.main()
