# SPDX-License-Identifier: MIT
"""Queues of items on the command line: put, get, done, nack, extend, peek, join, queue, dead, limit."""

import json
import os
import re
import signal
import subprocess
import time

import harness
import wire
from harness import FAILED, TIMED_OUT, wait_until

REFUSED, USAGE, UNREACH, EMPTY, FULL, NOENT, CLOSED, EXISTS = 1, 2, 3, 4, 5, 6, 9, 17
PAYLOAD_MAX = 16 << 20
PAGE = os.path.join(wire.SOURCE, "deploy", "man", "jobq-json.7.scd")


def documented(title):
    """The members that jobq-json(7) lists of an object."""
    with open(PAGE) as file:
        section = re.search(r"^## %s\n(.*?)^#" % title, file.read(), re.S | re.M).group(1)
    return set(re.findall(r"^- \*(\w+)\*", section, re.M))


class QueueCase(harness.Case):
    def setUp(self):
        super().setUp()
        self.d.start_broker()

    def put(self, data, *args, queue="q", check=0):
        data = data if isinstance(data, bytes) else data.encode()
        return self.d.call("put", *args, queue, input=data, check=check)

    def get(self, *args, queue="q", check=0):
        return self.d.call("get", "--nowait", *args, queue, check=check)

    def queue(self, name="q"):
        return self.d.call("-o", "json", "queue", "info", name, check=0).json()

    def lease(self, *args, queue="q"):
        """(bytes, receipt)"""
        output = self.d.call("get", "--nowait", "--lease", "1m", *args, queue, check=0)
        found = re.fullmatch(r"receipt (\d+:\d+)\n", output.errors)
        self.assertTrue(found, output)
        return output.out, found.group(1)

    def waiting(self, field, count=1):
        wait_until(lambda: self.queue()[field] == count, "%d %s" % (count, field))

    def assert_members(self, title, value, *optional):
        self.assertEqual(set(), set(value) - documented(title), value)
        self.assertEqual(set(), documented(title) - set(value) - set(optional), value)


class Bytes(QueueCase):
    def test_what_is_put_is_what_is_got(self):
        for data in (b"", b"\0", b"a\0b\n", b"\n", bytes(range(256)), "收".encode() * 400,
                     os.urandom(PAYLOAD_MAX)):
            self.put(data)
            output = self.get()
            self.assertTrue(output.out == data, "%d bytes" % len(data))
            self.assertEqual("", output.errors)
        self.assertEqual(0, self.queue()["unfinished"])

    def test_a_file_is_an_item_and_a_dash_is_standard_input(self):
        path = self.d.write("file", b"of a file")
        self.d.call("put", "q", path, check=0)
        self.d.call("put", "q", "-", input=b"of stdin", check=0)
        self.assertEqual([b"of a file", b"of stdin"], [self.get().out, self.get().out])
        self.assert_code(FAILED, self.d.call("put", "q", self.d.path("missing")))

    def test_lines_are_items(self):
        self.put(b"one\n\ntwo\r\nthree", "--lines")
        self.assertEqual([b"one", b"", b"two\r", b"three"], [self.get().out for _ in range(4)])
        self.get(check=EMPTY)
        self.put(b"", "--lines")
        self.get(check=EMPTY)

    def test_too_much_is_refused_with_limit_and_size_before_it_is_sent(self):
        data = b"x" * (PAYLOAD_MAX + 1)
        path = self.d.write("large", data)
        for output in (self.d.call("put", "q", path), self.put(data, check=USAGE),
                       self.put(data, "--lines", check=USAGE)):
            self.assert_code(USAGE, output)
            self.assertIn(str(PAYLOAD_MAX), output.errors)
            self.assertIn("items that were put: 0", output.errors)
        self.assertIn(str(PAYLOAD_MAX + 1), self.d.call("put", "q", path).errors)
        self.assert_code(NOENT, self.d.call("queue", "info", "q"))  # nothing was sent

    def test_lines_before_one_that_is_too_long_are_put_and_counted(self):
        output = self.put(b"small\n" + b"x" * (PAYLOAD_MAX + 1), "--lines", check=USAGE)
        self.assertIn(str(PAYLOAD_MAX), output.errors)
        self.assertIn("items that were put: 1", output.errors)
        self.assertEqual(b"small", self.get().out)
        self.get(check=EMPTY)

    def test_ids_are_printed_where_they_are_asked_for(self):
        self.assertEqual(b"", self.put("a").out)
        id = self.put("a", "-o", "id").id
        value = self.put("a", "-o", "json").json()
        self.assertEqual(str(id + 1), value["id"])
        self.assert_members("put", value)
        lines = self.put("a\nb\n", "--lines", "-o", "json").json()
        self.assertEqual([str(id + 2), str(id + 3)], [item["id"] for item in lines])

    def test_json_has_text_or_base64(self):
        self.put("text", "--priority", "-7")
        item = self.get("-o", "json").json()
        self.assert_members("item", item, "payload_base64")
        self.assertEqual(("text", -7, 1, None),
                         (item["payload"], item["priority"], item["attempt"], item["lease_until"]))
        self.put(b"\xff\0")
        self.assertEqual("/wA=", self.get("-o", "json").json()["payload_base64"])


