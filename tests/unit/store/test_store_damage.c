/* SPDX-License-Identifier: MIT
 *
 * test_store_damage.c - flipped bits and files from yesterday: noticed, or without effect; never
 * wrong data, never fewer commits than were acknowledged. */
#include "tests/contract/store_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/base/rng.h"

enum { JOBS = 120, COMMITS = 12, FLIPS = 400 };

static const struct variant direct = { "sqlite", &jq_store_sqlite, false };

static struct jq_detail detail;

struct file {
    uint8_t *data;
    size_t size;
};

static struct file read_file(const char *path)
{
    struct file file = { 0 };
    struct stat status;
    FILE *in = fopen(path, "rb");

    assert_non_null(in);
    assert_int_equal(fstat(fileno(in), &status), 0);
    file.size = (size_t)status.st_size;
    file.data = malloc(file.size + 1);
    assert_non_null(file.data);
    assert_int_equal(fread(file.data, 1, file.size, in), file.size);
    fclose(in);
    return file;
}

/* Without the zeros behind its last frame. */
static struct file read_log(const char *path)
{
    struct file log = read_file(path);

    while (log.size > 0 && log.data[log.size - 1] == 0)
        log.size--;
    return log;
}

static void write_file(const char *path, const struct file *file)
{
    FILE *out = fopen(path, "wb");

    assert_non_null(out);
    assert_int_equal(fwrite(file->data, 1, file->size, out), file->size);
    assert_int_equal(fclose(out), 0);
}

/* Job `id` as commit (id - 1) % COMMITS + 1 puts it. */
static struct plain_op *put_job(struct fixture *f, uint64_t id)
{
    struct plain_op *op = fixture_put(f, id, id % 3 ? JQ_READY : JQ_FAILED);
    op->u.job.key = id % 4 == 0 ? jq_view_str("key") : jq_view(NULL, 0);
    return op;
}

static void commit_some(struct fixture *f)
{
    for (uint64_t id = 1; id <= COMMITS; id++) {
        for (uint64_t i = id; i <= JOBS; i += COMMITS)
            put_job(f, i);
        fixture_op(f, JQ_OP_QUEUE_PUT)->u.queue =
            (struct jq_queue_record){ .id = 1, .ready = id, .name = jq_view_str("q") };
        fixture_op(f, JQ_OP_WORKER_PUT)->u.worker =
            (struct jq_worker_record){ .session = id, .name = jq_view_str("w") };
        fixture_op(f, JQ_OP_REQUEST_PUT)->u.request =
            (struct jq_request_record){ .session = 9, .number = id, .first_id = id };
        f->meta.next_id = JOBS + id;
        fixture_commit(f);
    }
}

static enum jq_err check_queue(void *arg, const struct jq_queue_record *queue)
{
    (void)arg;
    assert_int_equal(queue->ready, COMMITS);
    return JQ_OK;
}

/* Every job that is given and not called damaged is as it was put; returns false when something was
 * noticed. */
static bool is_right_or_noticed(struct fixture *f)
{
    const struct jq_read list = { .kind = JQ_READ_LIST, .limit = UINT32_MAX, .parts = ALL_PARTS };
    struct fixture model = { 0 };
    struct jq_store_meta meta;
    struct jq_copy copy;
    bool more, whole = true;

    assert_int_equal(f->backend->ops->load_meta(f->backend, &meta), JQ_OK);
    assert_int_equal(meta.commit_sequence, COMMITS);
    assert_int_equal(meta.next_id, JOBS + COMMITS);
    if (f->backend->ops->load_queues(f->backend, check_queue, NULL) != JQ_OK)
        return false;
    const enum jq_err err = fixture_try_read(f, &list, &copy, &more);
    assert_true(err == JQ_OK || err == JQ_ECORRUPT || err == JQ_ENOMEM || err == JQ_EMSGSIZE ||
                err == JQ_EIO);
    /* A list whose walk ended well has all rows, or some of them damaged. */
    if (err == JQ_OK)
        assert_int_equal(copy.count, JOBS);
    for (size_t i = 0; i < copy.count; i++) {
        const struct jq_loaded_job *got = &copy.jobs[i];
        if (got->job.damaged) {
            whole = false;
            continue;
        }
        assert_in_range(got->job.id, 1, JOBS);
        const struct plain_op *op = put_job(&model, got->job.id);
        assert_job(&got->job, &op->u.job);
        assert_int_equal(got->has_result, op->has_result);
        if (got->has_result)
            assert_result(&got->result, op->result);
    }
    jq_copy_fini(&copy);
    fixture_remove(&model);
    return whole && err == JQ_OK;
}

