#!/bin/sh
# SPDX-License-Identifier: MIT
#
# run.sh BUILD-DIR CC CXX - what somebody meets who installs jobq and builds a program on it: files
# in their places, the library found by pkg-config and by CMake, linked shared and static, from C
# and C++, and programs that start from where they were put. The place has a space in its name.
set -eu

build=$1
cc=$2
cxx=$3
source=$(cd "$(dirname "$0")/../.." && pwd)
scratch=$(mktemp -d "${TMPDIR:-/tmp}/jobq-install.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
prefix=$scratch/prefix

fail() {
    echo "install: $*" >&2
    exit 1
}

cmake --install "$build" --prefix "$prefix" >"$scratch/log" 2>&1 ||
    { cat "$scratch/log"; fail "cmake --install failed"; }

echo "== files"
for file in bin/jobqd bin/jobq-worker bin/jobq include/jobq/jobq.h \
    include/jobq/handler.h; do
    [ -f "$prefix/$file" ] || fail "no $file"
done
libdir=$(dirname "$(find "$prefix" -name libjobq.so)")
[ -f "$libdir/libjobq.a" ] || fail "no libjobq.a beside libjobq.so"
[ -f "$libdir/pkgconfig/jobq.pc" ] || fail "no jobq.pc"
[ -f "$libdir/cmake/jobq/jobqConfig.cmake" ] || fail "no jobqConfig.cmake"
if command -v scdoc >/dev/null 2>&1; then
    for page in jobqd.8 jobq-worker.8 jobq.1 jobq-json.7; do
        [ -n "$(find "$prefix" -path "*/man?/$page*")" ] || fail "no man page $page"
    done
    # Every setting of the programs stands in their pages, as nobody wrote it there by hand.
    for program in jobqd jobq-worker; do
        for flag in $("$prefix/bin/$program" --help | sed -nE 's/^  (-., )?--([a-z-]+).*/\2/p'); do
            # troff writes a dash as \-.
            sed 's/\\-/-/g' "$prefix/share/man/man8/$program.8" | grep -q -e "--$flag" ||
                fail "--$flag is not in $program.8"
        done
    done
    # Every command, verb and flag of jobq, without fonts.
    sed -E 's/\\f[BIR]/ /g; s/\\-/-/g' "$prefix/share/man/man1/jobq.1" >"$scratch/jobq.1"
    documented() {
        grep -qw -e "$1" "$scratch/jobq.1" || fail "jobq $2: $1 is not in jobq.1"
    }
    flags_documented() {
        for flag in $("$prefix/bin/jobq" help "$@" |
            sed -nE 's/^  (-.,|   ) --([a-z0-9-]+).*/\2/p'); do
            documented "--$flag" "$*"
        done
    }
    for command in $("$prefix/bin/jobq" help | sed -nE '/^commands:/,/^$/s/^  ([a-z]+) .*/\1/p'); do
        documented "$command" help
        flags_documented "$command"
        for verb in $("$prefix/bin/jobq" help "$command" |
            sed -nE '/^verbs:/,/^$/s/^  ([a-z]+) .*/\1/p'); do
            documented "$verb" "$command"
            flags_documented "$command" "$verb"
        done
    done
fi

echo "== programs"
version=$("$prefix/bin/jobq" --version | grep -oE '[0-9]+\.[0-9]+\.[0-9]+')
for program in jobqd jobq-worker jobq; do
    # From elsewhere, without a library path.
    (cd / && "$prefix/bin/$program" --version) | grep -qF "$version" ||
        fail "$program --version does not say $version"
done

echo "== pkg-config"
export PKG_CONFIG_PATH="$libdir/pkgconfig"
[ "$(pkg-config --modversion jobq)" = "$version" ] || fail "jobq.pc has another version"
# shellcheck disable=SC2046 # one flag a word
"$cc" -std=c11 -Wall -Wextra -Wpedantic -Werror "$source/client/examples/embed.c" \
    $(pkg-config --cflags --libs jobq) -o "$scratch/embed"
# shellcheck disable=SC2046
"$cc" -std=c11 -Wall -Wextra -Wpedantic -Werror "$source/client/examples/queue.c" \
    $(pkg-config --cflags --libs jobq) -o "$scratch/queue"
LD_LIBRARY_PATH=$libdir ldd "$scratch/embed" | grep -q libjobq.so || fail "not linked with libjobq.so"
# shellcheck disable=SC2046
"$cc" -std=c11 "$source/client/examples/embed.c" $(pkg-config --cflags jobq) "$libdir/libjobq.a" \
    $(pkg-config --libs libzmq) -pthread -o "$scratch/embed-static"
cat >"$scratch/cxx.cpp" <<'END'
#include <jobq/jobq.h>
#include <cstring>
static const struct jobq_job_options options = JOBQ_JOB_OPTIONS_INIT;
int main() { return options.size ? std::strcmp(jobq_version(), VERSION) : 1; }
END
# shellcheck disable=SC2046
"$cxx" -std=c++11 -Wall -Wextra -Wpedantic -Werror -DVERSION="\"$version\"" "$scratch/cxx.cpp" \
    $(pkg-config --cflags --libs jobq) -o "$scratch/cxx"
LD_LIBRARY_PATH=$libdir "$scratch/cxx" || fail "the library is not version $version"

echo "== CMake"
mkdir "$scratch/project"
cat >"$scratch/project/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.25)
project(embed LANGUAGES C)
find_package(jobq REQUIRED)
add_executable(embed ${SOURCE})
target_link_libraries(embed PRIVATE jobq::jobq)
END
if ! cmake -S "$scratch/project" -B "$scratch/project/build" -DCMAKE_PREFIX_PATH="$prefix" \
    -DCMAKE_C_COMPILER="$cc" -DSOURCE="$source/client/examples/embed.c" >"$scratch/log" 2>&1 ||
    ! cmake --build "$scratch/project/build" >>"$scratch/log" 2>&1; then
    cat "$scratch/log"
    fail "find_package(jobq) does not lead to a program"
fi

echo "== a plug-in"
"$cc" -std=c11 -Wall -Wextra -Wpedantic -Werror -shared -fPIC -I"$prefix/include" \
    -o "$scratch/things.so" "$source/worker/examples/things.c" || fail "things.c is no plug-in"

echo "== exported names"
names=$(nm -D --defined-only "$libdir/libjobq.so" | awk '$2 != "A" { print $3 }' | sed 's/@.*//')
[ -n "$names" ] || fail "libjobq.so exports nothing"
for name in $names; do
    case $name in
    jobq_*) ;;
    *) fail "libjobq.so exports $name" ;;
    esac
    grep -q "\b$name(" "$prefix/include/jobq/jobq.h" || fail "$name is not in jobq.h"
