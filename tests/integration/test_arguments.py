# SPDX-License-Identifier: MIT
"""Arguments, environment, directory and input arrive byte for byte."""

import os
import random

import harness
from harness import FAILED

SHOW_ARGUMENTS = """
import os, sys
for argument in sys.argv[1:]:
    sys.stdout.buffer.write(os.fsencode(argument) + b"\\0")
"""
ODD = [b"", b" ", b"a b", b"*", b"$HOME", b"`id`", b"a\nb\n", b"'", b'"', b"\\", b"\t", b"-", b"--", b"-o", b"~",
       b"\xff\xfe", b"\xe6\x94", "收".encode(), b"\x01\x7f", b";rm", b"{}", b"%s%n", b"="]


class Arguments(harness.Case):
    def setUp(self):
        super().setUp()
        self.d.start_broker()
        self.d.start_worker(2)
        self.show = self.d.script("show", SHOW_ARGUMENTS)

    def seen_by_job(self, *arguments, flags=()):
        output = self.d.call("run", *flags, "--", self.show, *arguments)
        self.assert_code(0, output)
        return output.out.split(b"\0")[:-1]

    def test_odd_arguments_arrive_as_they_are(self):
        self.assertEqual(ODD, self.seen_by_job(*ODD))

    def test_every_byte_but_nul_arrives(self):
        every = [bytes([byte]) for byte in range(1, 256)] + [bytes(range(1, 256))]
        self.assertEqual(every, self.seen_by_job(*every))

    def test_no_arguments_are_none_and_trailing_empty_ones_are_kept(self):
        self.assertEqual([], self.seen_by_job())
        self.assertEqual([b"", b"", b""], self.seen_by_job(b"", b"", b""))

    def test_128_kib_of_arguments_arrive(self):
        rng = random.Random(20)
        sizes = [1] * 1024 + [1024] * 64 + [65536]
        arguments = [bytes(rng.randrange(1, 256) for _ in range(size)) for size in sizes]
        self.assertGreaterEqual(sum(map(len, arguments)), 128 << 10)
        self.assertEqual(arguments, self.seen_by_job(*arguments))
        one = [b"x" * ((128 << 10) - 1)]  # the most that Linux lets one argument have
        self.assertEqual(one, self.seen_by_job(*one))

    def test_flags_of_the_command_are_not_flags_of_jobq(self):
        words = [b"--timeout", b"1s", b"--", b"-o", b"json", b"--no-such-flag"]
        self.assertEqual(words, self.seen_by_job(*words))
        # Without "--" the first word ends the flags.
        output = self.d.call("run", self.show, *words)
        self.assert_code(0, output)
        self.assertEqual(words, output.out.split(b"\0")[:-1])

    def test_odd_bytes_in_a_command_leave_listings_readable(self):
        id = self.d.submit(self.show, *ODD)
        self.assert_code(0, self.d.wait(id))
        for args in (["ls"], ["info", str(id)]):
            output = self.d.call("-o", "json", *args, check=0)
            self.assertIn(str(id), str(output.json()))
        table = self.d.call("ls", check=0).out.decode()  # valid UTF-8
        self.assertNotIn("\x01", table)
        self.assertEqual(2, len(table.splitlines()), table)

    def test_a_shell_runs_only_on_request(self):
        self.assertEqual(b"$((1+1)) | cat\n", self.d.call("run", "--", "echo", "$((1+1)) | cat").out)
        self.assertEqual(b"2 b c\n", self.d.call("run", "--shell", 'echo $((1+1)) "$1"', "--", "b c").out)


class Surroundings(harness.Case):
    def setUp(self):
        super().setUp()
        self.d.start_broker()
        self.d.start_worker(2)

    def environment_of_job(self, *flags, env=None):
        output = self.d.call("run", *flags, "--", "/usr/bin/env", "-0", env=env)
        self.assert_code(0, output)
        return dict(entry.split(b"=", 1) for entry in output.out.split(b"\0")[:-1])

    def test_the_environment_is_that_of_the_submitter_and_only_what_is_meant(self):
        seen = self.environment_of_job(env={"TZ": "Asia/Tokyo", "SECRET": "s", "LC_ALL": "C", "HOME": "/tmp"})
        self.assertEqual((b"Asia/Tokyo", b"C", b"/tmp"), (seen[b"TZ"], seen[b"LC_ALL"], seen[b"HOME"]))
        self.assertNotIn(b"SECRET", seen)

    def test_variables_are_taken_along_on_request_byte_for_byte(self):
        odd = os.fsdecode(b"a=b \xff\n*'\"")
        seen = self.environment_of_job("--env", "SECRET", "--env", b"ODD=" + os.fsencode(odd), "--env", "EMPTY=",
                                       "--env", "ABSENT", env={"SECRET": odd})
        self.assertEqual((os.fsencode(odd), os.fsencode(odd), b""), (seen[b"SECRET"], seen[b"ODD"], seen[b"EMPTY"]))
        self.assertNotIn(b"ABSENT", seen)
        self.assertEqual(b"s", self.environment_of_job("--env-all", env={"SECRET": "s"})[b"SECRET"])

    def test_the_directory_is_the_submitters_or_the_one_named(self):
        odd = os.fsencode(self.d.directory) + b"/a b\n\xff*"
        os.mkdir(odd)
        self.assertEqual(odd, self.d.call("run", "--", "/bin/sh", "-c", 'printf %s "$(/bin/pwd; echo .)"',
                                          cwd=odd).out.rstrip(b".").rstrip(b"\n"))
        self.assertEqual(odd + b"\n", self.d.call("run", "--cwd", odd, "--", "/bin/pwd").out)

    def test_a_directory_that_is_not_there_fails_the_job_and_says_so(self):
        gone = self.d.path("gone")
        id = self.d.submit("true", flags=["--cwd", gone])
        self.assert_code(126, self.d.wait(id))
        self.assertIn("gone", self.d.info(id)[0]["reason"])

    def test_standard_input_arrives_with_its_nul_bytes(self):
        every = bytes(range(256)) * 4097 + b"\0"
        self.assertEqual(every, self.d.call("run", "--stdin", "--", "cat", input=every).out)
        self.d.write("input", every)
        self.assertEqual(every, self.d.call("run", "--input", self.d.path("input"), "--", "cat").out)
        self.assertEqual(b"", self.d.call("run", "--", "cat", input=b"not asked for").out)

    def test_standard_input_beyond_the_bound_is_refused_before_anything_is_sent(self):
        output = self.d.call("submit", "--stdin", "--", "cat", input=bytes((16 << 20) + 1))
        self.assert_code(FAILED, output)
        self.assertEqual(b"", output.out)
        self.assertEqual(0, self.d.counters()["submitted"])


if __name__ == "__main__":
    harness.main()
