/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Copies a file of the mirror into a temporary on the disk. See save/copy-to-disk.h. */

#include "save/copy-to-disk.h"

#include "base/text.h"
#include "os/file-digest.h"
#include "os/fs.h"
#include "os/pagecache.h"
#include "os/tree-access.h"

#include <fcntl.h>

enum { PIECE = MIB, WINDOW = 16 * MIB };

typedef struct Copy {
        const CopyToDiskOptions *options;
        MirrorFile *file;
        int fromfd, tofd;   /* of the mirror's file, of the temporary */
        char name[DISK_NAME_MAX];
        DigestStream *digest;
        ClaimStream *claim; /* NULL: its name states no digest */
        uint8_t *buffer;
        uint64_t position;  /* digested so far, holes included */
        uint64_t bytes;     /* written */
        uint64_t started;   /* up to here the kernel was asked to write to the disk */
        uint64_t dropped;   /* up to here it is written and out of the page cache */
        const char *what;
} Copy;

static int reserve_data(int fromfd, int tofd, uint64_t size, uint64_t *ret_unreserved) {
        uint64_t start, end = 0, unreserved = 0;
        int r;

        while ((r = fs_next_data(fromfd, end, size, &start, &end)) > 0) {
                do
                        r = fallocate(tofd, 0, (off_t) start, (off_t) (end - start));
                while (r < 0 && errno == EINTR);
                if (r == 0)
                        continue;
                if (errno != EOPNOTSUPP && errno != ENOSYS)
                        return -errno;
                unreserved += end - start;
        }
        *ret_unreserved = unreserved;
        return r;
}

static int reserve(int fromfd, int tofd, uint64_t size) {
        uint64_t unreserved = 0;
        FsRoom room;
        int r;

        if (ftruncate(tofd, (off_t) size) < 0)
                return -errno;
        r = reserve_data(fromfd, tofd, size, &unreserved);
        if (r < 0 || unreserved == 0)
                return r;
        r = fs_room(tofd, &room);
        if (r < 0)
                return r;
        /* a filesystem that counts no blocks reports 0 of 0 */
        return room.total > 0 && room.free < unreserved ? -ENOSPC : 0;
}

/* The disk writes one window while the next is read and digested. Before the one after that begins, the first has to
 * be on disk, and is dropped from the page cache: so little is dirty and little is cached, however large the file. */
static void write_behind(Copy *copy, uint64_t end) {
        enum { WAIT = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER };
        uint64_t ready = copy->started;

        if (end - copy->started < WINDOW)
                return;
        /* only a hint: fsync() reports what fails here */
        (void) sync_file_range(copy->tofd, (off_t) ready, (off_t) (end - ready), SYNC_FILE_RANGE_WRITE);
        if (ready > copy->dropped) {
                (void) sync_file_range(copy->tofd, (off_t) copy->dropped, (off_t) (ready - copy->dropped), WAIT);
                pagecache_drop(copy->tofd, copy->dropped, ready - copy->dropped);
        }
        copy->dropped = ready;
        copy->started = end;
}

static int write_piece(Copy *copy, size_t length, uint64_t offset) {
        for (size_t done = 0; done < length;) {
                ssize_t n = pwrite(copy->tofd, copy->buffer + done, length - done, (off_t) (offset + done));

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                done += (size_t) n;
        }
        return 0;
}

/* With read() and not through a mapping, which would give a page to each hole of a tmpfs file that it touches. */
static int copy_data(Copy *copy, uint64_t start, uint64_t end) {
        while (start < end) {
                ssize_t n = pread(copy->fromfd, copy->buffer, (size_t) MIN(end - start, (uint64_t) PIECE),
                                  (off_t) start);
                int r;

                if (copy->options->cancel && atomic_load(copy->options->cancel))
                        return SAVE_CANCELLED;
                if (n < 0 && errno == EINTR)
                        continue;
                copy->what = "read it";
                if (n < 0)
                        return -errno;
                r = n == 0 ? SAVE_CHANGED : mirror_file_check(copy->file);
                if (r != 0)
                        return r;
                (void) atomic_fetch_add(copy->options->progress, (uint_fast64_t) n);
                copy->what = "write it to the disk";
                r = write_piece(copy, (size_t) n, start);
                if (r < 0)
                        return r;
                copy->bytes += (uint64_t) n;
                start += (uint64_t) n;
                write_behind(copy, start);
                digest_stream_update(copy->digest, copy->buffer, (size_t) n);
                if (copy->claim)
                        claim_stream_update(copy->claim, copy->buffer, (size_t) n);
        }
        copy->position = end;
        return 0;
}

static void skip_hole(Copy *copy, uint64_t end) {
        digest_stream_zeros(copy->digest, end - copy->position);
        if (copy->claim)
                claim_stream_zeros(copy->claim, end - copy->position);
        copy->position = end;
}

static int copy_all(Copy *copy, uint64_t size) {
        uint64_t start, end = 0;
        int r;

        copy->what = "find the holes in it";
        while ((r = fs_next_data(copy->fromfd, end, size, &start, &end)) > 0) {
                skip_hole(copy, start);
                r = copy_data(copy, start, end);
                if (r != 0)
                        return r;
        }
        if (r == 0)
                skip_hole(copy, size);
        return r;
}

