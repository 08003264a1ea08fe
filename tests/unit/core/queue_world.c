/* SPDX-License-Identifier: MIT
 *
 * queue_world.c - see queue_world.h. */
#include "tests/unit/core/queue_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "broker/core/parts.h"

enum { OBSERVER = 99 /* its session */, ASKING = 1 };

struct running running;

void trace(const char *what, int64_t a, int64_t b)
{
    if (running.is_traced)
        print_message("%d: %s %lld %lld\n", running.step, what, (long long)a, (long long)b);
}

uint64_t below(struct world *w, uint64_t n)
{
    return jq_rng_below(&w->rng, n);
}

bool one_in(struct world *w, uint64_t n)
{
    return below(w, n) == 0;
}

/* ---- what clients read ---- */

void forget(struct client *client, uint64_t id, uint64_t fence)
{
    for (size_t i = client->held_count; i > 0; i--)
        if (client->held[i - 1].id == id && client->held[i - 1].fence == fence)
            client->held[i - 1] = client->held[--client->held_count];
}

static void same_item(struct world *w, int client, const struct jq_given *item,
                      const struct model_item *wanted)
{
    char payload[24];
    const struct jq_held held = { .id = item->id, .fence = item->fence };

    snprintf(payload, sizeof payload, "%llu", (unsigned long long)wanted->serial);
    assert_int_equal(item->id, wanted->id);
    assert_int_equal(item->fence, wanted->fence);
    assert_int_equal(item->priority, wanted->priority);
    assert_int_equal(item->attempt, wanted->attempt);
    assert_int_equal(item->created_at, wanted->created_at * 1000000);
    assert_true(jq_view_equal(item->payload, jq_view_str(payload)));
    assert_int_equal(item->lease_until, item->fence ? wanted->due_at * 1000000 : 0);
    if (!item->fence)
        return; /* it was shown, not given */
    w->past[w->past_count++ % PAST] = held;
    if (!item->lease_until && w->clients[client].held_count < HELD_MAX)
        w->clients[client].held[w->clients[client].held_count++] = held;
}

static void same_items(struct world *w, int client, struct jq_records items,
                       const struct model_told *told)
{
    struct jq_reader r = jq_records_reader(items);
    struct jq_given given;

    assert_int_equal(items.count, told->listed);
    for (size_t i = 0; jq_given_next(&r, &given); i++)
        same_item(w, client, &given, &told->given[i]);
}

static void same_one_item(struct world *w, int client, const struct jq_item *item,
                          const struct model_item *wanted)
{
    const struct jq_given given = {
        .id = item->id,
        .fence = item->fence,
        .priority = item->priority,
        .attempt = item->attempt,
        .created_at = item->created_at,
        .payload = item->payload,
        .lease_until = item->lease_until,
    };

    same_item(w, client, &given, wanted);
}

