/* SPDX-License-Identifier: MIT
 *
 * test_base.c - the leaf helpers: buffer, heap, map, random numbers, checksum. Each is held against
 * a model too simple to be wrong, and run out of memory at every allocation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/alloc.h"
#include "proto/base/buf.h"
#include "proto/base/crc32c.h"
#include "proto/base/heap.h"
#include "proto/base/idmap.h"
#include "proto/base/map.h"
#include "proto/base/rng.h"

/* ---- buf ---- */

static void a_buffer_keeps_what_is_appended(void **state)
{
    (void)state;
    struct jq_buf buf = { 0 };
    for (unsigned i = 0; i < 5000; i++) {
        const uint8_t byte = (uint8_t)i;
        jq_buf_append(&buf, &byte, 1);
    }
    assert_true(jq_buf_ok(&buf));
    assert_int_equal(buf.size, 5000);
    for (unsigned i = 0; i < 5000; i++)
        assert_int_equal(buf.data[i], (uint8_t)i);
    size_t size = 0;
    uint8_t *data = jq_buf_take(&buf, &size);
    assert_int_equal(size, 5000);
    assert_null(buf.data);
    assert_null(jq_buf_take(&buf, &size));
    assert_int_equal(size, 0);
    jq_free(data);
}

static void a_broken_buffer_stays_broken_until_it_is_cleared(void **state)
{
    (void)state;
    struct jq_buf buf = { 0 };
    jq_buf_append(&buf, "abc", 3);
    (void)jq_alloc_fail_after(0, 0);
    assert_null(jq_buf_extend(&buf, 4096));
    (void)jq_alloc_fail_after(-1, 0);
    assert_false(jq_buf_ok(&buf));
    jq_buf_append(&buf, "d", 1);
    assert_int_equal(buf.size, 3);
    jq_buf_clear(&buf);
    assert_true(jq_buf_ok(&buf));
    jq_buf_append(&buf, "d", 1);
    assert_int_equal(buf.size, 1);
    jq_buf_fini(&buf);
}

static void room_that_no_machine_has_is_refused(void **state)
{
    (void)state;
    struct jq_buf buf = { 0 };
    struct jq_heap heap;
    jq_buf_append(&buf, "abc", 3);
    assert_int_equal(jq_buf_reserve(&buf, SIZE_MAX), JQ_ENOMEM);
    assert_int_equal(jq_buf_reserve(&buf, SIZE_MAX / 2), JQ_ENOMEM);
    assert_int_equal(buf.size, 3);
    assert_true(jq_buf_ok(&buf));
    jq_heap_init(&heap, NULL);
    assert_int_equal(jq_heap_reserve(&heap, SIZE_MAX / 4), JQ_ENOMEM);
    jq_buf_fini(&buf);
    jq_heap_fini(&heap);
}

/* ---- heap ---- */

enum { ITEMS = 400 };

struct item {
    struct jq_heap_node node;
    uint64_t key;
    unsigned number; /* breaks ties */
};

static struct item *item_of(const struct jq_heap_node *node)
{
    return (struct item *)(uintptr_t)((const char *)node - offsetof(struct item, node));
}

static bool before(const struct jq_heap_node *a, const struct jq_heap_node *b)
{
    const struct item *x = item_of(a), *y = item_of(b);
    return x->key != y->key ? x->key < y->key : x->number < y->number;
}

static struct item *smallest(struct item *items)
{
    struct item *best = NULL;
    for (size_t i = 0; i < ITEMS; i++)
        if (jq_heap_holds(&items[i].node) && (!best || before(&items[i].node, &best->node)))
            best = &items[i];
    return best;
}

static void a_heap_agrees_with_a_search_through_all(void **state)
{
    (void)state;
    static struct item items[ITEMS];
    struct jq_heap heap;
    struct jq_rng rng;
    size_t held = 0;

    jq_rng_init(&rng, 6);
    jq_heap_init(&heap, before);
    for (unsigned i = 0; i < ITEMS; i++)
        items[i] = (struct item){ .number = i };
    for (int step = 0; step < 20000; step++) {
        struct item *item = &items[jq_rng_below(&rng, ITEMS)];
        const uint64_t key = jq_rng_below(&rng, 50);
        if (!jq_heap_holds(&item->node)) {
            item->key = key;
            assert_int_equal(jq_heap_put(&heap, &item->node), JQ_OK);
            held++;
        } else if (jq_rng_below(&rng, 2)) {
            item->key = key;
            jq_heap_moved(&heap, &item->node);
        } else {
            jq_heap_remove(&heap, &item->node);
            held--;
        }
        assert_int_equal(heap.count, held);
        if (step % 16 == 0) {
            jq_heap_check(&heap);
            struct item *first = smallest(items);
            assert_ptr_equal(jq_heap_first(&heap), first ? &first->node : NULL);
        }
    }
    jq_heap_fini(&heap);
}

