/* SPDX-License-Identifier: MIT
 *
 * handler.h - C functions as handlers of jobs: the plug-ins of jobq-worker. C11 and C++11.
 *
 * A handler is what runs; where it runs (a thread, later a process or a coroutine) is the worker's
 * choice, and nothing here depends on it. A plug-in is a shared object:
 *
 *     static int run(struct jobq_call *call, void *state)
 *     {
 *         int64_t width = 0;
 *         if (jobq_arg_int(call, 0, "width", &width) != 0)
 *             return JOBQ_RUN_FAILED;
 *         return jobq_result_int(call, 2 * width);
 *     }
 *     static const struct jobq_handler handlers[] = { { "double", NULL, run, NULL, NULL, 0 } };
 *     JOBQ_PLUGIN(handlers);
 *
 *     cc -shared -fPIC -o double.so double.c && jobq-worker --plugin ./double.so
 *     jobq submit --handler double --arg-json 21
 *
 * Nothing needs to be linked: all calls go through a table that the worker hands in.
 *
 * The ABI is frozen. What is here keeps its layout, numbers and meaning for as long as the worker
 * takes plug-ins of JOBQ_HANDLER_ABI 1; tables and structs that begin with their size only grow at
 * their end.
 *
 * Threads. A slot is one place where jobs run one after another. `init`, every `run` and `fini` of
 * a slot are called on one and the same thread, and never two at a time; different slots of one
 * handler run at the same time, so what is not in the slot's state is shared and needs a lock. In a
 * pool of coroutines the slots of a thread share it: no thread-local state then, and no lock held
 * over something that waits. A call may be used by `run` alone, until it returns, on its thread;
 * jobq_cancelled alone may be called from any thread until then. `init` and `fini` have no call.
 * None of the functions here blocks.
 *
 * A handler must not call exit, fork without exec, change the working directory, the environment or
 * the signals of the process, or jump out of `run` (longjmp, a C++ exception). A crash on a thread
 * ends the worker with all its jobs, which go to others; each is charged a crash.
 *
 * Results of calls are 0, or a count, or negative: JOBQ_CALL_E.... What went wrong is remembered as
 * the job's error, naming the argument where there is one; a `run` that then returns
 * JOBQ_RUN_FAILED fails with it. */
#ifndef JOBQ_HANDLER_H
#define JOBQ_HANDLER_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define JOBQ_HANDLER_ABI 1

struct jobq_call; /* one job while it runs; opaque */

/* The numbers of jobq.h's JOBQ_E.... */
enum {
    JOBQ_CALL_EINVAL = -7,    /* of another type, or not allowed now */
    JOBQ_CALL_EMSGSIZE = -13, /* over a bound */
    JOBQ_CALL_ENOMEM = -15,
    JOBQ_CALL_EPROTO = -20, /* the payload is not what jobq_args_pack makes */
};
enum { JOBQ_ARG_ABSENT = 1 };

/* ---- what a plug-in offers ---- */

/* One place where jobs run one after another. */
struct jobq_slot {
    size_t size;          /* of this struct, as the worker knows it */
    const char *executor; /* "thread" */
    uint32_t number;      /* from 0, within this worker and executor */
    void *user;           /* jobq_handler.user */
    void *state;          /* init may set it: what run and fini are given; `user` at first */
    char why[256];        /* init that fails may say why */
};

struct jobq_handler {
    /* What jobs name: 1 to 128 of A-Z a-z 0-9 . _ - ; not "exec", "item" or a built-in. */
    const char *name;
    /* Once for each slot, before its first job. Not 0: the worker does not start. NULL: none. */
    int (*init)(struct jobq_slot *slot);
    /* Once for each attempt of a job. 0: it has succeeded. Else it has failed: with the error that
     * was told last, or with what was returned as its code. */
    int (*run)(struct jobq_call *call, void *state);
    /* Once for each slot that init was called for with success, after its last job, when the worker
     * has drained. Not called when the process is killed. NULL: none. */
    void (*fini)(void *state);
    void *user;     /* the state of slots without init */
    uint64_t flags; /* 0 */
};
#define JOBQ_RUN_FAILED (-1)

