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

void log_once_done(LogOnce *log_once) {
        free_keys(log_once->keys, log_once->n);
        free_keys(log_once->seen, log_once->n_seen);
        *log_once = (LogOnce){};
}

static int compare_keys(const void *a, const void *b) {
        return strcmp(*(char *const *) a, *(char *const *) b);
}

/* Logs @text, which it frees, unless it was true at the last look already. */
static void explain_item(LogOnce *log_once, const MirrorConfig *config, const char *path, char kind, char *text) {
        LogFields fields = { .mirror = config->name, .source = config->source, .target = config->target, .path = path,
                             .message_id = kind == 'h' ? MESSAGE_HELD : kind == 'u' ? MESSAGE_WITHHELD : NULL,
                             .reason = kind == 'h' ? "changed" : kind == 'u' ? "unreadable" : "skipped" };
        char **grown, *key;

        if (asprintf(&key, "%c%s", kind, path) < 0)
                key = NULL;
        if (key && text &&
            !(log_once->n > 0 && bsearch(&key, log_once->keys, log_once->n, sizeof(char *), compare_keys))) {
                if (log_once->lines++ < LINES_MAX)
                        log_event(kind == 'o' ? LOG_NOTICE : LOG_WARNING, &fields, "%s", text);
                else
                        log_once->more++;
        }
        free(text);
        if (log_once->n_seen % 64 == 0) {
                grown = reallocarray(log_once->seen, log_once->n_seen + 64, sizeof(char *));
                if (!grown) {
                        free(key); /* at worst it is told twice */
                        return;
                }
                log_once->seen = grown;
        }
        if (key)
                log_once->seen[log_once->n_seen++] = key;
}

/* Forgets what is not true any more, and says how much was not listed. */
static void finish(LogOnce *log_once, const MirrorConfig *config) {
        LogFields fields = { .mirror = config->name };

        if (log_once->more > 0)
                log_event(LOG_NOTICE, &fields, "Of mirror '%s' there are %zu more of these, which are not listed",
                          config->name, log_once->more);
        free_keys(log_once->keys, log_once->n);
        log_once->keys = TAKE_PTR(log_once->seen);
        log_once->n = log_once->n_seen;
        log_once->n_seen = 0;
        if (log_once->n > 0)
                qsort(log_once->keys, log_once->n, sizeof(char *), compare_keys);
}

void log_once_scan(LogOnce *log_once, const MirrorConfig *config, const Manifest *source, const Plan *plan) {
        log_once->lines = log_once->more = 0;
        for (size_t i = 0; i < source->n_omissions; i++)
                explain_item(log_once, config, source->omissions[i].path,
                             source->omissions[i].reason == OMIT_UNREADABLE ? 'u' : 'o',
                             explain_omission(config, &source->omissions[i]));
        for (size_t i = 0; !config->write_back && i < plan->n_items; i++)
                if (plan->items[i].action == PLAN_SAVE || plan->items[i].action == PLAN_SAVEATTR ||
                    plan->items[i].action == PLAN_CONFLICT)
                        explain_item(log_once, config, plan_item_path(&plan->items[i]), 'h',
                                     explain_unsaved(config, &plan->items[i]));
        finish(log_once, config);
}
