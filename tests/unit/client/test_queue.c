/* SPDX-License-Identifier: MIT
 *
 * test_queue.c - a queue of items through the public header, against a played broker. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/request.h"
#include "proto/base/buf.h"
#include "tests/unit/client/fake_broker.h"

enum { THREADS = 6, ROUNDS = 100 };

static struct jobq_queue *open_queue(struct jobq_client *client, uint64_t maxsize)
{
    struct jobq_queue *queue = NULL;

    assert_int_equal(jobq_queue_declare(client, "q", "fifo", maxsize), 0);
    assert_int_equal(jobq_queue_open(client, "q", NULL, &queue), 0);
    return queue;
}

static void put(struct jobq_queue *queue, const char *text)
{
    assert_int_equal(jobq_put(queue, text, strlen(text), 0, -1), 0);
}

static struct jobq_item *get(struct jobq_queue *queue, const char *text)
{
    struct jobq_item *item = NULL;
    size_t size = 0;

    assert_int_equal(jobq_get(queue, -1, &item), 0);
    const void *data = jobq_item_data(item, &size);
    assert_int_equal(size, strlen(text));
    assert_memory_equal(data, text, size);
    return item;
}

/* ---- one thread ---- */

static void an_item_goes_in_comes_out_and_is_done(void **state)
{
    struct fake_broker *fb = *state;
    struct jobq_client *client = fb_client(fb, FB_WAIT_MS);
    struct jobq_queue *queue = open_queue(client, 0);

    put(queue, "first");
    put(queue, "");
    assert_int_equal(jobq_qsize(queue), 2);
    struct jobq_item *first = get(queue, "first"), *second = get(queue, "");
    assert_int_equal(jobq_item_attempt(first), 1);
    assert_int_equal(jobq_item_id(second), jobq_item_id(first) + 1);
    assert_true(jobq_item_fence(first) != 0);
    assert_int_equal(jobq_task_done(&first), 0);
    assert_null(first);
    assert_int_equal(jobq_join(queue, 1), JOBQ_ETIMEDOUT);
    assert_int_equal(jobq_extend(second, 60000), 0);
    assert_int_equal(jobq_extend(second, 0), JOBQ_EINVAL);
    assert_int_equal(jobq_task_done(&second), 0);
    assert_int_equal(jobq_join(queue, -1), 0);
    assert_int_equal(jobq_task_done(&second), JOBQ_EINVAL);
    assert_int_equal(fb_counts(fb).unwaits, 1); /* of the join that timed out */
    jobq_queue_free(&queue);
    jobq_close(&client);
}

static void a_nack_and_a_free_bring_an_item_back(void **state)
{
    struct fake_broker *fb = *state;
    struct jobq_client *client = fb_client(fb, FB_WAIT_MS);
    struct jobq_queue *queue = open_queue(client, 0);

    put(queue, "x");
    struct jobq_item *item = get(queue, "x");
    assert_int_equal(jobq_nack(&item, -1), JOBQ_EINVAL);
    assert_non_null(item);
    assert_int_equal(jobq_nack(&item, 0), 0);
    item = get(queue, "x");
    assert_int_equal(jobq_item_attempt(item), 2);
    jobq_item_free(&item);
    assert_null(item);
    item = get(queue, "x");
    assert_int_equal(jobq_item_attempt(item), 3);
    jobq_queue_free(&queue);
    jobq_close(&client);
    assert_string_equal(jobq_item_data(item, NULL) ? "there" : "", "there");
    assert_int_equal(jobq_task_done(&item), JOBQ_EINVAL); /* its client has gone */
    jobq_item_free(&item);
}

