/* SPDX-License-Identifier: MIT
 *
 * test_core_queue_random.c - random clients, losses and restarts against one queue of items, for
 * each discipline. After every step the core has told what the model tells, and says of the queue
 * what the model says. A failing run is printed; JOBQ_SEED=n runs that seed alone, JOBQ_TRACE=1
 * prints its steps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/core/queue_world.h"

enum {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    SEEDS = 4,
#else
    SEEDS = 20,
#endif
    STEPS = 5000, /* 100,000 of each discipline, where nothing slows them */
    LIVE_MAX = 48,
    RESIDENT = 16, /* of those that spill */
    WAITING_MAX = 12,
    FLOOD = MODEL_SLICE + 700,
    CORRELATIONS_FROM = 1 << 30 /* below: request numbers */
};

/* ---- what clients do ---- */

/* It stood aside and has been purged: whether it can be adopted until it ends is nobody's business.
 */
static bool is_limbo(struct world *w, uint64_t id)
{
    const struct model_item *item = model_find(&w->m, id);

    return item && item->doomed && item->state == JQ_BLOCKED;
}

static void says_hello(struct world *w, int number)
{
    struct client *client = &w->clients[number];
    struct jq_held held[HELD_MAX + 1];
    uint32_t count = 0;

    for (size_t i = client->held_count; i > 0; i--) {
        const struct jq_held one = client->held[i - 1];
        if (one_in(w, 10) || is_limbo(w, one.id)) /* that frame it never read */
            forget(client, one.id, one.fence);
        else
            held[count++] = one;
    }
    if (one_in(w, 6) && w->past_count && !w->m.is.purging_many) {
        held[count] = w->past[below(w, w->past_count < PAST ? w->past_count : PAST)];
        bool listed = is_limbo(w, held[count].id);
        for (uint32_t i = 0; i < count; i++)
            listed |= held[i].id == held[count].id;
        count += !listed;
    }
    send_hello(w, number, held, count);
}

static int32_t random_priority(struct world *w)
{
    static const int32_t edges[] = { INT32_MIN, INT32_MIN + 1, -1, 0, 1, INT32_MAX - 1, INT32_MAX };

    return one_in(w, 2) ? edges[below(w, sizeof edges / sizeof edges[0])]
                        : (int32_t)below(w, 5) - 2;
}

static void submit(struct world *w, int client, uint32_t count)
{
    static struct model_spec specs[FLOOD];

    for (uint32_t i = 0; i < count; i++)
        specs[i] = (struct model_spec){
            .priority = random_priority(w),
            .serial = ++w->serial,
            .delay_ms = one_in(w, 10) ? 1 + below(w, 60) : 0,
        };
    send_submit(w, client, ++w->clients[client].number, specs, count);
}

static void submits(struct world *w, int client)
{
    const uint64_t last = w->m.is.request[client].number;

    if (running.step / 300 % 3 == 2 && !one_in(w, 8))
        return; /* at times the queue is emptied */
    if (last && one_in(w, 12))
        send_submit(w, client, last, &(struct model_spec){ .serial = 1 }, 1); /* again */
    else if (w->m.is.count < LIVE_MAX)
        submit(w, client, 1 + (uint32_t)(one_in(w, 3) ? below(w, 6) : 0));
}

static void gets(struct world *w, int client)
{
    const bool wait = one_in(w, 2);
    const uint64_t lease_ms = one_in(w, 3) ? 1 + below(w, 120) : 0;
    /* What is in the store alone does not come with what is in memory. */
    const uint64_t count = one_in(w, 2) ? 0 : running.spills ? 1 : 1 + below(w, MODEL_GIVEN);
    const struct jq_msg msg = {
        .tag = JQ_MSG_GET,
        .correlation = w->m.getters.count && one_in(w, 16) && w->m.getters.at[0].client == client
                           ? w->m.getters.at[0].correlation /* asked again */
                           : ++w->correlation,
        .u.get = { .queue = jq_view_str("q"), .wait = wait, .lease_ms = lease_ms, .count = count },
    };

    if (w->m.getters.count >= WAITING_MAX || w->clients[client].held_count >= HELD_MAX / 2)
        return;
    trace("get", client, (int64_t)count);
    apply(w, client, &msg);
    model_get(&w->m, client, msg.correlation, wait, lease_ms, count);
}

