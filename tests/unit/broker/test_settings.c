/* SPDX-License-Identifier: MIT
 *
 * test_settings.c - flag over environment over file over default, and what no setting may say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/settings.h"

#define ARGC(argv) ((int)(sizeof(argv) / sizeof((argv)[0])) - 1)

static char *no_environment[] = { (char[]){ "HOME=/home/nobody" }, NULL };

static enum jq_err load(char **argv, int argc, char *const *environment,
                        struct jq_broker_config **ret, bool *ret_usage, struct jq_detail *detail)
{
    struct jq_command_line line;
    enum jq_err err = jq_command_line_parse(argc, argv, &line, detail);

    *ret_usage = true;
    if (err != JQ_OK)
        return err;
    err = jq_broker_config_load(&line, environment, ret, ret_usage, detail);
    jq_command_line_fini(&line);
    return err;
}

static void a_stronger_source_wins(void **state)
{
    (void)state;
    char file[] = "/tmp/jq-conf-XXXXXX";
    const int fd = mkstemp(file);
    static const char text[] = "lease = 20s\nsettle = 2s\nheartbeat = 4s\n[store]\nmin_free = 1M\n";
    char config[64];
    char *argv[] = { (char[]){ "jobqd" }, config, (char[]){ "--lease=40s" }, NULL };
    char *environment[] = { (char[]){ "HOME=/home/nobody" }, (char[]){ "JOBQ_LEASE=30s" },
                            (char[]){ "JOBQ_SETTLE=3s" }, NULL };
    struct jq_broker_config *loaded = NULL;
    struct jq_detail detail = { "" };
    bool usage;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
    close(fd);
    snprintf(config, sizeof(config), "--config=%s", file);
    const enum jq_err err = load(argv, ARGC(argv), environment, &loaded, &usage, &detail);
    unlink(file);
    assert_string_equal(detail.text, "");
    assert_int_equal(err, JQ_OK);
    const struct jq_broker_settings *s = jq_broker_config_get(loaded);
    assert_int_equal(s->lease, 40000);
    assert_int_equal(s->settle, 3000);
    assert_int_equal(s->heartbeat, 4000);
    assert_int_equal(s->store_min_free, 1 << 20);
    assert_int_equal(s->kill_grace, 5000);
    jq_broker_config_free(&loaded);
}

static void defaults_are_the_users_own_places(void **state)
{
    (void)state;
    char *argv[] = { (char[]){ "jobqd" }, NULL };
    char *environment[] = { (char[]){ "HOME=/home/a" }, (char[]){ "XDG_STATE_HOME=/s" }, NULL };
    struct jq_broker_config *loaded = NULL;
    struct jq_detail detail = { "" };
    char expected[64];
    bool usage;

    assert_int_equal(unsetenv("XDG_RUNTIME_DIR"), 0);
    assert_int_equal(load(argv, 1, environment, &loaded, &usage, &detail), JQ_OK);
    snprintf(expected, sizeof(expected), "ipc:///tmp/jobq-%u/jobqd.sock", (unsigned)getuid());
    assert_string_equal(jq_broker_config_get(loaded)->url, expected);
    assert_string_equal(jq_broker_config_get(loaded)->store, "/s/jobq/jobq.db");
    jq_broker_config_free(&loaded);
    assert_int_equal(load(argv, 1, no_environment, &loaded, &usage, &detail), JQ_OK);
    assert_string_equal(jq_broker_config_get(loaded)->store,
                        "/home/nobody/.local/state/jobq/jobq.db");
    jq_broker_config_free(&loaded);
}

static void bad_settings_are_told_from_bad_flags(void **state)
{
    (void)state;
    static const struct {
        const char *word;
        bool usage;
        const char *says;
    } cases[] = {
        { "--lesae=3s", true, "--lease" },
        { "--lease=never", true, "lease" },
        { "--peers-max=1", true, "peers.max" },
        { "word", true, "word" },
        { "--ready-fd=x", true, "--ready-fd" },
        { "--config=/nonexistent/jobqd.conf", false, "/nonexistent/jobqd.conf" },
        { "--heartbeat=10s", false, "half the lease" },
        { "--url=tcp://0.0.0.0:1", false, "--insecure" },
        { "--url=ipc://relative", false, "absolute" },
        { "--log-level=loud", false, "loud" },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char word[64];
        char *argv[] = { (char[]){ "jobqd" }, word, NULL };
        struct jq_broker_config *loaded = NULL;
        struct jq_detail detail = { "" };
        bool usage = false;
        snprintf(word, sizeof(word), "%s", cases[i].word);
        assert_int_equal(load(argv, ARGC(argv), no_environment, &loaded, &usage, &detail),
                         JQ_EINVAL);
        assert_int_equal(usage, cases[i].usage);
        assert_non_null(strstr(detail.text, cases[i].says));
        assert_null(loaded);
    }
}

static void a_value_that_looks_like_a_word_of_ours_is_a_value(void **state)
{
    (void)state;
    char *argv[] = { (char[]){ "jobqd" },       (char[]){ "--store" },
                     (char[]){ "--help" },      (char[]){ "-u" },
                     (char[]){ "--supervise" }, (char[]){ "--ready-fd" },
                     (char[]){ "7" },           NULL };
    struct jq_command_line line;
    struct jq_detail detail = { "" };

    assert_int_equal(jq_command_line_parse(ARGC(argv), argv, &line, &detail), JQ_OK);
    assert_int_equal(line.action, JQ_ACTION_SERVE);
    assert_false(line.supervise);
    assert_int_equal(line.ready_fd, 7);
    assert_int_equal(line.flag_count, 5);
    jq_command_line_fini(&line);
}

static void the_sample_is_a_settings_file_that_changes_nothing(void **state)
{
    (void)state;
    char file[] = "/tmp/jq-conf-XXXXXX";
    const int fd = mkstemp(file);
    char config[64];
    char *argv[] = { (char[]){ "jobqd" }, config, NULL };
    struct jq_broker_config *loaded = NULL;
    struct jq_detail detail = { "" };
    bool usage;

    assert_true(fd >= 0);
    FILE *out = fdopen(fd, "w");
    assert_non_null(out);
    assert_int_equal(jq_broker_sample(out), JQ_OK);
    assert_int_equal(fclose(out), 0);
    snprintf(config, sizeof(config), "--config=%s", file);
    assert_int_equal(load(argv, ARGC(argv), no_environment, &loaded, &usage, &detail), JQ_OK);
    unlink(file);
    assert_string_equal(jq_broker_config_file(loaded), file);
    assert_int_equal(jq_broker_config_get(loaded)->lease, 15000);
    jq_broker_config_free(&loaded);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stronger_source_wins),
        cmocka_unit_test(defaults_are_the_users_own_places),
        cmocka_unit_test(bad_settings_are_told_from_bad_flags),
        cmocka_unit_test(a_value_that_looks_like_a_word_of_ours_is_a_value),
        cmocka_unit_test(the_sample_is_a_settings_file_that_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
