/* SPDX-License-Identifier: MIT
 *
 * session.c - finding the broker, the connection to it, and requests over it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/autostart.h"
#include "client/cli/cli.h"
#include "client/cli/stdio.h"
#include "client/url.h"

enum {
    OPEN_MS = 10000,    /* for the broker's WELCOME: longer than its restart takes */
    LOOK_MS = 1000,     /* after this long without it, is there still a broker? */
    REQUEST_MS = 30000, /* for an answer that waits for no job */
    IDS_BYTES_MAX = 64 << 20,
};

/* ---- the connection ---- */

int jq_cli_find_url(struct jq_cli *cli)
{
    const char *url = cli->globals.url;

    if (cli->url[0])
        return 0;
    if (!url)
        url = getenv("JOBQ_URL");
    if (url && *url) {
        if (strlen(url) >= sizeof cli->url)
            return jq_cli_fail(cli, JQ_EINVAL, "the URL is longer than %d bytes", JQ_URL_MAX - 1);
        memcpy(cli->url, url, strlen(url) + 1);
        return 0;
    }
    cli->default_url = true;
    if (jq_default_url(cli->url) != JQ_OK)
        return jq_cli_fail(cli, JQ_EINVAL, "XDG_RUNTIME_DIR is too long for a socket below it");
    return 0;
}

bool jq_cli_may_autostart(const struct jq_cli *cli)
{
    const char *no = getenv("JOBQ_NO_AUTOSTART");

    return !cli->globals.no_autostart &&
           (!no || !*no || strcmp(no, "0") == 0 || strcmp(no, "no") == 0);
}

/* At the default endpoint nobody needs to have started a broker. */
static int ensure_broker(const struct jq_cli *cli)
{
    struct jq_local_broker broker;
    struct jq_detail detail = { "" };
    bool started = false;
    enum jq_err err;

    if (!cli->default_url)
        return 0;
    if (jq_cli_may_autostart(cli))
        err = jq_autostart(cli->url, &broker, &started, &detail);
    else
        err = jq_local_probe(jq_url_ipc_path(cli->url), &broker, &detail);
    if (err == JQ_OK)
        return 0;
    if (detail.text[0])
        return jq_cli_fail(cli, err, "%s", detail.text);
    return jq_cli_fail(cli, err, "no broker at %s (jobq broker start starts one)", cli->url);
}

/* jobq_open would only say that it is no URL. */
static int check_url(const struct jq_cli *cli)
{
    char url[JQ_URL_MAX];
    struct jq_detail detail = { "" };
    bool ipv6;

    const enum jq_err err = jq_url_resolve(cli->url, url, &ipv6, &detail);
    return err == JQ_OK ? 0 : jq_cli_fail(cli, err, "%s", detail.text);
}

/* A broker that is killed as we look for it takes connections for an instant more. So at the
 * default endpoint the search begins again while no WELCOME comes. */
static int open_client(struct jq_cli *cli, struct jobq_options *options, int64_t left)
{
    for (;; left -= options->timeout_ms) {
        const bool last = !cli->default_url || left <= LOOK_MS;
        options->timeout_ms = last ? left : LOOK_MS;
        const int error = jobq_open(options, &cli->client);
        if (error == 0)
            return 0;
        if (error != JOBQ_ETIMEDOUT && error != JOBQ_EUNREACH)
            return jq_cli_fail(cli, error, "%s: %s", cli->url, jobq_strerror(error));
        if (last)
            return jq_cli_fail(cli, JQ_EUNREACH, "no broker answers at %s", cli->url);
        const int status = ensure_broker(cli);
        if (status != 0)
            return status;
    }
}

int jq_cli_connect(struct jq_cli *cli)
{
    struct jobq_options options = JOBQ_OPTIONS_INIT;
    const int64_t timeout_ms = cli->globals.timeout_ms;

    if (cli->client)
        return 0;
    int status = jq_cli_find_url(cli);
    if (status == 0)
        status = check_url(cli);
    if (status == 0)
        status = ensure_broker(cli);
    if (status != 0)
        return status;
    options.url = cli->url;
    options.name = "jobq";
    return open_client(cli, &options,
                       timeout_ms > 0 && timeout_ms < OPEN_MS ? timeout_ms : OPEN_MS);
}

/* ---- requests ---- */

int64_t jq_cli_request_ms(const struct jq_cli *cli)
{
    return cli->globals.timeout_ms >= 0 ? cli->globals.timeout_ms : REQUEST_MS;
}

int jq_cli_flush(struct jq_cli *cli, int64_t put_timeout_ms)
{
    const int64_t given_ms = cli->globals.timeout_ms;

    if (given_ms >= 0 || put_timeout_ms == 0)
        return jobq_flush(cli->client, jq_cli_request_ms(cli));
    for (;;) {
        const int error = jobq_flush(cli->client, REQUEST_MS);
        if (error != JOBQ_ETIMEDOUT)
            return error;
        const int silent = jobq_ping(cli->client, REQUEST_MS, NULL);
        if (silent != 0)
            return silent;
    }
}

