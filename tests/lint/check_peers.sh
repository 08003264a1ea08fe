#!/bin/sh
# SPDX-License-Identifier: MIT
#
# check_peers.sh COMPILER - the clients of tests/bench/peers, which no build has, are still C
# without a warning, and call jobq as its header has it. Those whose library this machine lacks are
# left out.
set -eu
cd "$(dirname "$0")/../.."
peers=tests/bench/peers

# check FILE [MODULE]
check() {
    if [ -n "${2:-}" ] && ! pkg-config --exists "$2" 2>/dev/null; then
        return 0
    fi
    # shellcheck disable=SC2046 # one word each
    "$compiler" -std=gnu11 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror -Iclient/include \
        ${2:+$(pkg-config --cflags "$2")} -fsyntax-only "$peers/$1"
}

compiler=$1
check peer.c
check limits.c
check jobq.c
check beanstalkd.c
check redis.c hiredis
check rabbitmq.c librabbitmq
check nats.c libnats
