/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Messages about single paths, each logged once. See report/log-once.h. */

#include "report/log-once.h"

#include "base/log.h"
#include "base/messages.h"
#include "base/text.h"
#include "report/explain.h"

/* Messages of one scan that are logged; the rest is counted. */
enum { LINES_MAX = 20 };

typedef struct Kind {
        char letter;
        int priority;
        const char *reason, *message_id;
} Kind;

static const Kind left_out = { 'o', LOG_NOTICE, "left-out", NULL };
static const Kind unreadable = { 'u', LOG_WARNING, "unreadable", MESSAGE_WITHHELD };
static const Kind changed = { 'h', LOG_WARNING, "changed", MESSAGE_HELD };

void log_once_done(LogOnce *log_once) {
        pathset_done(&log_once->keys);
        pathset_done(&log_once->seen);
}

/* Takes @text. */
static void log_path(LogOnce *log_once, LogLimit *limit, const MirrorConfig *config, const Kind *kind,
                     const char *path, char *text) {
        LogFields fields = { .message_id = kind->message_id, .mirror = config->name, .source = config->source,
                             .target = config->target, .path = path, .reason = kind->reason };
        _cleanup_(freep) char *key = text_format("%c%s", kind->letter, path);

        if (key && text && !pathset_has(&log_once->keys, key) && log_limit_pass(limit))
                log_event(kind->priority, &fields, "%s", text);
        free(text);
        if (key)
                (void) pathset_add(&log_once->seen, key); /* if not, at worst it is logged twice */
}

void log_once_scan(LogOnce *log_once, const MirrorConfig *config, const Manifest *source, const Plan *plan) {
        LogFields fields = { .mirror = config->name };
        LogLimit limit = { .max = LINES_MAX };
        size_t suppressed;

        for (size_t i = 0; i < source->n_omissions; i++)
                log_path(log_once, &limit, config,
                         source->omissions[i].reason == OMIT_UNREADABLE ? &unreadable : &left_out,
                         source->omissions[i].path, explain_omission(config, &source->omissions[i]));
        for (size_t i = 0; !config->write_back && i < plan->n_items; i++)
                if (plan->items[i].action == PLAN_SAVE || plan->items[i].action == PLAN_SAVEATTR ||
                    plan->items[i].action == PLAN_CONFLICT)
                        log_path(log_once, &limit, config, &changed, plan_item_path(&plan->items[i]),
                                 explain_unsaved(config, &plan->items[i]));
        suppressed = log_limit_end(&limit);
        if (suppressed > 0)
                log_event(LOG_NOTICE, &fields, "Mirror '%s': %zu similar messages suppressed", config->name,
                          suppressed);
        pathset_done(&log_once->keys); /* the next scan compares with the state of this one */
        log_once->keys = log_once->seen;
        log_once->seen = (PathSet){};
        pathset_sort(&log_once->keys);
}