class Waiting(QueueCase):
    def test_empty_is_4_at_once_and_when_the_time_is_over(self):
        self.put("x")
        self.get()
        self.get(check=EMPTY)
        start = time.monotonic()
        self.assert_code(EMPTY, self.d.call("get", "--timeout", "300ms", "q"))
        self.assertGreaterEqual(time.monotonic() - start, 0.3)

    def test_an_unknown_queue_is_6_but_for_a_get_that_waits(self):
        self.get(queue="new", check=NOENT)
        self.assert_code(EMPTY, self.d.call("get", "--timeout", "100ms", "new"))
        self.assert_code(NOENT, self.d.call("peek", "unknown"))
        self.assert_code(NOENT, self.d.call("join", "unknown"))

    def test_a_waiting_get_is_woken_by_a_put(self):
        getters = [self.d.background("get", "new") for _ in range(2)]
        wait_until(lambda: "new" in self.d.call("-o", "id", "queue", "ls").text.split(), "the queue is there")
        wait_until(lambda: self.queue("new")["getters"] == 2, "both wait")
        self.put("a\nb\n", "--lines", queue="new")
        self.assertEqual([b"a", b"b"], sorted(getter.communicate(timeout=30)[0] for getter in getters))
        self.assertEqual([0, 0], [getter.returncode for getter in getters])

    def test_full_is_5_at_once_and_when_the_time_is_over(self):
        self.d.call("queue", "create", "q", "--maxsize", "1", check=0)
        self.put("a")
        self.put("b", "--nowait", check=FULL)
        start = time.monotonic()
        self.put("b", "--timeout", "300ms", check=FULL)
        self.assertGreaterEqual(time.monotonic() - start, 0.3)
        self.assertEqual(1, self.queue()["ready"])

    def test_a_waiting_put_goes_on_when_there_is_a_place(self):
        self.d.call("queue", "create", "q", "--maxsize", "1", check=0)
        self.put("a")
        putter = self.d.background("put", "q")
        putter.stdin.write(b"b")
        putter.stdin.close()
        self.waiting("putters")
        self.assertEqual(b"a", self.get().out)
        self.assertEqual(0, putter.wait(30))
        self.assertEqual(b"b", self.get().out)

    def test_a_putter_that_dies_leaves_nothing(self):
        self.d.call("queue", "create", "q", "--maxsize", "1", check=0)
        self.put("a")
        putter = self.d.background("put", "q")
        putter.stdin.close()
        self.waiting("putters")
        putter.kill()
        putter.wait()
        self.waiting("putters", 0)
        self.get()
        self.get(check=EMPTY)

    def test_lines_fill_a_bounded_queue_as_it_is_emptied(self):
        self.d.call("queue", "create", "q", "--maxsize", "2", check=0)
        putter = self.d.background("put", "--lines", "q")
        putter.stdin.write(b"".join(b"%d\n" % i for i in range(10)))
        putter.stdin.close()
        got = [self.d.call("get", "--timeout", "30s", "q", check=0).out for _ in range(10)]
        self.assertEqual([b"%d" % i for i in range(10)], got)
        self.assertEqual(0, putter.wait(30))

    def test_submit_waits_for_a_place_or_does_not(self):
        self.d.call("queue", "create", "q", "--maxsize", "1", check=0)
        self.d.submit("true", flags=["-Q", "q"])
        for flags in (["--nowait"], ["--put-timeout", "200ms"]):
            output = self.d.call("-o", "json", "submit", "-Q", "q", *flags, "--", "true")
            self.assert_code(FAILED, output)
            self.assertEqual("EFULL", json.loads(output.errors)["error"]["code"])
        submitter = self.d.background("submit", "-Q", "q", "--", "true")
        self.waiting("putters")
        self.d.start_worker(1)
        self.assertEqual(0, submitter.wait(30))