static void a_heap_without_memory_has_not_changed(void **state)
{
    (void)state;
    struct jq_heap heap;
    struct item a = { .key = 1 };
    jq_heap_init(&heap, before);
    (void)jq_alloc_fail_after(0, 0);
    assert_int_equal(jq_heap_put(&heap, &a.node), JQ_ENOMEM);
    (void)jq_alloc_fail_after(-1, 0);
    assert_false(jq_heap_holds(&a.node));
    assert_null(jq_heap_first(&heap));
    assert_int_equal(jq_heap_reserve(&heap, 3), JQ_OK);
    (void)jq_alloc_fail_after(0, 1);
    assert_int_equal(jq_heap_put(&heap, &a.node), JQ_OK); /* reserved: cannot fail */
    (void)jq_alloc_fail_after(-1, 0);
    jq_heap_fini(&heap);
}

/* ---- map ---- */

enum { KEYS = 700 };

/* Near and far keys, so that runs of slots grow, wrap around and are closed again. */
static uint64_t key_of(size_t i)
{
    return i % 3 == 0 ? i + 1 : i % 3 == 1 ? (uint64_t)i << 40 : UINT64_MAX - i;
}

static void a_map_agrees_with_an_array(void **state)
{
    (void)state;
    static int values[KEYS];
    static bool present[KEYS];
    struct jq_map map = { 0 };
    struct jq_rng rng;
    size_t count = 0;

    jq_rng_init(&rng, 7);
    for (int step = 0; step < 60000; step++) {
        const size_t i = (size_t)jq_rng_below(&rng, KEYS);
        assert_ptr_equal(jq_map_find(&map, key_of(i)), present[i] ? &values[i] : NULL);
        if (present[i]) {
            assert_ptr_equal(jq_map_remove(&map, key_of(i)), &values[i]);
            count--;
        } else {
            assert_int_equal(jq_map_put(&map, key_of(i), &values[i]), JQ_OK);
            count++;
        }
        present[i] = !present[i];
        assert_int_equal(map.count, count);
    }
    assert_null(jq_map_find(&map, 0));
    assert_null(jq_map_remove(&map, UINT64_C(123456789)));
    size_t cursor = 0, seen = 0;
    for (int *value; (value = jq_map_next(&map, &cursor));) {
        assert_true(present[value - values]);
        seen++;
    }
    assert_int_equal(seen, count);
    jq_map_fini(&map);
}

/* Even ones are the large ids: walked by ascending id, and back. */
static void check_idmap_walk(const struct jq_idmap *map, const int *values, const bool *present,
                             size_t ids)
{
    size_t order[1000];
    size_t count = 0, seen = 0;

    for (size_t i = 1; i < ids; i += 2)
        if (present[i])
            order[count++] = i;
    for (size_t i = ids; i > 0; i -= 2)
        if (present[i - 2])
            order[count++] = i - 2;
    for (int *value = jq_idmap_first(map); value; seen++) {
        assert_ptr_equal(value, &values[order[seen]]);
        const size_t i = order[seen];
        value = jq_idmap_next(map, i % 2 ? i : UINT64_MAX - i);
    }
    assert_int_equal(seen, count);
    for (int *value = jq_idmap_final(map); value;) {
        assert_ptr_equal(value, &values[order[--seen]]);
        const size_t i = order[seen];
        value = jq_idmap_prev(map, i % 2 ? i : UINT64_MAX - i);
    }
    assert_int_equal(seen, 0);
}

