# SPDX-License-Identifier: MIT
"""jobq wait for some of many, for states, for ids as they come; jobq events by sequence number; and the
terms of jobs as jobq says them."""

import json
import os

import harness
from harness import FAILED, SOME, TIMED_OUT, wait_until

REFUSED = 1


class WaitCase(harness.Case):
    def setUp(self):
        super().setUp()
        self.d.start_broker()
        self.d.start_worker(4)
        self.count = 0

    def gated(self, code=0, flags=()):
        """(id, gate) of a job that exits with `code` when its gate opens."""
        self.count += 1
        gate = self.d.gate("gate-%d" % self.count)
        id = self.d.submit("sh", "-c", 'read line < "$1"; exit "$2"', "sh", gate.path, str(code), flags=flags)
        self.d.wait_state(id, "running")
        return id, gate


class Sets(WaitCase):
    def test_any_ends_with_the_first_and_its_code(self):
        (slow, gate), fast = self.gated(), self.d.submit("sh", "-c", "exit 7")
        output = self.d.call("wait", "--any", str(slow), str(fast))
        self.assert_code(7, output)
        self.assertEqual("%d\n" % fast, output.text)
        gate.open()

    def test_first_fail_ends_with_a_failure_or_with_all(self):
        (slow, gate), good = self.gated(), self.d.submit("true")
        bad = self.d.submit("sh", "-c", "exit 7")
        output = self.d.call("wait", "--first-fail", str(slow), str(good), str(bad))
        self.assert_code(7, output)
        self.assertEqual("%d\n" % bad, output.text)
        gate.open()
        output = self.d.call("wait", "--first-fail", str(slow), str(good))
        self.assert_code(0, output)
        self.assertEqual("", output.text)

    def test_count_ends_with_so_many(self):
        (slow, gate), done = self.gated(), [self.d.submit("true") for _ in range(3)]
        ids = [str(id) for id in [slow] + done]
        output = self.d.call("wait", "--count", "3", *ids)
        self.assert_code(0, output)
        self.assertEqual(set(ids[1:]), set(output.text.split()))
        gate.open()
        self.assert_code(FAILED, self.d.call("wait", "--count", "5", *ids))

    def test_all_is_0_or_123(self):
        ids = [str(self.d.submit("sh", "-c", "exit %d" % code)) for code in (0, 3, 0)]
        self.assert_code(SOME, self.d.call("wait", "--all", *ids))
        self.assert_code(0, self.d.call("wait", "--all", ids[0], ids[2]))

    def test_only_one_of_them_may_be_meant(self):
        for flags in (["--any", "--all"], ["--first-fail", "--any"], ["--count", "1", "--all"]):
            output = self.d.call("wait", *flags, "1")
            self.assert_code(FAILED, output)
            self.assertIn("exclude", output.errors)
        self.assert_code(FAILED, self.d.call("wait", "--state", "gone", "1"))

    def test_ids_on_standard_input_are_waited_for_as_they_come(self):
        (slow, gate), bad = self.gated(), self.d.submit("sh", "-c", "exit 7")
        waiter = self.d.background("wait", "--first-fail", "-")
        os.write(waiter.stdin.fileno(), b"%d\n" % slow)
        os.write(waiter.stdin.fileno(), b"%d\n" % bad)  # and not closed
        self.assertEqual(7, waiter.wait(30))
        self.assertEqual(b"%d\n" % bad, waiter.stdout.read())
        gate.open()

    def test_an_id_may_be_written_in_pieces(self):
        ids = [self.d.submit("true") for _ in range(12)]
        waiter = self.d.background("-o", "id", "wait", "-")
        for byte in " ".join(map(str, ids)).encode():
            os.write(waiter.stdin.fileno(), bytes([byte]))
        waiter.stdin.close()
        self.assertEqual(0, waiter.wait(30))
        self.assertEqual({str(id) for id in ids}, set(waiter.stdout.read().decode().split()))

    def test_no_ids_on_standard_input_is_nothing_to_wait_for(self):
        self.assert_code(0, self.d.call("wait", "-", input=b"\n"))
        self.assert_code(FAILED, self.d.call("wait", "-", input=b"1 x\n"))

    def test_a_wait_survives_the_broker_and_gives_the_right_code(self):
        id, gate = self.gated(code=9)
        waiter = self.d.background("wait", str(id))
        once = self.d.background("wait", "--first-fail", str(id), str(self.d.submit("true")))
        self.d.broker.kill()
        self.d.start_broker()
        gate.open()
        self.assertEqual([9, 9], [waiter.wait(60), once.wait(60)])

    def test_a_state_is_reached_or_was_passed(self):
        id, gate = self.gated(code=7)
        output = self.d.call("-o", "json", "wait", "--state", "running", str(id))
        self.assert_code(0, output)
        self.assertEqual("running", output.json()[0]["state"])
        self.assert_code(TIMED_OUT, self.d.call("wait", "--timeout", "100ms", "--state", "failed", str(id)))
        gate.open()
        self.assert_code(0, self.d.call("wait", "--state", "failed", str(id)))
        self.assert_code(0, self.d.call("wait", "--state", "running", str(id)))
        good = self.d.submit("true")
        self.assert_code(REFUSED, self.d.call("wait", "--state", "failed", str(good)))


