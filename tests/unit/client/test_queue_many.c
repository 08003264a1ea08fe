/* SPDX-License-Identifier: MIT
 *
 * test_queue_many.c - items by the dozen through the public header, against a played broker. */
#include <string.h>

#include "proto/limits.h"
#include "tests/unit/client/fake_broker.h"

enum { MANY = 40 };

static struct jobq_queue *open_queue(struct jobq_client *client, uint64_t maxsize)
{
    struct jobq_queue *queue = NULL;

    assert_int_equal(jobq_queue_declare(client, "q", "fifo", maxsize), 0);
    assert_int_equal(jobq_queue_open(client, "q", NULL, &queue), 0);
    return queue;
}

/* Items of one byte each: their number. */
static void put_many(struct jobq_queue *queue, size_t count)
{
    struct jobq_put_item items[MANY];
    uint8_t bytes[MANY];
    int errors[MANY];

    for (size_t i = 0; i < count; i++) {
        bytes[i] = (uint8_t)i;
        items[i] = (struct jobq_put_item){ .data = &bytes[i], .size = 1 };
        errors[i] = -1;
    }
    assert_int_equal(jobq_put_many(queue, items, count, -1, errors), 0);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(errors[i], 0);
}

static uint8_t number_of(const struct jobq_item *item)
{
    size_t size;
    const uint8_t *data = jobq_item_data(item, &size);

    assert_int_equal(size, 1);
    return data[0];
}

static void many_go_in_come_out_in_order_and_are_done(void **state)
{
    struct fake_broker *fb = *state;
    struct jobq_client *client = fb_client(fb, FB_WAIT_MS);
    struct jobq_queue *queue = open_queue(client, 0);
    struct jobq_item *items[MANY + 1];
    size_t count = 0;

    put_many(queue, MANY);
    assert_int_equal(jobq_qsize(queue), MANY);
    assert_int_equal(jobq_get_many(queue, MANY / 2, -1, items, &count), 0);
    assert_int_equal(count, MANY / 2);
    assert_int_equal(jobq_get_many(queue, MANY, 0, items + count, &count), 0);
    assert_int_equal(count, MANY - MANY / 2);
    for (size_t i = 0; i < MANY; i++)
        assert_int_equal(number_of(items[i]), i);
    items[MANY] = NULL; /* is passed over */
    assert_int_equal(jobq_task_done_many(items, MANY + 1), 0);
    for (size_t i = 0; i < MANY; i++)
        assert_null(items[i]);
    assert_int_equal(jobq_join(queue, -1), 0);
    assert_int_equal(jobq_get_many(queue, MANY, 0, items, &count), JOBQ_EEMPTY);
    assert_int_equal(jobq_get_many(queue, 0, 0, items, &count), JOBQ_EINVAL);
    assert_int_equal(jobq_task_done_many(items, MANY), 0); /* of none */
    assert_int_equal(jobq_put_many(queue, NULL, 0, 0, NULL), 0);
    jobq_queue_free(&queue);
    jobq_close(&client);
}

static void a_flush_waits_for_what_is_done_and_tells_what_was_lost(void **state)
{
    struct fake_broker *fb = *state;
    struct jobq_client *client = fb_client(fb, FB_WAIT_MS);
    struct jobq_queue *queue = open_queue(client, 0);
    struct jobq_item *items[MANY];
    size_t count = 0;

    put_many(queue, 4);
    assert_int_equal(jobq_get_many(queue, MANY, -1, items, &count), 0);
    assert_int_equal(count, 4);
    assert_int_equal(jobq_task_done_start(items, 2), 0);
    assert_null(items[0]);
    assert_null(items[1]);
    assert_int_equal(jobq_flush(client, -1), 0);
    assert_int_equal(jobq_settle_nack(client, jobq_item_id(items[2]), jobq_item_fence(items[2]), 0),
                     0);
    assert_int_equal(jobq_task_done_start(items + 2, 2), 0);
    assert_int_equal(jobq_flush(client, -1), JOBQ_EFENCED);
    assert_int_equal(jobq_flush(client, -1), 0);
    assert_int_equal(jobq_qsize(queue), 1);
    jobq_queue_free(&queue);
    jobq_close(&client);
}