static void an_idmap_agrees_with_an_array(void **state)
{
    (void)state;
    enum { IDS = 1000 };
    static int values[IDS];
    static bool present[IDS];
    struct jq_idmap map = { 0 };
    struct jq_rng rng;
    size_t count = 0;

    jq_rng_init(&rng, 3);
    for (int step = 0; step < 20000; step++) {
        const size_t i = jq_rng_below(&rng, IDS);
        const uint64_t id = i % 2 ? i : UINT64_MAX - i; /* both ends of the numbers */
        assert_ptr_equal(jq_idmap_find(&map, id), present[i] ? &values[i] : NULL);
        if (present[i])
            assert_ptr_equal(jq_idmap_remove(&map, id), &values[i]);
        else
            assert_int_equal(jq_idmap_put(&map, id, &values[i]), JQ_OK);
        present[i] = !present[i];
        count += present[i] ? 1 : (size_t)-1;
        assert_int_equal(map.count, count);
        if (step % 64 == 0)
            check_idmap_walk(&map, values, present, IDS);
    }
    assert_null(jq_idmap_remove(&map, IDS + 7));
    jq_idmap_fini(&map);
}

static void an_idset_finds_the_nearest_below(void **state)
{
    (void)state;
    enum { IDS = 600 };
    static uint64_t ids[IDS];
    static bool present[IDS];
    struct jq_idset set = { 0 };
    struct jq_rng rng;

    jq_rng_init(&rng, 5);
    for (size_t i = 0; i < IDS; i++) /* near, further, anywhere; ascending */
        ids[i] =
            i < 200 ? i : ids[i - 1] + 1 + jq_rng_below(&rng, i < 400 ? 5000 : UINT64_C(1) << 54);
    for (int step = 0; step < 20000; step++) {
        const size_t i = jq_rng_below(&rng, IDS);
        if (present[i])
            jq_idset_remove(&set, ids[i]);
        else
            assert_int_equal(jq_idset_add(&set, ids[i]), JQ_OK);
        present[i] = !present[i];
        const size_t from = jq_rng_below(&rng, IDS);
        size_t expected = from;
        while (expected > 0 && !present[expected - 1])
            expected--;
        uint64_t found = 0;
        assert_int_equal(jq_idset_below(&set, ids[from], &found), expected > 0);
        assert_int_equal(found, expected > 0 ? ids[expected - 1] : 0);
    }
    jq_idset_fini(&set);
}

static void an_idmap_finds_the_nearest_below_in_bounded_steps(void **state)
{
    (void)state;
    static const uint64_t ids[] = { 0, 3, 64, 65, 1000, 1023, 1024, 70000 };
    struct jq_idmap map = { 0 };
    uint64_t from;
    int value;

    assert_null(jq_idmap_below(&map, UINT64_MAX, 1, &from));
    assert_int_equal(from, 0);
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(jq_idmap_put(&map, ids[i], &value + i), JQ_OK);
    for (uint64_t id = 0; id < 70002; id += id < 1100 || id > 69990 ? 1 : 50) {
        const void *expected = NULL;
        for (size_t i = 0; i < 8 && ids[i] < id; i++)
            expected = &value + i;
        assert_ptr_equal(jq_idmap_below(&map, id, UINT64_MAX, &from), expected);
    }
    assert_null(jq_idmap_below(&map, 70000, 3, &from)); /* nothing near */
    assert_true(from < 70000 - 2 * 64 && from >= 70000 - 3 * 64);
    jq_idmap_fini(&map);
}

static void an_idmap_takes_what_was_reserved_without_memory(void **state)
{
    (void)state;
    struct jq_idmap map = { 0 };
    int value = 0;

    assert_int_equal(jq_idmap_reserve(&map, 1000), JQ_OK);
    jq_alloc_fail_after(0, 1);
    for (uint64_t id = 63; id < 1063; id++)
        assert_int_equal(jq_idmap_put(&map, id, &value), JQ_OK);
    enum jq_err err = JQ_OK;
    for (uint64_t id = 1063; err == JQ_OK; id++)
        err = jq_idmap_put(&map, id, &value);
    jq_alloc_fail_after(-1, 0);
    assert_int_equal(err, JQ_ENOMEM);
    jq_idmap_fini(&map);
}

