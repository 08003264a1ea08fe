# SPDX-License-Identifier: MIT
"""That the broker notices at once when a connection ends. No silence can be why: the lease is an hour."""

import os

import harness
from harness import wait_until

LONG_LEASE = ("--lease", "1h")


class LostClients(harness.Case):
    def connections(self):
        return self.d.counters()["connections"]

    def wait_for(self, others):
        """Until the broker knows so many connections besides the one that asks."""
        wait_until(lambda: self.connections() == others + 1, "%d other connections" % others)

    def test_a_client_that_is_killed_is_forgotten_though_nobody_writes_to_it(self):
        self.d.start_broker(*LONG_LEASE)
        id = self.d.submit("true")
        waiting = [self.d.background("wait", str(id)) for _ in range(3)]
        self.wait_for(3)
        waiting[0].kill()
        self.wait_for(2)
        waiting[2].kill()
        self.wait_for(1)
        self.assertIsNone(waiting[1].poll())
        self.d.start_worker(1)
        self.assertEqual(0, waiting[1].wait(harness.PATIENCE))

    def test_a_worker_that_is_killed_loses_its_connections_and_keeps_its_lease(self):
        self.d.start_broker(*LONG_LEASE)
        worker = self.d.start_worker(1)
        self.wait_for(2)  # and that of its heartbeat
        worker.kill()
        self.wait_for(0)
        self.assertEqual([worker.label], [w["name"] for w in self.d.stats()["workers"]])

    def test_hundreds_that_come_and_go_leave_nothing_and_harm_nobody(self):
        self.d.start_broker(*LONG_LEASE)
        self.wait_for(0)
        descriptors = "/proc/%d/fd" % self.d.broker.pid
        with self.d.peer() as witness:
            before = len(os.listdir(descriptors))
            for _ in range(200):
                self.d.peer().socket.close()  # without a BYE
                witness.ask("stats")
            self.wait_for(1)
            wait_until(lambda: len(os.listdir(descriptors)) <= before, "the descriptors are closed")


if __name__ == "__main__":
    harness.main()
