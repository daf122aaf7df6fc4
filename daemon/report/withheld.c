/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The files that are withheld from a mirror. See report/withheld.h. */

#include "report/withheld.h"

#include "base/array.h"

static WithheldFile *file_free(WithheldFile *file) {
        if (!file)
                return NULL;
        free(file->path);
        free(file->text);
        free(file);
        return NULL;
}
DEFINE_CLEANUP(WithheldFile, file_free)

void withheld_done(Withheld *withheld) {
        for (size_t i = 0; i < withheld->n; i++)
                (void) file_free(withheld->files[i]);
        free(withheld->files);
        *withheld = (Withheld){};
}

static int compare_with_path(const void *file, const void *path) {
        return strcmp((*(WithheldFile *const *) file)->path, path);
}

static size_t seek(const Withheld *withheld, const char *path) {
        return array_seek(withheld->files, withheld->n, sizeof(WithheldFile *), compare_with_path, path);
}

static bool has_at(const Withheld *withheld, size_t index, const char *path) {
        return index < withheld->n && strcmp(withheld->files[index]->path, path) == 0;
}

static WithheldFile *find(const Withheld *withheld, const char *path) {
        size_t index = seek(withheld, path);

        return has_at(withheld, index, path) ? withheld->files[index] : NULL;
}

const WithheldFile *withheld_find(const Withheld *withheld, const char *path) {
        return find(withheld, path);
}

bool withheld_is_logged(const Withheld *withheld, const Task *task, const char *text) {
        const WithheldFile *file = find(withheld, plan_item_path(task->item));

        if (!file || file->outcome != task->outcome)
                return false;
        return task->outcome == TASK_FAILED ? file->error == task->error : string_equal(file->text, text);
}

/* A plan is mostly carried out in path order, so that a new file comes last; else only pointers are moved. */
static void move_from(Withheld *withheld, size_t from, size_t to) {
        memmove(withheld->files + to, withheld->files + from, (withheld->n - from) * sizeof(WithheldFile *));
        withheld->n += to - from;
}

void withheld_drop(Withheld *withheld, const char *path) {
        size_t index = seek(withheld, path);

        if (!has_at(withheld, index, path))
                return;
        (void) file_free(withheld->files[index]);
        move_from(withheld, index + 1, index);
}

static WithheldFile *file_new(const Task *task, const char *text) {
        const Entry *source = &task->current;
        _cleanup_(file_freep) WithheldFile *file = malloc(sizeof(*file));

        if (!file)
                return NULL;
        *file = (WithheldFile){
                .path = strdup(source->path), .text = strdup(text), .outcome = task->outcome, .error = task->error,
                .size = source->size, .ino = source->ino, .mtime_nsec = source->mtime_nsec,
                .ctime_nsec = source->ctime_nsec,
        };
        return file->path && file->text ? TAKE_PTR(file) : NULL;
}

int withheld_put(Withheld *withheld, const Task *task, const char *text) {
        _cleanup_(file_freep) WithheldFile *file = file_new(task, text);
        size_t index = seek(withheld, task->current.path);

        if (!file)
                return -ENOMEM;
        if (has_at(withheld, index, file->path))
                (void) file_free(withheld->files[index]);
        else if (ARRAY_ROOM(withheld->files, withheld->n) < 0)
                return -ENOMEM;
        else
                move_from(withheld, index, index + 1);
        withheld->files[index] = TAKE_PTR(file);
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

static void drop_unwanted(Withheld *withheld) {
        size_t kept = 0;

        for (size_t i = 0; i < withheld->n; i++) {
                WithheldFile *file = withheld->files[i];

                if (!file->wanted) {
                        (void) file_free(file);
                        continue;
                }
                file->wanted = false;
                withheld->files[kept++] = file;
        }
        withheld->n = kept;
}

void withheld_apply(Withheld *withheld, Plan *plan, bool retry, bool all) {
        if (withheld->n == 0)
                return;
        for (size_t i = 0; i < plan->n_items; i++) {
                PlanItem *item = &plan->items[i];
                WithheldFile *file;

                if (item->action != PLAN_STAGE && item->action != PLAN_ADOPT && item->action != PLAN_WAIT)
                        continue;
                file = find(withheld, plan_item_path(item));
                if (!file)
                        continue;
                file->wanted = true;
                if (item->action != PLAN_WAIT && !all && !is_worth_a_try(file, item->source, retry))
                        item->action = PLAN_WITHHOLD;
        }
        drop_unwanted(withheld);
        plan_count(plan);
}

bool withheld_is_retryable(const Withheld *withheld) {
        for (size_t i = 0; i < withheld->n; i++)
                if (withheld->files[i]->outcome == TASK_FAILED || withheld->files[i]->outcome == TASK_NO_ROOM)
                        return true;
        return false;
}
