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

/* outcome.flags */
#define JQ_OUTCOME_NO_RETRY (UINT64_C(1) << 0) /* it would fail again, whatever the policy says */

/* job_spec.flags */
#define JQ_JOB_DISCARD (UINT64_C(1) << 0) /* keep nothing of it once it has succeeded */
#define JQ_JOB_TIE (UINT64_C(1) << 1)     /* cancel it when the submitting session is lost */
#define JQ_JOB_FLAGS (JQ_JOB_DISCARD | JQ_JOB_TIE)

/* The handler of an item: a job that no worker runs, but GET takes. */
#define JQ_HANDLER_ITEM "item"

/* dependency.kind: when the edge is satisfied. Else the job is skipped. */
enum jq_after {
    JQ_AFTER_OK = 0,   /* the older job has succeeded */
    JQ_AFTER_ANY = 1,  /* it has ended */
    JQ_AFTER_FAIL = 2, /* it has ended and not succeeded */
};

enum jq_backoff {
    JQ_BACKOFF_EXP = 0,   /* anything up to backoff_ms, doubled with each failure ("full jitter") */
    JQ_BACKOFF_FIXED = 1, /* backoff_ms */
};

/* job_options.unique_while */
#define JQ_WHILE_QUEUED (UINT64_C(1) << 0)
#define JQ_WHILE_RUNNING (UINT64_C(1) << 1)

enum jq_settle_action {
    JQ_SETTLE_DONE = 0,   /* task_done: the item has been dealt with */
    JQ_SETTLE_NACK = 1,   /* back to its place, after a delay where one is given */
    JQ_SETTLE_EXTEND = 2, /* the lease ends later */
};

/* When a queue's jobs are acknowledged, and whether they are stored. */
enum jq_durability {
    JQ_DURABILITY_FULL = 0,    /* after they are synced */
    JQ_DURABILITY_RELAXED = 1, /* at once; synced soon after: a crash may lose the last moment */
    JQ_DURABILITY_MEMORY = 2,  /* at once; never stored: a crash loses them */
};

enum jq_queue_mode {
    JQ_QUEUE_CHANGE = 0,  /* NOENT when it does not exist */
    JQ_QUEUE_DECLARE = 1, /* make it, or change it */
    JQ_QUEUE_MAKE = 2,    /* EXIST when it exists */
};

/* queue_set.fields: bit per field of queue_conf, in its order. */
#define JQ_QUEUE_ORDER (UINT64_C(1) << 0)
#define JQ_QUEUE_MAXSIZE (UINT64_C(1) << 1)
#define JQ_QUEUE_DURABILITY (UINT64_C(1) << 2)
#define JQ_QUEUE_CONCURRENCY (UINT64_C(1) << 3)
#define JQ_QUEUE_ATTEMPTS_MAX (UINT64_C(1) << 4)
#define JQ_QUEUE_BACKOFF (UINT64_C(1) << 5)
#define JQ_QUEUE_BACKOFF_MAX (UINT64_C(1) << 6)
#define JQ_QUEUE_KEEP (UINT64_C(1) << 7)
#define JQ_QUEUE_KEEP_BYTES (UINT64_C(1) << 8)
#define JQ_QUEUE_KEEP_COUNT (UINT64_C(1) << 9)
#define JQ_QUEUE_AGING (UINT64_C(1) << 10)
#define JQ_QUEUE_FIELDS ((UINT64_C(1) << 11) - 1)

enum jq_queue_action {
    JQ_QUEUE_PAUSE = 0, /* nothing of it is handed out */
    JQ_QUEUE_RESUME = 1,
    JQ_QUEUE_CLOSE = 2,     /* takes nothing more; what it has is handed out */
    JQ_QUEUE_CLOSE_NOW = 3, /* and what has not started is cancelled */
    JQ_QUEUE_REOPEN = 4,
    JQ_QUEUE_PURGE = 5,  /* what has not started is cancelled */
    JQ_QUEUE_REMOVE = 6, /* STATE unless nothing of it is unfinished; what it kept is forgotten */
};
enum { JQ_QUEUE_ACTIONS = 7 };

/* exec_spec.flags */
#define JQ_EXEC_MERGE (UINT64_C(1) << 0) /* stderr goes where stdout goes */
#define JQ_EXEC_FLAGS (JQ_EXEC_MERGE)

/* submit.flags */
#define JQ_SUBMIT_CALL (UINT64_C(1) << 0)   /* the answer is RESULTS; SUBMITTED is a hint only */
#define JQ_SUBMIT_STRICT (UINT64_C(1) << 1) /* a key that exists is EXIST, not the older job */
#define JQ_SUBMIT_FLAGS (JQ_SUBMIT_CALL | JQ_SUBMIT_STRICT)

#endif
