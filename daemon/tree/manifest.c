/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The list of entries in memory: put, sort, find, filter, count. Its text form is tree/manifest-file.c. See
 * tree/manifest.h. */

#include "tree/manifest.h"

#include "base/array.h"
#include "base/path.h"

void manifest_entry_done(Entry *entry) {
        free(entry->path);
        free(entry->target);
        *entry = (Entry){};
}

int manifest_entry_copy(const Entry *from, Entry *to) {
        _cleanup_(freep) char *path = strdup(from->path);
        _cleanup_(freep) char *target = from->target ? strdup(from->target) : NULL;

        if (!path || (from->target && !target))
                return -ENOMEM;
        *to = *from;
        to->path = TAKE_PTR(path);
        to->target = TAKE_PTR(target);
        return 0;
}

void manifest_entry_prove(Entry *base, int64_t ctime_nsec) {
        base->ctime_nsec = ctime_nsec;
        base->flags &= (uint16_t) ~(ENTRY_UNPROVEN | ENTRY_WRITTEN);
}

void manifest_entry_alter(Entry *base, int64_t ctime_nsec) {
        bool certain = base->flags & (ENTRY_WRITTEN | ENTRY_MIRROR_DIFFERS) || base->ctime_nsec != ctime_nsec;

        manifest_entry_prove(base, ctime_nsec);
        base->flags |= certain ? ENTRY_MIRROR_DIFFERS : ENTRY_RECORD | ENTRY_SIDES_DIFFER;
}

void manifest_add_flags(Manifest *manifest, const uint16_t *flags) {
        for (size_t i = 0; i < manifest->n_entries; i++)
                manifest->entries[i].flags |= flags[i];
}

void manifest_entry_set_disk(Entry *base, const Entry *source) {
        base->dev = source->dev;
        base->disk = (DiskObject){ .ino = source->ino, .mtime_nsec = source->mtime_nsec,
                                   .ctime_nsec = source->ctime_nsec };
        base->flags = (uint16_t) ((base->flags & ~(ENTRY_RACY | ENTRY_NO_INODE)) | (source->flags & ENTRY_RACY));
}

int manifest_new(Manifest **ret) {
        Manifest *manifest = calloc(1, sizeof(*manifest));

        if (!manifest)
                return -ENOMEM;
        *ret = manifest;
        return 0;
}

Manifest *manifest_free(Manifest *manifest) {
        if (!manifest)
                return NULL;
        for (size_t i = 0; i < manifest->n_entries; i++)
                manifest_entry_done(&manifest->entries[i]);
        for (size_t i = 0; i < manifest->n_omissions; i++)
                free(manifest->omissions[i].path);
        free(manifest->entries);
        free(manifest->omissions);
        free(manifest);
        return NULL;
}

int manifest_put(Manifest *manifest, const Entry *entry) {
        Entry copy;

        if (ARRAY_ROOM(manifest->entries, manifest->n_entries) < 0 || manifest_entry_copy(entry, &copy) < 0)
                return -ENOMEM;
        manifest->entries[manifest->n_entries++] = copy;
        return 0;
}

static int compare_paths(const void *a, const void *b) {
        return strcmp(((const Entry *) a)->path, ((const Entry *) b)->path);
}

/* Merge sort from the bottom up. It must be stable, because of two entries of one path the later put wins. It sorts
 * indexes into the list, because a second list of entries would be the largest thing in memory. */
static void merge_runs(const Entry *entries, const size_t *from, size_t *to, size_t n, size_t width) {
        for (size_t low = 0; low < n; low += 2 * width) {
                size_t left = low, middle = MIN(low + width, n), right = middle, end = MIN(low + 2 * width, n);

                for (size_t k = low; k < end; k++)
                        if (left < middle &&
                            (right >= end || compare_paths(&entries[from[left]], &entries[from[right]]) <= 0))
                                to[k] = from[left++];
                        else
                                to[k] = from[right++];
        }
}

/* Moves the entry number order[k] to index k, following one cycle of moves after the other. Destroys @order. */
static void arrange(Entry *entries, size_t *order, size_t n) {
        for (size_t first = 0; first < n; first++) {
                Entry entry = entries[first];
                size_t k = first;

                while (order[k] != first) {
                        size_t from = order[k];

                        entries[k] = entries[from];
                        order[k] = k;
                        k = from;
                }
                entries[k] = entry;
                order[k] = k;
        }
}

/* False if there is no memory for it. */
static bool sort_by_merging(Entry *entries, size_t n) {
        _cleanup_(freep) size_t *order = reallocarray(NULL, n, sizeof(size_t)),
                                *spare = reallocarray(NULL, n, sizeof(size_t));

        if (!order || !spare)
                return false;
        for (size_t i = 0; i < n; i++)
                order[i] = i;
        for (size_t width = 1; width < n; width *= 2) {
                size_t *sorted = spare;

                merge_runs(entries, order, sorted, n, width);
                spare = order;
                order = sorted;
        }
        arrange(entries, order, n);
        return true;
}

/* Insertion sort, slow, for when there is no memory for the other. */
static void sort_in_place(Entry *entries, size_t n) {
        for (size_t i = 1; i < n; i++) {
                Entry entry = entries[i];
                size_t k = i;

                for (; k > 0 && compare_paths(&entries[k - 1], &entry) > 0; k--)
                        entries[k] = entries[k - 1];
                entries[k] = entry;
        }
}

static bool is_sorted(const Manifest *manifest) {
        for (size_t i = 1; i < manifest->n_entries; i++)
                if (compare_paths(&manifest->entries[i - 1], &manifest->entries[i]) >= 0)
                        return false;
        return true;
}