class GivenBack(QueueCase):
    def test_an_item_that_cannot_be_written_goes_back(self):
        self.put("precious")
        with open("/dev/full", "wb") as full:
            popen = self.d.background("get", "q", stdout=full)
            errors = popen.communicate(timeout=30)[1].decode()
        self.assertEqual(FAILED, popen.returncode, errors)
        self.assertIn("given back", errors)
        self.assertEqual((1, 0), (self.queue()["ready"], self.queue()["running"]))
        self.assertEqual(b"precious", self.get().out)

    def test_a_reader_that_has_left_does_not_lose_the_item(self):
        self.put(b"x" * (1 << 20))
        reader, writer = os.pipe()
        os.close(reader)
        popen = self.d.background("get", "q", stdout=writer)
        os.close(writer)
        popen.communicate(timeout=30)
        self.assertEqual(FAILED, popen.returncode)
        self.assertEqual(1 << 20, len(self.get().out))

    def test_a_closed_standard_output_takes_nothing(self):
        self.put("precious")
        popen = subprocess.Popen(["sh", "-c", 'exec "$0" get q >&-', harness.program("jobq")],
                                 env=self.d.environment, stderr=subprocess.PIPE)
        errors = popen.communicate(timeout=30)[1].decode()
        self.assertEqual(FAILED, popen.returncode, errors)
        self.assertEqual(1, self.get("-o", "json").json()["attempt"])

    def test_a_leased_item_that_cannot_be_written_goes_back(self):
        self.put("precious")
        with open("/dev/full", "wb") as full:
            for flags in ([], ["-o", "json"]):
                popen = self.d.background("get", "--lease", "1h", *flags, "q", stdout=full)
                errors = popen.communicate(timeout=30)[1]
                self.assertEqual(FAILED, popen.returncode, errors)
        self.assertEqual(b"precious", self.get().out)

    def test_a_get_that_is_interrupted_takes_nothing(self):
        self.d.call("queue", "create", "q", check=0)
        for number in (signal.SIGINT, signal.SIGTERM):
            getter = self.d.background("get", "q")
            self.waiting("getters")
            getter.send_signal(number)
            self.assertEqual(128 + number, getter.wait(30))
            self.waiting("getters", 0)
        self.put("x")
        self.assertEqual(b"x", self.get().out)

    def test_an_interrupt_while_nobody_reads_gives_the_item_back(self):
        self.put(b"x" * (4 << 20))
        getter = self.d.background("get", "q")
        self.assertEqual(b"x", getter.stdout.read(1))  # it writes, more than a pipe takes
        getter.send_signal(signal.SIGTERM)
        self.assertEqual(128 + signal.SIGTERM, getter.wait(30))
        self.assertEqual(4 << 20, len(self.get().out))


