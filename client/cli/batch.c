/* SPDX-License-Identifier: MIT
 *
 * batch.c - see batch.h. A group is what one read gave: a slow writer's lines are submitted as they
 * come, a file's in large groups. */
#include "client/cli/batch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/format_json.h"
#include "client/cli/stdio.h"
#include "proto/base/alloc.h"

enum { GROUP_MAX = 4096, READ_BYTES = 1 << 18, LINE_MAX_BYTES = JQ_PAYLOAD_MAX };

struct batch {
    struct jq_cli *cli;
    const struct jq_spec *spec;
    struct jq_lines lines;
    struct jq_json_list json;
    struct jobq_job jobs[GROUP_MAX];
    struct jq_packed packed[GROUP_MAX];
    struct jobq_future *futures[GROUP_MAX];
    size_t count;
    uint64_t first_line; /* of the group */
};

static void free_group(struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        jq_packed_fini(&batch->packed[i]);
        jobq_future_free(&batch->futures[i]);
    }
    batch->count = 0;
}

static void print_ids(struct batch *batch)
{
    const enum jq_format format = batch->cli->format;

    for (size_t i = 0; i < batch->count; i++) {
        const uint64_t id = jobq_future_id(batch->futures[i]);
        if (id == 0)
            continue;
        if (format == JQ_FORMAT_TABLE || format == JQ_FORMAT_ID) {
            printf("%" PRIu64 "\n", id);
            continue;
        }
        struct jq_json_object *object = jq_json_open();
        jq_json_id(object, "id", id);
        jq_json_bool(object, "created", jobq_future_created(batch->futures[i]) != 0);
        jq_json_put(&batch->json, object);
    }
}

static int submit_group(struct batch *batch)
{
    struct jq_cli *cli = batch->cli;
    int status = 0;

    if (batch->count == 0)
        return 0;
    int error = jobq_submit_many(cli->client, batch->jobs, batch->count, batch->futures);
    if (error == 0)
        error = jq_cli_flush(cli, batch->jobs[0].put_timeout_ms);
    print_ids(batch);
    if (error == JOBQ_ETIMEDOUT || error == JOBQ_EUNREACH)
        status = jq_cli_fail(cli, error,
                             "lines %" PRIu64 " to %" PRIu64
                             ": the broker has not answered: whether it has the jobs whose ids are "
                             "not printed is unknown",
                             batch->first_line, batch->lines.number);
    else if (error != 0)
        status = jq_cli_fail(cli, error, "lines %" PRIu64 " to %" PRIu64 ": %s", batch->first_line,
                             batch->lines.number, jobq_strerror(error));
    else if (fflush(stdout) != 0)
        status = JQ_EXIT_FAILED; /* said at the end: who reads the ids should get them now */
    free_group(batch);
    return status;
}

static int add_line(struct batch *batch, char *line)
{
    struct jq_spec_flags flags = *batch->spec->flags;
    struct jq_spec spec = *batch->spec;

    flags.shell = line;
    spec.flags = &flags;
    if (batch->count == 0)
        batch->first_line = batch->lines.number;
    batch->futures[batch->count] = NULL;
    const int status = jq_spec_pack(batch->cli, &spec, NULL, 0, &batch->packed[batch->count],
                                    &batch->jobs[batch->count]);
    if (status == 0)
        batch->count++;
    return status;
}

static int take_lines(struct batch *batch)
{
    struct jq_detail detail = { "out of memory" };
    char *line;
    int status = 0;

    while (status == 0) {
        const enum jq_err err = jq_lines_next(&batch->lines, &line, &detail);
        if (err != JQ_OK) {
            submit_group(batch);
            return jq_cli_fail(batch->cli, err, "%s", detail.text);
        }
        if (!line)
            break;
        status = add_line(batch, line);
        if (status == 0 && batch->count == GROUP_MAX)
            status = submit_group(batch);
    }
    const int last = submit_group(batch);
    return status ? status : last;
}

/* 0, or an exit code. */
static int read_more(struct batch *batch, int fd, const char *name)
{
    struct jq_lines *lines = &batch->lines;

    jq_lines_drop_taken(lines);
    if (lines->bytes.size > LINE_MAX_BYTES)
        return jq_cli_fail(batch->cli, JQ_EMSGSIZE, "line %" PRIu64 " has more than %d MiB",
                           lines->number + 1, LINE_MAX_BYTES >> 20);
    if (jq_buf_reserve(&lines->bytes, READ_BYTES) != JQ_OK)
        return jq_cli_fail(batch->cli, JQ_ENOMEM, "%s", jq_err_text(JQ_ENOMEM));
    size_t got;
    const int error = jq_read_some(fd, lines->bytes.data + lines->bytes.size, READ_BYTES, &got);
    if (error)
        return jq_cli_fail(batch->cli, JQ_EIO, "%s: %s", name, strerror(error));
    lines->bytes.size += got;
    lines->at_end = got == 0;
    return 0;
}

static int submit_all(struct batch *batch, int fd, const char *name)
{
    int status = 0;

    while (status == 0 && !batch->lines.at_end) {
        status = read_more(batch, fd, name);
        if (status == 0)
            status = take_lines(batch);
    }
    return status;
}

int jq_batch_submit(struct jq_cli *cli, const struct jq_spec *spec, const char *path, char end)
{
    const int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
    const bool json = cli->format == JQ_FORMAT_JSON || cli->format == JQ_FORMAT_JSONL;

    if (fd < 0)
        return jq_cli_fail(cli, JQ_EIO, "%s: %s", path, strerror(errno));
    struct batch *batch = jq_alloc_zero(1, sizeof *batch);
    int status =
        batch ? jq_cli_connect(cli) : jq_cli_fail(cli, JQ_ENOMEM, "%s", jq_err_text(JQ_ENOMEM));
    if (status == 0) {
        batch->cli = cli;
        batch->spec = spec;
        batch->lines.end = end;
        jq_json_start(&batch->json, stdout, cli->format == JQ_FORMAT_JSONL);
        status = submit_all(batch, fd, path ? path : "standard input");
        if (json && !jq_json_end(&batch->json) && status == 0)
            status = jq_cli_fail(cli, JQ_ENOMEM, "%s", jq_err_text(JQ_ENOMEM));
        free_group(batch);
        jq_buf_fini(&batch->lines.bytes);
    }
    jq_free(batch);
    if (path)
        close(fd);
    return status;
}
