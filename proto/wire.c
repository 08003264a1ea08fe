/* SPDX-License-Identifier: MIT
 *
 * wire.c - the msgpack reader and writer; the only user of msgpack.h.
 *
 * Reading is hostile-input code: no length is added to a pointer, only compared with what is left.
 */
#include "proto/wire.h"

#include <endian.h>
#include <stdio.h>
#include <string.h>

#include <msgpack.h>

#include "proto/limits.h"

/* --- tokens --- */

enum token_kind {
    T_NIL = JQ_WIRE_NIL,
    T_BOOL = JQ_WIRE_BOOL,
    T_UINT = JQ_WIRE_UINT,
    T_NEGATIVE = JQ_WIRE_NEGATIVE,
    T_FLOAT = JQ_WIRE_DOUBLE,
    T_STR = JQ_WIRE_STR,
    T_BIN = JQ_WIRE_BIN,
    T_ARRAY = JQ_WIRE_ARRAY,
    T_MAP = JQ_WIRE_MAP,
};

/* One token: of strings the bytes follow; of containers, `size` elements or pairs. */
struct token {
    enum token_kind kind;
    uint64_t number; /* UINT, BOOL; NEGATIVE: the two's complement */
    uint32_t size;
    struct jq_view bytes;
};

static size_t left(const struct jq_reader *r)
{
    return (size_t)(r->end - r->at);
}

/* 1, 2, 4 or 8 bytes, big-endian. */
static uint64_t read_big(const uint8_t *at, size_t width)
{
    uint16_t two;
    uint32_t four;
    uint64_t eight;

    switch (width) {
    case 1:
        return *at;
    case 2:
        memcpy(&two, at, sizeof two);
        return be16toh(two);
    case 4:
        memcpy(&four, at, sizeof four);
        return be32toh(four);
    default:
        memcpy(&eight, at, sizeof eight);
        return be64toh(eight);
    }
}

/* `width` bytes, big-endian; false: not there. */
static bool take_number(struct jq_reader *r, size_t width, uint64_t *ret)
{
    if (left(r) < width)
        return false;
    *ret = read_big(r->at, width);
    r->at += width;
    return true;
}

static bool take_bytes(struct jq_reader *r, size_t size, struct token *token)
{
    if (left(r) < size)
        return false;
    token->bytes = jq_view(r->at, size);
    r->at += size;
    return true;
}

static bool take_sized(struct jq_reader *r, size_t width, enum token_kind kind, struct token *token)
{
    uint64_t size = 0;
    if (!take_number(r, width, &size))
        return false;
    token->kind = kind;
    token->size = (uint32_t)size;
    if (kind == T_STR || kind == T_BIN)
        return take_bytes(r, (size_t)size, token);
    return true;
}

static bool take_signed(struct jq_reader *r, size_t width, struct token *token)
{
    uint64_t value = 0;
    if (!take_number(r, width, &value))
        return false;
    const unsigned shift = (unsigned)(64 - 8 * width);
    const int64_t wide = (int64_t)(value << shift) >> shift;
    token->kind = wide < 0 ? T_NEGATIVE : T_UINT;
    token->number = (uint64_t)wide;
    return true;
}

static bool take_unsigned(struct jq_reader *r, size_t width, enum token_kind kind,
                          struct token *token)
{
    token->kind = kind;
    return take_number(r, width, &token->number);
}

/* The formats that do not carry their size in the first byte. */
static bool take_long(struct jq_reader *r, uint8_t first, struct token *token)
{
    switch (first) {
    case 0xc0:
        token->kind = T_NIL;
        return true;
    case 0xc2:
    case 0xc3:
        token->kind = T_BOOL;
        token->number = first & 1;
        return true;
    case 0xc4:
    case 0xc5:
    case 0xc6:
        return take_sized(r, (size_t)1 << (first - 0xc4), T_BIN, token);
    case 0xca:
    case 0xcb:
        return take_unsigned(r, (size_t)4 << (first - 0xca), T_FLOAT, token);
    case 0xcc:
    case 0xcd:
    case 0xce:
    case 0xcf:
        return take_unsigned(r, (size_t)1 << (first - 0xcc), T_UINT, token);
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3:
        return take_signed(r, (size_t)1 << (first - 0xd0), token);
    case 0xd9:
    case 0xda:
    case 0xdb:
        return take_sized(r, (size_t)1 << (first - 0xd9), T_STR, token);
    case 0xdc:
    case 0xdd:
        return take_sized(r, (size_t)2 << (first - 0xdc), T_ARRAY, token);
    case 0xde:
    case 0xdf:
        return take_sized(r, (size_t)2 << (first - 0xde), T_MAP, token);
    default: /* 0xc1 is never used; extension types are refused */
        return false;
    }
}

