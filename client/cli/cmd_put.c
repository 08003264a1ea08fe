/* SPDX-License-Identifier: MIT
 *
 * cmd_put.c - jobq put: bytes become an item of a queue, or lines items. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/cli/items.h"
#include "client/cli/stdio.h"
#include "client/cli/terms.h"
#include "proto/base/alloc.h"

enum { GROUP_MAX = 4096, READ_BYTES = 1 << 18, ANSWER_MS = 1000 };

struct values {
    int64_t priority;
    bool lines;
    struct jq_terms_flags terms;
};

static const struct jq_flag flags[] = {
    { "priority", 'p', JQ_FLAG_INT, offsetof(struct values, priority), INT32_MIN, INT32_MAX, "N",
      "lower is taken first, in a queue of that order; 0" },
    { "lines", 0, JQ_FLAG_BOOL, offsetof(struct values, lines), 0, 0, NULL,
      "an item for each line, without its line feed" },
#define TERM(member) offsetof(struct values, terms.member)
#include "client/cli/item_flags.def"
};

static const struct values defaults = { .terms = JQ_TERMS_FLAGS_INIT };

struct putting {
    struct jq_cli *cli;
    const char *name; /* of the file */
    int fd;
    struct jobq_job item; /* but for its payload */
    struct jq_json_list json;
    struct jq_buf bytes; /* read and not put yet */
    struct jobq_job group[GROUP_MAX];
    struct jobq_future *futures[GROUP_MAX];
    size_t count;
    uint64_t put; /* before the group */
};

/* ---- to the broker ---- */

static int flush(const struct putting *p)
{
    const int64_t timeout_ms = p->item.put_timeout_ms;

    if (timeout_ms <= 0) /* not at all, or for ever */
        return jq_cli_flush(p->cli, timeout_ms);
    return jobq_flush(p->cli->client, timeout_ms + ANSWER_MS);
}

static void print_ids(struct putting *p)
{
    for (size_t i = 0; i < p->count; i++) {
        const uint64_t id = jobq_future_id(p->futures[i]);
        if (id == 0)
            continue;
        p->put++;
        if (p->cli->format == JQ_FORMAT_TABLE)
            continue;
        if (p->cli->format == JQ_FORMAT_ID) {
            printf("%" PRIu64 "\n", id);
            continue;
        }
        struct jq_json_object *object = jq_json_open();
        jq_json_id(object, "id", id);
        jq_json_put(&p->json, object);
    }
}

static int fail_put(const struct putting *p, int error)
{
    const char *queue = p->item.queue;

    if (error == JOBQ_ETIMEDOUT || error == JOBQ_EUNREACH)
        return jq_cli_fail(p->cli, JOBQ_EUNREACH,
                           "the broker has not answered: after %" PRIu64
                           " items it is unknown whether it has the next",
                           p->put);
    if (error == JOBQ_EFULL || error == JOBQ_ECLOSED)
        return jq_cli_fail(p->cli, error, "queue %s is %s; items that were put: %" PRIu64, queue,
                           error == JOBQ_EFULL ? "full" : "closed", p->put);
    return jq_cli_fail_call(p->cli, error, "put");
}

static int put_group(struct putting *p)
{
    if (p->count == 0)
        return 0;
    int error = jobq_submit_many(p->cli->client, p->group, p->count, p->futures);
    if (error == 0)
        error = flush(p);
    print_ids(p);
    int status = error ? fail_put(p, error) : 0;
    if (fflush(stdout) != 0 && status == 0)
        status = JQ_EXIT_FAILED; /* said at the end */
    for (size_t i = 0; i < p->count; i++)
        jobq_future_free(&p->futures[i]);
    p->count = 0;
    return status;
}

static int add(struct putting *p, const void *data, size_t size)
{
    if (size > JQ_PAYLOAD_MAX)
        return jq_items_too_large(p->cli, p->name, size, true, p->put);
    p->group[p->count] = p->item;
    p->group[p->count].payload = data;
    p->group[p->count].payload_size = size;
    p->futures[p->count++] = NULL;
    return p->count == GROUP_MAX ? put_group(p) : 0;
}

/* ---- all of a file ---- */

static int put_whole(struct putting *p)
{
    struct stat stat;

    if (fstat(p->fd, &stat) == 0 && S_ISREG(stat.st_mode) && stat.st_size > JQ_PAYLOAD_MAX)
        return jq_items_too_large(p->cli, p->name, (uint64_t)stat.st_size, true, 0);
    const int error = jq_read_all(p->fd, JQ_PAYLOAD_MAX, &p->bytes);
    if (error == EFBIG)
        return jq_items_too_large(p->cli, p->name, p->bytes.size, false, 0);
    if (error)
        return jq_cli_fail(p->cli, JQ_EIO, "%s: %s", p->name, strerror(error));
    int status = jq_cli_connect(p->cli);
    if (status == 0)
        status = add(p, p->bytes.size ? p->bytes.data : (const uint8_t *)"", p->bytes.size);
    return status ? status : put_group(p);
}

/* ---- its lines ---- */

