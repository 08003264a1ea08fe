/* SPDX-License-Identifier: MIT
 *
 * request.h - one request of any kind, for the command line tool and the tests: what the public
 * header does not offer (LIST, INFO, WHY, LOG_READ, STATS, WATCH ...). Not installed, not exported
 * from the shared library.
 *
 * The same thread rules as jobq.h: any thread; whoever waits drives the connection for all.
 * Requests are sent again after a reconnect until they are answered. */
#ifndef JQ_CLIENT_REQUEST_H
#define JQ_CLIENT_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "client/include/jobq/jobq.h"
#include "proto/msg.h"

/* A decoded answer and the frame that it points into. */
struct jq_answer {
    struct jq_msg msg;
    void *frame;      /* owned */
    bool is_repeated; /* asked more than once: it may tell of its own first copy's work */
};
void jq_answer_fini(struct jq_answer *answer);

/* Sends `msg` (its correlation is set here; copied) and waits for its one answer. 0, or ETIMEDOUT,
 * EUNREACH (as jobq_ping), EFORKED, ENOMEM, or the error of an ERROR answer (text: jobq_errdetail).
 * Out of time, a JOIN, GET, ROOM is withdrawn by UNWAIT; an item that comes all the same is given
 * back. */
int jq_request(struct jobq_client *client, const struct jq_msg *msg, int64_t timeout_ms,
               struct jq_answer *ret_answer);

/* A request with many answers: WATCH, or WAIT of many jobs. Asked again after a reconnect. */
struct jq_subscription;
int jq_subscribe(struct jobq_client *client, const struct jq_msg *msg,
                 struct jq_subscription **ret_subscription);
/* The next answer, in order. ETIMEDOUT: none within timeout_ms. After an ERROR answer: its error,
 * for ever. */
int jq_subscription_next(struct jq_subscription *subscription, int64_t timeout_ms,
                         struct jq_answer *ret_answer);
/* Sends UNWATCH or UNWAIT. Sets *subscription to NULL; NULL is fine. */
void jq_subscription_end(struct jq_subscription **subscription);

/* For a thread that takes signals: every call that waits, or will, returns EINTR. Only jobq_close
 * makes sense then: it says BYE, so that the broker has at once what this client held. */
void jq_client_interrupt(struct jobq_client *client);

/* What the broker said of itself when it last welcomed this client. */
struct jq_broker_said {
    uint64_t pid; /* on the broker's machine */
    uint64_t incarnation;
    uint8_t store_id[16];
    char software[JQ_SOFTWARE_MAX + 1];
};
/* 1: it has welcomed us on this connection; 0: not, or not yet. EFORKED. */
int jq_client_is_welcome(struct jobq_client *client);
/* A copy. EUNREACH: it has said nothing yet. */
int jq_client_broker(struct jobq_client *client, struct jq_broker_said *ret_said);

#endif
