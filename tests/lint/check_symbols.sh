#!/bin/sh
# SPDX-License-Identifier: MIT
#
# check_symbols.sh LIST ARCHIVE [BASE-ARCHIVE...] - prove that a library is pure: every symbol it
# takes from elsewhere is defined in itself or one of the base archives, or stands in LIST.
set -eu

list=$1
archive=$2
shift 2

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# What the compiler and the linker put in by themselves.
grep -vE '^(#|$)' "$list" >"$scratch/allowed"
printf '%s\n' _GLOBAL_OFFSET_TABLE_ __stack_chk_fail __cpu_model __memcpy_chk __memset_chk \
    __memmove_chk __snprintf_chk __vsnprintf_chk >>"$scratch/allowed"
for one in "$archive" "$@"; do
    nm -g --defined-only --format=posix "$one" | awk 'NF >= 3 { print $1 }' >>"$scratch/allowed"
done
sort -u -o "$scratch/allowed" "$scratch/allowed"

nm -u --format=posix "$archive" | awk '$2 == "U" { print $1 }' | sort -u >"$scratch/taken"
[ -s "$scratch/taken" ] || { echo "$archive: takes nothing at all: is this the library?" >&2; exit 1; }

if ! comm -23 "$scratch/taken" "$scratch/allowed" | awk -v archive="$archive" -v list="$list" '
    { print archive ": takes " $1 ", which is not in " list; bad = 1 } END { exit bad }'; then
    exit 1
fi
