/* SPDX-License-Identifier: MIT
 *
 * alloc.h - the only door to the heap, so that tests can fail the N-th allocation. NULL means out
 * of memory; nothing here aborts. Any thread. */
#ifndef JQ_BASE_ALLOC_H
#define JQ_BASE_ALLOC_H

#include <stddef.h>
#include <stdint.h>

void *jq_alloc(size_t size) __attribute__((malloc));                    /* uninitialised */
void *jq_alloc_zero(size_t count, size_t size) __attribute__((malloc)); /* overflow: NULL */
void *jq_realloc(void *memory, size_t size);
void jq_free(void *memory); /* NULL is fine */
char *jq_strdup(const char *text);

/* Tests: let `countdown` allocations succeed, fail the next one, and all after it if `forever`.
 * A negative countdown turns failing off. Returns how many allocations were made since the last
 * call. */
uint64_t jq_alloc_fail_after(int64_t countdown, int forever);

#endif
