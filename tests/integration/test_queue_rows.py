# SPDX-License-Identifier: MIT
"""Rows of the seed map that are about queues between processes, and the queue module: S26 to S28, S36 to S44. The names
of the tests have the rows' numbers."""

import bisect
import json
import os
import random
import re
import subprocess
import sys
import time

import harness
import libjobq
import wire
from harness import CLOSED, EMPTY, FULL, NOENT, REFUSED, TIMED_OUT, USAGE, Call, wait_until

HERE = os.path.dirname(os.path.abspath(__file__))
SHORT = ("--lease", "1s", "--heartbeat", "100ms", "--settle", "100ms")
HOLDER = """
import sys
sys.path.insert(0, %r)
import libjobq
client = libjobq.Client(sys.argv[1], "holder")
item = client.queue(sys.argv[2]).get()
print("got", flush=True)
sys.stdin.readline()
""" % HERE


class Rows(harness.Case):
    def holder(self, queue):
        """A process that has got an item of the queue and does not end by itself."""
        popen = self.python(HOLDER, self.d.url, queue)
        self.assertEqual(b"got\n", popen.stdout.readline())
        return popen

    def python(self, text, *args):
        popen = subprocess.Popen([sys.executable, "-B", "-c", text, *args], stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, cwd=self.d.directory)
        self.d.processes.append(harness.Process("python", popen, os.devnull))
        return popen

    def put(self, queue, data, *flags):
        return self.d.call("put", *flags, queue, "-", input=data, check=0)

    def get(self, queue, *flags):
        return self.d.call("get", *flags, queue, check=0).out

    def wait_queue(self, name, **values):
        """Until the broker says that of the queue."""
        wait_until(lambda: {key: self.d.queue(name)[key] for key in values} == values, "%s: %s" % (name, values))

    def end(self, call, code=0):
        out, err = call.communicate(timeout=harness.PATIENCE)
        self.assertEqual(code, call.returncode, err)
        return out


