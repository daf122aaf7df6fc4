/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Which of a scanned source is wanted in RAM. See plan/select.h; the sweep is in plan/unreferenced.c.
 *
 * Entries of the source are marked, by their index; what has no mark at the end is dropped. */

#include "plan/select.h"

#include "base/path.h"
#include "base/strv.h"
#include "layout/layout.h"
#include "layout/model-name.h"
#include "layout/references.h"
#include "tree/scan.h"

enum {
        MARK_KEPT = 1 << 0,   /* stays in the list */
        MARK_WHOLE = 1 << 1,  /* and all below it */
        MARK_NEEDED = 1 << 2, /* a manifest names it */
        MARK_WANTED = 1 << 3, /* a manifest of a chosen model does */
        MARK_UNFINISHED = 1 << 4,
        MARK_RELEASED = 1 << 5, /* an operator freed its RAM */
        MARK_CLAIMED = 1 << 6,  /* what a client brought names it */
};

typedef struct Choice {
        Manifest *source;
        const SelectInput *input;
        uint8_t *marks; /* one for each entry of the source */
        bool *used;     /* one for each of the models: it chose something */
        size_t n_models;
        bool unsure;    /* a manifest was not understood */
} Choice;

/* The mark of the entry at a path; NULL if there is none. */
static uint8_t *mark_of(const Choice *choice, const char *path) {
        const Entry *entry = manifest_find(choice->source, path);

        return entry ? &choice->marks[entry - choice->source->entries] : NULL;
}

/* Of the directory that an entry is in: *ret is NULL at the top. */
static int mark_above(const Choice *choice, const char *path, uint8_t **ret) {
        const char *slash = strrchr(path, '/');
        _cleanup_(freep) char *directory = slash ? strndup(path, (size_t) (slash - path)) : NULL;

        if (slash && !directory)
                return -ENOMEM;
        *ret = slash ? mark_of(choice, directory) : NULL;
        return 0;
}

/* What a client brought into the mirror in this generation. */
static bool is_saved(const Choice *choice, const char *path) {
        const Entry *entry = choice->input->base ? manifest_find(choice->input->base, path) : NULL;

        return entry && entry->flags & ENTRY_SAVED && !(entry->flags & ENTRY_RECORD);
}

static Override wish_of(const Choice *choice, const char *path) {
        return choice->input->overrides ? overrides_get(choice->input->overrides, path) : OVERRIDE_NONE;
}

/* True if a name of Models= names the entry; remembers which ones did. */
static bool is_named(Choice *choice, const Entry *entry) {
        bool named = false;

        for (size_t i = 0; i < choice->n_models; i++)
                if (model_name_matches(choice->input->kind, choice->input->models[i], entry))
                        named = choice->used[i] = true;
        return named;
}

static int mark_unfinished(Choice *choice) {
        int r = 0;

        for (size_t i = 0; r == 0 && i < choice->source->n_entries; i++) {
                const Entry *e = &choice->source->entries[i];

                if (layout_role(choice->input->kind, e->path) != LAYOUT_UNFINISHED)
                        continue;
                choice->marks[i] = MARK_UNFINISHED;
                if (e->type != ENTRY_DIRECTORY)
                        r = manifest_omit(choice->source, e->path, OMIT_IN_PROGRESS, 0);
        }
        return r;
}

/* ---- by name: plain and Hugging Face ---- */

/* In path order a directory comes before what is in it, so one pass carries the mark all the way down. */
static int inherit(Choice *choice) {
        for (size_t i = 0; i < choice->source->n_entries; i++) {
                uint8_t *above;
                int r = mark_above(choice, choice->source->entries[i].path, &above);

                if (r < 0)
                        return r;
                if (above && *above & MARK_WHOLE)
                        choice->marks[i] |= MARK_KEPT | MARK_WHOLE;
        }
        return 0;
}

