# SPDX-License-Identifier: MIT
"""The whole life of a job: when it starts, what it waits for, how often it is tried, how it ends, how it is found and
forgotten; by the command line, over real workers."""

import json
import os
import time

import harness
import wire
from harness import CANCELLED, NOENT, SOME, TIMED_OUT, wait_until

HOLD = 'read line < "$1"; exit ${2:-0}'
SHORT = ("--lease", "1s", "--heartbeat", "100ms", "--settle", "100ms")


class Life(harness.Case):
    def hold(self, gate, code=0, flags=()):
        return self.d.submit("sh", "-c", HOLD, "sh", gate.path, str(code), flags=flags)

    def shown(self, id):
        """info -o json"""
        out = self.d.call("-o", "json", "info", str(id), check=0).json()
        return out[0] if isinstance(out, list) else out

    def why(self, id):
        """{kind: blocker}"""
        out = self.d.call("-o", "json", "why", str(id), check=0).json()
        return {blocker["kind"]: blocker for blocker in out["blockers"]}

    def ids(self, *args):
        return [int(id) for id in self.d.call(*args, "-o", "id", check=0).text.split()]

    def states(self, *ids):
        return [job["state"] for job in self.d.info(*ids)]


class Starts(Life):
    def test_a_delay_and_a_time_keep_a_job_back_until_then(self):
        self.d.start_broker()
        self.d.start_worker(2)
        soon = self.d.submit("true", flags=["--delay", "400ms"])
        at = self.d.submit("true", flags=["--at", "now+1h"])
        self.assertEqual("delayed", self.d.state(at))
        self.assertIn("delay", self.why(at))
        self.assert_code(0, self.d.wait(soon))
        job = self.d.info(soon)[0]
        self.assertGreaterEqual(job["started_at"] - job["created_at"], 400e6)
        self.d.broker.kill()
        self.d.start_broker()
        self.assertEqual("delayed", self.d.state(at))
        past = self.d.submit("true", flags=["--at", "2001-01-01T00:00:00Z"])
        self.assert_code(0, self.d.wait(past))
        later = self.d.submit("true", flags=["--at", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2))])
        self.assert_code(0, self.d.wait(later))
        self.assertEqual("delayed", self.d.state(at))
        self.d.call("cancel", str(at), check=0)
        self.assertEqual("cancelled", self.d.state(at))

    def test_a_job_that_has_not_started_in_time_expires(self):
        self.d.start_broker()
        id = self.d.submit("touch", self.d.path("ran"), flags=["--expires", "200ms"])
        self.assert_code(CANCELLED, self.d.wait(id))
        self.assertEqual("expired", self.d.state(id))
        in_time = self.d.submit("true", flags=["--expires", "1h"])
        self.d.start_worker(1)
        self.assert_code(0, self.d.wait(in_time))
        self.assertFalse(os.path.exists(self.d.path("ran")))

    def test_a_tag_that_no_worker_has_blocks_nothing_behind_it(self):
        self.d.start_broker()
        self.d.start_worker(1)
        needy = [self.d.submit("true", flags=["--need", "gpu"]) for _ in range(5)]
        self.assert_code(0, self.d.call("run", "--", "true"))
        self.assertEqual(["ready"] * 5, self.states(*needy))
        self.assertIn("no_tag", self.why(needy[0]))
        self.d.start_worker(1, "--tags", "disk,gpu")
        self.assert_code(0, self.d.wait(*needy))
        self.assertEqual(1, len({job["worker"] for job in self.d.info(*needy)}))

    def test_a_limit_holds_over_all_workers_and_can_be_set(self):
        self.d.start_broker()
        for _ in range(2):
            self.d.start_worker(4)
        client = self.client()

        def most(count):
            with self.d.peer(timeout=harness.PATIENCE) as watcher:
                watcher.send("watch", 1, id=0)
                ids = set(client.submit_many([{"handler": "sleep", "payload": b"20", "limits": [("api", 2)]}] * count))
                running, seen, ended = set(), 0, set()
                while ended != ids:
                    for event in watcher.expect("events")["events"]:
                        if event["id"] not in ids:
                            continue
                        running.discard(event["id"])
                        if wire.STATES[event["state"]] == "running":
                            running.add(event["id"])
                        elif wire.STATES[event["state"]] in harness.TERMINAL:
                            ended.add(event["id"])
                        seen = max(seen, len(running))
                return seen
        self.assertEqual(2, most(30))
        self.d.call("limit", "set", "api", "3", check=0)  # counts whatever jobs say
        self.assertEqual(3, most(30))
        gate = self.d.gate()
        held = [self.hold(gate, flags=["--limit", "api"]) for _ in range(4)]
        self.d.wait_state(held[2], "running")
        self.d.wait_state(held[3], "blocked")
        self.assertIn("limit", self.why(held[3]))
        listed = self.d.call("-o", "json", "limit", "ls", check=0).json()
        self.assertEqual([("api", 3, 3, 1)], [(each["name"], int(each["max"]), int(each["used"]), int(each["waiting"]))
                                              for each in listed])
        self.d.broker.kill()
        self.d.start_broker()
        self.assertEqual("blocked", self.d.wait_state(held[3], "blocked") and self.d.state(held[3]))
        gate.open(4)
        self.assert_code(0, self.d.wait(*held))

    def test_a_unique_name_is_one_job_while_it_is_on_its_way(self):
        self.d.start_broker()
        gate = self.d.gate()

        def submit(*flags):
            out = self.d.call("-o", "json", "submit", "--unique", *flags, "--", "sh", "-c", HOLD, "sh", gate.path,
                              check=0).json()
            out = out[0] if isinstance(out, list) else out
            return int(out["id"]), bool(out["created"])

        both, queued = submit("both"), submit("queued", "--while", "queued")
        self.assertEqual((both[0], False), submit("both"))
        self.assertEqual((queued[0], False), submit("queued", "--while", "queued"))
        self.assertNotEqual(0, self.d.call("submit", "--strict", "--unique", "both", "--", "true").code)
        self.d.broker.kill()
        self.d.start_broker()
        self.assertEqual((both[0], False), submit("both"))
        self.d.start_worker(2)
        for id, _ in (both, queued):
            self.d.wait_state(id, "running")
        self.assertEqual((both[0], False), submit("both"))
        second = submit("queued", "--while", "queued")
        self.assertEqual((True, True), (second[1], second[0] != queued[0]))
        gate.open(3)
        self.assert_code(0, self.d.wait(both[0], queued[0], second[0]))
        third = submit("both")
        self.assertTrue(third[1])
        gate.open()
        self.assert_code(0, self.d.wait(third[0]))


