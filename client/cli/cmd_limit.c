/* SPDX-License-Identifier: MIT
 *
 * cmd_limit.c - jobq limit: how many jobs may run at a time under a name, and how many do. */
#include <inttypes.h>
#include <stdio.h>

#include "client/cli/format_json.h"
#include "client/cli/items.h"
#include "client/cli/table.h"
#include "client/cli/text.h"

static bool print_table(const struct jq_cli *cli, struct jq_records limits)
{
    static const struct jq_column columns[] = {
        { "NAME", false }, { "KIND", false },   { "MAX", true },
        { "USED", true },  { "WAITING", true }, { "HOLDER", true },
    };
    struct jq_limit_info limit;
    struct jq_table table;

    jq_table_init(&table, columns, sizeof columns / sizeof *columns);
    for (struct jq_reader r = jq_records_reader(limits); jq_limit_info_next(&r, &limit);) {
        jq_table_text(&table, limit.name);
        jq_text_add(&table.text, "%s", limit.mutex ? "mutex" : "limit");
        jq_table_cell(&table, JQ_PLAIN);
        jq_table_number(&table, (long long)limit.max);
        jq_table_number(&table, (long long)limit.used);
        jq_table_number(&table, (long long)limit.waiting);
        if (limit.holder)
            jq_text_add(&table.text, "%" PRIu64, limit.holder);
        jq_table_cell(&table, JQ_PLAIN);
    }
    const bool fine = jq_table_print(&table, stdout, cli->colours, 0);
    jq_table_fini(&table);
    return fine;
}

static bool print_rows(const struct jq_cli *cli, struct jq_records limits)
{
    struct jq_limit_info limit;
    struct jq_json_list json;

    jq_json_start(&json, stdout, cli->format == JQ_FORMAT_JSONL);
    for (struct jq_reader r = jq_records_reader(limits); jq_limit_info_next(&r, &limit);) {
        if (cli->format == JQ_FORMAT_ID)
            printf("%.*s\n", JQ_VIEW_ARG(limit.name));
        else
            jq_json_limit_info(&json, &limit);
    }
    return cli->format == JQ_FORMAT_ID || jq_json_end(&json);
}

static int run_ls(struct jq_cli *cli, const void *values, const struct jq_words *words)
{
    const struct jq_msg msg = { .tag = JQ_MSG_LIMIT_ASK };
    struct jq_answer answer;

    (void)values;
    (void)words;
    const int status = jq_cli_request(cli, &msg, JQ_MSG_LIMIT_SAID, &answer);
    if (status != 0)
        return status;
    const struct jq_records limits = answer.msg.u.limit_said.limits;
    const bool fine =
        cli->format == JQ_FORMAT_TABLE ? print_table(cli, limits) : print_rows(cli, limits);
    jq_answer_fini(&answer);
    return fine ? 0 : jq_cli_fail(cli, JQ_ENOMEM, "%s", jq_err_text(JQ_ENOMEM));
}

static int set(struct jq_cli *cli, const char *name, uint64_t max)
{
    const struct jq_msg msg = { .tag = JQ_MSG_LIMIT_SET,
                                .u.limit_set = { .name = jq_view_str(name), .max = max } };
    struct jq_answer answer;

    int status = jq_cli_name(cli, "limit", name);
    if (status == 0)
        status = jq_cli_request(cli, &msg, JQ_MSG_LIMIT_SAID, &answer);
    if (status != 0)
        return status;
    jq_answer_fini(&answer);
    return 0;
}

static int run_set(struct jq_cli *cli, const void *values, const struct jq_words *words)
{
    const char *text = words->list[1];
    uint64_t max;

    (void)values;
    if (jq_parse_u64(text, strlen(text), &max) != JQ_OK || max < 1 || max > UINT32_MAX)
        return jq_cli_usage(cli, cli->command, "limit set: '%s' is no number from 1", text);
    return set(cli, words->list[0], max);
}

static int run_rm(struct jq_cli *cli, const void *values, const struct jq_words *words)
{
    (void)values;
    return set(cli, words->list[0], 0);
}

static const struct jq_command ls_verb = {
    .name = "limit ls",
    .synopsis = "",
    .summary = "limits and mutexes, who runs under them and how many wait",
    .notes = "\n"
             "  jobq limit ls\n",
    .has_codes = true,
    .run = run_ls,
};

static const struct jq_command set_verb = {
    .name = "limit set",
    .synopsis = "NAME N",
    .summary = "at most N jobs that name it run at a time",
    .notes = "Whatever the jobs themselves say, at once and for good. What runs goes on.\n"
             "\n"
             "  jobq limit set api 5\n",
    .words_min = 2,
    .words_max = 2,
    .words_name = "a name and a number",
    .no_format = true,
    .has_codes = true,
    .run = run_set,
};

static const struct jq_command rm_verb = {
    .name = "limit rm",
    .synopsis = "NAME",
    .summary = "what jobs say of a limit counts again",
    .notes = "\n"
             "  jobq limit rm api\n",
    .words_min = 1,
    .words_max = 1,
    .words_name = "NAME",
    .no_format = true,
    .has_codes = true,
    .run = run_rm,
};

static const struct jq_command *const verbs[] = { &ls_verb, &set_verb, &rm_verb };

const struct jq_command jq_cmd_limit = {
    .name = "limit",
    .synopsis = "ls | set | rm",
    .summary = "how many jobs may run at a time under a name",
    .notes = "Jobs name limits by submit --limit. Without a verb: ls.\n"
             "\n"
             "  jobq limit set api 5\n",
    .has_codes = true,
    .verbs = verbs,
    .verb_count = sizeof verbs / sizeof *verbs,
};
