/* SPDX-License-Identifier: MIT
 *
 * queue_conf.c - see queue_conf.h. */
#include "client/cli/queue_conf.h"

#include <inttypes.h>
#include <string.h>

#include "client/cli/options.h"
#include "client/cli/text.h"

/* ---- from flags ---- */

/* The index of `word` in "a|b|c", and the word itself there; -1: it is none of them. */
static int index_of(const char *word, const char *words)
{
    const size_t length = strlen(word);
    int index = 0;

    for (const char *at = words;; at++, index++) {
        const size_t size = strcspn(at, "|");
        if (size == length && memcmp(at, word, size) == 0)
            return index;
        at += size;
        if (!*at)
            return -1;
    }
}

static enum jq_err check_word(const char *word, const char *words, const char *name,
                              struct jq_detail *detail)
{
    if (index_of(word, words) >= 0)
        return JQ_OK;
    jq_detail_set(detail, "--%s: '%.40s' is none of %s", name, word, words);
    return JQ_EINVAL;
}

enum jq_err jq_queue_flags_read(const struct jq_queue_flags *flags, struct jq_queue_conf *ret_conf,
                                uint64_t *ret_fields, struct jq_detail *ret_detail)
{
    struct jq_queue_conf conf = { .order = jq_view_str("fifo") };
    uint64_t fields = 0;

#define TEXT(member, name, FIELD, words, help)                      \
    if (flags->member) {                                            \
        JQ_TRY(check_word(flags->member, words, name, ret_detail)); \
        conf.member = jq_view_str(flags->member);                   \
        fields |= JQ_QUEUE_##FIELD;                                 \
    }
#define WORD(member, name, FIELD, words, help)                      \
    if (flags->member) {                                            \
        JQ_TRY(check_word(flags->member, words, name, ret_detail)); \
        conf.member = (uint64_t)index_of(flags->member, words);     \
        fields |= JQ_QUEUE_##FIELD;                                 \
    }
#define NUMBER(member, name, FIELD, kind, max, plus, zero, value, help) \
    if (flags->member >= 0) {                                           \
        conf.member = (uint64_t)flags->member + (plus);                 \
        fields |= JQ_QUEUE_##FIELD;                                     \
    }
#include "client/cli/queue_settings.def"
    *ret_conf = conf;
    *ret_fields = fields;
    return JQ_OK;
}

/* ---- to people ---- */

static void line(struct jq_buf *out, const char *name)
{
    jq_text_add(out, "%-12s ", name);
}

static void describe_number(struct jq_buf *out, const char *name, enum jq_flag_kind kind,
                            uint64_t value, uint64_t plus, const char *zero)
{
    line(out, name);
    if (value <= plus)
        jq_text_add(out, "%s", zero);
    else if (kind == JQ_FLAG_DURATION)
        jq_text_duration(out, (int64_t)value);
    else if (kind == JQ_FLAG_SIZE)
        jq_text_size(out, value);
    else
        jq_text_add(out, "%" PRIu64, value - plus);
    jq_text_add(out, "\n");
}

static void describe_word(struct jq_buf *out, uint64_t index, const char *words)
{
    for (uint64_t i = 0; i < index && strchr(words, '|'); i++)
        words = strchr(words, '|') + 1;
    jq_text_add(out, "%.*s", (int)strcspn(words, "|"), words);
}

void jq_queue_conf_describe(struct jq_buf *out, const struct jq_queue_conf *conf)
{
#define TEXT(member, name, FIELD, words, help) \
    line(out, name);                           \
    jq_text_clean(out, conf->member);          \
    jq_text_add(out, "\n");
#define WORD(member, name, FIELD, words, help) \
    line(out, name);                           \
    describe_word(out, conf->member, words);   \
    jq_text_add(out, "\n");
#define NUMBER(member, name, FIELD, kind, max, plus, zero, value, help) \
    describe_number(out, name, kind, conf->member, plus, zero);
#include "client/cli/queue_settings.def"
}

void jq_queue_state(struct jq_buf *out, const struct jq_queue_info *info)
{
    jq_text_add(out, "%s%s%s", info->closed ? "closed" : "",
                info->closed && info->paused ? ", " : "",
                info->paused   ? "paused"
                : info->closed ? ""
                               : "open");
    if (info->purging)
        jq_text_add(out, ", %" PRIu64 " to be purged", info->purging);
}

void jq_queue_describe(struct jq_buf *out, const struct jq_queue_info *info)
{
    const struct {
        const char *name;
        uint64_t value;
    } counters[] = {
        { "ready", info->ready },         { "on disk alone", info->spilled },
        { "delayed", info->delayed },     { "blocked", info->blocked },
        { "running", info->running },     { "unfinished", info->unfinished },
        { "getters", info->getters },     { "putters", info->putters },
        { "succeeded", info->succeeded }, { "failed", info->failed },
        { "cancelled", info->cancelled }, { "expired", info->expired },
        { "skipped", info->skipped },     { "kept", info->kept },
    };

    line(out, "queue");
    jq_text_clean(out, info->name);
    jq_text_add(out, "\n");
    line(out, "state");
    jq_queue_state(out, info);
    jq_text_add(out, "\n");
    for (size_t i = 0; i < sizeof counters / sizeof *counters; i++) {
        line(out, counters[i].name);
        jq_text_add(out, "%" PRIu64 "\n", counters[i].value);
    }
    line(out, "kept bytes");
    jq_text_size(out, info->kept_bytes);
    jq_text_add(out, "\n");
}
