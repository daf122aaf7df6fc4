/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What a worker does for one item of a plan. See stage/task.h. */

#include "stage/task-internal.h"

#include "base/text.h"
#include "layout/layout.h"
#include "os/file-digest.h"
#include "os/fs.h"
#include "stage/publish.h"

#include <fcntl.h>

/* A source that changes, or whose bytes do not match, is copied so often before it is withheld. */
enum { ATTEMPTS_MAX = 3 };

void task_init(Task *task, const TaskContext *context, const PlanItem *item) {
        *task = (Task){ .context = context, .item = item, .outgoing = -1 };
        if (item->source)
                task->current = *item->source;
}

void task_done(Task *task) {
        task->copy = copy_free(task->copy);
        task_let_go(task);
}

bool task_is_large(const Task *task) {
        return task->item->action == PLAN_STAGE && task->item->source->type == ENTRY_FILE &&
               task->item->source->size > 2 * task->context->chunk_size;
}

void task_fail(Task *task, int error, const char *what) {
        task->outcome = error == -ECANCELED ? TASK_CANCELLED : TASK_FAILED;
        task->error = -error;
        task->what = what;
}

/* Sets the outcome from the result of a publish function: 0, a negative errno, TREE_OCCUPIED or
 * TREE_BUSY. */
static void concluded(Task *task, int r) {
        task_let_go(task);
        if (r < 0)
                task_fail(task, r, task->what);
        else
                task->outcome = r == TREE_OCCUPIED ? TASK_OCCUPIED : r == TREE_BUSY ? TASK_BUSY : TASK_AGREED;
}

/* Whether an operator has overridden this check for the file as it is now. */
static bool is_accepted(const Task *task, AcceptKind kind) {
        return task->context->overrides && overrides_accepts(task->context->overrides, kind, &task->current);
}

/* The source is still as the plan saw it. */
static bool is_as_planned(const Task *task) {
        const Entry *seen = task->item->source, *now = &task->current;

        return now->ino == seen->ino && now->dev == seen->dev && now->size == seen->size &&
               now->mtime_nsec == seen->mtime_nsec && now->ctime_nsec == seen->ctime_nsec;
}

const Digest *task_digest_on_record(const Task *task) {
        const Entry *base = task->item->base;
        bool touched = task->item->on_disk == PAIR_TOUCHED && is_as_planned(task);

        if (!base || !(base->flags & ENTRY_HAS_DIGEST) || base->flags & ENTRY_RACY || is_accepted(task, ACCEPT_BYTES) ||
            (!touched && pair_disk(base, &task->current, false) != PAIR_SAME))
                return NULL;
        return &base->digest;
}

/* Reads the entry of a source that has changed. False if it is no longer a file, which the next scan will find. */
static bool refresh(Task *task) {
        struct stat st;

        if (fs_stat_beneath(task->context->sourcefd, task->current.path, &st) < 0 || !S_ISREG(st.st_mode))
                return false;
        task->current.size = (uint64_t) st.st_size;
        task->current.room = round_up((uint64_t) st.st_size, 4096);
        task->current.mtime_nsec = fs_nsec(&st.st_mtim);
        task->current.ctime_nsec = fs_nsec(&st.st_ctim);
        task->current.ino = task->current.flags & ENTRY_NO_INODE ? 0 : st.st_ino;
        task->current.dev = (uint32_t) st.st_dev;
        task->current.flags = (uint16_t) ((task->current.flags & ~ENTRY_RACY) | (fs_is_racy(&st) ? ENTRY_RACY : 0));
        task->current.uid = st.st_uid;
        task->current.gid = st.st_gid;
        task->current.mode = fs_mode(&st);
        return true;
}

/* Decides whether the file is tried again. */
static bool try_again(Task *task, TaskOutcome outcome) {
        task->outcome = outcome;
        task->copy = copy_free(task->copy);
        task->attempt++;
        if (task->attempt >= ATTEMPTS_MAX)
                return false;
        /* the wrong bytes may be in the page cache */
        task->read_again = outcome == TASK_CORRUPT || outcome == TASK_MISNAMED || outcome == TASK_GARBLED ||
                           outcome == TASK_FAILED;
        if (outcome != TASK_CHANGED || refresh(task))
                return true;
        task->outcome = TASK_GONE;
        return false;
}

/* The digest that the name states. Slow to compute, so not for bytes that are on record. */
static ClaimKind find_claim(Task *task) {
        if (task->context->layout == LAYOUT_AUTO || task_digest_on_record(task) || is_accepted(task, ACCEPT_NAME) ||
            !layout_claim(task->context->layout, task->current.path, &task->claimed))
                task->claimed = (Claim){};
        return task->claimed.kind;
}

