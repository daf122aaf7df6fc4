/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What a file is known by between two looks at its name: its inode, and what moves when it is changed. Pure. */

#include "os/fs.h"

typedef struct FileIdentity {
        uint64_t ino;       /* 0: not compared, the filesystem has no stable inode numbers */
        uint64_t size;      /* of a regular file */
        int64_t mtime_nsec; /* of a regular file or a symbolic link */
        int64_t ctime_nsec; /* the same; 0: not compared, or not known */
        uint32_t type;      /* S_IFMT */
} FileIdentity;

typedef enum IdentityMatch {
        IDENTITY_SAME,
        IDENTITY_TOUCHED, /* all but the ctime, which a rename, a link or a chmod moves */
        IDENTITY_DIFFERENT,
} IdentityMatch;

static inline FileIdentity identity_of(const struct stat *st) {
        return (FileIdentity){ .ino = st->st_ino, .size = (uint64_t) st->st_size, .mtime_nsec = fs_nsec(&st->st_mtim),
                               .ctime_nsec = fs_nsec(&st->st_ctim), .type = st->st_mode & S_IFMT };
}

/* Of a directory only type and inode count: size and times move with what is put into it. */
static inline IdentityMatch identity_compare(const FileIdentity *a, const FileIdentity *b) {
        if (a->type != b->type || (a->ino != 0 && b->ino != 0 && a->ino != b->ino))
                return IDENTITY_DIFFERENT;
        if (a->type == S_IFDIR)
                return IDENTITY_SAME;
        if ((a->type == S_IFREG && a->size != b->size) || a->mtime_nsec != b->mtime_nsec)
                return IDENTITY_DIFFERENT;
        return a->ctime_nsec != 0 && b->ctime_nsec != 0 && a->ctime_nsec != b->ctime_nsec ? IDENTITY_TOUCHED
                                                                                          : IDENTITY_SAME;
}
