/* SPDX-License-Identifier: MIT
 *
 * fake_broker.h - a broker for a test: a ROUTER on ipc in a directory of its own, served by a
 * thread. It does as the protocol says for one queue of jobs, and misbehaves on demand.
 *
 * A job ends as its handler says: "noop" succeeds at once, "fail" fails with code 7, "poison" was
 * quarantined, "hold" runs until fb_release or a CANCEL. Items ("item") wait in one queue of their
 * own (fake_items.h). */
#ifndef JQ_TEST_FAKE_BROKER_H
#define JQ_TEST_FAKE_BROKER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client/include/jobq/jobq.h"

enum { FB_HEARTBEAT_MS = 40, FB_WAIT_MS = 20000 }; /* the latter: for what must happen */

/* Counted since the start, or since fb_set. */
struct fb_counts {
    uint64_t hellos, refused; /* `refused`: ERROR(NOHELLO) */
    uint64_t submits, resent, jobs;
    uint64_t answered; /* the highest watermark */
    uint64_t waits, unwaits, pings, byes;
    uint64_t getters, putters; /* that wait now */
    uint64_t settles, nacks;
    uint64_t held; /* listed by the last HELLO */
};

/* How often it is to misbehave from now on. */
struct fb_faults {
    unsigned drop_answers; /* SUBMITs that are taken, and not answered */
    unsigned drop_settled; /* SETTLEs that are done, and not answered */
    unsigned busy;         /* requests that are answered ERROR(BUSY) */
    bool silent;           /* hears all, says nothing */
    bool other_version;    /* refuses every HELLO */
    bool no_results;       /* is older: results have to be waited for */
    bool item_at_unwait;   /* GETs get their item when they are withdrawn, behind the UNWAIT */
    bool item_after_pong;  /* or behind the second PONG that follows */
    bool is_older;         /* knows no GET with a count */
};

struct fake_broker;

/* cmocka fixtures: *state is a struct fake_broker, which serves. */
int fb_setup(void **state);
int fb_teardown(void **state);

const char *fb_url(const struct fake_broker *fb);
void fb_fault(struct fake_broker *fb, struct fb_faults faults);
struct fb_counts fb_counts(struct fake_broker *fb);
void fb_forget_peers(struct fake_broker *fb); /* every connection has to say HELLO again */
void fb_stop(struct fake_broker *fb);         /* the socket goes; jobs and answers stay */
void fb_start(struct fake_broker *fb);
void fb_steal(struct fake_broker *fb); /* leased items are lost; another has dealt with them */
/* What the last SUBMIT's first job had as its options. */
size_t fb_options(struct fake_broker *fb, void *bytes, size_t capacity);
void fb_release(struct fake_broker *fb);            /* held jobs succeed */
void fb_event(struct fake_broker *fb, uint64_t id); /* EVENTS to every WATCH */

/* A client of it. `timeout_ms` as of jobq_open, which must succeed. */
struct jobq_client *fb_client(const struct fake_broker *fb, int64_t timeout_ms);
/* A job of this handler. */
struct jobq_job fb_job(const char *handler);

#endif
