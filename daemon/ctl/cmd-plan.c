/* SPDX-License-Identifier: GPL-2.0-or-later */

/* shmstagectl plan: what would be staged now and whether it fits, as shmstaged --plan does; needs no daemon. */

#include "ctl/commands.h"

#include "base/claim.h"
#include "base/dirs.h"
#include "base/strv.h"
#include "base/text.h"
#include "config/problems.h"
#include "ctl/json-output.h"
#include "ctl/table.h"
#include "report/explain.h"
#include "report/preview.h"

enum { ITEM_MIRROR, ITEM_ACTION, ITEM_SIZE, ITEM_PATH };
static const CtlColumn columns[] = {
        [ITEM_MIRROR] = { "mirror", CELL_TEXT, COLUMN_EXTRA, "the mirror of the file" },
        [ITEM_ACTION] = { "action", CELL_TEXT, 0, "what would be done with the file" },
        [ITEM_SIZE] = { "size", CELL_BYTES, 0, "the size of the file on disk" },
        [ITEM_PATH] = { "path", CELL_PATH, COLUMN_CUT, "the path relative to the root of the mirror" },
};

static bool is_file(const PlanItem *item) {
        return item->source && item->source->type == ENTRY_FILE;
}

static ScreenColour action_colour(PlanAction action) {
        if (action == PLAN_SKIP || action == PLAN_WITHHOLD || action == PLAN_CONFLICT)
                return SCREEN_YELLOW;
        return action == PLAN_STAGE ? SCREEN_GREEN : SCREEN_PLAIN;
}

static int print_items(const Ctl *ctl, const PreviewMirror *mirror) {
        _cleanup_(ctl_table_freep) CtlTable *table = NULL;
        const Plan *plan = mirror->survey.plan;
        int r = ctl_table_new(&table, ctl, columns, ELEMENTSOF(columns));

        for (size_t i = 0; r == 0 && i < plan->n_items; i++) {
                const PlanItem *item = &plan->items[i];

                if (!preview_shows(item))
                        continue;
                ctl_table_row(table);
                ctl_table_set(table, ITEM_MIRROR, mirror->config->name);
                ctl_table_set(table, ITEM_ACTION, plan_action_name(item->action));
                ctl_table_set_colour(table, ITEM_ACTION, action_colour(item->action));
                ctl_table_set_number(table, ITEM_SIZE, is_file(item) ? item->source->size : UINT64_MAX);
                ctl_table_set(table, ITEM_PATH, plan_item_path(item));
        }
        return r == 0 ? ctl_table_print(table) : r < 0 ? CTL_FAILED : r;
}

static const char *amount(const Ctl *ctl, char buffer[static 2 * TEXT_BYTES_MAX], uint64_t bytes) {
        if (!ctl->bytes)
                return text_bytes(buffer, bytes);
        (void) snprintf(buffer, 2 * TEXT_BYTES_MAX, "%llu", (unsigned long long) bytes);
        return buffer;
}

/* Prints and frees the text. */
static void print_safe(ScreenColour colour, char *text) {
        Screen screen = screen_of(STDOUT_FILENO);
        _cleanup_(freep) char *safe = text ? screen_text(text) : NULL;

        if (safe)
                (void) printf("%s%s%s\n", colour == SCREEN_PLAIN ? "" : screen_colour(&screen, colour), safe,
                              colour == SCREEN_PLAIN ? "" : screen_end(&screen));
        free(text);
}

static void print_room(const Ctl *ctl, const PreviewMirror *mirror) {
        const Plan *plan = mirror->survey.plan;
        size_t n = plan->n_stage + plan->n_skipped;
        char bytes[2 * TEXT_BYTES_MAX], *text = NULL;

        (void) text_append(&text, "Needed: %s for %zu %s", amount(ctl, bytes, mirror->fit.need_bytes), n,
                           n == 1 ? "entry" : "entries");
        print_safe(SCREEN_PLAIN, text);
        for (FitLimit l = FIT_TMPFS; l < _FIT_LIMIT_MAX; l++) {
                if (mirror->input.room[l] == UINT64_MAX)
                        continue;
                text = NULL;
                (void) text_append(&text, "Room:   %s by %s%s", amount(ctl, bytes, mirror->input.room[l]),
                                   fit_limit_name(l), l == mirror->fit.limit ? " (the limit)" : "");
                print_safe(SCREEN_PLAIN, text);
        }
}

static int print_mirror(const Ctl *ctl, const PreviewMirror *mirror) {
        Screen screen = screen_of(STDOUT_FILENO);
        char *title = NULL;
        int r;

        (void) text_append(&title, "Mirror %s: %s %s %s", mirror->config->name, mirror->config->source,
                           screen.unicode ? "→" : "->", mirror->config->target);
        print_safe(SCREEN_BOLD, title);
        if (mirror->problem) {
                (void) fflush(stdout);
                return screen_fail(CTL_FAILED, "%s", mirror->problem);
        }
        r = print_items(ctl, mirror);
        for (size_t i = 0; i < mirror->survey.source->n_omissions; i++)
                print_safe(SCREEN_PLAIN, explain_omission(mirror->config, &mirror->survey.source->omissions[i]));
        print_room(ctl, mirror);
        print_safe(mirror->fits ? SCREEN_GREEN : SCREEN_RED, strdup(mirror->fits ? "It fits" : mirror->shortage));
        return r;
}

