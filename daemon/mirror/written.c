/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Which files may have been written. See mirror/written.h. */

#include "mirror/written.h"

#include "tree/inodes.h"

void written_done(Written *written) {
        pathset_done(&written->notes);
        pathset_done(&written->scanning);
        pathset_done(&written->before);
        *written = (Written){};
}

/* Adds names to those of @to, unless @all is set already or has to be. */
static void gather(PathSet *to, bool *all, char *const *names, size_t n) {
        for (size_t i = 0; i < n && !*all; i++)
                *all = pathset_gather(to, names[i], WATCH_REPORT_PATHS_MAX) < 0;
        if (*all)
                pathset_done(to);
}

void written_note(Written *written, const WatchReport *report) {
        if (report->flags & (WATCH_RESYNC | WATCH_LOST | WATCH_EXHAUSTED))
                written->all = true;
        gather(&written->notes, &written->all, report->written, report->n_written);
}

bool written_is_clear(const Written *written) {
        return !written->all && !written->scanning_all && written->notes.n == 0 && written->scanning.n == 0;
}

void written_begin(Written *written) {
        written->scanning_all = written->scanning_all || written->all;
        gather(&written->scanning, &written->scanning_all, written->notes.items, written->notes.n);
        pathset_sort(&written->scanning);
        pathset_done(&written->notes);
        written->all = false;
}

void written_end(Written *written) {
        pathset_done(&written->before);
        written->before = written->scanning;
        written->scanning = (PathSet){};
        written->scanning_all = false;
}

/* --- marking --- */

/* The one kind of objects that entries name: those of the mirror or those of the disk. */
typedef struct Side {
        bool (*has)(const Entry *entry);     /* it names such an object, a file */
        uint64_t (*ino)(const Entry *entry); /* of it; 0: there is none, or only its path is known */
        int64_t (*ctime_nsec)(const Entry *entry);
        unsigned mark;
        unsigned named; /* mark if it was reported by a name */
} Side;

typedef struct Marking {
        const Side *side;
        const Manifest *base, *scanned;
        Inodes inodes; /* of the base */
        bool *hit;     /* for each entry of the base */
} Marking;

static void marking_done(Marking *marking) {
        inodes_done(&marking->inodes);
        free(marking->hit);
}

/* True if the base has the inode; never for 0. With @hit, all its names are hit. */
static bool hit_inode(Marking *marking, uint64_t ino, bool hit) {
        const Inodes *inodes = &marking->inodes;
        size_t k = inodes_find(inodes, ino);

        if (k == inodes->n)
                return false;
        if (hit && !marking->hit[inodes->items[k].index]) /* the names of one inode are hit together */
                for (; k < inodes->n && inodes->items[k].ino == ino; k++)
                        marking->hit[inodes->items[k].index] = true;
        return true;
}

static void hit_entry(Marking *marking, size_t index) {
        uint64_t ino = marking->side->ino(&marking->base->entries[index]);

        if (ino == 0)
                marking->hit[index] = true;
        else
                (void) hit_inode(marking, ino, true);
}

/* The number in a name "#N" of an O_TMPFILE; 0: it is another name. */
static uint64_t number_of(const char *path) {
        const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
        char *end = NULL;
        uint64_t number;

        if (name[0] != '#' || name[1] < '0' || name[1] > '9')
                return 0;
        number = strtoull(name + 1, &end, 10);
        return *end == '\0' ? number : 0;
}

static uint64_t scanned_ino(const Entry *entry) {
        return manifest_entry_is_data(entry) ? entry->ino : 0;
}

/* True if the base has a file that the name is known to stand for. With @hit, these are hit. */
static bool hit_name(Marking *marking, const char *name, bool hit) {
        const Entry *scanned = manifest_find(marking->scanned, name), *base = manifest_find(marking->base, name);
        uint64_t number = number_of(name);
        bool known = base && marking->side->has(base);

        if (known && hit)
                hit_entry(marking, (size_t) (base - marking->base->entries));
        if (scanned)
                known |= hit_inode(marking, scanned_ino(scanned), hit);
        known |= hit_inode(marking, number, hit);
        return known;
}

/* A file that has another ctime than in the base, or another name, which moves it as well. What is nowhere to be seen
 * is gone, unless the scan could not see everything. */
static bool is_touched(const Marking *marking, const Entry *base, const Inodes *scanned_inodes, bool blind) {
        const Entry *scanned = manifest_find(marking->scanned, base->path);
        uint64_t ino = marking->side->ino(base);

        if (scanned && manifest_entry_is_data(scanned) && (ino == 0 || scanned->ino == 0 || scanned->ino == ino))
                return scanned->ctime_nsec != marking->side->ctime_nsec(base);
        return blind || (ino != 0 && inodes_find(scanned_inodes, ino) < scanned_inodes->n);
}

