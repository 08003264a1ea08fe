# SPDX-License-Identifier: MIT
"""A queue of four places between eight producers and eight consumers, each a process of its own, some of which are
killed at any moment: never above four, nothing lost, join exact. JOBQ_TEST_SEED says who dies when."""

import os
import random
import subprocess
import sys

import harness
from harness import Call, wait_until

HERE = os.path.dirname(os.path.abspath(__file__))
PLACES, SIDE, EACH, KILLS = 4, 8, 40, 4
HEAD = """
import os, sys
sys.path[:0] = [%r, %r]
import jobq_queue
url, name, note = sys.argv[1:4]
jobq_queue.connect(url, name)
queue = jobq_queue.Queue(%d, name="bounded")
file = os.open(note, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
""" % (HERE, os.path.join(HERE, "cpython"), PLACES)
# What is written is written, whoever is killed: a line before the put, and one when it is acknowledged.
PRODUCE = HEAD + """
for number in range(int(sys.argv[4])):
    item = "%s.%d" % (name, number)
    os.write(file, b"put %s\\n" % item.encode())
    queue.put(item)
    os.write(file, b"ok %s\\n" % item.encode())
jobq_queue.disconnect()
"""
CONSUME = HEAD + """
while True:
    try:
        item = queue.get()
    except jobq_queue.ShutDown:
        break
    os.write(file, b"%s\\n" % item.encode())
    queue.task_done()
jobq_queue.disconnect()
"""


class BoundedProcesses(harness.Case):
    def start(self, kind, text, *args):
        name = "%s%d" % (kind, len(self.d.processes))
        log = self.d.path(name + ".log")
        with open(log, "wb") as file:
            popen = subprocess.Popen([sys.executable, "-B", "-c", text, self.d.url, name, self.d.path(name), *args],
                                     stdin=subprocess.DEVNULL, stdout=file, stderr=file)
        process = harness.Process(name, popen, log)
        self.d.processes.append(process)
        return process

    def test_four_places_eight_producers_eight_consumers_and_some_are_killed(self):
        seed = int(os.environ.get("JOBQ_TEST_SEED", random.randrange(1 << 32)))
        print("seed", seed, file=sys.stderr)
        rng = random.Random(seed)
        self.d.start_broker("--lease", "1s", "--heartbeat", "100ms")
        queue = self.client().declare("bounded", maxsize=PLACES)
        most, stop = [], []

        def look():
            mine = self.client().queue("bounded")
            while not stop:
                info = mine.info()
                most.append(info["ready"])
                if info["unfinished"] != sum(info[name] for name in ("ready", "delayed", "blocked", "running")):
                    raise AssertionError("not of one instant: %s" % info)

        looker = Call(look)
        producers = [self.start("producer", PRODUCE, str(EACH)) for _ in range(SIDE)]
        consumers = [self.start("consumer", CONSUME) for _ in range(SIDE)]
        everybody = producers + consumers
        killed = []

        def lines(processes):
            return [line for process in processes for line in self.d.lines(process.name)]

        for number in range(1, KILLS + 1):
            # Somewhere within its share of the whole, as far as what is consumed tells.
            goal = SIDE * EACH * number // (2 * KILLS + 2) + rng.randrange(10)
            wait_until(lambda: len(set(lines(consumers))) >= goal, "%d items are consumed, seed %d" % (goal, seed))
            for group, again in ((producers, None), (consumers, CONSUME)):
                victim = rng.choice([process for process in group if process.running() and process not in killed])
                victim.kill()
                killed.append(victim)
                if again:
                    group.append(self.start("consumer", again))
                    everybody.append(group[-1])
        for producer in producers:
            if producer not in killed:
                self.assertEqual(0, producer.wait(), producer.text())
        queue.join(int(harness.PATIENCE * 1000))
        info = queue.info()
        self.assertEqual((0, 0, 0), (info["ready"], info["running"], info["unfinished"]))
        consumed = lines(consumers)  # join is exact: a consumer notes, then settles
        queue.close()
        for consumer in consumers:
            if consumer not in killed:
                self.assertEqual(0, consumer.wait(), consumer.text())
        stop.append(True)
        looker.value()
        self.assertEqual(consumed, lines(consumers), "something was consumed after join had returned")
        begun = {line.split()[1] for line in lines(producers) if line.startswith("put ")}
        acknowledged = {line.split()[1] for line in lines(producers) if line.startswith("ok ")}
        self.assertEqual(set(), acknowledged - set(consumed), "lost, seed %d" % seed)
        self.assertEqual(set(), set(consumed) - begun, "out of nothing, seed %d" % seed)
        # An item comes again only when the one who had it was killed, which happened so often.
        self.assertLessEqual(len(consumed) - len(set(consumed)), KILLS, "seed %d" % seed)
        self.assertLessEqual(len(set(consumed) - acknowledged), KILLS, "seed %d" % seed)
        self.assertEqual(len(set(consumed)), info["succeeded"])
        self.assertLessEqual(max(most), PLACES)
        self.assertGreater(len(most), 50)
        self.assertEqual(2 * KILLS, len(killed))


if __name__ == "__main__":
    harness.main(library=True)
