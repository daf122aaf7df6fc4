/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What of a scanned source is wanted in RAM, by name. See plan/select.h; select-shared.c has content that is shared
 * by name.
 *
 * Entries of the source get marks, by their index. Entries that are not marked MARK_KEPT at the end are dropped. */

#include "plan/select-internal.h"

#include "base/path.h"
#include "base/strv.h"
#include "layout/layout.h"
#include "layout/model-name.h"
#include "tree/scan.h"

uint8_t *select_mark_of(const Selection *selection, const char *path) {
        const Entry *entry = manifest_find(selection->source, path);

        return entry ? &selection->marks[entry - selection->source->entries] : NULL;
}

bool select_is_saved(const Selection *selection, const char *path) {
        const Entry *entry = selection->input->base ? manifest_find(selection->input->base, path) : NULL;

        return entry && entry->flags & ENTRY_SAVED && !(entry->flags & ENTRY_RECORD);
}

Override select_override_of(const Selection *selection, const char *path) {
        return selection->input->overrides ? overrides_get(selection->input->overrides, path) : OVERRIDE_NONE;
}

bool select_is_named(Selection *selection, const Entry *entry) {
        bool named = false;

        for (size_t i = 0; i < selection->n_models; i++)
                if (model_name_matches(selection->input->kind, selection->input->models[i], entry))
                        named = selection->used[i] = true;
        return named;
}

/* The mark of the directory that an entry is in: *ret is NULL at the top. */
static int mark_above(const Selection *selection, const char *path, uint8_t **ret) {
        const char *slash = strrchr(path, '/');
        _cleanup_(freep) char *directory = slash ? strndup(path, (size_t) (slash - path)) : NULL;

        if (slash && !directory)
                return -ENOMEM;
        *ret = slash ? select_mark_of(selection, directory) : NULL;
        return 0;
}

static int mark_unfinished(Selection *selection) {
        int r = 0;

        for (size_t i = 0; r == 0 && i < selection->source->n_entries; i++) {
                const Entry *e = &selection->source->entries[i];

                if (layout_role(selection->input->kind, e->path) != LAYOUT_UNFINISHED)
                        continue;
                selection->marks[i] = MARK_UNFINISHED;
                if (e->type != ENTRY_DIRECTORY)
                        r = manifest_omit(selection->source, e->path, OMIT_IN_PROGRESS, 0);
        }
        return r;
}

/* ---- by name: plain and Hugging Face ---- */

/* In path order a directory comes before what is in it, so one pass carries the mark all the way down. */
static int inherit(Selection *selection) {
        for (size_t i = 0; i < selection->source->n_entries; i++) {
                uint8_t *above;
                int r = mark_above(selection, selection->source->entries[i].path, &above);

                if (r < 0)
                        return r;
                if (above && *above & MARK_WHOLE)
                        selection->marks[i] |= MARK_KEPT | MARK_WHOLE;
        }
        return 0;
}

static void mark_names(Selection *selection) {
        for (size_t i = 0; i < selection->source->n_entries; i++) {
                const Entry *e = &selection->source->entries[i];
                Override override = select_override_of(selection, e->path);

                if (!(selection->marks[i] & MARK_UNFINISHED) &&
                    (select_is_named(selection, e) || override == OVERRIDE_STAGED))
                        selection->marks[i] |= MARK_KEPT | MARK_WHOLE;
                if (select_is_saved(selection, e->path) || override == OVERRIDE_RELEASED)
                        selection->marks[i] |= MARK_KEPT;
        }
}

typedef struct Shard {
        const char *path;
        uint8_t *mark;
} Shard;

static int compare_shards(const void *a, const void *b) {
        const char *x = ((const Shard *) a)->path, *y = ((const Shard *) b)->path, *tail_x, *tail_y;
        size_t n_x = layout_set(x, &tail_x), n_y = layout_set(y, &tail_y);
        int order = strncmp(x, y, MIN(n_x, n_y));

        if (order == 0 && n_x != n_y)
                order = n_x < n_y ? -1 : 1;
        if (order == 0)
                order = strcmp(tail_x, tail_y);
        return order != 0 ? order : strcmp(x, y);
}

/* If a file of a set is kept, the whole set is. */
static int complete_sets(Selection *selection) {
        _cleanup_(freep) Shard *shards = calloc(selection->source->n_entries + 1, sizeof(Shard));
        size_t n = 0;
        const char *tail;

        if (!shards)
                return -ENOMEM;
        for (size_t i = 0; i < selection->source->n_entries; i++) {
                const Entry *e = &selection->source->entries[i];

                if (e->type != ENTRY_DIRECTORY && layout_set(e->path, &tail) < strlen(e->path))
                        shards[n++] = (Shard){ .path = e->path, .mark = &selection->marks[i] };
        }
        qsort(shards, n, sizeof(Shard), compare_shards);
        for (size_t i = 0, end; i < n; i = end) {
                uint8_t marks = 0;

                for (end = i; end < n && layout_same_set(shards[i].path, shards[end].path); end++)
                        marks |= *shards[end].mark & MARK_KEPT;
                for (size_t k = i; k < end; k++)
                        *shards[k].mark |= marks;
        }
        return 0;
}

