/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What a mirror has to tell about single paths. See report/log-once.h. */

#include "report/log-once.h"

#include "base/log.h"
#include "base/messages.h"
#include "report/explain.h"

enum { LINES_MAX = 20 };

static void free_keys(char **keys, size_t n) {
        for (size_t i = 0; i < n; i++)
                free(keys[i]);
        free(keys);
}

void told_done(Told *told) {
        free_keys(told->keys, told->n);
        free_keys(told->seen, told->n_seen);
        *told = (Told){};
}

static int compare_keys(const void *a, const void *b) {
        return strcmp(*(char *const *) a, *(char *const *) b);
}

/* Logs @text, which it frees, unless it was true at the last look already. */
static void tell_item(Told *told, const MirrorConfig *config, const char *path, char kind, char *text) {
        LogFields fields = { .mirror = config->name, .source = config->source, .target = config->target, .path = path,
                             .message_id = kind == 'h' ? MESSAGE_HELD : kind == 'u' ? MESSAGE_WITHHELD : NULL,
                             .reason = kind == 'h' ? "changed" : kind == 'u' ? "unreadable" : "left-out" };
        char **grown, *key;

        if (asprintf(&key, "%c%s", kind, path) < 0)
                key = NULL;
        if (key && text && !(told->n > 0 && bsearch(&key, told->keys, told->n, sizeof(char *), compare_keys))) {
                if (told->lines++ < LINES_MAX)
                        log_event(kind == 'o' ? LOG_NOTICE : LOG_WARNING, &fields, "%s", text);
                else
                        told->more++;
        }
        free(text);
        if (told->n_seen % 64 == 0) {
                grown = reallocarray(told->seen, told->n_seen + 64, sizeof(char *));
                if (!grown) {
                        free(key); /* at worst it is told twice */
                        return;
                }
                told->seen = grown;
        }
        if (key)
                told->seen[told->n_seen++] = key;
}

/* Forgets what is not true any more, and says how much was not listed. */
static void finish(Told *told, const MirrorConfig *config) {
        LogFields fields = { .mirror = config->name };

        if (told->more > 0)
                log_event(LOG_NOTICE, &fields, "Of mirror '%s' there are %zu more of these, which are not listed", config->name, told->more);
        free_keys(told->keys, told->n);
        told->keys = TAKE_PTR(told->seen);
        told->n = told->n_seen;
        told->n_seen = 0;
        if (told->n > 0)
                qsort(told->keys, told->n, sizeof(char *), compare_keys);
}

void told_look(Told *told, const MirrorConfig *config, const Manifest *source, const Plan *plan) {
        told->lines = told->more = 0;
        for (size_t i = 0; i < source->n_omissions; i++)
                tell_item(told, config, source->omissions[i].path, source->omissions[i].reason == OMIT_UNREADABLE ? 'u' : 'o', tell_omission(config, &source->omissions[i]));
        for (size_t i = 0; !config->write_back && i < plan->n_items; i++)
                if (plan->items[i].action == PLAN_SAVE || plan->items[i].action == PLAN_SAVEATTR || plan->items[i].action == PLAN_CONFLICT)
                        tell_item(told, config, plan_item_path(&plan->items[i]), 'h', tell_held(config, &plan->items[i]));
        finish(told, config);
}
