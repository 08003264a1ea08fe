/* SPDX-License-Identifier: MIT
 *
 * test_input.c - what a program hands in before there is a connection: URLs, options, commands. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/include/jobq/jobq.h"
#include "client/slab.h"
#include "client/url.h"
#include "proto/base/alloc.h"
#include "proto/msg.h"

/* ---- URLs and options ---- */

static void urls_are_ipc_or_tcp_with_a_port(void **state)
{
    static const char *const good[] = { "ipc:///run/x.sock", "ipc://relative",
                                        "tcp://h:1",         "tcp://127.0.0.1:65535",
                                        "tcp://[::1]:7878",  "tcp://my-host.example_1:80" };
    static const char *const bad[] = { "x",
                                       "ipc:",
                                       "ipc://",
                                       "tcp://",
                                       "tcp://h",
                                       "tcp://h:",
                                       "tcp://h:0",
                                       "tcp://h:65536",
                                       "tcp://h:1x",
                                       "tcp://:1",
                                       "tcp://[]:1",
                                       "tcp://[::1:1",
                                       "tcp://a b:1",
                                       "tcp://*:1",
                                       "http://h:1",
                                       "inproc://x",
                                       "tcp://h:99999999999999999999" };
    char url[JQ_URL_MAX];
    bool ipv6;

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(jq_url_resolve(good[i], url, &ipv6, NULL), JQ_OK);
        assert_string_equal(url, good[i]);
        assert_int_equal(ipv6, strchr(good[i], '[') != NULL);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct jq_detail detail = { "" };
        struct jobq_options options = JOBQ_OPTIONS_INIT;
        struct jobq_client *client = NULL;
        assert_int_equal(jq_url_resolve(bad[i], url, &ipv6, &detail), JQ_EINVAL);
        assert_non_null(strstr(detail.text, bad[i]));
        options.url = bad[i];
        assert_int_equal(jobq_open(&options, &client), JOBQ_EINVAL);
        assert_null(client);
    }
}

static void a_path_that_no_socket_can_have_is_refused(void **state)
{
    char url[200] = "ipc:///", resolved[JQ_URL_MAX];
    bool ipv6;

    (void)state;
    memset(url + 7, 'x', 106);
    assert_int_equal(jq_url_resolve(url, resolved, &ipv6, NULL), JQ_OK); /* 107 bytes */
    url[7 + 106] = 'x';
    assert_int_equal(jq_url_resolve(url, resolved, &ipv6, NULL), JQ_EINVAL);
}

static void the_url_comes_from_the_environment_or_is_the_default(void **state)
{
    char url[JQ_URL_MAX], usual[JQ_URL_MAX];
    bool ipv6;

    (void)state;
    setenv("JOBQ_URL", "tcp://other:9", 1);
    assert_int_equal(jq_url_resolve(NULL, url, &ipv6, NULL), JQ_OK);
    assert_string_equal(url, "tcp://other:9");
    assert_int_equal(jq_url_resolve("ipc://mine", url, &ipv6, NULL), JQ_OK);
    assert_string_equal(url, "ipc://mine");
    unsetenv("JOBQ_URL");
    assert_int_equal(jq_default_url(usual), JQ_OK);
    assert_int_equal(jq_url_resolve(NULL, url, &ipv6, NULL), JQ_OK);
    assert_string_equal(url, usual);
}

static void bad_options_are_refused(void **state)
{
    struct jobq_options options = JOBQ_OPTIONS_INIT;
    struct jobq_client *client = NULL;

    (void)state;
    options.url = "ipc:///tmp/jobq-nobody";
    assert_int_equal(jobq_open(&options, NULL), JOBQ_EINVAL);
    options.timeout_ms = -2;
    assert_int_equal(jobq_open(&options, &client), JOBQ_EINVAL);
    options.timeout_ms = 0;
    options.name = "not a name";
    assert_int_equal(jobq_open(&options, &client), JOBQ_EINVAL);
    options.name = NULL;
    options.size = 1;
    assert_int_equal(jobq_open(&options, &client), JOBQ_EINVAL);
    options.size = offsetof(struct jobq_options, name); /* an older program's */
    assert_int_equal(jobq_open(&options, &client), 0);
    jobq_close(&client);
}

/* NULL where a handle or a future should be: an error, never a crash. */
static void null_is_an_error(void **state)
{
    const struct jobq_job job = JOBQ_JOB_INIT;
    struct jobq_future *none = NULL;
    size_t number;

    (void)state;
    assert_int_equal(jobq_submit(NULL, &job, NULL), JOBQ_EINVAL);
    assert_int_equal(jobq_submit_many(NULL, &job, 1, NULL), JOBQ_EINVAL);
    assert_int_equal(jobq_flush(NULL, 0), JOBQ_EINVAL);
    assert_int_equal(jobq_ping(NULL, 0, NULL), JOBQ_EINVAL);
    assert_int_equal(jobq_wait_any(NULL, &none, 1, 0, &number), JOBQ_EINVAL);
    assert_int_equal(jobq_client_fd(NULL), JOBQ_EINVAL);
    assert_int_equal(jobq_client_process(NULL), JOBQ_EINVAL);
    assert_int_equal(jobq_client_timeout_ms(NULL), -1);
    assert_int_equal(jobq_future_wait(NULL, 0), JOBQ_EINVAL);
    assert_int_equal(jobq_future_done(NULL), JOBQ_EINVAL);
    assert_int_equal(jobq_future_id(NULL), 0);
    assert_int_equal(jobq_future_cancel(NULL, NULL), JOBQ_EINVAL);
    assert_int_equal(jobq_future_result(NULL, 0, NULL), JOBQ_EINVAL);
    assert_string_equal(jobq_errdetail(NULL), "");
    jobq_future_free(&none);
    jobq_future_free(NULL);
    jobq_close(NULL);
    jobq_payload_free(NULL);
}

