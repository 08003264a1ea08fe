/* SPDX-License-Identifier: MIT
 *
 * fork_mark.c - a page with MADV_WIPEONFORK. */
#include "client/fork_mark.h"

#include <sys/mman.h>

void jq_fork_mark_init(struct jq_fork_mark *mark)
{
    const size_t size = (size_t)sysconf(_SC_PAGESIZE);

    *mark = (struct jq_fork_mark){ .size = size, .pid = getpid() };
    unsigned char *page =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return;
    if (madvise(page, size, MADV_WIPEONFORK) != 0) {
        munmap(page, size);
        return;
    }
    *page = 1;
    mark->page = page;
}

void jq_fork_mark_fini(struct jq_fork_mark *mark)
{
    if (mark->page)
        munmap((void *)(size_t)mark->page, mark->size);
    mark->page = NULL;
}
