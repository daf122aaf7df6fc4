/* SPDX-License-Identifier: GPL-2.0-or-later */

/* One file into an invisible temporary: the pipeline of chunks and digests. See copy.h. */

#include "copy.h"

#include "chunks.h"
#include "fs.h"
#include "pagecache.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/sendfile.h>

/* sendfile() in pieces of this size: small enough that progress is seen and a cancellation is heard on a slow source. */
enum { PIECE = 1024 * 1024, READ_BUFFER = 256 * 1024, MAP_WINDOW = 4 * 1024 * 1024 };

/* The largest page of the page cache. */
#define PAGE_MAX (2 * MIB)

/* So many chunks may be copied ahead of the digests; what is between is in the page cache. */
enum { AHEAD = 8 };

/* A digest that follows the copying through the chunks in order. */
typedef struct Lane {
        DigestStream *stream;
        ClaimStream *claim;                               /* in its place; of the third lane */
        uint64_t position;                                /* bytes digested; of whoever holds busy */
        size_t next;                                      /* chunk; under lock */
        bool busy;                                        /* under lock */
        int (*digest)(Copy *copy, const Chunk *chunk);
} Lane;

/* The third is there only if it was asked for. It is slow, but reads what is in RAM: nobody waits for it before the end. */
enum { LANE_SOURCE, LANE_MIRROR, LANE_CLAIM, _LANE_MAX };

struct Copy {
        CopyOptions options;
        int sourcefd, mirrorfd; /* set once */
        int source_dirfd;       /* borrowed */
        const Entry *source;    /* borrowed; immutable meanwhile */
        Chunks chunks;          /* set once, but for .copied, under lock */

        pthread_mutex_t lock;
        pthread_cond_t moved;   /* something below has changed */
        size_t next;            /* chunk to be copied next; under lock */
        Lane lanes[_LANE_MAX];
        size_t n_lanes;         /* set once */
        bool mirrorfd_taken;    /* its file offset is in use by one worker; under lock */
        int error;              /* first failure, negative errno or COPY_*; under lock */
        const char *what;       /* under lock */
        uint64_t error_offset;  /* under lock */
        uint64_t huge_bytes, measured_bytes; /* of whoever holds the mirror's lane */
};

static int digest_source(Copy *copy, const Chunk *chunk);
static int digest_mirror(Copy *copy, const Chunk *chunk);
static int digest_claim(Copy *copy, const Chunk *chunk);

static bool is_as_scanned(const struct stat *st, const Entry *entry) {
        return S_ISREG(st->st_mode) && (uint64_t) st->st_size == entry->size && fs_nsec(&st->st_mtim) == entry->mtime_nsec &&
               fs_nsec(&st->st_ctim) == entry->ctime_nsec && st->st_ino == entry->ino;
}

