/* SPDX-License-Identifier: MIT
 *
 * store_fixture.c - see store_fixture.h. */
#include "tests/contract/store_fixture.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/alloc.h"

void fixture_open(struct fixture *f, const struct variant *variant)
{
    struct jq_detail detail = { .text = "" };
    struct jq_store_meta meta;

    *f = (struct fixture){ .variant = variant };
    if (variant->ops == &jq_store_memory) {
        snprintf(f->path, sizeof(f->path), "memory:");
    } else {
        const char *tmp = getenv("TMPDIR");
        snprintf(f->directory, sizeof(f->directory), "%.30s/jobq-store-XXXXXX", tmp ? tmp : "/tmp");
        assert_non_null(mkdtemp(f->directory));
        snprintf(f->path, sizeof(f->path), "%s/jobs.db", f->directory);
    }
    f->conf.path = f->path;
    if (fixture_try_reopen(f, &detail) != JQ_OK)
        fail_msg("%s", detail.text);
    struct jq_backend *backend = fixture_backend(f);
    assert_int_equal(backend->ops->load_meta(backend, &meta), JQ_OK);
    f->meta = meta;
}

enum jq_err fixture_try_reopen(struct fixture *f, struct jq_detail *ret_detail)
{
    if (!f->variant->threaded)
        return f->variant->ops->open(&f->conf, &f->backend, ret_detail);
    return jq_store_open(&f->conf, &f->store, ret_detail);
}

void fixture_close(struct fixture *f)
{
    if (f->backend)
        f->backend->ops->close(&f->backend);
    jq_store_close(&f->store);
    f->running = false;
}

void fixture_reopen(struct fixture *f)
{
    struct jq_detail detail = { .text = "" };

    fixture_close(f);
    if (fixture_try_reopen(f, &detail) != JQ_OK)
        fail_msg("%s", detail.text);
}

static void clear_batch(struct fixture *f)
{
    struct jq_batch *batch = &f->batch;

    for (uint32_t i = 0; i < batch->count; i++)
        plain_op_fini(&batch->ops[i]);
    free(batch->ops);
    batch->ops = NULL;
    batch->count = batch->live = 0;
    batch->bytes = 0;
    for (uint32_t i = 0; i < f->count; i++)
        jq_free(f->ops[i].result);
    f->count = 0;
}

void fixture_remove(struct fixture *f)
{
    char path[400];

    fixture_close(f);
    clear_batch(f);
    jq_free(f->ops);
    f->ops = NULL;
    f->capacity = 0;
    if (!f->directory[0])
        return;
    DIR *directory = opendir(f->directory);
    for (struct dirent *entry; directory && (entry = readdir(directory)) != NULL;) {
        snprintf(path, sizeof(path), "%s/%s", f->directory, entry->d_name);
        unlink(path);
    }
    if (directory)
        closedir(directory);
    assert_int_equal(rmdir(f->directory), 0);
}

void fixture_path(const struct fixture *f, const char *suffix, char *path, size_t size)
{
    snprintf(path, size, "%s%s", f->path, suffix);
}

/* --- batches --- */

struct plain_op *fixture_op(struct fixture *f, enum jq_store_op_kind kind)
{
    if (f->count == f->capacity) {
        f->capacity = f->capacity ? f->capacity * 2 : 64;
        f->ops = jq_realloc(f->ops, f->capacity * sizeof(f->ops[0]));
        assert_non_null(f->ops);
    }
    struct plain_op *op = &f->ops[f->count++];
    memset(op, 0, sizeof(*op));
    op->kind = kind;
    f->batch.live += kind != JQ_OP_NONE;
    return op;
}

static void pack(struct fixture *f)
{
    f->batch.ops = malloc((f->count + 1) * sizeof(f->batch.ops[0])); /* never made to fail */
    assert_non_null(f->batch.ops);
    for (f->batch.count = 0; f->batch.count < f->count; f->batch.count++)
        plain_op_pack(&f->ops[f->batch.count], &f->batch.ops[f->batch.count]);
}

/* Bytes that are no text: every value, with NUL and no end. */
static struct jq_view bytes_from(uint64_t id, size_t size)
{
    static uint8_t bytes[8192];

    if (bytes[1] == 0) {
        for (size_t i = 0; i < sizeof(bytes); i++)
            bytes[i] = (uint8_t)i;
    }
    return jq_view(bytes + id % 200, size);
}

struct plain_op *fixture_put(struct fixture *f, uint64_t id, enum jq_job_state state)
{
    struct plain_op *op = fixture_op(f, JQ_OP_JOB_PUT);

