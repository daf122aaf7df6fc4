/* SPDX-License-Identifier: GPL-2.0-or-later */

/* One thing on its way to the disk. See save/item.h. */

#include "save/item.h"

static int copy_if(const Entry *from, Entry *to) {
        return from ? manifest_entry_copy(from, to) : 0;
}

int save_item_new(SaveItem **ret, const PlanItem *wanted) {
        _cleanup_(save_item_freep) SaveItem *item = calloc(1, sizeof(*item));

        if (!item)
                return -ENOMEM;
        item->action = wanted->action;
        item->path = strdup(plan_item_path(wanted));
        if (!item->path || copy_if(wanted->mirror, &item->mirror) < 0 || copy_if(wanted->source, &item->source) < 0 ||
            (wanted->base && !(wanted->base->flags & ENTRY_RECORD) &&
             manifest_entry_copy(wanted->base, &item->base) < 0))
                return -ENOMEM;
        *ret = TAKE_PTR(item);
        return 0;
}

SaveItem *save_item_free(SaveItem *item) {
        if (!item)
                return NULL;
        manifest_entry_done(&item->mirror);
        manifest_entry_done(&item->source);
        manifest_entry_done(&item->base);
        manifest_entry_done(&item->origin);
        reference_list_done(&item->references);
        save_done(&item->save);
        free(item->missing);
        free(item->heir);
        free(item->path);
        free(item->problem);
        free(item);
        return NULL;
}

static bool is_same_entry(const Entry *kept, const Entry *seen) {
        if (!kept->path || !seen)
                return !kept->path && !seen;
        return kept->type == seen->type && (kept->ino == seen->ino || kept->ino == 0) && kept->size == seen->size &&
               kept->mtime_nsec == seen->mtime_nsec &&
               (kept->type == ENTRY_DIRECTORY || kept->ctime_nsec == seen->ctime_nsec) && kept->uid == seen->uid &&
               kept->gid == seen->gid && kept->mode == seen->mode && string_equal(kept->target, seen->target);
}

bool save_item_is_same(const SaveItem *item, const PlanItem *wanted) {
        return item->action == wanted->action && is_same_entry(&item->mirror, wanted->mirror) &&
               is_same_entry(&item->source, wanted->source);
}

bool save_item_is_about(const SaveItem *item, const Entry *mirror) {
        return is_same_entry(&item->mirror, mirror);
}

bool save_item_has_origin(const SaveItem *item, const Entry *origin) {
        const Entry *kept = &item->origin;

        if (!kept->path || !origin)
                return !kept->path && !origin;
        return strcmp(kept->path, origin->path) == 0 && (kept->ino == origin->ino || kept->ino == 0) &&
               kept->size == origin->size && kept->mtime_nsec == origin->mtime_nsec;
}

void save_item_take_pointer(SaveItem *item, SurveyPointer *pointer) {
        reference_list_done(&item->references);
        free(item->missing);
        item->references = pointer->references;
        item->broken = pointer->broken;
        item->missing = TAKE_PTR(pointer->missing);
        pointer->references = (References){};
}

static bool is_file(const SaveItem *item) {
        return item->mirror.path && item->mirror.type == ENTRY_FILE;
}

uint64_t save_item_settle_usec(const SaveItem *item, LayoutKind layout, uint64_t settle_usec) {
        Claim claim;

        if (!is_file(item) || item->action == PLAN_SAVEATTR || layout_claim(layout, item->path, &claim))
                return 0;
        /* a pointer is written in one go, and checked by what it references */
        if (item->role == LAYOUT_POINTER && layout != LAYOUT_PLAIN)
                return 0;
        return settle_usec;
}

static int rank(const SaveItem *item) {
        const Entry *entry = item->mirror.path ? &item->mirror : &item->source;
        int role = item->role == LAYOUT_POINTER ? 2 : item->role == LAYOUT_LINK ? 1 : 0;

        if (item->action == PLAN_DELETE)
                return entry->type == ENTRY_DIRECTORY ? 20 : 12 - role;
        if (entry->type == ENTRY_DIRECTORY)
                return 0;
        return 1 + 2 * role + (entry->type != ENTRY_FILE);
}

int save_item_compare(const SaveItem *a, const SaveItem *b) {
        int x = rank(a), y = rank(b);

        if (x != y)
                return x < y ? -1 : 1;
        return x == 20 ? strcmp(b->path, a->path) : strcmp(a->path, b->path);
}

bool save_item_has_directory(const SaveItem *item) {
        return item->mirror.type == ENTRY_DIRECTORY || item->source.type == ENTRY_DIRECTORY;
}

static SaveKind kind_of(const SaveItem *item) {
        bool behind = save_item_has_directory(item) ? item->mirror.type != ENTRY_DIRECTORY
                                                    : item->mirror.mtime_nsec <= item->source.mtime_nsec;

        if (item->action == PLAN_DELETE)
                return SAVE_REMOVAL;
        if (item->action == PLAN_SAVEATTR)
                return SAVE_ATTRIBUTES;
        if (item->action == PLAN_CONFLICT && behind)
                return SAVE_BESIDE;
        return item->origin.path ? SAVE_LINKED : SAVE_CONTENT;
}

void save_item_prepare(SaveItem *item, LayoutKind layout, bool trash, bool anyway) {
        /* seen so soon after its last change that another one may not show: nothing unseen is overwritten or removed */
        bool racy = (item->source.path && item->source.flags & ENTRY_RACY) ||
                    (item->action == PLAN_DELETE && item->base.path && item->base.flags & ENTRY_RACY);

        save_done(&item->save);
        item->save = (Save){
                .kind = kind_of(item), .mirror = item->mirror.path ? &item->mirror : NULL,
                .expected = item->source.path ? &item->source : NULL, .agreed = item->base.path ? &item->base : NULL,
                .from = item->origin.path, .from_expected = item->origin.path ? &item->origin : NULL,
                .keep = item->action == PLAN_CONFLICT || (item->action == PLAN_SAVE && racy),
                .trash = trash || racy, .anyway = anyway || item->accepted,
        };
        if (!is_file(item) || item->accepted || !layout_claim(layout, item->path, &item->save.claim))
                item->save.claim = (Claim){};
}

uint64_t save_item_bytes(const SaveItem *item) {
        return is_file(item) && (item->action == PLAN_SAVE || item->action == PLAN_CONFLICT) ? item->mirror.size : 0;
}

bool save_item_is_moved_link(const SaveItem *item) {
        return item->origin.path && item->mirror.type == ENTRY_SYMLINK;
}

bool save_item_is_hopeless(const SaveItem *item) {
        return item->save.outcome == SAVE_BAD || item->save.outcome == SAVE_LEADS_OUT;
}
