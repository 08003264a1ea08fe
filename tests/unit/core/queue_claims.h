/* SPDX-License-Identifier: MIT
 *
 * queue_claims.h - what the tests of queues share: settings and actions, items that are got and
 * settled, places that are asked for. The queue is "q" unless one is named. */
#ifndef JQ_TESTS_QUEUE_CLAIMS_H
#define JQ_TESTS_QUEUE_CLAIMS_H

#include "tests/unit/core/life_claims.h"

/* QUEUE_SET, committed: the error, or 0. `mode` DECLARE. */
int64_t claim_set(struct driver *d, uint64_t client, const char *name, uint64_t fields,
                  struct jq_queue_conf conf);
/* An empty queue "q" of that order and size. */
void claim_declare(struct driver *d, uint64_t client, const char *order, uint64_t maxsize);
/* QUEUE_DO of "q": sent and no more; and the answer, the error or the count (>= 0). */
void claim_order(struct driver *d, uint64_t client, enum jq_queue_action action);
int64_t claim_ordered(struct driver *d, uint64_t client);
int64_t claim_do(struct driver *d, uint64_t client, enum jq_queue_action action); /* committed */
/* What "q" says of itself; the views in it are not to be looked at. */
struct jq_queue_info claim_ask_queue(struct driver *d, uint64_t client);

/* SUBMIT to "q", with a request number of its own. */
void claim_put(struct driver *d, uint64_t client, const char *handler, int32_t priority,
               uint32_t count, const struct jq_job_options *options);
/* One item in "q", accepted and durable; its id. */
uint64_t claim_item(struct driver *d, uint64_t client);
/* The same with a priority, for workers: not committed, and the answer is dropped when it is there.
 */
uint64_t claim_job_in_q(struct driver *d, uint64_t client, int32_t priority);

/* So many for workers, accepted and durable. */
enum { CLAIM_MANY = 5000 }; /* jobs: more than two slices of a purge */
void claim_many(struct driver *d, uint64_t client, uint32_t count);
void claim_join(struct driver *d, uint64_t client);
void claim_slice(struct driver *d);  /* of a purge */
void claim_purged(struct driver *d); /* until the purge of "q" has ended */

void claim_get(struct driver *d, uint64_t client, uint64_t correlation, bool wait,
               uint64_t lease_ms);
/* Up to `count`; waits, held by the session. */
void claim_get_many(struct driver *d, uint64_t client, uint64_t correlation, uint64_t count);
/* The ITEMS that has come, of that correlation: how many. */
enum { CLAIM_GIVEN = 16 };
size_t claim_given(struct driver *d, uint64_t client, uint64_t correlation, struct jq_held *ret);
struct claim_taken {
    struct jq_held held;
    uint64_t correlation, attempt;
    jq_ns lease_until;
};
struct claim_taken claim_taken(struct driver *d, uint64_t client); /* the ITEM that has come */
/* Asked for and come at once. */
struct jq_held claim_take(struct driver *d, uint64_t client);
void claim_peek(struct driver *d, uint64_t client, uint64_t correlation);

/* One SETTLE of one item: sent; and with commit and answer. */
void claim_settle_ask(struct driver *d, uint64_t client, struct jq_held held,
                      enum jq_settle_action action, uint64_t ms);
int64_t claim_settle(struct driver *d, uint64_t client, struct jq_held held,
                     enum jq_settle_action action, uint64_t ms);
int64_t claim_settled(struct driver *d, uint64_t client);

void claim_room(struct driver *d, uint64_t client, uint64_t correlation, uint64_t count);
bool claim_kept(struct driver *d, uint64_t client, uint64_t correlation); /* the next ROOM_KEPT */
void claim_unwait(struct driver *d, uint64_t client, uint64_t correlation);
void claim_bye(struct driver *d, uint64_t peer);
void claim_gone(struct driver *d, uint64_t peer); /* the connection, not the session */

/* A client's HELLO with what it holds: the peer, welcomed; *ret_lost of them are not its any more.
 */
uint64_t claim_client_back(struct driver *d, uint64_t session, const struct jq_held *held,
                           uint32_t count, uint32_t *ret_lost);
/* A worker with these tags, separated by spaces, and that credit. */
uint64_t claim_tagged(struct driver *d, uint64_t session, const char *tags, uint64_t credit);
/* The same on a connection that is there. */
void claim_hello_tags(struct driver *d, uint64_t peer, uint64_t session, const char *tags);

#endif
