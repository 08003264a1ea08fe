/* SPDX-License-Identifier: MIT
 *
 * exec_pack.c - a command as the payload of an "exec" job: an exec_spec, byte for byte. */
#include <stddef.h>
#include <string.h>

#include "client/include/jobq/jobq.h"
#include "proto/base/alloc.h"
#include "proto/msg.h"

static bool copy_exec(const struct jobq_exec *from, struct jobq_exec *ret)
{
    *ret = (struct jobq_exec){ .size = sizeof *ret };
    if (!from || from->size < offsetof(struct jobq_exec, env))
        return false;
    memcpy(ret, from, from->size < sizeof *ret ? from->size : sizeof *ret);
    return true;
}

/* A NULL-terminated vector as records. EMSGSIZE: more than the bound, in number or in bytes. */
static enum jq_err write_vector(const char *const *vector, struct jq_buf *records,
                                struct jq_records *ret)
{
    uint32_t count = 0;

    for (; vector && vector[count]; count++) {
        const struct jq_bytes bytes = { .value = jq_view_str(vector[count]) };
        if (count == JQ_ARGUMENTS_MAX || bytes.value.size > JQ_PAYLOAD_MAX ||
            records->size > JQ_PAYLOAD_MAX)
            return JQ_EMSGSIZE;
        jq_bytes_write(records, &bytes);
    }
    *ret = jq_records_of(count, records);
    return jq_buf_ok(records) ? JQ_OK : JQ_ENOMEM;
}

static enum jq_err check(const struct jobq_exec *exec)
{
    if (!exec->argv || !exec->argv[0] || (!exec->input && exec->input_size))
        return JQ_EINVAL;
    if (exec->timeout_ms < 0 || exec->kill_after_ms < 0 || exec->output_bytes < 0)
        return JQ_EINVAL;
    if (exec->flags & ~JQ_EXEC_FLAGS)
        return JQ_EINVAL;
    if (exec->input_size > JQ_PAYLOAD_MAX || (exec->cwd && strlen(exec->cwd) > JQ_PATH_MAX))
        return JQ_EMSGSIZE;
    return JQ_OK;
}

static enum jq_err pack(const struct jobq_exec *exec, struct jq_buf *argv, struct jq_buf *env,
                        struct jq_buf *out)
{
    struct jq_exec_spec spec = {
        .cwd = jq_view_str(exec->cwd ? exec->cwd : ""),
        .input = jq_view(exec->input, exec->input_size),
        .flags = exec->flags,
        .timeout_ms = (uint64_t)exec->timeout_ms,
        .kill_after_ms = (uint64_t)exec->kill_after_ms,
        .output_bytes = (uint64_t)exec->output_bytes,
    };

    JQ_TRY(check(exec));
    JQ_TRY(write_vector(exec->argv, argv, &spec.argv));
    JQ_TRY(write_vector(exec->env, env, &spec.env));
    jq_exec_spec_write(out, &spec);
    if (!jq_buf_ok(out))
        return JQ_ENOMEM;
    return out->size > JQ_PAYLOAD_MAX ? JQ_EMSGSIZE : JQ_OK;
}

int jobq_exec_pack(const struct jobq_exec *exec, void **ret_payload, size_t *ret_size)
{
    struct jq_buf argv = { 0 }, env = { 0 }, out = { 0 };
    struct jobq_exec copy;
    size_t size = 0;

    if (!ret_payload || !ret_size || !copy_exec(exec, &copy))
        return JOBQ_EINVAL;
    const enum jq_err err = pack(&copy, &argv, &env, &out);
    if (err == JQ_OK) {
        *ret_payload = jq_buf_take(&out, &size);
        *ret_size = size;
    }
    jq_buf_fini(&argv);
    jq_buf_fini(&env);
    jq_buf_fini(&out);
    return err;
}

void jobq_payload_free(void *payload)
{
    jq_free(payload);
}
