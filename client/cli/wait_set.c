/* SPDX-License-Identifier: MIT
 *
 * wait_set.c - see wait_set.h. */
#include "client/cli/wait_set.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/stdio.h"
#include "proto/base/alloc.h"

enum { READ_BYTES = 65536 };

struct jq_wait_part {
    struct jq_subscription *subscription;
    size_t left; /* jobs that were not told of */
};

static int out_of_memory(const struct jq_cli *cli)
{
    return jq_cli_fail(cli, JQ_ENOMEM, "%s", jq_err_text(JQ_ENOMEM));
}

void jq_wait_set_fini(struct jq_wait_set *set)
{
    for (size_t i = 0; i < set->part_count; i++)
        jq_subscription_end(&set->parts[i].subscription);
    jq_free(set->parts);
    jq_map_fini(&set->asked);
    jq_map_fini(&set->told);
    jq_buf_fini(&set->text);
}

/* ---- asking ---- */

static int reserve_part(struct jq_wait_set *set)
{
    if (set->part_count < set->part_capacity)
        return 0;
    const size_t capacity = set->part_capacity ? set->part_capacity * 2 : 8;
    struct jq_wait_part *parts = jq_realloc(set->parts, capacity * sizeof *parts);
    if (!parts)
        return out_of_memory(set->cli);
    set->parts = parts;
    set->part_capacity = capacity;
    return 0;
}

/* At most JQ_JOBS_PER_FRAME. */
static int ask(struct jq_wait_set *set, uint32_t count, const struct jq_buf *refs)
{
    const struct jq_msg msg = {
        .tag = JQ_MSG_WAIT,
        .u.wait = { .jobs = jq_records_of(count, refs), .states = set->states },
    };
    struct jq_subscription *subscription;

    if (count == 0)
        return 0;
    const int status = reserve_part(set);
    if (status != 0)
        return status;
    if (!jq_buf_ok(refs))
        return out_of_memory(set->cli);
    const int error = jq_subscribe(set->cli->client, &msg, &subscription);
    if (error != 0)
        return jq_cli_fail_call(set->cli, error, "wait");
    set->parts[set->part_count++] = (struct jq_wait_part){ subscription, count };
    return 0;
}

/* 0 is no job's id, and no key of a map: asked about as often as it is named. */
static bool is_new(struct jq_wait_set *set, uint64_t id, int *status)
{
    if (id != 0 && jq_map_find(&set->asked, id))
        return false;
    if (id != 0 && jq_map_put(&set->asked, id, set) != JQ_OK)
        *status = out_of_memory(set->cli);
    return *status == 0;
}

int jq_wait_set_add(struct jq_wait_set *set, const struct jq_ids *ids)
{
    struct jq_buf refs = { 0 };
    uint32_t count = 0;
    int status = 0;

    for (size_t i = 0; i < ids->count && status == 0; i++) {
        if (!is_new(set, ids->list[i], &status))
            continue;
        jq_job_ref_write(&refs, &(struct jq_job_ref){ .id = ids->list[i] });
        set->total++;
        if (++count < JQ_JOBS_PER_FRAME)
            continue;
        status = ask(set, count, &refs);
        jq_buf_clear(&refs);
        count = 0;
    }
    if (status == 0)
        status = ask(set, count, &refs);
    jq_buf_fini(&refs);
    return status;
}

/* ---- ids that are read ---- */

static int add_words(struct jq_wait_set *set, size_t size)
{
    struct jq_detail detail = { "out of memory" };
    struct jq_ids ids = { 0 };
    uint64_t last = 0;
    int status = 0;

    const enum jq_err err =
        size ? jq_ids_parse_text(&ids, (const char *)set->text.data, size, &detail) : JQ_OK;
    if (err != JQ_OK)
        status = jq_cli_fail(set->cli, err, "standard input: %s", detail.text);
    if (status == 0 && ids.has_last)
        status = jq_cli_newest(set->cli, &last);
    for (size_t i = 0; i < ids.count; i++)
        if (ids.list[i] == JQ_ID_LAST)
            ids.list[i] = last;
    if (status == 0)
        status = jq_wait_set_add(set, &ids);
    jq_ids_fini(&ids);
    return status;
}