struct jobq_plugin {
    uint32_t abi;          /* JOBQ_HANDLER_ABI: first, for ever */
    uint32_t handler_size; /* sizeof(struct jobq_handler) */
    size_t count;
    const struct jobq_handler *handlers; /* live as long as the process */
};

/* The one symbol that a plug-in exports. */
extern __attribute__((visibility("default"))) const struct jobq_plugin jobq_plugin;
#define JOBQ_PLUGIN(array)                                                                  \
    const struct jobq_plugin jobq_plugin = { JOBQ_HANDLER_ABI, sizeof(struct jobq_handler), \
                                             sizeof(array) / sizeof((array)[0]), (array) }

/* ---- values: msgpack, checked, read in place ---- */

enum jobq_kind {
    JOBQ_KIND_NIL = 0,
    JOBQ_KIND_BOOL = 1,
    JOBQ_KIND_INT = 2,
    JOBQ_KIND_UINT = 3,
    JOBQ_KIND_DOUBLE = 4,
    JOBQ_KIND_STR = 5,
    JOBQ_KIND_BYTES = 6,
    JOBQ_KIND_ARRAY = 7,
    JOBQ_KIND_MAP = 8,
};

/* One value of a job's arguments. Borrowed: it lives as long as the call. */
struct jobq_value {
    const void *bytes; /* encoded */
    size_t size;
    const char *name; /* of the argument that it is or lies in; NULL: it has none */
    int32_t position; /* likewise; -1: it was given by name */
    int32_t nested;   /* 0: the argument itself */
};

/* A decoded value; of strings, bytes, arrays and maps `size` says how many bytes, elements or
 * pairs. */
struct jobq_datum {
    int32_t kind; /* enum jobq_kind */
    int32_t truth;
    union {
        int64_t i;
        uint64_t u;
        double d;
        const void *data; /* borrowed; not NUL-terminated */
    } of;
    size_t size;
};

/* A place in an array or a map. */
struct jobq_cursor {
    struct jobq_value rest; /* what has not been read, as bytes */
    uint64_t left;          /* elements or pairs */
    int32_t is_map;
    int32_t reserved;
};

struct jobq_call_info {
    size_t size; /* set by the caller: sizeof(struct jobq_call_info) */
    uint64_t id;
    uint64_t fence;   /* rises with every attempt: what a job writes elsewhere can carry it, so that
                         a late attempt is told from the current one */
    uint64_t attempt; /* from 1 */
    uint64_t depth;   /* 1: submitted from outside; a job it submits has one more (JOBQ_DEPTH) */
    const char *queue; /* these two as long as the call */
    const char *handler;
    int64_t left_ms; /* until the job's time limit, as of now, as poll takes it; -1: it has none */
};

#define JOBQ_FAIL_RETRY 0    /* as the job's and its queue's policy says */
#define JOBQ_FAIL_NO_RETRY 1 /* never: it would fail again */

/* The worker's side. Use the functions below; tables of later workers are longer. */
struct jobq_call_ops {
    size_t size;
    void (*info)(const struct jobq_call *call, struct jobq_call_info *ret);
    const void *(*payload)(const struct jobq_call *call, size_t *ret_size);
    int (*arguments)(struct jobq_call *call, int named, struct jobq_value *ret);
    int (*argument)(struct jobq_call *call, int position, const char *name, struct jobq_value *ret);
    int (*read_value)(struct jobq_call *call, const struct jobq_value *value, int kind,
                      struct jobq_datum *ret);
    int (*open_value)(struct jobq_call *call, const struct jobq_value *value, int kind,
                      struct jobq_cursor *ret);
    int (*next_value)(struct jobq_call *call, struct jobq_cursor *cursor,
                      struct jobq_value *ret_key, struct jobq_value *ret_value);
    int (*put_result)(struct jobq_call *call, const struct jobq_datum *datum);
    int (*write_result)(struct jobq_call *call, const void *data, size_t size);
    int (*tell_error)(struct jobq_call *call, int64_t code, int flags, const char *format,
                      va_list arguments);
    void (*add_log)(struct jobq_call *call, const char *format, va_list arguments);
    int (*cancelled)(const struct jobq_call *call);
    int (*cancel_fd)(struct jobq_call *call);
};

