# SPDX-License-Identifier: MIT
"""What becomes of jobs when their worker dies, stands still or leaves."""

import signal

import harness
import wire
from harness import LOST, alive, wait_until

SHORT_LEASE = ("--lease", "1s", "--heartbeat", "100ms", "--settle", "100ms")

# A job with a child, one that leaves its group, and one that leaves its session and loses its parent.
FAMILY = """
import os, signal, sys
def note():
    with open(sys.argv[1], "a") as file:
        file.write("%d\\n" % os.getpid())
    while True:
        signal.pause()
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
if os.fork() == 0:
    note()
if os.fork() == 0:
    os.setpgid(0, 0)
    note()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        note()
    os._exit(0)
note()
"""

# $1: where runs are counted; $2: gates are $2.1, $2.2 ... by run. Its output and code say which run it is.
NUMBERED_RUN = 'echo run >> "$1"; n=$(wc -l < "$1"); read line < "$2.$n"; echo "run $n"; exit $((2 - n))'


class Worker(harness.Case):
    def pids(self, count):
        return [int(line) for line in wait_until(
            lambda: len(self.d.lines("pids")) == count and self.d.lines("pids"), "%d processes run" % count)]

    def assert_gone(self, pids):
        wait_until(lambda: not any(alive(pid) for pid in pids), "no process of the job remains")

    def held_job(self, gate):
        id = self.d.submit("sh", "-c", 'echo $$ >> "$1"; read line < "$2"', "sh", self.d.path("pids"), gate.path)
        self.d.wait_state(id, "running")
        return id

    def test_a_worker_killed_leaves_no_process_of_its_jobs(self):
        self.d.start_broker(*SHORT_LEASE)
        worker = self.d.start_worker(2)
        id = self.d.submit(self.d.script("family", FAMILY), self.d.path("pids"))
        pids = self.pids(4)
        self.assertTrue(all(alive(pid) for pid in pids))
        worker.kill()
        self.assert_gone(pids)
        self.d.wait_state(id, "ready")

    def test_jobs_of_a_killed_worker_are_granted_elsewhere_after_the_lease(self):
        self.d.start_broker(*SHORT_LEASE)
        gate = self.d.gate()
        first = self.d.start_worker(2, name="first")
        ids = [self.held_job(gate) for _ in range(2)]
        self.pids(2)
        first.kill()
        self.d.start_worker(2, name="second")
        self.pids(4)
        gate.open(2)
        self.assert_code(0, self.d.wait(*ids))
        for job in self.d.info(*ids):
            self.assertEqual(("succeeded", 2, 1, "second"),
                             (job["state"], job["attempt"], job["crashes"], job["worker"]))
        self.assertEqual(1, self.d.counters()["leases_lost"])

    def test_a_late_result_of_a_lost_worker_is_refused_by_its_fence(self):
        self.d.start_broker(*SHORT_LEASE)
        gates = [self.d.gate("gate.%d" % number) for number in (1, 2)]
        still = self.d.start_worker(1, name="still")
        id = self.d.submit("sh", "-c", NUMBERED_RUN, "sh", self.d.path("runs"), self.d.path("gate"))
        wait_until(lambda: len(self.d.lines("runs")) == 1, "the first run has begun")

        def shells():
            return [pid for pid in harness.descendants(still.pid) if "gate" in harness.command_line(pid)]

        # $(wc) starts as a copy of the shell, under the shell's own command line.
        wait_until(lambda: len(shells()) == 1, "only the shell itself is left of the first run")
        first_run = shells()
        still.signal(signal.SIGSTOP)
        wait_until(lambda: self.d.counters()["leases_lost"] == 1, "the lease is lost")
        self.d.start_worker(1, name="other")
        wait_until(lambda: len(self.d.lines("runs")) == 2, "the second run has begun")
        # The first run ends with code 1 while its worker stands still, which tells of it afterwards.
        gates[0].open()
        wait_until(lambda: not alive(first_run[0]), "the first run has ended")
        still.signal(signal.SIGCONT)
        # By DONE_ACK, or by WELCOME when it finds out first that it was taken for dead.
        wait_until(lambda: self.d.counters()["fenced"] >= 1 or "event=lease.lost" in still.text(),
                   "the late result is refused")
        self.assertEqual(("running", "other"), (self.d.info(id)[0]["state"], self.d.info(id)[0]["worker"]))
        gates[1].open()
        self.assert_code(0, self.d.wait(id))
        self.assertEqual(b"run 2\n", self.d.call("logs", str(id)).out)
        self.assertEqual(("succeeded", 2), (self.d.info(id)[0]["state"], self.d.info(id)[0]["attempt"]))
        # The worker that was lost is of use again.
        self.assertEqual(["run"] * 2, self.d.lines("runs"))
        wait_until(lambda: len(self.d.stats()["workers"]) == 2, "both workers are there")
        ids = [self.d.submit("sh", "-c", 'read line < "$1"', "sh", gates[0].path) for _ in range(2)]
        for other in ids:
            self.d.wait_state(other, "running")
        self.assertEqual({"still", "other"}, {job["worker"] for job in self.d.info(*ids)})
        gates[0].open(2)
        self.assert_code(0, self.d.wait(*ids))

    def test_a_done_under_an_old_fence_changes_nothing_and_is_counted(self):
        self.d.start_broker(*SHORT_LEASE)
        gate = self.d.gate()
        id = self.d.submit("sh", "-c", 'read line < "$1"; echo right', "sh", gate.path)
        with self.d.peer(role=wire.WORKER, name="played", slots=1) as played:
            played.send("credit", total=1)
            old = played.expect("grants")["jobs"][0]
            self.assertEqual((id, 1), (old["id"], old["attempt"]))
            # It never beats.
            wait_until(lambda: self.d.counters()["leases_lost"] == 1, "the lease is lost")
            self.d.start_worker(1, name="real")
            self.d.wait_state(id, "running")
            new = self.d.info(id)[0]
            self.assertGreater(new["fence"], old["fence"])
            # From the session that lost it, and from one that claims to hold it now.
            for fence in (old["fence"], new["fence"]):
                with self.d.peer(role=wire.WORKER, name="played", slots=1, session=played.session) as late:
                    late.send("done", outcomes=[{"id": id, "fence": fence, "code": 9, "stdout_head": b"wrong\n",
                                                 "stdout_bytes": 6}])
                    answer = late.expect("done_ack")
                self.assertEqual(([], [id]), (answer["each"], [held["id"] for held in answer["fenced"]]))
        self.assertEqual(2, self.d.counters()["fenced"])
        self.assertEqual(new, self.d.info(id)[0])
        gate.open()
        self.assert_code(0, self.d.wait(id))
        self.assertEqual(b"right\n", self.d.call("logs", str(id)).out)

    def test_a_job_whose_workers_die_is_quarantined(self):
        self.d.start_broker("--crashes-max", "2", *SHORT_LEASE)
        gate = self.d.gate()
        first = self.d.start_worker(1)
        id = self.held_job(gate)
        first.kill()
        wait_until(lambda: self.d.info(id)[0]["crashes"] == 1, "the crash is charged")
        second = self.d.start_worker(1)
        self.d.wait_state(id, "running")
        second.kill()
        self.assert_code(LOST, self.d.wait(id))
        self.assertEqual("failed", self.d.state(id))
        self.assertIn("poison", self.d.info(id)[0]["reason"])

    def test_a_job_granted_to_a_worker_that_is_gone_goes_to_another_and_is_not_charged(self):
        self.d.start_broker()  # with a lease that is longer than the test
        self.d.start_worker(1, name="gone").kill()
        self.d.start_worker(1, name="there")
        for id in [self.d.submit("true") for _ in range(3)]:
            self.assert_code(0, self.d.call("wait", "--timeout", "10s", str(id)))
            self.assertEqual((0, "there"), (self.d.info(id)[0]["crashes"], self.d.info(id)[0]["worker"]))

    def test_sigterm_drains_and_takes_no_more(self):
        self.d.start_broker()
        gate = self.d.gate()
        worker = self.d.start_worker(1)
        running = self.held_job(gate)
        queued = self.d.submit("true")
        worker.signal(signal.SIGTERM)
        wait_until(lambda: self.d.stats()["workers"][0]["draining"], "it drains")
        gate.open()
        self.assert_code(0, self.d.wait(running))
        self.assertEqual(0, worker.wait())
        self.assertEqual(("ready", 0), (self.d.state(queued), self.d.info(queued)[0]["attempt"]))
        self.d.start_worker(1)
        self.assert_code(0, self.d.wait(queued))

    def test_what_does_not_end_within_the_grace_is_given_back_uncharged(self):
        self.d.start_broker()
        worker = self.d.start_worker(1, "--grace", "200ms", "--kill-after", "200ms")
        id = self.d.submit(self.d.script("family", FAMILY), self.d.path("pids"))
        pids = self.pids(4)
        worker.signal(signal.SIGTERM)
        self.assertEqual(0, worker.wait())
        self.assert_gone(pids)
        job = self.d.info(id)[0]
        self.assertEqual(("ready", 0), (job["state"], job["crashes"]))

    def test_running_jobs_outlive_a_broker_that_comes_back_within_the_lease(self):
        self.d.start_broker()
        gate = self.d.gate()
        self.d.start_worker(2)
        held = self.held_job(gate)
        ends_meanwhile = self.d.submit("sh", "-c", 'echo $$ >> "$1"; read line < "$2"; exit 5', "sh",
                                       self.d.path("pids"), self.d.gate("other").path)
        pids = self.pids(2)
        self.d.broker.kill()
        self.d.gates[1].open()
        wait_until(lambda: sum(alive(pid) for pid in pids) == 1, "one job ends while there is no broker")
        self.d.start_broker()
        self.assert_code(5, self.d.wait(ends_meanwhile))
        gate.open()
        self.assert_code(0, self.d.wait(held))
        self.assertEqual([1, 1], [job["attempt"] for job in self.d.info(held, ends_meanwhile)])
        self.pids(2)


if __name__ == "__main__":
    harness.main()
