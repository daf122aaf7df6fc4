/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Which deletions the disk may follow. See save/deletions.h. */

#include "save/deletions.h"

#include "base/array.h"
#include "base/path.h"
#include "base/text.h"
#include "layout/layout.h"
#include "save/unsaved-names.h"

/* How long a deletion waits: long enough that an "rm -r" of a large tree is seen as one wave. */
#define DELAY_USEC (5 * USEC_PER_SEC)
/* Deletions within this time count as one wave. */
#define WAVE_USEC (10 * USEC_PER_SEC)

static void drop_pending(Deletions *deletions) {
        for (size_t i = 0; i < deletions->n_pending; i++)
                free(deletions->pending[i].path);
        free(deletions->pending);
        deletions->pending = NULL;
        deletions->n_pending = 0;
}

void deletions_done(Deletions *deletions) {
        drop_pending(deletions);
        pathset_done(&deletions->notes);
        pathset_done(&deletions->scanning);
        pathset_done(&deletions->kept);
        pathset_done(&deletions->spared);
        deletions->heirs = manifest_free(deletions->heirs);
        free(deletions->recent);
        deletions_acknowledge(deletions);
        *deletions = (Deletions){};
}

void deletions_note_path(Deletions *deletions, const char *path) {
        (void) pathset_add(&deletions->notes, path); /* without memory it is staged again, which does no harm */
}

void deletions_note(Deletions *deletions, const WatchReport *report) {
        if (report->flags & (WATCH_RESYNC | WATCH_LOST) || !report->paths)
                return;
        for (size_t i = 0; i < report->n_paths; i++)
                deletions_note_path(deletions, report->paths[i]);
}

const PathSet *deletions_begin(Deletions *deletions) {
        /* those of a scan that failed are still there, because nothing was decided about them */
        for (size_t i = 0; i < deletions->notes.n; i++)
                (void) pathset_add(&deletions->scanning, deletions->notes.items[i]);
        pathset_done(&deletions->notes);
        for (size_t i = 0; i < deletions->n_pending; i++)
                if (!deletions->pending[i].over)
                        (void) pathset_add(&deletions->scanning, deletions->pending[i].path);
        for (size_t i = 0; i < deletions->kept.n; i++)
                (void) pathset_add(&deletions->scanning, deletions->kept.items[i]);
        for (size_t i = 0; i < deletions->spared.n; i++)
                (void) pathset_add(&deletions->scanning, deletions->spared.items[i]);
        pathset_sort(&deletions->scanning);
        return &deletions->scanning;
}

static int compare_pending(const void *key, const void *item) {
        return strcmp(key, ((const Deletion *) item)->path);
}

static Deletion *find_pending(const Deletions *deletions, const char *path) {
        Deletion *found = deletions->n_pending == 0 ? NULL
                                                    : bsearch(path, deletions->pending, deletions->n_pending,
                                                              sizeof(Deletion), compare_pending);

        return found && !found->over ? found : NULL;
}

uint64_t deletions_due(const Deletions *deletions, const char *path) {
        const Deletion *pending = find_pending(deletions, path);

        return pending ? pending->since_usec + DELAY_USEC : 0;
}

static int compare_by_path(const void *a, const void *b) {
        return strcmp(((const Deletion *) a)->path, ((const Deletion *) b)->path);
}

static bool is_accepted(const DeletionsInput *input, const Entry *entry) {
        return input->overrides && overrides_is_marked_deleted(input->overrides, entry);
}

static bool is_counted(const DeletionsInput *input, const Entry *entry) {
        return layout_is_counted(input->layout, entry->path, entry->type == ENTRY_DIRECTORY);
}

/* From now on those of this plan are pending, with the age that they had. */
static int collect_pending(Deletions *deletions, const DeletionsInput *input, const Plan *plan) {
        Deletion *found = NULL;
        size_t n = 0;

        for (size_t i = 0; i < plan->n_items; i++)
                n += plan->items[i].action == PLAN_DELETE;
        found = calloc(n + 1, sizeof(Deletion));
        if (!found)
                return -ENOMEM;
        n = 0;
        for (size_t i = 0; i < plan->n_items; i++) {
                const Entry *entry = plan->items[i].source;
                const Deletion *before;

                if (plan->items[i].action != PLAN_DELETE)
                        continue;
                before = find_pending(deletions, entry->path);
                found[n].path = strdup(entry->path);
                found[n].since_usec = is_accepted(input, entry) ? 0 : before ? before->since_usec : input->now_usec;
                found[n].counted = is_counted(input, entry) && !is_accepted(input, entry);
                n += found[n].path != NULL; /* without memory the next scan finds it again */
        }
        drop_pending(deletions);
        deletions->pending = found;
        deletions->n_pending = n;
        if (n > 0)
                qsort(found, n, sizeof(Deletion), compare_by_path);
        return 0;
}

static size_t count_recent(Deletions *deletions, uint64_t now) {
        size_t kept = 0;

        for (size_t i = 0; i < deletions->n_recent; i++)
                if (deletions->recent[i] + WAVE_USEC > now)
                        deletions->recent[kept++] = deletions->recent[i];
        deletions->n_recent = kept;
        return kept;
}