static int hit_touched(Marking *marking) {
        _cleanup_(inodes_done) Inodes inodes = {};
        bool blind = manifest_omissions(marking->scanned, OMIT_UNREADABLE) > 0 ||
                     manifest_omissions(marking->scanned, OMIT_CHANGED) > 0;

        if (inodes_collect(&inodes, marking->scanned, scanned_ino) < 0)
                return -ENOMEM;
        for (size_t i = 0; i < marking->base->n_entries; i++)
                if (!marking->hit[i] && marking->side->has(&marking->base->entries[i]) &&
                    is_touched(marking, &marking->base->entries[i], &inodes, blind))
                        hit_entry(marking, i);
        return 0;
}

static void hit_all(Marking *marking) {
        for (size_t i = 0; i < marking->base->n_entries; i++)
                marking->hit[i] = marking->side->has(&marking->base->entries[i]);
}

static int hit_names(Marking *marking, const Written *written) {
        bool known = true;

        for (size_t i = 0; i < written->scanning.n; i++)
                known &= hit_name(marking, written->scanning.items[i], true);
        for (size_t i = 0; known && i < written->before.n; i++)
                known = hit_name(marking, written->before.items[i], false);
        return known ? 0 : hit_touched(marking);
}

static bool is_hit(const Marking *marking, size_t index) {
        return marking->hit[index] && marking->base->entries[index].flags & ENTRY_HAS_DIGEST;
}

static int list_hits(const Marking *marking, PathSet *ret) {
        PathSet marked = {};
        int r = 0;

        for (size_t i = 0; r == 0 && i < marking->base->n_entries; i++)
                if (is_hit(marking, i))
                        r = pathset_add(&marked, marking->base->entries[i].path);
        if (r < 0)
                pathset_done(&marked);
        else
                *ret = marked; /* sorted, as the base is */
        return r;
}

static int mark(const Written *written, const Side *side, const Manifest *base, const Manifest *scanned,
                uint16_t *doubts, PathSet *ret) {
        _cleanup_(marking_done) Marking marking = { .side = side, .base = base, .scanned = scanned };
        int r;

        if (!written->scanning_all && written->scanning.n == 0 && written->before.n == 0)
                return 0;
        marking.hit = calloc(base->n_entries + 1, sizeof(*marking.hit));
        if (!marking.hit || inodes_collect(&marking.inodes, base, side->ino) < 0)
                return -ENOMEM;
        if (written->scanning_all)
                hit_all(&marking);
        else {
                r = hit_names(&marking, written);
                if (r < 0)
                        return r;
        }
        r = ret ? list_hits(&marking, ret) : 0;
        for (size_t i = 0; r == 0 && i < base->n_entries; i++)
                if (is_hit(&marking, i))
                        doubts[i] |= (uint16_t) (written->scanning_all ? side->mark : side->mark | side->named);
        return r;
}

/* --- the mirror's objects --- */

static bool is_in_mirror(const Entry *entry) {
        return manifest_entry_is_data(entry) && !(entry->flags & (ENTRY_RECORD | ENTRY_LINKED));
}

static uint64_t mirror_ino(const Entry *entry) {
        return is_in_mirror(entry) ? entry->ino : 0;
}

static int64_t mirror_ctime(const Entry *entry) {
        return entry->ctime_nsec;
}

int written_mark(const Written *written, const Manifest *base, const Manifest *mirror, uint16_t *doubts,
                 PathSet *ret_marked) {
        static const Side side = {
                .has = is_in_mirror, .ino = mirror_ino, .ctime_nsec = mirror_ctime, .mark = ENTRY_UNPROVEN,
                .named = ENTRY_WRITTEN,
        };

        return mark(written, &side, base, mirror, doubts, ret_marked);
}

/* --- the disk's objects --- */

static bool is_known_on_disk(const Entry *entry) {
        return manifest_entry_is_data(entry) && entry->disk.ctime_nsec != 0;
}

static uint64_t disk_ino(const Entry *entry) {
        return is_known_on_disk(entry) ? entry->disk.ino : 0;
}

static int64_t disk_ctime(const Entry *entry) {
        return entry->disk.ctime_nsec;
}

int written_mark_disk(const Written *written, const Manifest *base, const Manifest *source, uint16_t *doubts) {
        static const Side side = {
                .has = is_known_on_disk, .ino = disk_ino, .ctime_nsec = disk_ctime, .mark = ENTRY_DISK_WRITTEN,
        };

        return mark(written, &side, base, source, doubts, NULL);
}
