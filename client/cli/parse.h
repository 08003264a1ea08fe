/* SPDX-License-Identifier: MIT
 *
 * parse.h - what flags say in small languages of their own: times, retry policies, receipts, pairs.
 * Pure. All return EINVAL with a detail that quotes the text. */
#ifndef JQ_CLI_PARSE_H
#define JQ_CLI_PARSE_H

#include <stddef.h>
#include <stdint.h>

#include "client/include/jobq/jobq.h"
#include "proto/base/err.h"
#include "proto/base/time.h"
#include "proto/base/view.h"

/* "2024-02-29T23:59:59.5Z", "2024-02-29T23:59:59+02:00", "now+10m": ns since 1970. */
JQ_MUST_USE enum jq_err jq_parse_time(const char *text, jq_ns now, jq_ns *ret_at,
                                      struct jq_detail *ret_detail);

struct jq_backoff_times {
    int fixed;          /* as jobq_job_options.backoff_fixed */
    int64_t ms, max_ms; /* max_ms 0: not said */
};
/* "exp:1s..10m", "exp:1s", "fixed:5s". */
JQ_MUST_USE enum jq_err jq_parse_backoff(const char *text, struct jq_backoff_times *ret,
                                         struct jq_detail *ret_detail);

/* Adds the endings of a list such as "1,70-75,SIGKILL" to list[*count ..), of `max` elements. */
JQ_MUST_USE enum jq_err jq_parse_endings(const char *text, struct jobq_ending *list, size_t max,
                                         size_t *count, struct jq_detail *ret_detail);

/* "17:4294967297": an item and the fence of its lease. */
JQ_MUST_USE enum jq_err jq_parse_receipt(const char *text, uint64_t *ret_id, uint64_t *ret_fence,
                                         struct jq_detail *ret_detail);

/* "api=5", or "api": then 0. `ret_name` is a part of `text`. */
JQ_MUST_USE enum jq_err jq_parse_limit(const char *text, struct jq_view *ret_name,
                                       uint32_t *ret_max, struct jq_detail *ret_detail);

#endif
