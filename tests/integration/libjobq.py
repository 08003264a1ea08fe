# SPDX-License-Identifier: MIT
"""libjobq for tests, by ctypes: jobq.h as it is installed, one Python class for each handle.

Nothing is hidden but the errors, which become Error. Calls that block let other threads run. Which
library: JOBQ_LIBRARY, else the libjobq.so beside the installed programs.
"""

import ctypes
import os
import re
import subprocess
import sys
import threading
from ctypes import POINTER, byref, c_char_p, c_int, c_int32, c_int64, c_size_t, c_uint32, c_uint64, c_void_p

HEADER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "client", "include", "jobq", "jobq.h")


def read_errors():
    """{"EEMPTY": -1, ...} from the header, so that it stands once."""
    with open(HEADER) as file:
        return {name: int(number) for name, number in re.findall(r"JOBQ_(E[A-Z]+) = (-[0-9]+)", file.read())}


ERRORS = read_errors()
NAMES = {number: name for name, number in ERRORS.items()}


class Error(Exception):
    def __init__(self, code, detail=""):
        self.code, self.name, self.detail = code, NAMES.get(code, str(code)), detail
        super().__init__("%s: %s" % (self.name, detail or lib().jobq_strerror(code).decode()))


class Options(ctypes.Structure):
    _fields_ = [("size", c_size_t), ("url", c_char_p), ("name", c_char_p), ("timeout_ms", c_int64)]


class Ending(ctypes.Structure):
    _fields_ = [("code", c_int64), ("signal", c_int)]


class Dependency(ctypes.Structure):
    _fields_ = [("id", c_uint64), ("kind", c_int)]


class Limit(ctypes.Structure):
    _fields_ = [("name", c_char_p), ("max", c_uint32)]


class Label(ctypes.Structure):
    _fields_ = [("name", c_char_p), ("value", c_char_p)]


class JobOptions(ctypes.Structure):
    _fields_ = [
        ("size", c_size_t), ("delay_ms", c_int64), ("run_at", c_int64), ("expires_ms", c_int64),
        ("attempts_max", c_uint32), ("backoff_ms", c_int64), ("backoff_max_ms", c_int64), ("backoff_fixed", c_int),
        ("retry_on", POINTER(Ending)), ("retry_on_count", c_size_t),
        ("no_retry_on", POINTER(Ending)), ("no_retry_on_count", c_size_t),
        ("unique", c_char_p), ("unique_while", c_uint64),
        ("after", POINTER(Dependency)), ("after_count", c_size_t),
        ("needs", POINTER(c_char_p)), ("needs_count", c_size_t),
        ("limits", POINTER(Limit)), ("limits_count", c_size_t),
        ("mutexes", POINTER(c_char_p)), ("mutexes_count", c_size_t),
        ("labels", POINTER(Label)), ("labels_count", c_size_t), ("content_type", c_char_p)]


class Job(ctypes.Structure):
    _fields_ = [
        ("size", c_size_t), ("queue", c_char_p), ("handler", c_char_p), ("payload", c_void_p),
        ("payload_size", c_size_t), ("title", c_char_p), ("key", c_char_p), ("priority", c_int32),
        ("flags", c_uint64), ("options", POINTER(JobOptions)), ("put_timeout_ms", c_int64)]


class QueueOptions(ctypes.Structure):
    _fields_ = [("size", c_size_t), ("lease_ms", c_int64)]


class QueueInfo(ctypes.Structure):
    _fields_ = [("size", c_size_t), ("order", ctypes.c_char * 16)] + [(name, c_uint64) for name in (
        "maxsize", "ready", "delayed", "blocked", "running", "unfinished", "succeeded", "failed", "cancelled",
        "expired", "skipped", "sequence")] + [("paused", c_int), ("closed", c_int), ("getters", c_uint64),
                                              ("putters", c_uint64)]


