/* SPDX-License-Identifier: MIT
 *
 * spec.h - what submit and run are told about a job: their flags in common, the environment and the
 * input that the job takes along, its title, its packed command. */
#ifndef JQ_CLI_SPEC_H
#define JQ_CLI_SPEC_H

#include "client/cli/cli.h"
#include "client/cli/handler_job.h"
#include "client/cli/terms.h"
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
    struct jq_handler_flags handler;
    struct jq_terms_flags terms;
};
#define JQ_SPEC_FLAGS_INIT            \
    {                                 \
        .terms = JQ_TERMS_FLAGS_INIT, \
    }

/* What is the same for all jobs of one call. */
struct jq_spec {
    const struct jq_spec_flags *flags;
    struct jq_buf env_text; /* NUL-terminated strings */
    const char **env;       /* NULL-terminated, into env_text */
    char *cwd;              /* absolute */
    struct jq_buf input;
    uint64_t depth;
    struct jq_terms *terms;
};
/* Reads the environment, the current directory and the input. 0 or an exit code. */
int jq_spec_init(struct jq_cli *cli, const struct jq_spec_flags *flags, struct jq_spec *ret_spec);
void jq_spec_fini(struct jq_spec *spec);

/* The job that runs `argv` of `count` words (behind --shell, where given); with --handler they are
 * its last arguments. *ret_job points into
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
