# SPDX-License-Identifier: MIT
"""Handlers of plug-ins: what reaches them, and what becomes of what they say. Rows of the seed map have their
numbers in the tests' names."""

import os
import signal

import harness
import wire
from harness import wait_until

PLUGINS = os.environ.get("JOBQ_PLUGINS", ".")
TESTED, THINGS = os.path.join(PLUGINS, "tested.so"), os.environ.get("JOBQ_THINGS", "things.so")
POOLS = ("thread",)  # every executor that runs handlers
ODD = [0, -1, 127, 128, -33, 2**32, 2**63 - 1, -2**63, 2**64 - 1, 0.0, -1.5, 1e300, True, False, None, "", "收",
       "x" * 300, b"", b"\0\xff", bytes(70000), [], [[], [1, [2, [3]]]], {}, {"a": {"b": [None, b"\0"]}, "": 1}]
TWO_RETRIES = wire.pack([0, 0, 0, 3, 1])  # job_options: attempts_max, backoff_ms


class Handlers(harness.Case):
    def start(self, *flags, slots=2, plugins=(TESTED, THINGS), broker=()):
        self.d.environment["JQ_TEST_COUNTS"] = self.d.path("counts")
        self.d.start_broker(*broker)
        return self.worker(*flags, slots=slots, plugins=plugins)

    def worker(self, *flags, slots=2, plugins=(TESTED, THINGS)):
        return self.d.start_worker(slots, *[word for path in plugins for word in ("--plugin", path)], *flags)

    def hand_in(self, handler, payload=b"", options=b""):
        with self.d.peer() as peer:
            answer = peer.ask("submit", queue="default",
                              jobs=[{"handler": handler, "payload": payload, "options": options}])
        return answer["first_id"]

    def end(self, id):
        self.d.wait(id)
        return self.d.info(id)[0]

    def result(self, id):
        """The value that a job returned, decoded."""
        job = self.end(id)
        self.assertEqual("succeeded", job["state"], job)
        unpacker = wire.Unpacker(self.d.call("result", str(id), check=0).out)
        value = unpacker.value()
        self.assertEqual(len(unpacker.data), unpacker.at)
        return value

    def call(self, handler, *positional, depth=None, **named):
        rest = [] if depth is None else [depth]
        return self.hand_in(handler, wire.pack([list(positional), named] + rest))

    # ---- what reaches a handler ----

    def test_S03_positional_and_named_arguments_round_trip(self):
        self.start()
        named = {"n%d" % number: value for number, value in enumerate(ODD)}
        self.assertEqual([ODD, named], self.result(self.call("mirror", *ODD, **named)))
        self.assertEqual([[], {}], self.result(self.call("mirror")))
        many = list(range(65536))
        self.assertEqual([many, {}], self.result(self.call("mirror", *many)))

    def test_S03_arguments_of_another_shape_fail_by_name_and_are_not_tried_again(self):
        self.start()
        for payload, reason in (
                (wire.pack([[], {"width": "3", "height": 4}]), 'argument "width" is a string, not a number'),
                (wire.pack([[3], {}]), 'argument 1 "height" is missing'),
                (wire.pack([[3, 4], {"width": 3}]), 'argument 0 "width" is given twice, by position and by name'),
                (b"3 4", "the payload is not an array of arguments and a map of named ones"),
                (b"\xdd\xff\xff\xff\xff", "the payload is not an array of arguments and a map of named ones")):
            job = self.end(self.hand_in("area", payload, TWO_RETRIES))
            self.assertEqual(("failed", 2, reason, 1), (job["state"], job["code"], job["reason"], job["attempt"]))
        self.assertEqual(12.0, self.result(self.call("area", 3, 4)))
        self.assertEqual(12.0, self.result(self.call("area", 3, height=4.0)))

    def test_a_handler_is_told_of_its_job_and_its_log_lines_are_kept(self):
        self.start()
        id = self.hand_in("about", b"\xc1raw")
        told = self.result(id)
        self.assertEqual([id, 1, 1, "default", "about", 4], told[:1] + told[2:])
        self.assertEqual((1, 1), (told[1] >> 32, told[1] & 0xFFFFFFFF))  # the fence: incarnation, attempt
        self.assertEqual("job %d, user data\n" % id, self.d.call("logs", "--stderr", str(id)).text)
        self.assertEqual(7, self.result(self.call("about", depth=7))[3])

    # ---- the life of a handler ----

    def test_S07_init_is_once_for_each_slot_run_for_each_job_and_fini_on_drain(self):
        worker = self.start("--threads", "3")
        ids = [self.hand_in("counted") for _ in range(50)]
        self.assert_code(0, self.d.wait(*ids))
        self.assertEqual(["init"] * 3 + ["run"] * 50, self.d.lines("counts"))
        self.assertEqual(0, worker.stop())
        self.assertEqual(["init"] * 3 + ["run"] * 50 + ["fini"] * 3, self.d.lines("counts"))

    def test_a_drain_lets_a_handler_end_and_a_cancel_ends_it_at_once(self):
        worker = self.start("--threads", "2")
        kept, cancelled = self.call("wait", ms=300), self.call("wait", ms=86400000)
        for id in (kept, cancelled):
            self.d.wait_state(id, "running")
        worker.signal(signal.SIGTERM)
        self.assertIs(True, self.result(kept))
        self.d.call("cancel", str(cancelled), check=0)
        job = self.end(cancelled)
        self.assertEqual(("cancelled", 1), (job["state"], job["attempt"]))
        self.assertEqual(0, worker.wait())

    def test_state_of_a_slot_is_its_own(self):
        self.start("--threads", "1")
        self.assertEqual([1, 2, 3], [self.result(self.hand_in("count")) for _ in range(3)])

    # ---- how it ends ----

    def test_S09_a_handlers_error_fails_its_job_with_code_and_reason(self):
        self.start()
        id = self.call("told", 7, "no", "no paper")
        self.assert_code(7, self.d.wait(id))
        job = self.d.info(id)[0]
        self.assertEqual(("failed", 7, "no paper", 1), (job["state"], job["code"], job["reason"], job["attempt"]))
        self.assertIn("no paper", self.d.call("info", str(id)).text)

    def test_S09_only_errors_that_say_so_are_not_retried(self):
        self.start()
        args = [wire.pack([[7, retry, "text"], {}]) for retry in ("retry", "no")]
        again, once = [self.end(self.hand_in("told", payload, TWO_RETRIES)) for payload in args]
        self.assertEqual(("failed", 3), (again["state"], again["attempt"]))
        self.assertEqual(("failed", 1), (once["state"], once["attempt"]))

    def test_S09_a_handler_that_kills_its_worker_is_quarantined_and_told(self):
        self.start(broker=("--lease", "1s", "--heartbeat", "100ms", "--settle", "100ms"))
        id = self.hand_in("crash")
        wait_until(lambda: not self.d.processes[-1].running(), "the worker is gone")
        second = self.worker()
        wait_until(lambda: not second.running(), "the second is gone as well")
        job = self.end(id)
        self.assertEqual(("failed", 2), (job["state"], job["crashes"]))
        self.assertTrue(job["reason"].startswith("poison"), job["reason"])

    def test_S33_the_same_handler_gives_the_same_in_every_pool(self):
        self.start()
        for pool in POOLS:
            self.assertEqual({"count": 3, "sum": 6.5}, self.result(self.call("sum", [1, 2.5, 3])), pool)
            job = self.end(self.call("sum", [1, "2"]))
            self.assertEqual(("failed", 2, 'a value in argument 0 "numbers" is a string, not a number'),
                             (job["state"], job["code"], job["reason"]), pool)

    def test_S24_a_job_too_deep_is_refused_by_the_worker(self):
        self.start("--depth-max", "5")
        self.assertEqual(5, self.result(self.call("about", depth=5))[3])
        job = self.end(self.call("about", depth=6))
        self.assertEqual(("failed", 126), (job["state"], job["code"]))
        self.assertIn("depth 6: jobs that submit jobs are run 5 deep at most", job["reason"])

    def test_a_handler_that_no_worker_has_fails_with_127(self):
        self.start(plugins=())
        job = self.end(self.call("mirror"))
        self.assertEqual(("failed", 127, 'this worker has no handler named "mirror"'),
                         (job["state"], job["code"], job["reason"]))

    # ---- from the command line ----

    def submit(self, *words, code=0, **how):
        output = self.d.call("submit", "--handler", *words, **how)
        self.assert_code(code, output)
        return output.id if code == 0 else output.errors

    def test_S03_the_command_line_gives_arguments_by_position_and_by_name(self):
        self.start()
        id = self.submit("mirror", "--arg", "3", "--arg-json", "3", "--named", "a=b=c", "--named-json",
                         'n={"x":[1,2.5,null,true,"\u6536"]}', "--arg", "", "--", "-1", "a b", "*")
        self.assertEqual([["3", 3, "", "-1", "a b", "*"], {"a": "b=c", "n": {"x": [1, 2.5, None, True, "收"]}}],
                         self.result(id))
        job = self.d.info(id)[0]
        self.assertEqual(("mirror", "default"), (job["handler"], job["queue"]))
        self.assertTrue(job["title"].startswith("mirror 3 3 a=b=c "), job["title"])
        self.assertEqual([[], {}], self.result(self.submit("mirror")))
        odd = os.fsdecode(b"\xff\xfe")
        self.assertEqual([[odd], {}], self.result(self.submit("mirror", odd)))

    def test_a_result_is_printed_as_json_on_request(self):
        self.start()
        ids = [self.submit("sum", "--arg-json", "[1,2.5]"), self.submit("count"), self.hand_in("echo", b"raw text"),
               self.hand_in("noop")]
        self.assert_code(0, self.d.wait(*ids))
        self.assertEqual('{"count":2,"sum":3.5}\n', self.d.call("result", "--decode", str(ids[0]), check=0).text)
        self.assertEqual("1\n", self.d.call("result", "-d", str(ids[1]), check=0).text)
        self.assertIn("not a msgpack value", self.d.call("result", "-d", str(ids[2]), check=harness.FAILED).errors)
        self.assertIn("has returned nothing", self.d.call("result", "-d", str(ids[3]), check=harness.FAILED).errors)

    def test_bytes_of_a_file_are_the_payload_of_a_handlers_job(self):
        self.start()
        every = bytes(range(256)) * 300
        id = self.submit("echo", "--stdin", input=every)
        self.assert_code(0, self.d.wait(id))
        self.assertEqual(every, self.d.call("result", str(id), check=0).out)

    def test_terms_of_jobs_hold_for_handlers(self):
        self.start()
        first = self.submit("wait", "--named-json", "ms=50")
        second = self.submit("mirror", "--after", str(first), "--retries", "1", "--label", "a=b", "-p", "-3",
                             "--title", "its title", "--id", "key")
        self.assertEqual([[], {}], self.result(second))
        job = self.d.info(second)[0]
        self.assertEqual(("its title", "key", -3), (job["title"], job["key"], job["priority"]))

    def test_a_handler_is_told_when_its_time_is_over(self):
        self.start()
        id = self.submit("wait", "--job-timeout", "50ms", "--named-json", "ms=86400000")
        self.assert_code(harness.TIMED_OUT, self.d.wait(id))
        self.assertEqual("timed out after 50 ms", self.d.info(id)[0]["reason"])
        self.assertIs(True, self.result(self.submit("wait", "--job-timeout", "1h", "--named-json", "ms=0")))

    def test_what_is_wrong_with_a_handlers_job_is_said_before_anything_is_sent(self):
        self.d.start_broker()
        for words, text in (
                (["mirror", "--arg-json", "{"], "--arg-json: '{': no JSON"),
                (["mirror", "--named-json", "n=x"], "--named-json: 'x': no JSON"),
                (["mirror", "--named", "novalue"], "--named: 'novalue' is not NAME=VALUE"),
                (["mirror", "--named", "a=1", "--named", "a=2"], "--named: a is given twice"),
                (["mirror", "--arg-json", "[[[[[[[1]]]]]]]"], "more than 6 deep"),
                (["exec"], "exec is not for you to name"),
                (["item"], "item is not for you to name"),
                (["mirror", "--cwd", "/"], "they are for commands"),
                (["mirror", "--shell", "true"], "they are for commands"),
                (["mirror", "--stdin", "--arg", "x"], "not both"),
                (["mirror", "--stdin", "--job-timeout", "1s"], "not both"),
                (["mirror", "--stdin", "--", "x"], "not both"),
                (["a b"], "handler")):
            self.assertIn(text, self.submit(*words, code=harness.FAILED))
        for words in (["--arg", "x", "--", "true"], ["--handler", "mirror", "--batch", "-"]):
            self.assertNotEqual(0, self.d.call("submit", *words).code)
        self.assertEqual(0, self.d.counters()["submitted"])

    def test_S24_jobs_that_submit_jobs_come_to_an_end(self):
        self.start()
        self.assertEqual(1, self.result(self.submit("about", "--stdin"))[3])
        one = self.d.submit("sh", "-c", 'echo "$JOBQ_DEPTH"; jobq submit --handler about x', "sh", flags=[
            "--env", "JOBQ_URL"])
        self.assert_code(0, self.d.wait(one))
        own, id = self.d.call("logs", str(one)).text.split()
        self.assertEqual("1", own)
        self.assertEqual(2, self.result(int(id))[3])
        # A job that submits itself, in whatever environment it asks for.
        again = 'echo "$JOBQ_DEPTH" >> "$1"; exec jobq -u "$2" submit --clear-env -e PATH -- sh -c "$3" sh "$1" "$2" "$3"'
        self.d.submit("sh", "-c", again, "sh", self.d.path("depths"), self.d.url, again)
        wait_until(lambda: len(self.d.lines("depths")) == 32, "the last one has run")
        wait_until(lambda: self.d.queue("default")["unfinished"] == 0, "and has ended")
        self.assertEqual([str(depth) for depth in range(1, 33)], self.d.lines("depths"))
        failed = self.d.call("ls", "--state", "failed", "-o", "id").text.split()
        self.assertEqual(1, len(failed))
        self.assertIn("jobs submit jobs 32 deep at most", self.d.call("logs", "--stderr", failed[0]).text)
        deep = self.d.call("submit", "--", "true", env={"JOBQ_DEPTH": "32"})
        self.assert_code(harness.FAILED, deep)
        self.assert_code(0, self.d.call("submit", "--", "true", env={"JOBQ_DEPTH": "32", "JOBQ_DEPTH_MAX": "33"}))

    # ---- loading ----

    def refused(self, *flags, env=None):
        process = self.d.spawn("jobq-worker", ["--url", self.d.url, "--config", "/dev/null", "--slots", "1"] +
                               list(flags), log="refused")
        return process.wait(), process.text()

    def test_a_worker_with_a_bad_plugin_does_not_start_and_says_why(self):
        self.d.start_broker()
        for name, text in (("none", "cannot open shared object file"),
                           ("odd_no_symbol", "not a plug-in: it has no symbol jobq_plugin"),
                           ("odd_abi", "made for version 99 of the handlers' ABI; this worker has 1"),
                           ("odd_taken", 'there is a handler "sleep" already: built in'),
                           ("odd_init", 'init of handler "odd" has failed with 4: slot 0 of thread has no database')):
            path = os.path.join(PLUGINS, name + ".so")
            code, said = self.refused("--plugin", path)
            self.assertEqual(78, code, said)
            self.assertIn(path, said)
            self.assertIn(text, said)
        code, said = self.refused("--plugin", TESTED, "--plugin", TESTED)
        self.assertEqual(78, code)
        self.assertIn('there is a handler "mirror" already: ' + TESTED, said)
        code, said = self.refused("--plugin", "")
        self.assertEqual(64, code)
        self.assertEqual([], self.d.stats()["workers"])

    def test_plugins_are_a_setting_and_handlers_are_listed(self):
        self.d.write("conf", ("plugin = %s:%s\n" % (TESTED, THINGS)).encode())
        self.d.start_broker()
        self.d.start_worker(1, "--config", self.d.path("conf"), name="plugged")
        text = self.d.call("worker", "info", "plugged", check=0).text
        self.assertIn("handlers=exec,noop,echo,fail,sleep,mirror,about,told,counted,crash,area,sum,wait,count", text)
        self.assertIn("plugin=%s:%s" % (TESTED, THINGS), text)
        self.assertEqual([[1], {}], self.result(self.call("mirror", 1)))


if __name__ == "__main__":
    harness.main()
