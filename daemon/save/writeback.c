/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The way back: which items of the queue start, and when. See save/writeback.h. */

#include "save/writeback-internal.h"

#include <fcntl.h>

/* Saving this much takes seconds on most disks. */
#define LARGE_BYTES (64 * MIB)

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Writeback *wb = userdata;

        (void) source;
        (void) usec;
        writeback_start_over(wb);
        writeback_start_next(wb);
        wb->moved_on(wb->userdata);
        return 0;
}

void writeback_init(Writeback *wb) {
        wb->sourcefd = wb->mirrorfd = -1;
        wb->timer = (ClockTimer){ .event = wb->event, .handler = on_timer, .userdata = wb, .accuracy_usec = 1000 };
        save_log_init(&wb->log, wb->config);
}

void writeback_done(Writeback *wb) {
        save_queue_done(&wb->queue);
        wb->changes = manifest_free(wb->changes);
        wb->yielded = manifest_free(wb->yielded);
        wb->suspects = manifest_free(wb->suspects);
        clock_timer_done(&wb->timer);
        wb->sourcefd = close_fd(wb->sourcefd);
        free(wb->target);
        wb->target = NULL;
        writeback_acknowledge(wb);
}

int writeback_attach(Writeback *wb, int sourcefd, int mirrorfd) {
        int fd = fcntl(sourcefd, F_DUPFD_CLOEXEC, 0), r;

        assert(wb->n_running == 0);
        if (fd < 0)
                return -errno;
        (void) close_fd(wb->sourcefd);
        wb->sourcefd = fd;
        wb->mirrorfd = mirrorfd;
        wb->stopped = false;
        disk_init(&wb->disk, fd, wb->config->name);
        if (wb->changes)
                return 0;
        wb->target = strdup(wb->config->target);
        r = manifest_new(&wb->changes);
        if (r == 0)
                r = manifest_new(&wb->yielded);
        if (r == 0)
                r = manifest_new(&wb->suspects);
        return r == 0 && !wb->target ? -ENOMEM : r;
}

void writeback_leave_source(Writeback *wb) {
        wb->stopped = true;
        for (size_t i = 0; i < wb->queue.n; i++)
                if (wb->queue.items[i]->state == ITEM_RUNNING)
                        wb->queue.items[i]->in_vain = true;
}

/* --- what starts --- */

bool writeback_is_large(const SaveItem *item) {
        return save_item_bytes(item) >= LARGE_BYTES;
}

/* No more than there are savers, because what has not begun follows what the next scan sees. One saver is left for
 * small files. */
static bool has_saver(const Writeback *wb, const SaveItem *item) {
        unsigned savers = pool_workers(wb->pool);

        return wb->n_running < savers && (!writeback_is_large(item) || wb->n_large + 1 < savers || savers == 1);
}

static bool is_due(const Writeback *wb, const SaveItem *item, uint64_t now) {
        bool hurried = wb->queue.stopping && item->attempts == 0 && item->action != PLAN_DELETE;

        return item->state == ITEM_WAITING && (item->due_usec <= now || hurried);
}

static void start_or_wait(Writeback *wb, SaveItem *item, uint64_t now) {
        if (save_queue_is_incomplete(&wb->queue, item))
                save_log_incomplete(&wb->log, item, save_queue_missing(&wb->queue, item), wb->queue.stopping, now);
        else if ((item->action == PLAN_DELETE && !wb->sure) || save_queue_has_to_wait(&wb->queue, item) ||
                 !has_saver(wb, item))
                wb->waits = true;
        else
                writeback_attempt(wb, item);
}

void writeback_start_next(Writeback *wb) {
        uint64_t now = clock_now(wb->event);

        if (wb->stopped)
                return;

        for (;;) {
                for (; wb->cursor < wb->queue.n && wb->n_running < pool_workers(wb->pool); wb->cursor++)
                        if (is_due(wb, wb->queue.items[wb->cursor], now))
                                start_or_wait(wb, wb->queue.items[wb->cursor], now);
                /* what waits may be waiting for what has ended meanwhile: then there is another pass */
                if (wb->cursor < wb->queue.n || !wb->waits || !wb->progressed)
                        break;
                writeback_start_over(wb);
        }
        if (wb->cursor == wb->queue.n)
                (void) clock_timer_set(&wb->timer, save_queue_next_usec(&wb->queue, now));
}

void writeback_start_over(Writeback *wb) {
        wb->cursor = 0;
        wb->waits = wb->progressed = false;
}

void writeback_go_on(Writeback *wb, bool armed, bool quiet) {
        wb->armed = armed;
        wb->sure = armed && quiet;
        writeback_start_over(wb);
        writeback_start_next(wb);
}

/* --- what the mirror takes from here --- */