class BetweenProcesses(Rows):
    def test_s26_a_queue_is_known_by_its_name_and_a_handle_does_not_cross_a_fork(self):
        self.d.start_broker()
        queue = self.client().queue("named")
        queue.put(b"from here")
        self.assertEqual(b"from here", self.get("named"))  # in another process
        self.put("named", b"from there")
        child = os.fork()
        if child == 0:
            code = 1
            try:
                for call in (queue.qsize, lambda: queue.put(b"x"), lambda: queue.get(0), lambda: queue.join(0)):
                    try:
                        call()
                        code = 2
                        break
                    except libjobq.Error as error:
                        if error.name != "EFORKED":
                            code = 3
                            break
                else:
                    code = 0
            finally:
                os._exit(code)
        self.assertEqual(0, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        item = queue.get(0)  # and nothing of the child's has spoiled ours
        self.assertEqual(b"from there", item.data)
        item.done()

    def test_s27_a_baton_is_passed_on_exactly_whatever_becomes_of_its_holders(self):
        rounds = 20
        self.d.start_broker(*SHORT)
        client = self.client()
        baton = client.declare("baton", maxsize=1)
        baton.put(b"0")
        add = """
import sys
sys.path.insert(0, %r)
import libjobq
client = libjobq.Client(sys.argv[1], "adder")
queue = client.queue("baton")
for _ in range(int(sys.argv[2])):
    item = queue.get()
    item.done()
    queue.put(b"%%d" %% (int(item.data) + 5))
client.close()
""" % HERE
        adders = [self.python(add, self.d.url, str(rounds)) for _ in range(4)]
        for adder in adders:
            self.end(adder)
        self.assertEqual(1, baton.qsize())
        # One that dies has not added anything yet.
        holder = self.holder("baton")
        self.assertEqual(0, baton.qsize())
        holder.kill()
        item = baton.get()
        self.assertEqual(2, item.attempt)
        self.assertEqual(4 * rounds * 5, int(item.data))
        item.nack()
        # One that is merely late finds that its write is refused: what it was to add has been added by another.
        late = client.queue("baton", lease_ms=200).get()
        item = baton.get()
        self.assertGreater(item.fence, late.fence)
        self.assert_error("EFENCED", late.done)
        item.done()
        baton.put(b"%d" % (int(item.data) + 5))
        self.assertEqual(4 * rounds * 5 + 5, int(baton.get(0).data))

    def test_s28_a_large_item_outlives_its_producer_and_the_broker(self):
        self.d.start_broker()
        data = random.Random(28).randbytes(10 << 20)
        self.put("large", data)
        self.d.broker.kill()
        self.d.start_broker()
        self.assertEqual(1, self.d.queue("large")["ready"])
        self.assertTrue(data == self.get("large"))
        self.d.call("join", "large", check=0)


class Model:
    """What a queue of items is, said in another way: sorted keys."""

    def __init__(self, order):
        self.order, self.keys, self.items = order, [], {}

    def put(self, id, priority, data):
        self.items[id] = (priority, data)
        self.back(id)

    def key(self, id):
        return {"fifo": (0, id), "lifo": (0, -id), "priority": (self.items[id][0], id)}[self.order]

    def back(self, id):
        bisect.insort(self.keys, self.key(id))

    def take(self):
        return abs(self.keys.pop(0)[1])


class QueueModule(Rows):
    def test_s36_three_disciplines_with_the_same_verbs(self):
        self.d.start_broker()
        items = [(3, b"a"), (1, b"b"), (2, b"c"), (1, b"d"), (3, b"e")]
        expected = {"fifo": b"abcde", "lifo": b"edcba", "priority": b"bdcae"}
        for order, letters in expected.items():
            self.d.call("queue", "create", "--order", order, order, check=0)
            for priority, data in items:
                self.put(order, data, "--priority", str(priority))
            self.assertEqual(letters[:1], self.d.call("peek", order, check=0).out)
            self.assertEqual(letters[:2], self.get(order) + self.get(order))
        self.d.broker.kill()
        self.d.start_broker()
        for order, letters in expected.items():
            self.assertEqual(order, self.d.queue(order)["order"])
            self.assertEqual(letters[2:], b"".join(self.get(order) for _ in range(3)))
            self.d.call("join", order, check=0)

    def test_s36_random_operations_agree_with_a_model(self):
        seed = int(os.environ.get("JOBQ_TEST_SEED", "36"))
        self.d.start_broker()
        client = self.client()
        for order in ("fifo", "lifo", "priority"):
            rng, model, held = random.Random(seed), Model(order), []
            queue = client.declare(order, order)
            for step in range(300):
                choice = rng.random()
                if choice < 0.45:
                    priority, data = rng.randint(-3, 3), rng.randbytes(rng.randrange(20))
                    queue.put(data, priority)
                    model.put(queue.info()["sequence"], priority, data)
                elif choice < 0.75 and model.keys:
                    item = queue.get(0)
                    self.assertEqual(model.take(), item.id, "seed %d, step %d of %s" % (seed, step, order))
                    self.assertEqual(model.items[item.id], (item.priority, item.data))
                    held.append(item)
                elif held:
                    item = held.pop(rng.randrange(len(held)))
                    if choice < 0.9:
                        item.nack()
                        model.back(item.id)
                    else:
                        item.done()
                elif not model.keys:
                    self.assert_error("EEMPTY", queue.get, 0)
                info = queue.info()
                self.assertEqual((len(model.keys), len(held)), (info["ready"], info["running"]))

    def test_s37_the_smaller_priority_comes_first_in_32_bits_with_a_sign(self):
        self.d.start_broker()
        self.d.call("queue", "create", "--order", "priority", "q", check=0)
        priorities = [0, 7, -2 ** 31, 2 ** 31 - 1, -5]
        for priority in priorities:
            self.put("q", str(priority).encode(), "--priority", str(priority))
        self.put("q", b"none given")
        taken = [self.get("q").decode() for _ in range(6)]
        self.assertEqual([str(-2 ** 31), "-5", "0", "none given", "7", str(2 ** 31 - 1)], taken)
        for bad in (-2 ** 31 - 1, 2 ** 31, "1.5", "high"):
            self.assert_code(USAGE, self.d.call("put", "--priority", str(bad), "q", "-", input=b"x"))
        self.assertEqual(0, self.d.queue("q")["unfinished"])
        for command in ("put", "submit"):
            self.assertRegex(self.d.call(command, "--help", check=0).text, "--priority[^\n]*(\n[^\n]*)?lower")

    def test_s38_equal_priorities_are_first_in_first_out_and_a_failed_put_has_no_effect(self):
        count, group, rng = 10000, 1000, random.Random(38)
        self.d.start_broker()
        client = self.client()
        queue = client.declare("q", "priority")
        items = [wire.pack(rng.choice([rng.randrange(-9, 9), "%x" % rng.randrange(99), None, True, [1, "a"],
                                       rng.randbytes(3)])) for _ in range(count)]
        ids = client.submit_many([{"queue": "q", "handler": "item", "priority": 5, "payload": item} for item in items])
        with self.d.peer(timeout=harness.PATIENCE) as peer:
            taken = []
            for _ in range(0, count, group):
                for _ in range(group):
                    peer.correlation += 1
                    peer.send("get", peer.correlation, queue="q")
                got = [peer.expect("item") for _ in range(group)]
                taken += [(item["id"], item["payload"]) for item in got]
                settled = peer.ask("settle", items=[{"id": item["id"], "fence": item["fence"]} for item in got])
                self.assertEqual({0}, {each["error"] for each in settled["each"]})
        self.assertTrue(list(zip(ids, items)) == taken)
        queue.join(0)
        self.assert_error("EMSGSIZE", queue.put, bytes((16 << 20) + 1))
        client.declare("q", "priority", 2)
        for data in (b"1", b"2"):
            queue.put(data)
        before = self.d.queue("q")
        self.assert_error("EFULL", queue.put, b"3", timeout_ms=0)
        self.assert_error("EFULL", queue.put, b"3", timeout_ms=30)
        self.assertEqual(before, self.d.queue("q"))

    def test_s39_an_empty_queue_blocks_as_long_as_it_is_told_to(self):
        self.d.start_broker()
        queue = self.client().declare("q")
        self.assert_code(EMPTY, self.d.call("get", "--nowait", "q"))
        self.assert_code(EMPTY, self.d.call("get", "--nowait", "--timeout", "1h", "q"))
        start = time.monotonic()
        self.assert_code(EMPTY, self.d.call("get", "--timeout", "1s", "q"))
        self.assertGreaterEqual(time.monotonic() - start, 1.0)
        self.assert_code(USAGE, self.d.call("get", "--timeout", "-5", "q"))
        self.assert_code(NOENT, self.d.call("get", "--nowait", "none"))
        self.assert_error("EEMPTY", queue.get, 0)
        start = time.monotonic()
        self.assert_error("EEMPTY", queue.get, 300)
        self.assertGreaterEqual(time.monotonic() - start, 0.3)
        self.assert_error("EINVAL", queue.get, -2)
        self.assert_error("EINVAL", queue.put, b"x", timeout_ms=-2)
        # Blocked getters are served in order of arrival.
        getters = []
        for number in range(3):
            getters.append(self.d.background("get", "q"))
            self.wait_queue("q", getters=number + 1)
        blocked = Call(queue.get)
        self.wait_queue("q", getters=4)
        for number, getter in enumerate(getters):
            queue.put(b"%d" % number)
            self.assertEqual(b"%d" % number, self.end(getter))
        queue.put(b"last")
        item = blocked.value()
        self.assertEqual(b"last", item.data)
        item.done()
        # One that died is not waited for, nor does it take anything.
        dead = self.d.background("get", "q")
        self.wait_queue("q", getters=1)
        dead.kill()
        self.wait_queue("q", getters=0)
        queue.put(b"kept")
        self.assertEqual(b"kept", self.get("q", "--nowait"))

    def test_s40_a_full_queue_blocks_and_serves_putters_in_order(self):
        self.d.start_broker(*SHORT)
        client = self.client()
        queue = client.declare("q", maxsize=2)
        for data in (b"1", b"2"):
            queue.put(data, timeout_ms=0)
        self.assertTrue(queue.full())
        self.assert_code(FULL, self.d.call("put", "--nowait", "q", "-", input=b"no"))
        start = time.monotonic()
        self.assert_code(FULL, self.d.call("put", "--timeout", "500ms", "q", "-", input=b"no"))
        self.assertGreaterEqual(time.monotonic() - start, 0.5)
        putters = []
        for number in range(4):
            putter = self.d.background("put", "q", "-")
            putter.stdin.write(b"putter %d" % number)
            putter.stdin.close()
            putter.stdin = None
            putters.append(putter)
            self.wait_queue("q", putters=number + 1)
        putters[1].kill()  # no item of it ever comes
        self.wait_queue("q", putters=3)
        self.assertEqual(2, queue.qsize())
        taken = []
        for left in (2, 1, 0):
            taken.append(self.get("q"))
            self.wait_queue("q", putters=left, ready=2)
        taken += [self.get("q"), self.get("q")]
        self.assertEqual([b"1", b"2", b"putter 0", b"putter 2", b"putter 3"], taken)
        for number in (0, 2, 3):
            self.end(putters[number])
        self.assertTrue(queue.empty())
        # Through the library, and with a delay of nobody's.
        queue.put(b"1"), queue.put(b"2")
        blocked = Call(queue.put, b"3")
        self.wait_queue("q", putters=1)
        first = queue.get()
        blocked.value()
        self.assertEqual(2, queue.qsize())
        first.nack()  # comes back to a full queue: still not above two
        self.assertEqual(2, queue.qsize())
        self.assertEqual(3, queue.info()["unfinished"])
        for expected in (b"1", b"2", b"3"):
            item = queue.get(0)
            self.assertEqual(expected, item.data)
            item.done()
        unbounded = client.declare("u", maxsize=0)
        for _ in range(50):
            unbounded.put(b"x", timeout_ms=0)
        self.assertFalse(unbounded.full())

    def test_s41_a_snapshot_is_of_one_instant(self):
        self.d.start_broker()
        self.d.start_worker(2)
        client = self.client()
        queue = client.declare("q", maxsize=100)
        stop = []

        def churn():
            rng, other = random.Random(41), self.client().queue("q")
            while not stop:
                for _ in range(3):
                    other.put(b"x")
                for _ in range(3):
                    while rng.random() < 0.3:
                        other.get().nack(rng.randrange(3))
                    other.get().done()

        calls = [Call(churn) for _ in range(2)]
        client.submit_many([{"queue": "q", "handler": "fail", "attempts_max": 3, "backoff_ms": 20}] * 20)
        last = 0
        for _ in range(200):
            info = queue.info()
            self.assertEqual(info["unfinished"], sum(info[n] for n in ("ready", "delayed", "blocked", "running")))
            self.assertGreaterEqual(info["sequence"], last)
            last = info["sequence"]
        stop.append(True)
        for call in calls:
            call.value()
        shown = self.d.call("-o", "json", "queue", "info", "q", check=0).json()
        shown = shown[0] if isinstance(shown, list) else shown
        for name in ("ready", "delayed", "blocked", "running", "unfinished", "maxsize", "sequence"):
            self.assertIn(name, shown)
        self.assertEqual(100, int(shown["maxsize"]))

    def test_s42_an_item_is_any_bytes_and_too_many_are_refused_before_they_are_sent(self):
        self.d.start_broker()
        rng = random.Random(42)
        limit = 16 << 20
        for data in (b"", b"\0", b"a\0b\n", bytes(range(256)), rng.randbytes(limit)):
            self.put("q", data)
            self.assertTrue(data == self.get("q"), "%d bytes" % len(data))
        queue = self.client().queue("q")
        for data in (b"", b"\0\0", rng.randbytes(limit)):
            queue.put(data)
            item = queue.get()
            self.assertTrue(data == item.data)
            item.done()
        before = self.d.queue("q")
        error = self.assert_error("EMSGSIZE", queue.put, bytes(limit + 1))
        for number in (limit, limit + 1):
            self.assertIn(str(number), error.detail)
        self.assertEqual(before, self.d.queue("q"))
        self.d.broker.kill()  # nobody need be there to refuse it
        large = self.d.write("large", bytes(limit + 1))
        output = self.d.call("put", "q", large)
        self.assert_code(USAGE, output)
        for number in (limit, limit + 1):
            self.assertIn(str(number), output.errors.replace(",", ""))
        self.assert_code(USAGE, self.d.call("put", "q", "-", input=bytes(limit + 1)))

    def test_s43_join_is_exact_and_one_done_too_many_is_an_error(self):
        self.d.start_broker(*SHORT)
        client = self.client()
        queue = client.declare("q")
        queue.join(0)  # nothing was ever put
        queue.put(b"forgotten")
        holder = self.holder("q")
        start = time.monotonic()
        output = self.d.call("join", "--timeout", "500ms", "q")
        self.assert_code(TIMED_OUT, output)
        self.assertGreaterEqual(time.monotonic() - start, 0.5)
        self.assertIn("holder", output.errors)
        id = self.d.queue("q")["sequence"]
        self.assertIn(str(id), output.errors)
        self.assert_error("ETIMEDOUT", queue.join, 0)
        joins = [self.d.background("join", "q"), self.d.background("join", "q")]
        blocked = Call(queue.join)
        queue.put(b"added meanwhile")
        holder.kill()  # a done that was forgotten cannot hang a join for ever
        items = [queue.get(), queue.get()]
        self.assertEqual({b"forgotten", b"added meanwhile"}, {item.data for item in items})
        items[0].done()
        self.assertEqual([None, None], [join.poll() for join in joins])
        self.assertTrue(blocked.is_alive())
        fence, id = items[1].fence, items[1].id
        items[1].done()
        blocked.value()
        for join in joins:
            self.end(join)
        self.assert_error("EALREADY", client.settle_done, id, fence)
        self.assert_code(REFUSED, self.d.call("done", "%d:%d" % (id, fence)))
        self.assertEqual(0, self.d.queue("q")["unfinished"])
        self.d.call("join", "q", check=0)  # again
        self.assert_code(NOENT, self.d.call("join", "none"))

    def test_who_works_on_an_item_for_longer_than_a_lease_keeps_it(self):
        self.d.start_broker(*SHORT)
        worker, other = self.client(), self.client()
        kept = worker.declare("kept")
        kept.put(b"long")
        item = kept.get()  # from now on this client calls nothing
        lost = other.declare("lost")
        lost.put(b"x")
        for _ in range(2):  # as many leases end meanwhile
            self.holder("lost").kill()
            lost.get().nack()
        self.assertEqual((0, 1), (other.queue("kept").qsize(), other.queue("kept").info()["running"]))
        item.done()
        other.queue("kept").join(0)

    def test_s43_a_receipt_serves_done_nack_and_extend(self):
        self.d.start_broker()
        queue = self.client().queue("q")
        queue.put(b"kept")
        output = self.d.call("get", "--lease", "1h", "q", check=0)
        self.assertEqual(b"kept", output.out)
        receipt = re.search(r"receipt (\S+)", output.errors).group(1)
        self.assertEqual((0, 1), (queue.qsize(), queue.info()["running"]))  # nobody's session holds it
        self.d.broker.kill()
        self.d.start_broker()
        self.d.call("extend", "--lease", "2h", receipt, check=0)
        self.d.call("nack", receipt, check=0)
        self.assert_code(REFUSED, self.d.call("done", receipt))
        taken = self.d.call("-o", "json", "get", "--lease", "300ms", "q", check=0).json()
        self.assertEqual(2, int(taken["attempt"]))
        item = queue.get()  # the lease ended, whoever lives
        self.assertEqual(b"kept", item.data)
        self.assert_code(REFUSED, self.d.call("done", taken["receipt"]))
        item.extend(200)
        again = queue.get()
        self.assertEqual(item.id, again.id)
        self.assert_error("EFENCED", item.extend, 1000)
        again.nack(delay_ms=100)
        self.assertEqual(1, queue.info()["delayed"] + queue.info()["ready"])
        self.d.call("done", json.loads(self.d.call("-o", "json", "get", "--lease", "1m", "q", check=0).out)["receipt"],
                    check=0)
        queue.join(0)

    def test_s39_why_says_that_nobody_gets_an_item(self):
        self.d.start_broker()
        self.put("q", b"x")
        why = self.d.call("-o", "json", "why", str(self.d.queue("q")["sequence"]), check=0).json()
        self.assertIn("no_getter", [blocker["kind"] for blocker in why["blockers"]])

    def test_s44_a_closed_queue_takes_nothing_and_is_drained(self):
        self.d.start_broker()
        client = self.client()
        queue = client.declare("q", maxsize=2)
        queue.put(b"1"), queue.put(b"2")
        putters = [Call(queue.put, b"3"), self.d.background("put", "q", "-", stdin=subprocess.DEVNULL)]
        self.wait_queue("q", putters=2)
        for _ in range(2):
            self.d.call("queue", "close", "q", check=0)
        self.assert_error("ECLOSED", putters[0].value)
        self.end(putters[1], CLOSED)
        self.assert_code(CLOSED, self.d.call("put", "q", "-", input=b"late"))
        self.assertNotEqual(0, self.d.call("submit", "-Q", "q", "--", "true").code)
        self.assert_error("ECLOSED", queue.put, b"late", timeout_ms=0)
        self.d.broker.kill()
        self.d.start_broker()
        self.assertEqual([b"1", b"2"], [self.get("q"), self.get("q")])
        self.assert_code(CLOSED, self.d.call("get", "q"))
        self.assert_error("ECLOSED", queue.get)
        queue.join(0)
        # Those who wait already are told, too.
        other = client.declare("other")
        getters = [Call(other.get), self.d.background("get", "other")]
        self.wait_queue("other", getters=2)
        other.close()
        self.assert_error("ECLOSED", getters[0].value)
        self.end(getters[1], CLOSED)
        # At once: what was not taken is cancelled.
        now = client.declare("now")
        for data in (b"held", b"lost", b"lost"):
            now.put(data)
        held = now.get()
        self.d.call("queue", "close", "--now", "now", check=0)
        self.d.call("queue", "close", "--now", "now", check=0)
        info = now.info()
        self.assertEqual((0, 1, 1, 2), (info["ready"], info["running"], info["unfinished"], info["cancelled"]))
        held.done()
        self.d.call("queue", "drain", "now", check=0)
        self.d.call("queue", "rm", "now", check=0)
        self.assert_code(NOENT, self.d.call("queue", "info", "now"))

    def test_queues_pause_purge_and_change_their_settings_and_keep_them(self):
        self.d.start_broker()
        client = self.client()
        queue = client.queue("q")
        self.d.call("queue", "create", "--maxsize", "5", "q", check=0)
        self.assert_code(harness.EXISTS, self.d.call("queue", "create", "q"))
        queue.put(b"1")
        self.d.call("queue", "pause", "q", check=0)
        self.assert_error("EEMPTY", queue.get, 50)
        self.d.call("queue", "set", "--maxsize", "7", "q", check=0)
        self.assert_code(NOENT, self.d.call("queue", "set", "--maxsize", "7", "none"))
        self.d.broker.kill()
        self.d.start_broker()
        info = self.d.queue("q")
        self.assertEqual((7, 1, 1), (info["maxsize"], info["paused"], info["ready"]))
        blocked = Call(queue.get)
        self.wait_queue("q", getters=1)
        self.d.call("queue", "resume", "q", check=0)
        blocked.value().nack()
        for data in (b"2", b"3"):
            queue.put(data)
        self.assert_code(REFUSED, self.d.call("queue", "rm", "q"))
        self.assertEqual(3, queue.purge())
        info = queue.info()
        self.assertEqual((0, 0, 3), (info["ready"], info["unfinished"], info["cancelled"]))
        self.assertEqual({"q"}, {line["name"] for line in self.d.call("-o", "json", "queue", "ls", check=0).json()})


if __name__ == "__main__":
    harness.main(library=True)