int jq_cli_request(struct jq_cli *cli, const struct jq_msg *msg, enum jq_tag expected,
                   struct jq_answer *ret_answer)
{
    const int status = jq_cli_connect(cli);

    if (status != 0)
        return status;
    const int error = jq_request(cli->client, msg, jq_cli_request_ms(cli), ret_answer);
    if (error != 0)
        return jq_cli_fail_call(cli, error, jq_msg_name(msg->tag));
    if (ret_answer->msg.tag == expected)
        return 0;
    jq_answer_fini(ret_answer);
    return jq_cli_fail(cli, JQ_EPROTO, "%s: the broker gave an answer of another kind",
                       jq_msg_name(msg->tag));
}

/* ---- ids ---- */

int jq_cli_newest(struct jq_cli *cli, uint64_t *ret_id)
{
    struct jq_msg msg = { .tag = JQ_MSG_LIST, .u.list = { .limit = 1 } };
    struct jq_answer answer;
    struct jq_job_info info;
    bool found = false, more = true;

    while (!found && more) {
        const int status = jq_cli_request(cli, &msg, JQ_MSG_LISTED, &answer);
        if (status != 0)
            return status;
        struct jq_reader r = jq_records_reader(answer.msg.u.listed.jobs);
        found = jq_job_info_next(&r, &info);
        more = answer.msg.u.listed.more && answer.msg.u.listed.next_before_id;
        msg.u.list.before_id = answer.msg.u.listed.next_before_id;
        jq_answer_fini(&answer);
    }
    if (!found)
        return jq_cli_fail(cli, JQ_ENOENT, "last: there is no job yet");
    *ret_id = info.id;
    return 0;
}

static int read_stdin_ids(struct jq_cli *cli, struct jq_ids *ids, struct jq_detail *detail)
{
    struct jq_buf text = { 0 };
    const int error = jq_read_all(STDIN_FILENO, IDS_BYTES_MAX, &text);
    int status = 0;

    if (error) {
        status = jq_cli_fail(cli, JQ_EIO, "standard input: %s", strerror(error));
    } else {
        const enum jq_err err =
            text.size ? jq_ids_parse_text(ids, (const char *)text.data, text.size, detail) : JQ_OK;
        if (err != JQ_OK)
            status = jq_cli_fail(cli, err, "standard input: %s", detail->text);
    }
    jq_buf_fini(&text);
    return status;
}

static int read_ids(struct jq_cli *cli, const struct jq_words *words, struct jq_ids *ids)
{
    struct jq_detail detail = { "out of memory" };

    for (size_t i = 0; i < words->count; i++) {
        const char *word = words->list[i];
        if (strcmp(word, "-") == 0) {
            const int status = read_stdin_ids(cli, ids, &detail);
            if (status != 0)
                return status;
            continue;
        }
        const enum jq_err err = jq_ids_parse(ids, word, strlen(word), &detail);
        if (err != JQ_OK)
            return jq_cli_fail(cli, err, "%s", detail.text);
    }
    return 0;
}

static int resolve_last(struct jq_cli *cli, struct jq_ids *ids)
{
    uint64_t id = 0;
    const int status = jq_cli_newest(cli, &id);

    for (size_t i = 0; status == 0 && i < ids->count; i++)
        if (ids->list[i] == JQ_ID_LAST)
            ids->list[i] = id;
    return status;
}

int jq_cli_ids(struct jq_cli *cli, const struct jq_words *words, struct jq_ids *ret_ids)
{
    struct jq_ids ids = { 0 };
    int status = read_ids(cli, words, &ids);

    if (status == 0)
        status = jq_cli_connect(cli);
    if (status == 0 && ids.has_last)
        status = resolve_last(cli, &ids);
    if (status == 0 && jq_ids_unique(&ids) != JQ_OK)
        status = jq_cli_fail(cli, JQ_ENOMEM, "%s", jq_err_text(JQ_ENOMEM));
    if (status != 0) {
        jq_ids_fini(&ids);
        return status;
    }
    *ret_ids = ids;
    return 0;
}

int jq_cli_id(struct jq_cli *cli, const struct jq_words *words, uint64_t *ret_id)
{
    struct jq_ids ids;
    int status = jq_cli_ids(cli, words, &ids);

    if (status != 0)
        return status;
    if (ids.count == 1)
        *ret_id = ids.list[0];
    else
        status = jq_cli_fail(cli, JQ_EINVAL, "expected one job, not %zu", ids.count);
    jq_ids_fini(&ids);
    return status;
}
