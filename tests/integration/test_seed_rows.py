# SPDX-License-Identifier: MIT
"""Rows of the seed map (constructs of a well-known walkthrough of concurrency), each with what jobq makes
of it. The names of the tests have the rows' numbers."""

import hashlib
import json
import os
import random
import signal
import socket
import threading
import time

import harness
import wire
from harness import CANCELLED, FAILED, TIMED_OUT, wait_until

HOLD = 'read line < "$1"; exit ${2:-0}'


class SeedRows(harness.Case):
    def hold(self, gate, code=0, flags=()):
        return self.d.submit("sh", "-c", HOLD, "sh", gate.path, str(code), flags=flags)

    def test_S01_two_slots_run_two_jobs_at_a_time(self):
        self.d.start_broker()
        with self.d.peer() as watcher:
            watcher.send("watch", 1, id=0)
            ids = [self.d.submit("sleep", "0.2") for _ in range(10)]
            start = time.monotonic()
            self.d.start_worker(2)
            running, most, ended = set(), 0, {}
            busy = {"ready": 8, "running": 2}
            seen = False
            while len(ended) < 10:
                for event in watcher.expect("events")["events"]:
                    state = wire.STATES[event["state"]]
                    if state == "running":
                        running.add(event["id"])
                    elif state in harness.TERMINAL:
                        running.discard(event["id"])
                        ended[event["id"]] = state
                    most = max(most, len(running))
                    if not seen and len(running) == 2:
                        stats = self.d.stats()
                        worker, queue = stats["workers"][0], stats["queues"][0]
                        seen = (worker["slots"], worker["busy"]) == (2, 2) and {
                            name: queue[name] for name in busy} == busy
            self.assertEqual(2, most)
            self.assertEqual({id: "succeeded" for id in ids}, ended)
            self.assertGreaterEqual(time.monotonic() - start, 1.0)  # five rounds of 0.2 s
        self.assertTrue(seen, "slots, busy and ready were never seen as they were")
        stats = self.d.call("-o", "json", "stats", check=0).json()
        self.assertEqual((2, 0), (stats["workers"][0]["slots"], stats["workers"][0]["busy"]))

    def test_S02_submit_returns_while_the_job_runs_and_the_end_is_told_once(self):
        self.d.start_broker()
        self.d.start_worker(2)
        with open(self.d.path("events"), "wb") as file:
            self.d.background("-o", "jsonl", "events", stdout=file)

        def told(id=None):
            events = [json.loads(line) for line in self.d.lines("events")]
            return [event["state"] for event in events if id is None or event["id"] == str(id)]

        wait_until(lambda: self.d.submit("true") and told(), "events are told")
        gate = self.d.gate()
        id = self.hold(gate)  # it has returned, and the job cannot have ended
        wait_until(lambda: told(id) and told(id)[-1] == "running", "its start is told")
        gate.open()
        self.assert_code(0, self.d.wait(id))
        later = self.d.submit("false")
        wait_until(lambda: "failed" in told(later), "what came later is told")
        self.assertEqual(1, told(id).count("succeeded"))
        self.assertEqual("succeeded", told(id)[-1])

    def test_S03_arguments_are_a_list_and_never_split_again(self):
        self.d.start_broker()
        self.d.start_worker(1)
        show = 'import sys, os\nfor a in sys.argv: print(os.fsencode(a))\n'
        id = self.d.submit(self.d.script("prog", show), "a b", "", "*")
        self.assert_code(0, self.d.wait(id))
        lines = self.d.call("logs", str(id)).text.splitlines()
        self.assertEqual(["b'a b'", "b''", "b'*'"], lines[1:])
        self.assertEqual(4, len(lines))

    def test_S04_the_same_id_twice_is_one_job(self):
        self.d.start_broker()
        runs = self.d.path("runs")
        command = ("sh", "-c", 'echo run >> "$1"', "sh", runs)
        first = self.d.call("-o", "json", "submit", "--id", "only-once", "--", *command, check=0).json()
        second = self.d.call("-o", "json", "submit", "--id", "only-once", "--", *command, check=0).json()
        first, second = [v[0] if isinstance(v, list) else v for v in (first, second)]
        self.assertEqual(first["id"], second["id"])
        self.assertEqual((True, False), (bool(first["created"]), bool(second["created"])))
        strict = self.d.call("submit", "--strict", "--id", "only-once", "--", *command)
        self.assertNotEqual(0, strict.code)
        self.assertEqual(b"", strict.out)
        self.d.start_worker(2)
        self.assert_code(0, self.d.wait(first["id"]))
        third = self.d.submit(*command, flags=["--id", "only-once"])  # also after its end
        self.assertEqual(first["id"], str(third))
        self.d.broker.kill()  # also after a restart
        self.d.start_broker()
        self.assertEqual(third, self.d.submit(*command, flags=["--id", "only-once"]))
        self.assert_code(0, self.d.call("run", "--", "true"))
        self.assertEqual(["run"], self.d.lines("runs"))

    def test_S05_a_wait_that_timed_out_is_told_from_one_that_did_not(self):
        self.d.start_broker()
        self.d.start_worker(1)
        gate = self.d.gate()
        id = self.hold(gate, code=7)
        start = time.monotonic()
        self.assert_code(TIMED_OUT, self.d.call("wait", "--timeout", "1s", str(id)))
        self.assertGreaterEqual(time.monotonic() - start, 1.0)
        self.assertEqual("running", self.d.wait_state(id, "running") and self.d.state(id))
        gate.open()
        waits = [self.d.background("wait", str(id)) for _ in range(4)]
        for wait in waits:
            wait.communicate(timeout=harness.PATIENCE)
            self.assertEqual(7, wait.returncode)
        for _ in range(3):
            self.assert_code(7, self.d.call("wait", "--timeout", "0s", str(id)))

    def test_S06_a_job_does_not_need_its_submitter_unless_tied(self):
        self.d.start_broker("--lease", "1s", "--heartbeat", "100ms")
        self.d.start_worker(3)
        gate = self.d.gate()
        submit = self.d.background("submit", "--", "sh", "-c", HOLD, "sh", gate.path, "4")
        id = int(submit.stdout.readline())
        submit.kill()
        ids = []
        for flags in ([], ["--tie"]):
            before = self.d.counters()["submitted"]
            run = self.d.background("run", *flags, "--", "sh", "-c", "echo up; " + HOLD, "sh", gate.path, "5")
            self.assertEqual(b"up\n", run.stdout.readline())
            ids.append(self.d.call("ls", "-o", "id").text.split()[0])
            self.assertEqual(before + 1, self.d.counters()["submitted"])
            run.kill()
            run.wait()
        self.assert_code(CANCELLED, self.d.wait(ids[1]))
        self.assertEqual(["running", "running"], [self.d.state(i) for i in (id, int(ids[0]))])
        gate.open(2)
        self.assert_code(4, self.d.wait(id))
        self.assert_code(5, self.d.wait(ids[0]))

    def test_S09_an_error_in_a_job_is_never_lost(self):
        self.d.start_broker()
        self.d.start_worker(2)
        for command, code in ((["sh", "-c", "exit 3"], 3), (["sh", "-c", "kill -SEGV $$"], 139),
                              (["sh", "-c", "kill -ABRT $$"], 134), ([self.d.path("none")], 127)):
            id = self.d.submit(*command)
            self.assert_code(code, self.d.wait(id))
            self.assertEqual("failed", self.d.state(id))
            shown = self.d.call("info", str(id), check=0).text
            self.assertIn("failed", shown)
            said = {3: "3", 139: "SEGV", 134: "ABRT", 127: "none"}[code]
            self.assertIn(said, shown + self.d.call("result", str(id), check=0).text)

    def test_S29_a_worker_shows_its_effective_settings_and_their_sources(self):
        self.d.start_broker()
        conf = self.d.write("worker.conf", "grace = 7s\n")
        worker = self.d.spawn("jobq-worker", ["--url", self.d.url, "--slots", "3", "--name", "shown", "--config", conf],
                              env={"JOBQ_KILL_AFTER": "4s"})
        wait_until(lambda: self.d.stats()["workers"] or not worker.running(), "the worker is there")
        output = self.d.call("worker", "info", "shown", check=0).text
        for name, value, source in (("slots", "3", "flag"), ("grace", "7s", "file"), ("kill_after", "4s", "environment"),
                                    ("lookahead", "4096", "default")):
            self.assertIn("%s=%s  # %s" % (name, value, source), output)

    def test_S30_the_failure_of_a_job_nobody_waits_for_is_seen_everywhere(self):
        self.d.start_broker()
        self.d.start_worker(1)
        good = self.d.submit("true")
        with self.d.peer() as watcher:
            watcher.send("watch", 1, id=0)
            bad = self.d.submit("sh", "-c", "echo first; echo it broke here >&2; exit 5")
            states = []
            while not states or states[-1] != (bad, "failed"):
                states += [(e["id"], wire.STATES[e["state"]]) for e in watcher.expect("events")["events"]]
        self.assertEqual(1, states.count((bad, "failed")))
        self.assertEqual("failed", self.d.state(bad))
        self.assertEqual(b"it broke here\n", self.d.call("logs", str(bad)).err)
        self.assertEqual(1, self.d.counters()["failed"])
        self.assertEqual([str(bad)], self.d.call("ls", "--failed", "-o", "id", check=0).text.split())
        self.assert_code(5, self.d.wait(bad))
        self.assert_code(harness.SOME, self.d.wait(good, bad))
        live = self.d.call("run", "--", "sh", "-c", "echo it broke here >&2; exit 5")
        self.assertEqual(5, live.code)
        self.assertIn("it broke here", live.errors)

    def test_S31_jobs_beyond_the_slots_wait_their_turn_and_why_says_so(self):
        self.d.start_broker()
        self.d.start_worker(2)
        gate = self.d.gate()
        held = [self.hold(gate) for _ in range(2)]
        for id in held:
            self.d.wait_state(id, "running")
        order = self.d.path("order")
        waiting = [self.d.submit("sh", "-c", 'echo "$1" >> "$2"', "sh", str(n), order) for n in range(6)]
        self.assertEqual({"ready"}, {job["state"] for job in self.d.info(*waiting)})
        self.assertIn("no free slot (2/2 busy)", self.d.call("why", str(waiting[0]), check=0).text)
        gate.open(1)  # one slot, so that the order is plain
        self.assert_code(0, self.d.wait(*waiting))
        self.assertEqual([str(n) for n in range(6)], self.d.lines("order"))
        gate.open(1)
        self.assert_code(0, self.d.wait(*held))

    def test_S45_payloads_of_every_size_go_there_and_back(self):
        self.d.start_broker()
        self.d.start_worker(2)
        rng = random.Random(45)
        for size in (0, 1, 1023, 1024, 1025, 2048, 65535, 65536, 65537):
            data = rng.randbytes(size)
            output = self.d.call("run", "--stdin", "--", "cat", input=data)
            self.assertTrue((output.code, output.out) == (0, data), "%d bytes" % size)
        large = rng.randbytes((16 << 20) - 65536)  # the bound is for the packed command, 16 MiB
        output = self.d.call("run", "--stdin", "--", "md5sum", input=large)
        self.assertEqual((0, hashlib.md5(large).hexdigest()), (output.code, output.text.split()[0]))

    def test_S46_a_log_has_offsets_and_an_end_and_can_be_resumed(self):
        self.d.start_broker()
        self.d.start_worker(1)
        gate = self.d.gate()
        data = random.Random(46).randbytes(200000)
        id = self.d.submit("sh", "-c", 'cat "$1"; read line < "$2"; echo end', "sh", self.d.write("data", data),
                           gate.path)
        seen = b""
        while len(seen) < len(data):  # a new connection for each piece
            with self.d.peer() as peer:
                part = peer.ask("log_read", id=id, stream=1, offset=len(seen), limit=30000, follow=1)
            self.assertEqual((0, len(seen), 0), (part["error"], part["offset"], part["end"]))
            self.assertGreater(len(part["bytes"]), 0)
            seen += part["bytes"]
        with self.d.peer() as peer:
            part = peer.ask("log_read", id=id, stream=1, offset=len(seen), limit=30000, follow=0)
            self.assertEqual((b"", 0), (part["bytes"], part["end"]), "nothing yet is not the end")
        gate.open()
        self.assert_code(0, self.d.wait(id))
        end = 0
        while not end:
            with self.d.peer() as peer:
                part = peer.ask("log_read", id=id, stream=1, offset=len(seen), limit=30000, follow=1)
            self.assertEqual(len(seen), part["offset"])
            seen, end = seen + part["bytes"], part["end"]
        self.assertTrue(seen == data + b"end\n")

    def test_S47_characters_cut_anywhere_and_bytes_that_are_none(self):
        self.d.start_broker()
        self.d.start_worker(1)
        expected = ("收" * 400).encode()
        script = self.d.script("cut", "import os\ndata = '收' .encode() * 400\nfor i in range(0, 1200, 7):\n"
                                      "    os.write(1, data[i:i + 7])\n")
        output = self.d.call("run", "--", script, check=0)
        self.assertEqual(expected, output.out)
        self.assertEqual(expected, self.d.call("logs", "last", check=0).out)
        id = self.d.submit("printf", r"\377\346\224", flags=["--title", b"\xff\xe6\x94"])
        self.assert_code(0, self.d.wait(id))
        self.assertEqual(b"\xff\xe6\x94", self.d.call("logs", str(id)).out)
        for args in (["logs", str(id)], ["info", str(id)], ["result", str(id)], ["ls"], ["wait", str(id)]):
            output = self.d.call("-o", "json", *args)
            if output.code == 0:
                output.json()

    def test_S48_nothing_depends_on_the_sizes_of_reads(self):
        self.d.start_broker()
        self.d.start_worker(1)
        silent = [wire.connect(self.d.url, timeout=harness.PATIENCE) for _ in range(3)]
        half = wire.connect(self.d.url, timeout=harness.PATIENCE)
        half.sendall(wire.greeting()[:20])
        seen = {}

        def crawl():
            with self.d.peer(byte_gap=0.01, timeout=harness.PATIENCE) as peer:
                seen["slow"] = peer.ask("stats")["counters"]

        slow = threading.Thread(target=crawl)
        slow.start()
        while slow.is_alive():  # others are not delayed by it
            self.assertEqual(b"there\n", self.d.call("run", "--", "echo", "there", check=0).out)
        slow.join()
        self.assertTrue(seen.get("slow"))
        for peer in silent + [half]:  # whoever does not finish the handshake is dropped
            try:
                while peer.recv(4096):
                    pass
            except ConnectionError:
                pass
            except socket.timeout:
                self.fail("a silent peer is not dropped")
            peer.close()
        self.assert_code(0, self.d.call("ping"))

    def test_S49_the_endpoint_is_ones_own_and_ping_tells_what_is_wrong(self):
        self.d.start_broker()
        path = self.d.url.removeprefix("ipc://")
        self.assertEqual(0o600, os.stat(path).st_mode & 0o777)
        self.assertEqual(0o700, os.stat(os.path.dirname(path)).st_mode & 0o777)
        for store in (self.d.store, self.d.path("other.db")):
            code, text = self.d.refused_broker("--url", self.d.url, "--store", store)
            self.assertEqual(69, code)
            self.assertIn(str(self.d.broker.pid), text)
        fine = self.d.call("ping", check=0)
        self.assertRegex(fine.text, r"[0-9].*[mµu]s")
        texts = [fine.text]
        for url in ("ipc://%s/none/jobqd.sock" % self.d.directory, self.closed_port(), self.other_version()):
            output = self.d.call("--url", url, "--timeout", "1s", "ping")
            self.assert_code(FAILED, output)
            texts.append(output.errors)
        self.assertEqual(len(texts), len(set(texts)))
        self.assertIn("version", texts[-1])

    def closed_port(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            return "tcp://127.0.0.1:%d" % server.getsockname()[1]

    def other_version(self):
        """The URL of something that speaks ZeroMQ and refuses everybody's version."""
        path = self.d.path("versions.sock")
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        server.bind(path)
        server.listen()
        text = wire.encode("error", 0, error=-18, text="no common protocol version: here 7 to 9, there 1 to 1")

        def serve():
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    try:
                        connection.sendall(wire.greeting() + wire.ready_command(b"ROUTER") + wire.zmtp_frame(text))
                        while connection.recv(4096):
                            pass
                    except OSError:
                        pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()

        def stop():
            server.shutdown(socket.SHUT_RDWR)
            server.close()
            thread.join()
        self.addCleanup(stop)
        return "ipc://" + path


if __name__ == "__main__":
    harness.main()