static void an_item_is_settled_by_its_receipt_once(void **state)
{
    struct fake_broker *fb = *state;
    struct jobq_client *client = fb_client(fb, FB_WAIT_MS), *other = fb_client(fb, FB_WAIT_MS);
    struct jobq_queue_options options = JOBQ_QUEUE_OPTIONS_INIT;
    struct jobq_queue *queue = NULL;

    options.lease_ms = 60000;
    assert_int_equal(jobq_queue_open(client, "q", &options, &queue), 0);
    put(queue, "x");
    struct jobq_item *item = get(queue, "x");
    const uint64_t id = jobq_item_id(item), fence = jobq_item_fence(item);
    assert_int_equal(jobq_settle_done(other, id, fence + 1), JOBQ_EFENCED);
    assert_int_equal(jobq_settle_extend(other, id, fence, 1000), 0);
    assert_int_equal(jobq_settle_nack(other, id, fence, 0), 0);
    assert_int_equal(jobq_task_done(&item), JOBQ_EFENCED);
    assert_null(item);
    item = get(queue, "x");
    assert_int_equal(jobq_settle_done(other, id, jobq_item_fence(item)), 0);
    assert_int_equal(jobq_settle_done(other, id, jobq_item_fence(item)), JOBQ_EALREADY);
    assert_int_equal(jobq_settle_done(other, id + 1, 1), JOBQ_ENOENT);
    assert_int_equal(jobq_task_done(&item), JOBQ_EALREADY);
    assert_null(item);
    jobq_queue_free(&queue);
    jobq_close(&client);
    jobq_close(&other);
}

static void a_full_queue_and_an_empty_one_say_so_in_time(void **state)
{
    struct fake_broker *fb = *state;
    struct jobq_client *client = fb_client(fb, FB_WAIT_MS);
    struct jobq_queue *queue = open_queue(client, 1);
    struct jobq_item *item = NULL;

    assert_int_equal(jobq_get(queue, 0, &item), JOBQ_EEMPTY);
    assert_int_equal(jobq_get(queue, 5, &item), JOBQ_EEMPTY);
    assert_int_equal(jobq_get(queue, -2, &item), JOBQ_EINVAL);
    assert_null(item);
    put(queue, "x");
    assert_int_equal(jobq_full(queue), 1);
    assert_int_equal(jobq_put(queue, "y", 1, 0, 0), JOBQ_EFULL);
    assert_int_equal(jobq_put(queue, "y", 1, 0, 5), JOBQ_EFULL);
    assert_int_equal(jobq_put(queue, "y", 1, 0, -2), JOBQ_EINVAL);
    assert_int_equal(jobq_ping(client, -1, NULL), 0);
    assert_int_equal(fb_counts(fb).getters, 0); /* all that waited was withdrawn */
    assert_int_equal(fb_counts(fb).putters, 0);
    assert_int_equal(jobq_qsize(queue), 1);
    jobq_queue_free(&queue);
    jobq_close(&client);
}

static void too_large_an_item_is_not_sent(void **state)
{
    struct fake_broker *fb = *state;
    struct jobq_client *client = fb_client(fb, FB_WAIT_MS);
    struct jobq_queue *queue = open_queue(client, 0);
    const size_t most = 16 << 20;
    char *bytes = calloc(most + 1, 1);

    assert_int_equal(jobq_put(queue, bytes, most + 1, 0, -1), JOBQ_EMSGSIZE);
    assert_string_equal(jobq_errdetail(client), "an item of 16777217 bytes: 16777216 are the most");
    assert_int_equal(jobq_put(queue, NULL, 1, 0, -1), JOBQ_EINVAL);
    assert_int_equal(fb_counts(fb).submits, 0);
    assert_int_equal(jobq_put(queue, bytes, most, 0, -1), 0);
    struct jobq_item *item = NULL;
    size_t size = 0;
    assert_int_equal(jobq_get(queue, -1, &item), 0);
    assert_memory_equal(jobq_item_data(item, &size), bytes, most);
    assert_int_equal(size, most);
    assert_int_equal(jobq_task_done(&item), 0);
    free(bytes);
    jobq_queue_free(&queue);
    jobq_close(&client);
}

