/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The way back: the queue of what is to be saved. See save/writeback.h. */

#include "save/writeback.h"

#include "os/fs.h"
#include "plan/renames.h"
#include "save/amend-plan.h"

#include <fcntl.h>
#include <malloc.h>
#include <sys/syscall.h>

#define LARGE_BYTES (64 * MIB)

#define PAUSE_MIN_USEC (USEC_PER_SEC)
#define PAUSE_MAX_USEC (60 * USEC_PER_SEC)

/* At a stop what fails is tried so often, and what somebody still writes is waited for about as long as it takes a
 * service to die. */
enum { LAST_ATTEMPTS = 3, LAST_BUSY_ATTEMPTS = 20 };
#define LAST_PAUSE_USEC (USEC_PER_SEC / 2)

static void start(Writeback *wb);
static void start_over(Writeback *wb);

static uint64_t now_usec(const Writeback *wb) {
        uint64_t now = 0;

        (void) sd_event_now(wb->event, CLOCK_MONOTONIC, &now); /* at worst everything is due */
        return now;
}

/* --- the queue --- */

void writeback_init(Writeback *wb) {
        wb->sourcefd = wb->mirrorfd = -1;
        wb->log.config = wb->config;
}

void writeback_done(Writeback *wb) {
        save_queue_done(&wb->queue);
        wb->changes = manifest_free(wb->changes);
        wb->yielded = manifest_free(wb->yielded);
        wb->suspects = manifest_free(wb->suspects);
        wb->timer = sd_event_source_unref(wb->timer);
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
        wb->sourcefd = close_fd(wb->sourcefd);
        wb->sourcefd = fd;
        wb->mirrorfd = mirrorfd;
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

/* --- jobs --- */

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

static void save_item_run(Job *job) {
        SaveItem *item = (SaveItem *) job;

        set_io_class(item->idle_io);
        do
                save_run(&item->save, &item->options);
        while (item->save.outcome == SAVE_NO_ROOM && disk_make_room(item->options.disk, needed_bytes(item)) > 0);
        /* if it stays, the file has two names on disk, and the next scan sees that */
        if (item->save.outcome == SAVE_DONE && item->origin.path)
                (void) disk_remove(item->options.disk, item->origin.path, &item->origin, false);
}

static uint64_t pause_usec(const Writeback *wb, const SaveItem *item) {
        unsigned shift = MIN(item->attempts, 6U);

        if (wb->queue.last)
                return LAST_PAUSE_USEC;
        if (item->save.outcome == SAVE_BUSY)
                return 2 * USEC_PER_SEC;
        return MIN(PAUSE_MIN_USEC << shift, PAUSE_MAX_USEC);
}

static void agreed(Writeback *wb, SaveItem *item) {
        Entry entry = item->action == PLAN_DELETE ? item->source : item->save.entry;

        item->state = ITEM_DONE;
        if (item->action == PLAN_DELETE) {
                entry.flags = (uint8_t) ((entry.flags & ENTRY_HAS_DIGEST) | ENTRY_RECORD | ENTRY_DELETED);
                deletions_carried_out(wb->deletions, item->path, now_usec(wb));
        } else
                entry.flags = (uint8_t) ((entry.flags & ENTRY_HAS_DIGEST) | ENTRY_SAVED);
        (void) manifest_put(wb->changes, &entry); /* without memory: both sides look the same, and are compared */
        if (item->origin.path) {
                Entry old = item->origin;

                old.flags = ENTRY_RECORD | ENTRY_DELETED;
                (void) manifest_put(wb->changes, &old);
        }
        /* it was deleted or replaced while it was saved; if a look has seen that already, it knew nothing of it */
        if (item->save.gone && wb->armed) {
                deletions_note_path(wb->deletions, item->path);
                wb->survey(wb->userdata);
        }
}

static void note_conflict(Writeback *wb, SaveItem *item) {
        if (!item->save.kept)
                return;
        wb->n_conflicts_ever++;
        (void) conflicts_add(&wb->conflicts, item->path, TAKE_PTR(item->save.kept)); /* it was told */
}

static void count(Writeback *wb, const SaveItem *item) {
        SaveOutcome outcome = item->save.outcome;

        wb->n_failures += outcome == SAVE_NO_ROOM || outcome == SAVE_GARBLED || outcome == SAVE_FAILED;
        if (outcome != SAVE_DONE)
                return;
        wb->n_deletions += item->action == PLAN_DELETE;
        if (item->save.kind != SAVE_REMOVAL && item->save.kind != SAVE_ATTRIBUTES && item->mirror.type == ENTRY_FILE) {
                wb->n_saves++;
                wb->saved_bytes += save_item_bytes(item);
        }
}

static void came_back(Writeback *wb, SaveItem *item) {
        SaveOutcome outcome = item->save.outcome;

        item->attempts = outcome == SAVE_DONE || outcome == SAVE_CANCELLED ? 0 : item->attempts + 1;
        item->state = ITEM_WAITING;
        count(wb, item);
        switch (outcome) {
        case SAVE_DONE:
                wb->n_saved++;
                save_log_done(&wb->log, item, now_usec(wb));
                note_conflict(wb, item);
                if (item->save.kind != SAVE_BESIDE) {
                        agreed(wb, item);
                        return;
                }
                /* the mirror's version is safe: the disk's may take the name in the mirror too */
                (void) manifest_put(wb->yielded, &item->mirror);
                manifest_sort(wb->yielded);
                item->state = ITEM_DONE;
                wb->survey(wb->userdata);
                return;
        case SAVE_CHANGED:
                if (item->action == PLAN_SAVEATTR) {
                        (void) manifest_put(wb->suspects, &item->mirror);
                        manifest_sort(wb->suspects);
                }
                wb->survey(wb->userdata);
                break;
        case SAVE_OCCUPIED:
                /* a directory in which the disk has more than the mirror had */
                if (item->action == PLAN_DELETE && item->source.type == ENTRY_DIRECTORY) {
                        agreed(wb, item);
                        return;
                }
                wb->survey(wb->userdata);
                break;
        case SAVE_GONE:
                wb->survey(wb->userdata); /* which drops it, or has it with what is there now */
                break;
        case SAVE_BAD:
        case SAVE_LEADS_OUT:
                item->state = ITEM_REFUSED;
                break;
        case SAVE_BUSY:
        case SAVE_FOLDED:
        case SAVE_NO_ROOM:
        case SAVE_GARBLED:
        case SAVE_FAILED:
        case SAVE_CANCELLED:
                break;
        }
        item->due_usec = now_usec(wb) + pause_usec(wb, item);
        if (wb->queue.last && item->attempts >= (outcome == SAVE_BUSY ? (unsigned) LAST_BUSY_ATTEMPTS : LAST_ATTEMPTS))
                item->state = ITEM_REFUSED;
        save_log_failures(&wb->log, item, now_usec(wb));
}

static void save_item_done(Job *job) {
        SaveItem *item = (SaveItem *) job;
        Writeback *wb = item->userdata;

        wb->n_running--;
        wb->n_large -= save_item_bytes(item) >= LARGE_BYTES;
        wb->again = true;
        came_back(wb, item);
        start(wb);
        wb->moved_on(wb->userdata);
}

static void run(Writeback *wb, SaveItem *item) {
        item->options = (SaveOptions){ .disk = &wb->disk,
                                       .mirrorfd = wb->mirrorfd,
                                       .mirror_path = wb->target,
                                       .progress = wb->progress,
                                       .own_owner = geteuid() != 0 };
        item->idle_io = wb->polite && !wb->queue.last;
        item->userdata = wb;
        save_item_prepare(item, wb->queue.layout, wb->config->deletes == DELETES_TRASH, wb->queue.last);
        item->job = (Job){ .run = save_item_run, .done = save_item_done };
        item->state = ITEM_RUNNING;
        wb->n_running++;
        wb->n_large += save_item_bytes(item) >= LARGE_BYTES;
        pool_submit(wb->pool, &item->job);
}

/* --- when --- */

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Writeback *wb = userdata;

        (void) source;
        (void) usec;
        start_over(wb);
        start(wb);
        wb->moved_on(wb->userdata);
        return 0;
}