/* A link that is kept brings what it leads to. Positive if that was something new. */
static int follow_links(Selection *selection) {
        bool news = false;

        for (size_t i = 0; i < selection->source->n_entries; i++) {
                const Entry *e = &selection->source->entries[i];
                _cleanup_(freep) char *path = NULL;
                uint8_t *mark;
                int r;

                if (e->type != ENTRY_SYMLINK || !(selection->marks[i] & MARK_KEPT))
                        continue;
                r = path_resolve_link("/", e->path, e->target, &path);
                if (r == -ENOMEM)
                        return r;
                mark = r == 0 ? select_mark_of(selection, path) : NULL;
                if (mark && !(*mark & MARK_WHOLE)) {
                        *mark |= MARK_KEPT | MARK_WHOLE;
                        news = true;
                }
        }
        return news;
}

static int keep_directories(Selection *selection) {
        for (size_t i = selection->source->n_entries; i-- > 0;) {
                uint8_t *above;
                int r;

                if (!(selection->marks[i] & MARK_KEPT))
                        continue;
                r = mark_above(selection, selection->source->entries[i].path, &above);
                if (r < 0)
                        return r;
                if (above)
                        *above |= MARK_KEPT; /* its turn comes later: it stands before */
        }
        return 0;
}

static int select_by_name(Selection *selection) {
        enum { LINKS_MAX = 8 }; /* chains of links longer than this are not followed to the end */
        int r, news = 1;

        mark_names(selection);
        for (unsigned i = 0; news > 0 && i < LINKS_MAX; i++) {
                r = inherit(selection);
                if (r == 0)
                        r = complete_sets(selection);
                if (r < 0)
                        return r;
                news = follow_links(selection);
        }
        return news < 0 ? news : keep_directories(selection);
}

/* ---- what is left ---- */

static bool is_kept(const Selection *selection, const Entry *entry) {
        uint8_t mark = selection->marks[entry - selection->source->entries];

        return mark & MARK_KEPT && !(mark & MARK_UNFINISHED);
}

static int compare_targets(const void *a, const void *b) {
        const Entry *x = *(Entry *const *) a, *y = *(Entry *const *) b;
        int order = strcmp(x->target, y->target);

        return order != 0 ? order : strcmp(x->path, y->path);
}

/* The names are of one file whose first name is dropped: the next one becomes the file, and the others lead to it. */
static int hand_down(const Entry *first, Entry **names, size_t n) {
        for (size_t i = 1; i < n; i++) {
                char *target = strdup(names[0]->path);

                if (!target)
                        return -ENOMEM;
                free(names[i]->target);
                names[i]->target = target;
        }
        names[0]->type = ENTRY_FILE;
        names[0]->room = first->room;
        free(names[0]->target);
        names[0]->target = NULL;
        return 0;
}

static int hand_down_files(Selection *selection) {
        _cleanup_(freep) Entry **names = calloc(selection->source->n_entries + 1, sizeof(Entry *));
        size_t n = 0;
        int r = 0;

        if (!names)
                return -ENOMEM;
        for (size_t i = 0; i < selection->source->n_entries; i++) {
                Entry *e = &selection->source->entries[i];
                const Entry *first = e->type == ENTRY_HARDLINK && is_kept(selection, e)
                                             ? manifest_find(selection->source, e->target)
                                             : NULL;

                if (first && !is_kept(selection, first))
                        names[n++] = e;
        }
        qsort(names, n, sizeof(Entry *), compare_targets);
        for (size_t i = 0, end; r == 0 && i < n; i = end) {
                const Entry *first = manifest_find(selection->source, names[i]->target);

                for (end = i + 1; end < n && strcmp(names[end]->target, names[i]->target) == 0; end++)
                        ;
                r = hand_down(first, names + i, end - i);
        }
        return r;
}

static bool is_dropped(const Entry *entry, void *userdata) {
        return !is_kept(userdata, entry);
}

/* A name also matches a model that a client is just bringing into the mirror. */
static int list_unmatched(Selection *selection, char ***ret) {
        const Manifest *mirror = selection->input->mirror;
        _cleanup_(strv_freep) char **list = NULL;
        int r = strv_copy(NULL, &list);

        for (size_t i = 0; r == 0 && i < selection->n_models; i++) {
                for (size_t k = 0; mirror && !selection->used[i] && k < mirror->n_entries; k++)
                        selection->used[i] = model_name_matches(selection->input->kind, selection->input->models[i],
                                                             &mirror->entries[k]);
                if (!selection->used[i]) {
                        char *name = strdup(selection->input->models[i]);

                        r = name ? strv_take(&list, name) : -ENOMEM;
                }
        }
        if (r == 0)
                *ret = TAKE_PTR(list);
        return r;
}

int select_apply(Manifest *source, const SelectInput *input, char ***ret_unmatched) {
        size_t n_models = strv_length(input->models);
        _cleanup_(freep) uint8_t *marks = calloc(source->n_entries + 1, 1);
        _cleanup_(freep) bool *used = calloc(n_models + 1, sizeof(bool));
        Selection selection = { .source = source, .input = input, .marks = marks, .used = used, .n_models = n_models };
        _cleanup_(strv_freep) char **unmatched = NULL;
        int r;

        if (!marks || !used)
                return -ENOMEM;
        r = mark_unfinished(&selection);
        if (r == 0 && n_models > 0 && input->kind != LAYOUT_OLLAMA)
                r = select_by_name(&selection);
        else
                for (size_t i = 0; i < source->n_entries; i++)
                        marks[i] |= MARK_KEPT;
        if (r == 0 && input->kind != LAYOUT_PLAIN)
                r = select_shared(&selection);
        if (r == 0)
                r = list_unmatched(&selection, &unmatched);
        if (r == 0)
                r = hand_down_files(&selection);
        if (r < 0)
                return r;
        manifest_filter(source, is_dropped, &selection);
        *ret_unmatched = TAKE_PTR(unmatched);
        return 0;
}