struct jobq_call {
    const struct jobq_call_ops *ops;
};

/* ---- the job ---- */

static inline struct jobq_call_info jobq_call_info(const struct jobq_call *call)
{
    struct jobq_call_info info = { sizeof info, 0, 0, 0, 0, NULL, NULL, -1 };
    call->ops->info(call, &info);
    return info;
}

/* The job's bytes as they were submitted: for handlers that do not take arguments. Borrowed. */
static inline const void *jobq_payload(const struct jobq_call *call, size_t *ret_size)
{
    return call->ops->payload(call, ret_size);
}

/* 1: the result is not wanted any more (cancelled, the lease is lost, the worker leaves, the job's
 * time is over): return soon, with whatever. The job is told cancelled then, or timed out, also
 * when it returned 0. Any thread. */
static inline int jobq_cancelled(const struct jobq_call *call)
{
    return call->ops->cancelled(call);
}

/* Readable once jobq_cancelled is 1: for poll beside a handler's own descriptors. Do not read or
 * close it. Negative: there is none to be had; poll jobq_cancelled then. */
static inline int jobq_cancel_fd(struct jobq_call *call)
{
    return call->ops->cancel_fd(call);
}

/* ---- arguments ----
 *
 * By position, by name, or either: `position` -1 is none, `name` NULL is none; it is borrowed for
 * as long as the call. One that is given both ways is an error. 0: found. JOBQ_ARG_ABSENT: not
 * given; *ret is as it was, so a default may stand in it: `if (jobq_arg_int(call, 1, "level",
 * &level) < 0) return JOBQ_RUN_FAILED;`. JOBQ_CALL_EINVAL: of another type; JOBQ_CALL_EPROTO: the
 * payload has no arguments. */

static inline int jobq_arg(struct jobq_call *call, int position, const char *name,
                           struct jobq_value *ret)
{
    return call->ops->argument(call, position, name, ret);
}

/* All that were given by position, an array; by name, a map. */
static inline int jobq_args_positional(struct jobq_call *call, struct jobq_value *ret)
{
    return call->ops->arguments(call, 0, ret);
}

static inline int jobq_args_named(struct jobq_call *call, struct jobq_value *ret)
{
    return call->ops->arguments(call, 1, ret);
}

/* What it is; never an error for a value that was handed out. An integer that is not negative is
 * JOBQ_KIND_UINT. */
static inline int jobq_value_kind(struct jobq_call *call, const struct jobq_value *value)
{
    struct jobq_datum datum;
    const int error = call->ops->read_value(call, value, -1, &datum);
    return error != 0 ? error : datum.kind;
}

static inline int jobq_value_nil(struct jobq_call *call, const struct jobq_value *value)
{
    struct jobq_datum datum;
    return call->ops->read_value(call, value, JOBQ_KIND_NIL, &datum);
}

static inline int jobq_value_bool(struct jobq_call *call, const struct jobq_value *value, int *ret)
{
    struct jobq_datum datum;
    const int error = call->ops->read_value(call, value, JOBQ_KIND_BOOL, &datum);
    if (error == 0)
        *ret = datum.truth;
    return error;
}

/* Any integer that fits. */
static inline int jobq_value_int(struct jobq_call *call, const struct jobq_value *value,
                                 int64_t *ret)
{
    struct jobq_datum datum;
    const int error = call->ops->read_value(call, value, JOBQ_KIND_INT, &datum);
    if (error == 0)
        *ret = datum.of.i;
    return error;
}

