/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* A list of entries sorted by path: what a scan finds in a source or a mirror, or what both agreed on last (the base).
 * On disk it is a text that `xxh128sum -c` accepts: manifest_save() and the functions below it, in
 * tree/manifest-file.c.
 *
 * Not locked: a Manifest belongs to one thread at a time. Functions return 0 or a negative errno. */

#include "base/base.h"
#include "base/digest.h"
#include "os/identity.h"

typedef enum EntryType {
        ENTRY_FILE,
        ENTRY_DIRECTORY,
        ENTRY_SYMLINK,
        ENTRY_HARDLINK, /* another name of a file, of which one name is an ENTRY_FILE, mostly the first in path order */
} EntryType;

typedef enum EntryFlags {
        ENTRY_HAS_DIGEST = 1 << 0,
        /* base only: a record; the mirror has nothing of it, but the digest of the disk's bytes is remembered */
        ENTRY_RECORD = 1 << 1,
        /* base only: the mirror has a symbolic link to the disk original */
        ENTRY_LINKED = 1 << 2,
        /* base only: a client brought it into the mirror of this generation, so it stays, selected or not */
        ENTRY_SAVED = 1 << 3,
        /* source only: not selected for RAM; the mirror gets a link to the disk original */
        ENTRY_DISK_ONLY = 1 << 4,
        /* base only, the same bit: a client's own copy of the disk's bytes was agreed on, which nobody but it has put
         * into the mirror. When the disk loses its file, as after the copying of mv(1), it may be the last one. */
        ENTRY_OWN_COPY = ENTRY_DISK_ONLY,
        /* source only: no model needs it, so it is not staged unless the mirror has it already */
        ENTRY_ORPHAN = 1 << 5,
        /* records only: marked for deletion by a client; it leaves the disk when nothing there names it any more */
        ENTRY_CONDEMNED = 1 << 6,
        /* records only: deleted from the disk because a client deleted it */
        ENTRY_DELETED = 1 << 7,
        /* base only: a comparison found that the bytes of the mirror's object, or of the disk's, are not .digest, or
         * that those two differ. It counts while that side still has the very object that the entry names. */
        ENTRY_MIRROR_DIFFERS = 1 << 8,
        ENTRY_DISK_DIFFERS = 1 << 9,
        ENTRY_SIDES_DIFFER = 1 << 10,
        /* base only: the mirror's object may have been written to since its bytes were read, without a trace in its
         * times: they have to be read before it is removed or replaced */
        ENTRY_UNPROVEN = 1 << 11,
        /* base only: a close after writing was reported of the disk's object, so its bytes may be other ones, with the
         * times that they had (a store through a mapping moves them only while the page is clean) */
        ENTRY_DISK_WRITTEN = 1 << 12,
        /* source, and of the disk's object in the base: it was seen so soon after its last change that another change
         * may have left the same times (git calls this racy) */
        ENTRY_RACY = 1 << 13,
        /* source only: the filesystem has no stable inode numbers: .ino is 0 */
        ENTRY_NO_INODE = 1 << 14,
        /* base only, with ENTRY_UNPROVEN: a close after writing was reported, so other bytes are a client's work.
         * Without a report they may be, or a fault of the memory. */
        ENTRY_WRITTEN = 1 << 15,
} EntryFlags;

/* The flags of a base that say what was found out about the objects it names. */
#define ENTRY_FINDINGS                                                                                               \
        (ENTRY_MIRROR_DIFFERS | ENTRY_DISK_DIFFERS | ENTRY_SIDES_DIFFER | ENTRY_UNPROVEN | ENTRY_DISK_WRITTEN |      \
         ENTRY_WRITTEN)

/* An object of the disk: with its size, all that says whether a file is the same one. */
typedef struct DiskObject {
        uint64_t ino;       /* 0: the filesystem has no stable inode numbers, or nothing is known of the object */
        int64_t mtime_nsec; /* may be coarser than the mirror's */
        int64_t ctime_nsec; /* 0: nothing is known of the object */
} DiskObject;

typedef struct Entry {
        char *path;         /* relative to the root, no leading "./" */
        char *target;       /* of a link its text, of a hard link the path of the first name; else NULL */
        uint64_t size;      /* bytes; of files and hard links */
        uint64_t room;      /* bytes of RAM its data takes, page-rounded; less than size where it is sparse */
        /* As found, since the epoch; in the base, of the mirror's object. */
        int64_t mtime_nsec, ctime_nsec;
        uint64_t ino;
        uint32_t uid, gid;
        uint32_t dev;       /* as found; in the base, of the disk's object; only comparable within one boot */
        uint16_t mode;      /* permission bits, of a directory with setgid and sticky: see fs_mode() */
        uint16_t flags;     /* EntryFlags */
        Digest digest;      /* if ENTRY_HAS_DIGEST */
        DiskObject disk;    /* base only: the other object of the pair; both have .size bytes */
        uint8_t type;       /* EntryType */
        /* base only: the CopyMethod by which this process staged it; 0: none, or not known. Not kept on disk */
        uint8_t method;
} Entry;

/* Makes a deep copy over an empty entry. */
int manifest_entry_copy(const Entry *from, Entry *to);
void manifest_entry_done(Entry *entry);

/* A regular file, by whichever of its names. */
static inline bool manifest_entry_is_data(const Entry *entry) {
        return entry->type == ENTRY_FILE || entry->type == ENTRY_HARDLINK;
}

/* Notes in an entry of the base that its object in the mirror, seen with this ctime, has been read: it has the base's
 * bytes, or other ones. These are a client's work if that was reported or left a trace in the ctime. Otherwise nobody
 * knows, and the entry becomes one of two sides that differ, neither of which may get lost. */
