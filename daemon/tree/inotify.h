/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The kernel's inotify events through libinotifytools, of which only what can be trusted is used: one directory at
 * a time is added, events are taken one by one without waiting. The only user of the library.
 *
 * The library has one state for the whole process and no locks: one Notifier is started at a time, and belongs to
 * one thread at a time. It never learns a path: directories are given by descriptor. */

#include "base/base.h"

#include <sys/inotify.h>

typedef struct Inotify {
        int fd;           /* the library's, made non-blocking; for poll(); -1 while stopped */
        uint64_t n_added; /* since the start; what has been unwatched or deleted since then still takes memory */
} Inotify;

typedef enum InotifyResult {
        INOTIFY_TAKEN = 1, /* the inode is watched already */
        INOTIFY_FULL,      /* no more watches for this user: fs.inotify.max_user_watches */
} InotifyResult;

/* 0, or negative errno: -EMFILE for fs.inotify.max_user_instances, for RLIMIT_NOFILE, and for a descriptor that
 * select() cannot take; -EBUSY if one is started already. */
int inotify_start(Inotify *inotify, const char **reterr_what);

/* Gives everything back, pending events and watches included. Takes a stopped one. */
void inotify_stop(Inotify *inotify);

/* Watches the open directory. 0 and its number in @ret_wd, a NotifierResult, or negative errno. The descriptor
 * is not kept. A number is not used twice between start and stop. */
int inotify_watch(Inotify *inotify, int dirfd, int *ret_wd);

/* Takes a directory that is gone already, and any number while stopped. */
void inotify_unwatch(Inotify *inotify, int wd);

/* The next event, or NULL when there is none now; good until the next call. The name is empty where the event is
 * about the watched directory itself. Only NULL means that poll() will tell of the next one. */
const struct inotify_event *inotify_next(Inotify *inotify);

static inline const char *inotify_name(const struct inotify_event *event) {
        return event->len > 0 ? event->name : "";
}