class Dependencies(Life):
    def test_each_kind_of_edge_lets_through_what_it_says_and_skips_cascade_over_queues(self):
        self.d.start_broker()
        gate = self.d.gate()
        good, bad = self.hold(gate), self.hold(gate, code=3)
        jobs, expected = {}, {}
        for kind, on_good, on_bad in (("--after", "succeeded", "skipped"), ("--after-any", "succeeded", "succeeded"),
                                      ("--after-fail", "skipped", "succeeded")):
            for parent, state in ((good, on_good), (bad, on_bad)):
                id = self.d.submit("true", flags=[kind, str(parent), "-Q", "q%d" % len(jobs)])
                expected[id] = state
                jobs[kind, parent] = id
        skipped = jobs["--after", bad]
        grandchild = self.d.submit("true", flags=["--after", str(skipped), "-Q", "far"])
        anyway = self.d.submit("true", flags=["--after-any", str(grandchild)])
        both = self.d.submit("true", flags=["--after", str(good), "--after-fail", str(bad)])
        expected.update({grandchild: "skipped", anyway: "succeeded", both: "succeeded"})
        self.assertEqual({"blocked"}, set(self.states(*expected)))
        self.assertIn(str(bad), self.why(skipped)["dependency"]["text"])
        self.d.broker.kill()
        self.d.start_broker()
        self.d.start_worker(2)
        gate.open(2)
        self.assert_code(SOME, self.d.wait(*expected))
        self.assertEqual(list(expected.values()), self.states(*expected))
        self.assertIn(str(bad), self.d.info(skipped)[0]["reason"])
        self.assert_code(CANCELLED, self.d.wait(grandchild))

    def test_parents_that_have_ended_count_and_those_that_never_were_are_refused(self):
        self.d.start_broker()
        self.d.start_worker(1)
        good, bad = self.d.submit("true"), self.d.submit("false")
        self.assert_code(SOME, self.d.wait(good, bad))
        self.assert_code(0, self.d.call("run", "--after", str(good), "--after-fail", str(bad), "--", "true"))
        self.assert_code(CANCELLED, self.d.call("run", "--after", str(bad), "--", "true"))
        submitted = self.d.counters()["submitted"]
        output = self.d.call("submit", "--after", "999999", "--", "true")
        self.assertNotEqual(0, output.code)
        self.assertIn("no such job", output.errors)
        self.assertEqual(submitted, self.d.counters()["submitted"])


