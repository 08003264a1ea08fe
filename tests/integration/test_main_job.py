# SPDX-License-Identifier: MIT
"""The main job: real files compressed through the queue, whatever happens to the broker."""

import concurrent.futures
import functools
import gzip
import os
import signal
import unittest

import harness
from harness import wait_until

FILES = int(os.environ.get("JOBQ_TEST_FILES", "500"))
RESTARTS = 10
SLOTS = 8
# $1 from, $2 to, $3 where this job notes that it ran
COMPRESS = 'echo run >> "$3" && gzip -n -9 < "$1" > "$2"'
# $1 where it notes that it ran, $2 the gate
HOLD = 'echo run >> "$1"; read line < "$2"; echo held'


def real_files(count):
    found = []
    for folder, folders, names in os.walk("/usr/include"):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(folder, name)
            if os.path.isfile(path) and os.path.getsize(path) < 1 << 20:
                found.append(path)
                if len(found) == count:
                    return found
    raise unittest.SkipTest("/usr/include has only %d files" % len(found))


class MainJob(harness.Case):
    def setUp(self):
        super().setUp()
        self.files = real_files(FILES)
        self.d.make("runs")
        self.d.make("out")

    def out(self, number):
        return self.d.path("out", "%d.gz" % number)

    def runs(self, name):
        return self.d.path("runs", str(name))

    def submit_file(self, number):
        return self.d.submit("sh", "-c", COMPRESS, "sh", self.files[number], self.out(number),
                             self.runs(number))

    def check(self, ids, touched=None):
        """Every job succeeded, its output is right, and it ran once, or once more for each kill that touched
        its submit."""
        for at in range(0, len(ids), 100):
            output = self.d.wait(*ids[at:at + 100])
            self.assert_code(0, output)
        self.assert_all_succeeded(ids)
        self.assertEqual(len(ids), len(set(ids)))
        for number, path in enumerate(self.files):
            with open(path, "rb") as original, gzip.open(self.out(number)) as packed:
                self.assertEqual(original.read(), packed.read(), path)
            runs, most = len(self.d.lines(self.runs(number))), 1 + (touched[number] if touched else 0)
            self.assertTrue(1 <= runs <= most, "%d runs of %s, at most %d" % (runs, path, most))

    def test_real_files_compressed_by_eight_slots_come_out_right(self):
        self.d.start_broker()
        self.d.start_worker(SLOTS)
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            ids = list(pool.map(self.submit_file, range(FILES)))
        self.check(ids)

    def test_the_same_while_the_broker_is_killed_and_restarted_ten_times(self):
        gate = self.d.gate()
        held, kills = [], harness.Kills()
        self.d.start_broker()
        worker = self.d.start_worker(SLOTS)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            futures = []
            for number in range(RESTARTS):
                # Two jobs that run while the broker dies, and others in every other state.
                mine = [self.d.submit("sh", "-c", HOLD, "sh", self.runs("held%d.%d" % (number, i)), gate.path)
                        for i in range(2)]
                for id in mine:
                    self.d.wait_state(id, "running")
                before = [job["fence"] for job in self.d.info(*mine)]
                first, last = FILES * number // RESTARTS, FILES * (number + 1) // RESTARTS
                futures += [pool.submit(kills.during, functools.partial(self.submit_file, i)) for i in range(first, last)]
                wait_until(lambda: sum(f.done() for f in futures) > (first + last) // 2, "jobs are submitted")
                kills.kill(self.d.broker)
                self.d.start_broker()
                wait_until(lambda: [job["fence"] for job in self.d.info(*mine)] == before,
                           "the running jobs are re-adopted under their fence")
                gate.open(len(mine))
                self.assert_code(0, self.d.wait(*mine))
                held += mine
            ids, touched = zip(*[future.result() for future in futures])
        self.check(ids, touched)
        self.assert_all_succeeded(held)
        for number in range(RESTARTS):
            for i in range(2):
                self.assertEqual(["run"], self.d.lines(self.runs("held%d.%d" % (number, i))))
        self.assertEqual([1] * len(held), [job["attempt"] for job in self.d.info(*held)])
        self.assertTrue(worker.running())
        worker.signal(signal.SIGTERM)
        self.assertEqual(0, worker.wait())


if __name__ == "__main__":
    harness.main()
