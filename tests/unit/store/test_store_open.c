/* SPDX-License-Identifier: MIT
 *
 * test_store_open.c - what opening a store refuses, and that it says what to do. */
#include "tests/contract/store_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sqlite3.h>

static const struct variant direct = { "sqlite", &jq_store_sqlite, false };

static struct jq_detail detail;

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    fixture_open(f, &direct);
    detail.text[0] = '\0';
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture_remove(*state);
    free(*state);
    return 0;
}

static void remove_store(struct fixture *f)
{
    char path[160];

    fixture_close(f);
    assert_int_equal(unlink(f->path), 0);
    fixture_path(f, ".mark", path, sizeof(path));
    assert_int_equal(unlink(path), 0);
}

static void write_file(const char *path, const void *data, size_t size)
{
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static size_t read_file(const char *path, void *data, size_t size)
{
    FILE *file = fopen(path, "rb");

    assert_non_null(file);
    const size_t got = fread(data, 1, size, file);
    fclose(file);
    return got;
}

static void sql(const char *path, const char *text)
{
    sqlite3 *db = NULL;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s", sqlite3_errmsg(db));
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void assert_says(const char *text)
{
    if (!strstr(detail.text, text))
        fail_msg("\"%s\" is not in \"%s\"", text, detail.text);
}

/* The whole file before and after. */
static void assert_refused_untouched(struct fixture *f, enum jq_err err)
{
    static uint8_t before[1 << 16], after[1 << 16];

    const size_t size = read_file(f->path, before, sizeof(before));
    assert_int_equal(fixture_try_reopen(f, &detail), err);
    assert_int_equal(read_file(f->path, after, sizeof(after)), size);
    assert_memory_equal(before, after, size);
    char path[160];
    struct stat status;
    fixture_path(f, ".lock", path, sizeof(path));
    assert_int_equal(stat(path, &status), -1);
    fixture_path(f, "-wal", path, sizeof(path));
    assert_int_equal(stat(path, &status), -1);
}

static void test_files_are_closed_to_others(void **state)
{
    struct fixture *f = *state;
    static const char *const suffixes[] = { "", "-wal", ".mark", ".lock" };
    struct stat status;
    char path[160];

    fixture_put(f, 1, JQ_READY);
    fixture_commit(f);
    for (size_t i = 0; i < 4; i++) {
        fixture_path(f, suffixes[i], path, sizeof(path));
        assert_int_equal(stat(path, &status), 0);
        assert_int_equal(status.st_mode & 07777, 0600);
    }
}

static void test_a_missing_directory_is_made_closed_to_others(void **state)
{
    struct fixture *f = *state;
    struct fixture inner = { .variant = &direct };
    struct stat status;

    char parent[64];

    /* With its parents: on a new account there is no ~/.local/state. */
    snprintf(parent, sizeof(parent), "%.40s/new", f->directory);
    snprintf(inner.directory, sizeof(inner.directory), "%.50s/deep", parent);
    snprintf(inner.path, sizeof(inner.path), "%s/a.db", inner.directory);
    inner.conf.path = inner.path;
    assert_int_equal(fixture_try_reopen(&inner, &detail), JQ_OK);
    assert_int_equal(stat(inner.directory, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    fixture_remove(&inner);
    assert_int_equal(rmdir(parent), 0);
    snprintf(inner.path, sizeof(inner.path), "/dev/null/such/a.db");
    assert_int_equal(fixture_try_reopen(&inner, &detail), JQ_EIO);
    assert_says("/dev/null/such");
    inner.directory[0] = '\0';
    fixture_remove(&inner);
}

static void test_a_second_owner_is_refused_and_told_the_pid(void **state)
{
    struct fixture *f = *state;
    struct jq_backend *second;
    char expected[64];

    snprintf(expected, sizeof(expected), "in use by process %ld", (long)getpid());
    assert_int_equal(jq_store_sqlite.open(&f->conf, &second, &detail), JQ_ELOCKED);
    assert_says(expected);
    /* By another name too. */
    struct jq_store_conf conf = f->conf;
    char link_path[160];
    fixture_path(f, ".link", link_path, sizeof(link_path));
    assert_int_equal(symlink(f->path, link_path), 0);
    conf.path = link_path;
    assert_int_equal(jq_store_sqlite.open(&conf, &second, &detail), JQ_ELOCKED);
    assert_says(expected);
    fixture_put(f, 1, JQ_READY); /* and the owner is none the worse */
    fixture_commit(f);
    fixture_reopen(f);
}

static void test_the_lock_of_a_killed_owner_is_free(void **state)
{
    struct fixture *f = *state;
    int ready[2], status;
    char byte;

    fixture_close(f);
    assert_int_equal(pipe(ready), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (fixture_try_reopen(f, &detail) != JQ_OK || write(ready[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    char expected[64];
    snprintf(expected, sizeof(expected), "in use by process %ld", (long)child);
    assert_int_equal(fixture_try_reopen(f, &detail), JQ_ELOCKED);
    assert_says(expected);
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    close(ready[0]);
    close(ready[1]);
    fixture_reopen(f);
}

static void test_a_text_file_is_refused_and_untouched(void **state)
{
    struct fixture *f = *state;
    static const char text[] = "Dear diary,\nthis is no store.\n";

    remove_store(f);
    write_file(f->path, text, sizeof(text) - 1);
    assert_refused_untouched(f, JQ_ECORRUPT);
    assert_says("not a store of jobq");
    write_file(f->path, "S", 1);
    assert_refused_untouched(f, JQ_ECORRUPT);
}

static void test_the_sqlite_file_of_another_program_is_refused_and_untouched(void **state)
{
    struct fixture *f = *state;

    remove_store(f);
    sql(f->path, "CREATE TABLE job (id INTEGER); INSERT INTO job VALUES (1)");
    assert_refused_untouched(f, JQ_ECORRUPT);
    assert_says("another program");
    sql(f->path, "PRAGMA application_id = 12345; PRAGMA journal_mode = WAL");
    assert_refused_untouched(f, JQ_ECORRUPT);
    assert_says("another program");
}

static void test_a_store_of_a_newer_jobq_is_refused_and_untouched(void **state)
{
    struct fixture *f = *state;

    fixture_close(f);
    sql(f->path, "PRAGMA user_version = 1000");
    assert_refused_untouched(f, JQ_EVERSION);
    assert_says("newer");
    assert_says("1000");
}

static void test_a_directory_is_refused(void **state)
{
    struct fixture *f = *state;

    remove_store(f);
    assert_int_equal(mkdir(f->path, 0700), 0);
    assert_int_equal(fixture_try_reopen(f, &detail), JQ_ECORRUPT);
    assert_says("is a directory");
    assert_int_equal(rmdir(f->path), 0);
}

static void test_a_device_and_a_pipe_are_refused_at_once(void **state)
{
    struct fixture *f = *state;

    remove_store(f);
    assert_int_equal(mkfifo(f->path, 0600), 0);
    assert_int_equal(fixture_try_reopen(f, &detail), JQ_ECORRUPT);
    assert_says("not a regular file");
}

static void test_names_that_cannot_be_are_refused(void **state)
{
    struct fixture *f = *state;
    char name[5000];

    fixture_close(f);
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    f->conf.path = name;
    assert_int_equal(fixture_try_reopen(f, &detail), JQ_EINVAL);
    f->conf.path = "";
    assert_int_equal(fixture_try_reopen(f, &detail), JQ_EINVAL);
    f->conf.path = "/tmp/";
    assert_int_equal(fixture_try_reopen(f, &detail), JQ_EINVAL);
    name[300] = '\0';
    memcpy(name, "/tmp/", 5);
    f->conf.path = name;
    assert_int_equal(fixture_try_reopen(f, &detail), JQ_EIO);
    f->conf.path = f->path;
}

/* Root passes every permission: as nobody, in a child. */
static void test_an_unreadable_store_and_directory_are_refused(void **state)
{
    struct fixture *f = *state;
    int status;

    fixture_close(f);
    assert_int_equal(chmod(f->path, 0), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (geteuid() == 0) {
            if (chown(f->directory, 65534, 65534) != 0 || setgid(65534) != 0 || setuid(65534) != 0)
                _exit(100);
        }
        if (fixture_try_reopen(f, &detail) != JQ_EIO || !strstr(detail.text, "ermission denied"))
            _exit(1);
        if (chmod(f->directory, 0) != 0)
            _exit(101);
        if (fixture_try_reopen(f, &detail) != JQ_EIO || !strstr(detail.text, "ermission denied"))
            _exit(2);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    chmod(f->directory, 0700);
    chmod(f->path, 0600);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_a_cut_store_is_refused(void **state)
{
    struct fixture *f = *state;
    struct stat status;

    for (uint64_t id = 1; id <= 500; id++)
        fixture_put(f, id, JQ_READY);
    fixture_commit(f);
    fixture_close(f);
    assert_int_equal(stat(f->path, &status), 0);
    const off_t cuts[] = {
        status.st_size - 1, status.st_size - 4096, status.st_size / 2, 4096, 4000, 100, 50
    };
    for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
        assert_int_equal(truncate(f->path, cuts[i]), 0);
        assert_refused_untouched(f, JQ_ECORRUPT);
        assert_says("damaged");
        assert_says("restore a backup");
    }
    assert_int_equal(truncate(f->path, 0), 0);
    assert_refused_untouched(f, JQ_ECORRUPT);
    assert_says("missing or empty");
}

static void test_an_empty_file_becomes_a_store(void **state)
{
    struct fixture *f = *state;

    remove_store(f);
    write_file(f->path, "", 0);
    assert_int_equal(fixture_try_reopen(f, &detail), JQ_OK);
    f->meta.commit_sequence = 0;
    fixture_put(f, 1, JQ_READY);
    fixture_commit(f);
    fixture_reopen(f);
}

/* What a crash while the store was made leaves behind, and what an earlier store of the name left.
 */
static void test_leftovers_do_not_get_into_a_new_store(void **state)
{
    struct fixture *f = *state;
    static const char *const suffixes[] = { "-new", "-new-journal", "-new-wal", "-journal" };
    static uint8_t log_bytes[1 << 20];
    struct jq_store_meta meta;
    char path[160];

    fixture_put(f, 1, JQ_READY);
    fixture_commit(f);
    fixture_path(f, "-wal", path, sizeof(path));
    const size_t log_size = read_file(path, log_bytes, sizeof(log_bytes));
    remove_store(f);
    write_file(path, log_bytes, log_size); /* with commit 1 and job 1 in it */
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        fixture_path(f, suffixes[i], path, sizeof(path));
        write_file(path, "leftover", 8);
    }
    assert_int_equal(fixture_try_reopen(f, &detail), JQ_OK);
    assert_int_equal(f->backend->ops->load_meta(f->backend, &meta), JQ_OK);
    assert_int_equal(meta.commit_sequence, 0);
    assert_string_equal(fixture_load_ids(f), "");
}

static enum jq_err fill_until_full(struct fixture *f, bool *ret_low)
{
    enum jq_err err = JQ_OK;

    *ret_low = false;
    for (uint64_t id = 1; err == JQ_OK && id < 100000; id += 100) {
        for (uint64_t i = 0; i < 100; i++)
            fixture_put(f, id + i, JQ_READY);
        err = fixture_try_commit(f, &detail);
        if (err == JQ_OK)
            *ret_low |= f->backend->ops->space_low(f->backend);
    }
    return err;
}

/* A full disk is an error that says so, after the watermark has warned; and nothing is lost. */
static void test_a_full_disk_is_reported_and_loses_nothing(void **state)
{
    struct fixture *f = *state;
    struct fixture small = { .variant = &direct };
    struct jq_copy copy = { 0 };
    enum jq_err loaded = JQ_EIO;
    bool low = false;

    snprintf(small.directory, sizeof(small.directory), "%.50s/full", f->directory);
    snprintf(small.path, sizeof(small.path), "%s/a.db", small.directory);
    assert_int_equal(mkdir(small.directory, 0700), 0);
    if (mount("none", small.directory, "tmpfs", 0, "size=8m") != 0) {
        rmdir(small.directory);
        skip();
    }
    small.conf.path = small.path;
    small.conf.min_free_bytes = 4 << 20;
    const enum jq_err opened = fixture_try_reopen(&small, &detail);
    const enum jq_err err = opened == JQ_OK ? fill_until_full(&small, &low) : opened;
    const uint64_t committed = small.meta.commit_sequence * 100;
    fixture_close(&small);
    /* Still full: a start says so. With space again, everything acknowledged is there. */
    const enum jq_err still_full = fixture_try_reopen(&small, &detail);
    const struct jq_detail full_detail = detail;
    fixture_close(&small);
    const int grown = mount("none", small.directory, "tmpfs", MS_REMOUNT, "size=64m");
    const enum jq_err reopened = fixture_try_reopen(&small, &detail);
    if (reopened == JQ_OK)
        loaded = small.backend->ops->load_jobs(small.backend, jq_copy_add, &copy);
    fixture_close(&small);
    umount(small.directory);
    small.directory[0] = '\0';
    char path[160];
    snprintf(path, sizeof(path), "%s/full", f->directory);
    rmdir(path);
    fixture_remove(&small);
    assert_int_equal(opened, JQ_OK);
    assert_int_equal(err, JQ_ENOSPC);
    assert_true(low);
    assert_true(still_full == JQ_ENOSPC || still_full == JQ_OK);
    if (still_full == JQ_ENOSPC)
        assert_non_null(strstr(full_detail.text, "a.db"));
    assert_int_equal(grown, 0);
    assert_int_equal(reopened, JQ_OK);
    assert_int_equal(loaded, JQ_OK);
    /* The outcome of the commit that failed is unknown: whole, or not at all. */
    assert_true(copy.count == committed || copy.count == committed + 100);
    jq_copy_fini(&copy);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_files_are_closed_to_others),
        CASE(test_a_missing_directory_is_made_closed_to_others),
        CASE(test_a_second_owner_is_refused_and_told_the_pid),
        CASE(test_the_lock_of_a_killed_owner_is_free),
        CASE(test_a_text_file_is_refused_and_untouched),
        CASE(test_the_sqlite_file_of_another_program_is_refused_and_untouched),
        CASE(test_a_store_of_a_newer_jobq_is_refused_and_untouched),
        CASE(test_a_directory_is_refused),
        CASE(test_a_device_and_a_pipe_are_refused_at_once),
        CASE(test_names_that_cannot_be_are_refused),
        CASE(test_an_unreadable_store_and_directory_are_refused),
        CASE(test_a_cut_store_is_refused),
        CASE(test_an_empty_file_becomes_a_store),
        CASE(test_leftovers_do_not_get_into_a_new_store),
        CASE(test_a_full_disk_is_reported_and_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
