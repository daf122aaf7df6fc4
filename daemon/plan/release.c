/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Which entries are taken out of RAM. See plan/release.h. */

#include "plan/release.h"

#include "base/path.h"
#include "layout/layout.h"
#include "tree/scan.h"

typedef struct Releasing {
        Manifest *source;
        const ReleaseInput *input;
        bool *released; /* one for each entry of the source, like the other two */
        bool *held;     /* a link that stays leads to it */
        bool *freed;    /* a link that was released does */
} Releasing;

/* In an Ollama store the pointers stay, and select_apply() has decided about the blobs. */
static bool is_decided(LayoutKind kind, const Entry *entry) {
        if (kind != LAYOUT_OLLAMA)
                return false;
        return layout_is_shared(kind, entry->path) || !layout_may_link(kind, entry->path) ||
               (entry->type == ENTRY_DIRECTORY && !strchr(entry->path, '/'));
}

static void mark_by_name(const Releasing *releasing) {
        const ReleaseInput *input = releasing->input;

        for (size_t i = 0; i < releasing->source->n_entries; i++) {
                const Entry *e = &releasing->source->entries[i];

                releasing->released[i] =
                        !is_decided(input->kind, e) && overrides_get(input->overrides, e->path) == OVERRIDE_RELEASED;
        }
}

/* ---- Hugging Face ---- */

static bool is_snapshot_link(const Entry *entry) {
        return entry->type == ENTRY_SYMLINK && layout_role(LAYOUT_HUGGINGFACE, entry->path) == LAYOUT_LINK;
}

/* The blob that a link of a snapshot leads to: its index in the source, or SIZE_MAX. */
static int find_blob(const Releasing *releasing, const Entry *link, size_t *ret) {
        _cleanup_(freep) char *path = NULL;
        const Entry *blob;
        int r = path_resolve_link("/", link->path, link->target, &path);

        *ret = SIZE_MAX;
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        blob = manifest_find(releasing->source, path);
        if (blob)
                *ret = (size_t) (blob - releasing->source->entries);
        return 0;
}

static int note_link(const Releasing *releasing, const Entry *link, bool released) {
        size_t blob;
        int r = find_blob(releasing, link, &blob);

        if (r == 0 && blob != SIZE_MAX)
                (released ? releasing->freed : releasing->held)[blob] = true;
        return r;
}

/* Links that a client has just put into the mirror count too. */
static int note_links(const Releasing *releasing) {
        const Manifest *source = releasing->source, *mirror = releasing->input->mirror;
        int r = 0;

        for (size_t i = 0; r == 0 && i < source->n_entries; i++)
                if (is_snapshot_link(&source->entries[i]))
                        r = note_link(releasing, &source->entries[i], releasing->released[i]);
        for (size_t i = 0; r == 0 && mirror && i < mirror->n_entries; i++)
                if (is_snapshot_link(&mirror->entries[i]) && !manifest_find(source, mirror->entries[i].path))
                        r = note_link(releasing, &mirror->entries[i], false);
        return r;
}

static int mark_by_links(const Releasing *releasing) {
        Manifest *source = releasing->source;
        int r = note_links(releasing);

        for (size_t i = 0; i < source->n_entries; i++)
                if (releasing->freed[i] && !releasing->held[i] &&
                    layout_is_shared(LAYOUT_HUGGINGFACE, source->entries[i].path) &&
                    overrides_get(releasing->input->overrides, source->entries[i].path) != OVERRIDE_STAGED)
                        releasing->released[i] = true;
        for (size_t i = 0; r == 0 && i < source->n_entries; i++) {
                size_t blob;

                if (!is_snapshot_link(&source->entries[i]))
                        continue;
                r = find_blob(releasing, &source->entries[i], &blob);
                if (r == 0 && blob != SIZE_MAX && releasing->released[blob])
                        releasing->released[i] = true;
        }
        return r;
}

/* ---- all ---- */

/* A file is released only if all of its names are. */
static void share_marks(const Releasing *releasing) {
        const Manifest *source = releasing->source;

        for (unsigned pass = 0; pass < 2; pass++)
                for (size_t i = 0; i < source->n_entries; i++) {
                        const Entry *e = &source->entries[i],
                                    *first = e->type == ENTRY_HARDLINK ? manifest_find(source, e->target) : NULL;
                        bool *leader = first ? &releasing->released[first - source->entries] : NULL;

                        if (leader)
                                *(pass == 0 ? leader : &releasing->released[i]) = *leader && releasing->released[i];
                }
}

static int list(const Releasing *releasing, PathSet *absent, PathSet *released) {
        const ReleaseInput *input = releasing->input;
        int r = 0;

        for (size_t i = 0; r == 0 && i < releasing->source->n_entries; i++) {
                Entry *e = &releasing->source->entries[i];

                if (!releasing->released[i])
                        continue;
                if (manifest_entry_is_data(e))
                        r = pathset_add(released, e->path);
                if (r < 0)
                        break;
                if (!input->link || !layout_may_link(input->kind, e->path))
                        r = pathset_add(absent, e->path);
                else if (manifest_entry_is_data(e))
                        e->flags |= ENTRY_DISK_ONLY;
        }
        return r;
}

int release_apply(Manifest *source, const ReleaseInput *input, PathSet *absent, PathSet *released) {
        _cleanup_(freep) bool *marks =
                input->overrides->released.n > 0 ? calloc(3 * source->n_entries + 1, sizeof(bool)) : NULL;
        Releasing releasing = { .source = source, .input = input, .released = marks };
        int r = 0;

        if (input->overrides->released.n == 0)
                return 0;
        if (!marks)
                return -ENOMEM;
        releasing.held = marks + source->n_entries;
        releasing.freed = releasing.held + source->n_entries;
        mark_by_name(&releasing);
        if (input->kind == LAYOUT_HUGGINGFACE)
                r = mark_by_links(&releasing);
        share_marks(&releasing);
        if (r == 0)
                r = list(&releasing, absent, released);
        pathset_sort(absent);
        pathset_sort(released);
        return r;
}
