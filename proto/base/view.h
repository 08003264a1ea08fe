/* SPDX-License-Identifier: MIT
 *
 * view.h - borrowed bytes. A view owns nothing and dies with what it points into. */
#ifndef JQ_BASE_VIEW_H
#define JQ_BASE_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct jq_view {
    const void *data; /* may be NULL when size is 0 */
    size_t size;      /* bytes */
};

static inline struct jq_view jq_view(const void *data, size_t size)
{
    return (struct jq_view){ .data = data, .size = size };
}

static inline struct jq_view jq_view_str(const char *text)
{
    return (struct jq_view){ .data = text, .size = strlen(text) };
}

static inline bool jq_view_equal(struct jq_view a, struct jq_view b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* For printf's "%.*s". */
#define JQ_VIEW_ARG(view) (int)(view).size, (const char *)((view).data ? (view).data : "")

#endif