/* Moves the cursor past one token; on false it may have moved. */
static bool take_token(struct jq_reader *r, struct token *token)
{
    if (r->at == r->end)
        return false;
    const uint8_t first = *r->at++;
    token->number = first;
    token->kind = T_UINT;
    if (first <= 0x7f)
        return true;
    if (first >= 0xe0) {
        token->kind = T_NEGATIVE;
        token->number = (uint64_t)(int64_t)(int8_t)first;
        return true;
    }
    if (first <= 0x8f || first <= 0x9f) {
        token->kind = first <= 0x8f ? T_MAP : T_ARRAY;
        token->size = first & 0x0f;
        return true;
    }
    if (first <= 0xbf) {
        token->kind = T_STR;
        token->size = first & 0x1f;
        return take_bytes(r, token->size, token);
    }
    return take_long(r, first, token);
}

/* Elements that must follow a token. */
static uint64_t children_of(const struct token *token)
{
    if (token->kind == T_ARRAY)
        return token->size;
    if (token->kind == T_MAP)
        return (uint64_t)token->size * 2;
    return 0;
}

/* Bytes of a token without children: what most are, by its first; 0: it is another, or cut off. */
static inline size_t leaf_size(const struct jq_reader *r)
{
    const uint8_t first = *r->at;
    size_t size = 1;
    if (first <= 0x7f || first >= 0xe0)
        return 1;
    if ((first & 0xe0) == 0xa0)
        size += first & 0x1f;
    else if ((first & 0xfc) == 0xcc)
        size += (size_t)1 << (first & 3);
    else if (first == 0xc4 && left(r) > 1)
        size += 1u + r->at[1];
    else
        return 0;
    return size <= left(r) ? size : 0;
}

/* One token, and how many elements must follow it. */
static bool pass_token(struct jq_reader *r, uint64_t *ret_children)
{
    struct token token;
    if (r->at != r->end && (*r->at & 0xf0) == 0x90) {
        *ret_children = *r->at++ & 0x0f;
        return true;
    }
    if (!take_token(r, &token))
        return false;
    *ret_children = children_of(&token);
    return true;
}

/* One object with all that it contains; no recursion, no allocation. */
static bool take_object(struct jq_reader *from, uint32_t depth_max, uint32_t nodes_max)
{
    uint64_t outer[JQ_DEPTH_MAX + 1]; /* elements still to come of what is open, by depth */
    uint64_t open = 1;                /* and of the innermost */
    uint64_t children = 0;
    uint32_t depth = 0, nodes = 0;
    struct jq_reader r = *from;
    for (;;) {
        for (size_t size; open && nodes < nodes_max && r.at != r.end && (size = leaf_size(&r));
             nodes++, open--)
            r.at += size;
        while (open == 0) {
            if (depth == 0) {
                *from = r;
                return true;
            }
            open = outer[depth--];
        }
        if (nodes++ == nodes_max || !pass_token(&r, &children))
            return false;
        open--;
        if (children > left(&r)) /* every element has at least one byte */
            return false;
        if (children) {
            if (depth == depth_max)
                return false;
            outer[++depth] = open;
            open = children;
        }
    }
}

enum jq_err jq_wire_check(struct jq_view frame)
{
    struct jq_reader r = jq_reader(frame);
    if (!take_object(&r, JQ_DEPTH_MAX, JQ_NODES_MAX) || r.at != r.end)
        return JQ_EPROTO;
    return JQ_OK;
}

/* --- reading --- */

/* The next token if it is of `kind`; else the cursor stays. */
static enum jq_err expect(struct jq_reader *r, enum token_kind kind, struct token *token)
{
    struct jq_reader next = *r;
    if (!take_token(&next, token) || token->kind != kind)
        return JQ_EPROTO;
    *r = next;
    return JQ_OK;
}