static inline int jobq_value_uint(struct jobq_call *call, const struct jobq_value *value,
                                  uint64_t *ret)
{
    struct jobq_datum datum;
    const int error = call->ops->read_value(call, value, JOBQ_KIND_UINT, &datum);
    if (error == 0)
        *ret = datum.of.u;
    return error;
}

/* Also an integer of at most 2^53. */
static inline int jobq_value_double(struct jobq_call *call, const struct jobq_value *value,
                                    double *ret)
{
    struct jobq_datum datum;
    const int error = call->ops->read_value(call, value, JOBQ_KIND_DOUBLE, &datum);
    if (error == 0)
        *ret = datum.of.d;
    return error;
}

/* The bytes as they came: not NUL-terminated, and UTF-8 only if the submitter kept to that. */
static inline int jobq_value_str(struct jobq_call *call, const struct jobq_value *value,
                                 const char **ret, size_t *ret_size)
{
    struct jobq_datum datum;
    const int error = call->ops->read_value(call, value, JOBQ_KIND_STR, &datum);
    if (error == 0) {
        *ret = (const char *)datum.of.data;
        *ret_size = datum.size;
    }
    return error;
}

/* Bytes, or the bytes of a string. */
static inline int jobq_value_bytes(struct jobq_call *call, const struct jobq_value *value,
                                   const void **ret, size_t *ret_size)
{
    struct jobq_datum datum;
    const int error = call->ops->read_value(call, value, JOBQ_KIND_BYTES, &datum);
    if (error == 0) {
        *ret = datum.of.data;
        *ret_size = datum.size;
    }
    return error;
}

/* Arrays and maps are read from front to back; ret->left says how many elements or pairs. */
static inline int jobq_value_array(struct jobq_call *call, const struct jobq_value *value,
                                   struct jobq_cursor *ret)
{
    return call->ops->open_value(call, value, JOBQ_KIND_ARRAY, ret);
}

static inline int jobq_value_map(struct jobq_call *call, const struct jobq_value *value,
                                 struct jobq_cursor *ret)
{
    return call->ops->open_value(call, value, JOBQ_KIND_MAP, ret);
}

/* 1: *ret_value is the next, and *ret_key its key in a map (untouched in an array; NULL: not
 * wanted); 0: the end. */
static inline int jobq_cursor_next(struct jobq_call *call, struct jobq_cursor *cursor,
                                   struct jobq_value *ret_key, struct jobq_value *ret_value)
{
    return call->ops->next_value(call, cursor, ret_key, ret_value);
}

#define JOBQ_ARG_READER_(kind, type)                                                          \
    static inline int jobq_arg_##kind(struct jobq_call *call, int position, const char *name, \
                                      type ret)                                               \
    {                                                                                         \
        struct jobq_value value;                                                              \
        const int error = jobq_arg(call, position, name, &value);                             \
        return error != 0 ? error : jobq_value_##kind(call, &value, ret);                     \
    }
JOBQ_ARG_READER_(bool, int *)
JOBQ_ARG_READER_(int, int64_t *)
JOBQ_ARG_READER_(uint, uint64_t *)
JOBQ_ARG_READER_(double, double *)
JOBQ_ARG_READER_(array, struct jobq_cursor *)
JOBQ_ARG_READER_(map, struct jobq_cursor *)
#undef JOBQ_ARG_READER_

static inline int jobq_arg_str(struct jobq_call *call, int position, const char *name,
                               const char **ret, size_t *ret_size)
{
    struct jobq_value value;
    const int error = jobq_arg(call, position, name, &value);
    return error != 0 ? error : jobq_value_str(call, &value, ret, ret_size);
}

static inline int jobq_arg_bytes(struct jobq_call *call, int position, const char *name,
                                 const void **ret, size_t *ret_size)
{
    struct jobq_value value;
    const int error = jobq_arg(call, position, name, &value);
    return error != 0 ? error : jobq_value_bytes(call, &value, ret, ret_size);
}