class Attempts(Life):
    def test_retries_leave_a_history_and_then_the_job_is_dead(self):
        self.d.start_broker()
        self.d.start_worker(1)
        id = self.d.submit("sh", "-c", "echo attempt $JOBQ_ATTEMPT >&2; exit 3",
                           flags=["--retries", "2", "--backoff", "fixed:50ms"])
        self.assert_code(3, self.d.wait(id))
        info = self.shown(id)
        self.assertEqual(("failed", 3), (info["state"], int(info["attempt"])))
        self.assertEqual([(1, 3), (2, 3)], [(int(a["attempt"]), int(a["code"])) for a in info["history"]])
        for attempt in info["history"]:
            self.assertTrue(attempt["worker"] and attempt["reason"] and attempt["started_at"] and attempt["ended_at"],
                            attempt)
        starts = [int(a["started_at_ns"]) for a in info["history"] + [info]]
        ends = [int(a["ended_at_ns"]) for a in info["history"]]
        for start, end in zip(starts[1:], ends):
            self.assertGreaterEqual(start - end, 50e6)
        self.assertEqual([id], self.ids("dead", "ls"))

    def test_a_retry_waits_at_most_what_the_backoff_says(self):
        self.d.start_broker()
        self.d.start_worker(1)
        id = self.d.submit("false", flags=["--retries", "9", "--backoff", "exp:1h..2h"])
        self.d.wait_state(id, "delayed")
        job = self.d.info(id)[0]
        self.assertLessEqual(job["due_at"] - job["history"][0]["ended_at"], 3600e9 + 1e9)
        self.assertTrue({"retry", "delay"} & set(self.why(id)))
        self.assertEqual([], self.ids("dead", "ls"))
        self.d.broker.kill()
        self.d.start_broker()
        again = self.d.info(id)[0]
        self.assertEqual((job["due_at"], 1, 1), (again["due_at"], again["failures"], len(again["history"])))
        self.d.call("cancel", str(id), check=0)
        self.assert_code(CANCELLED, self.d.wait(id))

    def test_only_the_codes_and_signals_that_are_named_are_retried(self):
        self.d.start_broker()
        self.d.start_worker(2)
        cases = ((["--retry-on", "3,70-75"], "exit 3", 3), (["--retry-on", "3,70-75"], "exit 4", 1),
                 (["--retry-on", "70-75"], "exit 72", 3), (["--retry-on", "SIGKILL"], "kill -KILL $$", 3),
                 (["--retry-on", "SIGKILL"], "kill -TERM $$", 1), (["--no-retry-on", "4"], "exit 4", 1),
                 (["--no-retry-on", "4"], "exit 3", 3), ([], "exit 3", 3))
        ids = [self.d.submit("sh", "-c", text, flags=["--retries", "2", "--backoff", "fixed:1ms"] + flags)
               for flags, text, _ in cases]
        self.d.wait(*ids)
        self.assertEqual([attempts for _, _, attempts in cases], [job["attempt"] for job in self.d.info(*ids)])

    def test_the_queue_says_how_often_when_the_job_does_not(self):
        self.d.start_broker()
        self.d.start_worker(1)
        self.d.call("queue", "create", "--retries", "2", "--backoff", "1ms", "--backoff-max", "2ms", "q", check=0)
        default = self.d.submit("false", flags=["-Q", "q"])
        own = self.d.submit("false", flags=["-Q", "q", "--retries", "0"])
        self.d.wait(default, own)
        self.assertEqual([3, 1], [job["attempt"] for job in self.d.info(default, own)])

    def test_the_dead_are_listed_live_again_or_are_removed(self):
        self.d.start_broker()
        self.d.start_worker(1)
        ids = [self.d.submit("sh", "-c", "test -e fixed") for _ in range(3)]
        self.d.wait(*ids)
        self.assertEqual(set(ids), set(self.ids("dead", "ls")))
        self.d.write("fixed", "")
        self.d.call("dead", "retry", str(ids[0]), check=0)
        self.assert_code(0, self.d.wait(ids[0]))
        self.assertEqual((2, 1), (self.d.info(ids[0])[0]["attempt"], len(self.d.info(ids[0])[0]["history"])))
        self.assertNotEqual(0, self.d.call("dead", "retry", str(ids[0])).code)  # it has succeeded
        self.d.call("dead", "rm", str(ids[1]), check=0)
        self.assertEqual([ids[2]], self.ids("dead", "ls"))
        with self.d.peer() as peer:
            gone = peer.ask("info", jobs=[{"id": ids[1]}])["jobs"][0]
        self.assertNotEqual(0, gone["error"])
        self.d.broker.kill()
        self.d.start_broker()
        self.assertEqual([ids[2]], self.ids("dead", "ls"))

    def test_quarantine_counts_lost_workers_and_not_failures(self):
        self.d.start_broker(*SHORT)
        gate = self.d.gate()
        id = self.hold(gate, flags=["--retries", "9"])
        for number in (1, 2):
            worker = self.d.start_worker(1)
            wait_until(lambda: (self.d.info(id)[0]["state"], self.d.info(id)[0]["attempt"]) == ("running", number),
                       "attempt %d" % number)
            worker.kill()
        self.assert_code(harness.LOST, self.d.wait(id))
        job = self.d.info(id)[0]
        self.assertEqual(("failed", 2, 0), (job["state"], job["crashes"], job["failures"]))
        self.assertEqual(1, len(job["history"]))
        self.assertTrue({"quarantined", "ended"} & set(self.why(id)), self.why(id))
        self.d.start_worker(1)
        self.d.call("dead", "retry", str(id), check=0)
        self.d.wait_state(id, "running")
        self.assertEqual(0, self.d.info(id)[0]["crashes"])
        gate.open()
        self.assert_code(0, self.d.wait(id))

    def test_a_job_cancelled_while_every_worker_is_away_never_runs(self):
        self.d.start_broker()
        worker = self.d.start_worker(1)
        self.assertEqual(0, worker.stop())
        ids = [self.d.submit("sh", "-c", "echo ran >> ran", flags=flags)
               for flags in ([], ["--delay", "200ms"], ["--mutex", "m"], ["--limit", "l=1"], ["--need", "gpu"])]
        ids.append(self.d.submit("sh", "-c", "echo ran >> ran", flags=["--after-any", str(self.d.submit("true"))]))
        self.d.call("cancel", *map(str, ids), check=0)
        self.d.broker.kill()
        self.d.start_broker()
        self.d.start_worker(2)
        self.assert_code(0, self.d.call("run", "--delay", "300ms", "--", "true"))
        self.assertEqual(["cancelled"] * 6, self.states(*ids))
        self.assertEqual([], self.d.lines("ran"))
        self.assertEqual([0] * 6, [job["attempt"] for job in self.d.info(*ids)])


