/* SPDX-License-Identifier: MIT
 *
 * run.c - the memory of a granted job and of its outcome. No clock, socket or thread. */
#include "worker/run.h"

#include <string.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"

/* With a NUL behind it, for those who want a string. */
static struct jq_view copy_in(uint8_t **at, struct jq_view bytes)
{
    uint8_t *to = *at;
    if (bytes.size > 0)
        memcpy(to, bytes.data, bytes.size);
    to[bytes.size] = '\0';
    *at = to + bytes.size + 1;
    return jq_view(to, bytes.size);
}

struct jq_run *jq_run_new(const struct jq_grant *grant, enum jq_where where)
{
    const size_t bytes = grant->queue.size + grant->handler.size + grant->payload.size + 3;
    struct jq_run *run = jq_alloc(sizeof *run + bytes);
    if (run == NULL)
        return NULL;
    /* Not the whole struct: `small` is written when the run ends. */
    memset(run, 0, offsetof(struct jq_run, small));
    run->id = grant->id;
    run->fence = grant->fence;
    run->attempt = grant->attempt;
    run->where = where;
    uint8_t *at = (uint8_t *)run + sizeof *run;
    run->queue = copy_in(&at, grant->queue);
    run->handler = copy_in(&at, grant->handler);
    run->payload = copy_in(&at, grant->payload);
    return run;
}

void jq_run_free(struct jq_run **run)
{
    if (*run == NULL)
        return;
    if ((*run)->outcome != (*run)->small)
        jq_free((*run)->outcome);
    jq_free((*run)->reason);
    jq_free(*run);
    *run = NULL;
}

static bool keep(struct jq_run *run, struct jq_view bytes)
{
    uint8_t *to = bytes.size <= sizeof run->small ? run->small : jq_alloc(bytes.size);
    if (to == NULL)
        return false;
    memcpy(to, bytes.data, bytes.size);
    run->outcome = to;
    run->outcome_size = bytes.size;
    return true;
}

/* Small enough for `small`, so it needs no memory but the scratch buffer's. */
static void keep_without_bytes(struct jq_run *run, struct jq_buf *scratch)
{
    static const char why[] = "out of memory";
    const struct jq_outcome plain = {
        .id = run->id,
        .fence = run->fence,
        .kind = JQ_OUTCOME_ERROR,
        .code = 1,
        .reason = { .data = why, .size = sizeof why - 1 },
    };
    jq_buf_clear(scratch);
    jq_outcome_write(scratch, &plain);
    if (jq_buf_ok(scratch) && keep(run, jq_buf_view(scratch)))
        return;
    /* Not even that: nothing can be said about it, so it goes back to its queue. */
    run->returned = true;
}

void jq_run_end(struct jq_run *run, struct jq_outcome *outcome, struct jq_buf *scratch)
{
    JQ_CHECK(run->outcome == NULL);
    outcome->id = run->id;
    outcome->fence = run->fence;
    jq_buf_clear(scratch);
    jq_outcome_write(scratch, outcome);
    if (!jq_buf_ok(scratch) || !keep(run, jq_buf_view(scratch)))
        keep_without_bytes(run, scratch);
}

void jq_run_end_encoded(struct jq_run *run, struct jq_view outcome, struct jq_buf *scratch)
{
    JQ_CHECK(run->outcome == NULL);
    if (!keep(run, outcome))
        keep_without_bytes(run, scratch);
}

void jq_run_set_reason(struct jq_run *run, struct jq_view reason)
{
    const size_t size = reason.size < JQ_REASON_MAX ? reason.size : JQ_REASON_MAX;
    char *copy = size > 0 ? jq_alloc(size + 1) : NULL;
    if (copy != NULL) {
        memcpy(copy, reason.data, size);
        copy[size] = '\0';
    }
    jq_free(run->reason);
    run->reason = copy;
}

bool jq_run_list_remove(struct jq_run_list *list, struct jq_run *run)
{
    struct jq_run *before = NULL;
    for (struct jq_run *at = list->first; at != NULL; before = at, at = at->next) {
        if (at != run)
            continue;
        if (before != NULL)
            before->next = run->next;
        else
            list->first = run->next;
        if (list->last == run)
            list->last = before;
        list->count--;
        run->next = NULL;
        return true;
    }
    return false;
}

void jq_run_list_free(struct jq_run_list *list)
{
    for (struct jq_run *run; (run = jq_run_list_pop(list)) != NULL;)
        jq_run_free(&run);
}
