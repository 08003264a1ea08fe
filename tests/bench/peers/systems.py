# SPDX-License-Identifier: MIT
#
# systems.py - what is compared: how each system is started, in which mode, with which client, and
# what it promises then. Every server is bound to 127.0.0.1 or to a socket in its own directory.
import os
import subprocess

from machine import Failed, free_port

# What an answer means. Modes are compared with those of the same promise.
SYNCED = "synced"  # it is on disk
LATER = "later"  # it will be on disk soon
MEMORY = "memory"  # it is in memory

PROMISES = {
    SYNCED: "On disk before it is acknowledged",
    LATER: "Acknowledged at once, on disk a little later",
    MEMORY: "In memory only",
}


class System:
    """One mode of one system. `start(place)` returns the address for its client.

    `share`: of the jobs asked for, for modes so slow that all would take minutes.
    `flushes`: how many a job costs when jobs come one at a time: least, most; checked by --verify."""

    def __init__(self, name, mode, promise, loses, client, start, version,
                 client_mode="", share=1.0, flushes=None, is_reference=False):
        self.name, self.mode, self.promise, self.loses = name, mode, promise, loses
        self.client, self.client_mode = client, client_mode
        self.start, self.version, self.share = start, version, share
        self.flushes = flushes or ((1, 100) if promise == SYNCED else (0, 0.25))
        self.is_reference = is_reference

    @property
    def title(self):
        return f"{self.name}, {self.mode}"


def _package_version(package):
    done = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", package],
                          capture_output=True, text=True, check=False)
    return done.stdout or "not from a package"


# ---- beanstalkd ----

def _beanstalkd(*flags):
    def start(place):
        log = place.path / "binlog"
        log.mkdir()
        argv = ["beanstalkd", "-l", f"unix:{place.path}/sock"]
        argv += ["-b", log, *flags] if flags else []
        place.await_serving(place.start(argv), place.path / "sock")
        return place.path / "sock"
    return start


# ---- Redis ----

def _redis(fsync):
    def start(place):
        (place.path / "data").mkdir()
        argv = ["redis-server", "--port", "0", "--unixsocket", place.path / "sock",
                "--dir", place.path / "data", "--save", "", "--daemonize", "no",
                "--appendonly", "yes", "--appendfsync", fsync]
        place.await_serving(place.start(argv), place.path / "sock")
        return place.path / "sock"
    return start


# ---- RabbitMQ ----

def _rabbitmq(place):
    """Its own epmd, as our child, so that the node starts none that stays behind."""
    epmd_port, port = free_port(), free_port()
    epmd = place.start(["epmd", "-address", "127.0.0.1", "-port", epmd_port], traced=False)
    place.await_serving(epmd, epmd_port)
    (place.path / "conf").write_text("loopback_users.guest = true\nlog.console = false\n")
    (place.path / "plugins").write_text("[].\n")
    env = {
        "ERL_EPMD_PORT": epmd_port,
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODENAME": f"jobq-peers-{os.getpid()}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": port,
        "RABBITMQ_DIST_PORT": free_port(),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS":
            "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}",
        "RABBITMQ_MNESIA_BASE": place.path / "mnesia",
        "RABBITMQ_LOG_BASE": place.path / "logs",
        "RABBITMQ_CONFIG_FILE": place.path / "conf",
        "RABBITMQ_ENABLED_PLUGINS_FILE": place.path / "plugins",
        "RABBITMQ_CONF_ENV_FILE": place.path / "none",
        # Then the script becomes the server, which ends by itself on SIGTERM.
        "RUNNING_UNDER_SYSTEMD": "true",
    }
    # Not /usr/sbin's: that one wants to be root or rabbitmq, and uses the system's folders.
    server = place.start(["/usr/lib/rabbitmq/bin/rabbitmq-server"],
                         env={k: str(v) for k, v in env.items()})
    place.await_serving(server, port)
    return f"127.0.0.1:{port}"