static void a_queue_as_a_whole(void **state)
{
    struct fake_broker *fb = *state;
    struct jobq_client *client = fb_client(fb, FB_WAIT_MS);
    struct jobq_queue_info info = { .size = sizeof info };
    struct jobq_queue *queue = open_queue(client, 7);
    uint64_t count = 0;

    assert_int_equal(jobq_queue_declare(client, "q", "lifo", 0), JOBQ_EEXIST);
    assert_int_equal(jobq_queue_declare(client, "q", "random", 0), JOBQ_EINVAL);
    assert_int_equal(jobq_queue_declare(client, "q q", "fifo", 0), JOBQ_EINVAL);
    put(queue, "x");
    put(queue, "y");
    assert_int_equal(jobq_queue_pause(queue), 0);
    assert_int_equal(jobq_get(queue, 0, &(struct jobq_item *){ NULL }), JOBQ_EEMPTY);
    assert_int_equal(jobq_queue_info(queue, &info), 0);
    assert_string_equal(info.order, "fifo");
    assert_int_equal(info.maxsize, 7);
    assert_int_equal(info.ready, 2);
    assert_int_equal(info.unfinished, 2);
    assert_int_equal(info.paused, 1);
    assert_int_equal(jobq_queue_resume(queue), 0);
    assert_int_equal(jobq_queue_remove(queue), JOBQ_ESTATE);
    assert_int_equal(jobq_queue_purge(queue, &count), 0);
    assert_int_equal(count, 2);
    assert_int_equal(jobq_empty(queue), 1);
    assert_int_equal(jobq_queue_remove(queue), 0);
    assert_int_equal(jobq_queue_close(queue, 2), JOBQ_EINVAL);
    assert_int_equal(jobq_queue_close(queue, 0), 0);
    assert_int_equal(jobq_queue_close(queue, JOBQ_CLOSE_NOW), 0);
    assert_int_equal(jobq_put(queue, "z", 1, 0, -1), JOBQ_ECLOSED);
    assert_int_equal(jobq_get(queue, -1, &(struct jobq_item *){ NULL }), JOBQ_ECLOSED);
    jobq_queue_free(&queue);
    jobq_queue_free(&queue);
    jobq_close(&client);
}

static void a_queue_that_does_not_exist_is_empty(void **state)
{
    struct fake_broker *fb = *state;
    struct jobq_client *client = fb_client(fb, FB_WAIT_MS);
    struct jobq_queue_info info = { .size = sizeof info };
    struct jobq_queue *queue = NULL;

    assert_int_equal(jobq_queue_open(client, "", NULL, &queue), JOBQ_EINVAL);
    assert_int_equal(jobq_queue_open(client, "nowhere", NULL, &queue), 0);
    assert_int_equal(jobq_qsize(queue), 0);
    assert_int_equal(jobq_empty(queue), 1);
    assert_int_equal(jobq_full(queue), 0);
    assert_int_equal(jobq_queue_info(queue, &info), JOBQ_ENOENT);
    jobq_queue_free(&queue);
    jobq_close(&client);
}

static void an_older_info_gets_what_it_has_room_for(void **state)
{
    struct fake_broker *fb = *state;
    struct jobq_client *client = fb_client(fb, FB_WAIT_MS);
    struct jobq_queue *queue = open_queue(client, 7);
    struct jobq_queue_info info = { .size = offsetof(struct jobq_queue_info, ready), .ready = 99 };

    assert_int_equal(jobq_queue_info(queue, &info), 0);
    assert_int_equal(info.maxsize, 7);
    assert_int_equal(info.ready, 99);
    assert_int_equal(info.size, offsetof(struct jobq_queue_info, ready));
    info.size = 0;
    assert_int_equal(jobq_queue_info(queue, &info), JOBQ_EINVAL);
    jobq_queue_free(&queue);
    jobq_close(&client);
}

/* ---- ordinary jobs ---- */

static void jobs_take_their_options_along(void **state)
{
    struct fake_broker *fb = *state;
    struct jobq_client *client = fb_client(fb, FB_WAIT_MS);
    struct jobq_job_options options = JOBQ_JOB_OPTIONS_INIT;
    struct jobq_job job = fb_job("noop");
    struct jq_buf want = { 0 };
    uint8_t bytes[256];

    options.delay_ms = 1000;
    options.unique = "only-one";
    job.options = &options;
    assert_int_equal(jobq_submit(client, &job, NULL), 0);
    const struct jq_job_options record = { .delay_ms = 1000, .unique = jq_view_str("only-one") };
    jq_job_options_write(&want, &record);
    assert_int_equal(fb_options(fb, bytes, sizeof bytes), want.size);
    assert_memory_equal(bytes, want.data, want.size);
    jq_buf_fini(&want);
    options.delay_ms = -1;
    assert_int_equal(jobq_submit(client, &job, NULL), JOBQ_EINVAL);
    assert_string_equal(jobq_errdetail(client), "delay_ms: -1 is below 0");
    job.size = offsetof(struct jobq_job, options); /* whose program does not know of options */
    assert_int_equal(jobq_submit(client, &job, NULL), 0);
    assert_int_equal(fb_options(fb, bytes, sizeof bytes), 0);
    jobq_close(&client);
}

