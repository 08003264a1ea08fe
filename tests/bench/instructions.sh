#!/bin/sh
# SPDX-License-Identifier: MIT
#
# instructions.sh [--update] PROGRAM - instructions per job of the fixed scenarios (scenario.c),
# against those of instructions.txt, beside 5 %. Seconds depend on the machine's mood; instructions
# on the compiler and the C library alone: those of Debian 12, release build. What costs less by
# more than 5 % fails, too: then the new figure is to be noted (--update).
set -eu

update=no
if [ "${1:-}" = --update ]; then
    update=yes
    shift
fi
program=$1
here=$(cd "$(dirname "$0")" && pwd)
figures=$here/instructions.txt
jobs=25600
failed=no
scratch=$(mktemp -d "${TMPDIR:-/tmp}/jobq-instructions.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

for scenario in plain items priority; do
    valgrind --tool=callgrind --toggle-collect=measured \
        --callgrind-out-file="$scratch/out" "$program" "$scenario" "$jobs" >"$scratch/log" 2>&1 ||
        { cat "$scratch/log"; exit 1; }
    total=$(sed -n 's/.*Collected : *\([0-9]*\).*/\1/p' "$scratch/log")
    [ -n "$total" ] || { cat "$scratch/log"; exit 1; }
    each=$((total / jobs))
    wanted=$(awk -v name="$scenario" '$1 == name { print $2 }' "$figures" 2>/dev/null || :)
    echo "$scenario $each" >>"$scratch/figures"
    echo "$scenario: $each instructions per job, ${wanted:-none} noted"
    if [ -z "$wanted" ] || [ $((each * 100)) -gt $((wanted * 105)) ] ||
        [ $((each * 100)) -lt $((wanted * 95)) ]; then
        failed=yes
    fi
done
if [ "$update" = yes ]; then
    cp "$scratch/figures" "$figures"
elif [ "$failed" = yes ]; then
    echo "more than 5 % off: find out why, or note it: tests/bench/instructions.sh --update $program" >&2
    exit 1
fi
