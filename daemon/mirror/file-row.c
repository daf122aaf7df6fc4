/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The lists of a mirror side by side. See mirror/file-row.h. */

#include "mirror/file-row.h"

#include "base/array.h"
#include "stage/copy-method.h"

/* ---- which lists there are ---- */

static void choose_lists(FileRowWalk *walk) {
        const Mirror *m = walk->mirror;
        bool planned = mirror_state_has_plan(m) && m->survey.source;
        const Outcomes *outcomes = planned ? &m->planned : &m->outcomes;

        walk->base = mirror_state_is_attached(m) ? m->attachment.base : NULL;
        if (!walk->base)
                return;
        walk->source = planned ? m->survey.source : m->source;
        if (outcomes->source && outcomes->source == walk->source) {
                walk->outcomes = outcomes;
                walk->mirror_only = outcomes->mirror_only;
        }
}

void file_row_walk_init(FileRowWalk *walk, const Mirror *mirror) {
        *walk = (FileRowWalk){ .mirror = mirror };
        choose_lists(walk);
}

/* ---- seeking ---- */

static int compare_with_path(const void *item, const void *path) {
        return strcmp((*(SaveItem *const *) item)->path, path);
}

static size_t seek_in(const Manifest *manifest, const char *path) {
        return manifest ? manifest_seek(manifest, path) : 0;
}

void file_row_walk_seek(FileRowWalk *walk, const char *path) {
        const SaveQueue *queue = &walk->mirror->writeback.queue;

        walk->at_base = seek_in(walk->base, path);
        walk->at_source = seek_in(walk->source, path);
        walk->at_mirror_only = seek_in(walk->mirror_only, path);
        walk->at_queue = array_seek(queue->by_path, queue->n, sizeof(SaveItem *), compare_with_path, path);
}

/* ---- one path ---- */

/* What the lists have about one path. */
typedef struct Item {
        const char *path;
        const Entry *base;   /* what is in the mirror, or a link to the disk in its place; no records */
        const Entry *source, *mirror_only;
        const SaveItem *save;
        Outcome outcome;     /* if there is a source */
        bool planned;        /* .outcome is known */
        bool fresh;          /* the plan run that is under way has done it: the base does not have that yet */
} Item;

/* The smaller of @path and the next path of a list. */
static const char *smaller(const char *path, const Manifest *manifest, size_t at) {
        if (!manifest || at >= manifest->n_entries)
                return path;
        return !path || strcmp(manifest->entries[at].path, path) < 0 ? manifest->entries[at].path : path;
}

/* The entry of @path, if it is the next one; then the list moves on. */
static const Entry *take(const char *path, const Manifest *manifest, size_t *at) {
        if (!manifest || *at >= manifest->n_entries || strcmp(manifest->entries[*at].path, path) != 0)
                return NULL;
        return &manifest->entries[(*at)++];
}

static bool next_item(FileRowWalk *walk, Item *ret) {
        const SaveQueue *queue = &walk->mirror->writeback.queue;
        bool saves = walk->base && walk->at_queue < queue->n;
        const char *path = saves ? queue->by_path[walk->at_queue]->path : NULL;
        Item item = {};

        path = smaller(path, walk->base, walk->at_base);
        path = smaller(path, walk->source, walk->at_source);
        path = smaller(path, walk->mirror_only, walk->at_mirror_only);
        if (!path)
                return false;
        item.path = path;
        if (saves && strcmp(queue->by_path[walk->at_queue]->path, path) == 0)
                item.save = queue->by_path[walk->at_queue++];
        item.base = take(path, walk->base, &walk->at_base);
        item.source = take(path, walk->source, &walk->at_source);
        item.mirror_only = take(path, walk->mirror_only, &walk->at_mirror_only);
        if (item.base && item.base->flags & ENTRY_RECORD)
                item.base = NULL;
        item.planned = item.source && walk->outcomes;
        if (item.planned)
                item.outcome = plan_outcomes_get(walk->outcomes, (size_t) (item.source - walk->source->entries));
        item.fresh = item.outcome.done && walk->outcomes == &walk->mirror->planned;
        *ret = item;
        return true;
}

static bool has(const Manifest *manifest, const char *path) {
        return manifest && manifest_find(manifest, path);
}

