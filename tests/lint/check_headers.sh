#!/bin/sh
# SPDX-License-Identifier: MIT
#
# check_headers.sh CC CXX - every header compiles alone, and the public one as old C and as C++.
set -eu
cc=$1
cxx=$2
cd "$(dirname "$0")/../.."
status=0

for header in $(tests/lint/files.sh '*.h'); do
    case $header in
    tests/*) beside=-I${header%/*} ;; # tests may name a file beside them
    *) beside=-I. ;;
    esac
    if ! printf '#include "%s"\n' "$header" |
        "$cc" -std=gnu11 -D_GNU_SOURCE -DJOBQ_VERSION='"0"' -I. "$beside" -Iclient/include -Iworker/include \
            -fsyntax-only -Wall -Wextra -Werror -x c -; then
        echo "$header: does not compile alone"
        status=1
    fi
done

# Strictly, as a program that embeds us, or a plug-in, may be compiled.
printf '%s\n' '#include <jobq/jobq.h>' '#include <jobq/handler.h>' \
    'static int run(struct jobq_call *call, void *state)' \
    '{ return state != NULL ? JOBQ_RUN_FAILED : jobq_result_int(call, 1); }' \
    'static const struct jobq_handler list[] = { { "one", NULL, run, NULL, NULL, 0 } };' \
    'JOBQ_PLUGIN(list);' >"${TMPDIR:-/tmp}/jobq-header.$$"
trap 'rm -f "${TMPDIR:-/tmp}/jobq-header.$$"' EXIT
for standard in c11 c17; do
    "$cc" -std=$standard -Iclient/include -Iworker/include -fsyntax-only -Wall -Wextra -Wpedantic -Werror -x c \
        "${TMPDIR:-/tmp}/jobq-header.$$" || status=1
done
for standard in c++11 c++17 c++20; do
    "$cxx" -std=$standard -Iclient/include -Iworker/include -fsyntax-only -Wall -Wextra -Wpedantic -Werror -x c++ \
        "${TMPDIR:-/tmp}/jobq-header.$$" || status=1
done
exit $status