static void test_a_flipped_bit_in_the_file_never_gives_wrong_data(void **state)
{
    (void)state;
    struct fixture f;
    struct jq_rng rng;
    int refused = 0, noticed = 0, harmless = 0;

    fixture_open(&f, &direct);
    commit_some(&f);
    fixture_close(&f);
    char mark_path[160];
    fixture_path(&f, ".mark", mark_path, sizeof(mark_path));
    struct file whole = read_file(f.path), mark = read_file(mark_path);
    jq_rng_init(&rng, 11);
    for (int i = 0; i < FLIPS; i++) {
        struct file flipped = { malloc(whole.size), whole.size };
        assert_non_null(flipped.data);
        memcpy(flipped.data, whole.data, whole.size);
        flipped.data[jq_rng_below(&rng, whole.size)] ^= (uint8_t)(1u << jq_rng_below(&rng, 8));
        write_file(f.path, &flipped);
        write_file(mark_path, &mark);
        free(flipped.data);
        detail.text[0] = '\0';
        if (fixture_try_reopen(&f, &detail) != JQ_OK) {
            assert_true(strlen(detail.text) > 20);
            refused++;
        } else if (is_right_or_noticed(&f)) {
            harmless++;
        } else {
            noticed++;
        }
        fixture_close(&f);
    }
    print_message("%d refused, %d noticed by their row, %d without effect\n", refused, noticed,
                  harmless);
    assert_true(noticed > 0);
    free(whole.data);
    free(mark.data);
    fixture_remove(&f);
}

/* A store that was killed: its commits are in the log. */
static void leave_log(struct fixture *f)
{
    int status;

    fixture_open(f, &direct);
    fixture_close(f);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (fixture_try_reopen(f, &detail) != JQ_OK)
            _exit(1);
        commit_some(f);
        _exit(0); /* without close */
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void test_a_flipped_bit_in_the_log_never_loses_an_acknowledged_commit(void **state)
{
    (void)state;
    struct fixture f;
    struct jq_rng rng;
    int refused = 0, harmless = 0;
    static const char *const suffixes[] = { "", ".mark", "-wal" };
    struct file files[3];
    char path[3][160];

    leave_log(&f);
    for (size_t i = 0; i < 3; i++) {
        fixture_path(&f, suffixes[i], path[i], sizeof(path[i]));
        files[i] = i == 2 ? read_log(path[i]) : read_file(path[i]);
    }
    jq_rng_init(&rng, 12);
    for (int i = 0; i < FLIPS; i++) {
        const size_t at = jq_rng_below(&rng, files[2].size);
        const uint8_t bit = (uint8_t)(1u << jq_rng_below(&rng, 8));
        files[2].data[at] ^= bit;
        for (size_t j = 0; j < 3; j++)
            write_file(path[j], &files[j]);
        files[2].data[at] ^= bit;
        const enum jq_err err = fixture_try_reopen(&f, &detail);
        if (err == JQ_OK) {
            assert_true(is_right_or_noticed(&f)); /* SQLite's own checksum covers every frame */
            harmless++;
        } else {
            assert_int_equal(err, JQ_ECORRUPT);
            refused++;
        }
        fixture_close(&f);
    }
    print_message("%d refused, %d without effect\n", refused, harmless);
    assert_true(refused > FLIPS / 2);
    for (size_t i = 0; i < 3; i++)
        free(files[i].data);
    fixture_remove(&f);
}

/* Or the first commits would append to it, which takes a disk twice as long. */
static void test_the_log_has_its_size_before_the_first_commit(void **state)
{
    (void)state;
    struct fixture f;
    struct stat before, after;
    char wal_path[160];

    fixture_open(&f, &direct);
    fixture_path(&f, "-wal", wal_path, sizeof(wal_path));
    assert_int_equal(stat(wal_path, &before), 0);
    commit_some(&f);
    assert_int_equal(stat(wal_path, &after), 0);
    struct file log = read_log(wal_path);
    assert_true(log.size > 0);
    free(log.data);
    assert_int_equal(before.st_size, after.st_size);
    fixture_remove(&f);
}

static void test_a_refused_store_is_left_as_it_is(void **state)
{
    (void)state;
    struct fixture f;
    char wal_path[160];

    leave_log(&f);
    fixture_path(&f, "-wal", wal_path, sizeof(wal_path));
    struct file wal = read_log(wal_path), db = read_file(f.path);
    wal.data[wal.size / 2] ^= 1;
    write_file(wal_path, &wal);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(fixture_try_reopen(&f, &detail), JQ_ECORRUPT);
        assert_non_null(strstr(detail.text, "are missing"));
    }
    struct file wal_after = read_file(wal_path), db_after = read_file(f.path);
    assert_int_equal(wal_after.size, wal.size);
    assert_memory_equal(wal_after.data, wal.data, wal.size);
    assert_int_equal(db_after.size, db.size);
    assert_memory_equal(db_after.data, db.data, db.size);
    /* So that the bit can be put right. */
    wal.data[wal.size / 2] ^= 1;
    write_file(wal_path, &wal);
    assert_int_equal(fixture_try_reopen(&f, &detail), JQ_OK);
    assert_true(is_right_or_noticed(&f));
    free(wal.data);
    free(db.data);
    free(wal_after.data);
    free(db_after.data);
    fixture_remove(&f);
}