enum jq_err jq_read_long_u64(struct jq_reader *r, uint64_t *ret)
{
    if (r->at != r->end && (*r->at & 0xfc) == 0xcc) {
        const size_t width = (size_t)1 << (*r->at & 3);
        if (left(r) - 1 < width)
            return JQ_EPROTO;
        *ret = read_big(r->at + 1, width);
        r->at += 1 + width;
        return JQ_OK;
    }
    struct token token;
    JQ_TRY(expect(r, T_UINT, &token));
    *ret = token.number;
    return JQ_OK;
}

enum jq_err jq_read_long_i64(struct jq_reader *r, int64_t *ret)
{
    struct jq_reader next = *r;
    struct token token;
    if (!take_token(&next, &token))
        return JQ_EPROTO;
    if (token.kind != T_NEGATIVE && (token.kind != T_UINT || token.number > INT64_MAX))
        return JQ_EPROTO;
    *ret = (int64_t)token.number;
    *r = next;
    return JQ_OK;
}

enum jq_err jq_read_bool(struct jq_reader *r, bool *ret)
{
    struct token token;
    JQ_TRY(expect(r, T_BOOL, &token));
    *ret = token.number != 0;
    return JQ_OK;
}

enum jq_err jq_read_nil(struct jq_reader *r)
{
    struct token token;
    return expect(r, T_NIL, &token);
}

enum jq_err jq_read_long_str(struct jq_reader *r, struct jq_view *ret)
{
    struct token token;
    JQ_TRY(expect(r, T_STR, &token));
    *ret = token.bytes;
    return JQ_OK;
}

enum jq_err jq_read_long_bin(struct jq_reader *r, struct jq_view *ret)
{
    struct jq_reader next = *r;
    struct token token;
    if (!take_token(&next, &token) || (token.kind != T_BIN && token.kind != T_STR))
        return JQ_EPROTO;
    *ret = token.bytes;
    *r = next;
    return JQ_OK;
}

enum jq_err jq_read_long_array(struct jq_reader *r, uint32_t *ret_count)
{
    struct token token;
    JQ_TRY(expect(r, T_ARRAY, &token));
    *ret_count = token.size;
    return JQ_OK;
}

enum jq_err jq_read_map(struct jq_reader *r, uint32_t *ret_pairs)
{
    struct token token;
    JQ_TRY(expect(r, T_MAP, &token));
    *ret_pairs = token.size;
    return JQ_OK;
}

enum jq_err jq_read_double(struct jq_reader *r, double *ret)
{
    const size_t width = r->at != r->end && *r->at == 0xca ? 4 : 8;
    struct token token;
    JQ_TRY(expect(r, T_FLOAT, &token));
    if (width == 4) {
        const uint32_t bits = (uint32_t)token.number;
        float single;
        memcpy(&single, &bits, sizeof single);
        *ret = (double)single;
    } else {
        memcpy(ret, &token.number, sizeof *ret);
    }
    return JQ_OK;
}

enum jq_err jq_peek(const struct jq_reader *r, enum jq_wire_kind *ret)
{
    struct jq_reader next = *r;
    struct token token;
    if (!take_token(&next, &token))
        return JQ_EPROTO;
    *ret = (enum jq_wire_kind)token.kind;
    return JQ_OK;
}

enum jq_err jq_skip(struct jq_reader *r)
{
    struct jq_reader next = *r;
    if (!take_object(&next, JQ_DEPTH_MAX, JQ_NODES_MAX))
        return JQ_EPROTO;
    *r = next;
    return JQ_OK;
}

/* --- writing --- */

static int append(void *data, const char *bytes, size_t size)
{
    jq_buf_append(data, bytes, size);
    return 0; /* a broken buffer remembers */
}

static msgpack_packer packer(struct jq_buf *buf)
{
    return (msgpack_packer){ .data = buf, .callback = append };
}

void jq_write_long_u64(struct jq_buf *buf, uint64_t value)
{
    msgpack_packer p = packer(buf);
    msgpack_pack_uint64(&p, value);
}

void jq_write_long_i64(struct jq_buf *buf, int64_t value)
{
    msgpack_packer p = packer(buf);
    if (value >= 0) /* one form for equal values: msgpack-c would write d0..d3 for some */
        msgpack_pack_uint64(&p, (uint64_t)value);
    else
        msgpack_pack_int64(&p, value);
}

void jq_write_bool(struct jq_buf *buf, bool value)
{
    msgpack_packer p = packer(buf);
    if (value)
        msgpack_pack_true(&p);
    else
        msgpack_pack_false(&p);
}