static void set_timer(Writeback *wb, uint64_t usec) {
        if (usec == UINT64_MAX)
                return;
        if (!wb->timer)
                (void) sd_event_add_time(wb->event, &wb->timer, CLOCK_MONOTONIC, usec, 1000, on_timer, wb);
        else {
                (void) sd_event_source_set_time(wb->timer, usec);
                (void) sd_event_source_set_enabled(wb->timer, SD_EVENT_ONESHOT);
        }
}

/* Not everything at once: what is not yet begun follows what the next look sees. Small ones are let past large ones. */
static bool has_room(const Writeback *wb, const SaveItem *item) {
        unsigned workers = pool_workers(wb->pool);

        return wb->n_running < workers &&
               (save_item_bytes(item) < LARGE_BYTES || wb->n_large + 1 < workers || workers == 1);
}

static void start(Writeback *wb) {
        uint64_t now = now_usec(wb);

        for (;;) {
                for (; wb->cursor < wb->queue.n && wb->n_running < pool_workers(wb->pool); wb->cursor++) {
                        SaveItem *item = wb->queue.items[wb->cursor];

                        if (item->state != ITEM_WAITING ||
                            (item->due_usec > now &&
                             !(wb->queue.last && item->attempts == 0 && item->action != PLAN_DELETE)))
                                continue;
                        if (save_queue_is_incomplete(&wb->queue, item))
                                save_log_incomplete(&wb->log, item, save_queue_missing(&wb->queue, item),
                                                    wb->queue.last, now);
                        else if ((item->action == PLAN_DELETE && !wb->sure) ||
                                 save_queue_has_to_wait(&wb->queue, item) || !has_room(wb, item))
                                wb->waits = true;
                        else
                                run(wb, item);
                }
                if (wb->cursor < wb->queue.n || !wb->waits || !wb->again)
                        break;
                wb->cursor = 0;
                wb->waits = wb->again = false;
        }
        if (wb->cursor == wb->queue.n)
                set_timer(wb, save_queue_next_usec(&wb->queue, now));
}