static json_t *items_json(const Plan *plan) {
        json_t *items = json_array();

        for (size_t i = 0; items && i < plan->n_items; i++) {
                const PlanItem *item = &plan->items[i];
                json_t *json = NULL;

                if (!preview_shows(item))
                        continue;
                json = json_pack("{ss,so,so}", "action", plan_action_name(item->action), "size",
                                 is_file(item) ? json_output_number(item->source->size) : json_null(), "path",
                                 json_output_path(plan_item_path(item)));
                if (json_array_append_new(items, json) < 0) {
                        json_decref(items);
                        return NULL;
                }
        }
        return items;
}

static json_t *room_json(const PreviewMirror *mirror) {
        json_t *room = json_array();

        for (FitLimit l = FIT_TMPFS; room && l < _FIT_LIMIT_MAX; l++)
                if (mirror->input.room[l] != UINT64_MAX)
                        (void) json_array_append_new(room,
                                                     json_pack("{ss,so,sb}", "limit", fit_limit_name(l), "bytes",
                                                               json_output_number(mirror->input.room[l]), "decides",
                                                               l == mirror->fit.limit));
        return room;
}

static json_t *omissions_json(const PreviewMirror *mirror) {
        json_t *list = json_array();

        for (size_t i = 0; list && i < mirror->survey.source->n_omissions; i++) {
                _cleanup_(freep) char *text = explain_omission(mirror->config, &mirror->survey.source->omissions[i]);

                if (text)
                        (void) json_array_append_new(list, json_output_text(text));
        }
        return list;
}

static json_t *mirror_json(const PreviewMirror *mirror) {
        json_t *json = json_pack("{ss,so,so,sb}", "name", mirror->config->name, "source",
                                 json_output_path(mirror->config->source), "target",
                                 json_output_path(mirror->config->target), "fits", mirror->fits);

        if (!json)
                return NULL;
        if (mirror->problem) {
                (void) json_object_set_new(json, "problem", json_output_text(mirror->problem));
                return json;
        }
        (void) json_object_set_new(json, "need_bytes", json_output_number(mirror->fit.need_bytes));
        (void) json_object_set_new(json, "short_bytes", json_output_number(mirror->fit.short_bytes));
        (void) json_object_set_new(json, "room", room_json(mirror));
        (void) json_object_set_new(json, "items", items_json(mirror->survey.plan));
        (void) json_object_set_new(json, "omissions", omissions_json(mirror));
        if (mirror->shortage)
                (void) json_object_set_new(json, "shortage", json_output_text(mirror->shortage));
        return json;
}

/* All mirrors are planned, because earlier ones use up space; those that were named are printed. */
static int print_plan(const Ctl *ctl, const Preview *preview, char *const *names) {
        _cleanup_(json_decrefp) json_t *mirrors = ctl->json == CTL_JSON_OFF ? NULL : json_array();
        int r = CTL_DONE;

        for (size_t i = 0; i < preview->n; i++) {
                const PreviewMirror *mirror = &preview->mirrors[i];

                if (names[0] && !strv_has(names, mirror->config->name))
                        continue;
                if (!mirror->fits)
                        r = CTL_FAILED;
                if (mirrors)
                        (void) json_array_append_new(mirrors, mirror_json(mirror));
                else if (print_mirror(ctl, mirror) != CTL_DONE)
                        r = CTL_FAILED;
        }
        if (mirrors && json_output_print(ctl, mirrors, stdout) < 0)
                r = CTL_FAILED;
        return r;
}

static int check_names(const Config *config, char *const *names) {
        for (; *names; names++)
                if (!config_find_mirror(config, *names))
                        return screen_fail(CTL_BAD_ARGUMENTS, "No mirror '%s' in the configuration", *names);
        return CTL_DONE;
}

int commands_plan(const Ctl *ctl, char *const *arguments) {
        _cleanup_(ctl_table_freep) CtlTable *probe = NULL;
        _cleanup_(config_freep) Config *config = NULL;
        _cleanup_(preview_done) Preview preview = {};
        _cleanup_(freep) char *state = NULL;
        const char *what = "plan";
        int r = ctl_table_new(&probe, ctl, columns, ELEMENTSOF(columns)); /* checks --output= before the plan is made */

        if (r != 0)
                return r < 0 ? CTL_FAILED : r;
        if (claim_init() < 0 || config_problems_load(ctl->config, ctl->root, &config) < 0)
                return CTL_FAILED;
        r = check_names(config, arguments);
        if (r != CTL_DONE)
                return r;
        r = dirs_state_directory(&state);
        if (r == 0)
                r = preview_make(config, state, &preview, &what);
        if (r < 0)
                return screen_fail(CTL_FAILED, "Failed to %s: %s", what, strerror(-r));
        return print_plan(ctl, &preview, arguments);
}