static void a_job_waits_for_room_as_long_as_it_says(void **state)
{
    struct fake_broker *fb = *state;
    struct jobq_client *client = fb_client(fb, FB_WAIT_MS);
    struct jobq_queue *queue = open_queue(client, 1);
    struct jobq_job job = fb_job("noop");
    struct jobq_future *future = NULL;

    put(queue, "x");
    job.queue = "q";
    job.put_timeout_ms = 0;
    assert_int_equal(jobq_submit(client, &job, NULL), JOBQ_EFULL);
    job.put_timeout_ms = 5;
    assert_int_equal(jobq_submit(client, &job, NULL), JOBQ_EFULL);
    job.put_timeout_ms = -2;
    assert_int_equal(jobq_submit(client, &job, NULL), JOBQ_EINVAL);
    job.size = offsetof(struct jobq_job, options); /* an older program's waits */
    assert_int_equal(jobq_submit_start(client, &job, &future), 0);
    while (fb_counts(fb).putters == 0)
        assert_int_equal(jobq_flush(client, 1), JOBQ_ETIMEDOUT);
    struct jobq_item *item = get(queue, "x");
    assert_int_equal(jobq_flush(client, -1), 0);
    assert_int_equal(jobq_future_wait(future, -1), 0);
    assert_int_equal(jobq_task_done(&item), 0);
    jobq_future_free(&future);
    jobq_queue_free(&queue);
    jobq_close(&client);
}

/* ---- threads ---- */

struct shared {
    struct fake_broker *fb;
    struct jobq_queue *queue;
    atomic_int wrong, got;
    atomic_uint next;
    char order[8];
};

static void *put_one(void *arg)
{
    struct shared *shared = arg;
    const char text = (char)('0' + atomic_fetch_add(&shared->next, 1));

    if (jobq_put(shared->queue, &text, 1, 0, -1) != 0)
        atomic_fetch_add(&shared->wrong, 1);
    return NULL;
}

static void blocked_puts_get_room_in_the_order_in_which_they_came(void **state)
{
    struct fake_broker *fb = *state;
    struct jobq_client *client = fb_client(fb, FB_WAIT_MS);
    struct shared shared = { .fb = fb, .queue = open_queue(client, 1) };
    pthread_t threads[3];

    put(shared.queue, "x");
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, put_one, &shared), 0);
        while (fb_counts(fb).putters <= i)
            assert_int_equal(jobq_ping(client, -1, NULL), 0);
    }
    for (const char *text = "x012"; *text; text++) {
        struct jobq_item *item = get(shared.queue, (const char[]){ *text, '\0' });
        assert_int_equal(jobq_task_done(&item), 0);
    }
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(shared.wrong, 0);
    jobq_queue_free(&shared.queue);
    jobq_close(&client);
}

static void *produce(void *arg)
{
    struct shared *shared = arg;

    for (int i = 0; i < ROUNDS; i++)
        if (jobq_put(shared->queue, &i, sizeof i, 0, i % 2 ? -1 : FB_WAIT_MS) != 0)
            atomic_fetch_add(&shared->wrong, 1);
    return NULL;
}

static void *consume(void *arg)
{
    struct shared *shared = arg;

    while (atomic_fetch_add(&shared->got, 1) < THREADS * ROUNDS) {
        struct jobq_item *item = NULL;
        if (jobq_get(shared->queue, -1, &item) != 0 || jobq_task_done(&item) != 0)
            atomic_fetch_add(&shared->wrong, 1);
    }
    return NULL;
}

