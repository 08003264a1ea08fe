#!/bin/sh
# SPDX-License-Identifier: MIT
# The libraries export what the public header declares, no more and no less.
# check_exports.sh jobq.h libjobq.so libjobq.a
set -eu

declared=$(grep -o 'jobq_[a-z_]*(' "$1" | tr -d '(' | sort -u)
shared=$(nm -D --defined-only "$2" | awk '$2 == "T" { sub(/@.*/, "", $3); print $3 }' | sort -u)
static=$(nm -g --defined-only "$3" | awk '$2 == "T" { print $3 }' | sort -u)
versions=$(nm -D --defined-only "$2" | awk '$2 == "T" && $3 !~ /@@JOBQ_0\.1$/ { print $3 }')

# compare KIND EXPORTED
compare() {
    if [ "$2" != "$declared" ]; then
        echo "the $1 library does not export what jobq.h declares:" >&2
        printf 'declared:\n%s\nexported:\n%s\n' "$declared" "$2" >&2
        exit 1
    fi
}
compare shared "$shared"
compare static "$static"
if [ -n "$versions" ]; then
    echo "without the version JOBQ_0.1: $versions" >&2
    exit 1
fi
