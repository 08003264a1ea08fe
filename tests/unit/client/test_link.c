/* SPDX-License-Identifier: MIT
 *
 * test_link.c - when the broker is hailed, asked whether it is there, and given up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client/link.h"

enum { HEARTBEAT_MS = 100 };

static void hear(struct jq_link *link, jq_ms now, enum jq_tag tag)
{
    struct jq_msg msg = { .tag = tag, .correlation = JQ_LINK_CORRELATION };

    if (tag == JQ_MSG_WELCOME)
        msg.u.welcome.heartbeat_ms = HEARTBEAT_MS;
    assert_true(jq_link_heard(link, now, &msg));
}

static bool hear_error(struct jq_link *link, jq_ms now, uint64_t correlation, enum jq_err err)
{
    const struct jq_msg msg = { .tag = JQ_MSG_ERROR,
                                .correlation = correlation,
                                .u.error = { .error = err, .text = jq_view_str("why") } };

    return jq_link_heard(link, now, &msg);
}

static void make_welcome(struct jq_link *link, jq_ms now)
{
    jq_link_init(link, 1, now);
    jq_link_up(link, now);
    assert_int_equal(jq_link_tick(link, now, true), JQ_LINK_HELLO);
    jq_link_sent(link, now, JQ_LINK_HELLO);
    hear(link, now, JQ_MSG_WELCOME);
    assert_true(link->is_welcome);
}

static void nothing_is_said_before_there_is_a_connection(void **state)
{
    struct jq_link link;

    (void)state;
    jq_link_init(&link, 1, 0);
    assert_int_equal(jq_link_tick(&link, 1000000, true), 0);
    assert_int_equal(jq_link_next_at(&link, true), JQ_NEVER);
}

static void a_ping_is_due_after_a_heartbeat_of_silence_while_waiting(void **state)
{
    struct jq_link link;

    (void)state;
    make_welcome(&link, 1000);
    assert_int_equal(jq_link_next_at(&link, false), JQ_NEVER);
    assert_int_equal(jq_link_next_at(&link, true), 1100);
    assert_int_equal(jq_link_tick(&link, 1099, true), 0);
    assert_int_equal(jq_link_tick(&link, 1100, false), 0);
    assert_int_equal(jq_link_tick(&link, 1100, true), JQ_LINK_PING);
    jq_link_sent(&link, 1100, JQ_LINK_PING);
    hear(&link, 1150, JQ_MSG_PONG);
    assert_int_equal(jq_link_next_at(&link, true), 1250);
}

static void a_pong_that_answers_nothing_is_passed_over(void **state)
{
    const struct jq_msg pong = { .tag = JQ_MSG_PONG };
    struct jq_link link;

    (void)state;
    jq_link_init(&link, 1, 1000);
    jq_link_up(&link, 1000);
    jq_link_sent(&link, 1000, JQ_LINK_HELLO);
    const jq_ms until = jq_link_next_at(&link, true);
    assert_false(jq_link_heard(&link, 1010, &pong));
    assert_false(link.is_welcome);
    assert_int_equal(jq_link_next_at(&link, true), until);
    hear(&link, 1020, JQ_MSG_WELCOME);
    assert_false(jq_link_heard(&link, 1030, &pong));
    assert_int_equal(jq_link_tick(&link, 1031, true), 0);
    assert_true(link.is_welcome);
}

static void an_unanswered_ping_ends_the_connection(void **state)
{
    struct jq_link link;

    (void)state;
    make_welcome(&link, 1000);
    jq_link_sent(&link, 1100, JQ_LINK_PING);
    assert_int_equal(jq_link_tick(&link, 1299, true), 0);
    assert_int_equal(jq_link_tick(&link, 1300, true), JQ_LINK_REOPEN);
    jq_link_down(&link, 1300);
    assert_int_equal(jq_link_tick(&link, 999999, true), 0); /* the transport connects */
}

/* The program did something else for a minute. */
static void silence_without_a_question_is_no_silence(void **state)
{
    struct jq_link link;

    (void)state;
    make_welcome(&link, 1000);
    assert_int_equal(jq_link_tick(&link, 61000, true), JQ_LINK_PING);
}