/* ---- the result: one msgpack value, or bytes; at most 16 MiB ----
 *
 * A job that says nothing has an empty result. Arrays and maps are opened with their number of
 * elements or pairs, which follow. JOBQ_CALL_EMSGSIZE, JOBQ_CALL_ENOMEM, and a value that is not
 * whole when run returns: the job fails, whatever run returns. The bytes are copied. */

/* Appends raw bytes: a result is either these or a value. */
static inline int jobq_result_write(struct jobq_call *call, const void *data, size_t size)
{
    return call->ops->write_result(call, data, size);
}

static inline int jobq_result_put(struct jobq_call *call, const struct jobq_datum *datum)
{
    return call->ops->put_result(call, datum);
}

static inline int jobq_result_nil(struct jobq_call *call)
{
    struct jobq_datum datum = { JOBQ_KIND_NIL, 0, { 0 }, 0 };
    return call->ops->put_result(call, &datum);
}

static inline int jobq_result_bool(struct jobq_call *call, int truth)
{
    struct jobq_datum datum = { JOBQ_KIND_BOOL, truth, { 0 }, 0 };
    return call->ops->put_result(call, &datum);
}

static inline int jobq_result_int(struct jobq_call *call, int64_t number)
{
    struct jobq_datum datum = { JOBQ_KIND_INT, 0, { 0 }, 0 };
    datum.of.i = number;
    return call->ops->put_result(call, &datum);
}

static inline int jobq_result_uint(struct jobq_call *call, uint64_t number)
{
    struct jobq_datum datum = { JOBQ_KIND_UINT, 0, { 0 }, 0 };
    datum.of.u = number;
    return call->ops->put_result(call, &datum);
}

static inline int jobq_result_double(struct jobq_call *call, double number)
{
    struct jobq_datum datum = { JOBQ_KIND_DOUBLE, 0, { 0 }, 0 };
    datum.of.d = number;
    return call->ops->put_result(call, &datum);
}

static inline int jobq_result_str(struct jobq_call *call, const char *text, size_t size)
{
    struct jobq_datum datum = { JOBQ_KIND_STR, 0, { 0 }, 0 };
    datum.of.data = text;
    datum.size = size;
    return call->ops->put_result(call, &datum);
}

static inline int jobq_result_bytes(struct jobq_call *call, const void *data, size_t size)
{
    struct jobq_datum datum = { JOBQ_KIND_BYTES, 0, { 0 }, 0 };
    datum.of.data = data;
    datum.size = size;
    return call->ops->put_result(call, &datum);
}

static inline int jobq_result_array(struct jobq_call *call, size_t elements)
{
    struct jobq_datum datum = { JOBQ_KIND_ARRAY, 0, { 0 }, 0 };
    datum.size = elements;
    return call->ops->put_result(call, &datum);
}

static inline int jobq_result_map(struct jobq_call *call, size_t pairs)
{
    struct jobq_datum datum = { JOBQ_KIND_MAP, 0, { 0 }, 0 };
    datum.size = pairs;
    return call->ops->put_result(call, &datum);
}

/* ---- errors and log ---- */

/* The job's error, over whatever was told before: `return jobq_fail(...)`. `code` is what
 * `jobq wait` exits with where a process can (1 to 255; 0 counts as 1); the text is cut at 512
 * bytes. Returns JOBQ_RUN_FAILED. */
__attribute__((format(printf, 4, 5))) static inline int
jobq_fail(struct jobq_call *call, int64_t code, int flags, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const int failed = call->ops->tell_error(call, code, flags, format, arguments);
    va_end(arguments);
    return failed;
}

/* A line, cut at 4,096 bytes, in the job's standard error: `jobq logs ID` shows it when the job has
 * ended. Of many lines the first and the last are kept, as the worker's setting output_bytes says.
 */
__attribute__((format(printf, 2, 3))) static inline void jobq_log(struct jobq_call *call,
                                                                  const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    call->ops->add_log(call, format, arguments);
    va_end(arguments);
}

#ifdef __cplusplus
}
#endif

#endif
