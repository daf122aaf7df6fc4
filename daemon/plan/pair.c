/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Whether a side still has the object of the base. See plan/pair.h. */

#include "plan/pair.h"

#include "base/array.h"

bool pair_is_alike(const Entry *a, const Entry *b) {
        if (manifest_entry_is_data(a) || manifest_entry_is_data(b))
                return manifest_entry_is_data(a) && manifest_entry_is_data(b) && a->size == b->size;
        return a->type == b->type && (a->type == ENTRY_DIRECTORY || string_equal(a->target, b->target));
}

bool pair_is_tied_alike(const Entry *a, const Entry *b) {
        return !manifest_entry_is_data(a) ||
               (a->type == b->type && (a->type == ENTRY_FILE || string_equal(a->target, b->target)));
}

/* In another boot the number of a device means nothing. */
static bool is_disk_inode(const Entry *base, const Entry *source) {
        return base->disk.ino == source->ino && (base->flags & ENTRY_RECORD || base->dev == source->dev);
}

static bool has_times_of_base(const Entry *base, const Entry *source) {
        return base->disk.ctime_nsec != 0 && base->disk.mtime_nsec == source->mtime_nsec &&
               base->disk.ctime_nsec == source->ctime_nsec;
}

/* The times do not prove anything: what was seen then was too new. While it still is, there is nothing better to be
 * seen. */
static bool is_racy(const Entry *base, const Entry *source) {
        return base->flags & ENTRY_RACY && !(source->flags & ENTRY_RACY);
}

bool pair_is_only_racy(const Entry *base, const Entry *source) {
        return manifest_entry_is_data(base) && pair_is_alike(base, source) && is_disk_inode(base, source) &&
               has_times_of_base(base, source) && is_racy(base, source) &&
               !(base->flags & (ENTRY_DISK_WRITTEN | ENTRY_DISK_DIFFERS));
}

PairState pair_disk(const Entry *base, const Entry *source, bool watched) {
        if (!source)
                return PAIR_ABSENT;
        if (!pair_is_alike(base, source))
                return PAIR_OTHER;
        if (!manifest_entry_is_data(base))
                return PAIR_SAME;
        if (base->disk.ctime_nsec == 0 || !is_disk_inode(base, source) || base->disk.mtime_nsec != source->mtime_nsec ||
            base->flags & ENTRY_DISK_WRITTEN)
                return PAIR_UNSURE;
        if (base->disk.ctime_nsec != source->ctime_nsec)
                return watched && !(base->flags & (ENTRY_DISK_DIFFERS | ENTRY_RACY)) &&
                                       !(source->flags & ENTRY_NO_INODE)
                               ? PAIR_TOUCHED
                               : PAIR_UNSURE;
        if (is_racy(base, source))
                return PAIR_UNSURE;
        return base->flags & ENTRY_DISK_DIFFERS ? PAIR_OTHER : PAIR_SAME;
}

PairState pair_mirror(const Entry *base, const Entry *mirror, bool watched) {
        if (!mirror)
                return PAIR_ABSENT;
        if (!pair_is_alike(base, mirror))
                return PAIR_OTHER;
        if (!manifest_entry_is_data(base))
                return PAIR_SAME;
        if (base->mtime_nsec != mirror->mtime_nsec)
                return PAIR_OTHER; /* it was written to: saving it compares the bytes */
        if (base->ino != mirror->ino)
                return PAIR_UNSURE;
        if (base->flags & ENTRY_MIRROR_DIFFERS)
                return base->ctime_nsec == mirror->ctime_nsec ? PAIR_OTHER : PAIR_UNSURE;
        if (base->flags & ENTRY_UNPROVEN) /* without a digest they cannot be proven */
                return base->flags & ENTRY_HAS_DIGEST ? PAIR_SAME : PAIR_UNSURE;
        if (base->ctime_nsec == mirror->ctime_nsec)
                return PAIR_SAME;
        return watched ? PAIR_TOUCHED : PAIR_UNSURE;
}

bool pair_is_different(const Entry *base, const Entry *source, const Entry *mirror) {
        return base && base->flags & ENTRY_SIDES_DIFFER && is_disk_inode(base, source) &&
               has_times_of_base(base, source) && base->ino == mirror->ino && base->mtime_nsec == mirror->mtime_nsec &&
               base->ctime_nsec == mirror->ctime_nsec;
}

void pair_mark_unproven(const Manifest *base, const Manifest *mirror, bool watched, uint16_t *doubts) {
        for (size_t i = 0; i < base->n_entries; i++) {
                const Entry *entry = &base->entries[i], *seen;

                if ((entry->flags | doubts[i]) & (ENTRY_RECORD | ENTRY_LINKED | ENTRY_UNPROVEN) ||
                    !manifest_entry_is_data(entry) || !(entry->flags & ENTRY_HAS_DIGEST))
                        continue;
                seen = manifest_find(mirror, entry->path);
                if (seen ? pair_mirror(entry, seen, watched) == PAIR_UNSURE && entry->ino == seen->ino : !watched)
                        doubts[i] |= ENTRY_UNPROVEN;
        }
}

