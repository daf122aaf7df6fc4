/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The thread that watches, and what its owner calls. See tree/watch.h.
 *
 * Fields marked "thread" belong to the thread alone: inotify and the tree. Those marked "lock" are under Watch.lock,
 * which guards the list of roots; the reports have a lock of their own, which may be taken under the first. The owner
 * puts roots in front of the list and marks them closed; only the thread takes them out, so the thread may walk the
 * list without the lock. */

#include "tree/watch.h"

#include "base/clock.h"
#include "tree/inotify.h"
#include "tree/watch-root.h"
#include "tree/watch-tree.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>

enum {
        STALE_MAX = 10000,    /* watches that are gone but take memory in the library, until it is restarted */
        STALE_LIMIT = 200000, /* so many take some 40 MB: then it is not put off any longer */
        QUIET_MSEC = 5000,    /* for so long nothing has happened: a restart loses nothing */
        EVENTS_AT_ONCE = 256, /* after so many a directory is listed, so that no flood of events stops the listing */
};

/* How long a restart is put off: nothing at first, then twice as long for each one that comes soon after another. */
#define BACKOFF_MIN_USEC (USEC_PER_SEC / 10)
#define BACKOFF_MAX_USEC (2 * USEC_PER_SEC)
#define BACKOFF_RESET_USEC (10 * USEC_PER_SEC)

struct Watch {
        pthread_t thread;
        bool started;
        atomic_bool stop;
        int wakeup;    /* eventfd: read .stop and the roots */
        int mountinfo; /* thread: POLLPRI when something was mounted or unmounted */

        pthread_mutex_t lock;
        WatchRoot *roots; /* lock */
        WatchReports reports;

        Inotify inotify;       /* thread */
        WatchTree tree;        /* thread */
        uint64_t restart_usec; /* thread: when to start inotify after it was stopped */
        uint64_t backoff_usec; /* thread */
        bool refused;          /* thread: there is no inotify instance for us */
        bool quiet;            /* thread: nothing has happened for a while, and all reports are taken */
        uint64_t stopped_usec; /* thread: when it was last stopped; 0: never */

        atomic_uint_fast64_t resyncs;
        atomic_uint_fast64_t directories;
};

/* -- the thread -------------------------------------------------------------------------------------------- */

static WatchRoot *watch_first_root(Watch *watch) {
        WatchRoot *root;

        (void) pthread_mutex_lock(&watch->lock);
        root = watch->roots;
        (void) pthread_mutex_unlock(&watch->lock);
        return root;
}

static WatchRoot *watch_unlink_closed(Watch *watch) {
        WatchRoot **link, *root;

        (void) pthread_mutex_lock(&watch->lock);
        for (link = &watch->roots; (root = *link); link = &root->next)
                if (root->closed) {
                        *link = root->next;
                        break;
                }
        (void) pthread_mutex_unlock(&watch->lock);
        return root;
}

/* Does what the owner has asked for: frees closed roots, starts new ones. */
static void apply_requests(Watch *watch) {
        WatchRoot *root;

        while ((root = watch_unlink_closed(watch))) {
                watch_tree_remove_root(&watch->tree, &root->tree);
                watch_root_free(root);
        }
        if (watch->inotify.fd < 0 && !watch->refused)
                return;
        for (root = watch_first_root(watch); root; root = root->next)
                if (root->state == WATCH_ROOT_NEW && watch->refused)
                        watch_root_exhausted(root);
                else if (root->state == WATCH_ROOT_NEW)
                        watch_root_start(root);
}

/* Stops inotify. If it was stopped not long ago, the next start is put off: when changes come faster than they can be
 * read, the thread would otherwise do nothing but restart. */
static void stop_listening(Watch *watch) {
        uint64_t now = clock_usec(CLOCK_MONOTONIC);

        inotify_stop(&watch->inotify);
        for (WatchRoot *root = watch_first_root(watch); root; root = root->next) {
                watch_tree_remove_root(&watch->tree, &root->tree);
                root->tree.incomplete = root->incomplete_reported = false;
        }
        watch->tree.out_of_sync = false;
        if (watch->stopped_usec != 0 && now - watch->stopped_usec < BACKOFF_RESET_USEC)
                watch->backoff_usec = MIN(MAX(watch->backoff_usec * 2, BACKOFF_MIN_USEC), BACKOFF_MAX_USEC);
        else
                watch->backoff_usec = 0;
        watch->stopped_usec = now;
        watch->restart_usec = now + watch->backoff_usec;
}

static void start_listening(Watch *watch) {
        const char *what;

        watch->refused = inotify_start(&watch->inotify, &what) < 0;
        if (watch->refused) {
                watch->restart_usec = clock_usec(CLOCK_MONOTONIC) + BACKOFF_MAX_USEC;
                for (WatchRoot *root = watch_first_root(watch); root; root = root->next)
                        watch_root_exhausted(root);
                return;
        }
        atomic_fetch_add(&watch->resyncs, 1);
        for (WatchRoot *root = watch_first_root(watch); root; root = root->next) {
                root->incomplete_reported = false;
                if (root->state != WATCH_ROOT_LOST)
                        watch_root_start(root);
        }
}

