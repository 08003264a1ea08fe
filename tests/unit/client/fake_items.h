/* SPDX-License-Identifier: MIT
 *
 * fake_items.h - the played broker's queue of items: one, FIFO, bounded by QUEUE_SET; any name but
 * "nowhere" means it. Under the lock of fake_broker.c. */
#ifndef JQ_TEST_FAKE_ITEMS_H
#define JQ_TEST_FAKE_ITEMS_H

#include "proto/msg.h"
#include "tests/unit/client/fake_broker.h"

enum { FI_ROUTE_MAX = 16, FI_ITEMS_MAX = 1 << 16, FI_WAITING_MAX = 256 };

struct fi_route {
    uint8_t bytes[FI_ROUTE_MAX];
    size_t size;
};

struct fi_item {
    uint64_t id, fence, session; /* session: of the holder */
    uint8_t state;               /* enum jq_job_state */
    uint32_t attempt;
    uint8_t *payload;
    size_t payload_size;
};

/* A GET, ROOM or JOIN; correlation 0: none. */
struct fi_waiting {
    struct fi_route route;
    uint64_t correlation, session;
    enum jq_tag tag;
    uint32_t count;
    bool is_kept;
};

struct fi_items {
    void (*say)(void *arg, const struct fi_route *to, const struct jq_msg *msg);
    void *arg;
    struct fi_item items[FI_ITEMS_MAX];
    size_t count;
    uint64_t maxsize, done, sequence, fences;
    bool closed, paused;
    struct fi_waiting waiting[FI_WAITING_MAX];
    size_t waiting_count;
    struct fi_waiting owed; /* item_after_pong */
    uint32_t pongs_owed;
    struct fb_faults *faults;
    struct fb_counts *counts;
};

bool fi_admits(struct fi_items *fi, const struct fi_route *from, uint32_t count);
void fi_add(struct fi_items *fi, uint64_t id, const struct jq_job_spec *spec);
void fi_pump(struct fi_items *fi); /* hands out what can be */
void fi_pay(struct fi_items *fi);  /* what it owes, behind a PONG */
/* True: the message was about items, and has been dealt with. */
bool fi_hear(struct fi_items *fi, const struct fi_route *from, uint64_t session,
             const struct jq_msg *msg);
/* `held` of a HELLO: what it does not list comes back. Appends what is lost to `lost`. */
uint32_t fi_hello(struct fi_items *fi, uint64_t session, struct jq_records held,
                  struct jq_buf *lost);
void fi_forget(struct fi_items *fi); /* every connection has ended */
void fi_steal(struct fi_items *fi);  /* every lease is lost; somebody else is done with the items */
void fi_free(struct fi_items *fi);

#endif