class Many(QueueCase):
    def put_lines(self, *lines):
        self.put("".join(line + "\n" for line in lines), "--lines")

    def test_up_to_n_are_got_each_on_a_line(self):
        self.put_lines("one", "", "three")
        output = self.get("-n", "2")
        self.assertEqual((b"one\n\n", ""), (output.out, output.errors))
        self.assertEqual(b"three\n", self.get("--count", "32768").out)
        self.get("-n", "2", check=EMPTY)
        self.assertEqual(0, self.queue()["unfinished"])

    def test_more_than_a_frame_has_are_got(self):
        lines = ["%05d" % i + "x" * 95 for i in range(20000)]
        self.put_lines(*lines)
        output = self.get("-n", "19999").out.decode()
        self.assertEqual(lines[:-1], output.splitlines())
        self.assertEqual((1, 0), (self.queue()["ready"], self.queue()["running"]))

    def test_a_separator_may_be_chosen(self):
        self.put_lines("a", "b", "c", "d")
        self.assertEqual(b"a\0b\0", self.get("-n", "2", "-0").out)
        self.assertEqual(b"c, d, ", self.get("-n", "2", "-d", ", ").out)
        for flags in (["-0"], ["--delimiter", ","], ["-n", "1", "-0", "-d", ","], ["-n", "0"],
                      ["-n", "32769"]):
            self.get(*flags, check=USAGE)

    def test_the_first_is_waited_for_and_no_more(self):
        self.d.call("queue", "create", "q", check=0)
        getter = self.d.background("get", "-n", "3", "q")
        self.waiting("getters")
        self.put("x")
        self.assertEqual(b"x\n", getter.communicate(timeout=30)[0])
        self.assertEqual(0, getter.returncode)

    def test_what_could_not_be_written_goes_back(self):
        self.put_lines("a", "b", "c")
        with open("/dev/full", "wb") as full:
            for flags in ([], ["-o", "json"], ["--lease", "1h"]):
                popen = self.d.background("get", "-n", "3", *flags, "q", stdout=full)
                errors = popen.communicate(timeout=30)[1].decode()
                self.assertEqual(FAILED, popen.returncode, errors)
                self.assertIn("3 items were given back", errors)
        self.waiting("ready", 3)
        self.assertEqual(b"a\nb\nc\n", self.get("-n", "3").out)

    def test_an_interrupt_while_nobody_reads_settles_what_was_written(self):
        for data in (b"a", b"x" * (4 << 20), b"c"):
            self.put(data)
        getter = self.d.background("get", "-n", "3", "q")
        self.assertEqual(b"a\nx", getter.stdout.read(3))
        getter.send_signal(signal.SIGTERM)
        self.assertEqual(128 + signal.SIGTERM, getter.wait(30))
        self.waiting("ready", 2)
        self.assertEqual((0, 1), (self.queue()["running"], self.queue()["succeeded"]))

    def test_a_get_of_many_that_is_interrupted_takes_nothing(self):
        self.d.call("queue", "create", "q", check=0)
        getter = self.d.background("get", "-n", "3", "q")
        self.waiting("getters")
        getter.send_signal(signal.SIGINT)
        self.assertEqual(128 + signal.SIGINT, getter.wait(30))
        self.waiting("getters", 0)

    def test_many_are_kept_by_their_receipts(self):
        self.put_lines("a", "b")
        output = self.get("-n", "5", "--lease", "1m")
        self.assertEqual(b"a\nb\n", output.out)
        receipts = re.findall(r"receipt (\d+:\d+)\n", output.errors)
        self.assertEqual((2, 2), (len(receipts), self.queue()["running"]))
        self.assert_code(0, self.d.call("done", *receipts))
        self.put_lines("c", "d")
        items = [json.loads(line) for line in
                 self.get("-n", "5", "--lease", "1m", "-o", "json").out.splitlines()]
        self.assertEqual(["c", "d"], [item["payload"] for item in items])
        for item in items:
            self.assert_members("item", item, "payload_base64")
            self.assertTrue(item["lease_until"])
            self.assert_code(0, self.d.call("nack", item["receipt"]))
        self.assertEqual(2, self.queue()["ready"])


