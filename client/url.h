/* SPDX-License-Identifier: MIT
 *
 * url.h - which URLs a client takes: ipc://path and tcp://host:port. */
#ifndef JQ_CLIENT_URL_H
#define JQ_CLIENT_URL_H

#include <stdbool.h>

#include "proto/base/err.h"
#include "proto/endpoint.h"

/* `url`, or when NULL or empty JOBQ_URL, or when that is unset the per-user default. EINVAL with
 * detail: not one of ours. *ret_ipv6: its host is a bracketed address. Reads the environment. */
JQ_MUST_USE enum jq_err jq_url_resolve(const char *url, char ret_url[JQ_URL_MAX], bool *ret_ipv6,
                                       struct jq_detail *ret_detail);

#endif