done
sed -nE 's/^JOBQ_API .*\b(jobq_[a-z_]+)\(.*/\1/p' "$prefix/include/jobq/jobq.h" >"$scratch/declared"
while read -r name; do
    echo "$names" | grep -qx "$name" || fail "libjobq.so does not export $name"
done <"$scratch/declared"

echo "== a job"
export XDG_RUNTIME_DIR="$scratch/run" XDG_STATE_HOME="$scratch/state" HOME="$scratch"
unset JOBQ_URL || :
socket=$(mktemp -d /tmp/jq-i.XXXXXX) # a socket's path must be short
trap 'XDG_RUNTIME_DIR=$socket "$prefix/bin/jobq" broker stop >/dev/null 2>&1; rm -rf "$scratch" "$socket"' EXIT
export XDG_RUNTIME_DIR="$socket"
"$prefix/bin/jobq" run -- true || fail "jobq run -- true: exit status $?"
for embed in embed embed-static project/build/embed; do
    status=0
    LD_LIBRARY_PATH=$libdir "$scratch/$embed" sh -c 'exit 7' || status=$?
    [ "$status" = 7 ] || fail "$embed exits with $status instead of the job's 7"
done

"$prefix/bin/jobq" broker stop >/dev/null || fail "jobq broker stop: exit status $?"
JOBQ_PLUGIN=$scratch/things.so "$prefix/bin/jobq" run -- true || fail "no worker with a plug-in"
"$prefix/bin/jobq" -o json worker | grep -q 'handlers=.*,area,' ||
    fail "the private worker has no handler of the plug-in"

echo "== a queue"
export LD_LIBRARY_PATH="$libdir"
seq 100 | "$scratch/queue" put lines &
putter=$!
"$scratch/queue" get lines >"$scratch/got.1" &
getter=$!
"$scratch/queue" get lines >"$scratch/got.2" || fail "queue get: exit status $?"
wait "$putter" || fail "queue put: exit status $?"
wait "$getter" || fail "the other queue get: exit status $?"
"$scratch/queue" join lines || fail "queue join: exit status $?"
seq 100 >"$scratch/put"
sort -n "$scratch/got.1" "$scratch/got.2" | cmp - "$scratch/put" ||
    fail "what two programs took is not what a third has put"
echo "ok"
