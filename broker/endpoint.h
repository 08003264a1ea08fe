/* SPDX-License-Identifier: MIT
 *
 * endpoint.h - where jobqd listens: reading the url setting, and making an ipc:// path safe to
 * bind.
 *
 * libzmq's bind unlinks the path, whatever it is, so the path is looked at first and a lock is held
 * on "<path>.lock" for life: a second broker is refused and nobody's file is deleted. Loop thread,
 * start and stop only. */
#ifndef JQ_BROKER_ENDPOINT_H
#define JQ_BROKER_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/err.h"

enum {
    JQ_ENDPOINTS_MAX = 8,
    JQ_ENDPOINT_TEXT_MAX = 320,
    JQ_IPC_PATH_MAX = 107, /* sockaddr_un, without its NUL */
};

enum jq_endpoint_kind { JQ_ENDPOINT_IPC, JQ_ENDPOINT_TCP };

struct jq_endpoint {
    enum jq_endpoint_kind kind;
    bool ipv6;                       /* TCP: a bracketed address */
    char text[JQ_ENDPOINT_TEXT_MAX]; /* as bound: "ipc:///run/x.sock", "tcp://127.0.0.1:*" */
};

struct jq_endpoints {
    size_t count; /* at least one after a parse */
    struct jq_endpoint list[JQ_ENDPOINTS_MAX];
};

/* EINVAL with detail: names the endpoint and what is wrong with it. `insecure` allows tcp on
 * addresses that other machines reach. */
JQ_MUST_USE enum jq_err jq_endpoints_parse(const char *url, bool insecure, struct jq_endpoints *ret,
                                           struct jq_detail *ret_detail);

static inline const char *jq_endpoint_path(const struct jq_endpoint *endpoint)
{
    return endpoint->text + sizeof("ipc://") - 1;
}

/* Held on an ipc path, or for a port. A zeroed struct holds nothing but fd 0: start from
 * JQ_ENDPOINT_LOCK_NONE. */
struct jq_endpoint_lock {
    int fd; /* -1: none */
};
#define JQ_ENDPOINT_LOCK_NONE ((struct jq_endpoint_lock){ .fd = -1 })

/* Makes the directory, 0700, when it is missing; checks it, the path and the lock file; takes the
 * lock and writes our pid into it. For TCP the lock is beside the default socket.
 * ELOCKED: another broker serves it, detail names its pid. AUTH: directory or files are not safe.
 * INVAL: something that is no socket is in the way. IO. */
JQ_MUST_USE enum jq_err jq_endpoint_claim(const struct jq_endpoint *endpoint,
                                          struct jq_endpoint_lock *ret_lock,
                                          struct jq_detail *ret_detail);
/* Removes a socket that is left over, and gives up the lock. The lock file stays: to remove it
 * would let two brokers hold locks on two files of one name. */
void jq_endpoint_release(const struct jq_endpoint *endpoint, struct jq_endpoint_lock *lock);

#endif
