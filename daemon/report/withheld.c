/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The files that are withheld from a mirror. See report/withheld.h. */

#include "report/withheld.h"

#include "base/array.h"

static void file_done(WithheldFile *file) {
        free(file->path);
        free(file->text);
}

void withheld_done(Withheld *withheld) {
        for (size_t i = 0; i < withheld->n; i++)
                file_done(&withheld->files[i]);
        free(withheld->files);
        *withheld = (Withheld){};
}

static WithheldFile *find(const Withheld *withheld, const char *path) {
        for (size_t i = 0; i < withheld->n; i++)
                if (strcmp(withheld->files[i].path, path) == 0)
                        return &withheld->files[i];
        return NULL;
}

bool withheld_is_logged(const Withheld *withheld, const Task *task, const char *text) {
        const WithheldFile *file = find(withheld, plan_item_path(task->item));

        if (!file || file->outcome != task->outcome)
                return false;
        return task->outcome == TASK_FAILED ? file->error == task->error : string_equal(file->text, text);
}

void withheld_drop(Withheld *withheld, const char *path) {
        WithheldFile *file = find(withheld, path);

        if (!file)
                return;
        file_done(file);
        *file = withheld->files[--withheld->n];
}

int withheld_put(Withheld *withheld, const Task *task, const char *text) {
        const Entry *source = &task->current;
        WithheldFile file = {
                .path = strdup(source->path), .text = strdup(text), .outcome = task->outcome, .error = task->error,
                .size = source->size, .ino = source->ino, .mtime_nsec = source->mtime_nsec,
                .ctime_nsec = source->ctime_nsec,
        };

        withheld_drop(withheld, source->path);
        if (!file.path || !file.text || ARRAY_ROOM(withheld->files, withheld->n) < 0) {
                file_done(&file);
                return -ENOMEM;
        }
        withheld->files[withheld->n++] = file;
        return 0;
}

/* A file that has not changed is not read again if its bytes were wrong, and if it could not be read only with
 * @retry. */
static bool is_worth_a_try(const WithheldFile *file, const Entry *source, bool retry) {
        if (file->size != source->size || file->mtime_nsec != source->mtime_nsec ||
            file->ctime_nsec != source->ctime_nsec || file->ino != source->ino)
                return true;
        if (file->outcome == TASK_FAILED)
                return retry;
        return file->outcome != TASK_CORRUPT && file->outcome != TASK_MISNAMED && file->outcome != TASK_GARBLED &&
               file->outcome != TASK_DIFFERS;
}

void withheld_apply(Withheld *withheld, Plan *plan, bool retry, bool all) {
        Withheld kept = {};

        if (withheld->n == 0)
                return;
        for (size_t i = 0; i < plan->n_items; i++) {
                PlanItem *item = &plan->items[i];
                WithheldFile *file = find(withheld, plan_item_path(item));

                if (!file || (item->action != PLAN_STAGE && item->action != PLAN_ADOPT && item->action != PLAN_WAIT))
                        continue;
                if (item->action != PLAN_WAIT && !all && !is_worth_a_try(file, item->source, retry))
                        item->action = PLAN_WITHHOLD;
                if (ARRAY_ROOM(kept.files, kept.n) < 0)
                        continue; /* at worst its next failure is logged again */
                kept.files[kept.n++] = *file;
                file->path = file->text = NULL;
                *file = withheld->files[--withheld->n];
        }
        withheld_done(withheld);
        *withheld = kept;
        plan_count(plan);
}

bool withheld_is_retryable(const Withheld *withheld) {
        for (size_t i = 0; i < withheld->n; i++)
                if (withheld->files[i].outcome == TASK_FAILED || withheld->files[i].outcome == TASK_NO_ROOM)
                        return true;
        return false;
}
