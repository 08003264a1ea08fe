# SPDX-License-Identifier: MIT
"""Wrong flags, wrong stores, full disks, closed files: a clear error, and nothing lost."""

import errno
import json
import os
import signal
import sqlite3
import subprocess

import harness
from harness import CANCELLED, FAILED, wait_until

USAGE, HELD, CANTCREAT, BAD_STORE, TEMPORARY, CONFIG = 64, 69, 73, 74, 75, 78  # of jobqd, jobq-worker


class WrongWords(harness.Case):
    def assert_refused(self, named, *args):
        output = self.d.call(*args, timeout=15)
        self.assert_code(FAILED, output)
        self.assertIn(named, output.errors)
        self.assertEqual(b"", output.out)

    def test_jobq_names_what_it_does_not_know(self):
        self.d.start_broker()
        self.assert_refused("frobnicate", "frobnicate")
        self.assert_refused("--frobnicate", "--frobnicate", "ls")
        for command in ("submit", "run", "wait", "ls", "info", "logs", "cancel", "ping"):
            self.assert_refused("--frobnicate", command, "--frobnicate")
        self.assert_refused("xml", "-o", "xml", "ls")
        self.assert_refused("soon", "--timeout", "soon", "wait", "1")
        self.assert_refused("-5", "--timeout", "-5", "wait", "1")
        self.assert_refused("--timeout", "wait", "--timeout")
        for word in ("abc", "1-", "9-3", "0x10", "-1", "18446744073709551616", "1 2"):
            self.assert_refused(word, "wait", "--", word)
        self.assert_refused("no such file", "submit", "--input", self.d.path("no such file"), "--", "true")
        self.assert_refused("a/b", "submit", "--queue", "a/b", "--", "true")
        self.assertEqual(0, self.d.counters()["submitted"])

    def test_jobq_says_what_is_missing(self):
        self.d.start_broker()
        for args in (["submit"], ["submit", "--"], ["run"], ["wait"], ["logs"], ["cancel"], ["info"]):
            output = self.d.call(*args, timeout=15)
            self.assert_code(FAILED, output)
            self.assertTrue(output.errors.strip(), args)
            self.assertEqual(b"", output.out)

    def test_jobq_names_a_url_that_is_none(self):
        for url in ("http://localhost:80", "ipc://", "nonsense", "tcp://127.0.0.1", "ipc:///" + "x" * 300):
            output = self.d.call("--url", url, "ping", timeout=20)
            self.assert_code(FAILED, output)
            self.assertTrue(url[:30] in output.errors or "URL" in output.errors, output)
            self.assertNotIn("invalid argument", output.errors)
        self.assertIn("ipc://PATH", self.d.call("--url", "nonsense", "ping").errors)
        self.assertIn("port", self.d.call("--url", "tcp://127.0.0.1", "ping").errors)

    def test_what_is_not_there_has_no_state_in_json(self):
        self.d.start_broker()
        id = self.d.submit("true")
        for command in ("wait", "info", "cancel"):
            output = self.d.call("-o", "json", command, "77777")
            self.assert_code(FAILED, output)
            self.assertEqual([{"id": "77777", "error": "ENOENT"}], json.loads(output.out), command)
            self.assertIn("no such job", output.errors)
        for error in (None, "EALREADY"):
            answer, = json.loads(self.d.call("-o", "json", "cancel", str(id)).out)
            self.assertEqual((error, "cancelled"), (answer.get("error"), answer["state"]))

    def test_an_empty_name_of_a_place_is_no_place(self):
        self.d.start_broker()
        self.assert_refused("--cwd", "submit", "--cwd", "", "--", "true")
        self.assert_refused("--input", "submit", "--input", "", "--", "true")
        self.assert_refused("standard input", "submit", "--batch", "-", "--input", "-")
        self.assertEqual(0, self.d.counters()["submitted"])

    def test_the_other_programs_name_what_they_do_not_know(self):
        for name in ("jobqd", "jobq-worker"):
            for code, args, named in ((USAGE, ["--frobnicate"], "--frobnicate"), (USAGE, ["word"], "word"),
                                      (USAGE, ["--url"], "--url"),
                                      (USAGE, ["--log-level=loud"], "loud"),
                                      (CONFIG, ["--config", self.d.path("none")], self.d.path("none"))):
                process = self.d.spawn(name, args)
                seen = process.wait()
                self.assertIn(named, process.text())
                self.assertIn(seen, (code, CONFIG), process.text())

    def test_a_file_of_settings_is_checked(self):
        for text, named in (("nonsense = 1\n", "nonsense"), ("lease = soon\n", "soon"), ("lease\n", "name = value")):
            path = self.d.write("conf", text)
            process = self.d.spawn("jobqd", ["--check-config", "--config", path])
            self.assertEqual(CONFIG, process.wait(), process.text())
            self.assertIn(named, process.text())