static void test_yesterdays_file_is_refused_until_the_loss_is_accepted(void **state)
{
    (void)state;
    struct fixture f;
    struct jq_store_meta meta;

    fixture_open(&f, &direct);
    put_job(&f, 1);
    f.meta.next_id = 2;
    f.meta.incarnation = 1;
    fixture_commit(&f);
    fixture_close(&f);
    struct file old = read_file(f.path);
    fixture_reopen(&f);
    f.meta.next_id = 77;
    f.meta.next_queue = 5;
    f.meta.incarnation = 4;
    put_job(&f, 2);
    fixture_commit(&f);
    put_job(&f, 3);
    fixture_commit(&f);
    fixture_close(&f);
    write_file(f.path, &old);

    assert_int_equal(fixture_try_reopen(&f, &detail), JQ_ECORRUPT);
    assert_non_null(strstr(detail.text, "ends with commit 1"));
    assert_non_null(strstr(detail.text, "2 commits are missing"));
    assert_non_null(strstr(detail.text, "--store-accept-loss"));
    f.conf.accept_loss = true;
    assert_int_equal(fixture_try_reopen(&f, &detail), JQ_OK);
    /* What the lost commits gave away is never given again. */
    assert_int_equal(f.backend->ops->load_meta(f.backend, &meta), JQ_OK);
    assert_int_equal(meta.commit_sequence, 3);
    assert_int_equal(meta.next_id, 77);
    assert_int_equal(meta.next_queue, 5);
    assert_int_equal(meta.incarnation, 4);
    assert_string_equal(fixture_load_ids(&f), "1");
    f.meta = meta;
    put_job(&f, 80);
    fixture_commit(&f);
    f.conf.accept_loss = false;
    fixture_reopen(&f);
    assert_string_equal(fixture_load_ids(&f), "1 80");
    free(old.data);
    fixture_remove(&f);
}

static void test_a_store_that_has_gone_is_not_made_anew_in_silence(void **state)
{
    (void)state;
    struct fixture f;
    struct jq_store_meta meta;

    fixture_open(&f, &direct);
    put_job(&f, 1);
    f.meta.next_id = 2;
    fixture_commit(&f);
    fixture_close(&f);
    assert_int_equal(unlink(f.path), 0);
    assert_int_equal(fixture_try_reopen(&f, &detail), JQ_ECORRUPT);
    assert_non_null(strstr(detail.text, "remove the mark"));
    f.conf.accept_loss = true;
    assert_int_equal(fixture_try_reopen(&f, &detail), JQ_OK);
    assert_int_equal(f.backend->ops->load_meta(f.backend, &meta), JQ_OK);
    assert_int_equal(meta.next_id, 2);
    fixture_remove(&f);
}