static size_t count_names(const DeletionsInput *input) {
        size_t n = 0;

        for (size_t i = 0; i < input->base->n_entries; i++)
                n += !(input->base->entries[i].flags & ENTRY_RECORD) && is_counted(input, &input->base->entries[i]);
        return n;
}

static bool is_too_much(Deletions *deletions, const DeletionsInput *input, size_t *ret_wave, size_t *ret_total) {
        const DeleteLimit *limit = &input->config->mass_delete_limit;
        size_t recent = count_recent(deletions, input->now_usec), wave = recent, total = count_names(input) + recent;

        for (size_t i = 0; i < deletions->n_pending; i++)
                wave += deletions->pending[i].counted && deletions->pending[i].since_usec + WAVE_USEC > input->now_usec;
        *ret_wave = wave;
        *ret_total = total;
        if (limit->off || wave == 0)
                return false;
        if (wave > 1 && wave >= total)
                return true;
        return wave > limit->names && wave * 100 > total * limit->percent;
}

static void hold_back(Deletions *deletions, const DeletionsInput *input, Plan *plan, size_t wave, size_t total) {
        char path[TEXT_PATH_MAX];
        const char *first = deletions->n_pending > 0 ? deletions->pending[0].path : "";

        for (size_t i = 0; i < deletions->n_pending; i++)
                if (deletions->pending[i].counted) {
                        first = deletions->pending[i].path;
                        break;
                }
        deletions_acknowledge(deletions);
        deletions->held = text_format(
                "%zu of the %zu files in '%s' were deleted at once, such as '%s'; they stay on disk and are staged "
                "again; if this was intended, run shmstagectl accept --all, delete them on disk in '%s', or raise "
                "MassDeleteLimit=",
                wave, total, input->config->target, text_path(path, first), input->config->source);
        deletions->n_held = wave;
        if (manifest_new(&deletions->wave) < 0)
                deletions->wave = NULL; /* then it cannot be accepted */
        for (size_t i = 0; i < plan->n_items; i++) {
                PlanItem *item = &plan->items[i];
                bool linked = item->source && (item->source->flags & ENTRY_DISK_ONLY ||
                                               (item->base && item->base->flags & ENTRY_LINKED));

                if (item->action != PLAN_DELETE || is_accepted(input, item->source))
                        continue;
                item->action = linked ? PLAN_LINK : PLAN_STAGE;
                if (deletions->wave)
                        (void) manifest_put(deletions->wave, item->source);
        }
        if (deletions->wave)
                manifest_sort(deletions->wave);
        drop_pending(deletions);
}

bool deletions_is_reported(const Deletions *deletions, const char *path) {
        return pathset_covers(&deletions->scanning, path);
}

size_t deletions_hold_shared(Deletions *deletions, LayoutKind layout, Plan *plan) {
        size_t n = 0;

        for (size_t i = 0; deletions->scanning.n > 0 && i < plan->n_items; i++) {
                PlanItem *item = &plan->items[i];
                bool comes_back = item->action == PLAN_STAGE || item->action == PLAN_LINK || item->action == PLAN_WAIT;

                if (!comes_back || item->mirror || !item->source || !layout_is_shared(layout, item->source->path) ||
                    !deletions_is_reported(deletions, item->source->path))
                        continue;
                item->action = PLAN_IGNORE;
                deletions_note_path(deletions, item->source->path);
                n++;
        }
        if (n > 0)
                plan_count(plan);
        return n;
}

void deletions_note_heir(Deletions *deletions, const char *path, uint64_t ino) {
        Entry heir = { .path = (char *) path, .type = ENTRY_FILE, .ino = ino };

        if (!deletions->heirs && manifest_new(&deletions->heirs) < 0)
                return; /* then only the deletion counts */
        (void) manifest_put(deletions->heirs, &heir);
        manifest_sort(deletions->heirs);
}

static bool lives_on(const Deletions *deletions, const UnsavedNames *names, const PlanItem *item) {
        const Entry *heir = deletions->heirs ? manifest_find(deletions->heirs, item->source->path) : NULL;

        return (item->base && !(item->base->flags & ENTRY_RECORD) &&
                unsaved_names_has(names, item->base->ino, item->source->path)) ||
               (heir && unsaved_names_has(names, heir->ino, item->source->path));
}

static bool is_nobodys(const Entry *heir, void *userdata) {
        return !unsaved_names_has(userdata, heir->ino, heir->path);
}

int deletions_hold_moved(Deletions *deletions, Plan *plan) {
        _cleanup_(unsaved_names_done) UnsavedNames names = {};
        int n = 0;

        for (size_t i = 0; i < plan->n_items; i++)
                n += plan->items[i].action == PLAN_DELETE && plan->items[i].source->type != ENTRY_DIRECTORY;
        if (n == 0)
                return 0;
        if (unsaved_names_collect(&names, plan) < 0)
                return -ENOMEM;
        n = 0;
        for (size_t i = 0; i < plan->n_items; i++) {
                PlanItem *item = &plan->items[i];

                if (item->action != PLAN_DELETE || item->source->type == ENTRY_DIRECTORY ||
                    !lives_on(deletions, &names, item))
                        continue;
                item->action = PLAN_IGNORE;
                deletions_note_path(deletions, item->source->path);
                n++;
        }
        if (deletions->heirs)
                manifest_filter(deletions->heirs, is_nobodys, &names);
        if (n > 0)
                plan_count(plan);
        return n;
}