static bool has_stale(const Watch *watch, size_t max) {
        return watch->inotify.fd >= 0 && watch->inotify.n_added - watch->tree.nodes.n > max;
}

/* For the sake of its memory the library is restarted where no event is lost by that. */
static void recover(Watch *watch) {
        if (watch->tree.out_of_sync || has_stale(watch, watch->quiet ? STALE_MAX : STALE_LIMIT))
                stop_listening(watch);
        if (watch->inotify.fd < 0 && clock_usec(CLOCK_MONOTONIC) >= watch->restart_usec)
                start_listening(watch);
}

static void check_roots(Watch *watch) {
        for (WatchRoot *root = watch_first_root(watch); root; root = root->next)
                watch_tree_check(&root->tree);
}

/* Handles the events that are there, then lists one directory. False when neither is left. */
static bool work(Watch *watch) {
        const struct inotify_event *event = NULL;
        unsigned n = 0;

        while (n < EVENTS_AT_ONCE && !watch->tree.out_of_sync && (event = inotify_next(&watch->inotify))) {
                watch_tree_handle(&watch->tree, event);
                n++;
        }
        /* no event comes when a directory above a root is renamed */
        if (n > 0)
                check_roots(watch);
        return watch_tree_list_next(&watch->tree) || event;
}

/* Turns what the tree found into reports. A root may be reported as armed while events still wait: what they are about
 * will be reported, so an owner that scans now misses nothing. */
static void settle(Watch *watch) {
        if (watch->tree.out_of_sync)
                return;
        /* before the reports, so that the count is right for an owner that reads WATCH_ARMED */
        atomic_store(&watch->directories, watch->tree.nodes.n);
        for (WatchRoot *root = watch_first_root(watch); root; root = root->next)
                watch_root_settle(root, watch->inotify.fd >= 0);
}

static void take_syncs(Watch *watch) {
        (void) pthread_mutex_lock(&watch->lock);
        for (WatchRoot *root = watch->roots; root; root = root->next) {
                root->syncing = root->syncing || root->sync_asked;
                root->sync_asked = false;
        }
        (void) pthread_mutex_unlock(&watch->lock);
}

static void answer_syncs(Watch *watch) {
        if (watch->tree.out_of_sync)
                return;
        for (WatchRoot *root = watch_first_root(watch); root; root = root->next)
                watch_root_synced(root, watch->inotify.fd >= 0);
}

static int wait_msec(const Watch *watch, bool busy) {
        uint64_t now;

        if (busy || watch->tree.out_of_sync)
                return 0;
        if (watch->inotify.fd >= 0)
                return has_stale(watch, STALE_MAX) ? QUIET_MSEC : -1;
        now = clock_usec(CLOCK_MONOTONIC);
        return watch->restart_usec > now ? (int) ((watch->restart_usec - now) / 1000 + 1) : 0;
}

static void wait_for_more(Watch *watch, bool busy) {
        struct pollfd fds[] = {
                { .fd = watch->wakeup, .events = POLLIN },
                { .fd = watch->mountinfo, .events = POLLPRI },
                { .fd = watch->inotify.fd, .events = POLLIN },
        };
        int n = poll(fds, ELEMENTSOF(fds), wait_msec(watch, busy));
        eventfd_t count;

        watch->quiet = n == 0 && !busy && watch_reports_is_taken(&watch->reports);
        if (n <= 0)
                return;
        if (fds[0].revents)
                (void) eventfd_read(watch->wakeup, &count);
        /* a lazy unmount causes no event while a process still uses the filesystem */
        if (fds[1].revents) {
                check_roots(watch);
                settle(watch);
        }
}

static void *watch_main(void *userdata) {
        Watch *watch = userdata;

        while (!atomic_load(&watch->stop)) {
                bool busy;

                apply_requests(watch);
                recover(watch);
                take_syncs(watch);
                busy = work(watch);
                settle(watch);
                if (!busy)
                        answer_syncs(watch);
                wait_for_more(watch, busy);
        }
        return NULL;
}

/* -- the owner --------------------------------------------------------------------------------------------- */

static int watch_start_thread(Watch *watch) {
        sigset_t all, before;
        int r;

        (void) sigfillset(&all);
        r = pthread_sigmask(SIG_SETMASK, &all, &before);
        if (r != 0)
                return -r;
        r = pthread_create(&watch->thread, NULL, watch_main, watch);
        (void) pthread_sigmask(SIG_SETMASK, &before, NULL); /* a mask we were given is valid */
        if (r != 0)
                return -r;
        watch->started = true;
        (void) pthread_setname_np(watch->thread, "watch"); /* only shown to people */
        return 0;
}

