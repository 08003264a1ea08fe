/* SPDX-License-Identifier: MIT
 *
 * test_store_upgrade.c - stores of earlier versions: data/store-N.db was written by a jobq of store
 * version N and its broker was killed. Nothing of it is lost, and a copy stays. */
#include "tests/contract/store_fixture.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sqlite3.h>

#include "broker/store/path.h"
#include "proto/base/rng.h"

static const struct variant direct = { "sqlite", &jq_store_sqlite, false };

static struct jq_detail detail;

struct file {
    uint8_t data[128 << 10];
    size_t size;
};

static void read_file(const char *path, struct file *file)
{
    FILE *in = fopen(path, "rb");

    assert_non_null(in);
    file->size = fread(file->data, 1, sizeof(file->data), in);
    assert_int_equal(fclose(in), 0);
}

static void write_file(const char *path, const struct file *file)
{
    FILE *out = fopen(path, "wb");

    assert_non_null(out);
    assert_int_equal(fwrite(file->data, 1, file->size, out), file->size);
    assert_int_equal(fclose(out), 0);
}

/* A closed store whose file is the old one. */
static int setup(void **state)
{
    static struct file old;
    struct fixture *f = calloc(1, sizeof(*f));
    char path[160];

    assert_non_null(f);
    fixture_open(f, &direct);
    fixture_close(f);
    fixture_path(f, ".mark", path, sizeof(path));
    assert_int_equal(unlink(path), 0);
    read_file(STORE_1, &old);
    write_file(f->path, &old);
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

static int version_of(const char *path)
{
    static struct file file;

    read_file(path, &file);
    assert_true(file.size > 100);
    return file.data[63];
}

static bool is_there(const struct fixture *f, const char *suffix)
{
    char path[160];

    fixture_path(f, suffix, path, sizeof(path));
    return access(path, F_OK) == 0;
}

static void reopen(struct fixture *f)
{
    fixture_close(f);
    if (fixture_try_reopen(f, &detail) != JQ_OK)
        fail_msg("%s", detail.text);
}

/* What it changes, or the number that it asks for. The store is closed. */
static int sql(const struct fixture *f, const char *text)
{
    sqlite3_stmt *statement;
    sqlite3 *db = NULL;

    assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
    if (sqlite3_prepare_v2(db, text, -1, &statement, NULL) != SQLITE_OK)
        fail_msg("%s: %s", text, sqlite3_errmsg(db));
    const int code = sqlite3_step(statement);
    assert_true(code == SQLITE_ROW || code == SQLITE_DONE);
    const int ret = code == SQLITE_ROW ? sqlite3_column_int(statement, 0) : sqlite3_changes(db);
    sqlite3_finalize(statement);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return ret;
}

/* --- what is in data/store-1.db --- */

static const struct {
    enum jq_job_state state;
    int32_t priority;
    uint32_t queue, attempt;
    size_t payload;
    const char *title, *key, *worker;
    int64_t code;
    size_t output;
} kept[] = {
    { JQ_SUCCEEDED, 0, 1, 1, 26, "echo done", "done-key", "w1", 0, 5 },
    { JQ_FAILED, 7, 1, 1, 55, "a failing one", "", "w1", 3, 4 },
    { JQ_SUCCEEDED, 0, 1, 1, 10019, "cat", "", "w1", 0, 10000 },
    { JQ_RUNNING, 0, 2, 1, 27, "sleep 1000", "", "w1", 0, 0 },
    { JQ_RUNNING, 0, 2, 1, 27, "sleep 1000", "", "w1", 0, 0 },
    { JQ_READY, -3, 1, 0, 27, "echo ready", "ready-key", "", 0, 0 },
    { JQ_CANCELLED, 0, 1, 0, 27, "echo never", "", "", 0, 0 },
    { JQ_READY, 0, 2, 0, 20019, "cat", "", "", 0, 0 },
};
enum { KEPT = sizeof(kept) / sizeof(kept[0]), COPIES = 2100 };

static void assert_kept(const struct jq_loaded_job *got)
{
    const uint64_t at = got->job.id - 1;

    assert_true(at < KEPT);
    assert_false(got->job.damaged);
    assert_int_equal(got->job.state, kept[at].state);
    assert_int_equal(got->job.priority, kept[at].priority);
    assert_int_equal(got->job.queue, kept[at].queue);
    assert_int_equal(got->job.attempt, kept[at].attempt);
    assert_int_equal(got->job.payload.size, kept[at].payload);
    assert_view(got->job.handler, jq_view_str("exec"));
    assert_view(got->job.title, jq_view_str(kept[at].title));
    assert_view(got->job.key, jq_view_str(kept[at].key));
    assert_view(got->job.worker, jq_view_str(kept[at].worker));
    assert_int_equal(got->has_result, jq_state_is_terminal(kept[at].state));
    if (got->has_result) {
        assert_int_equal(got->result.code, kept[at].code);
        assert_int_equal(got->result.stdout_head.size, kept[at].output);
        assert_int_equal(got->result.kept_bytes, 0);
    }
    assert_int_equal(got->job.due_at, 0);
    assert_int_equal(got->job.failures, 0);
    assert_int_equal(got->job.options.size, 0);
    assert_int_equal(got->job.history.size, 0);
}

static enum jq_err see_queue(void *arg, const struct jq_queue_record *q)
{
    uint32_t *queues = arg;
    const bool first = ++*queues == 1;
    const struct jq_queue_record expected = {
        .id = *queues,
        .ready = 1,
        .running = first ? 0 : 2,
        .succeeded = first ? 2 : 0,
        .failed = first ? 1 : 0,
        .cancelled = first ? 1 : 0,
        .name = q->name,
    };

    assert_view(q->name, jq_view_str(first ? "default" : "other"));
    assert_memory_equal(q, &expected, sizeof(expected));
    return JQ_OK;
}

static enum jq_err see_worker(void *arg, const struct jq_worker_record *worker)
{
    uint32_t *workers = arg;

    ++*workers;
    assert_view(worker->name, jq_view_str("w1"));
    return JQ_OK;
}

static enum jq_err see_limit(void *arg, const struct jq_limit_record *limit)
{
    (void)arg;
    (void)limit;
    return JQ_EINVAL;
}

static void assert_all_kept(struct fixture *f)
{
    const struct jq_read list = { .kind = JQ_READ_LIST, .limit = 100, .parts = ALL_PARTS };
    uint32_t queues = 0, workers = 0;
    struct jq_backend *backend = fixture_backend(f);
    struct jq_copy copy;
    bool more;

    assert_int_equal(backend->ops->load_meta(backend, &f->meta), JQ_OK);
    assert_int_equal(f->meta.commit_sequence, 20);
    assert_int_equal(f->meta.next_id, 9);
    assert_int_equal(f->meta.incarnation, 1);
    assert_int_equal(backend->ops->load_queues(backend, see_queue, &queues), JQ_OK);
    assert_int_equal(queues, 2);
    assert_int_equal(backend->ops->load_workers(backend, see_worker, &workers), JQ_OK);
    assert_int_equal(workers, 1);
    assert_int_equal(backend->ops->load_limits(backend, see_limit, NULL), JQ_OK);
    assert_int_equal(fixture_try_read(f, &list, &copy, &more), JQ_OK);
    assert_int_equal(copy.count, KEPT);
    for (size_t i = 0; i < copy.count; i++) {
        assert_int_equal(copy.jobs[i].job.id, KEPT - i);
        assert_kept(&copy.jobs[i]);
    }
    jq_copy_fini(&copy);
}

/* --- */

static void test_an_old_store_is_upgraded_and_keeps_everything(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(version_of(f->path), 1);
    reopen(f);
    assert_all_kept(f);
    reopen(f);
    assert_all_kept(f);
    fixture_close(f);
    assert_int_equal(version_of(f->path), JQ_STORE_VERSION);
    /* Version 1 had large ones in their rows. */
    assert_int_equal(sql(f, "SELECT count(*) FROM job_payload"), 2);
    assert_int_equal(sql(f, "SELECT count(*) FROM job_output"), 1);
}

static void test_what_was_damaged_stays_damaged(void **state)
{
    struct fixture *f = *state;
    static const char *const damage[] = {
        "UPDATE job SET fence = fence + 1 WHERE id = 4",
        "UPDATE job SET title = x'00' WHERE id = 6",
        "UPDATE job SET payload = zeroblob(length(payload)) WHERE id = 8",
        "UPDATE ended SET code = 1 WHERE id = 1",
        "UPDATE ended SET worker = x'' WHERE id = 2",
        "UPDATE ended SET stdout_head = zeroblob(length(stdout_head)) WHERE id = 3",
    };
    static const bool is_damaged[KEPT] = { true, true, true, true, false, true, false, true };
    struct jq_copy copy;

    for (size_t i = 0; i < sizeof(damage) / sizeof(damage[0]); i++)
        assert_int_equal(sql(f, damage[i]), 1);
    reopen(f);
    for (uint64_t id = 1; id <= KEPT; id++) {
        fixture_read_one(f, id, ALL_PARTS, &copy);
        assert_int_equal(copy.jobs[0].job.damaged, is_damaged[id - 1]);
        if (!is_damaged[id - 1])
            assert_kept(&copy.jobs[0]);
        jq_copy_fini(&copy);
    }
}

/* Copies of a job under the ids from `first` on: their CRCs do not fit. */
static void multiply(const struct fixture *f, const char *table, int id, int first)
{
    sqlite3 *db = NULL;
    char sql[160];

    assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
    snprintf(sql, sizeof(sql), "BEGIN; CREATE TEMP TABLE one AS SELECT * FROM %s WHERE id = %d",
             table, id);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    for (int i = first; i < first + COPIES; i++) {
        snprintf(sql, sizeof(sql), "UPDATE one SET id = %d; INSERT INTO %s SELECT * FROM one", i,
                 table);
        assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    }
    assert_int_equal(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* More than are taken at once. */
static void test_many_jobs_are_upgraded(void **state)
{
    struct fixture *f = *state;
    const struct jq_read list = { .kind = JQ_READ_LIST, .limit = 10 * COPIES };
    struct jq_copy copy;
    bool more;

    multiply(f, "job", 6, 100);
    multiply(f, "ended", 1, 100 + COPIES);
    reopen(f);
    assert_int_equal(fixture_try_read(f, &list, &copy, &more), JQ_OK);
    assert_int_equal(copy.count, KEPT + 2 * COPIES);
    for (size_t i = 0; i < copy.count; i++) {
        const struct jq_job_record *job = &copy.jobs[i].job;
        assert_int_equal(job->damaged, job->id > KEPT);
        assert_view(job->handler, jq_view_str("exec"));
    }
    jq_copy_fini(&copy);
}

/* Old rows take what is new, and the rest of them stays. */
static void test_jobs_of_an_old_store_go_on(void **state)
{
    struct fixture *f = *state;
    const struct jq_read failed = { .kind = JQ_READ_LIST, .limit = 9, .states = 1 << JQ_FAILED };
    struct jq_copy copy;

    reopen(f);
    assert_all_kept(f);
    for (uint64_t id = 4; id <= 8; id += 4) {
        fixture_op(f, JQ_OP_JOB_SET)->u.job = (struct jq_job_record){
            .id = id, .state = JQ_DELAYED, .due_at = 7, .history = jq_view_str("h")
        };
    }
    struct plain_op *end = fixture_op(f, JQ_OP_JOB_SET);
    end->u.job = (struct jq_job_record){ .id = 5, .state = JQ_FAILED, .failures = 1 };
    const struct jq_result_record result = *fixture_result(end, 5);
    fixture_op(f, JQ_OP_JOB_SET)->u.job = (struct jq_job_record){ .id = 3, .state = JQ_READY };
    fixture_commit(f);
    fixture_reopen(f);
    assert_string_equal(fixture_read_ids(f, &failed), "5 2");
    fixture_read_one(f, 8, ALL_PARTS, &copy);
    assert_int_equal(copy.jobs[0].job.due_at, 7);
    assert_view(copy.jobs[0].job.history, jq_view_str("h"));
    assert_int_equal(copy.jobs[0].job.payload.size, 20019);
    assert_false(copy.jobs[0].job.damaged);
    jq_copy_fini(&copy);
    fixture_read_one(f, 5, ALL_PARTS, &copy);
    assert_view(copy.jobs[0].job.title, jq_view_str("sleep 1000"));
    assert_result(&copy.jobs[0].result, &result);
    jq_copy_fini(&copy);
    fixture_read_one(f, 3, ALL_PARTS, &copy);
    assert_int_equal(copy.jobs[0].job.payload.size, 10019);
    assert_false(copy.jobs[0].job.damaged);
    jq_copy_fini(&copy);
}

static void test_a_backup_is_made_closed_to_others_and_can_be_put_back(void **state)
{
    static struct file backup;
    struct fixture *f = *state;
    struct stat status;
    char path[160];

    reopen(f);
    assert_all_kept(f);
    fixture_commit(f);
    fixture_close(f);
    fixture_path(f, ".1.bak", path, sizeof(path));
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_int_equal(version_of(path), 1);
    assert_false(is_there(f, ".1.bak-new"));
    assert_false(is_there(f, ".1.bak-new-journal"));
    read_file(path, &backup);
    write_file(f->path, &backup);
    fixture_path(f, ".mark", path, sizeof(path));
    assert_int_equal(unlink(path), 0);
    reopen(f);
    assert_all_kept(f);
}

static void test_a_store_of_this_version_gets_no_backup(void **state)
{
    struct fixture *f = *state;
    char path[160];

    reopen(f);
    fixture_path(f, ".1.bak", path, sizeof(path));
    assert_int_equal(unlink(path), 0);
    reopen(f);
    assert_false(is_there(f, ".1.bak"));
}

static void assert_refused(struct fixture *f, enum jq_err err, const char *text)
{
    static struct file before, after;

    read_file(f->path, &before);
    assert_int_equal(fixture_try_reopen(f, &detail), err);
    if (!strstr(detail.text, text))
        fail_msg("\"%s\" is not in \"%s\"", text, detail.text);
    assert_int_equal(version_of(f->path), 1);
    read_file(f->path, &after);
    assert_int_equal(before.size, after.size);
    assert_memory_equal(before.data, after.data, before.size);
    assert_false(is_there(f, ".1.bak"));
}

static void test_without_a_backup_nothing_is_upgraded(void **state)
{
    struct fixture *f = *state;
    char path[160];

    f->conf.min_free_bytes = INT64_MAX / 2;
    assert_refused(f, JQ_ENOSPC, "must be free");
    assert_refused(f, JQ_ENOSPC, ".1.bak cannot be made");
    f->conf.min_free_bytes = 0;
    fixture_path(f, ".1.bak-new", path, sizeof(path));
    assert_int_equal(mkdir(path, 0700), 0);
    assert_refused(f, JQ_EIO, ".1.bak cannot be made");
    assert_int_equal(rmdir(path), 0);
    reopen(f);
    assert_all_kept(f);
}

/* What has lost commits is refused as it is: its owner may still find the right file. */
static void test_a_store_that_lacks_commits_is_not_upgraded(void **state)
{
    static struct file old;
    struct fixture *f = *state;
    char path[160];

    read_file(f->path, &old);
    reopen(f);
    assert_all_kept(f);
    fixture_commit(f);
    fixture_close(f);
    write_file(f->path, &old);
    fixture_path(f, ".1.bak", path, sizeof(path));
    assert_int_equal(unlink(path), 0);
    assert_refused(f, JQ_ECORRUPT, "1 commits are missing");
    f->conf.accept_loss = true;
    assert_int_equal(fixture_try_reopen(f, &detail), JQ_OK);
    assert_true(is_there(f, ".1.bak"));
}

static void test_an_upgrade_that_is_killed_is_done_at_the_next_start(void **state)
{
    struct fixture *f = *state;
    static struct file old;
    static const char *const suffixes[] = { ".mark", ".1.bak", "-wal" };
    struct jq_rng rng;

    read_file(f->path, &old);
    jq_rng_init(&rng, 5);
    for (int round = 0; round < 20; round++) {
        char path[160];
        int status;

        fixture_close(f);
        for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
            fixture_path(f, suffixes[i], path, sizeof(path));
            unlink(path);
        }
        write_file(f->path, &old);
        const pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            _exit(fixture_try_reopen(f, &detail) == JQ_OK ? 0 : 1);
        /* Not a wait for anything: the kill may fall anywhere, also behind the end. */
        for (volatile uint64_t i = jq_rng_below(&rng, 5000000); i > 0; i--) {
        }
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_false(WIFEXITED(status) && WEXITSTATUS(status) != 0);
        reopen(f);
        assert_all_kept(f);
    }
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_an_old_store_is_upgraded_and_keeps_everything),
        CASE(test_what_was_damaged_stays_damaged),
        CASE(test_many_jobs_are_upgraded),
        CASE(test_jobs_of_an_old_store_go_on),
        CASE(test_a_backup_is_made_closed_to_others_and_can_be_put_back),
        CASE(test_a_store_of_this_version_gets_no_backup),
        CASE(test_without_a_backup_nothing_is_upgraded),
        CASE(test_a_store_that_lacks_commits_is_not_upgraded),
        CASE(test_an_upgrade_that_is_killed_is_done_at_the_next_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
