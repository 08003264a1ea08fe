# SPDX-License-Identifier: MIT
"""With no broker at the default endpoint jobq starts one, once, and says so nowhere on stdout."""

import os
import signal

import harness
from harness import FAILED, alive, command_line, descendants, wait_until

AT_ONCE = 10


def running(name):
    """Pids of programs of that name among what was started."""
    return [pid for pid in descendants() if os.path.basename(command_line(pid).split(" ")[0]) == name]


class Autostart(harness.Case):
    def setUp(self):
        super().setUp()
        self.d.environment.pop("JOBQ_URL")
        self.d.url = "ipc://%s/jobq/jobqd.sock" % self.d.path("run")

    def the_broker(self):
        found = running("jobqd")
        self.assertEqual(1, len(found), [command_line(pid) for pid in descendants()])
        return found[0]

    def assert_all_gone(self):
        wait_until(lambda: not descendants(), "nothing runs any more")

    def test_a_first_command_needs_nothing_started(self):
        output = self.d.call("run", "--", "sh", "-c", "echo hello; exit 7")
        self.assertEqual((7, b"hello\n"), (output.code, output.out), output)
        id = self.d.submit("true")
        self.assert_code(0, self.d.wait(id))
        self.the_broker()

    def test_ten_at_the_same_time_start_one_broker(self):
        calls = [self.d.background("run", "--", "sh", "-c", "echo $1; exit $1", "sh", str(number))
                 for number in range(AT_ONCE)]
        for number, call in enumerate(calls):
            out, err = call.communicate(timeout=2 * harness.PATIENCE)
            self.assertEqual((number, b"%d\n" % number), (call.returncode, out), err)
        pid = self.the_broker()
        with self.d.peer() as peer:
            self.assertEqual((1, pid), (peer.welcome["incarnation"], peer.welcome["pid"]))
            self.assertEqual(AT_ONCE, peer.counters()["submitted"])
            self.assertEqual(1, len(peer.ask("stats")["workers"]))

    def test_a_broker_that_was_killed_is_started_again_over_its_stale_socket(self):
        self.d.call("run", "--", "true", check=0)
        id = self.d.submit("sh", "-c", "exit 3")
        self.assert_code(3, self.d.wait(id))
        os.kill(self.the_broker(), signal.SIGKILL)
        self.assert_all_gone()
        self.assertTrue(os.path.exists(self.d.path("run", "jobq", "jobqd.sock")))
        self.assertEqual(b"again\n", self.d.call("run", "--", "echo", "again", check=0).out)
        self.assert_code(3, self.d.wait(id))
        self.the_broker()

    def test_a_command_that_waits_starts_a_killed_broker_again(self):
        gate = self.d.path("gate")
        os.mkfifo(gate)
        started = self.d.path("started")
        run = self.d.background("run", "--", "sh", "-c", ": > $1; read line < $2; echo done",
                                "sh", started, gate)
        wait_until(lambda: os.path.exists(started), "the job runs")
        os.kill(self.the_broker(), signal.SIGKILL)
        self.assert_all_gone_but(run.pid)
        os.unlink(started)
        wait_until(lambda: os.path.exists(started), "the job runs again, on a new broker")
        with open(gate, "wb", buffering=0) as out:
            out.write(b"go\n")
        out, err = run.communicate(timeout=harness.PATIENCE)
        self.assertEqual((0, b"done\n"), (run.returncode, out), err)
        self.assertIn(b"started again", err)

    def assert_all_gone_but(self, pid):
        wait_until(lambda: not [p for p in running("jobqd") + running("jobq-worker") if p != pid],
                   "broker and worker are gone")

    def test_jobs_of_the_private_worker_have_the_umask_of_the_user(self):
        old = os.umask(0o027)
        try:
            self.assertEqual(b"0027\n", self.d.call("run", "--", "sh", "-c", "umask", check=0).out)
        finally:
            os.umask(old)

    def test_its_worker_is_started_again_when_it_dies(self):
        self.d.call("run", "--", "true", check=0)
        worker = wait_until(lambda: running("jobq-worker"), "the worker runs")
        for pid in worker:
            os.kill(pid, signal.SIGKILL)
        self.assertEqual(b"again\n", self.d.call("run", "--", "echo", "again", check=0).out)

    def test_broker_stop_ends_all_of_it(self):
        self.d.call("run", "--", "true", check=0)
        pid = self.the_broker()
        self.assert_code(0, self.d.call("broker", "stop"))
        self.assertFalse(alive(pid))
        self.assert_all_gone()
        self.assertFalse(os.path.exists(self.d.path("run", "jobq", "jobqd.sock")))
        # No broker is what was asked for: that is no error, and nothing is started for it.
        self.d.call("broker", "stop")
        self.assertEqual([], descendants())

    def test_a_broker_outlives_the_session_that_started_it(self):
        call = self.d.background("submit", "--", "sh", "-c", "exit 5", start_new_session=True)
        out, err = call.communicate(timeout=2 * harness.PATIENCE)
        self.assertEqual(0, call.returncode, err)
        try:
            os.killpg(call.pid, signal.SIGHUP)
        except ProcessLookupError:
            pass  # nobody is left in it
        self.assert_code(5, self.d.wait(int(out)))

    def test_what_keeps_a_broker_from_starting_is_said(self):
        os.makedirs(self.d.path("state", "jobq"))
        self.d.write("state/jobq/jobq.db", "this is not a store, but a text of somebody's\n" * 100)
        output = self.d.call("submit", "--", "true")
        self.assert_code(FAILED, output)
        self.assertIn("jobq.db", output.errors)
        self.assertEqual(b"", output.out)
        self.assert_all_gone()

    def test_a_directory_open_to_others_is_refused(self):
        os.makedirs(self.d.path("run", "jobq"))
        os.chmod(self.d.path("run", "jobq"), 0o777)
        output = self.d.call("submit", "--", "true")
        self.assert_code(FAILED, output)
        self.assertIn("0700", output.errors)


if __name__ == "__main__":
    harness.main()
