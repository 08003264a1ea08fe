/* SPDX-License-Identifier: MIT
 *
 * mark.c - see mark.h. */
#include "broker/store/mark.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/crc32c.h"

/* Each slot has a sector of its own: one torn write cannot take both. */
enum { SLOT_BYTES = 512 };

/* Little-endian. */
struct slot {
    char magic[8];
    uint8_t store_id[16];
    uint64_t commit_sequence;
    uint64_t next_id;
    uint64_t incarnation;
    uint32_t next_queue;
    uint32_t crc; /* over all before it */
};

static const char slot_magic[8] = "jobqmrk1";

static enum jq_err failed(const char *what, const char *name, struct jq_detail *detail)
{
    const int error = errno;

    jq_detail_set(detail, "%s: cannot %s: %s", name, what, strerror(error));
    return error == ENOSPC || error == EDQUOT ? JQ_ENOSPC : JQ_EIO;
}

static void encode(const struct jq_store_meta *meta, struct slot *slot)
{
    memset(slot, 0, sizeof(*slot));
    memcpy(slot->magic, slot_magic, sizeof(slot->magic));
    memcpy(slot->store_id, meta->store_id, sizeof(slot->store_id));
    slot->commit_sequence = htole64(meta->commit_sequence);
    slot->next_id = htole64(meta->next_id);
    slot->incarnation = htole64(meta->incarnation);
    slot->next_queue = htole32(meta->next_queue);
    slot->crc = htole32(jq_crc32c(0, slot, offsetof(struct slot, crc)));
}

static bool decode(const struct slot *slot, struct jq_store_meta *ret_meta)
{
    if (memcmp(slot->magic, slot_magic, sizeof(slot->magic)) != 0 ||
        le32toh(slot->crc) != jq_crc32c(0, slot, offsetof(struct slot, crc)))
        return false;
    memcpy(ret_meta->store_id, slot->store_id, sizeof(slot->store_id));
    ret_meta->commit_sequence = le64toh(slot->commit_sequence);
    ret_meta->next_id = le64toh(slot->next_id);
    ret_meta->incarnation = le64toh(slot->incarnation);
    ret_meta->next_queue = le32toh(slot->next_queue);
    return true;
}

static enum jq_err write_slot(int fd, const struct jq_store_meta *meta, uint64_t number)
{
    struct slot slot;

    encode(meta, &slot);
    const ssize_t put = pwrite(fd, &slot, sizeof(slot), (off_t)(number & 1) * SLOT_BYTES);
    if (put != (ssize_t)sizeof(slot))
        return put < 0 && (errno == ENOSPC || errno == EDQUOT) ? JQ_ENOSPC : JQ_EIO;
    return JQ_OK;
}

enum jq_err jq_mark_open(const struct jq_store_path *path, struct jq_mark *ret_mark,
                         struct jq_detail *ret_detail)
{
    char name[PATH_MAX + 16];
    struct jq_mark mark = { .fd = -1 };
    struct jq_store_meta meta;
    struct slot slot;

    snprintf(name, sizeof(name), "%s.mark", path->file);
    mark.fd = open(name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    *ret_mark = mark;
    if (mark.fd < 0)
        return errno == ENOENT ? JQ_OK : failed("open", name, ret_detail);
    for (int i = 0; i < 2; i++) {
        const ssize_t got = pread(mark.fd, &slot, sizeof(slot), (off_t)i * SLOT_BYTES);
        if (got < 0) {
            const enum jq_err err = failed("read", name, ret_detail);
            jq_mark_close(&mark);
            ret_mark->fd = -1;
            return err;
        }
        if (got != (ssize_t)sizeof(slot) || !decode(&slot, &meta))
            continue;
        if (!mark.exists || meta.commit_sequence > mark.last.commit_sequence)
            mark.last = meta;
        mark.exists = true;
    }
    *ret_mark = mark;
    if (mark.exists)
        return JQ_OK;
    jq_detail_set(ret_detail,
                  "%s is damaged, so nobody can say whether the store has lost acknowledged "
                  "commits; to go on with what the store holds, start once with "
                  "--store-accept-loss",
                  name);
    return JQ_ECORRUPT;
}

enum jq_err jq_mark_make(struct jq_mark *mark, const struct jq_store_path *path,
                         const struct jq_store_meta *meta, struct jq_detail *ret_detail)
{
    char name[PATH_MAX + 16], fresh[PATH_MAX + 16];
    enum jq_err err = JQ_OK;

    /* Under another name first: a crash here leaves no half mark. */
    snprintf(name, sizeof(name), "%s.mark", path->file);
    snprintf(fresh, sizeof(fresh), "%s.mark-new", path->file);
    jq_mark_close(mark);
    const int fd = open(fresh, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return failed("make", fresh, ret_detail);
    if (write_slot(fd, meta, 0) != JQ_OK || write_slot(fd, meta, 1) != JQ_OK || fsync(fd) != 0 ||
        rename(fresh, name) != 0) {
        err = failed("write", fresh, ret_detail);
        unlink(fresh);
    } else {
        err = jq_store_path_sync(path, ret_detail);
    }
    if (err != JQ_OK) {
        close(fd);
        return err;
    }
    *mark = (struct jq_mark){ .fd = fd, .exists = true, .last = *meta };
    return JQ_OK;
}

enum jq_err jq_mark_write(struct jq_mark *mark, const struct jq_store_meta *meta)
{
    JQ_TRY(write_slot(mark->fd, meta, meta->commit_sequence));
    mark->last = *meta;
    mark->dirty = true;
    return JQ_OK;
}

enum jq_err jq_mark_sync(struct jq_mark *mark)
{
    if (!mark->dirty)
        return JQ_OK;
    if (fdatasync(mark->fd) != 0)
        return JQ_EIO;
    mark->dirty = false;
    return JQ_OK;
}

void jq_mark_close(struct jq_mark *mark)
{
    if (mark->fd >= 0)
        close(mark->fd);
    mark->fd = -1;
}
