/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Content that is shared by name, and what references it: the manifests of Ollama, the links of Hugging Face. See
 * plan/select.h. */

#include "plan/select-internal.h"

#include "layout/layout.h"
#include "layout/model-name.h"
#include "layout/references.h"
#include "plan/pair.h"

static bool is_pointer(const Selection *selection, const Entry *entry) {
        if (selection->input->kind == LAYOUT_HUGGINGFACE)
                return entry->type == ENTRY_SYMLINK && layout_role(LAYOUT_HUGGINGFACE, entry->path) == LAYOUT_LINK;
        return entry->type != ENTRY_DIRECTORY && strncmp(entry->path, "manifest", 8) == 0 && strchr(entry->path, '/') &&
               layout_role(LAYOUT_OLLAMA, entry->path) == LAYOUT_POINTER;
}

/* A manifest that is not understood is a model all the same, of which nothing else is known. */
static int add_found(const Selection *selection, const Entry *entry, const References *references) {
        _cleanup_(freep) char *name = NULL;
        int r = model_name_of(LAYOUT_OLLAMA, entry, &name);

        if (r <= 0)
                return r;
        r = models_add(selection->input->found, name, entry->path);
        for (size_t i = 0; r == 0 && i < references->n; i++)
                r = models_add(selection->input->found, name, references->items[i].path);
        return r;
}

/* Marks what a pointer references. Positive if it was understood. @current: it is the version that speaks for the
 * model. */
static int mark_referenced(Selection *selection, int rootfd, const Manifest *tree, const Entry *entry, bool current) {
        Override override = select_override_of(selection, entry->path);
        bool wanted = select_is_named(selection, entry) || selection->n_models == 0 || override == OVERRIDE_STAGED;
        uint8_t mark_for = override == OVERRIDE_RELEASED   ? MARK_RELEASED
                       : wanted                        ? MARK_WANTED
                       : select_is_saved(selection, entry->path) ? MARK_CLAIMED
                                                       : 0;
        References references = {};
        const char *text;
        int r = references_read(selection->input->kind, rootfd, tree, entry->path, &references, &text), added = 0;

        if (r == -ENOMEM)
                return r;
        if (current && selection->input->found && selection->input->kind == LAYOUT_OLLAMA)
                added = add_found(selection, entry, &references);
        if (added < 0 || r != 0) {
                reference_list_done(&references);
                return MIN(added, 0);
        }
        for (size_t i = 0; i < references.n; i++) {
                uint8_t *mark = select_mark_of(selection, references.items[i].path);

                if (mark)
                        *mark |= MARK_REFERENCED | (references.items[i].pointer ? MARK_WANTED : mark_for);
        }
        reference_list_done(&references);
        return 1;
}

static bool same_version(const Entry *a, const Entry *b) {
        return a->type == b->type && a->size == b->size && a->mtime_nsec == b->mtime_nsec;
}

/* True if the mirror's pointer replaces the source's: the source's is as both sides agreed, or the same. */
static bool is_current(const Selection *selection, const Entry *source, const Entry *mirror) {
        const Entry *base = selection->input->base ? manifest_find(selection->input->base, source->path) : NULL;

        /* not by the base's mtime, which is the mirror's, also after a comparison found out that it was altered */
        return same_version(source, mirror) ||
               (base && !(base->flags & ENTRY_RECORD) &&
                (pair_is_known(pair_disk(base, source, true)) || pair_is_only_racy(base, source)));
}

static int mark_by_source(Selection *selection, const uint8_t *understood) {
        const SelectInput *input = selection->input;

        for (size_t i = 0; i < selection->source->n_entries; i++) {
                const Entry *e = &selection->source->entries[i];
                const Entry *m;
                int r;

                if (!is_pointer(selection, e))
                        continue;
                m = input->mirror ? manifest_find(input->mirror, e->path) : NULL;
                (void) select_is_named(selection, e); /* so that its name counts as matched */
                if (m ? understood[m - input->mirror->entries] && is_current(selection, e, m)
                      : input->is_deleted && input->is_deleted(e->path, input->userdata))
                        continue;
                r = mark_referenced(selection, input->sourcefd, selection->source, e, true);
                if (r < 0)
                        return r;
                selection->unsure = selection->unsure || r == 0;
        }
        return 0;
}