static void a_map_without_memory_has_not_changed(void **state)
{
    (void)state;
    struct jq_map map = { 0 };
    int value = 0;
    uint64_t key = 1;
    while (map.capacity != 16 || map.count < 12) /* full at three quarters */
        assert_int_equal(jq_map_put(&map, key++, &value), JQ_OK);
    (void)jq_alloc_fail_after(0, 0);
    assert_int_equal(jq_map_put(&map, key, &value), JQ_ENOMEM);
    (void)jq_alloc_fail_after(-1, 0);
    assert_int_equal(map.count, 12);
    assert_null(jq_map_find(&map, key));
    for (uint64_t k = 1; k < key; k++)
        assert_ptr_equal(jq_map_find(&map, k), &value);
    assert_int_equal(jq_map_reserve(&map, 100), JQ_OK);
    (void)jq_alloc_fail_after(0, 1);
    for (int i = 0; i < 100; i++)
        assert_int_equal(jq_map_put(&map, key++, &value), JQ_OK); /* reserved */
    (void)jq_alloc_fail_after(-1, 0);
    jq_map_fini(&map);
}

/* ---- rng, crc32c ---- */

static void the_same_seed_gives_the_same_numbers(void **state)
{
    (void)state;
    struct jq_rng a, b, c;
    jq_rng_init(&a, 42);
    jq_rng_init(&b, 42);
    jq_rng_init(&c, 43);
    bool differs = false;
    for (int i = 0; i < 1000; i++) {
        const uint64_t value = jq_rng_next(&a);
        assert_true(value == jq_rng_next(&b));
        differs = differs || value != jq_rng_next(&c);
    }
    assert_true(differs);
}

static void random_numbers_stay_below_their_bound_and_reach_it(void **state)
{
    (void)state;
    struct jq_rng rng;
    unsigned seen[7] = { 0 };
    jq_rng_init(&rng, 8);
    for (int i = 0; i < 7000; i++)
        seen[jq_rng_below(&rng, 7)]++;
    for (int i = 0; i < 7; i++)
        assert_in_range(seen[i], 800, 1200);
    assert_int_equal(jq_rng_below(&rng, 1), 0);
    assert_true(jq_rng_below(&rng, UINT64_MAX) < UINT64_MAX);
}

/* RFC 3720, B.4. */
static void the_checksum_is_that_of_the_rfc(void **state)
{
    (void)state;
    uint8_t bytes[32];
    assert_int_equal(jq_crc32c(0, "123456789", 9), 0xe3069283);
    memset(bytes, 0, sizeof bytes);
    assert_int_equal(jq_crc32c(0, bytes, sizeof bytes), 0x8a9136aa);
    memset(bytes, 0xff, sizeof bytes);
    assert_int_equal(jq_crc32c(0, bytes, sizeof bytes), 0x62a8ab43);
    for (int i = 0; i < 32; i++)
        bytes[i] = (uint8_t)i;
    assert_int_equal(jq_crc32c(0, bytes, sizeof bytes), 0x46dd794e);
    assert_int_equal(jq_crc32c(0, NULL, 0), 0);
}

static void the_checksum_of_pieces_is_that_of_the_whole(void **state)
{
    (void)state;
    uint8_t bytes[100];
    struct jq_rng rng;
    jq_rng_init(&rng, 9);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)jq_rng_next(&rng);
    const uint32_t whole = jq_crc32c(0, bytes, sizeof bytes);
    for (size_t cut = 0; cut <= sizeof bytes; cut++)
        assert_int_equal(jq_crc32c(jq_crc32c(0, bytes, cut), bytes + cut, sizeof bytes - cut),
                         whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_buffer_keeps_what_is_appended),
        cmocka_unit_test(a_broken_buffer_stays_broken_until_it_is_cleared),
        cmocka_unit_test(room_that_no_machine_has_is_refused),
        cmocka_unit_test(a_heap_agrees_with_a_search_through_all),
        cmocka_unit_test(a_heap_without_memory_has_not_changed),
        cmocka_unit_test(a_map_agrees_with_an_array),
        cmocka_unit_test(a_map_without_memory_has_not_changed),
        cmocka_unit_test(an_idmap_agrees_with_an_array),
        cmocka_unit_test(an_idset_finds_the_nearest_below),
        cmocka_unit_test(an_idmap_finds_the_nearest_below_in_bounded_steps),
        cmocka_unit_test(an_idmap_takes_what_was_reserved_without_memory),
        cmocka_unit_test(the_same_seed_gives_the_same_numbers),
        cmocka_unit_test(random_numbers_stay_below_their_bound_and_reach_it),
        cmocka_unit_test(the_checksum_is_that_of_the_rfc),
        cmocka_unit_test(the_checksum_of_pieces_is_that_of_the_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
