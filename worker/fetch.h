/* SPDX-License-Identifier: MIT
 *
 * fetch.h - the worker's decisions: how much work to ask for, what is held, what is to be told.
 *
 * Pure: no clock, socket, thread, environment or log. The same calls in the same order give the
 * same effects. One thread. In: the link's state, decoded messages, runs that came back from their
 * executor, ticks, the wish to leave. Out: effects. The rule of credit stands at the head of
 * fetch_credit.c.
 *
 * Effects borrow runs, so the caller takes all effects after each input before it gives the next.
 *
 * Errors: ENOMEM only. The caller then gives up (its jobs go to others when the lease ends): a
 * worker that cannot remember what it holds must not go on. */
#ifndef JQ_WORKER_FETCH_H
#define JQ_WORKER_FETCH_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/base/time.h"
#include "proto/msg.h"
#include "worker/run.h"

struct jq_fetch;

struct jq_fetch_conf {
    uint64_t session;        /* random, never 0 */
    uint32_t slots;          /* commands at once, and the base of credit */
    uint32_t threads;        /* handlers at once */
    uint32_t lookahead;      /* most grants ahead of need, while jobs are short */
    uint64_t held_bytes_max; /* no credit while unacknowledged outcomes take more than this */
    jq_ms heartbeat_ms;      /* until WELCOME says another */
    jq_ms grace_ms;          /* a drain lets jobs run this long */
    jq_ms kill_after_ms;     /* between TERM and KILL */
    const char *name;        /* these are borrowed for fetch's life */
    const char *host;
    const char *software;
    struct jq_records tags; /* records of `word`; borrowed */
    uint64_t pid;
    uint64_t die_with;     /* we end when this process does; 0: none */
    struct jq_view config; /* the effective settings, as text */
};

/* NULL: out of memory. */
struct jq_fetch *jq_fetch_new(const struct jq_fetch_conf *conf);
void jq_fetch_free(struct jq_fetch **fetch); /* and the runs it has not lent */

/* --- in --- */

JQ_MUST_USE enum jq_err jq_fetch_link_up(struct jq_fetch *fetch, struct jq_now now);
void jq_fetch_link_down(struct jq_fetch *fetch, struct jq_now now);
/* Borrows msg and its frame. Messages that make no sense now are ignored. */
JQ_MUST_USE enum jq_err jq_fetch_apply(struct jq_fetch *fetch, struct jq_now now,
                                       const struct jq_msg *msg);
/* Runs come back from their executor: ended, or `returned`. */
JQ_MUST_USE enum jq_err jq_fetch_finished(struct jq_fetch *fetch, struct jq_now now,
                                          struct jq_run_list *runs);
/* The executor gives back what it had not started (the answer to JQ_FETCH_RECALL). */
JQ_MUST_USE enum jq_err jq_fetch_recalled(struct jq_fetch *fetch, struct jq_now now,
                                          struct jq_run_list *runs);
JQ_MUST_USE enum jq_err jq_fetch_tick(struct jq_fetch *fetch, struct jq_now now);
jq_ms jq_fetch_next_at(const struct jq_fetch *fetch); /* when tick has work, or JQ_NEVER */
/* Take no more; let jobs run for the grace; give the rest back; leave. `status` is what the process
 * is to exit with; 0 leaves an earlier one as it is. */
JQ_MUST_USE enum jq_err jq_fetch_drain(struct jq_fetch *fetch, struct jq_now now, int status);
/* The same without the grace. */
JQ_MUST_USE enum jq_err jq_fetch_leave(struct jq_fetch *fetch, struct jq_now now, int status);

/* --- out --- */

struct jq_log_request {
    uint64_t correlation;
    uint64_t id;
    uint64_t stream;
    uint64_t offset;
    uint64_t limit;
    bool follow;
};

enum jq_fetch_effect_kind {
    JQ_FETCH_SEND,    /* `frame`; the taker owns it */
    JQ_FETCH_START,   /* `runs`, all for `where`; to be lent to that executor */
    JQ_FETCH_RECALL,  /* ask executor `where` for all it has not started: jq_fetch_recalled */
    JQ_FETCH_CANCEL,  /* end `run`: TERM, KILL after grace_ms */
    JQ_FETCH_READ,    /* `read` concerns `run`, which its executor has */
    JQ_FETCH_RENEW,   /* the link is up but dead: make a new socket */
    JQ_FETCH_BEAT,    /* the heartbeat's interval is `beat_ms` from now on */
    JQ_FETCH_LOST,    /* `count` jobs are not this session's any more (for the log) */
    JQ_FETCH_FENCED,  /* `count` outcomes were refused (for the log) */
    JQ_FETCH_REFUSED, /* the broker answered an error: `status`, text in `frame` (for the log) */
    JQ_FETCH_LEAVE,   /* nothing is left to do: exit with `status` */
};

struct jq_fetch_effect {
    enum jq_fetch_effect_kind kind;
    enum jq_where where;
    struct jq_buf frame;
    struct jq_run_list runs;
    struct jq_run *run;
    struct jq_log_request read;
    jq_ms grace_ms;
    jq_ms beat_ms;
    uint64_t count;
    int status;
};

/* Call until false, after each input. ENOMEM while building a frame is kept and told by the next
 * input. */
bool jq_fetch_take_effect(struct jq_fetch *fetch, struct jq_now now,
                          struct jq_fetch_effect *ret_effect);
/* The same but for ends and credit, which go on gathering: another input may follow first, such as
 * what a START has ended at once. */
bool jq_fetch_take_prompt(struct jq_fetch *fetch, struct jq_fetch_effect *ret_effect);

/* Serves a reader from an ended run, or says NOENT: for a read whose run had ended already when it
 * came to the executor. */
JQ_MUST_USE enum jq_err jq_fetch_read_again(struct jq_fetch *fetch,
                                            const struct jq_log_request *read);

/* --- for tests and the log --- */

struct jq_fetch_view {
    uint64_t held;        /* granted and not acknowledged */
    uint64_t outstanding; /* of these, not ended */
    uint64_t window;      /* how many may be outstanding */
    uint64_t received;    /* grants since WELCOME */
    uint64_t credit;      /* total told last */
    bool welcomed;
    bool leaving;
};
struct jq_fetch_view jq_fetch_look(const struct jq_fetch *fetch);
void jq_fetch_check(const struct jq_fetch *fetch); /* every invariant; O(held) */

#endif
