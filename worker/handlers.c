/* SPDX-License-Identifier: MIT
 *
 * handlers.c - the list of handlers, what may come into it, and the plug-ins' loading. */
#include "worker/handlers.h"

#include <dlfcn.h>
#include <string.h>

#include "proto/base/alloc.h"
#include "proto/limits.h"
#include "proto/states.h"
#include "worker/builtin.h"

struct jq_handlers *jq_handlers_new(void)
{
    struct jq_handlers *handlers = jq_alloc_zero(1, sizeof *handlers);
    if (handlers == NULL)
        return NULL;
    for (const struct jq_builtin *builtin = jq_builtins; builtin->handler.name != NULL; builtin++)
        handlers->list[handlers->count++] = (struct jq_handler){
            .name = jq_view_str(builtin->handler.name),
            .from = "built in",
            .offered = builtin->handler,
            .quick = builtin->quick,
        };
    return handlers;
}

void jq_handlers_free(struct jq_handlers **handlers)
{
    jq_free(*handlers);
    *handlers = NULL;
}

const struct jq_handler *jq_handlers_find(const struct jq_handlers *handlers, struct jq_view name)
{
    for (size_t i = 0; i < handlers->count; i++) {
        if (jq_view_equal(name, handlers->list[i].name))
            return &handlers->list[i];
    }
    return NULL;
}

static bool is_name(const char *text)
{
    const size_t size = strnlen(text, JQ_NAME_MAX + 1);
    return size > 0 && size <= JQ_NAME_MAX &&
           strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") ==
               size;
}

static enum jq_err add_one(struct jq_handlers *handlers, const struct jobq_handler *offered,
                           const char *from, struct jq_detail *detail)
{
    if (offered->name == NULL || !is_name(offered->name) || offered->run == NULL ||
        offered->flags != 0) {
        jq_detail_set(detail,
                      "%s: handler \"%.128s\": its name is not 1 to 128 of A-Z a-z 0-9 . _ -, or "
                      "it has no run, or flags that are not known",
                      from, offered->name != NULL ? offered->name : "");
        return JQ_EINVAL;
    }
    const struct jq_view name = jq_view_str(offered->name);
    const struct jq_handler *other = jq_handlers_find(handlers, name);
    const bool is_taken = jq_view_equal(name, jq_view_str("exec")) ||
                          jq_view_equal(name, jq_view_str(JQ_HANDLER_ITEM));
    if (other != NULL || is_taken) {
        jq_detail_set(detail, "%s: there is a handler \"%s\" already: %s", from, offered->name,
                      is_taken ? "built in" : other->from);
        return JQ_EEXIST;
    }
    if (handlers->count == JQ_HANDLERS_MAX) {
        jq_detail_set(detail, "%s: more than %d handlers", from, JQ_HANDLERS_MAX);
        return JQ_ENOSPC;
    }
    handlers->list[handlers->count++] =
        (struct jq_handler){ .name = name, .from = from, .offered = *offered };
    return JQ_OK;
}

enum jq_err jq_handlers_add(struct jq_handlers *handlers, const struct jobq_plugin *plugin,
                            const char *from, struct jq_detail *ret_detail)
{
    const size_t before = handlers->count;
    enum jq_err err = JQ_OK;
    if (plugin->abi != JOBQ_HANDLER_ABI) {
        jq_detail_set(ret_detail,
                      "%s: made for version %u of the handlers' ABI; this worker has %d", from,
                      plugin->abi, JOBQ_HANDLER_ABI);
        return JQ_EVERSION;
    }
    if (plugin->handler_size < sizeof(struct jobq_handler) || plugin->count == 0 ||
        plugin->handlers == NULL) {
        jq_detail_set(ret_detail, "%s: offers no handlers", from);
        return JQ_EINVAL;
    }
    /* By the plug-in's own size: a later header may have made it larger. */
    const char *at = (const char *)plugin->handlers;
    for (size_t i = 0; i < plugin->count && err == JQ_OK; i++, at += plugin->handler_size) {
        struct jobq_handler offered;
        memcpy(&offered, at, sizeof offered);
        err = add_one(handlers, &offered, from, ret_detail);
    }
    if (err != JQ_OK)
        handlers->count = before;
    return err;
}

enum jq_err jq_handlers_load(struct jq_handlers *handlers, const char *path,
                             struct jq_detail *ret_detail)
{
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (object == NULL) {
        const char *why = dlerror();
        jq_detail_set(ret_detail, "plug-in not loaded: %s", why != NULL ? why : path);
        return JQ_ENOENT;
    }
    const struct jobq_plugin *plugin = dlsym(object, "jobq_plugin");
    enum jq_err err = JQ_EINVAL;
    if (plugin == NULL)
        jq_detail_set(ret_detail, "%s: not a plug-in: it has no symbol jobq_plugin (JOBQ_PLUGIN)",
                      path);
    else
        err = jq_handlers_add(handlers, plugin, path, ret_detail);
    if (err != JQ_OK)
        (void)dlclose(object);
    return err;
}