class Seen(Life):
    def test_jobs_are_found_by_label_queue_and_state(self):
        self.d.start_broker()
        red = [self.d.submit("true", flags=["--label", "colour=red", "--label", "n=%d" % n, "-Q", "a"])
               for n in range(3)]
        blue = self.d.submit("true", flags=["--label", "colour=blue", "-Q", "b"])
        self.assertEqual(red[::-1], self.ids("ls", "--label", "colour=red"))
        self.assertEqual([red[1]], self.ids("ls", "--label", "n=1"))
        self.assertEqual([blue] + red[::-1], self.ids("ls", "--label", "colour"))
        self.assertEqual([blue], self.ids("ls", "--queue", "b"))
        self.assertEqual([], self.ids("ls", "--label", "colour=green"))
        self.d.call("cancel", str(red[0]), check=0)
        self.assertEqual(red[:0:-1], self.ids("ls", "--label", "colour=red", "--state", "ready"))
        self.assertEqual([red[0]], self.ids("ls", "--label", "colour=red", "--state", "ended"))
        self.assertEqual([red[2]], self.ids("ls", "--label", "colour=red", "--limit", "1"))
        labels = self.shown(red[1])
        self.assertIn("red", json.dumps(labels))

    def test_why_names_what_blocks(self):
        self.d.start_broker()
        first = self.d.submit("true", flags=["-Q", "q"])
        self.assertIn("no_worker", self.why(first))
        self.d.call("queue", "pause", "q", check=0)
        self.assertIn("paused", self.why(first))
        self.d.start_worker(1)
        gate = self.d.gate()
        holder = self.hold(gate, flags=["--mutex", "m", "--limit", "l=1"])
        self.d.wait_state(holder, "running")
        self.assertIn("running", self.why(holder))
        waits = {"mutex": ["--mutex", "m"], "limit": ["--limit", "l=1"], "dependency": ["--after", str(holder)],
                 "delay": ["--delay", "1h"], "no_tag": ["--need", "gpu"], "no_slot": []}
        for kind, flags in waits.items():
            id = self.d.submit("true", flags=flags)
            if kind in ("mutex", "limit"):  # found out when it is its turn: the slot must be free
                continue
            self.assertIn(kind, self.why(id))
        self.d.start_worker(1)
        for kind in ("mutex", "limit"):
            id = self.d.submit("true", flags=waits[kind])
            self.d.wait_state(id, "blocked")
            blocker = self.why(id)[kind]
            self.assertIn("m" if kind == "mutex" else "l", blocker["text"])
            if kind == "mutex":
                self.assertEqual(str(holder), str(blocker["subject"]))
        self.d.call("queue", "create", "--concurrency", "1", "one", check=0)
        running = self.hold(gate, flags=["-Q", "one"])
        self.d.wait_state(running, "running")
        behind = self.d.submit("true", flags=["-Q", "one"])
        self.assertTrue({"concurrency", "no_slot"} & set(self.why(behind)))
        self.d.start_worker(1)
        wait_until(lambda: "concurrency" in self.why(behind), "why names the concurrency of the queue")
        self.d.call("put", "items", "-", input=b"x", check=0)
        self.assertIn("no_getter", self.why(self.d.queue("items")["sequence"]))
        ended = self.d.submit("true")
        self.d.call("cancel", str(ended))
        self.assertTrue(self.d.call("why", str(ended), check=0).text)
        self.assertNotEqual(0, self.d.call("why", "999999").code)
        gate.open(2)

    def test_events_are_told_once_each_and_can_be_resumed(self):
        self.d.start_broker()
        self.d.start_worker(1)
        with open(self.d.path("events"), "wb") as file:
            self.d.background("-o", "jsonl", "events", stdout=file)

        def told(name):
            return [json.loads(line) for line in self.d.lines(name)]

        wait_until(lambda: self.d.submit("true") and told("events"), "events are told")
        ids = [self.d.submit(*command) for command in (["true"], ["false"])]
        self.d.wait(*ids)
        wait_until(lambda: {str(id) for id in ids} <= {e["id"] for e in told("events")
                                                       if e["state"] in harness.TERMINAL}, "all is told")
        first = told("events")
        sequences = [int(event["sequence"]) for event in first]
        self.assertEqual(sorted(set(sequences)), sequences)
        for id in ids:
            mine = [event["state"] for event in first if event["id"] == str(id)]
            self.assertEqual(len(set(mine)), len(mine))
            self.assertEqual("running", mine[-2])
        # From the middle on: the same, and nothing twice.
        at = len(first) // 2
        rest = self.d.call("-o", "jsonl", "events", "--since", str(sequences[at]), "--limit", str(len(first) - at - 1),
                           check=0)
        self.assertEqual(first[at + 1:], [json.loads(line) for line in rest.text.splitlines()])
        self.d.broker.kill()
        self.d.start_broker()
        with self.d.peer(timeout=harness.PATIENCE) as watcher:  # what a restart lost is counted
            watcher.send("watch", 1, id=0, after=sequences[0])
            id = self.d.submit("true")
            dropped, events = 0, []
            while not events:
                got = watcher.expect("events")
                dropped, events = dropped + got["dropped"], events + got["events"]
        self.assertGreaterEqual(dropped, 1)
        self.assertEqual(id, events[0]["id"])
        self.assertGreater(events[0]["sequence"], sequences[-1])

    def test_what_is_purged_is_gone_and_what_never_was_is_unknown(self):
        self.d.start_broker()
        self.d.start_worker(1)
        self.d.call("queue", "create", "--keep-count", "2", "q", check=0)
        ids = [self.d.submit("true", flags=["-Q", "q"]) for _ in range(6)]
        self.d.wait(*ids)

        def errors():
            with self.d.peer() as peer:
                return [wire_error(job["error"]) for job in peer.ask("info", jobs=[{"id": id} for id in ids])["jobs"]]
        wait_until(lambda: errors() == ["GONE"] * 4 + [None] * 2, "all but two are purged")
        for args in (["info", str(ids[0])], ["result", str(ids[0])], ["wait", str(ids[0])]):
            output = self.d.call(*args)
            self.assertNotEqual(0, output.code)
            self.assertRegex(output.errors, "purged|gone|not kept")
        unknown = self.d.call("info", "999999")
        self.assert_code(harness.FAILED, unknown)
        self.assertIn("no such", unknown.errors)
        self.assertNotRegex(unknown.errors, "purged|gone")
        self.d.broker.kill()
        self.d.start_broker()
        self.assertEqual(["GONE"] * 4 + [None] * 2, errors())


