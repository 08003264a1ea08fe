/* SPDX-License-Identifier: MIT
 *
 * life_claims.h - what the tests of a job's life share: options, and jobs that have some. */
#ifndef JQ_TESTS_LIFE_CLAIMS_H
#define JQ_TESTS_LIFE_CLAIMS_H

#include "broker/core/parts.h"
#include "tests/unit/core/core_claims.h"

/* The lists of options, encoded; free with claim_lists_fini. */
struct claim_lists {
    struct jq_buf after, limits, mutexes, retry_on, no_retry_on, needs, labels;
    uint32_t after_count, limit_count, mutex_count, retry_count, no_retry_count, need_count,
        label_count;
};
void claim_after(struct claim_lists *lists, uint64_t id, enum jq_after kind);
void claim_limit(struct claim_lists *lists, const char *name, uint32_t max);
void claim_mutex(struct claim_lists *lists, const char *name);
void claim_retry_on(struct claim_lists *lists, int64_t code, uint64_t signal);
void claim_no_retry_on(struct claim_lists *lists, int64_t code, uint64_t signal);
void claim_need(struct claim_lists *lists, const char *tag);
void claim_label(struct claim_lists *lists, const char *name, const char *value);
/* Points the lists of `options` there. */
void claim_lists_into(const struct claim_lists *lists, struct jq_job_options *options);
void claim_lists_fini(struct claim_lists *lists);

/* One job with these options and lists (may be NULL), in this queue (NULL: "default"); committed.
 * Returns its id. `claim_ask` only submits. Request numbers rise by themselves. */
uint64_t claim_submit(struct driver *d, uint64_t client, const char *queue,
                      struct jq_job_options options, const struct claim_lists *lists);
void claim_ask(struct driver *d, uint64_t client, const char *queue, struct jq_job_options options,
               const struct claim_lists *lists);
/* One job that is to run after one other. */
uint64_t claim_submit_after(struct driver *d, uint64_t client, uint64_t parent, enum jq_after kind);
/* Asks, commits, and drops the answer; the error and, of SUBMIT, the ack of the only job. */
struct jq_ack claim_submitted_ack(struct driver *d, uint64_t client);
/* Of the refusal that has come; the text goes to `ret_text`, of JQ_REASON_MAX + 1 bytes. */
int64_t claim_refused(struct driver *d, uint64_t client, char *ret_text);

/* RETRY and REMOVE of one job; committed. Returns the error of its ack. */
int64_t claim_retry(struct driver *d, uint64_t client, uint64_t id);
int64_t claim_remove(struct driver *d, uint64_t client, uint64_t id);
/* The next grant goes to this job; it ends so. Committed. */
void claim_run(struct driver *d, uint64_t worker, uint64_t id, int64_t code);
/* All grants that have come; returns how many. */
size_t claim_grants(struct driver *d, uint64_t worker, struct jq_held *ret, size_t max);
enum jq_job_state claim_now(const struct driver *d, uint64_t id); /* of a job in memory */
/* Its attempts before the last, at most JQ_HISTORY_MAX. They point into the job. */
size_t claim_history(const struct jq_job *job, struct jq_attempt *ret);
/* What the core remembers of a job that lives; NULL: none. */
const struct jq_job *claim_job(const struct driver *d, uint64_t id);
const struct jq_queue *claim_queue(const struct driver *d, const char *name);
/* The error of INFO; its state when there is none. */
int64_t claim_info_error(struct driver *d, uint64_t client, uint64_t id);
/* The reason of how it ended. */
void claim_reason_of(struct driver *d, uint64_t client, uint64_t id, char *ret_text);

#endif