void pair_mark_disk_unproven(const Manifest *base, const Manifest *source, bool watched, uint16_t *doubts) {
        for (size_t i = 0; !watched && i < base->n_entries; i++) {
                const Entry *entry = &base->entries[i], *seen;

                if (entry->flags & ENTRY_RECORD || !manifest_entry_is_data(entry) || entry->disk.ctime_nsec == 0)
                        continue;
                seen = manifest_find(source, entry->path);
                if (seen && pair_is_alike(entry, seen) && is_disk_inode(entry, seen) &&
                    entry->disk.ctime_nsec != seen->ctime_nsec)
                        doubts[i] |= ENTRY_DISK_WRITTEN;
        }
}

/* Its digest, if the base has that of the file as it is now. */
static const Digest *known_digest(const Manifest *base, const Entry *source) {
        const Entry *known = manifest_find(base, source->path);

        return known && known->flags & ENTRY_HAS_DIGEST && pair_disk(known, source, false) == PAIR_SAME ? &known->digest
                                                                                                         : NULL;
}

static void untie(const Manifest *source, const Manifest *base, Entry *entry) {
        const Entry *first = manifest_find(source, entry->target);
        const Digest *one = first ? known_digest(base, first) : NULL, *two = known_digest(base, entry);

        if (one && two && digest_equal(one, two))
                return;
        entry->type = ENTRY_FILE;
        entry->room = round_up(entry->size, 4096);
        free(entry->target);
        entry->target = NULL;
}

void pair_untie(Manifest *source, const Manifest *base) {
        for (size_t i = 0; i < source->n_entries; i++)
                if (source->entries[i].type == ENTRY_HARDLINK && source->entries[i].flags & ENTRY_NO_INODE)
                        untie(source, base, &source->entries[i]);
}

/* --- first names --- */

/* From one name of a file to another that takes its place as the first. */
typedef struct Change {
        Entry *from, *to;
} Change;

typedef struct Changes {
        Change *items; /* by .from->path, as entries are */
        size_t n;
} Changes;

static bool is_known(const Manifest *base, const Entry *entry, bool disk) {
        const Entry *known = manifest_find(base, entry->path);

        return known && known->type == ENTRY_FILE && !(known->flags & (ENTRY_RECORD | ENTRY_LINKED)) &&
               (disk ? known->disk.ino : known->ino) == entry->ino;
}

static int compare_changes(const void *a, const void *b) {
        const Change *x = a, *y = b;

        return x->from < y->from ? -1 : x->from > y->from;
}

static Change *find_change(const Changes *changes, Entry *from) {
        Change key = { .from = from };

        return changes->n == 0 ? NULL : bsearch(&key, changes->items, changes->n, sizeof(Change), compare_changes);
}

/* Of several known names the first one in path order is taken. */
static int collect_changes(Manifest *tree, const Manifest *base, bool disk, Changes *ret) {
        size_t n = 0;

        for (size_t i = 0; i < tree->n_entries; i++) {
                Entry *entry = &tree->entries[i], *first;

                if (entry->type != ENTRY_HARDLINK || !is_known(base, entry, disk))
                        continue;
                first = manifest_find(tree, entry->target);
                if (!first || first->type != ENTRY_FILE || is_known(base, first, disk))
                        continue;
                if (ARRAY_ROOM(ret->items, ret->n) < 0)
                        return -ENOMEM;
                ret->items[ret->n++] = (Change){ .from = first, .to = entry };
        }
        if (ret->n > 0)
                qsort(ret->items, ret->n, sizeof(Change), compare_changes);
        for (size_t i = 0; i < ret->n; i++)
                if (n == 0 || ret->items[n - 1].from != ret->items[i].from)
                        ret->items[n++] = ret->items[i];
                else if (ret->items[i].to < ret->items[n - 1].to)
                        ret->items[n - 1].to = ret->items[i].to;
        ret->n = n;
        return 0;
}

static int set_target(Entry *entry, const char *path) {
        char *target = strdup(path);

        if (!target)
                return -ENOMEM;
        free(entry->target);
        entry->target = target;
        return 0;
}

static int retarget(Manifest *tree, const Changes *changes) {
        for (size_t i = 0; i < tree->n_entries; i++) {
                Entry *entry = &tree->entries[i];
                const Change *change =
                        entry->type == ENTRY_HARDLINK ? find_change(changes, manifest_find(tree, entry->target)) : NULL;

                if (change && set_target(entry, change->to->path) < 0)
                        return -ENOMEM;
        }
        return 0;
}

int pair_keep_first_names(Manifest *tree, const Manifest *base, bool disk) {
        Changes changes = {};
        int r = collect_changes(tree, base, disk, &changes);

        if (r == 0 && changes.n > 0)
                r = retarget(tree, &changes);
        for (size_t i = 0; r == 0 && i < changes.n; i++) {
                Entry *from = changes.items[i].from, *to = changes.items[i].to;

                r = set_target(from, to->path);
                if (r < 0)
                        break;
                from->type = ENTRY_HARDLINK;
                to->type = ENTRY_FILE;
                to->room = from->room;
                from->room = 0;
                free(to->target);
                to->target = NULL;
        }
        free(changes.items);
        return r;
}