/* One that is held; sometimes one that is not, or under another fence. */
static struct jq_settling random_settling(struct world *w, int client)
{
    struct jq_settling s = {
        .action = one_in(w, 2) ? JQ_SETTLE_DONE : below(w, 3),
        .ms = one_in(w, 2) ? 1 + below(w, 100) : 0,
    };
    const struct client *c = &w->clients[client];
    const uint64_t kind = below(w, 10);

    if (kind < 5 && c->held_count) {
        const struct jq_held held = c->held[below(w, c->held_count)];
        s.id = held.id;
        s.fence = held.fence;
    } else if (kind < 9 && w->past_count) {
        const struct jq_held held = w->past[below(w, w->past_count < PAST ? w->past_count : PAST)];
        s.id = held.id;
        s.fence = held.fence - one_in(w, 6);
    } else {
        s.id = 1 + below(w, w->m.is.next_id + 2);
        s.fence = w->m.is.incarnation << 32 | 1;
    }
    return s;
}

static void settles(struct world *w, int client)
{
    struct jq_settling list[8];
    const uint32_t count = 1 + (uint32_t)(one_in(w, 3) ? below(w, 7) : 0);
    struct jq_buf records = { 0 };

    if (w->m.is.purging_many)
        return;
    for (uint32_t i = 0; i < count; i++) {
        list[i] = random_settling(w, client);
        trace("  id, action", (int64_t)list[i].id, (int64_t)list[i].action);
        jq_settling_write(&records, &list[i]);
    }
    const struct jq_msg msg = {
        .tag = JQ_MSG_SETTLE,
        .correlation = ++w->correlation,
        .u.settle = { .items = jq_records_of(count, &records) },
    };
    trace("settle", client, count);
    apply(w, client, &msg);
    model_settle(&w->m, client, msg.correlation, list, count);
    for (uint32_t i = 0; i < count; i++)
        for (size_t c = 0; c < MODEL_CLIENTS; c++)
            if (!(list[i].action == JQ_SETTLE_EXTEND && list[i].ms == 0))
                forget(&w->clients[c], list[i].id, list[i].fence);
    jq_buf_fini(&records);
}

static void peeks(struct world *w, int client)
{
    const struct jq_msg msg = { .tag = JQ_MSG_PEEK,
                                .correlation = ++w->correlation,
                                .u.peek = { .queue = jq_view_str("q") } };

    trace("peek", client, 0);
    apply(w, client, &msg);
    model_peek(&w->m, client, msg.correlation);
}

static void asks_for_room(struct world *w, int client)
{
    const struct jq_msg msg = {
        .tag = JQ_MSG_ROOM,
        .correlation = ++w->correlation,
        .u.room = { .queue = jq_view_str("q"), .count = 1 + below(w, one_in(w, 2) ? 8 : 2) },
    };

    if (w->m.rooms.count >= WAITING_MAX)
        return;
    trace("room", client, (int64_t)msg.u.room.count);
    apply(w, client, &msg);
    model_room(&w->m, client, msg.correlation, msg.u.room.count);
}

static void joins(struct world *w, int client)
{
    const struct jq_msg msg = { .tag = JQ_MSG_JOIN,
                                .correlation = ++w->correlation,
                                .u.join = { .queue = jq_view_str("q") } };

    if (w->m.joiners.count >= WAITING_MAX)
        return;
    trace("join", client, 0);
    apply(w, client, &msg);
    model_join(&w->m, client, msg.correlation);
}

static void withdraws(struct world *w)
{
    const struct model_asks *const all[] = { &w->m.getters, &w->m.rooms, &w->m.joiners };
    const struct model_asks *asks = all[below(w, 3)];

    if (asks->count == 0)
        return;
    const struct model_ask *ask = &asks->at[below(w, asks->count)];
    const struct jq_msg msg = { .tag = JQ_MSG_UNWAIT, .correlation = ask->correlation };
    const int client = ask->client;
    trace("unwait", client, 0);
    apply(w, client, &msg);
    model_unwait(&w->m, client, msg.correlation);
}

