/* SPDX-License-Identifier: MIT
 *
 * queue_claims.c - see queue_claims.h. */
#include "tests/unit/core/queue_claims.h"

enum { SETTING = 2071, DOING, ASKING, TAKING, SETTLING, JOINING };

static uint64_t last_number; /* rises over all sessions, which is as good as in each */

/* ---- queues ---- */

int64_t claim_set(struct driver *d, uint64_t client, const char *name, uint64_t fields,
                  struct jq_queue_conf conf)
{
    struct jq_buf confs = { 0 };

    jq_queue_conf_write(&confs, &conf);
    const struct jq_msg msg = {
        .tag = JQ_MSG_QUEUE_SET,
        .correlation = SETTING,
        .u.queue_set = { .name = jq_view_str(name),
                         .mode = JQ_QUEUE_DECLARE,
                         .fields = fields,
                         .conf = jq_records_of(1, &confs) },
    };
    driver_apply(d, client, &msg);
    jq_buf_fini(&confs);
    driver_commit(d);
    if (driver_has(d, client, JQ_MSG_ERROR))
        return claim_expect_error(d, client);
    claim_drop(d, client, JQ_MSG_QUEUE_SAID);
    return 0;
}

void claim_declare(struct driver *d, uint64_t client, const char *order, uint64_t maxsize)
{
    const struct jq_queue_conf conf = { .order = jq_view_str(order), .maxsize = maxsize };

    assert_int_equal(claim_set(d, client, "q", JQ_QUEUE_ORDER | JQ_QUEUE_MAXSIZE, conf), 0);
}

void claim_order(struct driver *d, uint64_t client, enum jq_queue_action action)
{
    const struct jq_msg msg = {
        .tag = JQ_MSG_QUEUE_DO,
        .correlation = DOING,
        .u.queue_do = { .name = jq_view_str("q"), .action = action },
    };

    driver_apply(d, client, &msg);
}

int64_t claim_ordered(struct driver *d, uint64_t client)
{
    if (driver_has(d, client, JQ_MSG_ERROR))
        return claim_expect_error(d, client);
    struct driver_frame frame = driver_expect(d, client, JQ_MSG_QUEUE_SAID);
    const int64_t count = (int64_t)frame.msg.u.queue_said.count;
    driver_frame_free(&frame);
    return count;
}

int64_t claim_do(struct driver *d, uint64_t client, enum jq_queue_action action)
{
    claim_order(d, client, action);
    driver_commit(d);
    return claim_ordered(d, client);
}

struct jq_queue_info claim_ask_queue(struct driver *d, uint64_t client)
{
    const struct jq_msg msg = {
        .tag = JQ_MSG_QUEUE_ASK,
        .correlation = ASKING,
        .u.queue_ask = { .name = jq_view_str("q") },
    };
    struct jq_queue_info info = { 0 };

    driver_apply(d, client, &msg);
    struct driver_frame frame = driver_expect(d, client, JQ_MSG_QUEUE_SAID);
    struct jq_reader r = jq_records_reader(frame.msg.u.queue_said.info);
    assert_true(jq_queue_info_next(&r, &info));
    driver_frame_free(&frame);
    info.name = info.order = jq_view(NULL, 0);
    return info;
}

/* ---- submitting ---- */

void claim_put(struct driver *d, uint64_t client, const char *handler, int32_t priority,
               uint32_t count, const struct jq_job_options *options)
{
    driver_submit(d, client,
                  (struct driver_submit){ .number = ++last_number,
                                          .queue = "q",
                                          .handler = handler,
                                          .priority = priority,
                                          .count = count,
                                          .options = options });
}

uint64_t claim_item(struct driver *d, uint64_t client)
{
    const uint64_t id = d->core->meta.next_id;

    claim_put(d, client, "item", 0, 1, NULL);
    driver_commit(d);
    while (driver_has(d, client, JQ_MSG_SUBMITTED))
        claim_drop(d, client, JQ_MSG_SUBMITTED);
    assert_non_null(claim_job(d, id));
    return id;
}

uint64_t claim_job_in_q(struct driver *d, uint64_t client, int32_t priority)
{
    const uint64_t id = d->core->meta.next_id;

    claim_put(d, client, "noop", priority, 1, NULL);
    if (driver_has(d, client, JQ_MSG_SUBMITTED))
        claim_drop(d, client, JQ_MSG_SUBMITTED);
    return id;
}

