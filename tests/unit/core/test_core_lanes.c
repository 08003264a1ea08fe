/* SPDX-License-Identifier: MIT
 *
 * test_core_lanes.c - jobs that need tags: only workers that have them run them, in the order of
 * their queue, and jobs that nobody serves are in nobody's way. */
#include "tests/unit/core/queue_claims.h"

/* A job in "q" that needs these tags, separated by spaces; its id. */
static uint64_t job(struct driver *d, uint64_t client, const char *needs, int32_t priority)
{
    const uint64_t id = d->core->meta.next_id;
    struct jq_job_options options = { 0 };
    struct claim_lists lists = { 0 };
    char tag[32];

    for (const char *at = needs; *at;) {
        const size_t size = strcspn(at, " ");
        assert_true(size < sizeof tag);
        memcpy(tag, at, size);
        tag[size] = '\0';
        claim_need(&lists, tag);
        at += size + (at[size] == ' ');
    }
    claim_lists_into(&lists, &options);
    claim_put(d, client, "noop", priority, 1, &options);
    claim_lists_fini(&lists);
    assert_non_null(claim_job(d, id));
    return id;
}

static size_t lanes(const struct driver *d)
{
    const struct jq_queue *queue = claim_queue(d, "q");
    size_t count = 0;

    for (struct jq_dlink *at = NULL; (at = jq_dlist_next(&queue->lanes, at));)
        count++;
    return count;
}

static void only_workers_with_all_tags_run_a_job(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    const uint64_t none = driver_worker(d, 8, 9), gpu = claim_tagged(d, 9, "gpu", 9);
    const uint64_t both = claim_tagged(d, 10, "x big gpu", 9);

    const uint64_t id = job(d, client, "gpu big", 0);
    assert_int_equal(driver_grant(d, both).id, id);
    assert_false(driver_has(d, none, JQ_MSG_GRANTS));
    assert_false(driver_has(d, gpu, JQ_MSG_GRANTS));
    const uint64_t one = job(d, client, "gpu", 0);
    assert_int_equal(driver_grant(d, gpu).id, one);
    const uint64_t any = job(d, client, "", 0);
    assert_int_equal(driver_grant(d, none).id, any);
}

static void the_same_tags_in_any_order_and_twice_are_one_lane(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);

    job(d, client, "a b", 0);
    job(d, client, "b a", 0);
    job(d, client, "b a b a", 0);
    assert_int_equal(lanes(d), 1);
    job(d, client, "a", 0);
    job(d, client, "ab", 0);
    assert_int_equal(lanes(d), 3);
    for (uint64_t id = 1; id <= 5; id++)
        claim_cancel(d, client, id);
    assert_int_equal(lanes(d), 0);
    assert_true(jq_dlist_empty(&d->core->ready));
    assert_true(jq_dlist_empty(&d->core->stuck));
}

static void the_order_is_that_of_the_queue_across_lanes(void **state)
{
    static const struct {
        const char *order;
        uint64_t ids[6];
    } cases[] = {
        { "fifo", { 1, 2, 3, 4, 5, 6 } },
        { "lifo", { 6, 5, 4, 3, 2, 1 } },
        { "priority", { 3, 6, 2, 5, 1, 4 } },
    };
    struct driver *d = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const uint64_t client = driver_client(d, 7);
        claim_declare(d, client, cases[i].order, 0);
        for (int round = 0; round < 2; round++) {
            job(d, client, "a", 3);
            job(d, client, "", 2);
            job(d, client, "a b", 1);
        }
        driver_commit(d);
        if (i == 1) { /* the same of lanes that were restored */
            driver_crash(d);
            assert_int_equal(lanes(d), 2);
        }
        const uint64_t worker = claim_tagged(d, 8, "b a", 0);
        for (uint64_t n = 0; n < 6; n++) {
            driver_credit(d, worker, n + 1);
            assert_int_equal(driver_grant(d, worker).id, cases[i].ids[n]);
        }
        driver_close(d);
        driver_open(d);
    }
}

static void a_job_that_comes_back_stands_at_its_place_in_its_lane(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    uint64_t worker = claim_tagged(d, 8, "a", 1);

    job(d, client, "a", 0);
    assert_int_equal(driver_grant(d, worker).id, 1);
    job(d, client, "", 0);
    job(d, client, "a", 0);
    claim_bye(d, worker);
    worker = claim_tagged(d, 9, "a", 3);
    struct jq_held held[3];
    assert_int_equal(claim_grants(d, worker, held, 3), 3);
    for (uint64_t i = 0; i < 3; i++)
        assert_int_equal(held[i].id, i + 1);
}

