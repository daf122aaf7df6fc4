/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The kernel's inotify events through libinotifytools: adds a watch on one directory at a time, and takes events one
 * by one without waiting. The only user of the library.
 *
 * The library has one state for the whole process and no locks, so only one Inotify can be started at a time, and it
 * belongs to one thread at a time. The library never gets the path of a directory, only that of an open descriptor. */

#include "base/base.h"

#include <sys/inotify.h>

typedef struct Inotify {
        int fd;           /* the library's, made non-blocking; for poll(); -1 while stopped */
        uint64_t n_added; /* watches since the start; the library keeps memory of them also when they are gone */
} Inotify;

typedef enum InotifyResult {
        INOTIFY_TAKEN = 1, /* the inode has a watch already, and there is only one for each inode */
        INOTIFY_FULL,      /* this user cannot have more watches: fs.inotify.max_user_watches */
} InotifyResult;

/* 0, or a negative errno and the step that failed in *reterr_what: -EMFILE because of fs.inotify.max_user_instances or
 * RLIMIT_NOFILE; -EOVERFLOW if the descriptor is one that select() cannot take; -EBUSY if one is started already. */
int inotify_start(Inotify *inotify, const char **reterr_what);

/* Drops all watches and the events that have not been read. Does nothing if it is stopped. */
void inotify_stop(Inotify *inotify);

/* Watches the open directory: 0 and the number of the watch in @ret_wd, an InotifyResult, or a negative errno. Does not
 * keep the descriptor. Between start and stop no number is used twice. */
int inotify_watch(Inotify *inotify, int dirfd, int *ret_wd);

/* Does nothing if the directory is gone already, or while stopped. */
void inotify_unwatch(Inotify *inotify, int wd);

/* The next event, valid until the next call, or NULL if there is none now. Poll only after NULL: the library may have
 * read more events from the descriptor than it has returned. */
const struct inotify_event *inotify_next(Inotify *inotify);

/* The name in the watched directory that the event is about; "" if it is about the directory itself. */
static inline const char *inotify_name(const struct inotify_event *event) {
        return event->len > 0 ? event->name : "";
}
