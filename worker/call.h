/* SPDX-License-Identifier: MIT
 *
 * call.h - one call of a handler: what stands behind struct jobq_call of jobq/handler.h. Where it
 * runs is the executor's business, which lends tools and a flag. A call belongs to the thread that
 * runs it, but for `cancelled`. */
#ifndef JQ_WORKER_CALL_H
#define JQ_WORKER_CALL_H

#include <stdatomic.h>
#include <stdbool.h>

#include "proto/args.h"
#include "proto/base/time.h"
#include "proto/limits.h"
#include "proto/msg.h"
#include "worker/include/jobq/handler.h"
#include "worker/output.h"
#include "worker/run.h"

/* A slot's, kept from call to call. Zeroed but for the first two. */
struct jq_call_tools {
    size_t output_bytes; /* kept of what a job logs */
    uint64_t depth_max;
    struct jq_buf value;
    struct jq_output log;
    bool is_logging;
};
void jq_call_tools_fini(struct jq_call_tools *tools);

enum jq_result_form { JQ_RESULT_NONE, JQ_RESULT_RAW, JQ_RESULT_VALUE };

struct jq_call {
    struct jobq_call base; /* first */
    struct jq_call_tools *tools;
    const struct jq_run *run;
    const atomic_bool *cancelled;
    jq_ms deadline_at;           /* the job's time limit, monotonic; JQ_NEVER: none */
    int (*cancel_fd)(void *arg); /* NULL: there is none */
    void *arg;
    bool has_read_args;
    enum jq_err args_err;
    enum jq_result_form form;
    enum jq_err result_err;
    struct jq_args args;
    struct jq_reader next_reader; /* of the positional argument next_position */
    uint32_t next_position;
    bool is_told;   /* by jobq_fail */
    bool is_noted;  /* by a call that failed: counts for less */
    uint64_t flags; /* of the outcome */
    int64_t code;   /* these two when is_told or is_noted */
    char reason[JQ_REASON_MAX + 1];
};

/* A new call of `run`; the rest stays as it is, so zero the struct before the first. */
void jq_call_begin(struct jq_call *call, const struct jq_run *run);
/* EPROTO: the payload is no arguments. */
JQ_MUST_USE enum jq_err jq_call_args(struct jq_call *call);
/* Is the job too deep to be run? Then it has its outcome. */
bool jq_call_is_too_deep(struct jq_call *call, struct jq_outcome *outcome);
/* What the call has come to, by what `run` returned. The outcome borrows from the call. */
void jq_call_end(struct jq_call *call, int returned, struct jq_outcome *outcome);
/* What a call that failed leaves to be told; returns `error`. */
__attribute__((format(printf, 3, 4))) int jq_call_note(struct jq_call *call, int error,
                                                       const char *format, ...);

static inline struct jq_call *jq_call_of(const struct jobq_call *call)
{
    return (struct jq_call *)(uintptr_t)call;
}

/* call_args.c */
int jq_call_arguments(struct jobq_call *call, int named, struct jobq_value *ret);
int jq_call_argument(struct jobq_call *call, int position, const char *name,
                     struct jobq_value *ret);
int jq_call_read(struct jobq_call *call, const struct jobq_value *value, int kind,
                 struct jobq_datum *ret);
int jq_call_open(struct jobq_call *call, const struct jobq_value *value, int kind,
                 struct jobq_cursor *ret);
int jq_call_next(struct jobq_call *call, struct jobq_cursor *cursor, struct jobq_value *ret_key,
                 struct jobq_value *ret_value);

#endif