class Stores(harness.Case):
    def assert_store_refused(self, path, codes=(BAD_STORE,)):
        code, text = self.d.refused_broker("--url", self.d.url, "--store", path)
        self.assertIn(code, codes, text)
        self.assertIn(os.path.dirname(path), text)

    def test_a_text_is_no_store_and_stays_as_it_is(self):
        for text in (b"a letter to somebody\n" * 400, b"short", bytes(8192)):
            path = self.d.write("text", text)
            self.assert_store_refused(path)
            self.assertEqual(text, self.d.read("text"))

    def test_a_database_of_another_program_is_no_store_and_stays_as_it_is(self):
        path = self.d.path("other.db")
        with sqlite3.connect(path) as other:
            other.execute("create table jobs(id integer primary key, name text)")
            other.execute("insert into jobs values(1, 'theirs')")
        other.close()
        before = self.d.read("other.db")
        self.assert_store_refused(path)
        self.assertEqual(before, self.d.read("other.db"))

    def test_a_place_where_no_store_can_be(self):
        self.d.write("file", "")
        for path in (self.d.path("file", "jobq.db"), self.d.make("folder"), "/proc/none/jobq.db"):
            self.assert_store_refused(path, (CANTCREAT, BAD_STORE))

    def test_a_directory_that_may_not_be_read(self):
        locked = self.d.make("locked")
        os.chmod(locked, 0)
        os.chmod(self.d.directory, 0o755)
        how, place = {}, self.d.make("place")
        if os.geteuid() == 0:
            how["user"] = 65534
            os.chown(place, 65534, -1)
        try:
            process = self.d.spawn("jobqd", ["--config", "/dev/null", "--url", "ipc://%s/q.sock" % place,
                                             "--store", os.path.join(locked, "jobq.db")], **how)
        except PermissionError as error:
            self.skipTest("another user may not run the programs: %s" % error)
        self.assertIn(process.wait(), (CANTCREAT, BAD_STORE), process.text())
        self.assertIn(locked, process.text())

    def test_a_truncated_store_is_refused_or_whole(self):
        self.d.start_broker()
        ids = [self.d.submit("true") for _ in range(20)]
        self.assertEqual(0, self.d.broker.stop())
        whole = self.d.read("jobq.db")
        for size in (len(whole) // 2, 100, 0):
            self.d.write("jobq.db", whole[:size])
            self.assert_store_refused(self.d.store)
        self.d.write("jobq.db", whole)
        self.d.start_broker()
        self.assertEqual(["ready"] * 20, [job["state"] for job in self.d.info(*ids)])

    def test_a_second_broker_is_refused_and_told_who_holds_it(self):
        self.d.start_broker()
        id = self.d.submit("true")
        elsewhere = "ipc://%s/other/jobqd.sock" % self.d.directory
        for url, store in ((self.d.url, self.d.store), (elsewhere, self.d.store),
                           (self.d.url, self.d.path("other.db"))):
            code, text = self.d.refused_broker("--url", url, "--store", store)
            self.assertEqual(HELD, code, text)
            self.assertIn(str(self.d.broker.pid), text)
        # The first has noticed nothing, and a link to the store is the store.
        os.symlink(self.d.store, self.d.path("link.db"))
        code, text = self.d.refused_broker("--url", elsewhere, "--store", self.d.path("link.db"))
        self.assertEqual(HELD, code, text)
        self.assertEqual("ready", self.d.state(id))
        self.d.start_worker(1)
        self.assert_code(0, self.d.wait(id))


class FullDisk(harness.Case):
    def setUp(self):
        super().setUp()
        self.disk = self.d.make("disk")
        mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160m,mode=0700", "jobq-test", self.disk],
                               capture_output=True, text=True)
        if mount.returncode != 0:
            self.skipTest("no tmpfs may be mounted here: " + mount.stderr.strip())
        self.addCleanup(subprocess.run, ["umount", "-l", self.disk], check=True)
        self.d.store = os.path.join(self.disk, "jobq.db")

    def submit(self, size):
        return self.d.call("submit", "--stdin", "--", "wc", "-c", input=bytes(size))

    def fill(self, leave):
        with open(os.path.join(self.disk, "filler"), "wb") as file:
            free = os.statvfs(self.disk)
            left = free.f_bavail * free.f_frsize - leave
            try:
                while left > 0:
                    left -= file.write(bytes(min(left, 1 << 16)))
                    file.flush()
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise

    def empty(self):
        os.unlink(os.path.join(self.disk, "filler"))

    def test_submits_are_refused_in_time_and_what_was_taken_goes_on(self):
        self.d.start_broker()  # 64 MiB are to stay free
        ids = []
        for _ in range(160):
            output = self.submit(1 << 20)
            if output.code != 0:
                break
            ids.append(output.id)
        self.assert_code(FAILED, output)
        self.assertIn("space", output.errors)
        self.assertEqual(b"", output.out)
        self.assertTrue(ids)
        self.assertTrue(self.d.broker.running())
        self.d.start_worker(2)
        self.assert_code(0, self.d.wait(*ids))
        for id in ids:
            self.assertEqual(b"1048576\n", self.d.call("logs", str(id)).out)

    def test_room_that_comes_back_is_used(self):
        self.d.start_broker()
        self.d.start_worker(1)
        self.assert_code(0, self.submit(10))
        self.fill(leave=32 << 20)
        refused = wait_until(lambda: (lambda o: o.code != 0 and o)(self.submit(10)), "a submit is refused")
        self.assert_code(FAILED, refused)
        self.assertIn("space", refused.errors)
        self.empty()
        output = wait_until(lambda: (lambda o: o.code == 0 and o)(self.submit(10)), "a submit is taken again")
        self.assert_code(0, self.d.wait(output.id))

    def test_a_disk_that_is_full_all_the_same_loses_nothing_acknowledged(self):
        self.d.start_broker("--store-min-free", "0")
        ids = [self.submit(1000).id for _ in range(10)]
        self.fill(leave=0)
        call = self.d.background("submit", "--stdin", "--", "wc", "-c")
        call.stdin.write(bytes(12 << 20))  # more than the log has place for, which has its size already
        call.stdin.close()
        call.stdin = None
        # The commit's outcome is unknown, so nobody is told anything.
        self.assertEqual(TEMPORARY, self.d.broker.wait())
        self.assertIn("store.failed", self.d.broker.text())
        self.empty()
        self.d.start_broker()
        out, err = call.communicate(timeout=2 * harness.PATIENCE)
        self.assertEqual(0, call.returncode, err)
        ids.append(int(out))
        self.assertEqual(len(ids), self.d.stats()["queues"][0]["ready"], "each exactly once")
        self.d.start_worker(2)
        self.assert_code(0, self.d.wait(*ids))