class Leases(QueueCase):
    def test_done_settles_by_the_receipt_alone_and_once(self):
        self.put("a")
        data, receipt = self.lease()
        self.assertEqual((b"a", 1), (data, self.queue()["running"]))
        self.assert_code(0, self.d.call("done", receipt))
        self.assertEqual(0, self.queue()["unfinished"])
        again = self.d.call("done", receipt)
        self.assert_code(REFUSED, again)
        self.assertIn(receipt, again.errors)
        self.assertEqual(0, self.queue()["unfinished"])

    def test_nack_gives_it_back_to_its_place(self):
        self.put("a\nb\n", "--lines")
        _, receipt = self.lease()
        self.assert_code(0, self.d.call("nack", receipt))
        item = self.get("-o", "json").json()
        self.assertEqual(("a", 2), (item["payload"], item["attempt"]))
        self.assert_code(REFUSED, self.d.call("done", receipt))

    def test_nack_with_a_delay_keeps_it_away(self):
        self.put("a")
        _, receipt = self.lease()
        self.assert_code(0, self.d.call("nack", "--delay", "1h", receipt))
        self.get(check=EMPTY)
        self.assertEqual(1, self.queue()["delayed"])

    def test_a_lease_that_ends_gives_it_back_and_the_old_receipt_is_refused(self):
        self.put("a")
        output = self.d.call("get", "--lease", "200ms", "-o", "json", "q", check=0).json()
        self.assert_members("item", output, "payload_base64")
        self.assertIsNotNone(output["lease_until"])
        again = self.d.call("get", "--timeout", "30s", "--lease", "1m", "-o", "json", "q", check=0).json()
        self.assertEqual((output["id"], 2), (again["id"], again["attempt"]))
        for verb in (["done"], ["nack"], ["extend", "--lease", "1m"]):
            refused = self.d.call("-o", "json", *verb, output["receipt"])
            self.assert_code(REFUSED, refused)
            self.assertEqual("EFENCED", refused.json()[0]["error"])
            self.assert_members("settled", refused.json()[0])
        self.assert_code(0, self.d.call("done", again["receipt"]))

    def test_extend_keeps_it_for_longer(self):
        self.put("a")
        output = self.d.call("get", "--lease", "1s", "-o", "json", "q", check=0).json()
        self.assert_code(0, self.d.call("extend", "--lease", "1h", output["receipt"]))
        due = self.d.call("-o", "json", "info", output["id"], check=0).json()[0]["due_at_ns"]
        self.assertGreater(due - output["lease_until_ns"], 1800 * 10**9)

    def test_a_lease_survives_its_taker_and_the_broker(self):
        self.put("a")
        _, receipt = self.lease()
        self.d.broker.kill()
        self.d.start_broker()
        self.get(check=EMPTY)
        self.assert_code(0, self.d.call("done", receipt))
        self.assert_code(0, self.d.call("join", "--timeout", "30s", "q"))

    def test_many_receipts_are_all_tried(self):
        self.put("a\nb\n", "--lines")
        receipts = [self.lease()[1], self.lease()[1]]
        self.assert_code(0, self.d.call("done", receipts[0]))
        output = self.d.call("-o", "id", "done", *receipts)
        self.assert_code(REFUSED, output)
        self.assertEqual(receipts[1].split(":")[0] + "\n", output.text)
        self.assertEqual(0, self.queue()["unfinished"])


class Joining(QueueCase):
    def test_join_waits_for_what_is_taken_and_not_settled(self):
        self.put("a")
        _, receipt = self.lease()
        joiner = self.d.background("join", "q")
        self.put("b")
        self.get()
        self.assertIsNone(joiner.poll())
        self.d.call("done", receipt, check=0)
        self.assertEqual(0, joiner.wait(30))

    def test_a_join_that_times_out_names_what_is_outstanding(self):
        self.put("a\nb\n", "--lines")
        _, receipt = self.lease()
        id = receipt.split(":")[0]
        output = self.d.call("join", "--timeout", "100ms", "q")
        self.assert_code(TIMED_OUT, output)
        self.assertEqual(b"", output.out)
        self.assertRegex(output.errors, r"(?m)^ *%s +running" % id)
        self.assertRegex(output.errors, r"(?m)^ *\d+ +ready")
        output = self.d.call("-o", "json", "join", "--timeout", "100ms", "q")
        self.assert_code(TIMED_OUT, output)
        value = output.json()
        self.assert_members("joined", value)
        self.assertEqual({("running", id), ("ready", str(int(id) + 1))},
                         {(job["state"], job["id"]) for job in value["outstanding"]})
        for job in value["outstanding"]:
            self.assert_members("job", job, "outcome", "exit_code", "error")

    def test_join_of_an_empty_queue_is_at_once(self):
        self.d.call("queue", "create", "q", check=0)
        output = self.d.call("-o", "json", "join", "q", check=0)
        self.assertEqual({"queue": "q", "joined": True}, output.json())