/* From the first again. */
static void start_over(Writeback *wb) {
        wb->cursor = 0;
        wb->waits = wb->again = false;
}

void writeback_go_on(Writeback *wb, bool armed, bool quiet) {
        wb->armed = armed;
        wb->sure = armed && quiet;
        start_over(wb);
        start(wb);
}

/* --- what a look brings --- */

/* What a large wave took is kept by the library for the next one, which may never come. */
enum { LARGE_WAVE = 1000 };

static void give_back_memory(void) {
#ifdef __GLIBC__
        (void) malloc_trim(0);
#endif
}

static int compare_items(const void *a, const void *b) {
        return strcmp(plan_item_path(*(PlanItem *const *) a), plan_item_path(*(PlanItem *const *) b));
}

static int collect_wanted(const Plan *plan, PlanItem ***ret, size_t *ret_n) {
        PlanItem **wanted = calloc(plan->n_items + 1, sizeof(PlanItem *));
        size_t n = 0;

        if (!wanted)
                return -ENOMEM;
        for (size_t i = 0; i < plan->n_items; i++)
                if (plan_is_write_back(plan->items[i].action))
                        wanted[n++] = &plan->items[i];
        if (n > 0)
                qsort(wanted, n, sizeof(PlanItem *), compare_items);
        *ret = wanted;
        *ret_n = n;
        return 0;
}

/* The same as before keeps its age and what is known of it; what is with a job is left alone until that comes back. */
static int make_item(Writeback *wb, const PlanItem *wanted, const Renames *renames, SaveItem **ret) {
        SaveItem *before = save_queue_find(&wb->queue, plan_item_path(wanted));
        const PlanItem *origin = wanted->action == PLAN_SAVE ? renames_origin(renames, plan_item_path(wanted)) : NULL;
        _cleanup_(save_item_freep) SaveItem *item = NULL;
        int r;

        if (before &&
            (before->state == ITEM_RUNNING || (before->state != ITEM_DONE && save_item_is_same(before, wanted) &&
                                               save_item_has_origin(before, origin ? origin->source : NULL)))) {
                /* whoever had it open may have closed it: that is what brings a look */
                if (before->state == ITEM_WAITING && before->attempts > 0 && before->save.outcome == SAVE_BUSY)
                        before->due_usec = now_usec(wb);
                *ret = before;
                return 0;
        }
        r = save_item_new(&item, wanted);
        if (r == 0 && origin)
                r = manifest_entry_copy(origin->source, &item->origin);
        if (r < 0)
                return r;
        if (origin && origin->base && origin->base->flags & ENTRY_HAS_DIGEST) { /* it goes with the bytes */
                item->origin.digest = origin->base->digest;
                item->origin.flags |= ENTRY_HAS_DIGEST;
        }
        if (wb->eventless)
                item->source.ino = item->origin.ino = 0; /* are not compared */
        item->role = layout_role(wb->queue.layout, item->path);
        item->since_usec = now_usec(wb);
        item->due_usec =
                wanted->action == PLAN_DELETE
                        ? deletions_due(wb->deletions, item->path)
                        : item->since_usec + save_item_settle_usec(item, wb->queue.layout, wb->config->settle_usec);
        *ret = TAKE_PTR(item);
        return 0;
}

static int compare_pointer_key(const void *key, const void *pointer) {
        return strcmp(key, ((const SurveyPointer *) pointer)->mirror->path);
}