/* ---- what the queue is told ---- */

static void sets_maxsize(struct world *w, int client)
{
    const struct jq_queue_conf conf = { .maxsize = below(w, one_in(w, 3) ? 12 : 5) };

    send_set(w, client, JQ_QUEUE_MAXSIZE, &conf);
}

static void acts_at_random(struct world *w, int client)
{
    const uint64_t kind = below(w, 8);

    if (w->m.is.paused && kind < 5)
        send_do(w, client, JQ_QUEUE_RESUME);
    else if (w->m.is.closed && kind < 6)
        send_do(w, client, JQ_QUEUE_REOPEN);
    else if (kind < 3)
        send_do(w, client, one_in(w, 6) ? JQ_QUEUE_CLOSE_NOW : JQ_QUEUE_PURGE);
    else
        send_do(w, client, kind < 6 ? JQ_QUEUE_PAUSE : JQ_QUEUE_CLOSE);
}

/* More than is purged in one go. */
static void floods(struct world *w, int client)
{
    if (w->m.is.maxsize || w->m.is.closed || w->m.is.count >= LIVE_MAX)
        return;
    submit(w, client, FLOOD);
    compare(w);
    send_do(w, client, JQ_QUEUE_PURGE);
}

/* ---- what happens to them ---- */

/* A clean end, or a crash: then what was told since the last commit was never true. */
static void restart(struct world *w)
{
    const jq_ms down_ms = one_in(w, 2) ? (jq_ms)below(w, 100) : 0;

    if (one_in(w, 3)) {
        commit(w);
        read_all(w);
    }
    trace("restart", down_ms, 0);
    w->d.now.mono += down_ms;
    w->d.now.wall += down_ms * 1000000;
    w->observer = 0;
    for (size_t i = 0; i < MODEL_CLIENTS; i++)
        w->clients[i].peer = 0;
    model_restart(&w->m, down_ms);
    driver_crash(&w->d);
}

static void time_passes(struct world *w)
{
    const jq_ms later = (jq_ms)below(w, one_in(w, 12) ? 300 : 12), before = w->d.now.mono;

    trace("tick", later, 0);
    driver_tick(&w->d, later);
    model_advance(&w->m, w->d.now.mono - before); /* at times a tick is a ms late */
    end_purge(w);
}

static void loses_connection(struct world *w, int client)
{
    trace("gone", client, 0);
    assert_int_equal(jq_core_gone(w->d.core, w->d.now, w->clients[client].peer), JQ_OK);
    driver_collect(&w->d);
    model_gone(&w->m, client);
}

static void says_bye(struct world *w, int client)
{
    const struct jq_msg msg = { .tag = JQ_MSG_BYE };

    trace("bye", client, 0);
    apply(w, client, &msg);
    model_bye(&w->m, client);
    w->clients[client].held_count = 0;
}

static void is_lost_or_back(struct world *w, int client)
{
    const uint64_t kind = below(w, 8);

    if (kind < 4)
        loses_connection(w, client);
    else if (kind < 7)
        says_hello(w, client);
    else
        says_bye(w, client);
}

/* ---- the run ---- */

static void begin(struct world *w, enum model_order order, uint64_t seed)
{
    struct jq_queue_conf conf = { .order = jq_view_str(running.order) };

    memset(w, 0, sizeof *w);
    jq_rng_init(&w->rng, seed);
    driver_open(&w->d);
    w->d.conf.lease_ms = MODEL_LEASE_MS;
    w->d.conf.settle_ms = MODEL_SETTLE_MS;
    w->d.conf.batch_ms = 3600 * 1000; /* the test commits */
    w->d.conf.events_kept = 64;
    w->d.conf.keep_count = 64;
    if (running.spills)
        w->d.conf.resident_jobs_max = RESIDENT;
    model_begin(&w->m, order, w->d.now.mono);
    model_restart(&w->m, 0);
    driver_crash(&w->d);
    w->correlation = CORRELATIONS_FROM;
    for (int i = 0; i < MODEL_CLIENTS; i++) {
        w->clients[i].session = (uint64_t)i + 1;
        says_hello(w, i);
    }
    send_set(w, 0, JQ_QUEUE_ORDER | JQ_QUEUE_MAXSIZE, &conf);
    commit(w);
}