class Queues(QueueCase):
    def test_each_order_is_kept(self):
        for order, expected in (("fifo", "abc"), ("lifo", "cba"), ("priority", "bca")):
            self.d.call("queue", "create", order, "--order", order, check=0)
            for data, priority in (("a", 5), ("b", -5), ("c", 0)):
                self.put(data, "--priority", str(priority), queue=order)
            self.assertEqual(expected[0], self.d.call("peek", order, check=0).text)
            self.assertEqual(expected, "".join(self.get(queue=order).text for _ in range(3)))

    def test_create_is_17_when_it_exists_unless_that_is_fine(self):
        self.d.call("queue", "create", "q", "--maxsize", "3", check=0)
        self.assert_code(EXISTS, self.d.call("queue", "create", "q"))
        value = self.d.call("-o", "json", "queue", "create", "--if-missing", "q", "--maxsize", "9",
                            check=0).json()
        self.assertEqual(3, value["maxsize"])

    def test_what_is_set_is_said_and_survives_a_restart(self):
        flags = {"--order": "priority", "--maxsize": "7", "--durability": "relaxed", "--concurrency": "2",
                 "--retries": "3", "--backoff": "1s", "--backoff-max": "1m", "--keep-for": "1h",
                 "--keep-bytes": "1M", "--keep-count": "10", "--aging": "5s"}
        words = [word for pair in flags.items() for word in pair]
        self.d.call("queue", "create", "q", *words, check=0)
        expected = {"order": "priority", "maxsize": 7, "durability": "relaxed", "concurrency": 2,
                    "attempts_max": 4, "backoff_ms": 1000, "backoff_max_ms": 60000, "keep_ms": 3600000,
                    "keep_bytes": 1 << 20, "keep_count": 10, "aging_ms": 5000}
        self.assertEqual(expected, self.queue()["settings"])
        self.d.call("queue", "set", "q", "--maxsize", "0", "--concurrency", "0", check=0)
        expected.update(maxsize=0, concurrency=0)
        self.d.broker.kill()
        self.d.start_broker()
        self.assertEqual(expected, self.queue()["settings"])
        self.assert_members("queue", self.queue())
        self.assert_members("settings", self.queue()["settings"])
        self.assertIn("relaxed", self.d.call("queue", "ls").text)

    def test_set_needs_a_queue_and_something_to_set(self):
        self.assert_code(NOENT, self.d.call("queue", "set", "q", "--maxsize", "1"))
        self.d.call("queue", "create", "q", check=0)
        self.assert_code(USAGE, self.d.call("queue", "set", "q"))
        self.put("x")
        self.assert_code(REFUSED, self.d.call("queue", "set", "q", "--order", "lifo"))

    def test_pause_hands_nothing_out_and_resume_does(self):
        self.put("a")
        self.d.call("queue", "pause", "q", check=0)
        self.assertTrue(self.queue()["paused"])
        self.assert_code(EMPTY, self.d.call("get", "--timeout", "100ms", "q"))
        self.d.call("queue", "resume", "q", check=0)
        self.assertEqual(b"a", self.get().out)

    def test_close_refuses_puts_and_hands_the_rest_out(self):
        self.put("a")
        for _ in range(2):
            self.d.call("queue", "close", "q", check=0)
        self.put("b", check=CLOSED)
        self.assertEqual(b"a", self.get().out)
        self.get(check=CLOSED)
        self.assert_code(CLOSED, self.d.call("get", "q", timeout=30))
        self.d.call("queue", "open", "q", check=0)
        self.put("c")
        self.assertEqual(b"c", self.get().out)

    def test_close_wakes_those_who_wait(self):
        self.d.call("queue", "create", "q", check=0)
        getter = self.d.background("get", "q")
        self.waiting("getters")
        self.d.call("queue", "close", "q", check=0)
        self.assertEqual(CLOSED, getter.wait(30))

    def test_close_now_and_purge_cancel_what_has_not_started(self):
        for verb, action in ((["close", "--now"], "close_now"), (["purge"], "purge")):
            self.d.call("queue", "create", "--if-missing", "q", check=0)
            self.put("a\nb\nc\n", "--lines")
            _, receipt = self.lease()
            value = self.d.call("-o", "json", "queue", *verb, "q", check=0).json()
            self.assert_members("acted", value)
            self.assertEqual(("q", action, 2), (value["queue"], value["action"], value["count"]))
            self.assertEqual((0, 1), (self.queue()["ready"], self.queue()["unfinished"]))
            self.d.call("done", receipt, check=0)
            self.d.call("queue", "open", "q", check=0)

    def test_drain_is_close_and_join(self):
        self.put("a")
        output = self.d.call("queue", "drain", "--timeout", "100ms", "q")
        self.assert_code(TIMED_OUT, output)
        self.assertIn("ready", output.errors)
        self.put("b", check=CLOSED)
        self.get()
        self.assert_code(0, self.d.call("queue", "drain", "q"))

    def test_rm_forgets_a_queue_with_nothing_unfinished(self):
        self.put("a")
        self.assert_code(REFUSED, self.d.call("queue", "rm", "q"))
        self.get()
        self.assert_code(0, self.d.call("queue", "rm", "q"))
        for verb in ("info", "rm", "pause", "resume", "close", "open", "purge", "drain"):
            self.assert_code(NOENT, self.d.call("queue", verb, "q"))

    def test_ls_lists_all(self):
        for name in ("a", "b"):
            self.d.call("queue", "create", name, check=0)
        self.assertLessEqual({"a", "b"}, set(self.d.call("-o", "id", "queue").text.split()))
        self.assertLessEqual({"a", "b"}, {one["name"] for one in self.d.call("-o", "json", "queue", "ls").json()})

    def test_peek_takes_nothing(self):
        self.put(b"x\0y")
        for _ in range(2):
            self.assertEqual(b"x\0y", self.d.call("peek", "q", check=0).out)
        value = self.d.call("-o", "json", "peek", "q", check=0).json()
        self.assert_members("peeked", value, "payload", "payload_base64")
        self.get()
        self.assert_code(EMPTY, self.d.call("peek", "q"))


