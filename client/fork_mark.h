/* SPDX-License-Identifier: MIT
 *
 * fork_mark.h - are we still the process that opened this? A page that the kernel empties in the
 * child of a fork answers with one load, where getpid() costs a system call for every job. */
#ifndef JQ_CLIENT_FORK_MARK_H
#define JQ_CLIENT_FORK_MARK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <unistd.h>

struct jq_fork_mark {
    volatile unsigned char *page; /* NULL: the kernel knows no such page; pid it is */
    size_t size;
    pid_t pid;
};

void jq_fork_mark_init(struct jq_fork_mark *mark);
void jq_fork_mark_fini(struct jq_fork_mark *mark);

static inline bool jq_fork_mark_is_child(const struct jq_fork_mark *mark)
{
    return mark->page ? *mark->page == 0 : getpid() != mark->pid;
}

#endif