class ClosedFiles(harness.Case):
    """By a shell, as the parents of daemons do it."""

    CLOSED = ("<&-", ">&-", "2>&-", "<&- >&- 2>&-")

    def shell(self, closed, name, *args, **how):
        popen = subprocess.Popen(["sh", "-c", 'exec "$0" "$@" ' + closed, harness.program(name), *args],
                                 env=self.d.environment, cwd=self.d.directory, **how)
        self.d.processes.append(harness.Process(name, popen, os.devnull))
        return popen

    def test_jobqd_and_jobq_worker_serve_without_standard_files(self):
        for number, closed in enumerate(self.CLOSED):
            self.d.url = self.d.environment["JOBQ_URL"] = "ipc://%s/q%d/jobqd.sock" % (self.d.directory, number)
            reader, writer = os.pipe()
            broker = self.shell(closed, "jobqd", "--config", "/dev/null", "--url", self.d.url, "--store",
                                self.d.path("%d.db" % number), "--ready-fd", str(writer), pass_fds=[writer])
            os.close(writer)
            with open(reader, "rb") as file:
                self.assertEqual(b"READY=1 %s %d\n" % (self.d.url.encode(), broker.pid), file.read())
            worker = self.shell(closed, "jobq-worker", "--config", "/dev/null", "--url", self.d.url, "--slots", "2")
            output = self.d.call("run", "--stdin", "--", "sh", "-c", "cat; echo err >&2", input=b"data")
            self.assertEqual((0, b"data", b"err\n"), (output.code, output.out, output.err), closed)
            for process in (worker, broker):
                process.send_signal(signal.SIGTERM)
                self.assertEqual(0, process.wait(harness.PATIENCE))
            # Nothing was written into a socket or the store in their place.
            self.d.start_broker(store=self.d.path("%d.db" % number))
            self.assertEqual(0, self.d.broker.stop())

    def test_jobq_does_not_claim_to_have_said_what_nobody_can_read(self):
        self.d.start_broker()
        self.d.start_worker(1)
        for args in (["submit", "--", "true"], ["ls"], ["run", "--", "echo", "hello"], ["version"], ["--help"]):
            self.assertEqual(FAILED, self.shell(">&-", "jobq", *args, stderr=subprocess.DEVNULL).wait(30), args)
            self.assertEqual(FAILED, self.shell(">/dev/full", "jobq", *args, stderr=subprocess.DEVNULL).wait(30), args)

    def test_jobq_works_without_the_files_it_does_not_need(self):
        self.d.start_broker()
        self.d.start_worker(1)
        for closed in ("<&-", "2>&-", "<&- 2>&-"):
            call = self.shell(closed, "jobq", "run", "--", "echo", "hello", stdout=subprocess.PIPE)
            self.assertEqual((b"hello\n", None), call.communicate(timeout=harness.PATIENCE))
            self.assertEqual(0, call.returncode)

    def test_a_closed_standard_input_is_not_an_empty_one(self):
        self.d.start_broker()
        for args in (["wait", "-"], ["cancel", "-"], ["submit", "--batch", "-"], ["submit", "--stdin", "--", "cat"],
                     ["submit", "--input", "-", "--", "cat"]):
            call = self.shell("<&-", "jobq", *args, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            out, err = call.communicate(timeout=harness.PATIENCE)
            self.assertEqual((FAILED, b""), (call.returncode, out), args)
            self.assertIn(b"standard input", err, args)
        self.assertEqual(0, self.d.counters()["submitted"])

    def test_a_submit_whose_id_nobody_took_names_it(self):
        self.d.start_broker()
        call = self.shell(">/dev/full", "jobq", "submit", "--", "true", stderr=subprocess.PIPE)
        self.assertIn(b"job 1 was submitted", call.communicate(timeout=harness.PATIENCE)[1])
        self.assertEqual(FAILED, call.returncode)

    def test_a_reader_that_goes_away_ends_run_and_its_job(self):
        self.d.start_broker()
        self.d.start_worker(1)
        gate = self.d.gate()
        call = self.d.background("run", "--", "sh", "-c",
                                 'echo begin; read line < "$1"; while :; do echo more; done', "sh", gate.path)
        self.assertEqual(b"begin\n", call.stdout.readline())
        call.stdout.close()
        gate.open()
        self.assertNotEqual(0, call.wait(harness.PATIENCE))
        self.assert_code(CANCELLED, self.d.call("wait", "last"))


if __name__ == "__main__":
    harness.main()