def wire_error(number):
    return {0: None, -5: "NOENT", -22: "GONE"}.get(number, number)


class Waits(Life):
    def test_any_first_fail_count_and_state(self):
        self.d.start_broker()
        self.d.start_worker(6)
        gates = [self.d.gate("gate-%d" % n) for n in range(5)]
        ids = [self.hold(gate, code=code) for gate, code in zip(gates, (0, 0, 7, 0, 0))]
        names = [str(id) for id in ids]
        self.assert_code(0, self.d.call("wait", "--state", "running", *names))
        waits = {kind: self.d.background("wait", *kind.split(), *names)
                 for kind in ("--any", "--count 2", "--first-fail", "--all")}

        def end(kind, code):
            out, err = waits[kind].communicate(timeout=harness.PATIENCE)
            self.assertEqual(code, waits[kind].returncode, (kind, err))
            return out

        gates[1].open()
        self.assertIn(names[1].encode(), end("--any", 0))
        self.assertEqual([None] * 3, [waits[kind].poll() for kind in ("--count 2", "--first-fail", "--all")])
        gates[3].open()
        end("--count 2", 0)
        gates[2].open()
        end("--first-fail", 7)
        self.assertIsNone(waits["--all"].poll())
        self.assert_code(TIMED_OUT, self.d.call("wait", "--timeout", "100ms", *names))
        gates[0].open(), gates[4].open()
        end("--all", SOME)
        self.assert_code(0, self.d.call("wait", "--first-fail", names[0], names[1]))
        self.assert_code(harness.FAILED, self.d.call("wait", "999999"))

    def test_ids_come_from_standard_input_too(self):
        self.d.start_broker()
        self.d.start_worker(2)
        ids = [self.d.submit("true") for _ in range(20)]
        text = "".join("%d\n" % id for id in ids).encode()
        self.assert_code(0, self.d.call("wait", "-", input=text))
        self.assert_code(SOME, self.d.call("wait", "-", input=text + b"%d\n" % self.d.submit("false")))

    def test_a_wait_of_any_kind_survives_a_kill_of_the_broker(self):
        self.d.start_broker()
        self.d.start_worker(2)
        gate = self.d.gate()
        id = self.hold(gate, code=7)
        other = self.d.submit("true", flags=["--after-fail", str(id)])
        self.d.wait_state(id, "running")
        waits = {self.d.background("wait", *args): code for args, code in (
            ((str(id),), 7), (("--any", str(id), str(other)), 7), (("--first-fail", str(other), str(id)), 7),
            (("--count", "2", str(id), str(other)), SOME), (("--state", "running", str(other)), 0))}
        for _ in range(2):
            self.d.broker.kill()
            self.d.start_broker()
        self.d.wait_state(id, "running")
        gate.open()
        for wait, code in waits.items():
            out, err = wait.communicate(timeout=harness.PATIENCE)
            self.assertEqual(code, wait.returncode, (wait.args, out, err))


if __name__ == "__main__":
    harness.main(library=True)