class Events(WaitCase):
    def events(self, *args):
        output = self.d.call("-o", "jsonl", "events", *args, check=0, timeout=60)
        return [json.loads(line) for line in output.text.splitlines()]

    def test_a_stream_is_taken_up_where_it_was_left(self):
        ids = [self.d.submit("true") for _ in range(3)]
        self.d.wait(*ids)
        told = [event for event in self.events("--since", "0") if "id" in event]
        sequences = [int(event["sequence"]) for event in told]
        self.assertEqual(sorted(set(sequences)), sequences)
        for id in ids:
            states = [event["state"] for event in told if event["id"] == str(id)]
            self.assertEqual(["ready", "running", "succeeded"], states)
        for at in (0, 4, len(told) - 1):
            self.assertEqual(told[at + 1:], self.events("--since", told[at]["sequence"]))

    def test_each_change_is_told_once_also_over_a_restart(self):
        with open(self.d.path("told"), "wb") as file:
            self.d.background("-o", "jsonl", "events", "-f", "--since", "0", stdout=file)
        ids = []
        for _ in range(3):
            ids += [self.d.submit("true") for _ in range(5)]
            self.d.wait(*ids)
            self.d.broker.kill()
            self.d.start_broker()
        ids.append(self.d.submit("true"))
        self.d.wait(ids[-1])

        def ended():
            events = [json.loads(line) for line in self.d.lines("told")]
            return [event for event in events if event.get("id") == str(ids[-1]) and
                    event["state"] == "succeeded"] and events
        events = [event for event in wait_until(ended, "the last job's end is told") if "id" in event]
        sequences = [int(event["sequence"]) for event in events]
        self.assertEqual(sorted(set(sequences)), sequences)

    def test_a_queue_is_watched_alone(self):
        self.d.wait(self.d.submit("true"), self.d.submit("true", flags=["-Q", "other"]))
        queues = {event["queue"] for event in self.events("--since", "0", "--queue", "other") if "id" in event}
        self.assertEqual({"other"}, queues)


class Terms(WaitCase):
    def test_info_says_under_which_terms_a_job_was_submitted(self):
        first, gate = self.gated()
        flags = ["--delay", "1h", "--expires", "2h", "--retries", "3", "--backoff", "exp:1s..10m",
                 "--retry-on", "1,SIGKILL", "--no-retry-on", "2", "--after", str(first), "--unique", "u",
                 "--while", "queued", "--label", "k=v", "--need", "gpu", "--limit", "api=5",
                 "--mutex", "a,b"]
        id = self.d.submit("true", flags=flags)
        job = self.d.call("-o", "json", "info", str(id), check=0).json()[0]
        self.assertEqual({"delay_ms": 3600000, "expires_ms": 7200000, "attempts_max": 4, "backoff_ms": 1000,
                          "backoff_max_ms": 600000, "backoff_kind": "exp", "retry_on": [1, "SIGKILL"],
                          "no_retry_on": [2], "after": [{"id": str(first), "kind": "ok"}], "unique": "u",
                          "unique_while": "queued", "needs": ["gpu"], "limits": [{"name": "api", "max": 5}],
                          "mutexes": ["a", "b"]}, job["options"])
        self.assertEqual({"k": "v"}, job["labels"])
        text = self.d.call("info", str(id), check=0).text
        for line in ("label      k=v", "backoff    exp:1.0s..10m00s", "retry on   1,SIGKILL", "mutexes    a,b"):
            self.assertIn(line + "\n", text)
        self.assertEqual("%d\n" % id, self.d.call("submit", "--unique", "u", "--", "true").text)
        self.assertEqual("%d\n" % id, self.d.call("-o", "id", "ls", "--label", "k=v").text)
        self.assertEqual("", self.d.call("-o", "id", "ls", "--label", "k=w").text)
        self.assert_code(FAILED, self.d.call("submit", "--strict", "--unique", "u", "--", "true"))
        gate.open()

    def test_ls_goes_page_by_page_and_by_age(self):
        ids = [str(self.d.submit("true")) for _ in range(5)]
        self.d.wait(*ids)
        pages = [self.d.call("-o", "id", "ls", "-n", "2", *more).text.split()
                 for more in ([], ["--before", ids[3]], ["--before", ids[1]])]
        self.assertEqual([[ids[4], ids[3]], [ids[2], ids[1]], [ids[0]]], pages)
        self.assertEqual("", self.d.call("-o", "id", "ls", "--older", "1h").text)
        self.assertEqual(5, len(self.d.call("-o", "id", "ls", "--newer", "1h").text.split()))
        self.assert_code(FAILED, self.d.call("ls", "--older", "2h", "--newer", "1h"))

    def test_a_batch_has_the_same_terms(self):
        output = self.d.call("submit", "--delay", "1h", "--label", "b=1", "--batch", "-", input=b"true\nfalse\n")
        self.assert_code(0, output)
        for job in self.d.call("-o", "json", "info", *output.text.split(), check=0).json():
            self.assertEqual(("delayed", {"b": "1"}), (job["state"], job["labels"]))
        self.assert_code(FAILED, self.d.call("submit", "--unique", "u", "--batch", "-", input=b"true\n"))


if __name__ == "__main__":
    harness.main()
