/* SPDX-License-Identifier: MIT
 *
 * call.c - a call's life, its result, its error, its log. The arguments are call_args.c's. */
#include "worker/call.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/clock.h"

enum { LOG_LINE_MAX = 4096, CODE_ARGUMENTS = 2, CODE_NOT_RUN = 126, VALUE_KEPT_MAX = 1 << 20 };

void jq_call_tools_fini(struct jq_call_tools *tools)
{
    jq_buf_fini(&tools->value);
    if (tools->is_logging)
        jq_output_fini(&tools->log);
    tools->is_logging = false;
}

/* --- errors --- */

__attribute__((format(printf, 2, 0))) static void set_reason(struct jq_call *call,
                                                             const char *format, va_list arguments)
{
    if (vsnprintf(call->reason, sizeof call->reason, format, arguments) < 0)
        call->reason[0] = '\0';
}

int jq_call_note(struct jq_call *call, int error, const char *format, ...)
{
    if (call->is_told)
        return error;
    va_list arguments;
    va_start(arguments, format);
    set_reason(call, format, arguments);
    va_end(arguments);
    call->is_noted = true;
    call->code = error == JOBQ_CALL_ENOMEM ? 1 : CODE_ARGUMENTS;
    call->flags = error == JOBQ_CALL_ENOMEM ? 0 : JQ_OUTCOME_NO_RETRY;
    return error;
}

__attribute__((format(printf, 4, 0))) static int
call_fail(struct jobq_call *base, int64_t code, int flags, const char *format, va_list arguments)
{
    struct jq_call *call = jq_call_of(base);
    call->is_told = true;
    call->code = code != 0 ? code : 1;
    call->flags = (flags & JOBQ_FAIL_NO_RETRY) != 0 ? JQ_OUTCOME_NO_RETRY : 0;
    set_reason(call, format, arguments);
    return JOBQ_RUN_FAILED;
}

/* --- the job --- */

static int64_t left_ms(const struct jq_call *call)
{
    if (call->deadline_at == JQ_NEVER)
        return -1;
    const int64_t left = call->deadline_at - jq_clock_now().mono;
    return left > 0 ? left : 0;
}

static void call_info(const struct jobq_call *base, struct jobq_call_info *ret)
{
    struct jq_call *call = jq_call_of(base);
    const bool has_depth = jq_call_args(call) == JQ_OK && call->args.depth > 0;
    const struct jobq_call_info info = {
        .size = sizeof info,
        .id = call->run->id,
        .fence = call->run->fence,
        .attempt = call->run->attempt,
        .depth = has_depth ? call->args.depth : 1,
        .queue = call->run->queue.data,
        .handler = call->run->handler.data,
        .left_ms = left_ms(call),
    };
    const size_t size = ret->size < sizeof info ? ret->size : sizeof info;
    memcpy(ret, &info, size);
    ret->size = size;
}

static const void *call_payload(const struct jobq_call *base, size_t *ret_size)
{
    const struct jq_view payload = jq_call_of(base)->run->payload;
    *ret_size = payload.size;
    return payload.data;
}

static int call_cancelled(const struct jobq_call *base)
{
    const struct jq_call *call = jq_call_of(base);
    return atomic_load_explicit(call->cancelled, memory_order_acquire) || left_ms(call) == 0;
}

static int call_cancel_fd(struct jobq_call *base)
{
    struct jq_call *call = jq_call_of(base);
    return call->cancel_fd != NULL ? call->cancel_fd(call->arg) : JOBQ_CALL_EINVAL;
}

__attribute__((format(printf, 2, 0))) static void call_log(struct jobq_call *base,
                                                           const char *format, va_list arguments)
{
    struct jq_call_tools *tools = jq_call_of(base)->tools;
    char line[LOG_LINE_MAX + 1];
    const int made = vsnprintf(line, sizeof line, format, arguments);
    if (made < 0)
        return;
    size_t size = (size_t)made < LOG_LINE_MAX ? (size_t)made : LOG_LINE_MAX;
    line[size++] = '\n';
    if (!tools->is_logging)
        jq_output_init(&tools->log, tools->output_bytes);
    tools->is_logging = true;
    jq_output_append(&tools->log, line, size);
}

/* --- the result --- */

static int spoil(struct jq_call *call, enum jq_err err, const char *why)
{
    call->result_err = err;
    (void)jq_call_note(call, err, "%s", why);
    if (!call->is_told)
        call->code = 1;
    return err;
}

static int fits(struct jq_call *call, enum jq_result_form form, size_t more)
{
    if (call->form != JQ_RESULT_NONE && call->form != form)
        return spoil(call, JQ_EINVAL, "the result is both bytes and a value");
    call->form = form;
    if (more > JQ_VALUE_MAX - call->tools->value.size)
        return spoil(call, JQ_EMSGSIZE, "the result is larger than 16 MiB");
    return 0;
}

static int written(struct jq_call *call)
{
    if (!jq_buf_ok(&call->tools->value))
        return spoil(call, JQ_ENOMEM, "no memory for the result");
    if (call->tools->value.size > JQ_VALUE_MAX)
        return spoil(call, JQ_EMSGSIZE, "the result is larger than 16 MiB");
    return 0;
}

static int call_write(struct jobq_call *base, const void *data, size_t size)
{
    struct jq_call *call = jq_call_of(base);
    const int error =
        call->result_err != JQ_OK ? (int)call->result_err : fits(call, JQ_RESULT_RAW, size);
    if (error != 0)
        return error;
    jq_buf_append(&call->tools->value, data, size);
    return written(call);
}

