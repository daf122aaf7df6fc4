/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The queue of saves, and which item waits for which. See save/queue.h. */

#include "save/queue.h"

#include "base/array.h"
#include "base/path.h"

void save_queue_done(SaveQueue *queue) {
        for (size_t i = 0; i < queue->n; i++)
                (void) save_item_free(queue->items[i]);
        free(queue->items);
        free(queue->by_path);
        *queue = (SaveQueue){};
}

static int compare_path_key(const void *key, const void *item) {
        return strcmp(key, (*(SaveItem *const *) item)->path);
}

SaveItem *save_queue_find(const SaveQueue *queue, const char *path) {
        SaveItem **found =
                queue->n == 0 ? NULL : bsearch(path, queue->by_path, queue->n, sizeof(SaveItem *), compare_path_key);

        return found ? *found : NULL;
}

static int compare_paths(const void *a, const void *b) {
        return strcmp((*(SaveItem *const *) a)->path, (*(SaveItem *const *) b)->path);
}

static int compare_order(const void *a, const void *b) {
        return save_item_compare(*(SaveItem *const *) a, *(SaveItem *const *) b);
}

/* True if it stays: it is in the new list, or a job has it. */
static bool stays(SaveItem *const *fresh, size_t n, const SaveItem *item, bool *ret_listed) {
        SaveItem *const *same = n == 0 ? NULL : bsearch(item->path, fresh, n, sizeof(SaveItem *), compare_path_key);

        *ret_listed = same && *same == item;
        return *ret_listed || item->state == ITEM_RUNNING;
}

int save_queue_replace(SaveQueue *queue, SaveItem **fresh, size_t n) {
        SaveItem **items = calloc(n + queue->n + 1, sizeof(SaveItem *)),
                 **by_path = calloc(n + queue->n + 1, sizeof(SaveItem *));
        size_t total = n;

        if (!items || !by_path) {
                free(items);
                free(by_path);
                return -ENOMEM;
        }
        if (n > 0)
                memcpy(items, fresh, n * sizeof(SaveItem *));
        for (size_t i = 0; i < queue->n; i++) {
                bool listed;

                if (!stays(fresh, n, queue->by_path[i], &listed))
                        (void) save_item_free(queue->by_path[i]);
                else if (!listed)
                        items[total++] = queue->by_path[i];
        }
        free(queue->items);
        free(queue->by_path);
        memcpy(by_path, items, (total + 1) * sizeof(SaveItem *));
        qsort(items, total, sizeof(SaveItem *), compare_order);
        qsort(by_path, total, sizeof(SaveItem *), compare_paths);
        queue->items = items;
        queue->by_path = by_path;
        queue->n = total;
        return 0;
}

static bool is_pending(const SaveItem *item) {
        return item && (item->state == ITEM_WAITING || item->state == ITEM_RUNNING);
}

static bool parent_is_pending(const SaveQueue *queue, const char *path) {
        _cleanup_(freep) char *parent = strdup(path);
        char *slash = parent ? strrchr(parent, '/') : NULL;

        if (!parent)
                return true;
        if (!slash)
                return false;
        *slash = '\0';
        return is_pending(save_queue_find(queue, parent));
}

static bool saves_what_is_left(const SaveQueue *queue) {
        return queue->stopping && queue->layout == LAYOUT_PLAIN;
}

static bool is_refused_for_good(const SaveItem *item) {
        return item->state == ITEM_REFUSED && save_item_is_hopeless(item);
}

/* A rejected file is not on the disk: an older version may be, but that is not what is referenced. */
static bool references_something_unsaved(const SaveQueue *queue, const SaveItem *item) {
        for (size_t i = 0; i < item->references.n; i++) {
                const SaveItem *other = save_queue_find(queue, item->references.items[i].path);

                if (other && other != item && other->action != PLAN_DELETE && other->state != ITEM_DONE &&
                    !(saves_what_is_left(queue) && is_refused_for_good(other)))
                        return true;
        }
        return false;
}

static int compare_with_directory(const void *item, const void *directory) {
        return path_compare_inside((*(SaveItem *const *) item)->path, directory);
}

/* A directory is removed from the disk after what was deleted in it. */
static bool has_deletions_inside(const SaveQueue *queue, const char *directory) {
        for (size_t i = array_seek(queue->by_path, queue->n, sizeof(SaveItem *), compare_with_directory, directory);
             i < queue->n; i++) {
                const SaveItem *item = queue->by_path[i];

                if (path_compare_inside(item->path, directory) != 0)
                        break;
                if (item->action == PLAN_DELETE && is_pending(item))
                        return true;
        }
        return false;
}

/* A directory on the disk gives way to a file when it is empty. */
static bool replaces_pending(const SaveQueue *queue, const SaveItem *item) {
        return item->source.path && item->source.type == ENTRY_DIRECTORY && item->mirror.type != ENTRY_DIRECTORY &&
               has_deletions_inside(queue, item->path);
}

/* Until it has its new name, under its old one there is what it leads to. */
static bool is_to_be_renamed(const SaveQueue *queue, const SaveItem *item) {
        const SaveItem *heir = item->heir ? save_queue_find(queue, item->heir) : NULL;

        return heir && heir->state != ITEM_DONE && heir->origin.path && string_equal(heir->origin.path, item->path);
}

