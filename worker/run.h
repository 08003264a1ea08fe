/* SPDX-License-Identifier: MIT
 *
 * run.h - one granted job while this worker has it: what was granted, and how it ended.
 *
 * A run is one allocation: the struct, then the granted bytes. It belongs to fetch, which lends it
 * to an executor between `submit` and `collect`; only the executor writes to it then, except for
 * `cancelled` and `reason`, which fetch writes once, before it asks the executor to cancel. Its
 * outcome is kept encoded, as the record that DONE carries, because it may have to be sent more
 * than once. */
#ifndef JQ_WORKER_RUN_H
#define JQ_WORKER_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/base/view.h"
#include "proto/msg.h"

/* Where a run is executed. */
enum jq_where { JQ_AT_THREAD = 0, JQ_AT_EXEC = 1 };
enum { JQ_WHERES = 2 };

enum jq_run_state {
    JQ_RUN_OUT = 0,  /* lent to its executor, started or not */
    JQ_RUN_ENDED = 1 /* its outcome is not acknowledged yet */
};

enum { JQ_RUN_SMALL = 96 }; /* an outcome without bytes of its own fits */

struct jq_handler;

struct jq_run {
    struct jq_run *next; /* in a jq_run_list */
    uint64_t id;
    uint64_t fence;
    uint64_t attempt;
    enum jq_where where;
    enum jq_run_state state;
    bool give_back;   /* fetch: RELEASE it when it comes back, whatever its outcome */
    bool discard;     /* fetch: the broker knows nothing of it any more; no DONE, no RELEASE */
    bool returned;    /* executor: it was not run (no resources); there is no outcome */
    bool cancelled;   /* asked to end; `reason` says why */
    char *reason;     /* owned; NULL: none */
    uint64_t wall_us; /* executor: how long it ran */
    const struct jq_handler *found; /* executor: the handler of that name here; NULL: none */
    struct jq_view queue;           /* these three lie behind the struct, a NUL behind each */
    struct jq_view handler;
    struct jq_view payload;
    uint8_t *outcome; /* `small` or owned; NULL until it has ended */
    size_t outcome_size;
    uint8_t small[JQ_RUN_SMALL];
};

struct jq_run_list {
    struct jq_run *first;
    struct jq_run *last;
    size_t count;
};

/* Copies the grant. NULL: out of memory. */
struct jq_run *jq_run_new(const struct jq_grant *grant, enum jq_where where);
void jq_run_free(struct jq_run **run);

/* Keeps the outcome; id and fence are filled in here. `scratch` is a buffer of the caller's to
 * encode in. Cannot fail: without memory for its bytes, the outcome says so instead of them. */
void jq_run_end(struct jq_run *run, struct jq_outcome *outcome, struct jq_buf *scratch);
/* The same for an outcome that is encoded already. */
void jq_run_end_encoded(struct jq_run *run, struct jq_view outcome, struct jq_buf *scratch);
/* Why it is to end: copied, shortened to JQ_REASON_MAX. Without memory there is no reason. */
void jq_run_set_reason(struct jq_run *run, struct jq_view reason);

static inline struct jq_view jq_run_outcome(const struct jq_run *run)
{
    return jq_view(run->outcome, run->outcome_size);
}

static inline void jq_run_list_push(struct jq_run_list *list, struct jq_run *run)
{
    run->next = NULL;
    if (list->last != NULL)
        list->last->next = run;
    else
        list->first = run;
    list->last = run;
    list->count++;
}

/* NULL: empty. */
static inline struct jq_run *jq_run_list_pop(struct jq_run_list *list)
{
    struct jq_run *run = list->first;
    if (run == NULL)
        return NULL;
    list->first = run->next;
    if (list->first == NULL)
        list->last = NULL;
    list->count--;
    run->next = NULL;
    return run;
}

/* Moves all of `more` behind `list`. */
static inline void jq_run_list_join(struct jq_run_list *list, struct jq_run_list *more)
{
    if (more->first == NULL)
        return;
    if (list->last != NULL)
        list->last->next = more->first;
    else
        list->first = more->first;
    list->last = more->last;
    list->count += more->count;
    *more = (struct jq_run_list){ 0 };
}

/* Takes one run out of the middle; false when it is not in the list. O(n). */
bool jq_run_list_remove(struct jq_run_list *list, struct jq_run *run);
void jq_run_list_free(struct jq_run_list *list); /* and every run in it */

#endif
