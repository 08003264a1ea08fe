/* SPDX-License-Identifier: MIT
 *
 * terms.h - when and beside what a job or an item runs: from flags to struct jobq_job_options. */
#ifndef JQ_CLI_TERMS_H
#define JQ_CLI_TERMS_H

#include "client/cli/cli.h"
#include "proto/base/time.h"

struct jq_terms_flags {
    int64_t delay_ms; /* -1: not said */
    const char *at;
    int64_t expires_ms;     /* 0: never */
    struct jq_words labels; /* NAME=VALUE */
    int64_t retries;        /* -1: not said */
    const char *backoff;
    struct jq_words retry_on, no_retry_on;
    struct jq_words after, after_any, after_fail;
    const char *unique;
    const char *unique_while; /* queued, running, both */
    struct jq_words needs, limits, mutexes;
    bool nowait;
    int64_t put_timeout_ms; /* -1: not said */
};
#define JQ_TERMS_FLAGS_INIT                                 \
    {                                                       \
        .delay_ms = -1, .retries = -1, .put_timeout_ms = -1 \
    }

struct jq_terms {
    struct jobq_job_options options; /* points into what follows */
    bool is_plain;                   /* nothing was said: no options */
    struct jobq_ending retry_on[JQ_ENDINGS_MAX], no_retry_on[JQ_ENDINGS_MAX];
    const char *needs[JQ_TAGS_MAX], *mutexes[JQ_LIMITS_MAX];
    struct jobq_limit limits[JQ_LIMITS_MAX];
    struct jobq_label labels[JQ_LABELS_MAX];
    struct jobq_dependency after[JQ_AFTER_MAX]; /* JQ_ID_LAST: until jq_terms_resolve */
    bool has_last;
    char *text; /* copies of names, cut */
    size_t text_size;
};
/* Pure. EINVAL with detail, ENOMEM. The words of `flags` must outlive it. */
JQ_MUST_USE enum jq_err jq_terms_read(const struct jq_terms_flags *flags, jq_ns now,
                                      struct jq_terms **ret_terms, struct jq_detail *ret_detail);
void jq_terms_free(struct jq_terms *terms); /* NULL is fine */
/* How long a full queue may keep the job waiting, as jobq_job.put_timeout_ms. */
int64_t jq_terms_put_timeout(const struct jq_terms_flags *flags);

/* The same with what is wrong said on standard error, and "last" asked for (which connects). */
int jq_terms_make(struct jq_cli *cli, const struct jq_terms_flags *flags,
                  struct jq_terms **ret_terms);

#endif