/* A pointer need not hold still, but for one that is broken: its client may just have begun to write it. */
static void take_pointer(const Writeback *wb, SaveItem *item, const Survey *survey) {
        bool was_broken = item->broken;
        SurveyPointer *pointer;

        if (item->state == ITEM_RUNNING || survey->n_pointers == 0)
                return;
        pointer = bsearch(item->path, survey->pointers, survey->n_pointers, sizeof(SurveyPointer), compare_pointer_key);
        if (pointer)
                save_item_take_pointer(item, pointer);
        if (item->broken && !item->accepted)
                item->due_usec = MAX(item->due_usec, item->since_usec + wb->config->settle_usec);
        else if (was_broken && item->state == ITEM_WAITING)
                item->due_usec =
                        item->since_usec + save_item_settle_usec(item, wb->queue.layout, wb->config->settle_usec);
}

static int take_wanted(Writeback *wb, PlanItem **wanted, size_t n, const Survey *survey, const Renames *renames) {
        _cleanup_(freep) SaveItem **fresh = calloc(n + 1, sizeof(SaveItem *));
        size_t m = 0;
        int r;

        if (!fresh)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                if (make_item(wb, wanted[i], renames, &fresh[m]) < 0)
                        continue; /* the next look has it again */
                take_pointer(wb, fresh[m++], survey);
        }
        r = save_queue_replace(&wb->queue, fresh, m);
        for (size_t i = 0; r < 0 && i < m; i++)
                if (save_queue_find(&wb->queue, fresh[i]->path) != fresh[i])
                        (void) save_item_free(fresh[i]);
        start_over(wb);
        return r;
}

int writeback_update(Writeback *wb, Survey *survey, const Manifest *base, const Manifest *altered,
                     const Overrides *overrides) {
        _cleanup_(freep) PlanItem **wanted = NULL;
        DeletionsInput input;
        Renames renames = {};
        size_t n = 0;
        int r, held = 0;

        wb->queue.layout = survey->layout;
        manifest_sort(wb->changes);
        amend_plan_apply(survey->plan, &(PlanAmendments){ .queue = &wb->queue,
                                                          .changes = wb->changes,
                                                          .yielded = wb->yielded,
                                                          .suspects = wb->suspects,
                                                          .altered = altered });
        r = renames_find(survey->plan, &renames);
        if (r == 0) {
                amend_plan_ignore_renamed(survey->plan, &renames);
                input = (DeletionsInput){ .config = wb->config,
                                          .layout = survey->layout,
                                          .base = base,
                                          .overrides = overrides,
                                          .now_usec = now_usec(wb) };
                held = deletions_decide(wb->deletions, &input, survey->plan, wb->changes);
                manifest_sort(wb->changes);
                r = held < 0 ? held : collect_wanted(survey->plan, &wanted, &n);
        }
        if (r == 0)
                r = take_wanted(wb, wanted, n, survey, &renames);
        renames_done(&renames);
        if (r == 0 && wb->n_running == 0 && n == 0) {
                save_log_remaining(&wb->log, now_usec(wb));
                if (wb->n_saved >= LARGE_WAVE)
                        give_back_memory();
                wb->n_saved = 0;
        }
        return r < 0 ? r : held;
}

void writeback_log_remaining(Writeback *wb) {
        save_log_end(&wb->log);
}

Manifest *writeback_take(Writeback *wb) {
        Manifest *taken = NULL, *fresh;

        if (!wb->changes || wb->changes->n_entries == 0 || manifest_new(&fresh) < 0)
                return NULL;
        taken = wb->changes;
        wb->changes = fresh;
        manifest_sort(taken);
        return taken;
}

void writeback_acknowledge(Writeback *wb) {
        conflicts_done(&wb->conflicts);
}

void writeback_forget_deletions(Writeback *wb) {
        for (size_t i = 0; i < wb->queue.n; i++)
                if (wb->queue.items[i]->action == PLAN_DELETE && wb->queue.items[i]->state == ITEM_WAITING)
                        wb->queue.items[i]->state = ITEM_DONE;
        deletions_forget(wb->deletions);
}

/* --- the end --- */

/* What only a header speaks against is saved in the end. */
static bool may_be_saved_anyway(const SaveItem *item) {
        return item->state == ITEM_REFUSED && item->save.outcome == SAVE_BAD && item->save.claim.kind == CLAIM_NONE &&
               !item->save.anyway;
}

void writeback_hurry(Writeback *wb, bool hurry) {
        wb->queue.last = hurry;
        for (size_t i = 0; hurry && i < wb->queue.n; i++)
                if (may_be_saved_anyway(wb->queue.items[i])) {
                        wb->queue.items[i]->state = ITEM_WAITING;
                        wb->queue.items[i]->attempts = 0;
                }
}

bool writeback_is_over(const Writeback *wb) {
        return wb->n_running == 0 && save_queue_is_over(&wb->queue, now_usec(wb));
}
