/* SPDX-License-Identifier: MIT
 *
 * states.h - the small numbers that messages carry: job states, roles, outcome kinds, flags.
 * All are wire-stable and stored: append only. */
#ifndef JQ_PROTO_STATES_H
#define JQ_PROTO_STATES_H

#include <stdbool.h>
#include <stdint.h>

/* broker/STATES.md draws the arrows. Terminal states come last. */
enum jq_job_state {
    JQ_BLOCKED = 0, /* waits for another job, a mutex or a limit */
    JQ_DELAYED = 1, /* waits for its time */
    JQ_READY = 2,   /* in its queue */
    JQ_RUNNING = 3, /* granted to a worker */
    JQ_SUCCEEDED = 4,
    JQ_FAILED = 5,
    JQ_CANCELLED = 6,
    JQ_EXPIRED = 7,
    JQ_SKIPPED = 8,
};
enum { JQ_JOB_STATES = 9 };

static inline bool jq_state_is_terminal(enum jq_job_state state)
{
    return state >= JQ_SUCCEEDED;
}

/* "ready", "running", ...; "unknown" for a number that is none. */
const char *jq_state_name(enum jq_job_state state);

enum jq_role {
    JQ_ROLE_CLIENT = 1,
    JQ_ROLE_WORKER = 2,
    JQ_ROLE_BEAT = 3, /* the heartbeat connection of the worker with the same session */
};

/* How an attempt ended. */
enum jq_outcome_kind {
    JQ_OUTCOME_EXITED = 0,    /* code says how; 0 is success */
    JQ_OUTCOME_SIGNALLED = 1, /* signal says which */
    JQ_OUTCOME_NOSTART = 2,   /* could not be started; code 126 or 127, reason says why */
    JQ_OUTCOME_ERROR = 3,     /* a handler reported an error; code and reason */
    JQ_OUTCOME_CANCELLED = 4, /* ended because the broker asked for it */
    JQ_OUTCOME_TIMEDOUT = 5,  /* ended by its own time limit */
};
enum { JQ_OUTCOME_KINDS = 6 };

/* job_spec.flags */
#define JQ_JOB_DISCARD (UINT64_C(1) << 0) /* keep nothing of it once it has succeeded */
#define JQ_JOB_TIE (UINT64_C(1) << 1)     /* cancel it when the submitting session is lost */
#define JQ_JOB_FLAGS (JQ_JOB_DISCARD | JQ_JOB_TIE)

/* exec_spec.flags */
#define JQ_EXEC_MERGE (UINT64_C(1) << 0) /* stderr goes where stdout goes */
#define JQ_EXEC_FLAGS (JQ_EXEC_MERGE)

/* submit.flags */
#define JQ_SUBMIT_CALL (UINT64_C(1) << 0)   /* the answer is RESULTS; SUBMITTED is a hint only */
#define JQ_SUBMIT_STRICT (UINT64_C(1) << 1) /* a key that exists is EXIST, not the older job */
#define JQ_SUBMIT_FLAGS (JQ_SUBMIT_CALL | JQ_SUBMIT_STRICT)

#endif