static void many_threads_share_a_bounded_queue(void **state)
{
    struct fake_broker *fb = *state;
    struct jobq_client *client = fb_client(fb, FB_WAIT_MS);
    struct shared shared = { .fb = fb, .queue = open_queue(client, 4) };
    pthread_t threads[2 * THREADS];

    for (int i = 0; i < 2 * THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, i % 2 ? produce : consume, &shared), 0);
    for (int i = 0; i < 2 * THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(shared.wrong, 0);
    assert_int_equal(jobq_join(shared.queue, -1), 0);
    assert_int_equal(fb_counts(fb).jobs, THREADS * ROUNDS);
    jobq_queue_free(&shared.queue);
    jobq_close(&client);
}

/* ---- fork ---- */

static int use_in_child(struct jobq_client *client, struct jobq_queue *queue,
                        struct jobq_item *item)
{
    struct jobq_queue_info info = { .size = sizeof info };
    struct jobq_queue *another = NULL;
    struct jobq_item *got = NULL;

    if (jobq_put(queue, "x", 1, 0, -1) != JOBQ_EFORKED || jobq_get(queue, -1, &got) != JOBQ_EFORKED)
        return 1;
    if (jobq_join(queue, -1) != JOBQ_EFORKED || jobq_qsize(queue) != JOBQ_EFORKED ||
        jobq_empty(queue) != JOBQ_EFORKED || jobq_full(queue) != JOBQ_EFORKED ||
        jobq_queue_info(queue, &info) != JOBQ_EFORKED)
        return 2;
    if (jobq_queue_close(queue, 0) != JOBQ_EFORKED ||
        jobq_queue_purge(queue, NULL) != JOBQ_EFORKED || jobq_queue_pause(queue) != JOBQ_EFORKED ||
        jobq_queue_resume(queue) != JOBQ_EFORKED || jobq_queue_remove(queue) != JOBQ_EFORKED)
        return 3;
    if (jobq_queue_open(client, "q", NULL, &another) != JOBQ_EFORKED ||
        jobq_queue_declare(client, "q", "fifo", 0) != JOBQ_EFORKED)
        return 4;
    if (jobq_extend(item, 1) != JOBQ_EFORKED || jobq_task_done(&item) != JOBQ_EFORKED ||
        jobq_nack(&item, 0) != JOBQ_EFORKED || jobq_settle_done(client, 1, 1) != JOBQ_EFORKED ||
        jobq_settle_nack(client, 1, 1, 0) != JOBQ_EFORKED ||
        jobq_settle_extend(client, 1, 1, 1) != JOBQ_EFORKED)
        return 5;
    jobq_item_free(&item);
    jobq_queue_free(&queue);
    jobq_close(&client);
    return item || queue || client ? 6 : 0;
}

static void a_child_may_only_free(void **state)
{
    struct fake_broker *fb = *state;
    struct jobq_client *client = fb_client(fb, FB_WAIT_MS);
    struct jobq_queue *queue = open_queue(client, 0);
    int status = -1;

    put(queue, "x");
    struct jobq_item *item = get(queue, "x");
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(use_in_child(client, queue, item));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(jobq_task_done(&item), 0); /* the parent's works on */
    jobq_queue_free(&queue);
    jobq_close(&client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fb_setup, fb_teardown)
        TEST(an_item_goes_in_comes_out_and_is_done),
        TEST(a_nack_and_a_free_bring_an_item_back),
        TEST(an_item_is_settled_by_its_receipt_once),
        TEST(a_full_queue_and_an_empty_one_say_so_in_time),
        TEST(too_large_an_item_is_not_sent),
        TEST(a_queue_as_a_whole),
        TEST(a_queue_that_does_not_exist_is_empty),
        TEST(an_older_info_gets_what_it_has_room_for),
        TEST(jobs_take_their_options_along),
        TEST(a_job_waits_for_room_as_long_as_it_says),
        TEST(blocked_puts_get_room_in_the_order_in_which_they_came),
        TEST(many_threads_share_a_bounded_queue),
        TEST(a_child_may_only_free),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
