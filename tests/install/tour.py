#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the tour of README.md: tour.py BIN-DIR..., where the three programs are.

A ```console block after a line <!-- tour --> is a session in one shell: "$ " begins a command, the
lines after it are what it must print, standard error included. "..." in a line stands for any
text; alone on a line, for any lines, also none. It runs in a copy of what it names, with a home of
its own.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
MARK = "== end of command =="


def sessions(text):
    return re.findall(r"^<!-- tour -->\n```console\n(.*?)^```$", text, re.S | re.M)


def commands(session):
    """(command, expected lines) each."""
    found = []
    for line in session.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


def matches(expected, printed):
    pattern = ""
    for line in expected:
        if line == "...":
            pattern += r"(?:.*\n)*"
        else:
            pattern += ".*".join(re.escape(part) for part in line.split("...")) + r"\n"
    return re.fullmatch(pattern, printed) is not None


class Shell:
    def __init__(self, directory, environment):
        self.process = subprocess.Popen(
            ["sh"], cwd=directory, env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def run(self, command):
        self.process.stdin.write("%s\necho '%s'\n" % (command, MARK))
        self.process.stdin.flush()
        printed = ""
        for line in self.process.stdout:
            if line == MARK + "\n":
                return printed
            printed += line
        raise SystemExit("the shell ended in: " + command)


def walk(shell, text):
    count = 0
    for session in sessions(text):
        for command, expected in commands(session):
            printed = shell.run(command)
            count += 1
            if not matches(expected, printed):
                print("README.md: $ %s\nexpected:\n%s\nprinted:\n%s"
                      % (command, "\n".join(expected), printed))
                return 1
    print("%d commands of the tour did as README.md says" % count)
    return 0 if count > 10 else 1


def main():
    path = ":".join([os.path.abspath(name) for name in sys.argv[1:]] + [os.environ["PATH"]])
    home = tempfile.mkdtemp(prefix="jq-tour-", dir="/tmp")
    place = os.path.join(home, "source")
    shutil.copytree(ROOT / "proto", os.path.join(place, "proto"))
    shutil.copytree(ROOT / "worker" / "include", os.path.join(place, "worker", "include"))
    shutil.copytree(ROOT / "worker" / "examples", os.path.join(place, "worker", "examples"))
    shutil.copy(ROOT / "LICENSE", place)
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith(("JOBQ_U", "JOBQ_S", "XDG_"))}
    environment.update(HOME=home, XDG_RUNTIME_DIR=home, LC_ALL="C.UTF-8",
                       PATH=path)
    try:
        return walk(Shell(place, environment), (ROOT / "README.md").read_text(encoding="utf-8"))
    finally:
        subprocess.run(["jobq", "--no-autostart", "broker", "stop"],
                       env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       check=False)
        shutil.rmtree(home, ignore_errors=True)


sys.exit(main())
