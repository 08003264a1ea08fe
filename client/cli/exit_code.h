/* SPDX-License-Identifier: MIT
 *
 * exit_code.h - what jobq exits with. Stable: scripts read it; jobq(1) has the table. Pure. */
#ifndef JQ_CLI_EXIT_CODE_H
#define JQ_CLI_EXIT_CODE_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/view.h"
#include "proto/states.h"

enum {
    JQ_EXIT_OK = 0,
    JQ_EXIT_CANCELLED = 121, /* cancelled, expired or skipped: never finished a run */
    JQ_EXIT_LOST = 122,      /* ended for a reason of the infrastructure */
    JQ_EXIT_SOME = 123,      /* of several jobs at least one did not succeed */
    JQ_EXIT_TIMEDOUT = 124,  /* the wait, or the job's own limit */
    JQ_EXIT_FAILED = 125,    /* jobq itself failed */
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

/* The exit code that passes a job's ending on. */
int jq_exit_code(const struct jq_ending *ending);
/* "succeeded", "failed", "signalled", "cancelled", "expired", "skipped", "timed_out", "lost". */
const char *jq_outcome_name(const struct jq_ending *ending);

#endif
