/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What was agreed becomes part of the base. See mirror/base-update.h. */

#include "mirror/base-update.h"

static void note_record(Manifest *changes, const Entry *base) {
        Entry record = *base;

        record.flags |= ENTRY_RECORD;
        (void) manifest_put(changes, &record);
}

/* A process has it open for writing: what it makes of it is its work, also if no report of that comes any more. */
static void note_written(Manifest *changes, const Entry *base) {
        Entry written = *base;

        written.flags |= ENTRY_UNPROVEN | ENTRY_WRITTEN;
        (void) manifest_put(changes, &written);
}

void base_update_note(Manifest *changes, const Task *task) {
        const PlanItem *item = task->item;

        if (task->outcome == TASK_AGREED || task->outcome == TASK_COMPARED)
                (void) manifest_put(changes, &task->entry);
        else if (task->outcome == TASK_BUSY && item->base && !(item->base->flags & (ENTRY_RECORD | ENTRY_LINKED)))
                note_written(changes, item->base);
        else if (task->outcome != TASK_CANCELLED && item->base && (task->outcome == TASK_REMOVED || !item->mirror))
                note_record(changes, item->base);
}

static void note_forgotten(Manifest *changes, const Plan *plan) {
        for (size_t i = 0; i < plan->n_items; i++)
                if (plan->items[i].action == PLAN_FORGET)
                        note_record(changes, plan->items[i].base);
}

static bool is_stale_record(const Entry *entry, void *userdata) {
        const Manifest *source = userdata;

        return entry->flags & ENTRY_RECORD && !manifest_find(source, entry->path) &&
               !manifest_is_blind(source, entry->path);
}

/* The first name of a file that has several, NULL for any other entry. */
static Entry *first_name(const Manifest *base, const Entry *entry) {
        Entry *first = entry->type == ENTRY_HARDLINK ? manifest_find(base, entry->target) : NULL;

        return first && first->ino == entry->ino && !((first->flags | entry->flags) & (ENTRY_RECORD | ENTRY_LINKED))
                       ? first
                       : NULL;
}

/* Names of one inode have one ctime, which moved when the last of them was added. A name that was only tied has the
 * digest of the first one; any other has one that it shares with its own object on the disk. */
static void share_inodes(Manifest *base) {
        Entry *first;

        for (size_t i = 0; i < base->n_entries; i++)
                if ((first = first_name(base, &base->entries[i])))
                        first->ctime_nsec = MAX(first->ctime_nsec, base->entries[i].ctime_nsec);
        for (size_t i = 0; i < base->n_entries; i++) {
                Entry *entry = &base->entries[i];

                if (!(first = first_name(base, entry)))
                        continue;
                entry->ctime_nsec = first->ctime_nsec;
                if (!(entry->flags & ENTRY_HAS_DIGEST) && first->flags & ENTRY_HAS_DIGEST)
                        entry->digest = first->digest;
                entry->method = first->method;
                entry->flags |= first->flags & ENTRY_HAS_DIGEST;
        }
}

void base_update_merge(Manifest *base, const Manifest *source, Plan **plan, Manifest **changes) {
        if (*plan && *changes)
                note_forgotten(*changes, *plan);
        *plan = plan_free(*plan); /* it borrows from the base, which is about to move */
        for (size_t i = 0; *changes && i < (*changes)->n_entries; i++)
                (void) manifest_put(base, &(*changes)->entries[i]);
        *changes = manifest_free(*changes);
        manifest_sort(base);
        if (source)
                manifest_filter(base, is_stale_record, (void *) source);
        share_inodes(base);
}
