# SPDX-License-Identifier: MIT
"""Rows of the seed map that are about locks, S19 to S22, and what S43 asks of jobs. The names of the tests have the
rows' numbers."""

import os

import harness
import wire
from harness import wait_until

HOLD = 'read line < "$1"'


class Locks(harness.Case):
    def follow(self, watcher, wanted):
        """As the events tell it, until all `wanted` jobs have ended: how each ended, and the sets of those that ran
        at the same time."""
        running, together, ended = set(), set(), {}
        while not wanted <= set(ended):
            for event in watcher.expect("events")["events"]:
                state = wire.STATES[event["state"]]
                if event["id"] not in wanted:
                    continue
                if state == "running":
                    running.add(event["id"])
                    together.add(frozenset(running))
                else:
                    running.discard(event["id"])
                if state in harness.TERMINAL:
                    ended[event["id"]] = state
        return ended, together

    def test_s19_jobs_of_one_mutex_never_run_together_and_those_of_two_do(self):
        self.d.start_broker()
        for _ in range(2):
            self.d.start_worker(4)
        client = self.client()
        with self.d.peer(timeout=harness.PATIENCE) as watcher:
            watcher.send("watch", 1, id=0)
            ids = client.submit_many([{"handler": "sleep", "payload": b"5", "mutexes": ["one"]}] * 40)
            ended, together = self.follow(watcher, set(ids))
        self.assertEqual({"succeeded"}, set(ended.values()))
        self.assertEqual({1}, {len(some) for some in together})
        gates = [self.d.gate("gate-%d" % n) for n in range(2)]
        names = [self.d.submit("sh", "-c", HOLD, "sh", gate.path, flags=["--mutex", name])
                 for gate, name in zip(gates, ("one", "two"))]
        for id in names:  # at the same time: neither ends before its gate opens
            self.d.wait_state(id, "running")
        for gate in gates:
            gate.open()
        self.assert_code(0, self.d.wait(*names))

    def test_s20_a_mutex_is_free_when_the_worker_of_its_holder_is_killed(self):
        self.d.start_broker("--lease", "1s", "--heartbeat", "100ms", "--settle", "100ms")
        doomed = self.d.start_worker(2)
        gate = self.d.gate()
        first = self.d.submit("sh", "-c", 'test -e ran && exit 0; touch ran; ' + HOLD, "sh", gate.path,
                              flags=["--mutex", "m"])
        self.d.wait_state(first, "running")
        wait_until(lambda: os.path.exists(self.d.path("ran")), "it runs")
        other = self.d.submit("true", flags=["--mutex", "m"])
        self.d.wait_state(other, "blocked")
        doomed.kill()
        self.d.start_worker(1)
        self.assert_code(0, self.d.wait(other, first))
        self.assertEqual(2, self.d.info(first)[0]["attempt"])

    def test_s21_pairs_of_mutexes_in_either_order_never_lock_each_other_out(self):
        self.d.start_broker()
        for _ in range(2):
            self.d.start_worker(4)
        pair = [{"handler": "noop", "mutexes": ["a", "b"]}, {"handler": "noop", "mutexes": ["b", "a"]}]
        ids = self.client().submit_many(pair * 1000)
        self.assert_code(0, self.d.call("wait", "%d-%d" % (ids[0], ids[-1])))
        self.assertEqual(2000, self.d.queue("default")["succeeded"])

    def test_s22_jobs_that_wait_for_a_mutex_occupy_no_slot(self):
        self.d.start_broker()
        self.d.start_worker(2)
        gate = self.d.gate()
        ids = [self.d.submit("sh", "-c", HOLD, "sh", gate.path, flags=["--mutex", "x"])]
        self.d.wait_state(ids[0], "running")
        ids += self.client().submit_many([{"handler": "noop", "mutexes": ["x"]}] * 49)
        self.assert_code(0, self.d.call("run", "--", "true"))  # none of these keeps it from running
        self.assertEqual(["running"] + ["blocked"] * 49, [job["state"] for job in self.d.info(*ids)])
        why = self.d.call("-o", "json", "why", str(ids[7]), check=0).json()
        mutex = [b for b in why["blockers"] if b["kind"] == "mutex"]
        self.assertEqual(1, len(mutex), why)
        self.assertIn(str(ids[0]), mutex[0]["text"])
        gate.open()
        self.assert_code(0, self.d.wait(*ids))


class Joins(harness.Case):
    def test_s43_every_end_counts_once_and_a_retry_does_not(self):
        self.d.start_broker()
        self.d.start_worker(2)
        client = self.client()
        failed = client.submit(queue="q", handler="fail", attempts_max=3, backoff_ms=1, backoff_fixed=1)
        skipped = client.submit(queue="q", handler="noop", after=[(failed, 0)])
        expired = client.submit(queue="q", handler="noop", expires_ms=1, delay_ms=3600000)
        cancelled = client.submit(queue="q", handler="noop", delay_ms=3600000)
        succeeded = client.submit(queue="q", handler="noop")
        self.d.call("cancel", str(cancelled), check=0)
        self.d.call("join", "q", check=0)
        names = ("failed", "skipped", "expired", "cancelled", "succeeded")
        self.assertEqual(list(names), [job["state"] for job in self.d.info(failed, skipped, expired, cancelled,
                                                                           succeeded)])
        info = self.d.queue("q")
        self.assertEqual([1] * 5, [info[name] for name in names])
        self.assertEqual(0, info["unfinished"])
        self.assertEqual((3, 2), (self.d.info(failed)[0]["attempt"], len(self.d.info(failed)[0]["history"])))


if __name__ == "__main__":
    harness.main(library=True)
