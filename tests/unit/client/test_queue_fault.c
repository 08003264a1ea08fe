/* SPDX-License-Identifier: MIT
 *
 * test_queue_fault.c - items when connections break, answers are lost or come too late. */
#include <string.h>
#include <unistd.h>

#include "client/request.h"
#include "tests/unit/client/fake_broker.h"

static struct jobq_queue *open_queue(struct jobq_client *client)
{
    struct jobq_queue *queue = NULL;

    assert_int_equal(jobq_queue_open(client, "q", NULL, &queue), 0);
    return queue;
}

static void put(struct jobq_queue *queue, const char *text)
{
    assert_int_equal(jobq_put(queue, text, strlen(text), 0, -1), 0);
}

static struct jobq_item *get(struct jobq_queue *queue)
{
    struct jobq_item *item = NULL;

    assert_int_equal(jobq_get(queue, -1, &item), 0);
    return item;
}

/* The connection of before is gone, and the client knows. */
static void reconnect(struct fake_broker *fb, struct jobq_client *client)
{
    const uint64_t hellos = fb_counts(fb).hellos;

    fb_stop(fb);
    fb_start(fb);
    while (fb_counts(fb).hellos == hellos)
        assert_int_equal(jobq_ping(client, -1, NULL), 0);
    assert_int_equal(jobq_ping(client, -1, NULL), 0);
}

static void a_reconnect_lists_what_is_held(void **state)
{
    struct fake_broker *fb = *state;
    struct jobq_client *client = fb_client(fb, FB_WAIT_MS);
    struct jobq_queue *queue = open_queue(client);

    put(queue, "a");
    put(queue, "b");
    put(queue, "c");
    struct jobq_item *a = get(queue), *b = get(queue), *c = get(queue);
    assert_int_equal(jobq_extend(c, 60000), 0); /* held by its receipt from now on */
    reconnect(fb, client);
    assert_int_equal(fb_counts(fb).held, 2);
    assert_int_equal(jobq_task_done(&a), 0);
    assert_int_equal(jobq_task_done(&b), 0);
    assert_int_equal(jobq_task_done(&c), 0);
    assert_int_equal(jobq_join(queue, -1), 0);
    jobq_queue_free(&queue);
    jobq_close(&client);
}

static void a_lost_item_is_fenced_and_not_listed_again(void **state)
{
    struct fake_broker *fb = *state;
    struct jobq_client *client = fb_client(fb, FB_WAIT_MS);
    struct jobq_queue *queue = open_queue(client);

    put(queue, "a");
    put(queue, "b");
    struct jobq_item *a = get(queue), *b = get(queue);
    fb_steal(fb);
    reconnect(fb, client);
    assert_int_equal(fb_counts(fb).held, 2);
    assert_int_equal(jobq_task_done(&a), JOBQ_EFENCED);
    assert_null(a);
    jobq_item_free(&b);
    reconnect(fb, client);
    assert_int_equal(fb_counts(fb).held, 0);
    jobq_queue_free(&queue);
    jobq_close(&client);
}

static void a_task_done_whose_answer_was_lost_is_done(void **state)
{
    struct fake_broker *fb = *state;
    struct jobq_client *client = fb_client(fb, FB_WAIT_MS);
    struct jobq_queue *queue = open_queue(client);

    put(queue, "a");
    put(queue, "b");
    struct jobq_item *a = get(queue), *b = get(queue);
    fb_fault(fb, (struct fb_faults){ .drop_settled = 2 });
    assert_int_equal(jobq_task_done(&a), 0); /* its third copy is told ALREADY */
    fb_fault(fb, (struct fb_faults){ .drop_settled = 1 });
    assert_int_equal(jobq_nack(&b, 0), 0); /* its second is FENCED: it is back */
    assert_int_equal(fb_counts(fb).settles, 5);
    assert_int_equal(fb_counts(fb).nacks, 1);
    jobq_queue_free(&queue);
    jobq_close(&client);
}

static void an_item_that_crosses_the_end_of_the_wait_is_taken(void **state)
{
    struct fake_broker *fb = *state;
    struct jobq_client *client = fb_client(fb, FB_WAIT_MS);
    struct jobq_queue *queue = open_queue(client);
    struct jobq_item *item = NULL;

    put(queue, "a");
    fb_fault(fb, (struct fb_faults){ .item_at_unwait = true });
    assert_int_equal(jobq_get(queue, 5, &item), 0);
    assert_int_equal(jobq_task_done(&item), 0);
    jobq_queue_free(&queue);
    jobq_close(&client);
}

static void an_item_that_comes_later_still_is_given_back(void **state)
{
    struct fake_broker *fb = *state;
    struct jobq_client *client = fb_client(fb, FB_WAIT_MS);
    struct jobq_queue *queue = open_queue(client);
    struct jobq_item *item = NULL;

    put(queue, "a");
    fb_fault(fb, (struct fb_faults){ .item_after_pong = true });
    assert_int_equal(jobq_get(queue, 5, &item), JOBQ_EEMPTY);
    fb_fault(fb, (struct fb_faults){ .silent = false });
    while (fb_counts(fb).nacks == 0)
        assert_int_equal(jobq_ping(client, -1, NULL), 0);
    item = get(queue);
    assert_int_equal(jobq_item_attempt(item), 2);
    assert_int_equal(jobq_task_done(&item), 0);
    jobq_queue_free(&queue);
    jobq_close(&client);
}

