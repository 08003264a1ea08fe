#!/bin/sh
# SPDX-License-Identifier: MIT
# The libraries export what the public header declares, no more and no less.
# check_exports.sh jobq.h libjobq.so libjobq.a
set -eu

declared=$(grep -o 'jobq_[a-z_]*(' "$1" | tr -d '(' | sort -u)
shared=$(nm -D --defined-only "$2" | awk '$2 == "T" { sub(/@.*/, "", $3); print $3 }' | sort -u)
static=$(nm -g --defined-only "$3" | awk '$2 == "T" { print $3 }' | sort -u)
versions=$(nm -D --defined-only "$2" | awk '$2 == "T" && $3 !~ /@@JOBQ_0\.1$/ { print $3 }')

for kind in shared static; do
    eval "exported=\$$kind"
    if [ "$exported" != "$declared" ]; then
        echo "the $kind library does not export what jobq.h declares:" >&2
        printf 'declared: %s\nexported: %s\n' "$(echo $declared)" "$(echo $exported)" >&2
        exit 1
    fi
done
if [ -n "$versions" ]; then
    echo "without the version JOBQ_0.1: $versions" >&2
    exit 1
fi