/* ---- its row ---- */

static bool is_linked(const Item *item) {
        return item->base && item->base->flags & ENTRY_LINKED;
}

static bool is_in_ram(const Item *item) {
        return item->base && !is_linked(item);
}

/* Takes size, type and target from @entry. */
static void describe(FileRow *row, const Entry *entry) {
        row->type = (EntryType) entry->type;
        row->target = entry->type == ENTRY_SYMLINK ? entry->target : NULL;
        row->file.size = entry->size;
        row->file.room = entry->room;
}

static void set(FileRow *row, FileState state, const char *reason) {
        row->file.state = state;
        row->file.reason = reason;
}

static void set_never(FileRow *row, FileState state, const char *reason) {
        set(row, state, reason);
        row->usable = row->pending = false;
}

static void set_pending(FileRow *row, FileState state, const char *reason) {
        set(row, state, reason);
        row->usable = false;
        row->pending = true;
}

static bool same_file(const Entry *a, const Entry *b) {
        return a->size == b->size && a->mtime_nsec == b->mtime_nsec;
}

/* It was saved, but the base does not have that yet. False if it is gone from both sides. */
static bool judge_saved(const Item *item, FileRow *row) {
        if (item->save->action == PLAN_DELETE)
                return false;
        if (row->file.digest && !same_file(item->base, &item->save->mirror))
                row->file.digest = NULL;
        describe(row, &item->save->mirror);
        row->file.in_ram = row->file.on_disk = true;
        return true;
}

static bool judge_save(const FileRowWalk *walk, const Item *item, FileRow *row) {
        const SaveItem *save = item->save;

        if (save->state == ITEM_DONE)
                return judge_saved(item, row);
        if (save->action == PLAN_DELETE) {
                describe(row, &save->source);
                row->file.on_disk = true;
                set_never(row, FILE_DELETING, save->problem ? save->problem : "deleted by a client");
                return true;
        }
        describe(row, &save->mirror);
        row->file.in_ram = true;
        row->file.on_disk = save->source.path != NULL;
        if (save->action != PLAN_SAVEATTR)
                row->file.digest = NULL;
        if (save_queue_is_refused(&walk->mirror->writeback.queue, save))
                set_never(row, FILE_REJECTED,
                          save->problem  ? save->problem
                          : save->broken ? save->broken
                                         : "it references a file that is missing");
        else
                set(row, save->state == ITEM_RUNNING ? FILE_SAVING : FILE_UNSAVED, save->problem);
        return true;
}

static const char *reason_for_link(const Item *item) {
        return item->source && item->source->flags & ENTRY_DISK_ONLY ? "not selected for RAM" : "no room in RAM";
}

/* It is not in the mirror, and is not to be. */
static void judge_ignored(const Item *item, FileRow *row) {
        row->unneeded = item->source->flags & ENTRY_ORPHAN;
        row->file.in_ram = false;
        set_never(row, FILE_DISK,
                  row->unneeded ? "nothing in the source refers to it" : "deleted by a client, but kept on disk");
}

static void judge_by_outcome(const FileRowWalk *walk, const Item *item, FileRow *row) {
        switch (item->outcome.action) {
        case PLAN_ADOPT: /* what is in RAM stays what it is while it is compared */
                if (!is_in_ram(item))
                        set_pending(row, FILE_WAITING, NULL);
                break;
        case PLAN_STAGE:
        case PLAN_REMOVE:
                set_pending(row, FILE_WAITING, NULL);
                break;
        case PLAN_WAIT:
                set_pending(row, FILE_WAITING, "changed a moment ago; staged when it stops changing");
                break;
        case PLAN_LINK:
                set_pending(row, FILE_WAITING, "being replaced by a link to the disk");
                break;
        case PLAN_SKIP:
                set_never(row, FILE_SKIPPED, "no room in RAM");
                break;
        case PLAN_WITHHOLD:
                set_never(row, FILE_WITHHELD, NULL);
                break;
        case PLAN_IGNORE:
                judge_ignored(item, row);
                break;
        case PLAN_SAVE:
        case PLAN_SAVEATTR:
        case PLAN_CONFLICT:
        case PLAN_DELETE:
                if (!walk->mirror->config.write_back)
                        set(row, FILE_CHANGED, "WriteBack=no");
                break;
        case PLAN_KEEP:
        case PLAN_SETATTR:
        case PLAN_FORGET:
        case PLAN_RELEASE: /* the caller sees to it */
                break;
        }
}

