#!/bin/sh
# SPDX-License-Identifier: MIT
#
# check_sample.sh [--update] PROGRAM FILE - a sample settings file is what PROGRAM --print-sample
# prints, and PROGRAM takes it. With --update the file is written anew.
set -eu
if [ "$1" = --update ]; then
    "$2" --print-sample >"$3"
    exit 0
fi
program=$1
file=$2
if ! "$program" --print-sample | diff -u "$file" -; then
    echo "$file: not what $program --print-sample prints. Write it anew with" >&2
    echo "  tests/lint/check_sample.sh --update $program $file" >&2
    exit 1
fi

# Every line that sets something, switched on: each default is a value that is allowed.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
sed -E 's/^#([a-z_]+ = .+)$/\1/' "$file" >"$scratch/sample.conf"
"$program" --config "$scratch/sample.conf" --check-config
