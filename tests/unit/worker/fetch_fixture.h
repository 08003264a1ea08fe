/* SPDX-License-Identifier: MIT
 *
 * fetch_fixture.h - a fetch whose effects are gathered, and the broker's and executors' sides of it
 * as short calls. After every input the invariants are checked. */
#ifndef JQ_TESTS_FETCH_FIXTURE_H
#define JQ_TESTS_FETCH_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/msg.h"
#include "worker/fetch.h"

enum { SENT_MAX = 64, CANCELS_MAX = 32 };

struct fetch_fixture {
    struct jq_fetch *fetch;
    struct jq_now now;
    struct jq_buf frames[SENT_MAX]; /* sent, not taken by the test */
    struct jq_msg sent[SENT_MAX];   /* the same, decoded */
    size_t sent_count;
    struct jq_run_list out[JQ_WHERES]; /* what each executor has */
    struct jq_run *cancelled[CANCELS_MAX];
    size_t cancelled_count;
    unsigned recalls;
    unsigned renewals;
    uint64_t lost;
    uint64_t fenced;
    uint64_t refused;
    bool left;
    int status;
    uint64_t hello_number;
    jq_ms beat_ms;
    struct jq_log_request read;
    unsigned reads;
};

int fetch_setup(void **state); /* 4 slots, 2 threads, look-ahead 1024 */
int fetch_teardown(void **state);

void fetch_up(struct fetch_fixture *f);
void fetch_down(struct fetch_fixture *f);
void fetch_apply(struct fetch_fixture *f, const struct jq_msg *msg);
void fetch_tick(struct fetch_fixture *f, jq_ms later);
void fetch_drain(struct fetch_fixture *f);
void fetch_leave(struct fetch_fixture *f);
/* The answer to the last HELLO. */
void fetch_welcome(struct fetch_fixture *f, struct jq_records lost);
/* Up and welcomed, nothing left to look at. */
void fetch_join(struct fetch_fixture *f);
/* `count` grants of ids from `first`, fence = id + 100. */
void fetch_grant(struct fetch_fixture *f, uint64_t first, uint32_t count, const char *handler);
void fetch_ack(struct fetch_fixture *f, uint64_t id, uint64_t fence, bool fenced);
/* The executor's first `count` runs end, each after `wall_us`. */
void fetch_end(struct fetch_fixture *f, enum jq_where where, size_t count, uint64_t wall_us);
void fetch_end_returned(struct fetch_fixture *f, enum jq_where where);
void fetch_answer_recall(struct fetch_fixture *f, struct jq_run_list *runs);

/* The oldest sent frame must be this; it is valid until fetch_clear or the next take of it. */
struct jq_msg fetch_sent(struct fetch_fixture *f, enum jq_tag tag);
/* How many frames of that kind wait; */
size_t fetch_count(const struct fetch_fixture *f, enum jq_tag tag);
void fetch_clear(struct fetch_fixture *f);
/* The ids of a DONE or RELEASE are exactly first .. first+count-1, in any order. */
void assert_ids(struct jq_msg msg, uint64_t first, uint64_t count);
struct jq_records no_records(void);

#endif
