# SPDX-License-Identifier: MIT
"""What a command writes comes back byte for byte: at every size, cut anywhere, while it runs and later."""

import hashlib
import random

import harness
from harness import wait_until

# Around everything that somebody once read in one go.
SIZES = (0, 1, 1023, 1024, 1025, 2048, 65535, 65536, 65537, 262143, 262144, 262145, 1 << 20)
KEPT = 8 << 20

# argv: file, and sizes of the pieces in which it is written, over and over.
WRITE_IN_PIECES = """
import os, sys
data = open(sys.argv[1], "rb").read()
cuts = [int(word) for word in sys.argv[2:]]
turn = 0
while data:
    size = os.write(1, data[:cuts[turn % len(cuts)]])
    data = data[size:]
    turn += 1
"""
# Numbered lines of 16 bytes, argv[1] bytes of them.
WRITE_NUMBERED = """
import sys
at, end = 0, int(sys.argv[1])
while at < end:
    sys.stdout.buffer.write(b"".join(b"%015x\\n" % (at + i * 16) for i in range(4096)))
    at += 65536
"""


def numbered(first, last):
    return b"".join(b"%015x\n" % at for at in range(first, last, 16))


class OutputOfJobs(harness.Case):
    def setUp(self):
        super().setUp()
        self.d.start_broker()
        self.d.start_worker(4)

    def logs(self, id, *flags):
        return self.d.call("logs", *flags, str(id), check=0)

    def assert_same_bytes(self, expected, seen, what):
        if expected != seen:  # assertEqual would print megabytes
            self.fail("%s: %d bytes %s, not %d bytes %s" % (
                what, len(seen), hashlib.md5(seen).hexdigest(), len(expected), hashlib.md5(expected).hexdigest()))

    def test_every_size_comes_back_by_run_and_by_logs(self):
        rng = random.Random(45)
        for size in SIZES:
            data = rng.randbytes(size)
            path = self.d.write("data", data)
            output = self.d.call("run", "--", "cat", path, check=0)
            self.assert_same_bytes(data, output.out, "run of %d bytes" % size)
            id = self.d.submit("cat", path)
            self.assert_code(0, self.d.wait(id))
            self.assert_same_bytes(data, self.logs(id).out, "logs of %d bytes" % size)
            self.assert_same_bytes(data, self.logs(id, "-f").out, "logs -f of %d bytes" % size)
            self.assertEqual(size, self.d.info(id)[0]["stdout_bytes"])

    def test_100_mib_keep_head_and_tail_and_say_what_is_missing(self):
        size = 100 << 20
        id = self.d.submit(self.d.script("numbers", WRITE_NUMBERED), str(size))
        self.assert_code(0, self.d.wait(id))
        self.assertEqual(size, self.d.info(id)[0]["stdout_bytes"])
        output = self.logs(id)
        half = KEPT // 2
        self.assert_same_bytes(numbered(0, half), output.out[:half], "the head")
        self.assert_same_bytes(numbered(size - half, size), output.out[-half:], "the tail")
        self.assertIn(str(size - KEPT), output.errors + output.out[half:-half].decode())

    def test_output_bytes_of_a_job_bounds_what_is_kept(self):
        path = self.d.write("data", numbered(0, 65536))
        id = self.d.submit("cat", path, flags=["--output-bytes", "8K"])
        self.assert_code(0, self.d.wait(id))
        output = self.logs(id)
        self.assertEqual((numbered(0, 4096), numbered(61440, 65536)), (output.out[:4096], output.out[-4096:]))

    def test_multibyte_characters_cut_anywhere_come_out_whole(self):
        data = ("收" * 400 + "𝄞ß" * 100).encode()
        path = self.d.write("data", data)
        script = self.d.script("pieces", WRITE_IN_PIECES)
        for cuts in ((1,), (2,), (1024,), (1, 2, 5, 7, 1021)):
            output = self.d.call("run", "--", script, path, *map(str, cuts), check=0)
            self.assertEqual(data, output.out, cuts)

    def test_standard_error_stays_apart(self):
        id = self.d.submit("sh", "-c", "echo out; echo err >&2; echo out2; echo err2 >&2")
        self.assert_code(0, self.d.wait(id))
        self.assertEqual((b"out\nout2\n", b"err\nerr2\n"), (self.logs(id).out, self.logs(id).err))
        output = self.d.call("run", "--", "sh", "-c", "echo out; echo err >&2", check=0)
        self.assertEqual((b"out\n", b"err\n"), (output.out, output.err))

    def test_merged_standard_error_keeps_its_place(self):
        output = self.d.call("run", "--merge", "--", "sh", "-c", "echo 1; echo 2 >&2; echo 3", check=0)
        self.assertEqual(b"1\n2\n3\n", output.out)

    def test_two_followers_see_a_running_job_live_and_whole(self):
        gate = self.d.gate()
        script = 'echo begin; read line < "$1"; cat "$2"; read line < "$1"; echo end'
        data = random.Random(46).randbytes(300000)
        id = self.d.submit("sh", "-c", script, "sh", gate.path, self.d.write("data", data))
        followers = [self.d.background("logs", "-f", str(id)) for _ in range(2)]
        for follower in followers:
            self.assertEqual(b"begin\n", follower.stdout.readline())  # while the job runs
        self.assertEqual("running", self.d.state(id))
        gate.open()
        wait_until(lambda: self.logs(id).out == b"begin\n" + data, "logs of a running job show all so far")
        gate.open()
        for follower in followers:
            out, err = follower.communicate(timeout=harness.PATIENCE)
            self.assert_same_bytes(data + b"end\n", out, "what a follower saw")
            self.assertEqual((0, b""), (follower.returncode, err))

    def test_a_follower_survives_a_restart_of_the_broker(self):
        gate = self.d.gate()
        script = 'echo begin; read line < "$1"; echo middle; read line < "$1"; echo end'
        id = self.d.submit("sh", "-c", script, "sh", gate.path)
        follower = self.d.background("logs", "-f", str(id))
        self.assertEqual(b"begin\n", follower.stdout.readline())
        self.d.broker.kill()
        self.d.start_broker()
        gate.open()
        self.assertEqual(b"middle\n", follower.stdout.readline())
        gate.open()
        out, _ = follower.communicate(timeout=harness.PATIENCE)
        self.assertEqual((0, b"end\n"), (follower.returncode, out))

    def test_a_hundred_jobs_do_not_mix_their_output(self):
        ids = [self.d.submit("sh", "-c", "for i in 1 2 3 4 5; do echo $1; echo $1 >&2; done", "sh", str(n))
               for n in range(100)]
        self.assert_code(0, self.d.wait(*ids))
        for number, id in enumerate(ids):
            output = self.logs(id)
            self.assertEqual((b"%d\n" % number * 5,) * 2, (output.out, output.err))


if __name__ == "__main__":
    harness.main()