static int mark_all(Selection *selection) {
        const Manifest *mirror = selection->input->mirror;
        _cleanup_(freep) uint8_t *understood = calloc((mirror ? mirror->n_entries : 0) + 1, 1);

        if (!understood)
                return -ENOMEM;
        for (size_t i = 0; mirror && i < mirror->n_entries; i++) {
                const Entry *e = &mirror->entries[i], *s;
                bool current;
                int r;

                if (!is_pointer(selection, e))
                        continue;
                s = manifest_find(selection->source, e->path);
                current = s ? is_current(selection, s, e)
                            : !models_is_leaving(selection->input->base, selection->source, e);
                r = mark_referenced(selection, selection->input->mirrorfd, mirror, e, current);
                if (r < 0)
                        return r;
                understood[i] = r > 0;
                selection->unsure = selection->unsure || r == 0;
        }
        return mark_by_source(selection, understood);
}

/* A client has deleted it. Even if a pointer cannot be understood, it is not brought back; before it is removed from
 * the disk, all pointers are read again. */
static bool is_deleted(const Selection *selection, const char *path) {
        const Entry *entry = selection->input->base ? manifest_find(selection->input->base, path) : NULL;

        return (entry && entry->flags & ENTRY_CONDEMNED) ||
               (selection->input->is_deleted && selection->input->is_deleted(path, selection->input->userdata));
}

static uint16_t flags_for(const Selection *selection, size_t i) {
        const Entry *e = &selection->source->entries[i];
        Override override = select_override_of(selection, e->path);

        if (!(selection->marks[i] & MARK_REFERENCED) && (!selection->unsure || is_deleted(selection, e->path)))
                return ENTRY_ORPHAN;
        if (selection->input->kind != LAYOUT_OLLAMA || override == OVERRIDE_STAGED ||
            (selection->marks[i] & MARK_WANTED && override != OVERRIDE_RELEASED))
                return 0;
        if (override == OVERRIDE_RELEASED || (selection->marks[i] & (MARK_RELEASED | MARK_CLAIMED)) == MARK_RELEASED) {
                if (selection->input->released)
                        (void) pathset_add(selection->input->released, e->path); /* only for the status */
                return ENTRY_DISK_ONLY;
        }
        return selection->n_models > 0 && !select_is_saved(selection, e->path) ? ENTRY_DISK_ONLY : 0;
}

/* Two names of one file get the same flags: the better ones. */
static void share_flags(const Selection *selection) {
        for (unsigned pass = 0; pass < 2; pass++)
                for (size_t i = 0; i < selection->source->n_entries; i++) {
                        Entry *e = &selection->source->entries[i],
                              *first = e->type == ENTRY_HARDLINK ? manifest_find(selection->source, e->target) : NULL;
                        Entry *to = pass == 0 ? first : e;
                        uint16_t both = ENTRY_ORPHAN | ENTRY_DISK_ONLY, better;

                        if (!first)
                                continue;
                        /* none is less than DISK_ONLY, which is less than ORPHAN */
                        better = (uint16_t) MIN(first->flags & both, e->flags & both);
                        to->flags = (uint16_t) ((to->flags & ~both) | better);
                }
}

int select_shared(Selection *selection) {
        int r = mark_all(selection);

        if (r < 0)
                return r;
        for (size_t i = 0; i < selection->source->n_entries; i++) {
                Entry *e = &selection->source->entries[i];

                if ((e->type == ENTRY_FILE || e->type == ENTRY_HARDLINK) &&
                    layout_is_shared(selection->input->kind, e->path))
                        e->flags |= flags_for(selection, i);
        }
        share_flags(selection);
        return 0;
}