/* A word that is not ended stays for the next time. */
static int read_ids(struct jq_wait_set *set)
{
    struct jq_buf *text = &set->text;
    size_t got;

    if (jq_buf_reserve(text, READ_BYTES) != JQ_OK)
        return out_of_memory(set->cli);
    const int error = jq_read_some(STDIN_FILENO, text->data + text->size, READ_BYTES, &got);
    if (error)
        return jq_cli_fail(set->cli, JQ_EIO, "standard input: %s", strerror(error));
    text->size += got;
    set->is_reading = got > 0;
    size_t size = text->size;
    while (set->is_reading && size && !strchr(" \t\r\n", text->data[size - 1]))
        size--;
    const int status = add_words(set, size);
    text->size -= size;
    if (text->size)
        memmove(text->data, text->data + size, text->size);
    return status;
}

/* ---- answers ---- */

static bool tell(struct jq_wait_set *set, struct jq_wait_part *part,
                 const struct jq_results *results, jq_wait_each *each, void *arg, int *status)
{
    struct jq_result result;

    for (struct jq_reader r = jq_records_reader(results->results); jq_result_next(&r, &result);) {
        if (result.id != 0 && jq_map_find(&set->told, result.id))
            continue; /* answers may come twice */
        if (result.id != 0 && jq_map_put(&set->told, result.id, set) != JQ_OK) {
            *status = out_of_memory(set->cli);
            return false;
        }
        part->left -= part->left > 0;
        if (!each(arg, &result))
            return false;
    }
    return true;
}

/* What one WAIT has been answered. False: enough, or *status. */
static bool take_part(struct jq_wait_set *set, struct jq_wait_part *part, jq_wait_each *each,
                      void *arg, int *status, bool *moved)
{
    struct jq_answer answer;
    bool more = true;

    while (more && part->left) {
        const int error = jq_subscription_next(part->subscription, 0, &answer);
        if (error == JOBQ_ETIMEDOUT || error == JOBQ_EUNREACH) /* nothing now, or no broker now */
            return true;
        if (error != 0) {
            *status = jq_cli_fail_call(set->cli, error, "wait");
            return false;
        }
        *moved = true;
        if (answer.msg.tag == JQ_MSG_RESULTS)
            more = tell(set, part, &answer.msg.u.results, each, arg, status);
        jq_answer_fini(&answer);
    }
    return more;
}

static bool take_all(struct jq_wait_set *set, jq_wait_each *each, void *arg, int *status,
                     bool *moved)
{
    for (size_t i = 0; i < set->part_count;) {
        struct jq_wait_part *part = &set->parts[i];
        if (!take_part(set, part, each, arg, status, moved))
            return false;
        if (part->left) {
            i++;
            continue;
        }
        jq_subscription_end(&part->subscription);
        *part = set->parts[--set->part_count];
    }
    return true;
}

/* ---- waiting ---- */

static int await(struct jq_wait_set *set, int64_t timeout_ms, bool *ret_readable)
{
    struct jobq_client *client = set->cli->client;
    const int fd = jobq_client_fd(client);
    struct pollfd list[] = { { .fd = fd, .events = POLLIN },
                             { .fd = set->is_reading ? STDIN_FILENO : -1, .events = POLLIN } };

    if (fd < 0)
        return jq_cli_fail_call(set->cli, fd, "wait");
    const int64_t wish = jobq_client_timeout_ms(client);
    if (wish >= 0 && (timeout_ms < 0 || wish < timeout_ms))
        timeout_ms = wish;
    poll(list, 2, timeout_ms < 0 ? -1 : timeout_ms > INT32_MAX ? INT32_MAX : (int)timeout_ms);
    *ret_readable = list[1].revents != 0;
    const int error = jobq_client_process(client);
    return error ? jq_cli_fail_call(set->cli, error, "wait") : 0;
}

int jq_wait_set_turn(struct jq_wait_set *set, int64_t timeout_ms, jq_wait_each *each, void *arg,
                     bool *ret_moved)
{
    bool readable = false;
    int status = 0;

    *ret_moved = false;
    if (!take_all(set, each, arg, &status, ret_moved) || *ret_moved)
        return status;
    status = await(set, timeout_ms, &readable);
    if (status == 0 && readable) {
        *ret_moved = true;
        status = read_ids(set);
    }
    return status;
}