static int put_kind(struct jq_call *call, const struct jobq_datum *datum)
{
    struct jq_buf *value = &call->tools->value;
    switch (datum->kind) {
    case JOBQ_KIND_NIL:
        jq_write_nil(value);
        break;
    case JOBQ_KIND_BOOL:
        jq_write_bool(value, datum->truth != 0);
        break;
    case JOBQ_KIND_INT:
        jq_write_i64(value, datum->of.i);
        break;
    case JOBQ_KIND_UINT:
        jq_write_u64(value, datum->of.u);
        break;
    case JOBQ_KIND_DOUBLE:
        jq_write_double(value, datum->of.d);
        break;
    case JOBQ_KIND_STR:
        jq_write_str(value, jq_view(datum->of.data, datum->size));
        break;
    case JOBQ_KIND_BYTES:
        jq_write_bin(value, jq_view(datum->of.data, datum->size));
        break;
    case JOBQ_KIND_ARRAY:
        jq_write_array(value, (uint32_t)datum->size);
        break;
    case JOBQ_KIND_MAP:
        jq_write_map(value, (uint32_t)datum->size);
        break;
    default:
        return spoil(call, JQ_EINVAL, "the result has a value of no known kind");
    }
    return written(call);
}

static int call_put(struct jobq_call *base, const struct jobq_datum *datum)
{
    struct jq_call *call = jq_call_of(base);
    if (call->result_err != JQ_OK)
        return (int)call->result_err;
    /* Elements and pairs take a byte each, at least. */
    const int error = fits(call, JQ_RESULT_VALUE, datum->kind >= JOBQ_KIND_STR ? datum->size : 1);
    return error != 0 ? error : put_kind(call, datum);
}

/* --- life --- */

static const struct jobq_call_ops call_ops = {
    .size = sizeof call_ops,
    .info = call_info,
    .payload = call_payload,
    .arguments = jq_call_arguments,
    .argument = jq_call_argument,
    .read_value = jq_call_read,
    .open_value = jq_call_open,
    .next_value = jq_call_next,
    .put_result = call_put,
    .write_result = call_write,
    .tell_error = call_fail,
    .add_log = call_log,
    .cancelled = call_cancelled,
    .cancel_fd = call_cancel_fd,
};

void jq_call_begin(struct jq_call *call, const struct jq_run *run)
{
    call->base.ops = &call_ops;
    call->run = run;
    call->deadline_at = JQ_NEVER;
    call->has_read_args = false;
    call->is_told = false;
    call->is_noted = false;
    call->form = JQ_RESULT_NONE;
    call->result_err = JQ_OK;
    call->flags = 0;
    struct jq_call_tools *tools = call->tools;
    if (tools->value.capacity > VALUE_KEPT_MAX)
        jq_buf_fini(&tools->value);
    else
        jq_buf_clear(&tools->value);
    if (tools->is_logging)
        jq_output_fini(&tools->log);
    tools->is_logging = false;
}

enum jq_err jq_call_args(struct jq_call *call)
{
    if (!call->has_read_args) {
        call->has_read_args = true;
        call->args_err = jq_args_read(call->run->payload, &call->args);
        if (call->args_err == JQ_OK)
            call->next_reader = jq_args_positional(&call->args);
        call->next_position = 0;
    }
    return call->args_err;
}

bool jq_call_is_too_deep(struct jq_call *call, struct jq_outcome *outcome)
{
    if (jq_call_args(call) != JQ_OK || call->args.depth <= call->tools->depth_max)
        return false;
    const int size = snprintf(call->reason, sizeof call->reason,
                              "depth %" PRIu64 ": jobs that submit jobs are run %" PRIu64
                              " deep at most (depth_max of the worker)",
                              call->args.depth, call->tools->depth_max);
    outcome->kind = JQ_OUTCOME_NOSTART;
    outcome->code = CODE_NOT_RUN;
    outcome->flags = JQ_OUTCOME_NO_RETRY;
    outcome->reason = jq_view(call->reason, (size_t)size);
    return true;
}

/* The value that a handler left: it must be whole. */
static void check_value(struct jq_call *call)
{
    if (call->form == JQ_RESULT_VALUE && call->result_err == JQ_OK &&
        jq_wire_check(jq_buf_view(&call->tools->value)) != JQ_OK)
        (void)spoil(call, JQ_EPROTO, "the result is not one whole value, 8 deep at most");
}

void jq_call_end(struct jq_call *call, int returned, struct jq_outcome *outcome)
{
    const struct jq_call_tools *tools = call->tools;
    if (returned == 0)
        check_value(call);
    if (tools->is_logging) {
        outcome->stderr_bytes = tools->log.total;
        outcome->stderr_head = jq_buf_view(&tools->log.head);
        outcome->stderr_tail = jq_output_tail(&call->tools->log);
    }
    if (returned == 0 && call->result_err == JQ_OK) {
        outcome->value = jq_buf_view(&tools->value);
        return;
    }
    outcome->kind = JQ_OUTCOME_ERROR;
    if (!call->is_told && (returned > 0 || !call->is_noted)) {
        call->code = returned > 0 ? returned : 1;
        call->flags = 0;
        (void)snprintf(call->reason, sizeof call->reason, "the handler returned %d", returned);
    }
    outcome->code = call->code;
    outcome->flags = call->flags;
    outcome->reason = jq_view_str(call->reason);
}