/* Copies and digests; what is written is not yet synced. */
static int copy_file(Copy *copy, Digest *ret, Claim *ret_claim) {
        uint64_t size = copy->file->seen->size;
        _cleanup_(digest_stream_freep) DigestStream *digest = NULL;
        _cleanup_(claim_stream_freep) ClaimStream *claim = NULL;
        _cleanup_(freep) uint8_t *buffer = malloc(PIECE);
        int r;

        copy->what = "allocate memory";
        r = buffer ? digest_stream_new(&digest) : -ENOMEM;
        if (r == 0 && copy->options->claim->kind != CLAIM_NONE)
                r = claim_stream_new(&claim, copy->options->claim->kind, size);
        if (r < 0)
                return r;
        copy->buffer = buffer;
        copy->digest = digest;
        copy->claim = claim;
        r = copy_all(copy, size);
        if (r != 0)
                return r;
        *ret = digest_stream_get(digest);
        if (claim)
                *ret_claim = claim_stream_get(claim);
        return 0;
}

static int set_attributes(Copy *copy) {
        TreeAttributes attributes = disk_attributes(copy->file->seen, copy->options->own_owner);
        bool lost = false;
        int r = tree_attributes_copy_xattrs(copy->fromfd, copy->tofd, &lost); /* the bytes are good without them */

        copy->what = "set owner, mode, time and xattrs on the disk";
        return r < 0 ? r : tree_attributes_set(copy->tofd, &attributes);
}

/* From the disk itself, not from the page cache. */
static int read_back(Copy *copy, Digest *ret) {
        FileDigestOptions options = { .cancel = copy->options->cancel, .progress = copy->options->progress };
        int r;

        copy->what = "read it back from the disk";
        pagecache_drop(copy->tofd, 0, 0);
        r = file_digest_of(copy->tofd, &options, ret);
        pagecache_drop(copy->tofd, 0, 0);
        return r == -ECANCELED ? SAVE_CANCELLED : r;
}

static int check_claim(const Copy *copy, const Claim *found, char **reterr_text) {
        const Claim *claim = copy->options->claim;
        char hex[CLAIM_HEX_MAX];

        if (claim->kind == CLAIM_NONE || claim_equal(claim, found))
                return 0;
        *reterr_text = text_format("its %s is %s, not what its name says",
                                   found->kind == CLAIM_SHA256 ? "SHA-256" : "git blob id", claim_to_hex(found, hex));
        return *reterr_text ? SAVE_BAD : -ENOMEM;
}

static int fill(Copy *copy, Digest *ret, char **reterr_text) {
        Claim claim = {};
        Digest found;
        int r;

        copy->what = "reserve room on the disk";
        r = reserve(copy->fromfd, copy->tofd, copy->file->seen->size);
        if (r == 0)
                r = copy_file(copy, ret, &claim);
        if (r != 0)
                return r;
        /* first, because nothing can be said about bytes that changed while they were read */
        copy->what = "stat it in the mirror";
        r = mirror_file_check(copy->file);
        if (r == 0)
                r = check_claim(copy, &claim, reterr_text);
        if (r == 0)
                r = set_attributes(copy);
        if (r != 0)
                return r;
        copy->what = "sync it";
        if (fsync(copy->tofd) < 0)
                return -errno;
        r = read_back(copy, &found);
        return r != 0 ? r : digest_equal(&found, ret) ? 0 : SAVE_GARBLED;
}

/* Whoever watches the source, as we do, takes a close after writing under the file's final name for a client's work. So
 * it is closed before it gets that name. */
static void stop_writing(Copy *copy) {
        int fd = tree_access_reopen(copy->tofd, O_RDONLY);

        if (fd < 0) /* not ours to read: then it is read once more, if it can be */
                return;
        (void) close_fd(copy->tofd);
        copy->tofd = fd;
}

static int try_once(Copy *copy, Digest *ret, char **reterr_text) {
        Disk *disk = copy->options->disk;
        int r;

        copy->what = "create a temporary file on the disk";
        copy->tofd = disk_new_file(disk, copy->name);
        if (copy->tofd < 0)
                return copy->tofd;
        r = fill(copy, ret, reterr_text);
        if (r == 0)
                stop_writing(copy);
        else {
                copy->tofd = close_fd(copy->tofd);
                disk_drop(disk, copy->name);
        }
        return r;
}

int copy_to_disk(MirrorFile *file, const CopyToDiskOptions *options, CopyToDiskResult *ret, uint64_t *bytes,
                  char **reterr_text, const char **reterr_what) {
        int r = SAVE_GARBLED;

        for (unsigned attempt = 0; r == SAVE_GARBLED && attempt < 2; attempt++) {
                Copy copy = { .options = options, .file = file, .fromfd = file->fd, .tofd = -1 };
                Digest digest;

                r = try_once(&copy, &digest, reterr_text);
                *bytes += copy.bytes;
                *reterr_what = copy.what;
                if (r != 0)
                        continue;
                ret->fd = copy.tofd;
                ret->digest = digest;
                memcpy(ret->name, copy.name, sizeof(ret->name));
        }
        return r;
}