void jq_write_nil(struct jq_buf *buf)
{
    msgpack_packer p = packer(buf);
    msgpack_pack_nil(&p);
}

void jq_write_double(struct jq_buf *buf, double value)
{
    msgpack_packer p = packer(buf);
    msgpack_pack_double(&p, value);
}

void jq_write_long_str(struct jq_buf *buf, struct jq_view value)
{
    msgpack_packer p = packer(buf);
    msgpack_pack_str(&p, value.size);
    jq_buf_append(buf, value.data, value.size);
}

void jq_write_long_bin(struct jq_buf *buf, struct jq_view value)
{
    msgpack_packer p = packer(buf);
    msgpack_pack_bin(&p, value.size);
    jq_buf_append(buf, value.data, value.size);
}

void jq_write_long_array(struct jq_buf *buf, uint32_t count)
{
    msgpack_packer p = packer(buf);
    msgpack_pack_array(&p, count);
}

void jq_write_map(struct jq_buf *buf, uint32_t pairs)
{
    msgpack_packer p = packer(buf);
    msgpack_pack_map(&p, pairs);
}

void jq_write_raw(struct jq_buf *buf, struct jq_view encoded)
{
    jq_buf_append(buf, encoded.data, encoded.size);
}

/* --- printing --- */

static void put_text(struct jq_buf *out, const char *text)
{
    jq_buf_append(out, text, strlen(text));
}

static void put_bytes(struct jq_buf *out, struct jq_view bytes, size_t max)
{
    const uint8_t *at = bytes.data;
    put_text(out, "\"");
    for (size_t i = 0; i < bytes.size && i < max; i++) {
        char piece[8];
        if (at[i] == '"' || at[i] == '\\')
            (void)snprintf(piece, sizeof piece, "\\%c", at[i]);
        else if (at[i] >= 0x20 && at[i] < 0x7f)
            (void)snprintf(piece, sizeof piece, "%c", at[i]);
        else
            (void)snprintf(piece, sizeof piece, "\\x%02x", at[i]);
        put_text(out, piece);
    }
    put_text(out, "\"");
    if (bytes.size > max) {
        char more[40];
        (void)snprintf(more, sizeof more, "...(%zu bytes)", bytes.size);
        put_text(out, more);
    }
}

static void put_scalar(struct jq_buf *out, const struct token *token, size_t max)
{
    char text[32] = "null";
    switch (token->kind) {
    case T_STR:
    case T_BIN:
        put_bytes(out, token->bytes, max);
        return;
    case T_UINT:
        (void)snprintf(text, sizeof text, "%llu", (unsigned long long)token->number);
        break;
    case T_NEGATIVE:
        (void)snprintf(text, sizeof text, "%lld", (long long)token->number);
        break;
    case T_BOOL:
        (void)snprintf(text, sizeof text, "%s", token->number ? "true" : "false");
        break;
    case T_FLOAT:
        (void)snprintf(text, sizeof text, "<float>");
        break;
    case T_NIL:
    case T_ARRAY:
    case T_MAP:
        break;
    }
    put_text(out, text);
}

void jq_wire_print(struct jq_view bytes, size_t max, struct jq_buf *out)
{
    struct jq_reader r = jq_reader(bytes);
    struct {
        uint64_t left;
        bool map;
        bool first;
    } open[JQ_DEPTH_MAX + 1] = { { .left = 1, .first = true } };
    uint32_t depth = 0;
    for (;;) {
        while (open[depth].left == 0) {
            if (depth == 0)
                return;
            put_text(out, open[depth].map ? "}" : "]");
            depth--;
        }
        if (!open[depth].first)
            put_text(out, open[depth].map && open[depth].left % 2 ? ": " : ", ");
        open[depth].first = false;
        open[depth].left--;
        struct token token;
        if (!take_token(&r, &token))
            return; /* unchecked bytes: a bug of the caller, but not one worth dying for */
        if (token.kind != T_ARRAY && token.kind != T_MAP) {
            put_scalar(out, &token, max);
            continue;
        }
        put_text(out, token.kind == T_MAP ? "{" : "[");
        if (depth == JQ_DEPTH_MAX)
            return;
        open[++depth].left = children_of(&token);
        open[depth].map = token.kind == T_MAP;
        open[depth].first = true;
    }
}
