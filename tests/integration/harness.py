# SPDX-License-Identifier: MIT
"""Real jobqd, jobq-worker and jobq in a directory of their own.

A test case derives from Case and has self.d, a Deployment. Nothing of the user's is read or
written, every process is ended by its pid when the test is over, and a test that fails prints the
logs. Waiting is always for a condition with a deadline: wait_until().

Where the programs are: JOBQ_BIN (a directory with all three), or JOBQD_PROGRAM, JOBQ_WORKER_PROGRAM
and JOBQ_PROGRAM.
"""

import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import libjobq
import wire

PATIENCE = float(os.environ.get("JOBQ_TEST_PATIENCE", "30"))  # seconds; only failures take as long
PROGRAMS = {"jobqd": "JOBQD_PROGRAM", "jobq-worker": "JOBQ_WORKER_PROGRAM", "jobq": "JOBQ_PROGRAM"}
TERMINAL = wire.STATES[4:]
# Exit codes of jobq.
REFUSED, USAGE, UNREACHABLE, EMPTY, FULL, NOENT, CLOSED, EXISTS = 1, 2, 3, 4, 5, 6, 9, 17
CANCELLED, LOST, SOME, TIMED_OUT, FAILED = 121, 122, 123, 124, 125


def program(name):
    path = os.environ.get(PROGRAMS[name]) or os.path.join(os.environ.get("JOBQ_BIN", "/usr/bin"), name)
    if not os.access(path, os.X_OK):
        sys.exit("no %s at %s: set JOBQ_BIN or %s" % (name, path, PROGRAMS[name]))
    return os.path.abspath(path)


def wait_until(condition, what, seconds=None):
    """The first true value of condition(); fails when there is none in time."""
    end = time.monotonic() + (PATIENCE if seconds is None else seconds)
    pause = 0.002
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("not in time: " + what)
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)


class Kills:
    """Counts kills of the broker, for those who submit meanwhile.

    A grant leaves before its job is durable, and promises nothing. So a submit that the broker has not yet
    acknowledged when it dies may have run, and runs again when the client has sent it again. One that
    no kill touched runs once.
    """

    def __init__(self):
        self.begun = self.over = 0

    def kill(self, broker):
        self.begun += 1
        broker.kill()
        self.over += 1

    def during(self, submit):
        """(what submit() returned, how many kills may have touched it)."""
        before = self.over
        value = submit()
        return value, self.begun - before


class Call(threading.Thread):
    """A call that blocks, in a thread of its own: its value, or what it raised."""

    def __init__(self, function, *args, **how):
        super().__init__(daemon=True)
        self.function, self.args, self.how = function, args, how
        self.returned = self.error = None
        self.start()

    def run(self):
        try:
            self.returned = self.function(*self.args, **self.how)
        except BaseException as error:
            self.error = error

    def value(self):
        """What it returned; raises what it raised."""
        self.join(PATIENCE)
        if self.is_alive():
            raise AssertionError("%s does not return" % self.function.__name__)
        if self.error:
            raise self.error
        return self.returned


# ---- processes ----

