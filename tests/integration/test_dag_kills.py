# SPDX-License-Identifier: MIT
"""Random graphs of a thousand jobs, some of which fail, while the broker and a worker are killed again and again: every
job ends, as its edges say, and the counters are exact. JOBQ_TEST_SEED chooses the graph."""

import os
import random
import sys

import harness
import libjobq
from harness import wait_until

GRAPHS, JOBS, LAYER, KILLS, QUEUES = 3, 1000, 50, 8, ("left", "right", "far")
OK, ANY, FAIL = 0, 1, 2


class Graph:
    """Jobs in layers: each waits for some of any layer before its own."""

    def __init__(self, rng):
        self.rng, self.jobs = rng, []  # {handler, after: [(index, kind)], ...}

    def layer(self, count):
        first = len(self.jobs)
        for _ in range(count):
            handler = self.rng.choices(("noop", "sleep", "fail"), (6, 2, 2))[0]
            job = {"queue": self.rng.choice(QUEUES), "handler": handler, "payload": b"3" if handler == "sleep" else b"",
                   "after": []}
            if handler == "fail" and self.rng.random() < 0.3:
                job.update(attempts_max=2, backoff_ms=20)
            if self.rng.random() < 0.1:
                job["mutexes"] = [self.rng.choice("ab")]
            if first and self.rng.random() < 0.9:
                parents = self.rng.sample(range(max(0, first - 3 * LAYER), first), self.rng.choice((1, 1, 1, 2, 3)))
                job["after"] = [(parent, self.rng.choices((OK, ANY, FAIL), (5, 3, 2))[0]) for parent in parents]
            self.jobs.append(job)
        return range(first, first + count)

    def ends(self):
        """How each must end: nothing but edges and handlers decide."""
        out = []
        for job in self.jobs:
            fulfilled = all({OK: out[parent] == "succeeded", ANY: True, FAIL: out[parent] != "succeeded"}[kind]
                            for parent, kind in job["after"])
            out.append("skipped" if not fulfilled else "failed" if job["handler"] == "fail" else "succeeded")
        return out


class DagKills(harness.Case):
    def test_every_job_of_a_random_graph_ends_as_its_edges_say_whatever_is_killed(self):
        seed = int(os.environ.get("JOBQ_TEST_SEED", random.randrange(1 << 32)))
        for number in range(GRAPHS):
            with self.subTest(graph=number):
                print("seed", seed + number, file=sys.stderr)
                self.d = harness.Deployment()
                self.addCleanup(self.d.close)
                self.run_graph(seed + number)
                self.assertEqual([], self.d.breakdowns(), "programs broke down")
                self.d.close()

    def unfinished(self):
        with self.d.peer() as peer:
            return sum(queue["unfinished"] for queue in peer.ask("stats")["queues"])

    def run_graph(self, seed):
        rng = random.Random(seed)
        graph, ids, layers = Graph(rng), [], JOBS // LAYER
        self.d.start_broker("--lease", "2s", "--heartbeat", "200ms", "--settle", "200ms", "--crashes-max", "1000")
        client = libjobq.Client(self.d.url)
        workers = [self.d.start_worker(4) for _ in range(2)]
        kills = sorted(rng.sample(range(layers), KILLS))
        for number in range(layers):
            jobs = graph.layer(LAYER)
            ids += client.submit_many([dict(graph.jobs[at], after=[(ids[parent], kind) for parent, kind in
                                                                   graph.jobs[at]["after"]]) for at in jobs])
            if number not in kills:
                continue
            goal = rng.randrange(LAYER)
            wait_until(lambda: self.unfinished() <= goal, "all but %d have ended, seed %d" % (goal, seed))
            self.d.broker.kill()
            if number == kills[KILLS // 2]:
                workers[0].kill()
            self.d.start_broker()
            if number == kills[KILLS // 2]:
                workers[0] = self.d.start_worker(4)
        self.assertEqual(JOBS, len(set(ids)))
        self.assert_code(harness.SOME, self.d.call("wait", "%d-%d" % (min(ids), max(ids))))
        client.close()
        self.check(graph, ids, seed)

    def check(self, graph, ids, seed):
        """What the broker says of each job, and of all."""
        expected = graph.ends()
        self.assertGreater(min(expected.count(state) for state in ("succeeded", "failed", "skipped")), 20)
        states = [job["state"] for job in self.d.info(*ids)]
        wrong = [(at, graph.jobs[at], states[at], expected[at]) for at in range(JOBS) if states[at] != expected[at]]
        self.assertEqual([], wrong[:3], "%d are wrong, seed %d" % (len(wrong), seed))
        for name in QUEUES:
            info = self.d.queue(name)
            mine = [states[at] for at in range(JOBS) if graph.jobs[at]["queue"] == name]
            self.assertEqual([0] * 5, [info[n] for n in ("ready", "delayed", "blocked", "running", "unfinished")])
            for state in ("succeeded", "failed", "skipped", "cancelled", "expired"):
                self.assertEqual(mine.count(state), info[state], "%s of %s, seed %d" % (state, name, seed))
            self.d.call("join", name, check=0)


if __name__ == "__main__":
    harness.main(library=True)
