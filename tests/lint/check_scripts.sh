#!/bin/sh
# SPDX-License-Identifier: MIT
#
# check_scripts.sh - shellcheck over every shell script, and every Python file is Python.
set -eu
cd "$(dirname "$0")/../.."
status=0
python=$(mktemp)
trap 'rm -f "$python"' EXIT
tests/lint/files.sh '*.py' >"$python"

for file in $(tests/lint/files.sh '*'); do
    case $(head -n 1 "$file" | tr -d '\0') in
    '#!/bin/sh' | '#!/bin/bash' | '#!/usr/bin/env bash')
        [ -x "$file" ] || { echo "$file: is a script and not executable"; status=1; }
        shellcheck "$file" || status=1
        ;;
    '#!/usr/bin/env python3' | '#!/usr/bin/python3')
        [ -x "$file" ] || { echo "$file: is a script and not executable"; status=1; }
        echo "$file" >>"$python"
        ;;
    esac
    case $file in
    deploy/completions/*.bash) shellcheck -s bash "$file" || status=1 ;;
    esac
done

python3 -c '
import sys
bad = 0
for name in sorted(set(sys.stdin.read().split())):
    try:
        compile(open(name, encoding="utf-8").read(), name, "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        print(f"{name}: {error}")
        bad = 1
sys.exit(bad)' <"$python" || status=1
exit $status
