/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What the watch reports about a root. See tree/watch-report.h. */

#include "tree/watch-report.h"

#include <search.h>
#include <sys/eventfd.h>

int watch_reports_init(WatchReports *reports) {
        *reports = (WatchReports){ .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
        (void) pthread_mutex_init(&reports->lock, NULL); /* cannot fail with default attributes */
        return reports->fd < 0 ? -errno : 0;
}

void watch_reports_done(WatchReports *reports) {
        reports->fd = close_fd(reports->fd);
        (void) pthread_mutex_destroy(&reports->lock);
}

static int compare_paths(const void *a, const void *b) {
        return strcmp(a, b);
}

static void keep_path(_unused_ void *path) {
}

static void draft_clear_paths(WatchDraft *draft) {
        tdestroy(draft->written, keep_path); /* the strings are those of .paths */
        tdestroy(draft->paths, free);
        draft->written = draft->paths = NULL;
        draft->n_written = draft->n_paths = 0;
}

/* The path as it is in the draft, or NULL if it could not be kept. */
static char *draft_put_path(WatchDraft *draft, const char *path) {
        char *copy, **found;

        if (!path)
                return NULL;
        if (draft->n_paths == WATCH_REPORT_PATHS_MAX) {
                found = tfind(path, &draft->paths, compare_paths);
                return found ? *found : NULL;
        }
        copy = strdup(path);
        if (!copy)
                return NULL;
        found = tsearch(copy, &draft->paths, compare_paths);
        if (found && *found == copy)
                draft->n_paths++;
        else
                free(copy);
        return found ? *found : NULL;
}

/* False if it could not be kept. */
static bool draft_put(WatchDraft *draft, const char *path, bool written) {
        char *kept = draft_put_path(draft, path);

        if (!kept || !written || tfind(kept, &draft->written, compare_paths))
                return kept;
        if (!tsearch(kept, &draft->written, compare_paths))
                return false;
        draft->n_written++;
        return true;
}

/* Returns what the flags add to the draft: nothing for a lost root, no path where everything is to be scanned anyway.
 * Keeps the path if it is needed. */
static unsigned draft_reduce(WatchDraft *draft, unsigned flags, const char *path, bool written) {
        if (draft->closed || (draft->flags & WATCH_LOST))
                return 0;
        if (!(flags & WATCH_DIRTY))
                return flags;
        if (draft->flags & WATCH_RESYNC)
                return flags & ~WATCH_DIRTY;
        return draft_put(draft, path, written) ? flags : (flags & ~WATCH_DIRTY) | WATCH_RESYNC;
}

bool watch_reports_add(WatchReports *reports, WatchDraft *draft, unsigned flags, const char *path, bool written) {
        unsigned before, added;

        (void) pthread_mutex_lock(&reports->lock);
        before = draft->flags;
        added = draft_reduce(draft, flags, path, written);
        if (added & (WATCH_RESYNC | WATCH_LOST)) {
                draft_clear_paths(draft);
                draft->flags &= added & WATCH_LOST ? 0 : ~WATCH_DIRTY;
        }
        draft->flags |= added;
        if (before == 0 && draft->flags != 0 && reports->n_waiting++ == 0)
                (void) eventfd_write(reports->fd, 1); /* it was 0, so it does not overflow */
        (void) pthread_mutex_unlock(&reports->lock);
        return (added & ~flags) & WATCH_RESYNC;
}

bool watch_reports_is_taken(WatchReports *reports) {
        size_t n;

        (void) pthread_mutex_lock(&reports->lock);
        n = reports->n_waiting;
        (void) pthread_mutex_unlock(&reports->lock);
        return n == 0;
}

/* Under the lock. */
static void draft_clear(WatchReports *reports, WatchDraft *draft) {
        eventfd_t count;

        if (draft->flags != 0 && --reports->n_waiting == 0)
                (void) eventfd_read(reports->fd, &count);
        draft->flags = 0;
        draft_clear_paths(draft);
}

void watch_reports_close(WatchReports *reports, WatchDraft *draft) {
        (void) pthread_mutex_lock(&reports->lock);
        draft_clear(reports, draft);
        draft->closed = true;
        (void) pthread_mutex_unlock(&reports->lock);
}

/* Appends to the list whose end @userdata points at. */
static void gather_path(const void *node, VISIT visit, void *userdata) {
        char ***end = userdata;

        if (visit == postorder || visit == leaf)
                *(*end)++ = *(char *const *) node;
}

/* The set as a sorted list of the same strings, or NULL. */
static char **list_paths(void *set, size_t n) {
        char **list = calloc(n + 1, sizeof(*list)), **end = list;

        if (list)
                twalk_r(set, gather_path, &end);
        return list;
}

/* Under the lock. */
static int draft_take_paths(WatchDraft *draft, WatchReport *report) {
        _cleanup_(freep) char **written = list_paths(draft->written, draft->n_written);

        report->paths = written ? list_paths(draft->paths, draft->n_paths) : NULL;
        if (!report->paths)
                return -ENOMEM;
        report->n_paths = draft->n_paths;
        report->written = TAKE_PTR(written);
        report->n_written = draft->n_written;
        tdestroy(draft->paths, keep_path); /* the strings are the report's now */
        draft->paths = NULL;
        return 0;
}

/* Under the lock. */
static int draft_take(WatchReports *reports, WatchDraft *draft, unsigned root, WatchReport **ret) {
        _cleanup_(watch_report_freep) WatchReport *report = calloc(1, sizeof(*report));

        if (!report)
                return -ENOMEM;
        report->root = root;
        report->flags = draft->flags;
        if (!(draft->flags & WATCH_RESYNC) && draft_take_paths(draft, report) < 0)
                return -ENOMEM;
        draft_clear(reports, draft);
        *ret = TAKE_PTR(report);
        return 1;
}

int watch_reports_take(WatchReports *reports, WatchDraft *draft, unsigned root, WatchReport **ret) {
        int r = 0;

        (void) pthread_mutex_lock(&reports->lock);
        if (draft->flags != 0)
                r = draft_take(reports, draft, root, ret);
        (void) pthread_mutex_unlock(&reports->lock);
        return r;
}

WatchReport *watch_report_free(WatchReport *report) {
        if (!report)
                return NULL;
        for (size_t i = 0; i < report->n_paths; i++)
                free(report->paths[i]);
        free(report->paths);
        free(report->written);
        free(report);
        return NULL;
}
