/* SPDX-License-Identifier: MIT
 *
 * sqlite_batch.c - a run of operations as the rows of a virtual table: `batch`. One statement
 * (INSERT INTO job SELECT ... FROM batch) then writes them all with one cursor that stays where the
 * last row went. A statement for each, with its parameters, took nearly twice as long per row. */
#include "broker/store/op_job.h"
#include "broker/store/sqlite.h"

#include "proto/base/alloc.h"

/* In the order of the declaration below. */
enum column { ID, STATE, QUEUE, KEY, LIFE, FIXED, RESULT, LANE, RANK, PLACE_CRC };

static const char declaration[] =
    "CREATE TABLE batch (id INTEGER, state INTEGER, queue INTEGER, key BLOB, life BLOB, fixed BLOB,"
    " result BLOB, lane INTEGER, rank INTEGER, place_crc INTEGER)";

struct table {
    sqlite3_vtab base; /* first */
    struct jq_sqlite *sqlite;
};

struct cursor {
    sqlite3_vtab_cursor base; /* first */
    struct jq_sqlite *sqlite;
    uint32_t at; /* in the run, or its end */
    struct jq_job_record job;
};

static int connect_batch(sqlite3 *db, void *arg, int argc, const char *const *argv,
                         sqlite3_vtab **ret_table, char **ret_error)
{
    struct table *table = jq_alloc_zero(1, sizeof(*table));

    (void)argc;
    (void)argv;
    (void)ret_error;
    if (!table)
        return SQLITE_NOMEM;
    table->sqlite = arg;
    const int code = sqlite3_declare_vtab(db, declaration);
    if (code == SQLITE_OK)
        *ret_table = &table->base;
    else
        jq_free(table);
    return code;
}

static int disconnect_batch(sqlite3_vtab *base)
{
    jq_free(base);
    return SQLITE_OK;
}

/* It is always walked as a whole. */
static int plan(sqlite3_vtab *base, sqlite3_index_info *info)
{
    (void)base;
    info->estimatedCost = 1;
    info->estimatedRows = 1;
    return SQLITE_OK;
}

static int open_cursor(sqlite3_vtab *base, sqlite3_vtab_cursor **ret_cursor)
{
    struct cursor *cursor = jq_alloc(sizeof(*cursor));

    if (!cursor)
        return SQLITE_NOMEM;
    cursor->sqlite = ((struct table *)base)->sqlite;
    *ret_cursor = &cursor->base;
    return SQLITE_OK;
}

static int close_cursor(sqlite3_vtab_cursor *base)
{
    jq_free(base);
    return SQLITE_OK;
}

static void stand_at(struct cursor *cursor, uint32_t at)
{
    const struct jq_run *run = &cursor->sqlite->run;

    cursor->at = at;
    if (at < run->count)
        jq_op_job(run->ops[at], &cursor->job);
}

static int first_row(sqlite3_vtab_cursor *base, int number, const char *name, int argc,
                     sqlite3_value **argv)
{
    (void)number;
    (void)name;
    (void)argc;
    (void)argv;
    stand_at((struct cursor *)base, 0);
    return SQLITE_OK;
}

static int next_row(sqlite3_vtab_cursor *base)
{
    struct cursor *cursor = (struct cursor *)base;

    stand_at(cursor, cursor->at + 1);
    return SQLITE_OK;
}

static int is_end(sqlite3_vtab_cursor *base)
{
    const struct cursor *cursor = (const struct cursor *)base;

    return cursor->at == cursor->sqlite->run.count;
}

static int give_pack(sqlite3_context *context, const struct jq_buf *pack)
{
    if (!jq_buf_ok(pack))
        return SQLITE_NOMEM;
    sqlite3_result_blob64(context, pack->data, pack->size, SQLITE_STATIC);
    return SQLITE_OK;
}

/* Packs stay until the same column of the next row: it has been written by then. */
static int column(sqlite3_vtab_cursor *base, sqlite3_context *context, int at)
{
    struct cursor *cursor = (struct cursor *)base;
    struct jq_packs *packs = &cursor->sqlite->packs;
    const struct jq_store_op *op = cursor->sqlite->run.ops[cursor->at];
    const struct jq_job_record *job = &cursor->job;

    switch ((enum column)at) {
    case ID:
        sqlite3_result_int64(context, (sqlite3_int64)job->id);
        break;
    case STATE:
        sqlite3_result_int64(context, (sqlite3_int64)job->state);
        break;
    case QUEUE:
        sqlite3_result_int64(context, job->queue);
        break;
    case KEY:
        if (job->key.size)
            sqlite3_result_blob64(context, job->key.data, job->key.size, SQLITE_STATIC);
        break;
    case LIFE:
        jq_row_pack_life(&packs->life, job);
        return give_pack(context, &packs->life);
    case FIXED:
        jq_row_pack_fixed(&packs->fixed, job);
        return give_pack(context, &packs->fixed);
    case RESULT:
        jq_row_pack_result(&packs->result, job->id, op->has_result ? op->result : NULL);
        return give_pack(context, &packs->result);
    case LANE:
        sqlite3_result_int64(context, job->lane);
        break;
    case RANK:
        sqlite3_result_int64(context, job->rank);
        break;
    case PLACE_CRC:
        sqlite3_result_int64(context, (int32_t)jq_row_crc_place(job));
        break;
    }
    return SQLITE_OK;
}

static int row_id(sqlite3_vtab_cursor *base, sqlite3_int64 *ret_id)
{
    *ret_id = (sqlite3_int64)((const struct cursor *)base)->job.id;
    return SQLITE_OK;
}

int jq_sqlite_batch_open(struct jq_sqlite *sqlite)
{
    /* Without xCreate: it is there without having been made. */
    static const sqlite3_module module = {
        .xConnect = connect_batch,
        .xBestIndex = plan,
        .xDisconnect = disconnect_batch,
        .xOpen = open_cursor,
        .xClose = close_cursor,
        .xFilter = first_row,
        .xNext = next_row,
        .xEof = is_end,
        .xColumn = column,
        .xRowid = row_id,
    };

    return sqlite3_create_module_v2(sqlite->db, "batch", &module, sqlite, NULL);
}

enum jq_err jq_sqlite_batch_reserve(struct jq_sqlite *sqlite, uint32_t count)
{
    struct jq_run *run = &sqlite->run;

    if (count <= run->capacity)
        return JQ_OK;
    const struct jq_store_op **ops = jq_realloc(run->ops, count * sizeof(*ops));
    if (!ops)
        return JQ_ENOMEM;
    run->ops = ops;
    run->capacity = count;
    return JQ_OK;
}
