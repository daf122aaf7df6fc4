/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The door to our own files: state directory, manifests and journals, lock files, metrics, generated units, the control
 * socket. No other module makes these system calls on them (tests/unit/doors.py). The trees have a door of their own:
 * os/tree-access.h.
 *
 * Names are relative to a directory descriptor, or absolute with AT_FDCWD (not for own_file_replace()). Functions
 * return 0 (or a descriptor, O_CLOEXEC, that the caller owns) or a negative errno. Blocking; any thread. */

#include "base/base.h"

#include <sys/types.h>

typedef enum OwnFileUse {
        OWN_FILE_READ,
        OWN_FILE_WRITE,  /* from the start: made if it is missing (mode 0644), emptied if not */
        OWN_FILE_APPEND, /* and read: made if it is missing (mode 0644) */
        OWN_FILE_LOCK,   /* for flock(): made if it is missing (mode 0600) */
        OWN_FILE_LOCK_READ, /* the same, open for reading only, so its mount can become read-only; NFS refuses that */
} OwnFileUse;

/* Not through a symbolic link. */
int own_file_open(int dirfd, const char *name, OwnFileUse use);

/* The same as a stream, for OWN_FILE_READ and OWN_FILE_WRITE. */
int own_file_open_stream(int dirfd, const char *name, OwnFileUse use, FILE **ret);

/* Empties an open file. */
int own_file_empty(int fd);

/* Replaces or creates a file with this content and exactly this mode: writes a temporary file beside it (".NAME.new")
 * and renames it. With @durable the new content survives a power failure: the file is synced before the rename, and the
 * directory after it. */
int own_file_replace(int dirfd, const char *name, const char *content, size_t length, mode_t mode, bool durable);

/* Within one directory. What has the new name is replaced. */
int own_file_rename(int dirfd, const char *from, const char *to);

/* 0 also if there is none. */
int own_file_remove(int dirfd, const char *name);

int own_file_set_mode(int dirfd, const char *name, mode_t mode);

int own_file_open_directory(const char *path);

/* 0 also if it exists. */
int own_file_make_directory(int dirfd, const char *name, mode_t mode);

/* Makes every missing directory of the absolute @path (mode 0755), like mkdir -p. */
int own_file_make_path(const char *path);