static void same_counts(const struct jq_queue_info *is, const struct model_counts *all)
{
    struct model_counts counts = {
        .blocked = is->blocked,
        .delayed = is->delayed,
        .ready = is->ready,
        .running = is->running,
        .unfinished = is->unfinished,
        .maxsize = is->maxsize,
        .succeeded = is->succeeded,
        .cancelled = is->cancelled,
        .purging = is->purging,
        .getters = is->getters,
        .putters = is->putters,
        .paused = is->paused,
        .closed = is->closed,
    };
    static const char *const names[] = { "blocked",    "delayed", "ready",     "running",
                                         "unfinished", "maxsize", "succeeded", "cancelled",
                                         "purging",    "getters", "putters",   "paused",
                                         "closed" };
    struct model_counts wanted = *all;
    const uint64_t *const a = &counts.blocked, *const b = &wanted.blocked;

    _Static_assert(sizeof counts == sizeof names / sizeof names[0] * sizeof *a, "one name each");
    if (running.spills) { /* nobody stands aside while some are in the store alone */
        counts.ready += counts.blocked;
        wanted.ready += wanted.blocked;
        counts.blocked = wanted.blocked = 0;
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (a[i] != b[i])
            fail_msg("%s: %llu, not %llu", names[i], (unsigned long long)a[i],
                     (unsigned long long)b[i]);
}

static void same_info(const struct jq_queue_said *is, const struct model_counts *wanted)
{
    struct jq_reader r = jq_records_reader(is->info);
    struct jq_queue_info info;

    assert_true(jq_queue_info_next(&r, &info));
    same_counts(&info, wanted);
}

/* While some are in the store alone nobody stands aside in the core. */
static bool is_same_state(uint64_t is, uint64_t wanted)
{
    return wanted == MODEL_ANY_STATE || is == wanted ||
           (running.spills && (is == JQ_BLOCKED || is == JQ_READY) &&
            (wanted == JQ_BLOCKED || wanted == JQ_READY));
}

static void same_acks(struct jq_records each, const struct model_told *told)
{
    struct jq_reader r = jq_records_reader(each);
    struct jq_ack ack;

    assert_int_equal(each.count, told->listed);
    for (size_t i = 0; jq_ack_next(&r, &ack); i++) {
        assert_int_equal(ack.id, told->acks[i].id);
        /* What is being purged and is in the store alone is as good as ended. */
        const bool is_doomed = told->acks[i].state == MODEL_ANY_STATE;
        if (!running.spills || !is_doomed || ack.error != JQ_EALREADY)
            assert_int_equal(ack.error, told->acks[i].error);
        const bool is_gone =
            running.spills && ack.error == JQ_EALREADY; /* it was asked for later */
        assert_true(is_gone || is_same_state(ack.state, (uint64_t)told->acks[i].state));
    }
}

static void same_lost(struct client *client, struct jq_records lost, const struct model_told *told)
{
    struct jq_reader r = jq_records_reader(lost);
    struct jq_held held;

    assert_int_equal(lost.count, told->listed);
    for (size_t i = 0; jq_held_next(&r, &held); i++) {
        assert_int_equal(held.id, told->lost[i].id);
        assert_int_equal(held.fence, told->lost[i].fence);
        forget(client, held.id, held.fence);
    }
}

static void same_frame(struct world *w, const struct jq_msg *msg, const struct model_told *told)
{
    trace(jq_msg_name(msg->tag), told->client, (int64_t)told->correlation);
    switch ((int)msg->tag) {
    case JQ_MSG_ERROR:
        assert_int_equal(msg->u.error.error, told->error);
        break;
    case JQ_MSG_SUBMITTED:
        assert_int_equal(msg->u.submitted.durable, 1);
        assert_int_equal(msg->u.submitted.first_id, told->first_id);
        assert_int_equal(msg->u.submitted.count, told->count);
        break;
    case JQ_MSG_ITEM:
        same_one_item(w, told->client, &msg->u.item, &told->item);
        break;
    case JQ_MSG_ITEMS:
        same_items(w, told->client, msg->u.items.items, told);
        break;
    case JQ_MSG_SETTLED:
        same_acks(msg->u.settled.each, told);
        break;
    case JQ_MSG_QUEUE_SAID:
        same_info(&msg->u.queue_said, &told->counts);
        assert_int_equal(msg->u.queue_said.count, told->count);
        break;
    case JQ_MSG_WELCOME:
        same_lost(&w->clients[told->client], msg->u.welcome.lost, told);
        break;
    default:
        break; /* ROOM_KEPT, JOINED */
    }
}

static void read_frame(struct world *w, int client, const struct jq_msg *msg)
{
    struct model *m = &w->m;

    for (size_t i = 0; i < m->told_count; i++) {
        struct model_told *told = &m->told[i];
        if (told->client != client || told->held || told->tag != msg->tag ||
            told->correlation != msg->correlation)
            continue;
        same_frame(w, msg, told);
        *told = m->told[--m->told_count];
        return;
    }
    fail_msg("client %d was told %s (%lld), correlation %llu", client, jq_msg_name(msg->tag),
             msg->tag == JQ_MSG_ERROR ? (long long)msg->u.error.error : 0,
             (unsigned long long)msg->correlation);
}

/* All of it, and nothing else: what is held back is for later. */
void read_all(struct world *w)
{
    struct driver_frame frame;

    while (w->d.count > 0) {
        int client = 0;
        assert_true(driver_take(&w->d, w->d.frames[0].peer, &frame));
        while (client < MODEL_CLIENTS && w->clients[client].peer != frame.peer)
            client++;
        if (client < MODEL_CLIENTS && w->m.clients[client].connected)
            read_frame(w, client, &frame.msg);
        driver_frame_free(&frame);
    }
    for (size_t i = 0; i < w->m.told_count; i++)
        if (!w->m.told[i].held)
            fail_msg("client %d was not told %s, correlation %llu", w->m.told[i].client,
                     jq_msg_name(w->m.told[i].tag), (unsigned long long)w->m.told[i].correlation);
}

void commit(struct world *w)
{
    trace("commit", 0, 0);
    driver_commit(&w->d);
    model_commit(&w->m);
}

/* Somebody waits for an answer of the store, which may itself wait for a batch. */
static bool is_asked(const struct world *w)
{
    const struct jq_lookup *lookup;

    for (size_t at = 0; (lookup = jq_map_next(&w->d.core->lookups, &at));)
        if (lookup->peer || lookup->kept.size) /* or a HELLO waits */
            return true;
    return false;
}

void feed(struct world *w)
{
    const struct jq_queue *queue = jq_queue_find(w->d.core, jq_view_str("q"));

    if (!running.spills)
        return;
    driver_answer(&w->d);
    for (int i = 0; is_asked(w) || (queue && jq_spill_starves(&queue->items)); i++) {
        assert_true(i < 4);
        commit(w);
    }
}

static void tick(struct world *w)
{
    const jq_ms before = w->d.now.mono;

    driver_tick(&w->d, 0);
    model_advance(&w->m, w->d.now.mono - before); /* at times a tick is a ms late */
}

/* The model has it all in memory: its slices end with ticks, those of the store with batches. */
void end_purge(struct world *w)
{
    const struct jq_queue *queue = jq_queue_find(w->d.core, jq_view_str("q"));

    if (!running.spills || !queue || !jq_queue_doomed(queue) || jq_settling(w->d.core))
        return;
    tick(w);
    for (int i = 0; jq_queue_doomed(queue) || model_counts(&w->m).purging; i++) {
        assert_true(i < 8);
        commit(w);
        tick(w);
    }
    commit(w);
}

void compare(struct world *w)
{
    const struct model_counts wanted = model_counts(&w->m);
    const struct jq_msg msg = {
        .tag = JQ_MSG_QUEUE_ASK,
        .correlation = ASKING,
        .u.queue_ask = { .name = jq_view_str("q") },
    };

    feed(w);
    read_all(w);
    if (!w->observer || w->d.now.mono - w->observer_heard >= MODEL_LEASE_MS)
        w->observer = driver_client(&w->d, OBSERVER);
    w->observer_heard = w->d.now.mono;
    driver_apply(&w->d, w->observer, &msg);
    struct driver_frame frame = driver_expect(&w->d, w->observer, JQ_MSG_QUEUE_SAID);
    same_info(&frame.msg.u.queue_said, &wanted);
    driver_frame_free(&frame);
}

/* ---- what they send ---- */

void apply(struct world *w, int client, const struct jq_msg *msg)
{
    model_heard(&w->m, client);
    driver_apply(&w->d, w->clients[client].peer, msg);
}

void send_hello(struct world *w, int number, const struct jq_held *held, uint32_t count)
{
    struct client *client = &w->clients[number];
    struct jq_buf records = { 0 };

    for (uint32_t i = 0; i < count; i++)
        jq_held_write(&records, &held[i]);
    const struct jq_msg msg = {
        .tag = JQ_MSG_HELLO,
        .correlation = ++w->correlation,
        .u.hello = { .version_min = JQ_PROTOCOL_MIN,
                     .version_max = JQ_PROTOCOL_MAX,
                     .role = JQ_ROLE_CLIENT,
                     .session = client->session,
                     .name = jq_view_str("test"),
                     .software = jq_view_str("test 1"),
                     .held = jq_records_of(count, &records) },
    };
    trace("hello", number, count);
    client->peer = w->d.next_peer++;
    model_hello(&w->m, number, msg.correlation, held, count);
    driver_apply(&w->d, client->peer, &msg);
    jq_buf_fini(&records);
}

void send_submit(struct world *w, int client, uint64_t number, const struct model_spec *specs,
                 uint32_t count)
{
    struct jq_buf jobs = { 0 }, options = { 0 };
    const uint64_t last = w->m.is.request[client].number;
    char payload[24];

    for (uint32_t i = 0; i < count; i++) {
        const struct jq_job_options delay = { .delay_ms = specs[i].delay_ms };
        jq_buf_fini(&options);
        if (delay.delay_ms)
            jq_job_options_write(&options, &delay);
        snprintf(payload, sizeof payload, "%llu", (unsigned long long)specs[i].serial);
        const struct jq_job_spec spec = {
            .handler = jq_view_str(JQ_HANDLER_ITEM),
            .payload = jq_view_str(payload),
            .flags = JQ_JOB_DISCARD,
            .priority = specs[i].priority,
            .options = jq_buf_view(&options),
        };
        jq_job_spec_write(&jobs, &spec);
    }
    const struct jq_msg msg = {
        .tag = JQ_MSG_SUBMIT,
        .correlation = number,
        .u.submit = { .answered = last ? last - 1 : 0, /* the last may be sent again */
                      .queue = jq_view_str("q"),
                      .jobs = jq_records_of(count, &jobs) },
    };
    trace("submit", client, count);
    apply(w, client, &msg);
    model_submit(&w->m, client, number, specs, count);
    jq_buf_fini(&jobs);
    jq_buf_fini(&options);
}

void send_set(struct world *w, int client, uint64_t fields, const struct jq_queue_conf *conf)
{
    struct jq_buf confs = { 0 };

    jq_queue_conf_write(&confs, conf);
    const struct jq_msg msg = {
        .tag = JQ_MSG_QUEUE_SET,
        .correlation = ++w->correlation,
        .u.queue_set = { .name = jq_view_str("q"),
                         .mode = JQ_QUEUE_DECLARE,
                         .fields = fields,
                         .conf = jq_records_of(1, &confs) },
    };
    trace("maxsize", client, (int64_t)conf->maxsize);
    apply(w, client, &msg);
    model_set_maxsize(&w->m, client, msg.correlation, conf->maxsize);
    jq_buf_fini(&confs);
}

void send_do(struct world *w, int client, enum jq_queue_action action)
{
    const struct jq_msg msg = {
        .tag = JQ_MSG_QUEUE_DO,
        .correlation = ++w->correlation,
        .u.queue_do = { .name = jq_view_str("q"), .action = action },
    };

    trace("do", client, action);
    apply(w, client, &msg);
    model_do(&w->m, client, msg.correlation, action);
}