static void lanes_that_nobody_serves_block_nobody(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 100);
    struct jq_held held[100];

    for (int i = 0; i < 30; i++) {
        const char tag[] = { 't', (char)('a' + i % 26), (char)('a' + i / 26), '\0' };
        job(d, client, tag, 0);
        job(d, client, "", 0);
    }
    assert_int_equal(claim_grants(d, worker, held, 100), 30);
    assert_int_equal(lanes(d), 30);
    const uint64_t changes = d->core->stuck_changes;
    job(d, client, "taa", 0); /* into one that stands aside already */
    job(d, client, "", 0);
    assert_int_equal(claim_grants(d, worker, held, 100), 1);
    assert_int_equal(d->core->stuck_changes, changes);
    const uint64_t late = claim_tagged(d, 9, "tba taa", 9); /* in the order of the queue */
    assert_int_equal(claim_grants(d, late, held, 100), 3);
    assert_int_equal(held[0].id, 1);
    assert_int_equal(held[1].id, 3);
    assert_int_equal(held[2].id, 61);
}

static void a_busy_worker_with_the_tags_takes_the_job_when_it_is_free(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), other = driver_worker(d, 8, 9);
    const uint64_t gpu = claim_tagged(d, 9, "gpu", 1);

    const uint64_t first = job(d, client, "gpu", 0), second = job(d, client, "gpu", 0);
    const struct jq_held held = driver_grant(d, gpu);
    assert_int_equal(held.id, first);
    assert_false(driver_has(d, other, JQ_MSG_GRANTS));
    driver_done(d, gpu, held, JQ_OUTCOME_EXITED, 0);
    assert_false(driver_has(d, gpu, JQ_MSG_GRANTS)); /* no credit */
    driver_credit(d, gpu, 2);
    assert_int_equal(driver_grant(d, gpu).id, second);
}

static void tags_change_with_a_new_hello(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = claim_tagged(d, 8, "a", 0);

    const uint64_t b = job(d, client, "b", 0), a = job(d, client, "a", 0);
    claim_hello_tags(d, worker, 8, "b");
    driver_credit(d, worker, 1);
    assert_int_equal(driver_grant(d, worker).id, b);
    driver_credit(d, worker, 9);
    assert_false(driver_has(d, worker, JQ_MSG_GRANTS));
    claim_hello_tags(d, worker, 8, ""); /* what it runs comes back; nothing is for it */
    driver_credit(d, worker, 9);
    assert_false(driver_has(d, worker, JQ_MSG_GRANTS));
    claim_hello_tags(d, worker, 8, "a b");
    driver_credit(d, worker, 9);
    struct jq_held held[2];
    assert_int_equal(claim_grants(d, worker, held, 2), 2);
    assert_int_equal(held[0].id, b);
    assert_int_equal(held[1].id, a);
}

static void lanes_wait_aside_through_pause_and_concurrency(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 9);
    const struct jq_queue_conf one = { .order = jq_view_str("fifo"), .concurrency = 1 };
    struct jq_held held[9];

    claim_set(d, client, "q", JQ_QUEUE_CONCURRENCY, one);
    job(d, client, "gpu", 0);
    assert_false(jq_dlist_empty(&d->core->stuck));
    claim_do(d, client, JQ_QUEUE_PAUSE);
    assert_true(jq_dlist_empty(&d->core->stuck));
    claim_do(d, client, JQ_QUEUE_RESUME);
    for (int i = 0; i < 3; i++) {
        job(d, client, "", 0);
        assert_int_equal(claim_grants(d, worker, held, 9), 1);
        driver_done(d, worker, held[0], JQ_OUTCOME_EXITED, 0);
    }
    job(d, client, "", 0);
    const uint64_t gpu = claim_tagged(d, 9, "gpu", 9);
    assert_false(driver_has(d, gpu, JQ_MSG_GRANTS)); /* one runs */
    assert_int_equal(claim_grants(d, worker, held, 9), 1);
    driver_done(d, worker, held[0], JQ_OUTCOME_EXITED, 0);
    assert_int_equal(driver_grant(d, gpu).id, 1);
}

static void a_limit_does_not_keep_other_lanes_waiting(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7), worker = driver_worker(d, 8, 9);
    struct claim_lists lists = { 0 };
    struct jq_job_options options = { 0 };
    struct jq_held held[9];

    claim_need(&lists, "gpu");
    claim_limit(&lists, "l", 1);
    claim_lists_into(&lists, &options);
    for (int i = 0; i < 3; i++)
        claim_put(d, client, "noop", 0, 1, &options);
    uint64_t gpu = claim_tagged(d, 9, "gpu", 9);
    assert_int_equal(claim_grants(d, gpu, held, 9), 1);
    job(d, client, "", 0);
    assert_int_equal(claim_grants(d, worker, held, 9), 1);
    claim_bye(d, gpu); /* the limit is free, and nobody has the tag */
    job(d, client, "", 0);
    assert_int_equal(claim_grants(d, worker, held, 9), 1);
    gpu = claim_tagged(d, 10, "gpu", 9);
    assert_int_equal(claim_grants(d, gpu, held, 9), 1);
    assert_int_equal(held[0].id, 1);
    claim_lists_fini(&lists);
}