static void test_a_mark_of_another_store_is_noticed(void **state)
{
    (void)state;
    struct fixture f, other;
    char mark_path[160], other_path[160];

    fixture_open(&f, &direct);
    fixture_open(&other, &direct);
    fixture_commit(&f);
    fixture_commit(&other);
    fixture_close(&f);
    fixture_close(&other);
    fixture_path(&f, ".mark", mark_path, sizeof(mark_path));
    fixture_path(&other, ".mark", other_path, sizeof(other_path));
    struct file mark = read_file(other_path);
    write_file(mark_path, &mark);
    assert_int_equal(fixture_try_reopen(&f, &detail), JQ_ECORRUPT);
    assert_non_null(strstr(detail.text, "is not the store"));
    /* Without any mark the store is taken as it is: whoever restores one file says so. */
    assert_int_equal(unlink(mark_path), 0);
    fixture_reopen(&f);
    free(mark.data);
    fixture_remove(&f);
    fixture_remove(&other);
}

static void test_a_damaged_mark_is_refused_and_a_half_one_is_not(void **state)
{
    (void)state;
    struct fixture f;
    char mark_path[160];

    fixture_open(&f, &direct);
    fixture_commit(&f);
    fixture_close(&f);
    fixture_path(&f, ".mark", mark_path, sizeof(mark_path));
    struct file mark = read_file(mark_path);
    mark.data[20] ^= 1; /* slot 0: the other one holds */
    write_file(mark_path, &mark);
    fixture_reopen(&f);
    fixture_close(&f);
    mark.data[512 + 20] ^= 1;
    write_file(mark_path, &mark);
    assert_int_equal(fixture_try_reopen(&f, &detail), JQ_ECORRUPT);
    assert_non_null(strstr(detail.text, ".mark is damaged"));
    f.conf.accept_loss = true;
    assert_int_equal(fixture_try_reopen(&f, &detail), JQ_OK);
    f.conf.accept_loss = false;
    fixture_reopen(&f);
    free(mark.data);
    fixture_remove(&f);
}

/* The log is bounded also when nobody is ever idle, and its file keeps its size. */
static void test_the_log_stays_bounded_under_load(void **state)
{
    (void)state;
    static const uint8_t payload[100 << 10];
    struct fixture f;
    struct stat status;
    char wal_path[160];
    off_t largest = 0;

    fixture_open(&f, &direct);
    fixture_path(&f, "-wal", wal_path, sizeof(wal_path));
    for (uint64_t round = 1; round <= 150; round++) {
        for (uint64_t i = 0; i < 10; i++) {
            fixture_put(&f, round * 10 + i, JQ_READY)->u.job.payload =
                jq_view(payload, sizeof(payload));
            if (round > 2)
                fixture_delete(&f, (round - 2) * 10 + i);
        }
        fixture_commit(&f);
        assert_int_equal(f.backend->ops->rest(f.backend, false, &detail), JQ_OK);
        assert_int_equal(stat(wal_path, &status), 0);
        assert_true(status.st_size >= largest); /* never cut */
        largest = status.st_size;
    }
    assert_true(largest < 12 << 20);
    fixture_remove(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_flipped_bit_in_the_file_never_gives_wrong_data),
        cmocka_unit_test(test_a_flipped_bit_in_the_log_never_loses_an_acknowledged_commit),
        cmocka_unit_test(test_the_log_has_its_size_before_the_first_commit),
        cmocka_unit_test(test_a_refused_store_is_left_as_it_is),
        cmocka_unit_test(test_yesterdays_file_is_refused_until_the_loss_is_accepted),
        cmocka_unit_test(test_a_store_that_has_gone_is_not_made_anew_in_silence),
        cmocka_unit_test(test_a_mark_of_another_store_is_noticed),
        cmocka_unit_test(test_a_damaged_mark_is_refused_and_a_half_one_is_not),
        cmocka_unit_test(test_the_log_stays_bounded_under_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