def become_reaper():
    """Whatever loses its parent below us comes to us, so that nothing can be left behind unseen."""
    PR_SET_CHILD_SUBREAPER = 36
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def stat_of(pid):
    """(state letter, parent) or None when there is no such process."""
    try:
        with open("/proc/%d/stat" % pid, "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return fields[0].decode(), int(fields[1])


def alive(pid):
    found = stat_of(pid)
    return found is not None and found[0] not in "ZX"


def descendants(root=None):
    """Pids below root (us), zombies not among them."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            found = stat_of(int(entry))
            if found and found[0] not in "ZX":
                parents.setdefault(found[1], []).append(int(entry))
    out, left = [], [os.getpid() if root is None else root]
    while left:
        children = parents.get(left.pop(), [])
        out += children
        left += children
    return out


def command_line(pid):
    try:
        with open("/proc/%d/cmdline" % pid, "rb") as file:
            return file.read().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return "?"


def rss_kib(pid):
    with open("/proc/%d/status" % pid) as file:
        for line in file:
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    raise AssertionError("no VmRSS of %d" % pid)


class Process:
    """A program that runs beside the test."""

    def __init__(self, name, popen, log):
        self.name, self.popen, self.log = name, popen, log
        self.pid = popen.pid

    def signal(self, number):
        if self.popen.poll() is None:
            os.kill(self.pid, number)

    def running(self):
        return self.popen.poll() is None

    def wait(self, seconds=None):
        try:
            return self.popen.wait(PATIENCE if seconds is None else seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError("%s %d does not end\n%s" % (self.name, self.pid, self.text())) from None

    def kill(self):
        self.signal(signal.SIGKILL)
        return self.wait()

    def stop(self):
        self.signal(signal.SIGTERM)
        return self.wait()

    def text(self):
        try:
            with open(self.log, errors="replace") as file:
                return file.read()
        except OSError:
            return ""


class Gate:
    """A place where commands wait until the test lets them go: `read line < gate.path` in a shell."""

    def __init__(self, path):
        self.path = path
        os.mkfifo(path, 0o600)
        self.file = os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def open(self, jobs=1):
        os.write(self.file, b"\n" * jobs)

    def close(self):
        os.close(self.file)


class Output:
    """What a call of jobq came to."""

    def __init__(self, args, code, out, err):
        self.args, self.code, self.out, self.err = args, code, out, err

    @property
    def text(self):
        return self.out.decode(errors="replace")

    @property
    def errors(self):
        return self.err.decode(errors="replace")

    @property
    def id(self):
        return int(self.text)

    def json(self):
        return json.loads(self.out)

    def __repr__(self):
        return "%s: exit code %s\nstdout: %.2000r\nstderr: %.2000s" % (
            " ".join(map(str, self.args))[:300], self.code, self.out, self.errors)


class Deployment:
    """A directory with an endpoint, a store, logs, and the processes that were started in it."""

    def __init__(self):
        base = tempfile.gettempdir()
        # A socket's path has to fit 108 bytes.
        self.directory = tempfile.mkdtemp(prefix="jq-", dir=base if len(base) < 50 else "/tmp")
        self.home = self.make("home")
        self.url = "ipc://%s/q/jobqd.sock" % self.directory
        self.store = self.path("jobq.db")
        self.processes = []
        self.gates = []
        self.broker = None
        self.broker_flags = ()
        self.environment = {
            "PATH": self.make("bin") + ":" + os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": self.home,
            "TMPDIR": self.make("tmp"),
            "XDG_RUNTIME_DIR": self.make("run"),
            "XDG_STATE_HOME": self.make("state"),
            "XDG_CONFIG_HOME": self.make("config"),
            "LANG": "C.UTF-8",
            "JOBQ_URL": self.url,
        }
        for name, value in os.environ.items():
            if name.endswith("SAN_OPTIONS") or name == "LD_LIBRARY_PATH":
                self.environment[name] = value
        if "JOBQ_TEST_ASAN_OPTIONS" in os.environ:  # ours differ, see libjobq.preload_sanitizer
            self.environment["ASAN_OPTIONS"] = self.environment.pop("JOBQ_TEST_ASAN_OPTIONS")
        for name in PROGRAMS:
            os.symlink(program(name), self.path("bin", name))

    # -- files --

    def path(self, *names):
        return os.path.join(self.directory, *names)

    def make(self, *names):
        os.makedirs(self.path(*names), mode=0o700, exist_ok=True)
        return self.path(*names)

    def write(self, name, data):
        with open(self.path(name), "wb") as file:
            file.write(data if isinstance(data, bytes) else data.encode())
        return self.path(name)

    def read(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def lines(self, name):
        """Whole lines of a file that may not exist yet."""
        try:
            return [line for line in self.read(name).decode().split("\n")[:-1]]
        except FileNotFoundError:
            return []

    def script(self, name, text):
        """An executable Python program."""
        path = self.write(name, "#!%s\n%s" % (sys.executable, text))
        os.chmod(path, 0o700)
        return path

    def gate(self, name="gate"):
        self.gates.append(Gate(self.path(name)))
        return self.gates[-1]

    # -- programs --

    def spawn(self, name, args, log=None, env=None, **how):
        log = self.path("%s-%d.log" % (log or name, len(self.processes)))
        with open(log, "wb") as file:
            popen = subprocess.Popen([program(name)] + list(args), stdin=subprocess.DEVNULL,
                                     stdout=how.pop("stdout", file), stderr=file,
                                     env=dict(self.environment, **(env or {})), cwd=self.directory, **how)
        process = Process(name, popen, log)
        self.processes.append(process)
        return process

    def start_broker(self, *flags, url=None, store=None, config=True):
        """Starts jobqd and waits until it serves. Without flags: with those of the last start."""
        if flags:
            self.broker_flags = flags
        args = ["--url", url or self.url, "--store", store or self.store]
        if config:
            args += ["--config", "/dev/null"]
        reader, writer = os.pipe()
        try:
            self.broker = self.spawn("jobqd", args + ["--ready-fd", str(writer)] + list(self.broker_flags),
                                     pass_fds=[writer])
            os.close(writer)
            writer = -1
            line = b""
            end = time.monotonic() + PATIENCE
            while not line.endswith(b"\n"):
                if not select.select([reader], [], [], max(0, end - time.monotonic()))[0]:
                    raise AssertionError("jobqd is not ready\n" + self.broker.text())
                part = os.read(reader, 4096)
                if not part:
                    self.broker.wait()
                    raise AssertionError("jobqd does not serve\n" + self.broker.text())
                line += part
        finally:
            os.close(reader)
            if writer >= 0:
                os.close(writer)
        words = line.decode().split()
        assert words[0] == "READY=1" and int(words[2]) == self.broker.pid, line
        return self.broker

    def refused_broker(self, *args):
        """A jobqd that must end by itself: (exit code, what it said)."""
        process = self.spawn("jobqd", ["--config", "/dev/null"] + list(args), log="refused")
        return process.wait(), process.text()

    def start_worker(self, slots, *flags, name=None):
        """Starts jobq-worker and waits until the broker knows it."""
        name = name or "w%d" % len(self.processes)
        worker = self.spawn("jobq-worker", ["--url", self.url, "--slots", str(slots), "--name", name,
                                            "--config", "/dev/null"] + list(flags))
        worker.label = name

        def joined():
            if not worker.running():
                raise AssertionError("jobq-worker ended\n" + worker.text())
            return any(w["name"] == name for w in self.stats()["workers"])
        wait_until(joined, "the broker knows worker " + name)
        return worker

    def call(self, *args, input=None, timeout=None, env=None, cwd=None, check=None):
        """One call of jobq to its end."""
        popen = self.background(*args, env=env, cwd=cwd)
        try:
            out, err = popen.communicate(b"" if input is None else input,
                                         2 * PATIENCE if timeout is None else timeout)
        except subprocess.TimeoutExpired:
            popen.kill()
            out, err = popen.communicate()
            raise AssertionError("does not end: %r" % Output(args, "none", out, err)) from None
        output = Output(args, popen.returncode, out, err)
        if check is not None and output.code != check:
            raise AssertionError("not exit code %d: %r" % (check, output))
        return output

    def background(self, *args, env=None, cwd=None, **how):
        """A Popen of jobq with pipes on all three files."""
        environment = dict(self.environment, **(env or {}))
        environment = {name: value for name, value in environment.items() if value is not None}
        for file in ("stdin", "stdout", "stderr"):
            how.setdefault(file, subprocess.PIPE)
        popen = subprocess.Popen([program("jobq")] + list(args), env=environment,
                                 cwd=cwd or self.directory, **how)
        self.processes.append(Process("jobq", popen, os.devnull))
        return popen

    def submit(self, *command, flags=(), **how):
        """The id of a submitted command."""
        output = self.call("submit", *flags, "--", *command, check=0, **how)
        assert output.text == "%d\n" % output.id, output
        return output.id

    def wait(self, *ids, timeout=None):
        return self.call("wait", *map(str, ids), timeout=timeout)

    # -- what the broker says --

    def peer(self, **how):
        return wire.Peer(self.url, **how)

    def stats(self):
        with self.peer() as peer:
            return peer.ask("stats")

    def counters(self):
        with self.peer() as peer:
            return peer.counters()

    def info(self, *ids):
        """What the broker knows of jobs, one dictionary each; the state is its name."""
        with self.peer() as peer:
            jobs = peer.ask("info", jobs=[{"id": id} for id in ids])["jobs"]
        for job in jobs:
            job["state"] = wire.STATES[job["state"]] if job["error"] == 0 else None
        return jobs

    def state(self, id):
        return self.info(id)[0]["state"]

    def wait_state(self, id, *states):
        return wait_until(lambda: self.state(id) in states, "job %d is %s" % (id, " or ".join(states)))

    def queue(self, name):
        """One instant of a queue, as the broker says it."""
        with self.peer() as peer:
            return peer.ask("queue_ask", name=name)["info"][0]

    # -- the end --

    def breakdowns(self):
        """What ended as no program should, whatever the test looks at."""
        out = []
        for process in self.processes:
            status, text = process.popen.poll(), process.text()
            if status is not None and -status in (signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE,
                                                  signal.SIGILL, signal.SIGTRAP):
                out.append("%s ended by signal %d: %s" % (process.name, -status, text[-4000:]))
            elif "Sanitizer" in text or "runtime error:" in text:
                out.append("%s: %s" % (process.name, text[-8000:]))
        return out

    def logs(self):
        out = []
        for process in self.processes:
            text = process.text()
            if text:
                out.append("---- %s %d (%s) ----\n%s" % (process.name, process.pid, process.popen.poll(),
                                                        text[-8000:]))
        for folder, _, names in os.walk(self.path("state")):
            for name in names:
                if name.endswith(".log"):
                    with open(os.path.join(folder, name), errors="replace") as file:
                        out.append("---- %s ----\n%s" % (name, file.read()[-8000:]))
        return "\n".join(out)

    def close(self):
        """Ends all that was started, and all that they started."""
        for process in self.processes:
            process.signal(signal.SIGCONT)
            process.signal(signal.SIGKILL)
        for process in self.processes:
            process.popen.wait()
            for pipe in (process.popen.stdin, process.popen.stdout, process.popen.stderr):
                if pipe:
                    pipe.close()

        def gone():
            for pid in descendants():
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            reap()
            return not descendants()
        wait_until(gone, "every process is gone")
        for gate in self.gates:
            gate.close()
        shutil.rmtree(self.directory, ignore_errors=True)


def reap():
    """Takes the zombies that came to us as their parents ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0] != 0:
            pass
    except ChildProcessError:
        pass