static void of_many_those_that_were_lost_are_told_and_freed_too(void **state)
{
    struct fake_broker *fb = *state;
    struct jobq_client *client = fb_client(fb, FB_WAIT_MS), *other = fb_client(fb, FB_WAIT_MS);
    struct jobq_queue *queue = open_queue(client, 0), *same = NULL;
    struct jobq_item *items[MANY];
    size_t count = 0;

    put_many(queue, 4);
    assert_int_equal(jobq_get_many(queue, 3, -1, items, &count), 0);
    assert_int_equal(jobq_queue_open(other, "q", NULL, &same), 0);
    assert_int_equal(jobq_get(same, 0, &items[3]), 0);
    assert_int_equal(jobq_task_done_many(items, 4), JOBQ_EINVAL); /* of two clients */
    jobq_item_free(&items[3]);
    assert_int_equal(jobq_settle_nack(client, jobq_item_id(items[1]), jobq_item_fence(items[1]), 0),
                     0);
    assert_int_equal(jobq_task_done_many(items, 3), JOBQ_EFENCED);
    for (size_t i = 0; i < 3; i++)
        assert_null(items[i]);
    jobq_queue_free(&queue);
    jobq_queue_free(&same);
    jobq_close(&client);
    jobq_close(&other);
}

static void an_older_broker_gives_one(void **state)
{
    struct fake_broker *fb = *state;
    struct jobq_client *client = fb_client(fb, FB_WAIT_MS);
    struct jobq_queue *queue = open_queue(client, 0);
    struct jobq_item *items[MANY];
    size_t count = 0;

    fb_fault(fb, (struct fb_faults){ .is_older = true });
    put_many(queue, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(jobq_get_many(queue, MANY, -1, items, &count), 0);
        assert_int_equal(count, 1);
        assert_int_equal(number_of(items[0]), i);
        assert_int_equal(jobq_task_done_many(items, 1), 0);
    }
    jobq_queue_free(&queue);
    jobq_close(&client);
}

static void a_full_queue_says_which_of_many_are_in(void **state)
{
    struct fake_broker *fb = *state;
    struct jobq_client *client = fb_client(fb, FB_WAIT_MS);
    struct jobq_queue *queue = open_queue(client, 3);
    struct jobq_put_item items[5];
    int errors[5];

    for (size_t i = 0; i < 5; i++)
        items[i] = (struct jobq_put_item){ .data = "x", .size = 1 };
    assert_int_equal(jobq_put_many(queue, items, 2, 0, errors), 0);
    assert_int_equal(jobq_put_many(queue, items, 2, 0, errors), JOBQ_EFULL); /* all or none */
    assert_true(errors[0] == JOBQ_EFULL && errors[1] == JOBQ_EFULL);
    assert_int_equal(jobq_qsize(queue), 2);
    assert_int_equal(jobq_put_many(queue, items, 2, 20, NULL), JOBQ_EFULL);
    items[4].size = JQ_PAYLOAD_MAX + 1;
    errors[0] = 7;
    assert_int_equal(jobq_put_many(queue, items, 5, -1, errors), JOBQ_EMSGSIZE);
    assert_int_equal(errors[0], 7);
    assert_int_equal(jobq_qsize(queue), 2);
    jobq_queue_free(&queue);
    jobq_close(&client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fb_setup, fb_teardown)
        TEST(many_go_in_come_out_in_order_and_are_done),
        TEST(a_flush_waits_for_what_is_done_and_tells_what_was_lost),
        TEST(of_many_those_that_were_lost_are_told_and_freed_too),
        TEST(an_older_broker_gives_one),
        TEST(a_full_queue_says_which_of_many_are_in),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