    op->u.job = (struct jq_job_record){
        .id = id,
        .queue = 1 + (uint32_t)(id % 2),
        .state = state,
        .priority = (int32_t)(id % 5) - 2,
        .flags = id % 4 | JQ_JOB_STORED_CANCEL,
        .attempt = (uint32_t)id % 7,
        .crashes = (uint32_t)id % 3,
        .fence = UINT64_MAX - id,
        .session = id << 40 | 1,
        .owner = UINT64_C(0xfedcba9876543210) ^ id,
        .created_at = INT64_C(1700000000123456789) + (int64_t)id,
        .started_at = -(int64_t)id,
        .due_at = id % 3 ? INT64_MIN + (int64_t)id : 0,
        .failures = (uint32_t)id % 4,
        .handler = bytes_from(id, 4),
        .title = bytes_from(id + 1, 100),
        .payload = bytes_from(id + 2, id % 5 ? 300 : 6000),
        .options = bytes_from(id + 4, id % 2 ? 150 : 0),
        .worker = bytes_from(id + 3, 9),
        .history = bytes_from(id + 5, id % 3 ? 90 : 0),
    };
    if (jq_state_is_terminal(state))
        fixture_result(op, id);
    f->batch.bytes += 300;
    return op;
}

struct jq_result_record *fixture_result(struct plain_op *op, uint64_t id)
{
    struct jq_result_record *result = jq_alloc(sizeof(*result));

    assert_non_null(result);
    *result = (struct jq_result_record){
        .ended_at = INT64_MAX - (int64_t)id,
        .code = -(int64_t)id,
        .signal = UINT32_MAX,
        .wall_us = UINT64_MAX,
        .user_us = id + 1,
        .system_us = id + 2,
        .max_rss_kib = id + 3,
        .stdout_bytes = id + 4,
        .stderr_bytes = id + 5,
        .kept_bytes = UINT64_MAX - id,
        .reason = bytes_from(id, 20),
        .value = bytes_from(id + 1, id % 7 ? 200 : 1200),
        .stdout_head = bytes_from(id + 2, 11),
        .stdout_tail = bytes_from(id + 3, id % 4 ? 12 : 5000),
        .stderr_head = bytes_from(id + 4, 13),
        .stderr_tail = bytes_from(id + 5, 14),
    };
    op->has_result = true;
    op->result = result;
    return result;
}

void fixture_delete(struct fixture *f, uint64_t id)
{
    fixture_op(f, JQ_OP_JOB_DELETE)->u.job.id = id;
}

static void start(struct fixture *f)
{
    if (f->running)
        return;
    assert_int_equal(jq_store_start(f->store), JQ_OK);
    f->running = true;
}

static void wait_done(struct jq_store *store, struct jq_store_done *ret_done)
{
    struct pollfd wait = { .fd = jq_store_fd(store), .events = POLLIN };

    while (!jq_store_take_done(store, ret_done)) {
        if (poll(&wait, 1, -1) < 0)
            assert_int_equal(errno, EINTR);
    }
}

static enum jq_err commit(struct fixture *f, struct jq_detail *ret_detail)
{
    struct jq_store_done done;

    if (!f->variant->threaded)
        return f->backend->ops->commit(f->backend, &f->batch, ret_detail);
    start(f);
    assert_int_equal(jq_store_commit(f->store, &f->batch), JQ_OK);
    wait_done(f->store, &done);
    assert_int_equal(done.kind, JQ_STORE_COMMITTED);
    assert_ptr_equal(done.batch, &f->batch);
    *ret_detail = done.detail;
    jq_store_done_fini(&done);
    return done.err;
}

enum jq_err fixture_try_commit(struct fixture *f, struct jq_detail *ret_detail)
{
    struct jq_store_meta meta = f->meta;

    pack(f);
    meta.commit_sequence++;
    f->batch.meta = meta;
    f->batch.number = meta.commit_sequence;
    const enum jq_err err = commit(f, ret_detail);
    if (err == JQ_OK)
        f->meta = meta;
    clear_batch(f);
    return err;
}

void fixture_commit(struct fixture *f)
{
    struct jq_detail detail = { .text = "" };

    if (fixture_try_commit(f, &detail) != JQ_OK)
        fail_msg("%s", detail.text);
}

/* --- reading --- */

struct jq_backend *fixture_backend(struct fixture *f)
{
    if (!f->variant->threaded)
        return f->backend;
    jq_store_stop(f->store);
    f->running = false;
    return jq_store_backend(f->store);
}

enum jq_err fixture_try_read(struct fixture *f, const struct jq_read *read,
                             struct jq_copy *ret_copy, bool *ret_more)
{
    struct jq_store_done done;