Manifest *writeback_take(Writeback *wb) {
        Manifest *taken = NULL, *fresh;

        if (!wb->changes || wb->changes->n_entries == 0 || manifest_new(&fresh) < 0)
                return NULL;
        taken = wb->changes;
        wb->changes = fresh;
        manifest_sort(taken);
        return taken;
}

/* The disk's object has no inode yet, so it is known by its name; what it replaces is what may have been written. */
static Entry running_entry(const SaveItem *item) {
        Entry entry = item->mirror;

        entry.flags = 0;
        entry.disk = (DiskObject){ .ctime_nsec = -1 }; /* that no file has */
        if (item->source.path)
                manifest_entry_set_disk(&entry, &item->source);
        return entry;
}

static int put_untaken(Manifest *list, Entry entry) {
        if (!manifest_entry_is_data(&entry))
                return 0;
        entry.flags |= ENTRY_HAS_DIGEST; /* or its first name has it */
        return manifest_put(list, &entry);
}

Manifest *writeback_list_untaken(const Writeback *wb) {
        _cleanup_(manifest_freep) Manifest *list = NULL;
        int r = manifest_new(&list);

        for (size_t i = 0; r == 0 && wb->changes && i < wb->changes->n_entries; i++)
                r = put_untaken(list, wb->changes->entries[i]);
        for (size_t i = 0; r == 0 && i < wb->queue.n; i++)
                if (wb->queue.items[i]->state == ITEM_RUNNING && wb->queue.items[i]->mirror.path)
                        r = put_untaken(list, running_entry(wb->queue.items[i]));
        if (r < 0)
                return NULL;
        manifest_sort(list);
        return TAKE_PTR(list);
}

static uint16_t doubts_about(const char *path, const Manifest *untaken, const uint16_t *doubts) {
        const Entry *entry = untaken ? manifest_find(untaken, path) : NULL;

        if (!untaken)
                return ENTRY_UNPROVEN | ENTRY_DISK_WRITTEN;
        return entry ? doubts[entry - untaken->entries] : 0;
}

void writeback_doubt(Writeback *wb, const Manifest *untaken, const uint16_t *doubts) {
        for (size_t i = 0; wb->changes && i < wb->changes->n_entries; i++) {
                Entry *entry = &wb->changes->entries[i];

                if (manifest_entry_is_data(entry) && !(entry->flags & ENTRY_RECORD))
                        entry->flags |= doubts_about(entry->path, untaken, doubts);
        }
        for (size_t i = 0; i < wb->queue.n; i++) {
                SaveItem *item = wb->queue.items[i];

                if (item->state == ITEM_RUNNING && item->mirror.path && manifest_entry_is_data(&item->mirror))
                        item->doubts |= doubts_about(item->path, untaken, doubts);
        }
}

void writeback_acknowledge(Writeback *wb) {
        conflicts_done(&wb->conflicts);
}

void writeback_log_remaining(Writeback *wb) {
        save_log_end(&wb->log);
}

void writeback_forget_deletions(Writeback *wb) {
        for (size_t i = 0; i < wb->queue.n; i++)
                if (wb->queue.items[i]->action == PLAN_DELETE && wb->queue.items[i]->state == ITEM_WAITING)
                        wb->queue.items[i]->state = ITEM_DONE;
        deletions_forget(wb->deletions);
}

void writeback_drop(Writeback *wb) {
        if (wb->queue.n == 0)
                return;
        writeback_forget_deletions(wb);
        (void) save_queue_replace(&wb->queue, NULL, 0); /* without memory the next scan does it */
        writeback_start_over(wb);
}

static bool is_in_set(const Entry *entry, void *userdata) {
        return !userdata || pathset_has(userdata, entry->path);
}

void writeback_forget_yielded(Writeback *wb, const PathSet *paths) {
        if (wb->yielded && (!paths || paths->n > 0))
                manifest_filter(wb->yielded, is_in_set, (void *) paths);
}

/* --- the stop --- */

/* A file that is rejected only because of its header is saved at the end. */
static bool may_be_saved_anyway(const SaveItem *item) {
        return item->state == ITEM_REFUSED && item->save.outcome == SAVE_BAD && item->save.claim.kind == CLAIM_NONE &&
               !item->save.anyway;
}

void writeback_hurry(Writeback *wb, bool hurry) {
        wb->queue.stopping = hurry;
        for (size_t i = 0; hurry && i < wb->queue.n; i++)
                if (may_be_saved_anyway(wb->queue.items[i])) {
                        wb->queue.items[i]->state = ITEM_WAITING;
                        wb->queue.items[i]->attempts = 0;
                }
}

void writeback_stop(Writeback *wb) {
        clock_timer_stop(&wb->timer);
        wb->stopped = true;
        wb->base = NULL;
}

bool writeback_is_over(const Writeback *wb) {
        return wb->n_running == 0 && save_queue_is_over(&wb->queue, clock_now(wb->event));
}
