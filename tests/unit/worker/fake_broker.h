/* SPDX-License-Identifier: MIT
 *
 * fake_broker.h - a broker that the test plays, and one real jobq-worker connected to it. */
#ifndef JQ_TESTS_FAKE_BROKER_H
#define JQ_TESTS_FAKE_BROKER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/types.h>

#include "proto/msg.h"

enum { ROUTE_MAX = 64 };

struct route {
    size_t size;
    unsigned char id[ROUTE_MAX];
};

struct fake_broker {
    char directory[32];
    char url[64];
    void *context;
    void *router;
    struct route worker; /* of the last HELLO with role WORKER */
    struct route beat;
    uint64_t session;
    uint64_t hello_number; /* correlation of that HELLO */
    uint64_t beats;
    uint64_t heartbeat_ms; /* told in WELCOME; long, so that a slow machine breaks no link */
    pid_t pid;             /* the worker; 0: none */
    unsigned char *frame;  /* the last message's; views point into it */
};

int broker_setup(void **state);
int broker_teardown(void **state);

void broker_bind(struct fake_broker *broker);
void broker_unbind(struct fake_broker *broker); /* as if it had died */
/* Starts the worker with these flags (NULL at the end) beside --url. */
void broker_worker(struct fake_broker *broker, const char *const *flags);
/* Sends to the worker's connection. */
void broker_send(struct fake_broker *broker, const struct jq_msg *msg);
/* The next message of that kind; others of the worker are passed over, beats and pings answered. */
struct jq_msg broker_await(struct fake_broker *broker, enum jq_tag tag);
/* Likewise, whichever comes. */
struct jq_msg broker_next(struct fake_broker *broker);
void broker_await_beat(struct fake_broker *broker); /* one more than those seen */
/* HELLO, then WELCOME with this `lost` list; returns the HELLO. */
struct jq_msg broker_welcome(struct fake_broker *broker, struct jq_records lost);
void broker_grant(struct fake_broker *broker, uint64_t id, uint64_t fence, const char *handler,
                  struct jq_view payload);
void broker_grant_shell(struct fake_broker *broker, uint64_t id, uint64_t fence,
                        const char *script);
/* Of a frame with one outcome. */
struct jq_outcome broker_await_done(struct fake_broker *broker, uint64_t id, uint64_t fence);
void broker_ack(struct fake_broker *broker, uint64_t id, uint64_t fence);
/* The number that the job wrote as its first line. */
pid_t broker_job_pid(struct fake_broker *broker, uint64_t id);
/* Waits for the worker; its exit code, or 128 + signal. */
int broker_worker_status(struct fake_broker *broker);
void broker_await_gone(pid_t pid);

#endif