void manifest_entry_prove(Entry *base, int64_t ctime_nsec);
void manifest_entry_alter(Entry *base, int64_t ctime_nsec);

/* Notes in an entry of the base that @source is its object on the disk. */
void manifest_entry_set_disk(Entry *base, const Entry *source);

/* What the file is known by as it was found; in the base, as it is in the mirror. */
static inline FileIdentity manifest_identity(const Entry *entry) {
        bool link = entry->type == ENTRY_SYMLINK || entry->flags & ENTRY_LINKED;

        return (FileIdentity){ .ino = entry->ino, .size = entry->size, .mtime_nsec = entry->mtime_nsec,
                               .ctime_nsec = entry->ctime_nsec,
                               .type = link ? S_IFLNK : entry->type == ENTRY_DIRECTORY ? S_IFDIR : S_IFREG };
}

typedef enum OmissionReason {
        OMIT_SPECIAL,     /* a device, fifo or socket */
        OMIT_LINK_OUT,    /* a symbolic link that leads out of the tree */
        OMIT_UNREADABLE,  /* cannot be read: it and all below it are unknown, not absent */
        OMIT_CHANGED,     /* replaced during the scan: unknown as well */
        OMIT_IN_PROGRESS, /* still being written, by its name */
        OMIT_MOUNT,       /* a filesystem is mounted there: what is below it is unknown */
} OmissionReason;

/* What was left out of a scan, and why. */
typedef struct Omission {
        char *path;
        OmissionReason reason;
        int error; /* errno, positive, or 0 */
} Omission;

/* The boot, the mount and the source that a base was made with. A base of another generation consists of records: what
 * it lists is not in the mirror. */
typedef struct Generation {
        uint8_t boot_id[16];
        uint64_t mirror_dev, mirror_ino; /* of the mirror's root directory */
        uint64_t source_dev, source_ino; /* of the source's root directory */
} Generation;

typedef struct Manifest {
        Entry *entries;
        size_t n_entries;  /* including what was put since the last sort */
        size_t n_sorted;
        Omission *omissions;
        size_t n_omissions;
        Generation generation; /* all zero: none */
} Manifest;

int manifest_new(Manifest **ret);
/* A copy of the entries, sorted. 0 or -ENOMEM. */
int manifest_copy(const Manifest *from, Manifest **ret);
Manifest *manifest_free(Manifest *manifest);
DEFINE_CLEANUP(Manifest, manifest_free)

/* Adds flags to all entries, @flags has those of each: a worker finds them, and the owner of the list adds them. */
void manifest_add_flags(Manifest *manifest, const uint16_t *flags);

/* Adds an entry, or replaces the one of the same path; strings are copied. Takes effect for find and
 * iteration after manifest_sort(). */
int manifest_put(Manifest *manifest, const Entry *entry);
void manifest_sort(Manifest *manifest);

/* The entry of a path, or NULL. The manifest must be sorted. Borrowed until the next change. */
Entry *manifest_find(const Manifest *manifest, const char *path);

/* The index of the first entry that does not come before @path, or before what is in @directory; .n_entries: there is
 * none. Of a sorted manifest. */
size_t manifest_seek(const Manifest *manifest, const char *path);
size_t manifest_seek_inside(const Manifest *manifest, const char *directory);

/* Drops every entry for which @drop is true. */
void manifest_filter(Manifest *manifest, bool (*drop)(const Entry *entry, void *userdata), void *userdata);

/* Adds an omission; @error is a positive errno or 0. */
int manifest_omit(Manifest *manifest, const char *path, OmissionReason reason, int error);
/* How many were left out for this reason. */
size_t manifest_omissions(const Manifest *manifest, OmissionReason reason);

/* True if what is at @path is unknown, because it or a directory above it could not be read. */
bool manifest_is_blind(const Manifest *manifest, const char *path);

/* True if the path is below OMIT_MOUNT, or is that. */
bool manifest_is_covered(const Manifest *manifest, const char *path);

/* The path of one that was left out for this reason; NULL: none was. */
const char *manifest_first_omission(const Manifest *manifest, OmissionReason reason);

/* Bytes of all files, hard links counted once; and the number of files, hard links included. Neither counts records,
 * nor files that are only linked to the disk. */
uint64_t manifest_bytes(const Manifest *manifest);
size_t manifest_files(const Manifest *manifest);
/* The number of files that are only linked to the disk. */
size_t manifest_linked(const Manifest *manifest);

/* Writes NAME.xxh128 in the state directory @dirfd, whole or not at all, and removes the journal beside it. The
 * manifest must be sorted. Blocking. */
int manifest_save(const Manifest *manifest, int dirfd, const char *name, const char *source, const char *target);

/* Reads it back with the journal applied. Format 1 did not name the objects of the disk, so its entries become records
 * of unknown objects. Positive: MANIFEST_ABSENT, or MANIFEST_DAMAGED with the line in *reterr_line,
 * 0 where the end is missing. Blocking. */
enum { MANIFEST_ABSENT = 1, MANIFEST_DAMAGED };
int manifest_load(int dirfd, const char *name, Manifest **ret, unsigned *reterr_line);

/* The journal: one line for each entry that was agreed since the last save, appended without fsync as it happens, so
 * that a daemon that was killed finds what it had done. After a reboot it is useless, as the mirror that it describes
 * is gone: opening it for another generation empties it. manifest_save() removes it, so it must be opened again
 * afterwards. A dropped path becomes a record. */
int manifest_journal_open(int dirfd, const char *name, const Generation *generation, int *ret_fd);
int manifest_journal_put(int fd, const Entry *entry);
int manifest_journal_drop(int fd, const char *path);

bool manifest_generation_equal(const Generation *a, const Generation *b);
