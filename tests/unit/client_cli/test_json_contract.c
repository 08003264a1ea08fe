/* SPDX-License-Identifier: MIT
 *
 * test_json_contract.c - the members that jobq-json(7) lists are those that are printed, of every
 * object that is made of a record. JOBQ_JSON_PAGE is the page's source. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "client/cli/figures.h"
#include "client/cli/format_json.h"

enum { MEMBERS_MAX = 64 };

struct section {
    char names[MEMBERS_MAX][32];
    size_t count;
};

/* "- *name* what it is" below "## title". */
static void read_section(const char *title, struct section *ret)
{
    FILE *page = fopen(JOBQ_JSON_PAGE, "r");
    char line[512], heading[64];
    bool inside = false;

    assert_non_null(page);
    snprintf(heading, sizeof heading, "## %s\n", title);
    ret->count = 0;
    while (fgets(line, sizeof line, page)) {
        if (line[0] == '#')
            inside = strcmp(line, heading) == 0;
        if (!inside || strncmp(line, "- *", 3) != 0)
            continue;
        assert_true(ret->count < MEMBERS_MAX);
        snprintf(ret->names[ret->count++], sizeof ret->names[0], "%.*s",
                 (int)strcspn(line + 3, "*"), line + 3);
    }
    fclose(page);
    if (ret->count == 0)
        fail_msg("%s has no section %s", JOBQ_JSON_PAGE, title);
}

/* All that is printed is documented, and all that is documented is printed but `optional`. */
static void assert_documented(const char *title, json_t *object, const char *optional)
{
    struct section section;
    const char *key;
    json_t *value;
    (void)value;

    assert_true(json_is_object(object));
    read_section(title, &section);
    json_object_foreach(object, key, value)
    {
        bool found = false;
        for (size_t i = 0; i < section.count && !found; i++)
            found = strcmp(section.names[i], key) == 0;
        if (!found)
            fail_msg("%s: %s is printed, but not documented", title, key);
    }
    for (size_t i = 0; i < section.count; i++) {
        char name[40];
        snprintf(name, sizeof name, " %s ", section.names[i]);
        if (!json_object_get(object, section.names[i]) && !strstr(optional, name))
            fail_msg("%s: %s is documented, but not printed", title, section.names[i]);
    }
}

struct capture {
    char *text;
    size_t size;
    FILE *out;
    struct jq_json_list list;
};

static void start(struct capture *c)
{
    *c = (struct capture){ 0 };
    c->out = open_memstream(&c->text, &c->size);
    assert_non_null(c->out);
    jq_json_start(&c->list, c->out, true);
}

static json_t *finish(struct capture *c)
{
    json_error_t error;

    assert_true(jq_json_end(&c->list));
    fclose(c->out);
    json_t *json = json_loads(c->text, 0, &error);
    if (!json)
        fail_msg("%s: %s", error.text, c->text);
    free(c->text);
    return json;
}

/* ---- jobs ---- */

static void write_lists(struct jq_buf lists[static 7])
{
    jq_exit_match_write(&lists[0], &(struct jq_exit_match){ .code = 7 });
    jq_exit_match_write(&lists[0], &(struct jq_exit_match){ .code = -1, .signal = 9 });
    jq_dependency_write(&lists[1], &(struct jq_dependency){ .id = 3, .kind = JQ_AFTER_FAIL });
    jq_word_write(&lists[2], &(struct jq_word){ .name = jq_view_str("gpu") });
    jq_limit_write(&lists[3], &(struct jq_limit){ .name = jq_view_str("api"), .max = 5 });
    jq_label_write(&lists[4], &(struct jq_label){ jq_view_str("k"), jq_view_str("v") });
    jq_attempt_write(&lists[5],
                     &(struct jq_attempt){ .attempt = 1, .reason = jq_view_str("lost") });
}