/* Every allocation of an open fails in turn: an error, no leak. */
static void an_open_without_memory_fails_cleanly(void **state)
{
    struct jobq_options options = JOBQ_OPTIONS_INIT;
    struct jobq_client *client = NULL;
    int rc = JOBQ_ENOMEM, fails = 0;

    (void)state;
    options.url = "ipc:///tmp/jobq-nobody";
    for (; rc != 0; fails++) {
        jq_alloc_fail_after(fails, 1);
        rc = jobq_open(&options, &client);
        jq_alloc_fail_after(-1, 0);
        assert_true(rc == 0 || rc == JOBQ_ENOMEM);
    }
    assert_true(fails > 1);
    jobq_close(&client);
}

/* ---- commands ---- */

static void a_command_is_packed_byte_for_byte(void **state)
{
    static const char *const argv[] = { "a b", "", "*", "\n", "\xff\xfe", NULL };
    static const char *const env[] = { "A=1", "B=\xc3", NULL };
    struct jobq_exec exec = { .size = sizeof exec,
                              .argv = argv,
                              .env = env,
                              .cwd = "/tmp",
                              .input = "in\0put",
                              .input_size = 6,
                              .timeout_ms = 5,
                              .flags = JOBQ_EXEC_MERGE };
    struct jq_exec_spec spec;
    struct jq_bytes bytes;
    void *payload = NULL;
    size_t size = 0;

    (void)state;
    assert_int_equal(jobq_exec_pack(&exec, &payload, &size), 0);
    struct jq_reader r = jq_reader(jq_view(payload, size));
    assert_int_equal(jq_exec_spec_read(&r, &spec), JQ_OK);
    assert_ptr_equal(r.at, r.end);
    assert_int_equal(spec.argv.count, 5);
    r = jq_records_reader(spec.argv);
    for (int i = 0; argv[i]; i++) {
        assert_true(jq_bytes_next(&r, &bytes));
        assert_true(jq_view_equal(bytes.value, jq_view_str(argv[i])));
    }
    assert_int_equal(spec.env.count, 2);
    assert_true(jq_view_equal(spec.cwd, jq_view_str("/tmp")));
    assert_true(jq_view_equal(spec.input, jq_view("in\0put", 6)));
    assert_int_equal(spec.timeout_ms, 5);
    assert_int_equal(spec.flags, JQ_EXEC_MERGE);
    jobq_payload_free(payload);
}

static void a_command_out_of_bounds_is_refused(void **state)
{
    static const char *const none[] = { NULL };
    static const char *const one[] = { "x", NULL };
    static const char *many[(1 << 16) + 2];
    struct jobq_exec exec = { .size = sizeof exec, .argv = none };
    void *payload = NULL;
    size_t size = 0;

    (void)state;
    assert_int_equal(jobq_exec_pack(NULL, &payload, &size), JOBQ_EINVAL);
    assert_int_equal(jobq_exec_pack(&exec, &payload, &size), JOBQ_EINVAL);
    exec.argv = one;
    exec.timeout_ms = -1;
    assert_int_equal(jobq_exec_pack(&exec, &payload, &size), JOBQ_EINVAL);
    exec.timeout_ms = 0;
    exec.flags = 1 << 9;
    assert_int_equal(jobq_exec_pack(&exec, &payload, &size), JOBQ_EINVAL);
    exec.flags = 0;
    exec.input = "";
    exec.input_size = (16 << 20) + 1;
    assert_int_equal(jobq_exec_pack(&exec, &payload, &size), JOBQ_EMSGSIZE);
    exec.input_size = 0;
    for (size_t i = 0; i <= 1 << 16; i++)
        many[i] = "x";
    exec.argv = many;
    assert_int_equal(jobq_exec_pack(&exec, &payload, &size), JOBQ_EMSGSIZE);
    many[1 << 16] = NULL;
    assert_int_equal(jobq_exec_pack(&exec, &payload, &size), 0);
    jobq_payload_free(payload);
}

/* ---- slabs ---- */

static void a_slab_gives_back_what_it_was_given(void **state)
{
    struct jq_slab slab;
    void *objects[1000];

    (void)state;
    jq_slab_init(&slab, 24);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 1000; i++) {
            objects[i] = jq_slab_take(&slab);
            assert_non_null(objects[i]);
            assert_memory_equal(objects[i], (char[24]){ 0 }, 24);
            memset(objects[i], 0xff, 24);
        }
        assert_int_equal(slab.count, 1000);
        for (int i = 0; i < 1000; i++)
            jq_slab_give(&slab, objects[i]);
        assert_int_equal(slab.count, 0);
    }
    jq_slab_fini(&slab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_are_ipc_or_tcp_with_a_port),
        cmocka_unit_test(a_path_that_no_socket_can_have_is_refused),
        cmocka_unit_test(the_url_comes_from_the_environment_or_is_the_default),
        cmocka_unit_test(bad_options_are_refused),
        cmocka_unit_test(null_is_an_error),
        cmocka_unit_test(an_open_without_memory_fails_cleanly),
        cmocka_unit_test(a_command_is_packed_byte_for_byte),
        cmocka_unit_test(a_command_out_of_bounds_is_refused),
        cmocka_unit_test(a_slab_gives_back_what_it_was_given),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