static void new_connections_without_a_welcome_come_ever_later(void **state)
{
    struct jq_link link;
    jq_ms now = 1000, first = 0, wait = 0;

    (void)state;
    jq_link_init(&link, 1, now);
    for (int i = 0; i < 12; i++) {
        jq_link_up(&link, now);
        jq_link_sent(&link, now, JQ_LINK_HELLO);
        const jq_ms hailed_at = now;
        unsigned actions = 0;
        while (!(actions & JQ_LINK_REOPEN)) {
            now = jq_link_next_at(&link, true);
            assert_int_not_equal(now, JQ_NEVER);
            actions = jq_link_tick(&link, now, true);
        }
        wait = now - hailed_at;
        if (i == 0)
            first = wait;
        jq_link_down(&link, now);
    }
    assert_true(wait > first + 2000);
    assert_true(wait < first + 10000);
}

static void nohello_is_acted_upon_once(void **state)
{
    struct jq_link link;

    (void)state;
    make_welcome(&link, 1000);
    assert_true(hear_error(&link, 1010, 17, JQ_ENOHELLO));
    assert_int_equal(jq_link_tick(&link, 1010, true), JQ_LINK_HELLO);
    jq_link_sent(&link, 1010, JQ_LINK_HELLO);
    assert_true(hear_error(&link, 1011, 18, JQ_ENOHELLO)); /* sent before our HELLO, too */
    assert_int_equal(jq_link_tick(&link, 1011, true), 0);
    hear(&link, 1012, JQ_MSG_WELCOME);
    assert_true(link.is_welcome);
}

static void a_lost_hello_is_said_again(void **state)
{
    struct jq_link link;

    (void)state;
    jq_link_init(&link, 1, 0);
    jq_link_up(&link, 0);
    jq_link_sent(&link, 0, JQ_LINK_HELLO);
    assert_true(hear_error(&link, 1, 18, JQ_ENOHELLO));
    const jq_ms at = jq_link_next_at(&link, true);
    assert_true(at <= 500);
    assert_int_equal(jq_link_tick(&link, at - 1, true), 0);
    assert_int_equal(jq_link_tick(&link, at, true), JQ_LINK_HELLO);
    jq_link_sent(&link, at, JQ_LINK_HELLO);
    hear(&link, at, JQ_MSG_WELCOME);
    assert_true(jq_link_next_at(&link, false) == JQ_NEVER);
}

static void a_refusal_stays_until_a_welcome(void **state)
{
    struct jq_link link;

    (void)state;
    jq_link_init(&link, 1, 0);
    jq_link_up(&link, 0);
    jq_link_sent(&link, 0, JQ_LINK_HELLO);
    assert_true(hear_error(&link, 1, JQ_LINK_CORRELATION, JQ_EVERSION));
    assert_int_equal(link.refused, JQ_EVERSION);
    assert_string_equal(link.refused_text.text, "why");
    const jq_ms at = jq_link_next_at(&link, false);
    assert_true(at > 1 && at <= 5001);
    assert_int_equal(jq_link_tick(&link, at, false), JQ_LINK_REOPEN);
    jq_link_down(&link, at);
    jq_link_up(&link, at);
    jq_link_sent(&link, at, JQ_LINK_HELLO);
    hear(&link, at, JQ_MSG_WELCOME);
    assert_int_equal(link.refused, JQ_OK);
}

static void errors_of_requests_are_not_the_links(void **state)
{
    struct jq_link link;

    (void)state;
    make_welcome(&link, 0);
    assert_false(hear_error(&link, 1, 5, JQ_ENOSPC));
    assert_true(link.is_welcome);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_said_before_there_is_a_connection),
        cmocka_unit_test(a_ping_is_due_after_a_heartbeat_of_silence_while_waiting),
        cmocka_unit_test(a_pong_that_answers_nothing_is_passed_over),
        cmocka_unit_test(an_unanswered_ping_ends_the_connection),
        cmocka_unit_test(silence_without_a_question_is_no_silence),
        cmocka_unit_test(new_connections_without_a_welcome_come_ever_later),
        cmocka_unit_test(nohello_is_acted_upon_once),
        cmocka_unit_test(a_lost_hello_is_said_again),
        cmocka_unit_test(a_refusal_stays_until_a_welcome),
        cmocka_unit_test(errors_of_requests_are_not_the_links),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