static void make_options(struct jq_buf lists[static 7], struct jq_buf *options)
{
    const struct jq_job_options all = {
        .delay_ms = 1,
        .run_at = 2,
        .expires_ms = 3,
        .attempts_max = 4,
        .backoff_ms = 5,
        .backoff_max_ms = 6,
        .backoff_kind = JQ_BACKOFF_FIXED,
        .retry_on = jq_records_of(2, &lists[0]),
        .no_retry_on = jq_records_of(2, &lists[0]),
        .unique = jq_view_str("u"),
        .unique_while = JQ_WHILE_RUNNING,
        .after = jq_records_of(1, &lists[1]),
        .needs = jq_records_of(1, &lists[2]),
        .limits = jq_records_of(1, &lists[3]),
        .mutexes = jq_records_of(1, &lists[2]),
        .labels = jq_records_of(1, &lists[4]),
        .content_type = jq_view_str("text/plain"),
    };

    jq_job_options_write(options, &all);
    assert_true(jq_buf_ok(options));
}

static void a_job_with_all_its_terms_is_documented(void **state)
{
    struct jq_buf lists[7] = { { 0 } }, options = { 0 };
    struct capture c;
    (void)state;

    write_lists(lists);
    make_options(lists, &options);
    const struct jq_job_info info = { .id = 1,
                                      .state = JQ_FAILED,
                                      .options = jq_buf_view(&options),
                                      .history = jq_records_of(1, &lists[5]) };
    start(&c);
    jq_json_job_info(&c.list, &info);
    json_t *job = finish(&c), *terms = json_object_get(job, "options");
    assert_documented("job", job, " error ");
    assert_documented("options", terms, "");
    assert_documented("attempt", json_array_get(json_object_get(job, "history"), 0), "");
    assert_string_equal(json_string_value(json_object_get(terms, "unique_while")), "running");
    assert_string_equal(json_string_value(json_object_get(terms, "backoff_kind")), "fixed");
    json_t *retry_on = json_object_get(terms, "retry_on");
    assert_int_equal(json_integer_value(json_array_get(retry_on, 0)), 7);
    assert_string_equal(json_string_value(json_array_get(retry_on, 1)), "SIGKILL");
    json_t *edge = json_array_get(json_object_get(terms, "after"), 0);
    assert_string_equal(json_string_value(json_object_get(edge, "kind")), "fail");
    assert_string_equal(json_string_value(json_object_get(json_object_get(job, "labels"), "k")),
                        "v");
    json_decref(job);
    jq_buf_fini(&options);
    for (size_t i = 0; i < 7; i++)
        jq_buf_fini(&lists[i]);
}

static void a_plain_job_has_no_terms(void **state)
{
    const struct jq_job_info info = { .id = 1, .state = JQ_READY };
    struct capture c;
    (void)state;

    start(&c);
    jq_json_job_info(&c.list, &info);
    json_t *job = finish(&c);
    assert_documented("job", job, " error outcome exit_code ");
    assert_int_equal(json_object_size(json_object_get(job, "options")), 0);
    assert_int_equal(json_object_size(json_object_get(job, "labels")), 0);
    assert_int_equal(json_array_size(json_object_get(job, "history")), 0);
    json_decref(job);
}

static void results_acks_and_changes_are_documented(void **state)
{
    const struct jq_result result = { .id = 1, .state = JQ_SUCCEEDED };
    const struct jq_ack ended = { .id = 1, .error = JQ_EALREADY, .state = JQ_FAILED };
    struct capture c;
    json_t *json;
    (void)state;

    start(&c);
    jq_json_result(&c.list, &result);
    assert_documented("result", json = finish(&c), " error ");
    json_decref(json);
    start(&c);
    jq_json_ack(&c.list, &ended);
    assert_documented("cancelled", json = finish(&c), "");
    json_decref(json);
    start(&c);
    jq_json_change(&c.list, &(struct jq_ack){ .id = 1, .error = JQ_ESTATE });
    assert_documented("changed", json = finish(&c), "");
    json_decref(json);
}

/* ---- the rest ---- */

static void a_queue_and_its_settings_are_documented(void **state)
{
    const struct jq_queue_info info = { .name = jq_view_str("q"), .paused = 1, .sequence = 7 };
    const struct jq_queue_conf conf = { .durability = JQ_DURABILITY_MEMORY };
    struct capture c;
    (void)state;

    start(&c);
    struct jq_json_object *object = jq_json_open_queue(&info);
    jq_json_settings(object, "settings", &conf);
    jq_json_put(&c.list, object);
    json_t *queue = finish(&c), *settings = json_object_get(queue, "settings");
    assert_documented("queue", queue, "");
    assert_documented("settings", settings, "");
    assert_true(json_is_true(json_object_get(queue, "paused")));
    assert_string_equal(json_string_value(json_object_get(queue, "sequence")), "7");
    assert_string_equal(json_string_value(json_object_get(settings, "durability")), "memory");
    json_decref(queue);
}