class Case(unittest.TestCase):
    maxDiff = 4000

    @classmethod
    def setUpClass(cls):
        become_reaper()

    def setUp(self):
        self.d = Deployment()
        self.addCleanup(self.d.close)

    def tearDown(self):
        result = self._outcome.result
        bad = [test for test, _ in getattr(result, "failures", []) + getattr(result, "errors", [])]
        if any(test is self or getattr(test, "test_case", None) is self for test in bad):
            print("\n==== %s ====\n%s" % (self.id(), self.d.logs()), file=sys.stderr, flush=True)

        self.assertEqual([], self.d.breakdowns(), "programs broke down")

    def assert_code(self, expected, output):
        self.assertEqual(expected, output.code, repr(output))

    def client(self, name="test"):
        """A client of libjobq, which ends with the test."""
        client = libjobq.Client(self.d.url, name)
        self.addCleanup(client.close)
        return client

    def assert_error(self, name, function, *args, **how):
        """A call of libjobq that must be refused so."""
        with self.assertRaises(libjobq.Error) as caught:
            function(*args, **how)
        self.assertEqual(name, caught.exception.name, str(caught.exception))
        return caught.exception

    def assert_all_succeeded(self, ids):
        """Of jobs that have ended."""
        ids = list(ids)
        for at in range(0, len(ids), 4000):
            bad = [job for job in self.d.info(*ids[at:at + 4000]) if job["state"] != "succeeded"]
            self.assertEqual([], bad[:3], "%d jobs did not succeed" % len(bad))


def main(library=False):
    if library:  # it is used within the test
        libjobq.preload_sanitizer()
    unittest.main(module="__main__", verbosity=2)