/* ---- purges ---- */

void claim_many(struct driver *d, uint64_t client, uint32_t count)
{
    claim_put(d, client, "noop", 0, count, NULL);
    driver_commit(d);
    while (driver_has(d, client, JQ_MSG_SUBMITTED))
        claim_drop(d, client, JQ_MSG_SUBMITTED);
}

void claim_join(struct driver *d, uint64_t client)
{
    const struct jq_msg msg = {
        .tag = JQ_MSG_JOIN,
        .correlation = JOINING,
        .u.join = { .queue = jq_view_str("q") },
    };

    driver_apply(d, client, &msg);
}

void claim_slice(struct driver *d)
{
    assert_int_equal(jq_core_tick(d->core, d->now), JQ_OK);
    driver_collect(d);
    driver_commit(d);
}

void claim_purged(struct driver *d)
{
    for (int i = 0; claim_queue(d, "q")->purge_before; i++) {
        assert_true(i < 100);
        claim_slice(d);
    }
}

/* ---- items ---- */

void claim_get(struct driver *d, uint64_t client, uint64_t correlation, bool wait,
               uint64_t lease_ms)
{
    const struct jq_msg msg = {
        .tag = JQ_MSG_GET,
        .correlation = correlation,
        .u.get = { .queue = jq_view_str("q"), .wait = wait, .lease_ms = lease_ms },
    };

    driver_apply(d, client, &msg);
}

void claim_get_many(struct driver *d, uint64_t client, uint64_t correlation, uint64_t count)
{
    const struct jq_msg msg = {
        .tag = JQ_MSG_GET,
        .correlation = correlation,
        .u.get = { .queue = jq_view_str("q"), .wait = 1, .count = count },
    };

    driver_apply(d, client, &msg);
}

size_t claim_given(struct driver *d, uint64_t client, uint64_t correlation, struct jq_held *ret)
{
    struct driver_frame frame = driver_expect(d, client, JQ_MSG_ITEMS);
    struct jq_reader r = jq_records_reader(frame.msg.u.items.items);
    struct jq_given given;
    size_t count = 0;

    assert_int_equal(frame.msg.correlation, correlation);
    while (jq_given_next(&r, &given)) {
        assert_true(count < CLAIM_GIVEN);
        ret[count++] = (struct jq_held){ .id = given.id, .fence = given.fence };
    }
    assert_true(count > 0);
    driver_frame_free(&frame);
    return count;
}

struct claim_taken claim_taken(struct driver *d, uint64_t client)
{
    struct driver_frame frame = driver_expect(d, client, JQ_MSG_ITEM);
    const struct jq_item *item = &frame.msg.u.item;
    const struct claim_taken taken = {
        .held = { .id = item->id, .fence = item->fence },
        .correlation = frame.msg.correlation,
        .attempt = item->attempt,
        .lease_until = item->lease_until,
    };

    assert_true(jq_view_equal(item->payload, jq_view_str("payload")));
    driver_frame_free(&frame);
    return taken;
}

struct jq_held claim_take(struct driver *d, uint64_t client)
{
    claim_get(d, client, TAKING, false, 0);
    return claim_taken(d, client).held;
}

void claim_peek(struct driver *d, uint64_t client, uint64_t correlation)
{
    const struct jq_msg msg = {
        .tag = JQ_MSG_PEEK,
        .correlation = correlation,
        .u.peek = { .queue = jq_view_str("q") },
    };

    driver_apply(d, client, &msg);
}

void claim_settle_ask(struct driver *d, uint64_t client, struct jq_held held,
                      enum jq_settle_action action, uint64_t ms)
{
    const struct jq_settling settling = {
        .id = held.id, .fence = held.fence, .action = action, .ms = ms
    };
    struct jq_buf items = { 0 };

    jq_settling_write(&items, &settling);
    const struct jq_msg msg = {
        .tag = JQ_MSG_SETTLE,
        .correlation = SETTLING,
        .u.settle = { .items = jq_records_of(1, &items) },
    };
    driver_apply(d, client, &msg);
    jq_buf_fini(&items);
}