static int watch_open(Watch *watch, const char **reterr_what) {
        const char *what = "open /proc/self/mountinfo";
        int r;

        watch->mountinfo = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
        r = watch->mountinfo < 0 ? -errno : inotify_start(&watch->inotify, &what);
        if (r == -EMFILE) { /* this user has no instance left: it is tried again, and until then polled */
                watch->refused = true;
                r = 0;
        }
        if (r >= 0) {
                what = "create an eventfd";
                watch->wakeup = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
                r = watch->wakeup < 0 ? -errno : watch_reports_init(&watch->reports);
        }
        if (r >= 0) {
                what = "start the watch thread";
                r = watch_start_thread(watch);
        }
        if (r < 0)
                *reterr_what = what;
        return r;
}

int watch_new(Watch **ret, const char **reterr_what) {
        _cleanup_(watch_freep) Watch *watch = calloc(1, sizeof(*watch));
        int r;

        if (!watch) {
                *reterr_what = "allocate memory";
                return -ENOMEM;
        }
        watch->wakeup = watch->reports.fd = watch->mountinfo = watch->inotify.fd = -1;
        (void) pthread_mutex_init(&watch->lock, NULL); /* cannot fail with default attributes */
        watch_tree_init(&watch->tree, &watch->inotify, &watch->stop, watch_root_changed);
        r = watch_open(watch, reterr_what);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(watch);
        return 0;
}

Watch *watch_free(Watch *watch) {
        if (!watch)
                return NULL;
        atomic_store(&watch->stop, true);
        if (watch->started) {
                (void) eventfd_write(watch->wakeup, 1);
                (void) pthread_join(watch->thread, NULL); /* it was started here and not joined before */
        }
        inotify_stop(&watch->inotify);
        for (WatchRoot *root = watch->roots, *next; root; root = next) {
                next = root->next;
                watch_tree_remove_root(&watch->tree, &root->tree);
                watch_root_free(root);
        }
        watch_nodes_done(&watch->tree.nodes);
        (void) close_fd(watch->wakeup);
        watch_reports_done(&watch->reports);
        (void) close_fd(watch->mountinfo);
        (void) pthread_mutex_destroy(&watch->lock);
        free(watch);
        return NULL;
}

int watch_next(Watch *watch, WatchReport **ret) {
        int r = 0;

        (void) pthread_mutex_lock(&watch->lock);
        for (WatchRoot *root = watch->roots; root && r == 0; root = root->next)
                r = watch_reports_take(&watch->reports, &root->draft, root->number, ret);
        (void) pthread_mutex_unlock(&watch->lock);
        return r;
}

int watch_get_fd(Watch *watch) {
        return watch->reports.fd;
}

/* Under the lock. */
static WatchRoot *watch_find(Watch *watch, unsigned number) {
        for (WatchRoot *root = watch->roots; root; root = root->next)
                if (root->number == number && !root->closed)
                        return root;
        return NULL;
}

int watch_add(Watch *watch, unsigned root, const char *path, const char *skip, bool traceless) {
        WatchRoot *new;
        bool used;

        if (path[0] != '/')
                return -EINVAL;
        new = watch_root_new(&(WatchRoot){ .number = root, .watch_tree = &watch->tree, .reports = &watch->reports,
                                           .resyncs = &watch->resyncs },
                             path, skip);
        if (!new)
                return -ENOMEM;
        new->tree.traceless = traceless;
        (void) pthread_mutex_lock(&watch->lock);
        used = watch_find(watch, root);
        if (!used) {
                new->next = watch->roots;
                watch->roots = new;
        }
        (void) pthread_mutex_unlock(&watch->lock);
        if (used) {
                watch_root_free(new);
                return -EEXIST;
        }
        (void) eventfd_write(watch->wakeup, 1);
        return 0;
}

int watch_sync(Watch *watch, unsigned root) {
        WatchRoot *found;

        (void) pthread_mutex_lock(&watch->lock);
        found = watch_find(watch, root);
        if (found)
                found->sync_asked = true;
        (void) pthread_mutex_unlock(&watch->lock);
        if (!found)
                return -ENOENT;
        (void) eventfd_write(watch->wakeup, 1);
        return 0;
}

int watch_remove(Watch *watch, unsigned root) {
        WatchRoot *found;

        (void) pthread_mutex_lock(&watch->lock);
        found = watch_find(watch, root);
        if (found) {
                watch_reports_close(&watch->reports, &found->draft);
                found->closed = true;
        }
        (void) pthread_mutex_unlock(&watch->lock);
        if (!found)
                return -ENOENT;
        (void) eventfd_write(watch->wakeup, 1);
        return 0;
}

void watch_get_counts(Watch *watch, WatchCounts *ret) {
        *ret = (WatchCounts){ .resyncs = atomic_load(&watch->resyncs),
                              .directories = atomic_load(&watch->directories) };
}