static void drop_replaced(Manifest *manifest) {
        size_t kept = 0;

        for (size_t i = 0; i < manifest->n_entries; i++) {
                if (i + 1 < manifest->n_entries &&
                    compare_paths(&manifest->entries[i], &manifest->entries[i + 1]) == 0) {
                        manifest_entry_done(&manifest->entries[i]);
                        continue;
                }
                manifest->entries[kept++] = manifest->entries[i];
        }
        manifest->n_entries = kept;
}

void manifest_sort(Manifest *manifest) {
        if (manifest->n_sorted == manifest->n_entries)
                return;
        if (!is_sorted(manifest)) {
                if (!sort_by_merging(manifest->entries, manifest->n_entries))
                        sort_in_place(manifest->entries, manifest->n_entries);
                drop_replaced(manifest);
        }
        manifest->n_sorted = manifest->n_entries;
}

int manifest_copy(const Manifest *from, Manifest **ret) {
        _cleanup_(manifest_freep) Manifest *copy = NULL;
        int r = manifest_new(&copy);

        for (size_t i = 0; r == 0 && i < from->n_entries; i++)
                r = manifest_put(copy, &from->entries[i]);
        if (r < 0)
                return r;
        manifest_sort(copy);
        *ret = TAKE_PTR(copy);
        return 0;
}

Entry *manifest_find(const Manifest *manifest, const char *path) {
        Entry key = { .path = (char *) path };

        assert(manifest->n_sorted == manifest->n_entries);
        if (manifest->n_entries == 0)
                return NULL;
        return bsearch(&key, manifest->entries, manifest->n_entries, sizeof(Entry), compare_paths);
}

size_t manifest_seek(const Manifest *manifest, const char *path) {
        Entry key = { .path = (char *) path };

        return array_seek(manifest->entries, manifest->n_entries, sizeof(Entry), compare_paths, &key);
}

static int compare_with_directory(const void *entry, const void *directory) {
        return path_compare_inside(((const Entry *) entry)->path, directory);
}

size_t manifest_seek_inside(const Manifest *manifest, const char *directory) {
        return array_seek(manifest->entries, manifest->n_entries, sizeof(Entry), compare_with_directory, directory);
}

void manifest_filter(Manifest *manifest, bool (*drop)(const Entry *entry, void *userdata), void *userdata) {
        size_t kept = 0;

        manifest_sort(manifest);
        for (size_t i = 0; i < manifest->n_entries; i++)
                if (drop(&manifest->entries[i], userdata))
                        manifest_entry_done(&manifest->entries[i]);
                else
                        manifest->entries[kept++] = manifest->entries[i];
        manifest->n_entries = manifest->n_sorted = kept;
}

int manifest_omit(Manifest *manifest, const char *path, OmissionReason reason, int error) {
        char *copy = strdup(path);

        if (!copy || ARRAY_ROOM(manifest->omissions, manifest->n_omissions) < 0) {
                free(copy);
                return -ENOMEM;
        }
        manifest->omissions[manifest->n_omissions++] = (Omission){ .path = copy, .reason = reason, .error = error };
        return 0;
}

size_t manifest_omissions(const Manifest *manifest, OmissionReason reason) {
        size_t n = 0;

        for (size_t i = 0; i < manifest->n_omissions; i++)
                n += manifest->omissions[i].reason == reason;
        return n;
}

bool manifest_is_blind(const Manifest *manifest, const char *path) {
        for (size_t i = 0; i < manifest->n_omissions; i++) {
                const Omission *o = &manifest->omissions[i];

                if ((o->reason == OMIT_UNREADABLE || o->reason == OMIT_CHANGED || o->reason == OMIT_MOUNT) &&
                    path_is_below(path, o->path))
                        return true;
        }
        return false;
}

bool manifest_is_covered(const Manifest *manifest, const char *path) {
        for (size_t i = 0; i < manifest->n_omissions; i++)
                if (manifest->omissions[i].reason == OMIT_MOUNT && path_is_below(path, manifest->omissions[i].path))
                        return true;
        return false;
}

const char *manifest_first_omission(const Manifest *manifest, OmissionReason reason) {
        for (size_t i = 0; i < manifest->n_omissions; i++)
                if (manifest->omissions[i].reason == reason)
                        return manifest->omissions[i].path;
        return NULL;
}

static bool counts(const Entry *entry) {
        return (entry->type == ENTRY_FILE || entry->type == ENTRY_HARDLINK) && !(entry->flags & ENTRY_RECORD);
}

uint64_t manifest_bytes(const Manifest *manifest) {
        uint64_t bytes = 0;

        for (size_t i = 0; i < manifest->n_entries; i++)
                if (counts(&manifest->entries[i]) && manifest->entries[i].type == ENTRY_FILE &&
                    !(manifest->entries[i].flags & ENTRY_LINKED))
                        bytes += manifest->entries[i].size;
        return bytes;
}

size_t manifest_files(const Manifest *manifest) {
        size_t n = 0;

        for (size_t i = 0; i < manifest->n_entries; i++)
                n += counts(&manifest->entries[i]) && !(manifest->entries[i].flags & ENTRY_LINKED);
        return n;
}

size_t manifest_linked(const Manifest *manifest) {
        size_t n = 0;

        for (size_t i = 0; i < manifest->n_entries; i++)
                n += counts(&manifest->entries[i]) && manifest->entries[i].flags & ENTRY_LINKED;
        return n;
}

bool manifest_generation_equal(const Generation *a, const Generation *b) {
        return memcmp(a->boot_id, b->boot_id, sizeof(a->boot_id)) == 0 && a->mirror_dev == b->mirror_dev &&
               a->mirror_ino == b->mirror_ino && a->source_dev == b->source_dev && a->source_ino == b->source_ino;
}
