/* SPDX-License-Identifier: GPL-2.0-or-later */

/* One attempt to save something: on a saver, and what follows from its outcome. See save/writeback.h. */

#include "save/writeback-internal.h"

#include "os/fs.h"
#include "save/retry.h"

#include <sys/syscall.h>

/* --- on a saver --- */

static void set_io_class(bool idle) {
        enum { WHO_PROCESS = 1, CLASS_BEST_EFFORT = 2, CLASS_IDLE = 3, CLASS_SHIFT = 13 };

        /* there is no library function for it; where it is refused, saving is just less polite */
        (void) syscall(SYS_ioprio_set, WHO_PROCESS, 0,
                       idle ? CLASS_IDLE << CLASS_SHIFT : CLASS_BEST_EFFORT << CLASS_SHIFT | 4);
}

/* The bytes that it needs on disk: holes take no room. */
static uint64_t needed_bytes(const SaveItem *item) {
        uint64_t bytes = save_item_bytes(item);
        struct stat st;

        if (bytes == 0 || fs_stat_beneath(item->options.mirrorfd, item->path, &st) < 0)
                return bytes;
        return MIN(bytes, (uint64_t) st.st_blocks * 512);
}

/* It has moved on disk too. */
static bool is_moved(const SaveItem *item) {
        return item->origin.path && item->save.kind == SAVE_LINKED;
}

static void run(Job *job) {
        SaveItem *item = (SaveItem *) job;

        set_io_class(item->idle_io);
        do
                save_run(&item->save, &item->options);
        while (item->save.outcome == SAVE_NO_ROOM && disk_make_room(item->options.disk, needed_bytes(item)) > 0);
        /* if it stays, the file has two names on disk, and the next scan sees that */
        if (item->save.outcome == SAVE_DONE && is_moved(item))
                (void) disk_remove(item->options.disk, item->origin.path, &item->origin, false);
}

/* --- the outcome --- */

/* The disk's file is not of ours: see ENTRY_OWN_COPY. Only its attributes, or nothing, was saved. */
static uint16_t own_copy_flag(const Writeback *wb, const SaveItem *item) {
        bool same = item->base.path && item->base.ino == item->mirror.ino;

        if (item->action == PLAN_SAVEATTR || (item->save.found && same))
                return item->base.path ? item->base.flags & ENTRY_OWN_COPY : 0;
        return item->save.found && wb->armed ? ENTRY_OWN_COPY : 0; /* else it may be of a save before we were killed */
}

/* Both sides agree on it now: it goes to the base. */
static void agree(Writeback *wb, SaveItem *item) {
        Entry entry = item->action == PLAN_DELETE ? item->source : item->save.entry;

        item->state = ITEM_DONE;
        if (item->action == PLAN_DELETE) {
                entry.flags = (uint16_t) ((entry.flags & ENTRY_HAS_DIGEST) | ENTRY_RECORD | ENTRY_DELETED);
                deletions_carried_out(wb->deletions, item->path, clock_now(wb->event));
        } else {
                entry.flags = (uint16_t) ((entry.flags & ENTRY_HAS_DIGEST) | ENTRY_SAVED | item->doubts |
                                          own_copy_flag(wb, item));
                manifest_entry_set_disk(&entry, &item->save.disk);
                if (save_item_is_moved_link(item)) { /* in the mirror there is a link to the old name still */
                        entry.flags |= ENTRY_RECORD;
                        if (wb->link_renamed)
                                wb->link_renamed(item->origin.path, item->path, wb->userdata);
                }
        }
        (void) manifest_put(wb->changes, &entry); /* without memory: both sides look the same, and are compared */
        if (is_moved(item)) {
                Entry old = item->origin;

                old.flags = ENTRY_RECORD | ENTRY_DELETED;
                (void) manifest_put(wb->changes, &old);
        }
        /* what was renamed and altered is two files on disk, one of which was deleted in the mirror */
        if (item->origin.path && !is_moved(item) && wb->armed) {
                deletions_note_path(wb->deletions, item->origin.path);
                wb->survey(wb->userdata);
        }
        /* it was deleted or replaced while it was saved: a scan that has seen that already did not know of the save */
        if ((item->save.gone || item->deleted) && wb->armed) {
                deletions_note_path(wb->deletions, item->path);
                wb->survey(wb->userdata);
        }
}

static void count(Writeback *wb, const SaveItem *item) {
        SaveOutcome outcome = item->save.outcome;

        wb->n_failures += outcome == SAVE_NO_ROOM || outcome == SAVE_GARBLED || outcome == SAVE_FAILED;
        if (outcome != SAVE_DONE)
                return;
        wb->n_saved++;
        wb->n_conflicts_ever += item->save.kept != NULL;
        wb->n_deletions += item->action == PLAN_DELETE;
        if (item->save.kind != SAVE_REMOVAL && item->save.kind != SAVE_ATTRIBUTES && item->mirror.type == ENTRY_FILE) {
                wb->n_saves++;
                wb->saved_bytes += save_item_bytes(item);
        }
}

