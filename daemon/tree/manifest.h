/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The noun of this program: a list of entries sorted by path. What a scan finds in a source or a mirror is one, and
 * so is what both agreed on last (the base). On disk it is a text that `xxh128sum -c` accepts.
 *
 * Not locked: a Manifest belongs to one thread at a time. */

#include "base/base.h"
#include "base/digest.h"

typedef enum EntryType {
        ENTRY_FILE,
        ENTRY_DIRECTORY,
        ENTRY_SYMLINK,
        ENTRY_HARDLINK, /* a further name of a file; the first name in path order is an ENTRY_FILE */
} EntryType;

typedef enum EntryFlags {
        ENTRY_HAS_DIGEST = 1 << 0,
        ENTRY_RECORD = 1 << 1, /* base only: nothing is in the mirror, but the digest of these bytes is remembered */
        ENTRY_LINKED = 1 << 2, /* base only: a symbolic link to the disk original stands in the mirror */
        /* base only: a client brought it into the mirror of this generation: it stays, chosen or not */
        ENTRY_SAVED = 1 << 3,
        ENTRY_DISK_ONLY = 1 << 4, /* source only: not chosen for RAM; a link to the disk original stands for it */
        ENTRY_ORPHAN = 1 << 5, /* source only: nothing needs it: not staged if the mirror does not have it */
        /* records only: a client deleted it; it leaves the disk when nothing there names it any more */
        ENTRY_CONDEMNED = 1 << 6,
        ENTRY_DELETED = 1 << 7, /* records only: it was taken off the disk, as a client wanted */
} EntryFlags;

typedef struct Entry {
        char *path;         /* relative to the root, no leading "./" */
        char *target;       /* link: its text; hard link: path of the first name; else NULL */
        uint64_t size;      /* bytes; of files and hard links */
        uint64_t room;      /* bytes of RAM its data takes, page-rounded; less than size where it is sparse */
        int64_t mtime_nsec; /* since the epoch */
        int64_t ctime_nsec; /* source and mirror: as found; base: of the mirror's inode */
        uint64_t ino;       /* likewise */
        uint32_t uid, gid;
        uint16_t mode;      /* permission bits without set-id and sticky */
        uint8_t type;       /* EntryType */
        uint8_t flags;      /* EntryFlags */
        Digest digest;      /* if ENTRY_HAS_DIGEST */
        /* base only: the CopyMethod by which this process brought it into the mirror; 0: none, or not known. Not
         * kept on disk */
        uint8_t method;
} Entry;

/* A deep copy over an empty entry, and its end. */
int manifest_entry_copy(const Entry *from, Entry *to);
void manifest_entry_done(Entry *entry);

typedef enum OmissionReason {
        OMIT_SPECIAL,     /* a device, fifo or socket */
        OMIT_LINK_OUT,    /* a symbolic link that leads out of the tree */
        OMIT_UNREADABLE,  /* what is there cannot be read: it and what is below it is unknown, not absent */
        OMIT_CHANGED,     /* it was replaced while it was looked at: unknown as well */
        OMIT_IN_PROGRESS, /* its name says that it is still being written */
} OmissionReason;

/* What was left out of a scan, to be told once. */
typedef struct Omission {
        char *path;
        OmissionReason reason;
        int error; /* errno, positive, or 0 */
} Omission;

/* In which boot, on which mount and from which source a base was made. A base of another generation is only a
 * memory of digests: what it lists is not in the mirror. */
typedef struct Generation {
        uint8_t boot_id[16];
        uint64_t mirror_dev, mirror_ino; /* of the mirror's root directory */
        uint64_t source_dev, source_ino; /* of the source's root directory */
} Generation;

typedef struct Manifest {
        Entry *entries;
        size_t n_entries;  /* including what was put since the last sort */
        size_t n_sorted;
        size_t allocated;
        Omission *omissions;
        size_t n_omissions;
        Generation generation; /* all zero: none */
} Manifest;

int manifest_new(Manifest **ret);
Manifest *manifest_free(Manifest *manifest);
DEFINE_CLEANUP(Manifest, manifest_free)

/* Adds an entry, or replaces the one of the same path; strings are copied. Takes effect for find and
 * iteration after manifest_sort(). */
int manifest_put(Manifest *manifest, const Entry *entry);
void manifest_sort(Manifest *manifest);

/* The entry of a path, or NULL. The manifest must be sorted. Borrowed until the next change. */
Entry *manifest_find(const Manifest *manifest, const char *path);

/* Drops every entry for which @drop says so. */
void manifest_filter(Manifest *manifest, bool (*drop)(const Entry *entry, void *userdata), void *userdata);

/* What was left out, and how often for which reason. */
size_t manifest_omissions(const Manifest *manifest, OmissionReason reason);
int manifest_omit(Manifest *manifest, const char *path, OmissionReason reason, int error);

/* True if what is at @path is unknown, because it or a directory above it could not be read. */
bool manifest_is_blind(const Manifest *manifest, const char *path);

/* Bytes of all files (hard links counted once) and their number, hard links included. Records are left out, and what is
 * only linked to the disk. */
uint64_t manifest_bytes(const Manifest *manifest);
size_t manifest_files(const Manifest *manifest);
/* Files that are only linked to the disk. */
size_t manifest_linked(const Manifest *manifest);

/* Writes NAME.xxh128 in the state directory @dirfd, whole or not at all; the journal beside it is then empty. */
int manifest_save(const Manifest *manifest, int dirfd, const char *name, const char *source, const char *target);

/* Reads it back with the journal applied. Positive: MANIFEST_ABSENT, or MANIFEST_DAMAGED with the line in *reterr_line. */
enum { MANIFEST_ABSENT = 1, MANIFEST_DAMAGED };
int manifest_load(int dirfd, const char *name, Manifest **ret, unsigned *reterr_line);

/* The journal: one line for each entry that was agreed since the last save, appended as it happens without fsync, so
 * that a daemon that is killed finds what it had done. It is useless after a reboot, like the mirror that it speaks
 * of: opening it for another generation empties it. manifest_save() removes it, so it must be opened anew
 * afterwards. A dropped path becomes a record. */
int manifest_journal_open(int dirfd, const char *name, const Generation *generation, int *ret_fd);
int manifest_journal_put(int fd, const Entry *entry);
int manifest_journal_drop(int fd, const char *path);

bool manifest_generation_equal(const Generation *a, const Generation *b);
