/* SPDX-License-Identifier: MIT
 *
 * store_copy.c - see store_copy.h. */
#include "broker/store/store_copy.h"

#include <string.h>

#include "proto/base/alloc.h"

enum { CHUNK_BYTES = 64 << 10 };

/* Chunks never move, so that views into them hold. */
struct jq_copy_chunk {
    struct jq_copy_chunk *next;
    size_t used, size;
    uint8_t bytes[];
};

static enum jq_err reserve_bytes(struct jq_copy *copy, size_t size)
{
    struct jq_copy_chunk *chunk = copy->chunks;

    if (chunk && chunk->size - chunk->used >= size)
        return JQ_OK;
    const size_t wanted = size > CHUNK_BYTES ? size : CHUNK_BYTES;
    chunk = jq_alloc(sizeof(*chunk) + wanted);
    if (!chunk)
        return JQ_ENOMEM;
    *chunk = (struct jq_copy_chunk){ .next = copy->chunks, .size = wanted };
    copy->chunks = chunk;
    return JQ_OK;
}

static enum jq_err reserve_job(struct jq_copy *copy)
{
    if (copy->count < copy->capacity)
        return JQ_OK;
    const size_t capacity = copy->capacity ? copy->capacity * 2 : 8;
    struct jq_loaded_job *jobs = jq_realloc(copy->jobs, capacity * sizeof(*jobs));
    if (!jobs)
        return JQ_ENOMEM;
    copy->jobs = jobs;
    copy->capacity = capacity;
    return JQ_OK;
}

/* Into the first chunk, where room was reserved. */
static void keep(struct jq_copy *copy, struct jq_view *view)
{
    struct jq_copy_chunk *chunk = copy->chunks;
    uint8_t *at = chunk->bytes + chunk->used;

    if (view->size > 0)
        memcpy(at, view->data, view->size);
    view->data = view->size > 0 ? at : NULL;
    chunk->used += view->size;
}

enum jq_err jq_copy_add(void *arg, const struct jq_loaded_job *job)
{
    struct jq_copy *copy = arg;
    struct jq_loaded_job one = *job;
    struct jq_view *const views[] = {
        &one.job.handler,        &one.job.title,          &one.job.key,
        &one.job.payload,        &one.job.options,        &one.job.worker,
        &one.job.history,        &one.result.reason,      &one.result.value,
        &one.result.stdout_head, &one.result.stdout_tail, &one.result.stderr_head,
        &one.result.stderr_tail,
    };
    const size_t fixed_views = 7, view_count = sizeof(views) / sizeof(views[0]);
    const size_t count = one.has_result ? view_count : fixed_views;
    size_t size = 0;

    if (!one.has_result)
        one.result = (struct jq_result_record){ 0 };
    for (size_t i = 0; i < count; i++)
        size += views[i]->size;
    if (copy->bytes + size > JQ_STORE_READ_BYTES_MAX ||
        (copy->bytes_max && copy->count && copy->bytes + size > copy->bytes_max))
        return JQ_EMSGSIZE;
    JQ_TRY(reserve_job(copy));
    JQ_TRY(reserve_bytes(copy, size));
    for (size_t i = 0; i < count; i++)
        keep(copy, views[i]);
    copy->bytes += size;
    copy->jobs[copy->count++] = one;
    return JQ_OK;
}

void jq_copy_fini(struct jq_copy *copy)
{
    while (copy->chunks) {
        struct jq_copy_chunk *chunk = copy->chunks;
        copy->chunks = chunk->next;
        jq_free(chunk);
    }
    jq_free(copy->jobs);
    *copy = (struct jq_copy){ 0 };
}

enum jq_err jq_copy_read(const struct jq_read *read, struct jq_read *ret_copy)
{
    struct jq_read copy = *read;

    copy.ids = read->count > 0 ? jq_alloc_zero(read->count, sizeof(copy.ids[0])) : NULL;
    copy.key = read->key ? jq_strdup(read->key) : NULL;
    /* One byte more: an empty label is not NULL, which would be none. */
    copy.label = read->label ? jq_alloc((size_t)read->label_size + 1) : NULL;
    if ((read->count > 0 && !copy.ids) || (read->key && !copy.key) ||
        (read->label && !copy.label)) {
        jq_copy_read_fini(&copy);
        return JQ_ENOMEM;
    }
    if (copy.ids)
        memcpy(copy.ids, read->ids, read->count * sizeof(copy.ids[0]));
    if (copy.label && read->label_size > 0)
        memcpy(copy.label, read->label, read->label_size);
    *ret_copy = copy;
    return JQ_OK;
}

void jq_copy_read_fini(struct jq_read *copy)
{
    jq_free(copy->ids);
    jq_free(copy->key);
    jq_free(copy->label);
    copy->ids = NULL;
    copy->key = NULL;
    copy->label = NULL;
}