static void take_success(Writeback *wb, SaveItem *item) {
        save_log_done(&wb->log, item, clock_now(wb->event));
        if (item->save.kept)
                (void) conflicts_add(&wb->conflicts, item->path, TAKE_PTR(item->save.kept)); /* it is in the log */
        if (item->save.kind == SAVE_BESIDE) {
                /* the mirror's version is safe: the disk's may take the name in the mirror too */
                (void) manifest_put(wb->yielded, &item->save.entry); /* or the next scan comes to the same */
                item->state = ITEM_DONE;
                wb->survey(wb->userdata);
        } else
                agree(wb, item);
}

static void take_failure(Writeback *wb, SaveItem *item) {
        SaveOutcome outcome = item->save.outcome;
        uint64_t now = clock_now(wb->event);

        if (outcome == SAVE_CHANGED && item->action == PLAN_SAVEATTR)
                (void) manifest_put(wb->suspects, &item->mirror); /* or the next scan comes to the same */
        /* the new name may be on disk already; then the next scan does not see a renaming any more, but a name that is
         * gone */
        if (outcome == SAVE_FAILED && item->origin.path && wb->armed)
                deletions_note_path(wb->deletions, item->origin.path);
        if (outcome == SAVE_CHANGED || outcome == SAVE_GONE || outcome == SAVE_OCCUPIED)
                wb->survey(wb->userdata); /* which sees what is there now */
        if (save_item_is_hopeless(item) || retry_is_over(outcome, item->attempts, wb->queue.stopping))
                item->state = ITEM_REFUSED;
        item->due_usec = now + retry_pause_usec(outcome, item->attempts, wb->queue.stopping);
        save_log_failure(&wb->log, item, now);
}

/* On disk the directory has more in it than the mirror had: it stays. */
static bool is_directory_in_use(const SaveItem *item) {
        return item->save.outcome == SAVE_OCCUPIED && item->action == PLAN_DELETE &&
               item->source.type == ENTRY_DIRECTORY;
}

static void finish(Job *job) {
        SaveItem *item = (SaveItem *) job;
        Writeback *wb = item->userdata;
        SaveOutcome outcome;

        if (item->in_vain && item->save.outcome == SAVE_DONE)
                item->save.outcome = SAVE_CHANGED;
        outcome = item->save.outcome;
        wb->n_running--;
        wb->n_large -= writeback_is_large(item);
        wb->progressed = true;
        item->attempts = outcome == SAVE_DONE || outcome == SAVE_CANCELLED ? 0 : item->attempts + 1;
        item->state = ITEM_WAITING;
        count(wb, item);
        if (wb->holds_shared && item->role == LAYOUT_POINTER)
                wb->survey(wb->userdata);
        if (outcome == SAVE_DONE)
                take_success(wb, item);
        else if (is_directory_in_use(item))
                agree(wb, item);
        else
                take_failure(wb, item);
        writeback_start_next(wb);
        if (wb->holds_moved && wb->n_running == 0)
                wb->survey(wb->userdata);
        wb->moved_on(wb->userdata);
}

/* --- */

static void take_first_digest(Save *save, const Entry *entry) {
        save->first_has_digest = entry->flags & ENTRY_HAS_DIGEST;
        save->first_digest = entry->digest;
}

/* What the first name of a hard link is on disk, if that has the bytes of the file in the mirror: as far as is known of
 * these. If they were altered both names will be saved. */
static void find_first(const Writeback *wb, const Entry *mirror, Save *save) {
        const SaveItem *saved = save_queue_find(&wb->queue, mirror->target);
        const Entry *agreed = wb->base ? manifest_find(wb->base, mirror->target) : NULL;

        if (saved && saved->state == ITEM_DONE && saved->save.kind != SAVE_REMOVAL && saved->doubts == 0 &&
            saved->save.entry.ino == mirror->ino) {
                save->first = (DiskObject){ .ino = saved->save.disk.ino, .mtime_nsec = saved->save.disk.mtime_nsec,
                                            .ctime_nsec = saved->save.disk.ctime_nsec };
                take_first_digest(save, &saved->save.entry);
        } else if (agreed && !(agreed->flags & (ENTRY_RECORD | ENTRY_LINKED)) && agreed->ino == mirror->ino) {
                save->first = agreed->disk;
                take_first_digest(save, agreed);
                save->first_in_doubt = agreed->flags & (ENTRY_FINDINGS & ~(ENTRY_UNPROVEN | ENTRY_WRITTEN));
        }
}

void writeback_attempt(Writeback *wb, SaveItem *item) {
        item->options = (SaveOptions){ .disk = &wb->disk, .mirrorfd = wb->mirrorfd, .mirror_path = wb->target,
                                       .progress = wb->progress, .own_owner = geteuid() != 0 };
        item->deleted = item->in_vain = false;
        item->doubts = 0;
        item->idle_io = wb->polite && !wb->queue.stopping;
        item->userdata = wb;
        save_item_prepare(item, wb->queue.layout, wb->config->deletes == DELETES_TRASH, wb->queue.stopping);
        if (item->mirror.type == ENTRY_HARDLINK)
                find_first(wb, &item->mirror, &item->save);
        item->job = (Job){ .run = run, .done = finish };
        item->state = ITEM_RUNNING;
        wb->n_running++;
        wb->n_large += writeback_is_large(item);
        pool_submit(wb->pool, &item->job);
}
