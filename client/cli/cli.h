/* SPDX-License-Identifier: MIT
 *
 * cli.h - one call of jobq: what was asked for, the connection, and how things are said. The
 * commands themselves are in cmd_*.c, each a struct jq_command, listed in commands.def.
 *
 * Functions that return int here return an exit code: 0, or what jobq is to exit with after they
 * have said on standard error what is wrong. Main thread, but for what stream.h says. */
#ifndef JQ_CLI_CLI_H
#define JQ_CLI_CLI_H

#include <stdbool.h>
#include <stdint.h>

#include "client/cli/exit_code.h"
#include "client/cli/ids.h"
#include "client/cli/options.h"
#include "client/request.h"
#include "proto/endpoint.h"

enum jq_format { JQ_FORMAT_TABLE, JQ_FORMAT_JSON, JQ_FORMAT_JSONL, JQ_FORMAT_ID };

struct jq_globals {
    const char *url;    /* NULL: JOBQ_URL, else the default endpoint */
    const char *output; /* of -o; NULL: table */
    int64_t timeout_ms; /* -1: not given */
    bool no_autostart;
    bool quiet;
    bool help;
    bool version;
};

struct jq_command;

struct jq_cli {
    struct jq_globals globals;
    const struct jq_command *command; /* that runs, or NULL */
    enum jq_format format;
    struct jobq_client *client; /* NULL until jq_cli_connect */
    char url[JQ_URL_MAX];       /* the broker's, once known */
    bool default_url;           /* nobody named one */
    struct jq_keeper *keeper;   /* while a command waits for long; or NULL */
    bool is_tty;                /* standard output is one */
    bool colours;
};

struct jq_command {
    const char *name;     /* of a verb with its command's: "queue create" */
    const char *synopsis; /* after the name: "[flags] ID..." */
    const char *summary;  /* half a sentence */
    const char *notes;    /* lines for its --help, or NULL */
    const struct jq_flag *flags;
    size_t flag_count;
    const void *defaults; /* of the values of its flags */
    size_t values_size;
    enum jq_word_rule rule;
    size_t words_min, words_max;
    const char *words_name; /* "ID" */
    bool no_format;         /* -o makes no sense here */
    bool has_codes;         /* no job's code is passed on: errors have codes of their own */
    const struct jq_command *const
        *verbs; /* instead of all from flags on; "ls" where none is said */
    size_t verb_count;
    int (*run)(struct jq_cli *cli, const void *values, const struct jq_words *words);
};
#define COMMAND(name) extern const struct jq_command jq_cmd_##name;
#include "client/cli/commands.def"

#define JQ_FLAG_COUNT(list) (sizeof(list) / sizeof((list)[0]))

const struct jq_command *jq_command_find(const char *name); /* NULL: none */
/* Of a command that has verbs; NULL: none is called so. */
const struct jq_command *jq_verb_find(const struct jq_command *command, const char *verb);
const char *jq_command_nearest(const char *name);       /* NULL: none is near */
void jq_command_help(const struct jq_command *command); /* all of jobq for NULL; to stdout */

/* ---- saying things; errors are JSON objects with -o json and jsonl ---- */

/* Prints "jobq: text" and returns the command's exit code for `error`, a JOBQ_E... number or 0:
 * JQ_EXIT_FAILED, or with has_codes that of jq_exit_of_error. */
int jq_cli_fail(const struct jq_cli *cli, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* As jq_cli_fail, and hints at --help. */
int jq_cli_usage(const struct jq_cli *cli, const struct jq_command *command, const char *format,
                 ...) __attribute__((format(printf, 3, 4)));
/* "jobq: what: the text of the last failed call". */
int jq_cli_fail_call(const struct jq_cli *cli, int error, const char *what);
int jq_cli_fail_job(const struct jq_cli *cli, int error,
                    uint64_t id); /* the broker's, of one job */
/* For people only: not with -q. */
void jq_cli_notice(const struct jq_cli *cli, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* ---- talking to the broker ---- */

/* Fills url and default_url. */
int jq_cli_find_url(struct jq_cli *cli);
bool jq_cli_may_autostart(const struct jq_cli *cli);
/* Opens the connection, and starts a broker where that is allowed and needed. Again: nothing. */
int jq_cli_connect(struct jq_cli *cli);
/* How long a request may take that waits for no job: --timeout, or a default. */
int64_t jq_cli_request_ms(const struct jq_cli *cli);
/* One request and its one answer, of tag `expected`; the caller frees it by jq_answer_fini. */
int jq_cli_request(struct jq_cli *cli, const struct jq_msg *msg, enum jq_tag expected,
                   struct jq_answer *ret_answer);

/* jobq_flush of jobs that a full queue may keep waiting so long; meanwhile the broker must answer.
 * A JOBQ_E... number. */
int jq_cli_flush(struct jq_cli *cli, int64_t put_timeout_ms);

/* The job that was submitted last. Connects. */
int jq_cli_newest(struct jq_cli *cli, uint64_t *ret_id);
/* Reads the jobs that `words` name: "-" is read from standard input, "last" is asked for. Connects.
 * Each id once. */
int jq_cli_ids(struct jq_cli *cli, const struct jq_words *words, struct jq_ids *ret_ids);
/* Exactly one. */
int jq_cli_id(struct jq_cli *cli, const struct jq_words *words, uint64_t *ret_id);

#endif
