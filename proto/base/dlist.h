/* SPDX-License-Identifier: MIT
 *
 * dlist.h - a doubly linked list threaded through its elements. The list owns nothing; an element
 * is in as many lists as it has links. A link that is in no list points nowhere. */
#ifndef JQ_BASE_DLIST_H
#define JQ_BASE_DLIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct jq_dlink {
    struct jq_dlink *prev, *next; /* NULL: in no list */
};

/* A ring with a head that is no element. */
struct jq_dlist {
    struct jq_dlink head;
};

/* The element of `type` whose member `member` is *link. */
#define JQ_ELEMENT(link, type, member) ((type *)((uintptr_t)(link)-offsetof(type, member)))

static inline void jq_dlist_init(struct jq_dlist *list)
{
    list->head.prev = list->head.next = &list->head;
}

static inline bool jq_dlist_empty(const struct jq_dlist *list)
{
    return list->head.next == &list->head;
}

static inline bool jq_dlink_used(const struct jq_dlink *link)
{
    return link->next != NULL;
}

static inline void jq_dlist_put_before(struct jq_dlink *place, struct jq_dlink *link)
{
    link->prev = place->prev;
    link->next = place;
    place->prev->next = link;
    place->prev = link;
}

static inline void jq_dlist_append(struct jq_dlist *list, struct jq_dlink *link)
{
    jq_dlist_put_before(&list->head, link);
}

/* Takes the link out of the list that it is in, if any. */
static inline void jq_dlist_remove(struct jq_dlink *link)
{
    if (!link->next)
        return;
    link->prev->next = link->next;
    link->next->prev = link->prev;
    link->prev = link->next = NULL;
}

/* The neighbours of a link, or with NULL the ends of the list; NULL past the end. */
static inline struct jq_dlink *jq_dlist_next(const struct jq_dlist *list,
                                             const struct jq_dlink *link)
{
    struct jq_dlink *next = link ? link->next : list->head.next;
    return next == &list->head ? NULL : next;
}

static inline struct jq_dlink *jq_dlist_prev(const struct jq_dlist *list,
                                             const struct jq_dlink *link)
{
    struct jq_dlink *prev = link ? link->prev : list->head.prev;
    return prev == &list->head ? NULL : prev;
}

static inline struct jq_dlink *jq_dlist_first(const struct jq_dlist *list)
{
    return jq_dlist_next(list, NULL);
}

static inline struct jq_dlink *jq_dlist_last(const struct jq_dlist *list)
{
    return jq_dlist_prev(list, NULL);
}

#endif
