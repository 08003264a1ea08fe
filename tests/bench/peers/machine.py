# SPDX-License-Identifier: MIT
#
# machine.py - processes of our own: started in a scratch directory, ended by their own pid, and
# ended by the kernel should this program be killed; what the rest of the machine did meanwhile.
import ctypes
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

PATIENCE = 60  # seconds until a server serves, or has ended
CLIENT_PATIENCE = 1800
PR_SET_PDEATHSIG = 1
FLUSHES = "fsync,fdatasync,sync_file_range,msync,sync,syncfs"


class Failed(Exception):
    pass


_libc = ctypes.CDLL(None, use_errno=True)


def _die_with_parent():
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def _can_connect(address):
    if isinstance(address, int):
        s, where = socket.socket(), ("127.0.0.1", address)
    else:
        s, where = socket.socket(socket.AF_UNIX), str(address)
    with s:
        try:
            s.connect(where)
            return True
        except OSError:
            return False


class Place:
    """A fresh directory and the processes that serve from it. Leaving it ends and removes all."""

    def __init__(self, parent, trace=False):
        self.trace = trace
        self.parent = parent
        self.processes = []

    def __enter__(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="jqp-", dir=self.parent))
        self.flushes_file = self.path / "flushes"
        # Nothing of the user's settings, nor of jobq's environment.
        self.env = {k: v for k, v in os.environ.items()
                    if not k.startswith(("JOBQ_", "RABBITMQ_", "ERL_", "XDG_"))}
        self.env.update(HOME=str(self.path), TMPDIR=str(self.path), XDG_RUNTIME_DIR=str(self.path),
                        PATH=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        return self

    def __exit__(self, *exc):
        # A second Ctrl-C must not keep the rest alive.
        before = {s: signal.signal(s, signal.SIG_IGN)
                  for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        try:
            for process in reversed(self.processes):
                end(process)
            shutil.rmtree(self.path, ignore_errors=True)
        finally:
            for s, handler in before.items():
                signal.signal(s, handler)

    def start(self, argv, env=None, traced=True, **popen):
        """`traced`: its flushes are counted, if this place counts them."""
        if self.trace and traced:
            # -D: the server stays our child, the tracer is its grandchild and ends with it.
            argv = ["strace", "-D", "-f", "-q", "--seccomp-bpf", "-e", "trace=" + FLUSHES,
                    "-e", "signal=none", "-o", str(self.flushes_file)] + list(argv)
        self.log = self.path / f"log.{len(self.processes)}"
        with open(self.log, "wb") as log:
            process = subprocess.Popen(
                [str(a) for a in argv], env={**self.env, **(env or {})}, cwd=self.path,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                preexec_fn=_die_with_parent, **popen)
        self.processes.append(process)
        return process

    def await_serving(self, process, address):
        """`address`: a port of 127.0.0.1, or the path of a socket."""
        deadline = time.monotonic() + PATIENCE
        while not _can_connect(address):
            if process.poll() is not None or time.monotonic() > deadline:
                raise Failed(f"{process.args[0]} does not serve:\n{self.log_tail()}")
            time.sleep(0.01)

    def log_tail(self):
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(lines[-20:])

    def flushes(self):
        """Calls so far. The tracer writes a line before it lets the call go on."""
        if not self.flushes_file.exists():
            return 0
        names = tuple(name + "(" for name in FLUSHES.split(","))
        with open(self.flushes_file, errors="replace") as file:
            return sum(line.split(maxsplit=1)[-1].startswith(names) for line in file)

    def cpu_seconds(self):
        total = 0.0
        for process in self.processes:
            try:
                stat = pathlib.Path(f"/proc/{process.pid}/stat").read_text()
            except OSError:
                continue
            fields = stat.rsplit(")", 1)[1].split()
            total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return total


def end(process):
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()


def _busy_seconds():
    """Of all processors since the start, what the host took from us included."""
    with open("/proc/stat") as file:
        words = [int(w) for w in file.readline().split()[1:9]]
    idle = words[3] + words[4]
    return (sum(words) - idle) / os.sysconf("SC_CLK_TCK")


def _children_seconds():
    times = os.times()
    return times.children_user + times.children_system


def run_client(place, argv):
    """The figures that it prints, and how many processors others (the kernel's own threads among
    them) kept busy meanwhile."""
    os.sync()  # what the one before left to the kernel is not this one's
    start, busy = time.monotonic(), _busy_seconds()
    own = place.cpu_seconds() + _children_seconds()
    with open(place.path / "client.err", "w+b") as err:
        process = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=err, start_new_session=True,
                                   preexec_fn=_die_with_parent)
        place.processes.append(process)
        out, _ = process.communicate(timeout=CLIENT_PATIENCE)
        place.processes.remove(process)
        err.seek(0)
        complaint = err.read().decode(errors="replace")
    if process.returncode != 0:
        raise Failed(f"{' '.join(map(str, argv))}: {complaint}\nthe server's log:\n"
                     f"{place.log_tail()}")
    own = place.cpu_seconds() + _children_seconds() - own
    foreign = (_busy_seconds() - busy - own) / (time.monotonic() - start)
    return [json.loads(line) for line in out.splitlines()], max(0.0, round(foreign, 2))
