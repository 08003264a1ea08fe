# SPDX-License-Identifier: MIT
"""Queues that are longer than what the broker keeps in memory: kill -9 on the way, and the order stays exact and
nothing is lost; a long queue is purged while another is served."""

import harness
from harness import wait_until

FEW = ("--resident-jobs-max", "64")
SESSION = 4711
MANY, ROUND, AT_ONCE = 3000, 300, 1500


class Taker:
    """Takes items of a queue many at a time, in one session, whatever becomes of the broker meanwhile."""

    def __init__(self, deployment):
        self.d = deployment
        self.connect()

    def connect(self):
        self.peer = self.d.peer(session=SESSION)  # it holds nothing: what it had got goes back

    def take(self, queue, count):
        for _ in range(count):
            self.peer.correlation += 1
            self.peer.send("get", self.peer.correlation, queue=queue, wait=1)
        return [self.peer.expect("item") for _ in range(count)]

    def settle(self, items):
        settled = self.peer.ask("settle", items=[{"id": item["id"], "fence": item["fence"]} for item in items])
        return [ack["error"] for ack in settled["each"]]

    def kill(self):
        self.d.broker.kill()
        self.peer.socket.close()
        self.d.start_broker()
        self.connect()


class Spill(harness.Case):
    def fill(self, queue, count, handler, priority=lambda at: 0):
        client, ids = self.client("filler"), []
        for first in range(0, count, AT_ONCE):
            ids += client.submit_many([{"queue": queue, "handler": handler, "payload": b"%d" % at,
                                        "priority": priority(at)}
                                       for at in range(first, min(first + AT_ONCE, count))])
        return ids

    def take_all(self, order, key):
        """Every third round the broker is killed, at times while the items of the round are held."""
        self.client().declare(order, order)
        ids = self.fill(order, MANY, "item", lambda at: at * 7919 % 5)
        priorities = {id: at * 7919 % 5 for at, id in enumerate(ids)}
        left = sorted(ids, key=lambda id: key(priorities[id], id))
        taker, rounds = Taker(self.d), 0
        while left:
            items = taker.take(order, min(ROUND, len(left)))
            self.assertEqual(left[:len(items)], [item["id"] for item in items])
            rounds += 1
            if rounds % 3 == 1:
                taker.kill()
                continue
            self.assertEqual({0}, set(taker.settle(items)))
            del left[:len(items)]
            if rounds % 3 == 2:
                taker.kill()
        info = self.d.queue(order)
        self.assertEqual((0, MANY), (info["unfinished"], info["succeeded"]))
        taker.peer.close()

    def test_the_order_is_exact_over_kills(self):
        self.d.start_broker(*FEW)
        self.take_all("fifo", lambda priority, id: id)
        self.take_all("lifo", lambda priority, id: -id)
        self.take_all("priority", lambda priority, id: (priority, id))

    def test_every_job_ends_over_kills(self):
        self.d.start_broker(*FEW)
        ids = self.fill("jobs", 2 * MANY, "noop")
        self.d.start_worker(8)
        for part in (1, 2, 3):
            wait_until(lambda: self.d.queue("jobs")["succeeded"] >= part * MANY // 2, "jobs end")
            self.d.broker.kill()
            self.d.start_broker()
        wait_until(lambda: self.d.queue("jobs")["unfinished"] == 0, "all jobs have ended")
        self.assertEqual(len(ids), self.d.queue("jobs")["succeeded"])
        self.assert_all_succeeded(ids)

    def test_a_long_queue_is_purged_while_another_is_served(self):
        self.d.start_broker(*FEW)
        self.fill("long", 5 * MANY, "item")
        ids = self.fill("other", MANY, "item")
        taker = Taker(self.d)
        self.assertEqual(5 * MANY, self.client().queue("long").purge())
        for part in range(0, MANY, ROUND):
            items = taker.take("other", ROUND)
            self.assertEqual(ids[part:part + ROUND], [item["id"] for item in items])
            self.assertEqual({0}, set(taker.settle(items)))
            info = self.d.queue("long")
            self.assertEqual((0, 5 * MANY), (info["unfinished"], info["cancelled"]))
            if part == 0:
                taker.kill()  # in the middle of the purge, or near to it
        new = self.fill("long", 100, "item")
        self.assertEqual(new, [item["id"] for item in taker.take("long", 100)])
        wait_until(lambda: self.d.queue("long")["purging"] == 0, "the purge has ended")
        self.assertEqual(5 * MANY, self.d.queue("long")["cancelled"])
        taker.peer.close()


if __name__ == "__main__":
    harness.main(library=True)