    *ret_copy = (struct jq_copy){ 0 };
    *ret_more = false;
    if (!f->variant->threaded)
        return f->backend->ops->read(f->backend, read, jq_copy_add, ret_copy, ret_more);
    start(f);
    assert_int_equal(jq_store_read(f->store, read), JQ_OK);
    wait_done(f->store, &done);
    assert_int_equal(done.kind, JQ_STORE_READ);
    assert_int_equal(done.token, read->token);
    /* Taken over: the copy is freed by jq_copy_fini instead of jq_store_done_fini. */
    ret_copy->jobs = done.jobs;
    ret_copy->count = done.count;
    ret_copy->chunks = done.memory;
    *ret_more = done.more;
    return done.err;
}

const char *fixture_copy_ids(const struct jq_copy *copy, bool more)
{
    static char text[1024];
    size_t used = 0;

    text[0] = '\0';
    for (size_t i = 0; i < copy->count && used < sizeof(text) - 32; i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%" PRIu64, i ? " " : "",
                                 copy->jobs[i].job.id);
    if (more)
        snprintf(text + used, sizeof(text) - used, " +");
    return text;
}

const char *fixture_read_ids(struct fixture *f, const struct jq_read *read)
{
    struct jq_copy copy;
    bool more;

    assert_int_equal(fixture_try_read(f, read, &copy, &more), JQ_OK);
    const char *ids = fixture_copy_ids(&copy, more);
    jq_copy_fini(&copy);
    return ids;
}

const char *fixture_load_ids(struct fixture *f)
{
    struct jq_backend *backend = fixture_backend(f);
    struct jq_copy copy = { 0 };

    assert_int_equal(backend->ops->load_jobs(backend, jq_copy_add, &copy), JQ_OK);
    const char *ids = fixture_copy_ids(&copy, false);
    jq_copy_fini(&copy);
    return ids;
}

void fixture_read_one(struct fixture *f, uint64_t id, uint32_t parts, struct jq_copy *ret_copy)
{
    const struct jq_read read = {
        .kind = JQ_READ_JOBS, .token = id, .parts = parts, .ids = &id, .count = 1
    };
    bool more;

    assert_int_equal(fixture_try_read(f, &read, ret_copy, &more), JQ_OK);
    assert_int_equal(ret_copy->count, 1);
    assert_int_equal(ret_copy->jobs[0].job.id, id);
}

/* --- comparing --- */

void assert_view(struct jq_view got, struct jq_view expected)
{
    assert_int_equal(got.size, expected.size);
    if (got.size > 0)
        assert_memory_equal(got.data, expected.data, got.size);
}

void assert_job(const struct jq_job_record *got, const struct jq_job_record *expected)
{
    assert_int_equal(got->id, expected->id);
    assert_int_equal(got->queue, expected->queue);
    assert_int_equal(got->state, expected->state);
    assert_int_equal(got->priority, expected->priority);
    assert_int_equal(got->flags, expected->flags);
    assert_int_equal(got->attempt, expected->attempt);
    assert_int_equal(got->crashes, expected->crashes);
    assert_int_equal(got->fence, expected->fence);
    assert_int_equal(got->session, expected->session);
    assert_int_equal(got->owner, expected->owner);
    assert_int_equal(got->created_at, expected->created_at);
    assert_int_equal(got->started_at, expected->started_at);
    assert_int_equal(got->due_at, expected->due_at);
    assert_int_equal(got->failures, expected->failures);
    assert_view(got->handler, expected->handler);
    assert_view(got->title, expected->title);
    assert_view(got->key, expected->key);
    assert_view(got->payload, expected->payload);
    assert_view(got->options, expected->options);
    assert_view(got->worker, expected->worker);
    assert_view(got->history, expected->history);
    assert_false(got->damaged);
}

void assert_result(const struct jq_result_record *got, const struct jq_result_record *expected)
{
    assert_int_equal(got->ended_at, expected->ended_at);
    assert_int_equal(got->code, expected->code);
    assert_int_equal(got->signal, expected->signal);
    assert_int_equal(got->wall_us, expected->wall_us);
    assert_int_equal(got->user_us, expected->user_us);
    assert_int_equal(got->system_us, expected->system_us);
    assert_int_equal(got->max_rss_kib, expected->max_rss_kib);
    assert_int_equal(got->stdout_bytes, expected->stdout_bytes);
    assert_int_equal(got->stderr_bytes, expected->stderr_bytes);
    assert_int_equal(got->kept_bytes, expected->kept_bytes);
    assert_view(got->reason, expected->reason);
    assert_view(got->value, expected->value);
    assert_view(got->stdout_head, expected->stdout_head);
    assert_view(got->stdout_tail, expected->stdout_tail);
    assert_view(got->stderr_head, expected->stderr_head);
    assert_view(got->stderr_tail, expected->stderr_tail);
}