static void events_limits_and_workers_are_documented(void **state)
{
    struct capture c;
    json_t *json;
    (void)state;

    start(&c);
    jq_json_event(&c.list, &(struct jq_event){ .id = 1, .sequence = UINT64_C(1) << 40 });
    assert_documented("event", json = finish(&c), "");
    assert_string_equal(json_string_value(json_object_get(json, "sequence")), "1099511627776");
    json_decref(json);
    start(&c);
    jq_json_limit_info(&c.list, &(struct jq_limit_info){ .mutex = 1, .holder = 3 });
    assert_documented("limit", json = finish(&c), "");
    assert_true(json_is_true(json_object_get(json, "mutex")));
    json_decref(json);
    start(&c);
    jq_json_worker_info(&c.list, &(struct jq_worker_info){ .slots = 1 });
    assert_documented("worker", json = finish(&c), "");
    json_decref(json);
}

static void a_blocker_is_documented(void **state)
{
    struct jq_buf list = { 0 };
    struct capture c;
    (void)state;

    jq_blocker_write(&list, &(struct jq_blocker){ .kind = jq_view_str("delay"), .subject = 1 });
    start(&c);
    struct jq_json_object *object = jq_json_open();
    jq_json_id(object, "id", 1);
    jq_json_text(object, "state", "delayed");
    jq_json_blockers(object, "blockers", jq_records_of(1, &list));
    jq_json_put(&c.list, object);
    json_t *why = finish(&c);
    assert_documented("why", why, "");
    assert_documented("blocker", json_array_get(json_object_get(why, "blockers"), 0), "");
    json_decref(why);
    jq_buf_fini(&list);
}

static void a_figure_is_documented(void **state)
{
    const struct jq_figure figures[] = {
        { .name = "a", .unit = "us", .samples = { 3.25, 1 }, .count = 2 },
        { .name = "not measured" }
    };
    struct capture c;
    (void)state;

    start(&c);
    struct jq_json_object *object = jq_json_open();
    jq_json_figures(object, "figures", figures, 2);
    jq_json_put(&c.list, object);
    json_t *json = finish(&c), *list = json_object_get(json, "figures");
    assert_int_equal(json_array_size(list), 1);
    json_t *figure = json_array_get(list, 0);
    assert_documented("figure", figure, "");
    assert_float_equal(json_real_value(json_object_get(figure, "median")), 2.125, 0);
    assert_float_equal(json_real_value(json_array_get(json_object_get(figure, "samples"), 0)), 3.25,
                       0);
    json_decref(json);
}

static void a_payload_is_text_or_base64(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
        const char *text, *base64;
    } table[] = {
        { "", 0, "", NULL },
        { "a\0b", 3, NULL, "YQBi" },
        { "\xe6\x94\xb6", 3, "\xe6\x94\xb6", NULL },
        { "\xff", 1, NULL, "/w==" },
        { "\xff\xfe", 2, NULL, "//4=" },
        { "\xff\xfe\xfd", 3, NULL, "//79" },
        { "\xff\0\0\0", 4, NULL, "/wAAAA==" },
    };
    (void)state;

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct capture c;
        start(&c);
        struct jq_json_object *object = jq_json_open();
        jq_json_bytes(object, "payload", jq_view(table[i].bytes, table[i].size));
        jq_json_put(&c.list, object);
        json_t *json = finish(&c);
        if (!table[i].text) {
            assert_null(json_object_get(json, "payload"));
            assert_string_equal(json_string_value(json_object_get(json, "payload_base64")),
                                table[i].base64);
        }
        json_decref(json);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_with_all_its_terms_is_documented),
        cmocka_unit_test(a_plain_job_has_no_terms),
        cmocka_unit_test(results_acks_and_changes_are_documented),
        cmocka_unit_test(a_queue_and_its_settings_are_documented),
        cmocka_unit_test(events_limits_and_workers_are_documented),
        cmocka_unit_test(a_blocker_is_documented),
        cmocka_unit_test(a_figure_is_documented),
        cmocka_unit_test(a_payload_is_text_or_base64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
