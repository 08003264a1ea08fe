# SPDX-License-Identifier: MIT
"""kill -9 of the broker again and again: what it said stays true."""

import os
import signal
import threading

import harness
from harness import wait_until

KILLS = int(os.environ.get("JOBQ_TEST_KILLS", "10"))
SUBMITTERS = 3
# A worker on a busy machine may need longer to come back than the broker waits by default; then its
# jobs would run once more, as they may.
SETTLE = ("--settle", "30s")


class Submitter(threading.Thread):
    """Submits one job after the other and notes every id that was printed."""

    def __init__(self, deployment, number, stop, kills):
        super().__init__()
        self.d, self.number, self.stop, self.kills = deployment, number, stop, kills
        self.ids, self.touched, self.error = [], [], None

    def run(self):
        try:
            while not self.stop.is_set():
                name = "%d.%d" % (self.number, len(self.ids))
                id, touched = self.kills.during(lambda: self.d.submit(
                    "sh", "-c", 'echo run >> "$1"', "sh", self.d.path("runs", name)))
                self.ids.append(id)
                self.touched.append(touched)
        except BaseException as error:
            self.error = error


class BrokerKills(harness.Case):
    def test_every_id_that_was_printed_exists_and_ends_whatever_was_killed(self):
        self.d.make("runs")
        self.d.start_broker(*SETTLE)
        self.d.start_worker(4)
        stop, kills = threading.Event(), harness.Kills()
        submitters = [Submitter(self.d, number, stop, kills) for number in range(SUBMITTERS)]
        for submitter in submitters:
            submitter.start()
        try:
            for number in range(KILLS):
                goal = sum(len(s.ids) for s in submitters) + 10
                wait_until(lambda: sum(len(s.ids) for s in submitters) >= goal or any(s.error for s in submitters),
                           "jobs are submitted")
                kills.kill(self.d.broker)
                self.d.start_broker(*SETTLE)
        finally:
            stop.set()
            for submitter in submitters:
                submitter.join()
        self.assertEqual([None] * SUBMITTERS, [submitter.error for submitter in submitters])
        ids = [id for submitter in submitters for id in submitter.ids]
        self.assertEqual(len(ids), len(set(ids)), "an id was given twice")
        for at in range(0, len(ids), 200):
            self.assert_code(0, self.d.wait(*ids[at:at + 200]))
        self.assert_all_succeeded(ids)
        for submitter in submitters:
            for number, touched in enumerate(submitter.touched):
                runs = len(self.d.lines("runs/%d.%d" % (submitter.number, number)))
                self.assertTrue(1 <= runs <= 1 + touched, "%d runs, %d kills" % (runs, touched))
        # No submit was stored twice: as many ended as were acknowledged.
        self.assertEqual(len(ids), sum(queue["succeeded"] for queue in self.d.stats()["queues"]))
        with self.d.peer() as peer:
            self.assertEqual(KILLS + 1, peer.welcome["incarnation"])

    def test_a_wait_spans_restarts_of_the_broker(self):
        self.d.start_broker()
        self.d.start_worker(1)
        gate = self.d.gate()
        id = self.d.submit("sh", "-c", 'read line < "$1"; exit 7', "sh", gate.path)
        self.d.wait_state(id, "running")
        waits = [self.d.background("wait", str(id)) for _ in range(3)]
        for _ in range(3):
            self.d.broker.kill()
            self.d.start_broker()
            self.d.wait_state(id, "running")
        gate.open()
        for wait in waits:
            out, err = wait.communicate(timeout=harness.PATIENCE)
            self.assertEqual(7, wait.returncode, err)

    def test_ended_and_cancelled_stay_so_over_a_kill(self):
        self.d.start_broker()
        self.d.start_worker(1)
        failed = self.d.submit("sh", "-c", "echo why >&2; exit 9")
        self.assert_code(9, self.d.wait(failed))
        gate = self.d.gate()
        running = self.d.submit("sh", "-c", 'read line < "$1"', "sh", gate.path)
        self.d.wait_state(running, "running")
        cancelled = self.d.submit("true")
        self.assert_code(0, self.d.call("cancel", str(cancelled)))
        self.d.broker.kill()
        self.d.start_broker()
        self.assert_code(9, self.d.wait(failed))
        self.assertEqual(b"why\n", self.d.call("logs", str(failed)).err)
        self.assert_code(harness.CANCELLED, self.d.wait(cancelled))
        gate.open()
        self.assert_code(0, self.d.wait(running))

    def test_a_submit_made_while_there_is_no_broker_is_taken_when_it_comes(self):
        self.d.start_broker()
        self.d.broker.kill()
        calls = [self.d.background("submit", "--", "true") for _ in range(5)]
        self.d.start_broker()
        ids = []
        for call in calls:
            out, err = call.communicate(timeout=harness.PATIENCE)
            self.assertEqual(0, call.returncode, err)
            ids.append(int(out))
        self.assertEqual(5, len(set(ids)))
        self.assertEqual(5, self.d.counters()["submitted"])

    def test_sigterm_of_the_broker_is_an_order_and_loses_nothing_either(self):
        self.d.start_broker()
        self.d.start_worker(2)
        gate = self.d.gate()
        ids = [self.d.submit("sh", "-c", 'read line < "$1"', "sh", gate.path) for _ in range(3)]
        self.d.wait_state(ids[0], "running")
        self.d.broker.signal(signal.SIGTERM)
        self.assertEqual(0, self.d.broker.wait())
        self.assertFalse(os.path.exists(self.d.url.removeprefix("ipc://")))
        self.d.start_broker()
        gate.open(3)
        self.assert_code(0, self.d.wait(*ids))
        self.assertEqual([1, 1, 1], [job["attempt"] for job in self.d.info(*ids)])


if __name__ == "__main__":
    harness.main()