# ---- NATS ----

def _nats_version():
    done = subprocess.run(["nats-server", "--version"], capture_output=True, text=True, check=False,
                          env={**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin"})
    return tuple(int(n) for n in done.stdout.rsplit("v", 1)[-1].split(".")[:2] or (0, 0))


def _nats(sync):
    def start(place):
        port = free_port()
        (place.path / "conf").write_text(
            f'listen: "127.0.0.1:{port}"\njetstream {{ store_dir: "{place.path}/data"\n{sync} }}\n')
        place.await_serving(place.start(["nats-server", "-c", place.path / "conf"]), port)
        return f"nats://127.0.0.1:{port}"
    return start


# ---- jobq ----

def _jobq(build, durability, with_worker):
    def start(place):
        url = f"ipc://{place.path}/sock"
        ready, told = os.pipe()
        with os.fdopen(ready) as line:
            try:
                place.start([build / "broker/jobqd", "--url", url, "--store", place.path / "jobq.db",
                             "--ready-fd", told], pass_fds=(told,))
            finally:
                os.close(told)
            if not line.readline().startswith("READY"):
                raise Failed(f"jobqd does not serve:\n{place.log_tail()}")
        for queue in ("jobs", "results"):
            subprocess.run([build / "client/cli/jobq", "--no-autostart", "--url", url, "queue",
                            "create", queue, "--durability", durability],
                           env=place.env, check=True, stdout=subprocess.DEVNULL)
        if with_worker:  # the client waits until it is there
            place.start([build / "worker/jobq-worker", "--url", url, "--slots", "8"], traced=False)
        return url
    return start


def all_systems(build, commit):
    """In the order of a round: a peer, then the next, and never two of one system in a row where
    that can be had, so that a bad minute does not hit one system alone."""
    def jobq(what, durability, promise, loses):
        is_jobs = what == "jobs"
        # A result waits for the disk in a relaxed queue, too: more than the mode promises.
        flushes = (1, 2) if is_jobs and durability == "relaxed" else None
        return System("jobq", f"{what}, {durability}", promise, loses, "jobq",
                      _jobq(build, durability, is_jobs), lambda: commit,
                      client_mode=what, flushes=flushes, is_reference=is_jobs)

    systems = [
        jobq("jobs", "full", SYNCED, "nothing"),
        System("beanstalkd", "no binlog (default)", MEMORY, "everything", "beanstalkd",
               _beanstalkd(), lambda: _package_version("beanstalkd")),
        jobq("items", "full", SYNCED, "nothing"),
        System("Redis lists", "AOF always", SYNCED, "nothing", "redis", _redis("always"),
               lambda: _package_version("redis-server")),
        jobq("jobs", "relaxed", LATER, "about 10 ms"),
        System("beanstalkd", "binlog, -f0", SYNCED, "nothing", "beanstalkd", _beanstalkd("-f0"),
               lambda: _package_version("beanstalkd"), share=0.1),
        jobq("items", "relaxed", LATER, "about 10 ms"),
        System("Redis lists", "AOF everysec", LATER, "about 1 s", "redis", _redis("everysec"),
               lambda: _package_version("redis-server")),
        jobq("jobs", "memory", MEMORY, "everything"),
        System("RabbitMQ", "quorum queue, confirms", SYNCED, "nothing confirmed", "rabbitmq",
               _rabbitmq, lambda: _package_version("rabbitmq-server")),
        jobq("items", "memory", MEMORY, "everything"),
        System("NATS JetStream", "file (default)", LATER, "up to 2 min", "nats", _nats(""),
               lambda: _package_version("nats-server")),
    ]
    if _nats_version() >= (2, 10):
        systems.append(System("NATS JetStream", "file, sync always", SYNCED, "nothing", "nats",
                              _nats("sync_interval: always"),
                              lambda: _package_version("nats-server")))
    return systems
