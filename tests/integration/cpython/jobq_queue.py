# SPDX-License-Identifier: MIT
"""The interface of Python's queue module over queues of jobq: Queue, LifoQueue, PriorityQueue.

connect(url) first. A queue that is not given a name gets one of its own; with a name any number of processes
share it. What differs from queue.Queue, as items live in another process:

 - Items are pickled. The broker never looks into them.
 - get() leases an item to this process. task_done() settles the oldest item that this object has got and not
   settled, and raises ValueError when there is none: the count is exact for each user of a queue, not only in sum.
   Items that are never settled come back when the process ends.
 - PriorityQueue compares no items: each has a number of 32 bits, lower first, and ties are first in first out.
   priority_of() says which. An integer is its own, a tuple has that of its first element, and of a string or of
   bytes the first four bytes (of UTF-8) count, which keeps their order as far as it goes: queue.PriorityQueue would
   compare on, here "abcd1" and "abcd2" are equal. Anything else is a TypeError, an integer that is too large an
   OverflowError, before anything is sent.
"""

import collections
import itertools
import math
import os
import pickle
import queue
import threading
import weakref
from queue import Empty, Full

import libjobq

ShutDown = getattr(queue, "ShutDown", None) or type("ShutDown", (Exception,), {})

client = None
numbers = itertools.count(1)
queues = weakref.WeakSet()


def connect(url, name="queue"):
    global client
    client = libjobq.Client(url, name)


def disconnect():
    global client
    for each in list(queues):
        each.close()
    client.close()
    client = None


def milliseconds(block, timeout):
    if not block:
        return 0
    if timeout is None:
        return -1
    if timeout < 0:
        raise ValueError("'timeout' must be a non-negative number")
    return math.ceil(timeout * 1000)


def priority_of(item):
    if isinstance(item, tuple) and item:
        item = item[0]
    if isinstance(item, str):
        item = item.encode()
    if isinstance(item, bytes):
        return int.from_bytes(item[:4].ljust(4, b"\0"), "big") - 2 ** 31
    if not isinstance(item, int):
        raise TypeError("no priority is known for %s" % type(item).__name__)
    if not -2 ** 31 <= item < 2 ** 31:
        raise OverflowError("a priority has 32 bits")
    return int(item)


class Queue:
    order = "fifo"

    def __init__(self, maxsize=0, name=None):
        self.name = name or "queue-%d-%d" % (os.getpid(), next(numbers))
        self.lock = threading.Lock()
        self.held = collections.deque()  # got and not settled, oldest first
        self.client = client
        self.maxsize = maxsize
        self.queue = self.client.queue(self.name)
        queues.add(self)

    @property
    def maxsize(self):
        return self._maxsize

    @maxsize.setter
    def maxsize(self, value):
        self.client.declare(self.name, self.order, max(0, value)).free()
        self._maxsize = value

    def close(self):
        """Gives back what it holds. Not of the queue module."""
        queues.discard(self)
        with self.lock:
            while self.held:
                self.held.popleft().free()
        self.queue.free()

    def priority(self, item):
        return 0

    def put(self, item, block=True, timeout=None):
        try:
            self.queue.put(pickle.dumps(item), self.priority(item), milliseconds(block, timeout))
        except libjobq.Error as error:
            raise self.translate(error) from error

    def get(self, block=True, timeout=None):
        try:
            item = self.queue.get(milliseconds(block, timeout))
        except libjobq.Error as error:
            raise self.translate(error) from error
        with self.lock:
            self.held.append(item)
        return pickle.loads(item.data)

    def put_nowait(self, item):
        self.put(item, block=False)

    def get_nowait(self):
        return self.get(block=False)

    def task_done(self):
        with self.lock:
            if not self.held:
                raise ValueError("task_done() called too many times")
            item = self.held.popleft()
        item.done()

    def join(self):
        self.queue.join()

    def qsize(self):
        return self.queue.qsize()

    def empty(self):
        return self.queue.empty()

    def full(self):
        return self.queue.full()

    def shutdown(self, immediate=False):
        self.queue.close(now=immediate)

    @staticmethod
    def translate(error):
        kind = {"EFULL": Full, "EEMPTY": Empty, "ECLOSED": ShutDown}.get(error.name)
        return kind() if kind else error


class LifoQueue(Queue):
    order = "lifo"


class PriorityQueue(Queue):
    order = "priority"

    def priority(self, item):
        return priority_of(item)
