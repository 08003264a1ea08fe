# SPDX-License-Identifier: MIT
"""jobq bench: what it says, what it needs, and that nothing of it stays."""

import json
import signal

import harness
from harness import REFUSED, TIMED_OUT, UNREACHABLE, USAGE, wait_until
from test_queue_cli import documented

ITEMS = ["put", "take", "take_many", "put_p50", "put_p99", "get_p50", "get_p99", "done_p50", "done_p99"]
JOBS = ["enqueue", "drain", "end_to_end", "latency_p50", "latency_p99"]
PING = ["ping_p50", "ping_p99"]


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def heed_signals():
    """What our caller ignores, as nohup or a shell's & have it, jobq would go on ignoring."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)


class Bench(harness.Case):
    def setUp(self):
        super().setUp()
        self.d.start_broker()

    def bench(self, *args, check=0):
        return self.d.call("bench", "--jobs", "50", "--runs", "2", *args, check=check)

    def figures(self, *args):
        return {figure["name"]: figure for figure in self.bench("-o", "json", *args).json()["figures"]}

    def queues(self):
        return self.d.call("-o", "id", "queue", "ls", check=0).text.split()

    def test_everything_is_measured_with_a_worker_and_nothing_stays(self):
        self.d.start_worker(2)
        value = self.bench("-o", "json", "--producers", "3", "--payload", "1K").json()
        self.assertEqual(documented("bench"), set(value))
        self.assertEqual(["3", "1024", "50", "2", "1", "full"],
                         [str(value[name]) for name in ("producers", "payload_bytes", "jobs", "runs",
                                                        "workers", "durability")])
        self.assertEqual(PING + JOBS + ITEMS, [figure["name"] for figure in value["figures"]])
        for figure in value["figures"]:
            self.assertEqual(documented("figure"), set(figure))
            self.assertEqual(2, len(figure["samples"]), figure)
            self.assertTrue(0 < figure["least"] <= figure["median"] <= figure["most"], figure)
        self.assertEqual([], self.queues())
        self.assertEqual([], self.d.call("-o", "json", "ls", "--all", check=0).json())

    def test_without_a_worker_items_are_measured_and_it_is_said(self):
        output = self.bench()
        self.assertIn("no worker", output.errors)
        self.assertIn("0 workers", output.text)
        self.assertIn("put items", output.text)
        self.assertNotIn("submit jobs", output.text)
        self.assertEqual(PING + ITEMS, list(self.figures()))
        self.assertEqual([], self.queues())

    def test_what_needs_a_worker_alone_is_refused_without_one(self):
        output = self.bench("--only", "enqueue,latency", check=REFUSED)
        self.assertIn("no worker", output.errors)
        self.assertEqual([], self.queues())

    def test_only_what_is_asked_for_is_measured_at_any_durability(self):
        for durability in ("full", "relaxed", "memory"):
            self.assertEqual(PING + ["put", "take", "take_many"],
                             list(self.figures("--only", "items", "--durability", durability)))
        self.assertEqual([], self.queues())

    def test_its_queue_has_the_durability_that_is_asked_for(self):
        popen = self.d.background("bench", "--jobs", "2000", "--runs", "100", "--only", "items",
                                  "--durability", "memory", preexec_fn=heed_signals)
        name = wait_until(self.queues, "its queue")[0]
        self.assertRegex(name, r"^bench-[0-9a-f]{8}$")
        conf = self.d.call("-o", "json", "queue", "info", name, check=0).json()["settings"]
        self.assertEqual("memory", conf["durability"])
        popen.send_signal(signal.SIGTERM)
        popen.communicate(timeout=harness.PATIENCE)

    def test_a_signal_ends_it_and_its_queue_is_gone(self):
        self.d.start_worker(2)
        for number in SIGNALS:
            popen = self.d.background("bench", "--jobs", "5000", "--runs", "100", "--producers", "2",
                                      preexec_fn=heed_signals)
            wait_until(self.queues, "its queue")
            popen.send_signal(number)
            out = popen.communicate(timeout=harness.PATIENCE)[0]
            self.assertEqual((128 + number, b""), (popen.returncode, out))
            self.assertEqual([], self.queues())

    def test_after_its_seconds_it_says_what_there_is(self):
        output = self.d.call("bench", "-o", "json", "--only", "item_latency", "--runs", "100", "--jobs",
                             "1", "--seconds", "1")
        self.assert_code(TIMED_OUT, output)
        self.assertEqual("ETIMEDOUT", json.loads(output.errors.splitlines()[-1])["error"]["code"])
        self.assertIn("ping_p50", [figure["name"] for figure in output.json()["figures"]])
        self.assertEqual([], self.queues())

    def test_a_worker_that_is_stopped_does_not_keep_it(self):
        self.d.broker.stop()
        self.d.start_broker("--lease", "1s", "--heartbeat", "100ms")
        worker = self.d.start_worker(1)
        worker.signal(signal.SIGSTOP)
        self.addCleanup(worker.signal, signal.SIGCONT)
        output = self.bench("--only", "end_to_end", "--seconds", "1", check=TIMED_OUT)
        self.assertIn("not all runs", output.errors)
        self.assertNotIn("at the same time", output.text)

    def test_others_are_left_alone(self):
        self.d.call("put", "mine", input=b"x", check=0)
        self.bench()
        self.assertEqual(["mine"], self.queues())
        self.assertEqual(b"x", self.d.call("get", "--nowait", "mine", check=0).out)

    def test_bad_usage_is_2(self):
        for words in (["--jobs", "0"], ["--jobs", "2000000"], ["--producers", "65"], ["--runs", "0"],
                      ["--durability", "some"], ["--only", "speed"], ["--only", ""], ["-o", "id"],
                      ["--payload", "2M", "--jobs", "1000"], ["word"]):
            output = self.d.call("bench", *words)
            self.assert_code(USAGE, output)
            self.assertEqual(b"", output.out)
        self.assertEqual([], self.queues())

    def test_a_broker_that_is_gone_is_3(self):
        self.d.broker.kill()
        self.assert_code(UNREACHABLE, self.d.call("--timeout", "300ms", "bench"))


if __name__ == "__main__":
    harness.main()