class DeadAndLimits(QueueCase):
    def fail_some(self, count):
        self.d.start_worker(2)
        ids = [self.d.submit("sh", "-c", "exit 7", flags=["-Q", "q"]) for _ in range(count)]
        self.d.wait(*ids)
        return ids

    def test_the_dead_are_listed_run_again_and_forgotten(self):
        ids = self.fail_some(3)
        listed = self.d.call("-o", "id", "dead", "ls", check=0).text.split()
        self.assertEqual([str(id) for id in reversed(ids)], listed)
        output = self.d.call("-o", "json", "dead", "retry", str(ids[0]), check=0)
        self.assertEqual([{"id": str(ids[0])}], output.json())
        self.assert_code(7, self.d.wait(ids[0]))
        self.assertEqual(2, self.d.info(ids[0])[0]["attempt"])
        self.assert_code(0, self.d.call("dead", "rm", str(ids[1])))
        self.assert_code(NOENT, self.d.call("dead", "rm", str(ids[1])))
        self.assert_code(0, self.d.call("dead", "rm", "--queue", "q"))
        self.assertEqual("", self.d.call("-o", "id", "dead").text)

    def test_what_has_not_ended_is_not_dead(self):
        id = self.d.submit("true", flags=["-Q", "idle"])
        for verb in ("retry", "rm"):
            output = self.d.call("-o", "json", "dead", verb, str(id))
            self.assert_code(REFUSED, output)
            self.assertEqual([{"id": str(id), "error": "ESTATE"}], output.json())

    def test_jobs_or_a_queue_or_all_but_not_two_of_them(self):
        for words in ([], ["1", "--all"], ["1", "--queue", "q"]):
            for verb in ("retry", "rm"):
                self.assert_code(USAGE, self.d.call("dead", verb, *words))

    def test_a_limit_is_set_listed_and_unset(self):
        self.d.call("limit", "set", "api", "1", check=0)
        self.d.start_worker(4)
        gate = self.d.gate()
        command = ["sh", "-c", 'read line < "$1"', "sh", gate.path]
        ids = [self.d.submit(*command, flags=["--limit", "api=3"]) for _ in range(2)]
        self.d.wait_state(ids[0], "running")
        self.d.wait_state(ids[1], "blocked")
        limit = [one for one in self.d.call("-o", "json", "limit", "ls").json() if one["name"] == "api"][0]
        self.assert_members("limit", limit)
        self.assertEqual((1, 1, 1, str(ids[0])), (limit["max"], limit["used"], limit["waiting"], limit["holder"]))
        self.d.call("limit", "rm", "api", check=0)
        self.d.wait_state(ids[1], "running")
        gate.open(2)
        self.assert_code(0, self.d.wait(*ids))