int64_t claim_settled(struct driver *d, uint64_t client)
{
    struct driver_frame frame = driver_expect(d, client, JQ_MSG_SETTLED);
    struct jq_reader r = jq_records_reader(frame.msg.u.settled.each);
    struct jq_ack ack;

    assert_int_equal(frame.msg.u.settled.each.count, 1);
    assert_true(jq_ack_next(&r, &ack));
    driver_frame_free(&frame);
    return ack.error;
}

int64_t claim_settle(struct driver *d, uint64_t client, struct jq_held held,
                     enum jq_settle_action action, uint64_t ms)
{
    claim_settle_ask(d, client, held, action, ms);
    driver_commit(d);
    return claim_settled(d, client);
}

/* ---- places ---- */

void claim_room(struct driver *d, uint64_t client, uint64_t correlation, uint64_t count)
{
    const struct jq_msg msg = {
        .tag = JQ_MSG_ROOM,
        .correlation = correlation,
        .u.room = { .queue = jq_view_str("q"), .count = count },
    };

    driver_apply(d, client, &msg);
}

bool claim_kept(struct driver *d, uint64_t client, uint64_t correlation)
{
    if (!driver_has(d, client, JQ_MSG_ROOM_KEPT))
        return false;
    struct driver_frame frame = driver_expect(d, client, JQ_MSG_ROOM_KEPT);
    assert_int_equal(frame.msg.correlation, correlation);
    driver_frame_free(&frame);
    return true;
}

void claim_unwait(struct driver *d, uint64_t client, uint64_t correlation)
{
    const struct jq_msg msg = { .tag = JQ_MSG_UNWAIT, .correlation = correlation };

    driver_apply(d, client, &msg);
}

/* ---- peers ---- */

void claim_bye(struct driver *d, uint64_t peer)
{
    const struct jq_msg msg = { .tag = JQ_MSG_BYE };

    driver_apply(d, peer, &msg);
}

void claim_gone(struct driver *d, uint64_t peer)
{
    assert_int_equal(jq_core_gone(d->core, d->now, peer), JQ_OK);
    driver_collect(d);
}

static struct jq_msg hello_of(enum jq_role role, uint64_t session)
{
    return (struct jq_msg){
        .tag = JQ_MSG_HELLO,
        .u.hello = { .version_min = JQ_PROTOCOL_MIN,
                     .version_max = JQ_PROTOCOL_MAX,
                     .role = role,
                     .session = session,
                     .name = jq_view_str("test"),
                     .slots = role == JQ_ROLE_WORKER ? 4 : 0 },
    };
}

uint64_t claim_client_back(struct driver *d, uint64_t session, const struct jq_held *held,
                           uint32_t count, uint32_t *ret_lost)
{
    const uint64_t peer = d->next_peer++;
    struct jq_msg hello = hello_of(JQ_ROLE_CLIENT, session);
    struct jq_buf records = { 0 };

    for (uint32_t i = 0; i < count; i++)
        jq_held_write(&records, &held[i]);
    hello.u.hello.held = jq_records_of(count, &records);
    driver_apply(d, peer, &hello);
    jq_buf_fini(&records);
    struct driver_frame frame = driver_expect(d, peer, JQ_MSG_WELCOME);
    *ret_lost = frame.msg.u.welcome.lost.count;
    driver_frame_free(&frame);
    return peer;
}

void claim_hello_tags(struct driver *d, uint64_t peer, uint64_t session, const char *tags)
{
    struct jq_msg hello = hello_of(JQ_ROLE_WORKER, session);
    struct jq_buf words = { 0 };
    uint32_t count = 0;

    for (const char *at = tags; *at; count++) {
        const size_t size = strcspn(at, " ");
        jq_word_write(&words, &(struct jq_word){ .name = jq_view(at, size) });
        at += size + (at[size] == ' ');
    }
    hello.u.hello.tags = jq_records_of(count, &words);
    driver_apply(d, peer, &hello);
    jq_buf_fini(&words);
    claim_drop(d, peer, JQ_MSG_WELCOME);
}

uint64_t claim_tagged(struct driver *d, uint64_t session, const char *tags, uint64_t credit)
{
    const uint64_t peer = d->next_peer++;

    claim_hello_tags(d, peer, session, tags);
    if (credit)
        driver_credit(d, peer, credit);
    return peer;
}