static void client_steps(struct world *w, int client)
{
    const uint64_t kind = below(w, 100);

    if (kind < 27)
        submits(w, client);
    else if (kind < 50)
        gets(w, client);
    else if (kind < 72)
        settles(w, client);
    else if (kind < 79)
        asks_for_room(w, client);
    else if (kind < 83)
        withdraws(w);
    else if (kind < 87)
        peeks(w, client);
    else if (kind < 90)
        joins(w, client);
    else if (kind < 93 && !running.spills) /* one that spills and is full shows more: room.c */
        sets_maxsize(w, client);
    else if (kind < 93 + (w->m.is.paused || w->m.is.closed ? 5 : 3))
        acts_at_random(w, client);
    else
        is_lost_or_back(w, client);
}

static void step(struct world *w)
{
    const int client = (int)below(w, MODEL_CLIENTS);
    const uint64_t kind = below(w, 1000);

    if (kind < 130)
        commit(w);
    else if (kind < 145 && w->d.batch_count < DRIVER_BATCHES_MAX - 1)
        driver_hand_over(&w->d);
    else if (kind < 240)
        time_passes(w);
    else if (kind < 252)
        restart(w);
    else if (!w->m.clients[client].connected)
        says_hello(w, client);
    else if (kind == 999 && one_in(w, 4))
        floods(w, client);
    else
        client_steps(w, client);
    end_purge(w);
    compare(w);
}

static void run(enum model_order order, uint64_t seed)
{
    static struct world w;

    running.seed = seed;
    running.step = 0;
    begin(&w, order, seed);
    while (running.step++ < STEPS)
        step(&w);
    assert_true((w.d.pages_read > 0) == running.spills);
    driver_close(&w.d);
}

static void run_all(enum model_order order, bool spills, const char *name)
{
    const char *only = getenv("JOBQ_SEED");
    const uint64_t first = only ? strtoull(only, NULL, 10) : 1;

    running.is_traced = getenv("JOBQ_TRACE") != NULL;
    running.order = name;
    running.spills = spills;
    for (uint64_t seed = first; seed < first + (only ? 1 : SEEDS); seed++)
        run(order, seed);
    running.order = NULL;
}

static void a_fifo_queue_is_as_its_model(void **state)
{
    (void)state;
    run_all(MODEL_FIFO, false, "fifo");
}

static void a_lifo_queue_is_as_its_model(void **state)
{
    (void)state;
    run_all(MODEL_LIFO, false, "lifo");
}

static void a_priority_queue_is_as_its_model(void **state)
{
    (void)state;
    run_all(MODEL_PRIORITY, false, "priority");
}

static void a_fifo_queue_that_spills_is_as_its_model(void **state)
{
    (void)state;
    run_all(MODEL_FIFO, true, "fifo");
}

static void a_lifo_queue_that_spills_is_as_its_model(void **state)
{
    (void)state;
    run_all(MODEL_LIFO, true, "lifo");
}

static void a_priority_queue_that_spills_is_as_its_model(void **state)
{
    (void)state;
    run_all(MODEL_PRIORITY, true, "priority");
}

static int tell_seed(void **state)
{
    (void)state;
    if (running.order)
        print_error("%s: the seed was %llu, the step %d\n", running.order,
                    (unsigned long long)running.seed, running.step);
    running.order = NULL;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_fifo_queue_is_as_its_model, tell_seed),
        cmocka_unit_test_teardown(a_lifo_queue_is_as_its_model, tell_seed),
        cmocka_unit_test_teardown(a_priority_queue_is_as_its_model, tell_seed),
        cmocka_unit_test_teardown(a_fifo_queue_that_spills_is_as_its_model, tell_seed),
        cmocka_unit_test_teardown(a_lifo_queue_that_spills_is_as_its_model, tell_seed),
        cmocka_unit_test_teardown(a_priority_queue_that_spills_is_as_its_model, tell_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
