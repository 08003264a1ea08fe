/* SPDX-License-Identifier: MIT
 *
 * ids.c - see ids.h. */
#include "client/cli/ids.h"

#include <string.h>

#include "client/cli/options.h"
#include "proto/base/alloc.h"
#include "proto/base/map.h"
#include "proto/base/view.h"

void jq_ids_fini(struct jq_ids *ids)
{
    jq_free(ids->list);
    *ids = (struct jq_ids){ 0 };
}

static enum jq_err reserve(struct jq_ids *ids, size_t more)
{
    size_t capacity = ids->capacity ? ids->capacity : 16;

    while (capacity < ids->count + more)
        capacity *= 2;
    if (capacity == ids->capacity)
        return JQ_OK;
    uint64_t *list = jq_realloc(ids->list, capacity * sizeof *list);
    if (!list)
        return JQ_ENOMEM;
    ids->list = list;
    ids->capacity = capacity;
    return JQ_OK;
}

enum jq_err jq_ids_add(struct jq_ids *ids, uint64_t id)
{
    JQ_TRY(reserve(ids, 1));
    ids->list[ids->count++] = id;
    ids->has_last |= id == JQ_ID_LAST;
    return JQ_OK;
}

static enum jq_err refuse(struct jq_detail *detail, const char *word, size_t size)
{
    char text[64];
    size_t length = 0;

    for (; length < size && length < sizeof text - 1; length++)
        text[length] = word[length] < ' ' || word[length] == 127 ? '?' : word[length];
    text[length] = '\0';
    jq_detail_set(detail, "'%s' names no job: expected a number, a range such as 3-9, or last",
                  text);
    return JQ_EINVAL;
}

static enum jq_err add_range(struct jq_ids *ids, uint64_t first, uint64_t last,
                             struct jq_detail *detail)
{
    if (last - first >= JQ_IDS_MAX || ids->count + (last - first) >= JQ_IDS_MAX) {
        jq_detail_set(detail, "more than %d jobs are named", JQ_IDS_MAX);
        return JQ_EINVAL;
    }
    JQ_TRY(reserve(ids, (size_t)(last - first) + 1));
    for (uint64_t id = first; id <= last; id++)
        ids->list[ids->count++] = id;
    return JQ_OK;
}

/* One of the list `whole`, which is what an error names. */
static enum jq_err parse_one(struct jq_ids *ids, const char *word, size_t size,
                             struct jq_view whole, struct jq_detail *detail)
{
    const char *dash = memchr(word, '-', size);
    const size_t first_size = dash ? (size_t)(dash - word) : size;
    uint64_t first = 0, last = 0;

    if (size == 4 && memcmp(word, "last", 4) == 0) {
        if (ids->count < JQ_IDS_MAX)
            return jq_ids_add(ids, JQ_ID_LAST);
        jq_detail_set(detail, "more than %d jobs are named", JQ_IDS_MAX);
        return JQ_EINVAL;
    }
    if (jq_parse_u64(word, first_size, &first) != JQ_OK)
        return refuse(detail, whole.data, whole.size);
    last = first;
    if (dash && jq_parse_u64(dash + 1, size - first_size - 1, &last) != JQ_OK)
        return refuse(detail, whole.data, whole.size);
    if (first > last) {
        jq_detail_set(detail, "'%.*s': a range starts with its lower end", (int)size, word);
        return JQ_EINVAL;
    }
    if (last == JQ_ID_LAST) /* no job will ever have this one */
        return refuse(detail, whole.data, whole.size);
    return add_range(ids, first, last, detail);
}

enum jq_err jq_ids_parse(struct jq_ids *ids, const char *word, size_t size,
                         struct jq_detail *ret_detail)
{
    for (const char *at = word, *end = word + size;; at++) {
        const char *comma = at < end ? memchr(at, ',', (size_t)(end - at)) : NULL;
        const char *stop = comma ? comma : end;
        JQ_TRY(parse_one(ids, at, (size_t)(stop - at), jq_view(word, size), ret_detail));
        if (!comma)
            return JQ_OK;
        at = comma;
    }
}

enum jq_err jq_ids_parse_text(struct jq_ids *ids, const char *text, size_t size,
                              struct jq_detail *ret_detail)
{
    for (size_t at = 0; at < size;) {
        size_t length = 0;
        while (at + length < size && !strchr(" \t\r\n", text[at + length]))
            length++; /* a NUL ends the word, too: strchr finds it */
        if (length)
            JQ_TRY(jq_ids_parse(ids, text + at, length, ret_detail));
        at += length + 1;
    }
    return JQ_OK;
}

enum jq_err jq_ids_unique(struct jq_ids *ids)
{
    struct jq_map seen = { 0 };
    size_t kept = 0;

    JQ_TRY(jq_map_reserve(&seen, ids->count));
    for (size_t i = 0; i < ids->count; i++) {
        const uint64_t id = ids->list[i];
        if (id != 0 && jq_map_find(&seen, id))
            continue;
        if (id != 0 && jq_map_put(&seen, id, ids->list) != JQ_OK)
            continue; /* cannot be: room was made above */
        ids->list[kept++] = id;
    }
    ids->count = kept;
    jq_map_fini(&seen);
    return JQ_OK;
}