bool task_open(Task *task) {
        CopyOptions options = {
                .chunk_size = task->context->chunk_size, .claim = find_claim(task), .read_again = task->read_again,
                .method = task->context->copy_method, .refusals = task->context->refusals,
                .on_record = task_digest_on_record(task) && task->attempt == 0,
                .limit = task->context->limit, .cancel = task->context->cancel, .progress = task->context->progress,
        };

        if (task->attempt == 0 && !task_may_replace(task))
                return false;
        for (;;) {
                int r = copy_new(&task->copy, task->context->sourcefd, &task->current, task->context->private_dir->fd,
                                 &options, &task->what);

                if (r == 0)
                        return true;
                if (r == COPY_SOURCE_CHANGED && try_again(task, TASK_CHANGED))
                        continue;
                if (r < 0)
                        task_fail(task, r, task->what);
                else if (r == COPY_NO_ROOM)
                        task->outcome = TASK_NO_ROOM;
                return false;
        }
}

/* Removes the flags of a scan, which do not belong into the base, and keeps that of a file that a client wrote. */
static void settle_flags(Task *task) {
        const Entry *base = task->item->base;

        if (task->outcome != TASK_AGREED)
                return;
        task->entry.flags &= ENTRY_HAS_DIGEST | ENTRY_LINKED | ENTRY_UNPROVEN | ENTRY_WRITTEN;
        manifest_entry_set_disk(&task->entry, &task->current);
        if (base && !(base->flags & ENTRY_RECORD))
                task->entry.flags |= base->flags & ENTRY_SAVED;
        if (base && task->item->action == PLAN_SETATTR) /* which looked at no bytes */
                task->entry.flags |= base->flags & (ENTRY_FINDINGS | ENTRY_OWN_COPY);
        if (task->own_copy)
                task->entry.flags |= ENTRY_OWN_COPY;
}

/* Written at once, so that the next run finds it if this one is killed. If it fails, the bytes are read once more. */
static void write_journal(const Task *task) {
        if (task->context->journalfd < 0)
                return;
        if (task->outcome == TASK_AGREED || task->outcome == TASK_COMPARED)
                (void) manifest_journal_put(task->context->journalfd, &task->entry);
        else if (task->outcome == TASK_REMOVED)
                (void) manifest_journal_drop(task->context->journalfd, plan_item_path(task->item));
}

static void publish(Task *task, const CopyResult *result) {
        task->current.flags |= ENTRY_HAS_DIGEST;
        task->current.digest = result->mirror;
        if (!task_is_undisturbed(task))
                return;
        concluded(task, publish_file(task->context->private_dir, copy_mirror_fd(task->copy),
                                     copy_source_fd(task->copy), &task->current, task->item->mirror, &task->entry,
                                     &task->xattrs_lost, &task->what));
}

bool task_close(Task *task) {
        CopyResult result;
        int r = copy_finish(task->copy, &result, &task->what, &task->offset);
        const Digest *record = task_digest_on_record(task);

        if (r == COPY_SOURCE_CHANGED)
                return try_again(task, TASK_CHANGED);
        if (r == COPY_CANCELLED) {
                task->outcome = TASK_CANCELLED;
                return false;
        }
        if (r < 0) {
                task_fail(task, r, task->what);
                /* a second attempt may succeed: a loose cable, a server that was away */
                return task->attempt == 0 && try_again(task, TASK_FAILED);
        }
        task->expected = r == COPY_MISMATCH ? result.source : record ? *record : result.source;
        task->found = result.mirror;
        if (r == COPY_MISMATCH)
                return try_again(task, TASK_GARBLED);
        if (record && !digest_equal(record, &result.mirror))
                return try_again(task, TASK_CORRUPT);
        task->claim_found = result.claim;
        if (task->claimed.kind != CLAIM_NONE && !claim_equal(&task->claimed, &result.claim))
                return try_again(task, TASK_MISNAMED);
        task->huge_bytes = result.huge_bytes;
        task->measured_bytes = result.measured_bytes;
        task->copied_bytes = task->current.size;
        task->direct_bytes = result.direct_bytes;
        task->method = result.method;
        publish(task, &result);
        task->entry.method = (uint8_t) result.method;
        if (task_is_large(task)) {
                settle_flags(task);
                write_journal(task);
        }
        return false;
}

static void stage_file(Task *task) {
        do {
                if (!task_open(task))
                        return;
                copy_work(task->copy);
        } while (task_close(task));
}

static void adopt(Task *task) {
        if (manifest_entry_is_data(&task->current)) {
                task_compare(task);
                return;
        }
        if (!pair_is_known(task->item->in_mirror) && !task_sync_directory(task))
                return;
        task->entry = *task->item->source;
        task->entry.ino = task->item->mirror->ino;
        task->entry.mtime_nsec = task->item->mirror->mtime_nsec; /* of a link: it is known by that too */
        task->entry.ctime_nsec = task->item->mirror->ctime_nsec;
        task->outcome = TASK_AGREED;
}

