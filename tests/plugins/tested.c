/* SPDX-License-Identifier: MIT
 *
 * tested.c - handlers that show what reaches them, for tests of the real programs.
 *
 *   mirror   its result is [positional, named], read and written value by value
 *   about    its result is a map of what it is told of its job; it logs a line
 *   told     fails with: code, "retry" or "no", a message; 0 succeeds
 *   counted  init, run and fini each add a line to the file that JQ_TEST_COUNTS names
 *   crash    kills its process */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jobq/handler.h>

static int mirror_value(struct jobq_call *call, const struct jobq_value *value);

static int mirror_all(struct jobq_call *call, struct jobq_cursor *cursor)
{
    struct jobq_value key, value;
    int error = 0;

    while (error == 0 && jobq_cursor_next(call, cursor, &key, &value) > 0) {
        if (cursor->is_map)
            error = mirror_value(call, &key);
        if (error == 0)
            error = mirror_value(call, &value);
    }
    return error;
}

static int mirror_open(struct jobq_call *call, const struct jobq_value *value, int is_map)
{
    struct jobq_cursor cursor;
    int error =
        is_map ? jobq_value_map(call, value, &cursor) : jobq_value_array(call, value, &cursor);

    if (error != 0)
        return error;
    error = is_map ? jobq_result_map(call, (size_t)cursor.left)
                   : jobq_result_array(call, (size_t)cursor.left);
    return error != 0 ? error : mirror_all(call, &cursor);
}

static int mirror_value(struct jobq_call *call, const struct jobq_value *value)
{
    int64_t i;
    uint64_t u;
    double d;
    int truth, error;
    const char *text;
    const void *bytes;
    size_t size;

    switch (jobq_value_kind(call, value)) {
    case JOBQ_KIND_NIL:
        return jobq_result_nil(call);
    case JOBQ_KIND_BOOL:
        error = jobq_value_bool(call, value, &truth);
        return error != 0 ? error : jobq_result_bool(call, truth);
    case JOBQ_KIND_INT:
        error = jobq_value_int(call, value, &i);
        return error != 0 ? error : jobq_result_int(call, i);
    case JOBQ_KIND_UINT:
        error = jobq_value_uint(call, value, &u);
        return error != 0 ? error : jobq_result_uint(call, u);
    case JOBQ_KIND_DOUBLE:
        error = jobq_value_double(call, value, &d);
        return error != 0 ? error : jobq_result_double(call, d);
    case JOBQ_KIND_STR:
        error = jobq_value_str(call, value, &text, &size);
        return error != 0 ? error : jobq_result_str(call, text, size);
    case JOBQ_KIND_BYTES:
        error = jobq_value_bytes(call, value, &bytes, &size);
        return error != 0 ? error : jobq_result_bytes(call, bytes, size);
    case JOBQ_KIND_ARRAY:
        return mirror_open(call, value, 0);
    default:
        return mirror_open(call, value, 1);
    }
}

static int run_mirror(struct jobq_call *call, void *state)
{
    struct jobq_value positional, named;

    (void)state;
    if (jobq_args_positional(call, &positional) != 0 || jobq_args_named(call, &named) != 0)
        return JOBQ_RUN_FAILED;
    if (jobq_result_array(call, 2) != 0 || mirror_value(call, &positional) != 0)
        return JOBQ_RUN_FAILED;
    return mirror_value(call, &named);
}

static int put_text(struct jobq_call *call, const char *text)
{
    return jobq_result_str(call, text, strlen(text));
}

static int run_about(struct jobq_call *call, void *state)
{
    const struct jobq_call_info info = jobq_call_info(call);
    size_t size = 0;

    (void)jobq_payload(call, &size);
    jobq_log(call, "job %llu, %s", (unsigned long long)info.id, (const char *)state);
    jobq_result_array(call, 7);
    jobq_result_uint(call, info.id);
    jobq_result_uint(call, info.fence);
    jobq_result_uint(call, info.attempt);
    jobq_result_uint(call, info.depth);
    put_text(call, info.queue);
    put_text(call, info.handler);
    return jobq_result_uint(call, size);
}

static int run_told(struct jobq_call *call, void *state)
{
    int64_t code = 0;
    const char *retry = "retry", *message = "";
    size_t retry_size = 5, size = 0;

    (void)state;
    if (jobq_arg_int(call, 0, "code", &code) != 0 ||
        jobq_arg_str(call, 1, "retry", &retry, &retry_size) < 0 ||
        jobq_arg_str(call, 2, "message", &message, &size) < 0)
        return JOBQ_RUN_FAILED;
    if (code == 0)
        return 0;
    return jobq_fail(call, code, retry_size == 2 ? JOBQ_FAIL_NO_RETRY : JOBQ_FAIL_RETRY, "%.*s",
                     (int)size, message);
}

static void note(const char *what)
{
    const char *path = getenv("JQ_TEST_COUNTS");
    const int fd = path ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;

    if (fd < 0)
        return;
    if (write(fd, what, strlen(what)) < 0)
        perror(path);
    close(fd);
}

static int init_counted(struct jobq_slot *slot)
{
    (void)slot;
    note("init\n");
    return 0;
}

static int run_counted(struct jobq_call *call, void *state)
{
    (void)call;
    (void)state;
    note("run\n");
    return 0;
}

static void fini_counted(void *state)
{
    (void)state;
    note("fini\n");
}

static int run_crash(struct jobq_call *call, void *state)
{
    (void)call;
    (void)state;
    raise(SIGKILL);
    return 0;
}

static char user[] = "user data";
static const struct jobq_handler handlers[] = {
    { "mirror", NULL, run_mirror, NULL, NULL, 0 },
    { "about", NULL, run_about, NULL, user, 0 },
    { "told", NULL, run_told, NULL, NULL, 0 },
    { "counted", init_counted, run_counted, fini_counted, NULL, 0 },
    { "crash", NULL, run_crash, NULL, NULL, 0 },
};
JOBQ_PLUGIN(handlers);