static void mark_names(Choice *choice) {
        for (size_t i = 0; i < choice->source->n_entries; i++) {
                const Entry *e = &choice->source->entries[i];
                Override override = wish_of(choice, e->path);

                if (!(choice->marks[i] & MARK_UNFINISHED) && (is_named(choice, e) || override == OVERRIDE_STAGED))
                        choice->marks[i] |= MARK_KEPT | MARK_WHOLE;
                if (is_saved(choice, e->path) || override == OVERRIDE_RELEASED)
                        choice->marks[i] |= MARK_KEPT;
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

/* Of a set that has a mark every file gets it. */
static int complete_sets(Choice *choice) {
        _cleanup_(freep) Shard *shards = calloc(choice->source->n_entries + 1, sizeof(Shard));
        size_t n = 0;
        const char *tail;

        if (!shards)
                return -ENOMEM;
        for (size_t i = 0; i < choice->source->n_entries; i++) {
                const Entry *e = &choice->source->entries[i];

                if (e->type != ENTRY_DIRECTORY && layout_set(e->path, &tail) < strlen(e->path))
                        shards[n++] = (Shard){ .path = e->path, .mark = &choice->marks[i] };
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

/* A chosen link brings what it leads to. Positive if that was something new. */
static int follow_links(Choice *choice) {
        bool news = false;

        for (size_t i = 0; i < choice->source->n_entries; i++) {
                const Entry *e = &choice->source->entries[i];
                _cleanup_(freep) char *path = NULL;
                uint8_t *mark;
                int r;

                if (e->type != ENTRY_SYMLINK || !(choice->marks[i] & MARK_KEPT))
                        continue;
                r = path_resolve_link("/", e->path, e->target, &path);
                if (r == -ENOMEM)
                        return r;
                mark = r == 0 ? mark_of(choice, path) : NULL;
                if (mark && !(*mark & MARK_WHOLE)) {
                        *mark |= MARK_KEPT | MARK_WHOLE;
                        news = true;
                }
        }
        return news;
}

static int keep_directories(Choice *choice) {
        for (size_t i = choice->source->n_entries; i-- > 0;) {
                uint8_t *above;
                int r = choice->marks[i] & MARK_KEPT ? mark_above(choice, choice->source->entries[i].path, &above) : 0;

                if (r < 0)
                        return r;
                if (choice->marks[i] & MARK_KEPT && above)
                        *above |= MARK_KEPT; /* it is still to come: it stands before */
        }
        return 0;
}

static int choose_by_name(Choice *choice) {
        enum { LINKS_MAX = 8 }; /* one after the other, as a kernel would follow them */
        int r, news = 1;

        mark_names(choice);
        for (unsigned i = 0; news > 0 && i < LINKS_MAX; i++) {
                r = inherit(choice);
                if (r == 0)
                        r = complete_sets(choice);
                if (r < 0)
                        return r;
                news = follow_links(choice);
        }
        return news < 0 ? news : keep_directories(choice);
}

/* ---- by what names them: the manifests of Ollama, the links of Hugging Face ---- */

static bool is_witness(const Choice *choice, const Entry *entry) {
        if (choice->input->kind == LAYOUT_HUGGINGFACE)
                return entry->type == ENTRY_SYMLINK && layout_role(LAYOUT_HUGGINGFACE, entry->path) == LAYOUT_LINK;
        return entry->type != ENTRY_DIRECTORY && strncmp(entry->path, "manifest", 8) == 0 && strchr(entry->path, '/') &&
               layout_role(LAYOUT_OLLAMA, entry->path) == LAYOUT_POINTER;
}

/* What is not understood is a model all the same, of which nothing is known but that. */
static int add_found(const Choice *choice, const Entry *entry, const References *references) {
        _cleanup_(freep) char *name = NULL;
        int r = model_name_of(LAYOUT_OLLAMA, entry, &name);

        if (r <= 0)
                return r;
        r = models_add(choice->input->found, name, entry->path);
        for (size_t i = 0; r == 0 && i < references->n; i++)
                r = models_add(choice->input->found, name, references->items[i].path);
        return r;
}

/* Positive if it was understood. @current: no other version of it speaks for the model. */
static int mark_named(Choice *choice, int rootfd, const Manifest *tree, const Entry *entry, bool current) {
        Override override = wish_of(choice, entry->path);
        bool wanted = is_named(choice, entry) || choice->n_models == 0 || override == OVERRIDE_STAGED;
        uint8_t said = override == OVERRIDE_RELEASED   ? MARK_RELEASED
                       : wanted                        ? MARK_WANTED
                       : is_saved(choice, entry->path) ? MARK_CLAIMED
                                                       : 0;
        References references = {};
        const char *text;
        int r = references_read(choice->input->kind, rootfd, tree, entry->path, &references, &text), added = 0;

        if (r == -ENOMEM)
                return r;
        if (current && choice->input->found && choice->input->kind == LAYOUT_OLLAMA)
                added = add_found(choice, entry, &references);
        if (added < 0 || r != 0) {
                reference_list_done(&references);
                return MIN(added, 0);
        }
        for (size_t i = 0; i < references.n; i++) {
                uint8_t *mark = mark_of(choice, references.items[i].path);

                if (mark)
                        *mark |= MARK_NEEDED | (references.items[i].pointer ? MARK_WANTED : said);
        }
        reference_list_done(&references);
        return 1;
}

static bool same_version(const Entry *a, const Entry *b) {
        return a->type == b->type && a->size == b->size && a->mtime_nsec == b->mtime_nsec;
}

/* True if what is in the mirror speaks for the source's: the disk's is as it was agreed, or the same. */
static bool is_current(const Choice *choice, const Entry *source, const Entry *mirror) {
        const Entry *base = choice->input->base ? manifest_find(choice->input->base, source->path) : NULL;

        return same_version(source, mirror) || (base && !(base->flags & ENTRY_RECORD) && same_version(source, base));
}

static int mark_by_source(Choice *choice, const uint8_t *understood) {
        const SelectInput *input = choice->input;

        for (size_t i = 0; i < choice->source->n_entries; i++) {
                const Entry *e = &choice->source->entries[i];
                const Entry *m = input->mirror && is_witness(choice, e) ? manifest_find(input->mirror, e->path) : NULL;
                int r;

                if (!is_witness(choice, e))
                        continue;
                (void) is_named(choice, e); /* for the names that chose nothing */
                if (m ? understood[m - input->mirror->entries] && is_current(choice, e, m)
                      : input->is_deleted && input->is_deleted(e->path, input->userdata))
                        continue;
                r = mark_named(choice, input->sourcefd, choice->source, e, true);
                if (r < 0)
                        return r;
                choice->unsure = choice->unsure || r == 0;
        }
        return 0;
}

static int mark_needed(Choice *choice) {
        const Manifest *mirror = choice->input->mirror;
        _cleanup_(freep) uint8_t *understood = calloc((mirror ? mirror->n_entries : 0) + 1, 1);

        if (!understood)
                return -ENOMEM;
        for (size_t i = 0; mirror && i < mirror->n_entries; i++) {
                const Entry *e = &mirror->entries[i],
                            *s = is_witness(choice, e) ? manifest_find(choice->source, e->path) : NULL;
                bool current =
                        s ? is_current(choice, s, e) : !models_is_leaving(choice->input->base, choice->source, e);
                int r = is_witness(choice, e) ? mark_named(choice, choice->input->mirrorfd, mirror, e, current) : 1;

                if (r < 0)
                        return r;
                understood[i] = r > 0;
                choice->unsure = choice->unsure || r == 0;
        }
        return mark_by_source(choice, understood);
}

/* Before it leaves the disk, that is asked again; but for what cannot be understood it is not brought back. */
static bool is_deleted(const Choice *choice, const char *path) {
        const Entry *entry = choice->input->base ? manifest_find(choice->input->base, path) : NULL;

        return (entry && entry->flags & ENTRY_CONDEMNED) ||
               (choice->input->is_deleted && choice->input->is_deleted(path, choice->input->userdata));
}

static uint8_t fate(const Choice *choice, size_t i) {
        const Entry *e = &choice->source->entries[i];
        Override override = wish_of(choice, e->path);

        if (!(choice->marks[i] & MARK_NEEDED) && (!choice->unsure || is_deleted(choice, e->path)))
                return ENTRY_ORPHAN;
        if (choice->input->kind != LAYOUT_OLLAMA || override == OVERRIDE_STAGED ||
            (choice->marks[i] & MARK_WANTED && override != OVERRIDE_RELEASED))
                return 0;
        if (override == OVERRIDE_RELEASED || (choice->marks[i] & (MARK_RELEASED | MARK_CLAIMED)) == MARK_RELEASED) {
                if (choice->input->released)
                        (void) pathset_add(choice->input->released, e->path); /* is only told */
                return ENTRY_DISK_ONLY;
        }
        return choice->n_models > 0 && !is_saved(choice, e->path) ? ENTRY_DISK_ONLY : 0;
}

/* Two names of one file have one fate: the better one. */
static void share_fates(const Choice *choice) {
        for (unsigned pass = 0; pass < 2; pass++)
                for (size_t i = 0; i < choice->source->n_entries; i++) {
                        Entry *e = &choice->source->entries[i],
                              *first = e->type == ENTRY_HARDLINK ? manifest_find(choice->source, e->target) : NULL;
                        Entry *to = pass == 0 ? first : e;
                        uint8_t outcomes = ENTRY_ORPHAN | ENTRY_DISK_ONLY, better;

                        if (!first)
                                continue;
                        /* none is less than DISK_ONLY, which is less than ORPHAN */
                        better = MIN(first->flags & outcomes, e->flags & outcomes);
                        to->flags = (uint8_t) ((to->flags & ~outcomes) | better);
                }
}

static int choose_by_witness(Choice *choice) {
        int r = mark_needed(choice);

        if (r < 0)
                return r;
        for (size_t i = 0; i < choice->source->n_entries; i++) {
                Entry *e = &choice->source->entries[i];

                if ((e->type == ENTRY_FILE || e->type == ENTRY_HARDLINK) &&
                    layout_is_shared(choice->input->kind, e->path))
                        e->flags |= fate(choice, i);
        }
        share_fates(choice);
        return 0;
}

/* ---- what is left ---- */

static bool is_kept(const Choice *choice, const Entry *entry) {
        uint8_t mark = choice->marks[entry - choice->source->entries];

        return mark & MARK_KEPT && !(mark & MARK_UNFINISHED);
}

static int compare_targets(const void *a, const void *b) {
        const Entry *x = *(Entry *const *) a, *y = *(Entry *const *) b;
        int order = strcmp(x->target, y->target);

        return order != 0 ? order : strcmp(x->path, y->path);
}

/* The names are of one file whose first name goes: the next is the file, and the others lead to it. */
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

static int hand_down_files(Choice *choice) {
        _cleanup_(freep) Entry **names = calloc(choice->source->n_entries + 1, sizeof(Entry *));
        size_t n = 0;
        int r = 0;

        if (!names)
                return -ENOMEM;
        for (size_t i = 0; i < choice->source->n_entries; i++) {
                Entry *e = &choice->source->entries[i];
                const Entry *first = e->type == ENTRY_HARDLINK && is_kept(choice, e)
                                             ? manifest_find(choice->source, e->target)
                                             : NULL;

                if (first && !is_kept(choice, first))
                        names[n++] = e;
        }
        qsort(names, n, sizeof(Entry *), compare_targets);
        for (size_t i = 0, end; r == 0 && i < n; i = end) {
                const Entry *first = manifest_find(choice->source, names[i]->target);

                for (end = i + 1; end < n && strcmp(names[end]->target, names[i]->target) == 0; end++)
                        ;
                r = hand_down(first, names + i, end - i);
        }
        return r;
}

static bool is_dropped(const Entry *entry, void *userdata) {
        return !is_kept(userdata, entry);
}

/* A name may be that of a model that a client is just bringing in. */
static int list_unmatched(Choice *choice, char ***ret) {
        const Manifest *mirror = choice->input->mirror;
        _cleanup_(strv_freep) char **list = NULL;
        int r = strv_copy(NULL, &list);

        for (size_t i = 0; r == 0 && i < choice->n_models; i++) {
                for (size_t k = 0; mirror && !choice->used[i] && k < mirror->n_entries; k++)
                        choice->used[i] = model_name_matches(choice->input->kind, choice->input->models[i],
                                                             &mirror->entries[k]);
                if (!choice->used[i]) {
                        char *name = strdup(choice->input->models[i]);

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
        Choice choice = { .source = source, .input = input, .marks = marks, .used = used, .n_models = n_models };
        _cleanup_(strv_freep) char **unmatched = NULL;
        int r;

        if (!marks || !used)
                return -ENOMEM;
        r = mark_unfinished(&choice);
        if (r == 0 && n_models > 0 && input->kind != LAYOUT_OLLAMA)
                r = choose_by_name(&choice);
        else
                for (size_t i = 0; i < source->n_entries; i++)
                        marks[i] |= MARK_KEPT;
        if (r == 0 && input->kind != LAYOUT_PLAIN)
                r = choose_by_witness(&choice);
        if (r == 0)
                r = list_unmatched(&choice, &unmatched);
        if (r == 0)
                r = hand_down_files(&choice);
        if (r < 0)
                return r;
        manifest_filter(source, is_dropped, &choice);
        *ret_unmatched = TAKE_PTR(unmatched);
        return 0;
}