class Usage(harness.Case):
    """Without a broker: what cannot be meant is refused before one is looked for."""

    def test_bad_usage_is_2_and_says_where_to_look(self):
        for words in (["put"], ["put", "a b"], ["put", "q", "f", "g"], ["put", "q", "--delay", "1s", "--at", "now+1s"],
                      ["put", "q", "--label", "x"], ["put", "q", "--priority", "2147483648"],
                      ["put", "q", "--timeout", "-5"], ["put", "q", "--lease", "1s"],
                      ["get"], ["get", "q", "r"], ["get", "q", "--timeout", "-5"], ["get", "q", "--lease", "0"],
                      ["get", "-o", "id", "q"], ["get", "-o", "yaml", "q"],
                      ["done"], ["done", "17"], ["nack", "17:"], ["nack", "--delay", "-1s", "1:1"],
                      ["extend", "1:1"], ["extend", "--lease", "0", "1:1"],
                      ["peek"], ["join"], ["join", "q", "r"],
                      ["queue", "create"], ["queue", "create", "q", "--order", "random"],
                      ["queue", "create", "q", "--maxsize", "-1"], ["queue", "set", "q", "--if-missing"],
                      ["queue", "frobnicate", "q"], ["queue", "close", "q", "--later"], ["queue", "ls", "q"],
                      ["dead", "ls", "1"], ["limit", "set", "api"], ["limit", "set", "api", "0"],
                      ["limit", "rm"], ["limit", "ls", "api"]):
            output = self.d.call("--no-autostart", *words, timeout=30)
            self.assert_code(USAGE, output)
            self.assertIn("see jobq help", output.errors)
            self.assertEqual(b"", output.out)

    def test_no_broker_is_3(self):
        for words in (["put", "q"], ["get", "q"], ["done", "1:1"], ["peek", "q"], ["join", "q"],
                      ["queue", "ls"], ["queue", "info", "q"], ["dead", "ls"], ["limit", "ls"], ["bench"]):
            self.assert_code(UNREACH, self.d.call("--timeout", "300ms", *words, timeout=30))

    def test_every_help_has_an_example(self):
        def words_of(*command):
            text = self.d.call("help", *command, check=0).text
            self.assertTrue(not command or re.search(r"^  .*\bjobq ", text, re.M), text)
            found = re.search(r"^(?:verbs|commands):\n(.*?)^$", text, re.S | re.M)
            return re.findall(r"^  ([a-z]+) ", found.group(1), re.M) if found else []
        for command in words_of():
            for verb in words_of(command):
                words_of(command, verb)


if __name__ == "__main__":
    harness.main()