static void why_names_the_tags_that_nobody_has(void **state)
{
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    const struct jq_msg why = { .tag = JQ_MSG_WHY, .correlation = 5, .u.why.id = 1 };
    struct jq_blocker blocker;

    driver_worker(d, 8, 9);
    job(d, client, "gpu big", 0);
    driver_apply(d, client, &why);
    struct driver_frame frame = driver_expect(d, client, JQ_MSG_BECAUSE);
    struct jq_reader r = jq_records_reader(frame.msg.u.because.blockers);
    assert_true(jq_blocker_next(&r, &blocker));
    assert_true(jq_view_equal(blocker.kind, jq_view_str("no_tag")));
    assert_int_equal(blocker.subject, 1);
    driver_frame_free(&frame);
}

static void many_lanes_come_and_go(void **state)
{
    enum { TAGS = 12, ROUNDS = 400 };
    struct driver *d = *state;
    const uint64_t client = driver_client(d, 7);
    uint64_t random = 12345, granted = 0;
    struct jq_held held[16];
    uint64_t workers[4];

    for (uint64_t i = 0; i < 4; i++) {
        char tags[64] = "";
        for (uint64_t t = i; t < TAGS; t += 1 + i)
            strncat(tags, (char[]){ t == i ? 'x' : ' ', (char)('a' + t), '\0' }, 3);
        workers[i] = claim_tagged(d, 20 + i, tags, 0);
    }
    for (uint64_t n = 1; n <= ROUNDS; n++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        const char a = (char)('a' + (random >> 33) % TAGS), b = (char)('a' + (random >> 43) % TAGS);
        const char needs[] = { a, random >> 60 & 1 ? ' ' : '\0', b, '\0' };
        job(d, client, needs, (int32_t)(random >> 50) % 5);
        const uint64_t worker = workers[n % 4];
        driver_credit(d, worker, n);
        for (size_t k = claim_grants(d, worker, held, 16); k; k--, granted++)
            driver_done(d, worker, held[k - 1], JQ_OUTCOME_EXITED, 0);
        if (n % 64 == 0)
            driver_commit(d);
    }
    assert_true(granted > 0);
    const uint64_t all = claim_tagged(d, 30, "a b c d e f g h i j k l", ROUNDS);
    driver_commit(d);
    struct jq_held rest[ROUNDS];
    claim_grants(d, all, rest, ROUNDS);
    assert_int_equal(claim_queue(d, "q")->by_state[JQ_READY], 0);
}

static void lanes_survive_memory_that_runs_out_anywhere(void **state)
{
    struct driver *d = *state;
    uint64_t client = driver_client(d, 7);
    struct jq_job_options options = { 0 };
    struct claim_lists lists = { 0 };
    uint64_t worker = claim_tagged(d, 8, "a b", 0);

    claim_need(&lists, "b");
    claim_need(&lists, "a");
    claim_lists_into(&lists, &options);
    for (int64_t fail_in = 0; fail_in < 60; fail_in++) {
        struct jq_held held[16];
        d->fail_in = fail_in;
        claim_put(d, client, "noop", 0, 3, &options);
        d->fail_in = fail_in / 2;
        const struct jq_peer *peer = jq_peer_find(d->core, worker);
        driver_credit(d, worker, peer ? peer->worker->granted + 3 : 3);
        driver_commit(d);
        d->fail_in = -1;
        if (!jq_peer_find(d->core, client))
            client = driver_client(d, 7);
        if (!jq_peer_find(d->core, worker))
            worker = claim_tagged(d, 8, "a b", 6);
        for (size_t n = claim_grants(d, worker, held, 16); n; n--)
            driver_done(d, worker, held[n - 1], JQ_OUTCOME_EXITED, 0);
        driver_commit(d);
    }
    claim_lists_fini(&lists);
    assert_true(claim_queue(d, "q")->by_state[JQ_SUCCEEDED] > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(only_workers_with_all_tags_run_a_job),
        CLAIM(the_same_tags_in_any_order_and_twice_are_one_lane),
        CLAIM(the_order_is_that_of_the_queue_across_lanes),
        CLAIM(a_job_that_comes_back_stands_at_its_place_in_its_lane),
        CLAIM(lanes_that_nobody_serves_block_nobody),
        CLAIM(a_busy_worker_with_the_tags_takes_the_job_when_it_is_free),
        CLAIM(tags_change_with_a_new_hello),
        CLAIM(lanes_wait_aside_through_pause_and_concurrency),
        CLAIM(a_limit_does_not_keep_other_lanes_waiting),
        CLAIM(why_names_the_tags_that_nobody_has),
        CLAIM(many_lanes_come_and_go),
        CLAIM(lanes_survive_memory_that_runs_out_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