SIGNATURES = {
    "jobq_open": (POINTER(Options), POINTER(c_void_p)),
    "jobq_close": (POINTER(c_void_p),),
    "jobq_strerror": (c_int,),
    "jobq_errdetail": (c_void_p,),
    "jobq_submit": (c_void_p, POINTER(Job), POINTER(c_void_p)),
    "jobq_submit_many": (c_void_p, POINTER(Job), c_size_t, POINTER(c_void_p)),
    "jobq_flush": (c_void_p, c_int64),
    "jobq_future_id": (c_void_p,),
    "jobq_future_created": (c_void_p,),
    "jobq_future_free": (POINTER(c_void_p),),
    "jobq_queue_open": (c_void_p, c_char_p, POINTER(QueueOptions), POINTER(c_void_p)),
    "jobq_queue_free": (POINTER(c_void_p),),
    "jobq_queue_declare": (c_void_p, c_char_p, c_char_p, c_uint64),
    "jobq_put": (c_void_p, c_char_p, c_size_t, c_int32, c_int64),
    "jobq_get": (c_void_p, c_int64, POINTER(c_void_p)),
    "jobq_item_data": (c_void_p, POINTER(c_size_t)),
    "jobq_item_id": (c_void_p,),
    "jobq_item_fence": (c_void_p,),
    "jobq_item_priority": (c_void_p,),
    "jobq_item_attempt": (c_void_p,),
    "jobq_task_done": (POINTER(c_void_p),),
    "jobq_nack": (POINTER(c_void_p), c_int64),
    "jobq_extend": (c_void_p, c_int64),
    "jobq_item_free": (POINTER(c_void_p),),
    "jobq_settle_done": (c_void_p, c_uint64, c_uint64),
    "jobq_settle_nack": (c_void_p, c_uint64, c_uint64, c_int64),
    "jobq_settle_extend": (c_void_p, c_uint64, c_uint64, c_int64),
    "jobq_join": (c_void_p, c_int64),
    "jobq_queue_info": (c_void_p, POINTER(QueueInfo)),
    "jobq_qsize": (c_void_p,),
    "jobq_empty": (c_void_p,),
    "jobq_full": (c_void_p,),
    "jobq_queue_close": (c_void_p, c_int),
    "jobq_queue_purge": (c_void_p, POINTER(c_uint64)),
    "jobq_queue_pause": (c_void_p,),
    "jobq_queue_resume": (c_void_p,),
    "jobq_queue_remove": (c_void_p,),
}
RESULTS = {"jobq_close": None, "jobq_strerror": c_char_p, "jobq_errdetail": c_char_p, "jobq_future_id": c_uint64,
           "jobq_future_free": None, "jobq_queue_free": None, "jobq_item_data": c_void_p, "jobq_item_id": c_uint64,
           "jobq_item_fence": c_uint64, "jobq_item_priority": c_int32, "jobq_item_attempt": c_uint32,
           "jobq_item_free": None, "jobq_qsize": c_int64}
loaded = None


def path():
    found = os.environ.get("JOBQ_LIBRARY")
    if not found:
        found = os.path.join(os.environ.get("JOBQ_BIN", "/usr/bin"), "..", "lib", "libjobq.so.0")
    return found


def lib():
    global loaded
    if loaded is None:
        loaded = ctypes.CDLL(path())
        for name, arguments in SIGNATURES.items():
            function = getattr(loaded, name)
            function.argtypes, function.restype = arguments, RESULTS.get(name, c_int)
    return loaded