bool save_queue_has_to_wait(const SaveQueue *queue, const SaveItem *item) {
        if (is_to_be_renamed(queue, item))
                return true;
        if (item->action == PLAN_DELETE)
                return item->source.type == ENTRY_DIRECTORY && has_deletions_inside(queue, item->path);
        if (item->accepted) /* what it references may never come */
                return parent_is_pending(queue, item->path);
        return parent_is_pending(queue, item->path) || replaces_pending(queue, item) ||
               (item->mirror.type == ENTRY_HARDLINK && is_pending(save_queue_find(queue, item->mirror.target))) ||
               references_something_unsaved(queue, item);
}

enum { STEPS_MAX = 3 }; /* a ref leads to a link, and that to a blob */

static const char *find_missing(const SaveQueue *queue, const SaveItem *item, unsigned steps) {
        if (item->missing)
                return item->missing;
        for (size_t i = 0; i < item->references.n; i++) {
                const SaveItem *other = save_queue_find(queue, item->references.items[i].path);

                if (!other || other == item || other->action == PLAN_DELETE || other->state == ITEM_DONE ||
                    other->state == ITEM_RUNNING)
                        continue;
                if (is_refused_for_good(other) || other->broken || (steps > 0 && find_missing(queue, other, steps - 1)))
                        return other->path;
        }
        return NULL;
}

const char *save_queue_missing(const SaveQueue *queue, const SaveItem *item) {
        return find_missing(queue, item, STEPS_MAX);
}

bool save_queue_is_incomplete(const SaveQueue *queue, const SaveItem *item) {
        return !saves_what_is_left(queue) && !item->accepted && (item->broken || save_queue_missing(queue, item));
}

bool save_queue_is_over(const SaveQueue *queue, uint64_t now_usec) {
        for (size_t i = 0; i < queue->n; i++) {
                const SaveItem *item = queue->items[i];

                if (item->state == ITEM_DONE || item->state == ITEM_REFUSED || save_queue_is_incomplete(queue, item))
                        continue;
                if (item->state != ITEM_WAITING || item->attempts > 0 || item->due_usec > now_usec ||
                    !save_queue_has_to_wait(queue, item))
                        return false;
        }
        return true;
}

uint64_t save_queue_next_usec(const SaveQueue *queue, uint64_t now_usec) {
        uint64_t next = UINT64_MAX;

        for (size_t i = 0; i < queue->n; i++)
                if (queue->items[i]->state == ITEM_WAITING && queue->items[i]->due_usec > now_usec)
                        next = MIN(next, queue->items[i]->due_usec);
        return next;
}

bool save_queue_is_refused(const SaveQueue *queue, const SaveItem *item) {
        return is_refused_for_good(item) || save_queue_is_incomplete(queue, item);
}

bool save_queue_can_accept(const SaveQueue *queue, const char *path) {
        const SaveItem *item = save_queue_find(queue, path);

        return item && item->action != PLAN_DELETE && !item->accepted && save_queue_is_refused(queue, item) &&
               (item->state != ITEM_REFUSED || item->save.outcome == SAVE_BAD);
}

bool save_queue_accept(SaveQueue *queue, const char *path, uint64_t now_usec) {
        SaveItem *item = save_queue_find(queue, path);

        if (!save_queue_can_accept(queue, path))
                return false;
        item->accepted = true;
        item->state = ITEM_WAITING;
        item->attempts = 0;
        item->due_usec = now_usec;
        free(item->problem);
        item->problem = NULL;
        return true;
}

void save_queue_hurry(SaveQueue *queue, uint64_t now_usec) {
        for (size_t i = 0; i < queue->n; i++) {
                SaveItem *item = queue->items[i];

                if (item->state == ITEM_WAITING && item->action != PLAN_DELETE)
                        item->due_usec = MIN(item->due_usec, now_usec);
        }
}

int save_queue_collect_refused(const SaveQueue *queue, Manifest *refused) {
        int r = 0;

        for (size_t i = 0; i < queue->n && r == 0; i++) {
                const SaveItem *item = queue->items[i];

                if (item->action == PLAN_SAVE && (item->state == ITEM_WAITING || item->state == ITEM_REFUSED) &&
                    save_queue_is_refused(queue, item))
                        r = manifest_put(refused, &item->mirror);
        }
        return r;
}

const SaveItem *save_queue_find_undeleted(const SaveQueue *queue) {
        for (size_t i = 0; i < queue->n; i++) {
                const SaveItem *item = queue->items[i];

                if (item->action == PLAN_DELETE && item->state != ITEM_DONE && item->problem &&
                    (item->save.outcome == SAVE_FAILED || item->save.outcome == SAVE_NO_ROOM))
                        return item;
        }
        return NULL;
}

SaveQueueStatus save_queue_status(const SaveQueue *queue) {
        SaveQueueStatus status = { .since_usec = UINT64_MAX };
        const char *refused = NULL;

        for (size_t i = 0; i < queue->n; i++) {
                const SaveItem *item = queue->items[i];

                status.n_running += item->state == ITEM_RUNNING;
                if (item->state == ITEM_DONE)
                        continue;
                if (item->action == PLAN_DELETE)
                        status.n_deletions++;
                else if (save_queue_is_refused(queue, item)) {
                        status.n_refused++;
                        refused = item->problem ? item->problem : refused;
                } else {
                        status.n_unsaved++;
                        status.bytes += save_item_bytes(item);
                        status.since_usec = MIN(status.since_usec, item->since_usec);
                        /* its problem, if it has one, is outdated: it can be saved now */
                        if (item->attempts == 0)
                                continue;
                        status.n_failing += item->problem != NULL;
                        status.problem = status.problem ? status.problem : item->problem;
                }
        }
        if (!status.problem)
                status.problem = refused;
        return status;
}