/* The plan was carried out for it, or there was no plan yet. */
static void judge_settled(const Item *item, FileRow *row) {
        bool linked = item->fresh ? item->outcome.action == PLAN_LINK : is_linked(item);

        if (linked)
                set(row, FILE_LINKED, reason_for_link(item));
        row->file.in_ram = !linked;
}

static void judge_source(const FileRowWalk *walk, const Item *item, FileRow *row) {
        const WithheldFile *withheld = withheld_find(&walk->mirror->withheld, item->path);

        describe(row, is_in_ram(item) && !item->fresh ? item->base : item->source);
        row->type = (EntryType) item->source->type;
        row->file.on_disk = true;
        row->file.in_ram = is_in_ram(item);
        if (item->outcome.done)
                judge_settled(item, row);
        else if (withheld)
                set_never(row, FILE_WITHHELD, withheld->text);
        else if (!item->planned && !(walk->mirror->complete && item->base))
                set_pending(row, FILE_WAITING, NULL);
        else {
                judge_settled(item, row);
                row->file.in_ram = is_in_ram(item);
                if (item->planned)
                        judge_by_outcome(walk, item, row);
        }
        if (overrides_is_released(&walk->mirror->overrides, item->path)) {
                set(row, FILE_RELEASED, "released by an operator");
                row->usable = is_linked(item);
                row->pending = false;
        }
}

/* It was not in the source when that was last scanned. */
static bool judge_rest(const FileRowWalk *walk, const Item *item, FileRow *row) {
        const Entry *entry = item->base ? item->base : item->mirror_only;

        if (!entry)
                return false;
        describe(row, entry);
        row->file.on_disk = !item->mirror_only;
        row->file.in_ram = !is_linked(item);
        if (item->mirror_only)
                set(row, FILE_CHANGED, "WriteBack=no");
        else if (!walk->source && !walk->mirror->complete)
                set_pending(row, FILE_WAITING, NULL);
        else if (is_linked(item))
                set(row, FILE_LINKED, reason_for_link(item));
        return true;
}

static void add_facts(const FileRowWalk *walk, const Item *item, FileRow *row) {
        const Scrub *scrub = &walk->mirror->scrub;
        bool left = has(scrub->left, item->path);
        CopyMethod method = item->fresh       ? item->outcome.method
                            : is_in_ram(item) ? (CopyMethod) item->base->method
                                              : COPY_METHOD_AUTO;

        if (row->file.state == FILE_STAGED && left)
                set_never(row, FILE_DAMAGED,
                          walk->mirror->config.write_back
                                  ? "its bytes in RAM have changed, a client may have written to it, and they cannot "
                                    "be saved; fix that, then run shmstagectl verify, and do not delete it in the "
                                    "mirror"
                                  : "its bytes in RAM have changed and a client may have written to it; left as it "
                                    "is");
        else if (row->file.state == FILE_STAGED && has(scrub->damaged, item->path))
                set_pending(row, FILE_DAMAGED, "its bytes in RAM have changed; it will be staged again");
        if (!row->file.in_ram)
                row->file.digest = NULL;
        row->file.method = row->file.in_ram && !item->save ? copy_method_name(method) : NULL;
}

bool file_row_walk_next(FileRowWalk *walk, FileRow *ret) {
        Item item;

        while (next_item(walk, &item)) {
                FileRow row = { .file = { .path = item.path, .state = FILE_STAGED }, .usable = true };
                bool there = true;

                if (is_in_ram(&item) && item.base->flags & ENTRY_HAS_DIGEST && !item.fresh)
                        row.file.digest = &item.base->digest;
                if (item.save)
                        there = judge_save(walk, &item, &row);
                else if (item.source)
                        judge_source(walk, &item, &row);
                else
                        there = judge_rest(walk, &item, &row);
                if (!there)
                        continue;
                add_facts(walk, &item, &row);
                *ret = row;
                return true;
        }
        return false;
}