def preload_sanitizer():
    """A library that was built with a sanitizer needs its runtime loaded first: starts us again so.

    The interpreter itself never frees all it has, so leaks are not looked for here; the programs
    that tests start are looked at as ever (harness.py hands their options on)."""
    if "asan" in os.environ.get("LD_PRELOAD", ""):
        return
    try:
        needed = subprocess.run(["readelf", "-d", path()], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return
    found = re.search(r"\[(libasan\.so[^]]*)\]", needed)
    if found:
        environment = dict(os.environ, LD_PRELOAD=found.group(1), JOBQ_TEST_ASAN_OPTIONS=os.environ.get(
            "ASAN_OPTIONS", ""), ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0")
        os.execve(sys.executable, [sys.executable] + sys.orig_argv[1:], environment)


class Client:
    def __init__(self, url, name="test", timeout_ms=30000):
        handle = c_void_p()
        options = Options(ctypes.sizeof(Options), url.encode(), name.encode(), timeout_ms)
        result = lib().jobq_open(byref(options), byref(handle))
        if result < 0:
            raise Error(result)
        self.handle = handle
        self.lock, self.busy = threading.Lock(), 0

    def close(self):
        """Not while somebody is within a call, as in a test that failed: that would be freed under its feet."""
        if self.busy == 0:
            lib().jobq_close(byref(self.handle))

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def call(self, name, *args):
        """The result of a function of the library, unless it is an error."""
        with self.lock:
            self.busy += 1
        try:
            result = getattr(lib(), name)(*args)
            if result < 0:
                raise Error(result, (lib().jobq_errdetail(self.handle) or b"").decode(errors="replace"))
            return result
        finally:
            with self.lock:
                self.busy -= 1

    def queue(self, name, lease_ms=0):
        return Queue(self, name, lease_ms)

    def declare(self, name, order="fifo", maxsize=0):
        self.call("jobq_queue_declare", self.handle, name.encode(), order.encode(), maxsize)
        return self.queue(name)

    def settle_done(self, id, fence):
        self.call("jobq_settle_done", self.handle, id, fence)

    def settle_nack(self, id, fence, delay_ms=0):
        self.call("jobq_settle_nack", self.handle, id, fence, delay_ms)

    def settle_extend(self, id, fence, lease_ms):
        self.call("jobq_settle_extend", self.handle, id, fence, lease_ms)

    def submit_many(self, jobs):
        """The ids of jobs, each a dictionary: queue, handler, payload, priority, after=[(id, kind)],
        limits=[(name, max)], mutexes, labels ..., durable when it returns."""
        array, keep = (Job * len(jobs))(), []
        for slot, job in zip(array, jobs):
            fill_job(slot, dict(job), keep)
        futures = (c_void_p * len(jobs))()
        self.call("jobq_submit_many", self.handle, array, len(jobs), futures)
        error = None
        try:
            self.call("jobq_flush", self.handle, -1)
        except Error as refused:
            error = refused
        ids = [lib().jobq_future_id(future) for future in futures]
        for at in range(len(jobs)):
            lib().jobq_future_free(ctypes.cast(byref(futures, at * ctypes.sizeof(c_void_p)), POINTER(c_void_p)))
        if error:
            raise error
        return ids

    def submit(self, **job):
        return self.submit_many([job])[0]


def fill_job(slot, job, keep):
    payload = job.pop("payload", b"")
    keep.append(payload)
    slot.size = ctypes.sizeof(Job)
    slot.payload = ctypes.cast(c_char_p(payload), c_void_p)
    slot.payload_size = len(payload)
    slot.put_timeout_ms = job.pop("put_timeout_ms", -1)
    for name in ("queue", "handler", "title", "key"):
        value = job.pop(name, None)
        setattr(slot, name, value.encode() if value is not None else None)
    slot.priority, slot.flags = job.pop("priority", 0), job.pop("flags", 0)
    if not job:
        return
    options = JobOptions(ctypes.sizeof(JobOptions))
    records = {"after": lambda value: Dependency(*value), "retry_on": lambda value: Ending(*value),
               "no_retry_on": lambda value: Ending(*value), "needs": lambda value: value.encode(),
               "mutexes": lambda value: value.encode(), "limits": lambda value: Limit(value[0].encode(), value[1]),
               "labels": lambda value: Label(value[0].encode(), value[1].encode())}
    kinds = {"after": Dependency, "retry_on": Ending, "no_retry_on": Ending, "needs": c_char_p, "mutexes": c_char_p,
             "limits": Limit, "labels": Label}
    for name, value in job.items():
        if name in records:
            array = (kinds[name] * len(value))(*[records[name](element) for element in value])
            keep.append(array)
            setattr(options, name, array)
            setattr(options, name + "_count", len(value))
        else:
            setattr(options, name, value.encode() if isinstance(value, str) else value)
    keep.append(options)
    slot.options = ctypes.pointer(options)


class Queue:
    def __init__(self, client, name, lease_ms=0):
        self.client, self.name = client, name
        self.handle = c_void_p()
        options = QueueOptions(ctypes.sizeof(QueueOptions), lease_ms)
        client.call("jobq_queue_open", client.handle, name.encode(), byref(options), byref(self.handle))

    def free(self):
        if self.client.busy == 0:
            lib().jobq_queue_free(byref(self.handle))

    def put(self, data, priority=0, timeout_ms=-1):
        self.client.call("jobq_put", self.handle, data, len(data), priority, timeout_ms)

    def get(self, timeout_ms=-1):
        handle = c_void_p()
        self.client.call("jobq_get", self.handle, timeout_ms, byref(handle))
        return Item(self.client, handle)

    def join(self, timeout_ms=-1):
        self.client.call("jobq_join", self.handle, timeout_ms)

    def info(self):
        info = QueueInfo(ctypes.sizeof(QueueInfo))
        self.client.call("jobq_queue_info", self.handle, byref(info))
        out = {name: getattr(info, name) for name, _ in QueueInfo._fields_[1:]}
        out["order"] = out["order"].decode()
        return out

    def qsize(self):
        return self.client.call("jobq_qsize", self.handle)

    def empty(self):
        return bool(self.client.call("jobq_empty", self.handle))

    def full(self):
        return bool(self.client.call("jobq_full", self.handle))

    def close(self, now=False):
        self.client.call("jobq_queue_close", self.handle, 1 if now else 0)

    def purge(self):
        count = c_uint64()
        self.client.call("jobq_queue_purge", self.handle, byref(count))
        return count.value

    def pause(self):
        self.client.call("jobq_queue_pause", self.handle)

    def resume(self):
        self.client.call("jobq_queue_resume", self.handle)

    def remove(self):
        self.client.call("jobq_queue_remove", self.handle)


class Item:
    def __init__(self, client, handle):
        self.client, self.handle = client, handle
        size = c_size_t()
        data = lib().jobq_item_data(handle, byref(size))
        self.data = ctypes.string_at(data, size.value)
        self.id, self.fence = lib().jobq_item_id(handle), lib().jobq_item_fence(handle)
        self.priority, self.attempt = lib().jobq_item_priority(handle), lib().jobq_item_attempt(handle)

    def done(self):
        self.client.call("jobq_task_done", byref(self.handle))

    def nack(self, delay_ms=0):
        self.client.call("jobq_nack", byref(self.handle), delay_ms)

    def extend(self, lease_ms):
        self.client.call("jobq_extend", self.handle, lease_ms)

    def free(self):
        lib().jobq_item_free(byref(self.handle))