static void mark_shared(PlanItem *item, Manifest *marked) {
        Entry record = item->base ? *item->base : *item->source;

        record.size = item->source->size; /* if the mirror had a link to it, it may have been touched on disk */
        record.mtime_nsec = item->source->mtime_nsec;
        record.flags |= ENTRY_RECORD | ENTRY_CONDEMNED;
        if (manifest_put(marked, &record) == 0)
                item->action = PLAN_IGNORE;
}

static bool has_marked(const char *directory, const Manifest *marked) {
        for (size_t i = manifest_seek_inside(marked, directory);
             i < marked->n_entries && path_compare_inside(marked->entries[i].path, directory) == 0; i++)
                if (marked->entries[i].flags & ENTRY_CONDEMNED)
                        return true;
        return false;
}

/* Directories that are not empty yet on disk, because content in them is only marked for deletion, stay out of the
 * mirror like what Deletes=keep leaves on disk. */
static void keep_directories(Deletions *deletions, Plan *plan, Manifest *marked) {
        manifest_sort(marked);
        for (size_t i = 0; i < plan->n_items; i++) {
                PlanItem *item = &plan->items[i];

                if (item->action != PLAN_DELETE || item->source->type != ENTRY_DIRECTORY)
                        continue;
                if (has_marked(item->source->path, marked) && pathset_add(&deletions->kept, item->source->path) == 0)
                        item->action = PLAN_IGNORE;
        }
}

/* What Deletes=keep has kept stays on the disk, also if another policy is in force by now. */
static void spare(Deletions *deletions, const DeletionsInput *input, Plan *plan) {
        for (size_t i = 0; deletions->spared.n > 0 && i < plan->n_items; i++) {
                PlanItem *item = &plan->items[i];

                if (item->mirror)
                        pathset_remove(&deletions->spared, plan_item_path(item)); /* from now on it counts again */
                else if (item->action == PLAN_DELETE && input->config->deletes != DELETES_KEEP &&
                         !is_accepted(input, item->source) &&
                         pathset_has(&deletions->spared, item->source->path))
                        item->action = PLAN_IGNORE;
        }
}

int deletions_decide(Deletions *deletions, const DeletionsInput *input, Plan *plan, Manifest *marked) {
        size_t wave, total;
        int r;

        spare(deletions, input, plan);
        r = collect_pending(deletions, input, plan);
        pathset_done(&deletions->scanning);
        if (r < 0)
                return r;
        if (is_too_much(deletions, input, &wave, &total)) {
                hold_back(deletions, input, plan, wave, total);
                plan_count(plan);
                return 1;
        }
        for (size_t i = 0; i < plan->n_items; i++) {
                PlanItem *item = &plan->items[i];

                if (item->action != PLAN_DELETE)
                        continue;
                if (input->config->deletes == DELETES_KEEP) {
                        if (pathset_add(&deletions->spared, item->source->path) == 0)
                                item->action = PLAN_IGNORE;
                } else if (layout_is_shared(input->layout, item->source->path))
                        mark_shared(item, marked);
        }
        keep_directories(deletions, plan, marked);
        pathset_sort(&deletions->kept);
        pathset_sort(&deletions->spared);
        return 0;
}

void deletions_carried_out(Deletions *deletions, const char *path, uint64_t now_usec) {
        Deletion *pending = find_pending(deletions, path);

        if (!pending)
                return;
        if (pending->counted && ARRAY_ROOM(deletions->recent, deletions->n_recent) == 0)
                deletions->recent[deletions->n_recent++] = now_usec;
        pending->over = true;
}

void deletions_forget(Deletions *deletions) {
        drop_pending(deletions);
        pathset_done(&deletions->notes);
        pathset_done(&deletions->scanning);
}

typedef struct Accepting {
        Deletions *deletions;
        const DeletionsInput *input;
        const PathSet *paths;
} Accepting;

static bool take_accepted(const Entry *entry, void *userdata) {
        const Accepting *accepting = userdata;
        Deletions *deletions = accepting->deletions;

        if (!pathset_has(accepting->paths, entry->path))
                return false;
        deletions->n_held -= deletions->n_held > 0 && is_counted(accepting->input, entry);
        return true;
}

void deletions_accept(Deletions *deletions, const DeletionsInput *input, const PathSet *paths) {
        Accepting accepting = { .deletions = deletions, .input = input, .paths = paths };

        if (!deletions->wave || paths->n == 0)
                return;
        manifest_filter(deletions->wave, take_accepted, &accepting);
        if (deletions->wave->n_entries == 0)
                deletions_acknowledge(deletions);
}

void deletions_acknowledge(Deletions *deletions) {
        deletions->wave = manifest_free(deletions->wave);
        free(deletions->held);
        deletions->held = NULL;
        deletions->n_held = 0;
}