static void stage(Task *task) {
        MirrorPrivateDir *private_dir = task->context->private_dir;
        const Entry *source = task->item->source, *mirror = task->item->mirror;
        int r = 0;

        if (source->type != ENTRY_FILE && !(task_may_replace(task) && task_is_undisturbed(task)))
                return;
        switch ((EntryType) source->type) {
        case ENTRY_FILE:
                stage_file(task);
                return;
        case ENTRY_DIRECTORY:
                r = publish_directory(private_dir, source, mirror, &task->entry, &task->what);
                break;
        case ENTRY_SYMLINK:
                r = publish_symlink(private_dir, source, source->target, mirror, &task->entry, &task->what);
                break;
        case ENTRY_HARDLINK:
                r = publish_hardlink(private_dir, source, mirror, &task->entry, &task->what);
                break;
        }
        concluded(task, r);
}

/* Whether the copy still has the bytes that were staged. Read before the only copy in RAM is removed, because a store
 * through a mapping may leave no trace in size and times. Whether a client or faulty memory has changed it is decided
 * later. */
static bool is_what_was_staged(Task *task) {
        const Entry *base = task->item->base, *mirror = task->item->mirror;
        FileDigestOptions options = { .cancel = task->context->cancel, .progress = task->context->steps };
        int r;

        if (task->proven || task->item->kept || !base || !mirror || !(base->flags & ENTRY_HAS_DIGEST) ||
            base->flags & (ENTRY_RECORD | ENTRY_LINKED) || !manifest_entry_is_data(mirror))
                return true;
        r = file_digest_at(task->context->private_dir->mirrorfd, mirror->path, &options, &task->found);
        if (r < 0) {
                task_fail(task, r, "read the copy of");
                return false;
        }
        task->expected = base->digest;
        task->outcome = TASK_DIFFERS;
        return digest_equal(&task->found, &base->digest);
}

/* Replaces the file in the mirror by a link to the one on disk. */
static void link_to_disk(Task *task) {
        _cleanup_(freep) char *target = NULL;
        const Digest *record = task_digest_on_record(task);
        int r;

        if (!task_may_replace(task) || !is_what_was_staged(task))
                return;
        target = text_format("%s/%s", task->context->source_path, task->current.path);
        if (!target) {
                task_fail(task, -ENOMEM, "allocate memory for");
                return;
        }
        if (!task_is_undisturbed(task))
                return;
        r = publish_symlink(task->context->private_dir, task->item->source, target, task->item->mirror, &task->entry,
                            &task->what);
        task->entry.flags |= ENTRY_LINKED;
        if (record) { /* if it is staged again, it has to have the same bytes */
                task->entry.flags |= ENTRY_HAS_DIGEST;
                task->entry.digest = *record;
        }
        concluded(task, r);
}

static void set_attributes(Task *task) {
        const Entry *base = task->item->base, *mirror = task->item->mirror;
        bool data = mirror && manifest_entry_is_data(mirror) && manifest_entry_is_data(&task->current);
        Entry seen = {};
        int r;

        if (data && !task_is_as_seen(task, &seen)) { /* a new time would hide that it was written to */
                task->outcome = TASK_GONE;
                return;
        }
        r = publish_attributes(task->context->private_dir, task->item->source,
                               data           ? &seen
                               : task->finish ? NULL
                                              : mirror, &task->entry, &task->what);
        if (base && base->flags & ENTRY_HAS_DIGEST && task->item->action == PLAN_SETATTR) {
                task->entry.flags |= ENTRY_HAS_DIGEST;
                task->entry.digest = base->digest;
                task->entry.method = base->method;
        }
        concluded(task, r);
}

static void take_away(Task *task) {
        Entry expected = *task->item->mirror;
        int r;

        if (task->context->ending && expected.type == ENTRY_DIRECTORY)
                expected.ino = 0; /* clients may have exchanged them: whichever it is, it goes if it is empty */

        if (!task_may_replace(task) || (task->item->action == PLAN_RELEASE && !is_what_was_staged(task)) ||
            !task_is_undisturbed(task))
                return;
        r = (task->item->base || task->item->kept_known ? mirror_private_dir_remove : mirror_private_dir_discard)(
                task->context->private_dir, plan_item_path(task->item), &expected);
        task_let_go(task);
        if (r < 0)
                task_fail(task, r, "remove");
        else
                task->outcome = r == TREE_OCCUPIED ? TASK_OCCUPIED : r == TREE_BUSY ? TASK_BUSY : TASK_REMOVED;
}

void task_run(Task *task) {
        const PlanAction action = task->item->action;

        if (action != PLAN_REMOVE && task->context->cancel && atomic_load(task->context->cancel)) {
                task->outcome = TASK_CANCELLED;
                return;
        }
        if (task->finish)
                set_attributes(task);
        else if (action == PLAN_STAGE)
                stage(task);
        else if (action == PLAN_ADOPT)
                adopt(task);
        else if (action == PLAN_LINK)
                link_to_disk(task);
        else if (plan_takes_away(action))
                take_away(task);
        else
                set_attributes(task);
        settle_flags(task);
        if (!task->finish)
                write_journal(task);
        (void) atomic_fetch_add(task->context->steps, 1);
}
