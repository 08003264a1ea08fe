/* SPDX-License-Identifier: MIT
 *
 * spawn_link.c - see spawn_link.h. */
#include "worker/spawn_link.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/limits.h"

enum {
    READ_MIN = 64 << 10,            /* room for one read */
    FILL_MAX = 1 << 20,             /* read in one turn */
    KEEP_BYTES = 1 << 20,           /* of a buffer's memory, once it is empty */
    BODY_MAX = JQ_FRAME_MAX + 4096, /* the largest outcome, and its struct */
};

struct header {
    uint32_t size; /* of the body */
    uint32_t kind;
    uint32_t handle;
    uint32_t spare;
};

void jq_spawn_link_init(struct jq_spawn_link *link, int fd)
{
    *link = (struct jq_spawn_link){ .fd = fd };
}

void jq_spawn_link_fini(struct jq_spawn_link *link)
{
    if (link->fd >= 0)
        (void)close(link->fd);
    jq_buf_fini(&link->in);
    jq_buf_fini(&link->out);
    link->fd = -1;
}

static void begin_again(struct jq_buf *buf, size_t *at)
{
    *at = 0;
    if (buf->capacity > KEEP_BYTES)
        jq_buf_fini(buf);
    else
        jq_buf_clear(buf);
}

/* Drops what has been used already, when that is worth the copy. */
static void compact(struct jq_buf *buf, size_t *at)
{
    if (*at == buf->size) {
        begin_again(buf, at);
    } else if (*at >= READ_MIN && *at >= buf->size / 2) {
        memmove(buf->data, buf->data + *at, buf->size - *at);
        buf->size -= *at;
        *at = 0;
    }
}

/* How much to make room for: the rest of a large frame at once. */
static size_t wanted(const struct jq_spawn_link *link)
{
    const size_t have = link->in.size - link->in_at;
    struct header header;
    if (have < sizeof header)
        return READ_MIN;
    memcpy(&header, link->in.data + link->in_at, sizeof header);
    const size_t whole = sizeof header + (size_t)header.size;
    if (header.size > BODY_MAX || whole <= have || whole - have < READ_MIN)
        return READ_MIN;
    return whole - have;
}

void jq_spawn_link_fill(struct jq_spawn_link *link)
{
    size_t filled = 0;
    compact(&link->in, &link->in_at);
    while (!link->dead && filled < FILL_MAX) {
        const size_t room = wanted(link);
        if (jq_buf_reserve(&link->in, room) != JQ_OK) {
            link->dead = true;
            return;
        }
        const ssize_t got = recv(link->fd, link->in.data + link->in.size, room, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (got <= 0) {
            link->dead = true;
            return;
        }
        link->in.size += (size_t)got;
        filled += (size_t)got;
        if ((size_t)got < room)
            return;
    }
}

bool jq_spawn_link_next(struct jq_spawn_link *link, struct jq_spawn_frame *ret)
{
    const size_t have = link->in.size - link->in_at;
    struct header header;
    if (have < sizeof header)
        return false;
    memcpy(&header, link->in.data + link->in_at, sizeof header);
    if (header.size > BODY_MAX || header.kind < JQ_SPAWN_START || header.kind > JQ_SPAWN_OUTPUT) {
        link->dead = true;
        link->in_at = link->in.size;
        return false;
    }
    if (have - sizeof header < header.size)
        return false;
    *ret = (struct jq_spawn_frame){
        .kind = (enum jq_spawn_kind)header.kind,
        .handle = header.handle,
        .body = jq_view(link->in.data + link->in_at + sizeof header, header.size),
    };
    link->in_at += sizeof header + header.size;
    return true;
}

bool jq_spawn_split(struct jq_view body, void *ret_fixed, size_t size, struct jq_view *ret_rest)
{
    if (body.size < size)
        return false;
    memcpy(ret_fixed, body.data, size);
    *ret_rest = jq_view((const uint8_t *)body.data + size, body.size - size);
    return true;
}

size_t jq_spawn_link_begin(struct jq_spawn_link *link, enum jq_spawn_kind kind, uint32_t handle,
                           const void *fixed, size_t size)
{
    compact(&link->out, &link->out_at);
    const size_t begun = link->out.size;
    const struct header header = { .kind = kind, .handle = handle };
    jq_buf_append(&link->out, &header, sizeof header);
    jq_buf_append(&link->out, fixed, size);
    return begun;
}

enum jq_err jq_spawn_link_end(struct jq_spawn_link *link, size_t begun)
{
    if (!jq_buf_ok(&link->out)) {
        link->out.size = begun;
        link->out.broken = false;
        return JQ_ENOMEM;
    }
    struct header header;
    memcpy(&header, link->out.data + begun, sizeof header);
    header.size = (uint32_t)(link->out.size - begun - sizeof header);
    memcpy(link->out.data + begun, &header, sizeof header);
    return JQ_OK;
}

enum jq_err jq_spawn_link_put(struct jq_spawn_link *link, enum jq_spawn_kind kind, uint32_t handle,
                              const void *fixed, size_t size, struct jq_view bytes)
{
    const size_t begun = jq_spawn_link_begin(link, kind, handle, fixed, size);
    jq_buf_append(&link->out, bytes.data, bytes.size);
    return jq_spawn_link_end(link, begun);
}

void jq_spawn_link_flush(struct jq_spawn_link *link)
{
    while (!link->dead && link->out_at < link->out.size) {
        const ssize_t sent = send(link->fd, link->out.data + link->out_at,
                                  link->out.size - link->out_at, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (sent < 0) {
            /* What the other end said before it went away is still to be read: EOF tells. */
            begin_again(&link->out, &link->out_at);
            return;
        }
        link->out_at += (size_t)sent;
    }
    if (link->out_at == link->out.size)
        begin_again(&link->out, &link->out_at);
}