static void a_get_and_a_put_that_wait_survive_a_restart(void **state)
{
    struct fake_broker *fb = *state;
    struct jobq_client *client = fb_client(fb, FB_WAIT_MS), *other = fb_client(fb, FB_WAIT_MS);
    struct jobq_queue *queue = open_queue(client), *theirs = open_queue(other);
    struct jobq_job job = fb_job("item");
    struct jobq_future *blocked = NULL;

    assert_int_equal(jobq_queue_declare(client, "q", "fifo", 1), 0);
    put(queue, "a");
    job.queue = "q";
    job.payload = "b";
    job.payload_size = 1;
    assert_int_equal(jobq_submit_start(other, &job, &blocked), 0);
    while (fb_counts(fb).putters == 0)
        assert_int_equal(jobq_flush(other, 1), JOBQ_ETIMEDOUT);
    fb_stop(fb);
    fb_start(fb);
    while (fb_counts(fb).putters == 0 || fb_counts(fb).hellos < 3)
        (void)jobq_flush(other, 1);
    struct jobq_item *item = get(queue);
    assert_int_equal(jobq_task_done(&item), 0);
    assert_int_equal(jobq_flush(other, -1), 0);
    item = get(theirs);
    assert_int_equal(*(const char *)jobq_item_data(item, NULL), 'b');
    assert_int_equal(jobq_task_done(&item), 0);
    jobq_future_free(&blocked);
    jobq_queue_free(&queue);
    jobq_queue_free(&theirs);
    jobq_close(&client);
    jobq_close(&other);
}

static void without_a_broker_nothing_was_sent(void **state)
{
    struct fake_broker *fb = *state;
    struct jobq_item *item = NULL;

    fb_stop(fb);
    struct jobq_client *client = fb_client(fb, 0);
    struct jobq_queue *queue = open_queue(client);
    assert_int_equal(jobq_put(queue, "x", 1, 0, 5), JOBQ_EUNREACH);
    assert_non_null(strstr(jobq_errdetail(client), "nothing was sent"));
    assert_int_equal(jobq_get(queue, 5, &item), JOBQ_EUNREACH);
    assert_int_equal(jobq_join(queue, 5), JOBQ_EUNREACH);
    fb_start(fb);
    put(queue, "y");
    item = get(queue);
    assert_int_equal(*(const char *)jobq_item_data(item, NULL), 'y');
    assert_int_equal(fb_counts(fb).jobs, 1);
    jobq_item_free(&item);
    jobq_queue_free(&queue);
    jobq_close(&client);
}

static void a_put_that_was_sent_into_silence_is_unknown(void **state)
{
    struct fake_broker *fb = *state;
    struct jobq_client *client = fb_client(fb, FB_WAIT_MS);
    struct jobq_queue *queue = open_queue(client);

    fb_fault(fb, (struct fb_faults){ .silent = true });
    /* Longer than the silence after which the connection is made anew. */
    assert_int_equal(jobq_put(queue, "x", 1, 0, 10 * FB_HEARTBEAT_MS), JOBQ_EUNREACH);
    assert_non_null(strstr(jobq_errdetail(client), "is not known"));
    fb_fault(fb, (struct fb_faults){ .silent = false });
    assert_int_equal(jobq_ping(client, -1, NULL), 0);
    jobq_queue_free(&queue);
    jobq_close(&client);
}

static void a_request_out_of_time_is_withdrawn(void **state)
{
    struct fake_broker *fb = *state;
    struct jobq_client *client = fb_client(fb, FB_WAIT_MS);
    const struct jq_msg get = { .tag = JQ_MSG_GET,
                                .u.get = { .queue = jq_view_str("q"), .wait = 1 } };
    struct jq_answer answer = { 0 };

    assert_int_equal(jq_request(client, &get, 5, &answer), JOBQ_ETIMEDOUT);
    assert_int_equal(jobq_ping(client, -1, NULL), 0);
    assert_int_equal(fb_counts(fb).unwaits, 1);
    assert_int_equal(fb_counts(fb).getters, 0);
    jobq_close(&client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fb_setup, fb_teardown)
        TEST(a_reconnect_lists_what_is_held),
        TEST(a_lost_item_is_fenced_and_not_listed_again),
        TEST(a_task_done_whose_answer_was_lost_is_done),
        TEST(an_item_that_crosses_the_end_of_the_wait_is_taken),
        TEST(an_item_that_comes_later_still_is_given_back),
        TEST(a_get_and_a_put_that_wait_survive_a_restart),
        TEST(without_a_broker_nothing_was_sent),
        TEST(a_put_that_was_sent_into_silence_is_unknown),
        TEST(a_request_out_of_time_is_withdrawn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