static int open_source(Copy *copy, const char **reterr_what) {
        struct stat st;

        copy->sourcefd = fs_open_beneath(copy->source_dirfd, copy->source->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
        if (copy->sourcefd == -ENOENT || copy->sourcefd == -ELOOP || copy->sourcefd == -ENOTDIR || copy->sourcefd == -EXDEV)
                return COPY_SOURCE_CHANGED;
        if (copy->sourcefd < 0) {
                *reterr_what = "open the source";
                return copy->sourcefd;
        }
        if (fstat(copy->sourcefd, &st) < 0) {
                *reterr_what = "look at the source";
                return -errno;
        }
        if (!is_as_scanned(&st, copy->source))
                return COPY_SOURCE_CHANGED;
        if (copy->options.read_again)
                pagecache_drop(copy->sourcefd, 0, 0);
        if (copy->source->size > READ_BUFFER)
                (void) posix_fadvise(copy->sourcefd, 0, 0, POSIX_FADV_SEQUENTIAL); /* advice: doubles the readahead */
        return 0;
}

static int reserve_range(int fd, int mode, uint64_t offset, uint64_t length) {
        int r;

        do
                r = fallocate(fd, mode, (off_t) offset, (off_t) length);
        while (r < 0 && errno == EINTR);
        return r < 0 ? -errno : 0;
}

/* Space first, so that ENOSPC comes here and not as SIGBUS or a half file. ftruncate() before fallocate(), because up to
 * Linux 6.11 huge=within_size looks at the size of the moment only; but a sparse file grows with its data, else the
 * first byte of each extent would take 2 MiB. Data that reaches the end of a 2 MiB page may still come with all of it: what lies in
 * the hole before the data is given back. A signal undoes only the piece that it interrupts. */
static int reserve(Copy *copy, const char **reterr_what) {
        off_t size = (off_t) copy->source->size;
        uint64_t end = 0;

        *reterr_what = "reserve room for it";
        if (!copy->chunks.sparse && ftruncate(copy->mirrorfd, size) < 0)
                return -errno;
        for (size_t i = 0; i < copy->chunks.n; i++) {
                const Chunk *chunk = &copy->chunks.items[i];
                int r = reserve_range(copy->mirrorfd, 0, chunk->offset, chunk->length);

                if (r == 0 && chunk->offset > end)
                        r = reserve_range(copy->mirrorfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, end, chunk->offset - end);
                if (r < 0)
                        return r == -ENOSPC ? COPY_NO_ROOM : r;
                end = chunk->offset + chunk->length;
        }
        if (copy->chunks.sparse && ftruncate(copy->mirrorfd, size) < 0)
                return -errno;
        return 0;
}

int copy_new(Copy **ret, int sourcefd, const Entry *source, int stagingfd, const CopyOptions *options, const char **reterr_what) {
        _cleanup_(copy_freep) Copy *copy = calloc(1, sizeof(*copy));
        int r;

        *reterr_what = "get memory";
        if (!copy)
                return -ENOMEM;
        copy->options = *options;
        copy->sourcefd = copy->mirrorfd = -1;
        copy->source_dirfd = sourcefd;
        copy->source = source;
        (void) pthread_mutex_init(&copy->lock, NULL);
        (void) pthread_cond_init(&copy->moved, NULL);
        copy->lanes[LANE_SOURCE].digest = digest_source;
        copy->lanes[LANE_MIRROR].digest = digest_mirror;
        copy->lanes[LANE_CLAIM].digest = digest_claim;
        copy->n_lanes = options->claim == CLAIM_NONE ? LANE_CLAIM : _LANE_MAX;
        for (size_t i = 0; i < LANE_CLAIM; i++)
                if (digest_stream_new(&copy->lanes[i].stream) < 0)
                        return -ENOMEM;
        if (copy->n_lanes == _LANE_MAX && claim_stream_new(&copy->lanes[LANE_CLAIM].claim, options->claim, source->size) < 0)
                return -ENOMEM;
        r = open_source(copy, reterr_what);
        if (r != 0)
                return r;
        r = chunks_init(&copy->chunks, copy->sourcefd, source->size, source->room, options->chunk_size);
        if (r < 0) {
                *reterr_what = "find the data in it";
                return r;
        }
        copy->mirrorfd = openat(stagingfd, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
        if (copy->mirrorfd < 0) {
                *reterr_what = "make a temporary in the mirror";
                return errno == ENOSPC ? COPY_NO_ROOM : -errno;
        }
        r = reserve(copy, reterr_what);
        if (r != 0)
                return r;
        *ret = TAKE_PTR(copy);
        return 0;
}

Copy *copy_free(Copy *copy) {
        if (!copy)
                return NULL;
        for (size_t i = 0; i < _LANE_MAX; i++)
                copy->lanes[i].stream = digest_stream_free(copy->lanes[i].stream);
        copy->lanes[LANE_CLAIM].claim = claim_stream_free(copy->lanes[LANE_CLAIM].claim);
        (void) close_fd(copy->sourcefd);
        (void) close_fd(copy->mirrorfd);
        chunks_done(&copy->chunks);
        (void) pthread_cond_destroy(&copy->moved);
        (void) pthread_mutex_destroy(&copy->lock);
        free(copy);
        return NULL;
}

unsigned copy_useful_workers(const Copy *copy) {
        return (unsigned) MIN(MAX(copy->chunks.n, (size_t) 1), (size_t) AHEAD);
}

static bool is_cancelled(const Copy *copy) {
        return copy->options.cancel && atomic_load(copy->options.cancel);
}

/* The failure that is nearest to the beginning counts, whichever worker meets its own first: so each try tells the same place. Returns
 * @error. */
static int fail(Copy *copy, int error, const char *what, uint64_t offset) {
        (void) pthread_mutex_lock(&copy->lock);
        if (copy->error == 0 || (copy->error == error && offset < copy->error_offset)) {
                copy->error = error;
                copy->what = what;
                copy->error_offset = offset;
        }
        (void) pthread_mutex_unlock(&copy->lock);
        return error;
}

/* For filesystems whose files cannot be the source of sendfile(). */
static ssize_t copy_through_buffer(int in, int out, off_t *offset, size_t length) {
        char buffer[64 * 1024];
        ssize_t n = pread(in, buffer, MIN(length, sizeof(buffer)), *offset), written;

        if (n <= 0)
                return n;
        written = pwrite(out, buffer, (size_t) n, *offset);
        if (written > 0)
                *offset += written;
        return written;
}

static int copy_chunk(Copy *copy, int out, const Chunk *chunk) {
        off_t offset = (off_t) chunk->offset, end = (off_t) (chunk->offset + chunk->length);
        bool buffered = false;

        /* the first chunk comes first, to a descriptor that has not moved yet */
        if (offset > 0 && lseek(out, offset, SEEK_SET) < 0)
                return -errno;
        while (offset < end) {
                size_t length = (size_t) MIN(end - offset, (off_t) PIECE);
                ssize_t n = buffered ? copy_through_buffer(copy->sourcefd, out, &offset, length)
                                     : sendfile(out, copy->sourcefd, &offset, length);

                if (is_cancelled(copy))
                        return COPY_CANCELLED;
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && !buffered && (errno == EINVAL || errno == ENOSYS)) {
                        buffered = true;
                        continue;
                }
                if (n < 0)
                        return fail(copy, -errno, "read", (uint64_t) offset);
                if (n == 0)
                        return COPY_SOURCE_CHANGED; /* shorter than it was */
                (void) atomic_fetch_add(copy->options.progress, (uint_fast64_t) n);
        }
        return 0;
}

static void update(Lane *lane, const void *data, size_t length) {
        if (lane->claim)
                claim_stream_update(lane->claim, data, length);
        else
                digest_stream_update(lane->stream, data, length);
}

static void update_hole(Lane *lane, uint64_t length) {
        if (lane->claim)
                claim_stream_zeros(lane->claim, length);
        else
                digest_stream_zeros(lane->stream, length);
}

static int digest_by_reading(Copy *copy, int fd, Lane *lane, const Chunk *chunk) {
        _cleanup_(freep) char *buffer = malloc(READ_BUFFER);
        uint64_t offset = chunk->offset, end = chunk->offset + chunk->length;

        if (!buffer)
                return -ENOMEM;
        while (offset < end) {
                ssize_t n = pread(fd, buffer, (size_t) MIN(end - offset, (uint64_t) READ_BUFFER), (off_t) offset);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return fail(copy, -errno, "read", offset);
                if (n == 0)
                        return COPY_SOURCE_CHANGED;
                update(lane, buffer, (size_t) n);
                offset += (uint64_t) n;
        }
        return 0;
}

static int digest_source(Copy *copy, const Chunk *chunk) {
        return digest_by_reading(copy, copy->sourcefd, &copy->lanes[LANE_SOURCE], chunk);
}

static int digest_claim(Copy *copy, const Chunk *chunk) {
        return digest_by_reading(copy, copy->mirrorfd, &copy->lanes[LANE_CLAIM], chunk);
}

/* Through the mapping, because that is what the engines will see; in windows, because what is mapped counts as ours. To map
 * and unmap a small file costs more than to read it. */
static int digest_mirror(Copy *copy, const Chunk *chunk) {
        uint64_t page = (uint64_t) sysconf(_SC_PAGESIZE), end = chunk->offset + chunk->length;
        size_t windows = 0;

        if (copy->source->size <= READ_BUFFER)
                return digest_by_reading(copy, copy->mirrorfd, &copy->lanes[LANE_MIRROR], chunk);
        for (uint64_t offset = chunk->offset; offset < end; windows++) {
                uint64_t start = offset & ~(page - 1), stop = MIN(end, round_up(start + 1, MAP_WINDOW));
                size_t length = (size_t) (stop - start);
                uint8_t *map = mmap(NULL, length, PROT_READ, MAP_SHARED | MAP_POPULATE, copy->mirrorfd, (off_t) start);

                if (map == MAP_FAILED)
                        return fail(copy, -errno, "map the copy", offset);
                digest_stream_update(copy->lanes[LANE_MIRROR].stream, map + (offset - start), (size_t) (stop - offset));
                if (length >= 2 * MIB && (windows == 0 || pagecache_huge_is_cheap())) {
                        copy->huge_bytes += pagecache_huge_bytes(map, length);
                        copy->measured_bytes += length;
                }
                (void) munmap(map, length);
                offset = stop;
        }
        return 0;
}

/* The calls below are made with the lock held, and give it up while they work. */

/* A page of the cache may be as large as 2 MiB, reach over the end of a chunk, and is dropped as a whole or not at all: so the
 * chunks before that it may begin in are dropped once more. */
static void drop_behind(Copy *copy, size_t index) {
        const Chunk *chunk = &copy->chunks.items[index];
        uint64_t start = chunk->offset, end = chunk->offset + chunk->length, first = start & ~(PAGE_MAX - 1);

        if (chunk->was_cached)
                return;
        for (const Chunk *before = chunk; start > first && before > copy->chunks.items; start = MAX(before->offset, first)) {
                before--;
                if (before->was_cached || before->offset + before->length != start)
                        break;
        }
        pagecache_drop(copy->sourcefd, start, end - start);
}

static void run_lane(Copy *copy, Lane *lane) {
        size_t index = lane->next;
        const Chunk *chunk = &copy->chunks.items[index];
        bool last;
        int r;

        lane->busy = true;
        (void) pthread_mutex_unlock(&copy->lock);
        update_hole(lane, chunk->offset - lane->position);
        r = lane->digest(copy, chunk);
        lane->position = chunk->offset + chunk->length;
        (void) pthread_mutex_lock(&copy->lock);
        if (r != 0 && copy->error == 0)
                copy->error = r;
        lane->busy = false;
        lane->next++;
        last = lane != &copy->lanes[LANE_CLAIM] && copy->lanes[LANE_SOURCE].next > index && copy->lanes[LANE_MIRROR].next > index;
        (void) pthread_cond_broadcast(&copy->moved);
        if (last) {
                (void) pthread_mutex_unlock(&copy->lock);
                drop_behind(copy, index);
                (void) pthread_mutex_lock(&copy->lock);
        }
}

static void run_copy(Copy *copy, int out) {
        size_t index = copy->next++;
        int r;

        (void) pthread_mutex_unlock(&copy->lock);
        r = copy_chunk(copy, out, &copy->chunks.items[index]);
        (void) pthread_mutex_lock(&copy->lock);
        if (r != 0 && copy->error == 0)
                copy->error = r;
        copy->chunks.items[index].copied = true;
        (void) pthread_cond_broadcast(&copy->moved);
}

/* The lane that is furthest behind, if it has something to do and nobody is at it. */
static Lane *find_lane(Copy *copy) {
        Lane *best = NULL;

        for (size_t i = 0; i < copy->n_lanes; i++) {
                Lane *lane = &copy->lanes[i];

                if (!lane->busy && lane->next < copy->chunks.n && copy->chunks.items[lane->next].copied &&
                    (!best || lane->next < best->next))
                        best = lane;
        }
        return best;
}

/* sendfile() writes at the descriptor's own offset, so each worker needs a description of its own. */
static int open_for_writing(Copy *copy) {
        char path[64];
        int fd;

        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", copy->mirrorfd);
        fd = open(path, O_WRONLY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

void copy_work(Copy *copy) {
        _cleanup_(close_fdp) int own = -1;
        int out = -1;

        (void) pthread_mutex_lock(&copy->lock);
        if (!copy->mirrorfd_taken) {
                copy->mirrorfd_taken = true;
                out = copy->mirrorfd;
        }
        while (copy->error == 0) {
                Lane *lane = find_lane(copy);
                size_t behind = MIN(copy->lanes[LANE_SOURCE].next, copy->lanes[LANE_MIRROR].next);

                if (lane)
                        run_lane(copy, lane);
                else if (copy->next == copy->chunks.n)
                        break; /* whoever still works will find what is left */
                else if (copy->next >= behind + AHEAD)
                        (void) pthread_cond_wait(&copy->moved, &copy->lock);
                else {
                        if (out < 0)
                                out = own = open_for_writing(copy);
                        if (out < 0) {
                                copy->error = out;
                                copy->what = "open the temporary";
                                break;
                        }
                        run_copy(copy, out);
                }
        }
        (void) pthread_cond_broadcast(&copy->moved);
        (void) pthread_mutex_unlock(&copy->lock);
}

/* A network filesystem may answer from what it remembers; this has it ask the server. */
static int stat_anew(int fd, struct stat *ret) {
        struct statx fresh;

        if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &fresh) < 0)
                return -errno;
        return fstat(fd, ret) < 0 ? -errno : 0;
}

static int check_source(Copy *copy) {
        struct stat now, named;

        if (stat_anew(copy->sourcefd, &now) < 0 || !is_as_scanned(&now, copy->source))
                return COPY_SOURCE_CHANGED;
        /* the name may lead to another file by now */
        if (fs_stat_beneath(copy->source_dirfd, copy->source->path, &named) < 0 || !is_as_scanned(&named, copy->source))
                return COPY_SOURCE_CHANGED;
        return 0;
}

int copy_finish(Copy *copy, CopyResult *ret, const char **reterr_what, uint64_t *reterr_offset) {
        Digest digests[LANE_CLAIM];

        if (copy->error != 0) {
                *reterr_what = copy->what ? copy->what : "copy";
                *reterr_offset = copy->error_offset;
                return copy->error;
        }
        for (size_t i = 0; i < copy->n_lanes; i++) {
                Lane *lane = &copy->lanes[i];

                assert(lane->next == copy->chunks.n);
                update_hole(lane, copy->source->size - lane->position);
                if (lane->stream)
                        digests[i] = digest_stream_get(lane->stream);
        }
        *ret = (CopyResult){ .source = digests[LANE_SOURCE], .mirror = digests[LANE_MIRROR], .huge_bytes = copy->huge_bytes,
                             .measured_bytes = copy->measured_bytes };
        if (copy->lanes[LANE_CLAIM].claim)
                ret->claim = claim_stream_get(copy->lanes[LANE_CLAIM].claim);
        if (check_source(copy) != 0)
                return COPY_SOURCE_CHANGED;
        return digest_equal(&ret->source, &ret->mirror) ? 0 : COPY_MISMATCH;
}

int copy_mirror_fd(const Copy *copy) {
        return copy->mirrorfd;
}

int copy_source_fd(const Copy *copy) {
        return copy->sourcefd;
}
