/* SPDX-License-Identifier: MIT
 *
 * exit_code.h - what jobq exits with. Stable: scripts read it; jobq(1) has the table. Pure. */
#ifndef JQ_CLI_EXIT_CODE_H
#define JQ_CLI_EXIT_CODE_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/err.h"
#include "proto/base/view.h"
#include "proto/states.h"

enum {
    JQ_EXIT_OK = 0,
    JQ_EXIT_CANCELLED = 121, /* cancelled, expired or skipped: never finished a run */
    JQ_EXIT_LOST = 122,      /* ended for a reason of the infrastructure */
    JQ_EXIT_SOME = 123,      /* of several jobs at least one did not succeed */
    JQ_EXIT_TIMEDOUT = 124,  /* the wait, or the job's own limit */
    JQ_EXIT_FAILED = 125,    /* jobq itself failed */

    /* Only of commands that pass no job's code on: these could be one. */
    JQ_EXIT_REFUSED = 1, /* too late, or not now: settled before, lease lost, not empty */
    JQ_EXIT_USAGE = 2,
    JQ_EXIT_UNREACH = 3,
    JQ_EXIT_EMPTY = 4,
    JQ_EXIT_FULL = 5,
    JQ_EXIT_NOENT = 6, /* no such job or queue, also no more */
    JQ_EXIT_AUTH = 7,
    JQ_EXIT_VERSION = 8,
    JQ_EXIT_CLOSED = 9,
    JQ_EXIT_EXISTS = 17,
};

struct jq_ending {
    enum jq_job_state state; /* terminal */
    int64_t code;
    uint64_t signal;
    struct jq_view reason;
};

/* The job was ended by its own time limit; quarantined as workers died running it. */
bool jq_ending_timed_out(const struct jq_ending *ending);
bool jq_ending_lost(const struct jq_ending *ending);

/* The exit code alone says it all: success, or a code that the job itself chose. */
bool jq_ending_is_plain(const struct jq_ending *ending);

/* What a command that passes no job's code on exits with after this error, JQ_E... or 0. */
int jq_exit_of_error(int error);

/* The exit code that passes a job's ending on. */
int jq_exit_code(const struct jq_ending *ending);
/* "succeeded", "failed", "signalled", "cancelled", "expired", "skipped", "timed_out", "lost". */
const char *jq_outcome_name(const struct jq_ending *ending);

#endif
