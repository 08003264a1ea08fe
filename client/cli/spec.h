/* SPDX-License-Identifier: MIT
 *
 * spec.h - what submit and run are told about a job: their flags in common, the environment and the
 * input that the job takes along, its title, its packed command. */
#ifndef JQ_CLI_SPEC_H
#define JQ_CLI_SPEC_H

#include "client/cli/cli.h"
#include "proto/base/buf.h"

struct jq_spec_flags {
    const char *queue;
    int64_t priority;
    const char *cwd;
    struct jq_words env; /* NAME=value, or NAME: as it is here */
    bool env_all;
    bool clear_env;
    bool is_stdin;
    const char *input; /* file */
    const char *title;
    const char *key;
    bool strict;
    bool tie;
    bool discard;
    int64_t job_timeout_ms; /* 0: none */
    int64_t kill_after_ms;
    bool merge;
    int64_t output_bytes;
    const char *shell;
};

/* Rows for the flag table of a command whose values hold `struct jq_spec_flags` in member `m`. */
#define JQ_SPEC_FLAG_ROWS(type, m)                                                                     \
    { "queue", 'Q', JQ_FLAG_STRING, offsetof(type, m.queue), 0, 0, "NAME", "queue; default" },         \
        { "priority", 'p',       JQ_FLAG_INT, offsetof(type, m.priority),                              \
          INT32_MIN,  INT32_MAX, "N",         "lower runs first, in a queue of that order; 0" },       \
        { "cwd", 'C', JQ_FLAG_STRING, offsetof(type, m.cwd),                                           \
          0,     0,   "DIR",          "directory to run in; the current one" },                        \
        { "env", 'e', JQ_FLAG_LIST, offsetof(type, m.env),                                             \
          0,     0,   "NAME[=V]",   "a variable for the job, as it is here or set; may be repeated" }, \
        { "env-all", 0, JQ_FLAG_BOOL, offsetof(type, m.env_all),                                       \
          0,         0, NULL,         "the whole environment, secrets and all" },                      \
        { "clear-env", 0, JQ_FLAG_BOOL, offsetof(type, m.clear_env),                                   \
          0,           0, NULL,         "nothing but what --env says" },                               \
        { "stdin", 'i', JQ_FLAG_BOOL, offsetof(type, m.is_stdin),                                      \
          0,       0,   NULL,         "read standard input to its end and give it to the job" },       \
        { "input", 0, JQ_FLAG_STRING, offsetof(type, m.input), 0, 0, "FILE", "the same from a file" }, \
        { "title", 0, JQ_FLAG_STRING, offsetof(type, m.title),                                         \
          0,       0, "TEXT",         "what listings show; the command" },                             \
        { "id", 0, JQ_FLAG_STRING, offsetof(type, m.key),                                              \
          0,    0, "KEY",          "at most one job ever has this key: again, it is the older job" },  \
        { "strict", 0, JQ_FLAG_BOOL, offsetof(type, m.strict),                                         \
          0,        0, NULL,         "with --id: an older job is an error" },                          \
        { "job-timeout",                                                                               \
          0,                                                                                           \
          JQ_FLAG_DURATION,                                                                            \
          offsetof(type, m.job_timeout_ms),                                                            \
          1,                                                                                           \
          INT64_MAX,                                                                                   \
          "TIME",                                                                                      \
          "end the job after this long, by TERM" },                                                    \
        { "kill-after",                                                                                \
          0,                                                                                           \
          JQ_FLAG_DURATION,                                                                            \
          offsetof(type, m.kill_after_ms),                                                             \
          1,                                                                                           \
          INT64_MAX,                                                                                   \
          "TIME",                                                                                      \
          "between TERM and KILL; the worker's setting" },                                             \
        { "merge", 0, JQ_FLAG_BOOL, offsetof(type, m.merge),                                           \
          0,       0, NULL,         "standard error goes where standard output goes" },                \
        { "output-bytes",                                                                              \
          0,                                                                                           \
          JQ_FLAG_SIZE,                                                                                \
          offsetof(type, m.output_bytes),                                                              \
          1,                                                                                           \
          INT64_MAX,                                                                                   \
          "SIZE",                                                                                      \
          "kept of each stream, head and tail; the worker's setting" },                                \
    {                                                                                                  \
        "shell", 's', JQ_FLAG_STRING, offsetof(type, m.shell), 0, 0, "TEXT",                           \
            "run TEXT by /bin/sh -c; words that follow are $1, $2 ..."                                 \
    }

/* What is the same for all jobs of one call. */
struct jq_spec {
    const struct jq_spec_flags *flags;
    struct jq_buf env_text; /* NUL-terminated strings */
    const char **env;       /* NULL-terminated, into env_text */
    char *cwd;              /* absolute */
    struct jq_buf input;
};
/* Reads the environment, the current directory and the input. 0 or an exit code. */
int jq_spec_init(struct jq_cli *cli, const struct jq_spec_flags *flags, struct jq_spec *ret_spec);
void jq_spec_fini(struct jq_spec *spec);

/* The job that runs `argv` of `count` words (behind --shell, where given). *ret_job points into
 * ret_packed, which is its owner. */
struct jq_packed {
    void *payload;
    struct jq_buf title; /* NUL-terminated */
};
int jq_spec_pack(struct jq_cli *cli, const struct jq_spec *spec, char *const *argv, size_t count,
                 struct jq_packed *ret_packed, struct jobq_job *ret_job);
void jq_packed_fini(struct jq_packed *packed);

/* Pure: adds to `out`, NUL-terminated each, what a job gets of `environment`. EINVAL with detail.
 */
JQ_MUST_USE enum jq_err jq_spec_environment(const struct jq_spec_flags *flags,
                                            char *const *environment, struct jq_buf *out,
                                            size_t *ret_count, struct jq_detail *ret_detail);

#endif