/* What was read before is put before more is read: a slow writer's lines go as they come. */
static int put_lines_read(struct putting *p, bool at_end)
{
    const uint8_t *at = p->bytes.data, *end = at + p->bytes.size;
    int status = 0;

    while (status == 0 && at < end) {
        const uint8_t *feed = memchr(at, '\n', (size_t)(end - at));
        if (!feed && !at_end)
            break;
        const uint8_t *stop = feed ? feed : end;
        status = add(p, at, (size_t)(stop - at));
        at = feed ? feed + 1 : end;
    }
    if (status == 0)
        status = put_group(p);
    const size_t left = (size_t)(end - at);
    if (left)
        memmove(p->bytes.data, at, left);
    p->bytes.size = left;
    if (status == 0 && left > JQ_PAYLOAD_MAX)
        status = jq_items_too_large(p->cli, "a line", left, false, p->put);
    return status;
}

static int put_lines(struct putting *p)
{
    int status = jq_cli_connect(p->cli);
    bool at_end = false;

    while (status == 0 && !at_end) {
        if (jq_buf_reserve(&p->bytes, READ_BYTES) != JQ_OK)
            return jq_cli_fail(p->cli, JQ_ENOMEM, "%s", jq_err_text(JQ_ENOMEM));
        size_t got;
        const int error = jq_read_some(p->fd, p->bytes.data + p->bytes.size, READ_BYTES, &got);
        if (error)
            return jq_cli_fail(p->cli, JQ_EIO, "%s: %s", p->name, strerror(error));
        p->bytes.size += got;
        at_end = got == 0;
        status = put_lines_read(p, at_end);
    }
    return status;
}

/* ---- the command ---- */

static int put_all(struct putting *p, const struct values *v, const char *path)
{
    struct jq_cli *cli = p->cli;
    const bool json = cli->format == JQ_FORMAT_JSON || cli->format == JQ_FORMAT_JSONL;

    p->fd = path ? open(path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
    p->name = path ? path : "standard input";
    if (p->fd < 0)
        return jq_cli_fail(cli, JQ_EIO, "%s: %s", path, strerror(errno));
    /* One object for one item. */
    jq_json_start(&p->json, stdout, cli->format == JQ_FORMAT_JSONL || !v->lines);
    int status = v->lines ? put_lines(p) : put_whole(p);
    if (json && !jq_json_end(&p->json) && status == 0)
        status = jq_cli_fail(cli, JQ_ENOMEM, "%s", jq_err_text(JQ_ENOMEM));
    jq_buf_fini(&p->bytes);
    if (path)
        close(p->fd);
    return status;
}

static int run(struct jq_cli *cli, const void *values, const struct jq_words *words)
{
    const struct values *v = values;
    const char *path = words->count > 1 && strcmp(words->list[1], "-") != 0 ? words->list[1] : NULL;
    struct jq_terms *terms = NULL;

    if (cli->format != JQ_FORMAT_TABLE && !jq_stdio_can_print())
        return jq_cli_fail(cli, JQ_EIO, "standard output takes no id: nothing was put");
    int status = jq_cli_queue_name(cli, words->list[0]);
    if (status == 0)
        status = jq_terms_make(cli, &v->terms, &terms);
    if (status != 0)
        return status;
    struct putting *p = jq_alloc_zero(1, sizeof *p);
    if (p) {
        p->cli = cli;
        p->item = (struct jobq_job)JOBQ_JOB_INIT;
        p->item.queue = words->list[0];
        p->item.handler = JQ_HANDLER_ITEM;
        p->item.flags = JOBQ_JOB_DISCARD;
        p->item.priority = (int32_t)v->priority;
        p->item.options = terms->is_plain ? NULL : &terms->options;
        p->item.put_timeout_ms = v->terms.nowait ? 0 : cli->globals.timeout_ms;
        status = put_all(p, v, path);
    } else {
        status = jq_cli_fail(cli, JQ_ENOMEM, "%s", jq_err_text(JQ_ENOMEM));
    }
    jq_free(p);
    jq_terms_free(terms);
    return status;
}

const struct jq_command jq_cmd_put = {
    .name = "put",
    .synopsis = "[flags] QUEUE [FILE]",
    .summary = "put bytes into a queue: an item",
    .notes =
        "FILE or standard input (-), byte for byte, at most 16 MiB. Returns when it is on disk.\n"
        "Prints nothing; its id with -o id or json. A full queue makes it wait, as long as\n"
        "--timeout says; with --nowait not at all, and --timeout is for the broker's answer.\n"
        "The queue is made, first in first out, when it is new (jobq queue create). Exit codes:\n"
        "5 full, also when the time is over; 9 closed; 2 too large or bad usage; 3 no broker.\n"
        "\n"
        "  printf hello | jobq put mail\n"
        "  find . -name '*.c' | jobq put --lines --timeout 10s files\n",
    .flags = flags,
    .flag_count = JQ_FLAG_COUNT(flags),
    .defaults = &defaults,
    .values_size = sizeof defaults,
    .words_min = 1,
    .words_max = 2,
    .words_name = "QUEUE",
    .has_codes = true,
    .run = run,
};
