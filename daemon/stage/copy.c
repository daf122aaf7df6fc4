/* SPDX-License-Identifier: GPL-2.0-or-later */

/* One file into a temporary file of the mirror: the pipeline of chunks and digests. See stage/copy.h. */

#include "stage/copy.h"

#include "os/fs.h"
#include "os/hugepages.h"
#include "os/pagecache.h"
#include "os/tree-access.h"
#include "stage/copy-lane.h"
#include "stage/reserve.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>

/* The largest page of the page cache. */
#define PAGE_MAX (2 * MIB)

/* So many chunks, or two for each worker if that is more, may be copied ahead of the digests. They may take space in
 * the page cache. */
enum { AHEAD = 8 };

/* The first is used unless the digest of the source's bytes is on record; the last only if one is requested. That one
 * is slow, but it reads what is in RAM, and copying does not wait for it. */
enum { COPY_LANE_SOURCE, COPY_LANE_MIRROR, COPY_LANE_CLAIM, _LANE_MAX };

struct Copy {
        CopyOptions options;
        int sourcefd, mirrorfd; /* set once */
        int source_dirfd;       /* borrowed */
        dev_t source_dev;       /* of sourcefd; set once */
        ino_t source_ino;       /* likewise */
        const Entry *source;    /* borrowed */
        Chunks chunks;          /* set once, except for .copied, which is under lock */
        CopyMover mover;        /* has rules of its own for threads */

        pthread_mutex_t lock;
        pthread_cond_t moved;   /* something below has changed */
        size_t next;            /* chunk to be copied next; under lock */
        CopyLane lanes[_LANE_MAX];
        size_t n_workers;       /* under lock */
        bool mirrorfd_taken;    /* one worker uses its file offset; under lock */
        int error;              /* first failure, negative errno or COPY_*; under lock */
        const char *what;       /* under lock */
        uint64_t error_offset;  /* under lock */
        CopyLanePages pages;    /* belongs to the thread that has set .busy of the mirror's lane */
};

static int open_source(Copy *copy, const char **reterr_what) {
        FileIdentity identity = manifest_identity(copy->source);
        struct stat st;
        int r = tree_access_open_expected(copy->source_dirfd, copy->source->path, &identity, &copy->sourcefd, &st);

        *reterr_what = "open";
        if (r != 0)
                return r == TREE_OCCUPIED || r == TREE_ABSENT ? COPY_SOURCE_CHANGED : r;
        copy->source_dev = st.st_dev;
        copy->source_ino = st.st_ino;
        if (copy->options.read_again)
                pagecache_drop(copy->sourcefd, 0, 0);
        if (copy->source->size > COPY_LANE_READ_MAX)
                (void) posix_fadvise(copy->sourcefd, 0, 0, POSIX_FADV_SEQUENTIAL); /* doubles the readahead */
        return 0;
}

static int init_lanes(Copy *copy) {
        const CopyOptions *options = &copy->options;
        CopyLane *lanes = copy->lanes;

        lanes[COPY_LANE_SOURCE].used = !options->on_record;
        lanes[COPY_LANE_MIRROR].used = true;
        lanes[COPY_LANE_CLAIM].used = options->claim != CLAIM_NONE;
        for (size_t i = 0; i < COPY_LANE_CLAIM; i++)
                if (lanes[i].used && digest_stream_new(&lanes[i].stream) < 0)
                        return -ENOMEM;
        if (lanes[COPY_LANE_CLAIM].used &&
            claim_stream_new(&lanes[COPY_LANE_CLAIM].claim, options->claim, copy->source->size) < 0)
                return -ENOMEM;
        return 0;
}

/* Where the worker's buffer is digested, a whole chunk has to fit into it: it is read before the chunk's turn comes. */
static uint64_t choose_chunk_size(const CopyOptions *options) {
        return options->on_record || options->method == COPY_METHOD_SENDFILE
                       ? options->chunk_size
                       : MIN(options->chunk_size, FIT_COPY_BUFFER);
}

int copy_new(Copy **ret, int sourcefd, const Entry *source, int stagingfd, const CopyOptions *options,
             const char **reterr_what) {
        _cleanup_(copy_freep) Copy *copy = calloc(1, sizeof(*copy));
        int r;

        *reterr_what = "allocate memory to copy";
        if (!copy)
                return -ENOMEM;
        copy->options = *options;
        copy->sourcefd = copy->mirrorfd = copy->mover.direct.fd = -1;
        copy->source_dirfd = sourcefd;
        copy->source = source;
        (void) pthread_mutex_init(&copy->lock, NULL);
        (void) pthread_cond_init(&copy->moved, NULL);
        if (init_lanes(copy) < 0)
                return -ENOMEM;
        r = open_source(copy, reterr_what);
        if (r != 0)
                return r;
        r = chunks_init(&copy->chunks, copy->sourcefd, source->size, source->room, choose_chunk_size(options));
        if (r < 0) {
                *reterr_what = "find the data in";
                return r;
        }
        r = reserve_file(stagingfd, source->size, &copy->chunks, &copy->mirrorfd, reterr_what);
        if (r != 0)
                return r == RESERVE_NO_ROOM ? COPY_NO_ROOM : r;
        copy_method_init(&copy->mover, options->method, options->on_record, copy->sourcefd, copy->mirrorfd,
                         source->size, &copy->chunks, options->refusals);
        copy->lanes[COPY_LANE_SOURCE].by_copier = copy->mover.way == COPY_MOVER_BUFFER;
        copy->mover.limit = options->limit;
        copy->mover.cancel = options->cancel;
        copy->mover.progress = options->progress;
        *ret = TAKE_PTR(copy);
        return 0;
}

Copy *copy_free(Copy *copy) {
        if (!copy)
                return NULL;
        for (size_t i = 0; i < _LANE_MAX; i++)
                copy->lanes[i].stream = digest_stream_free(copy->lanes[i].stream);
        copy->lanes[COPY_LANE_CLAIM].claim = claim_stream_free(copy->lanes[COPY_LANE_CLAIM].claim);
        copy_method_done(&copy->mover);
        (void) close_fd(copy->sourcefd);
        (void) close_fd(copy->mirrorfd);
        chunks_done(&copy->chunks);
        (void) pthread_cond_destroy(&copy->moved);
        (void) pthread_mutex_destroy(&copy->lock);
        free(copy);
        return NULL;
}

unsigned copy_useful_workers(const Copy *copy) {
        return (unsigned) MIN(MAX(copy->chunks.n, (size_t) 1), (size_t) UINT16_MAX);
}

/* Of several failures the one that is nearest to the beginning of the file counts, whichever worker was first: so each
 * attempt reports the same place. Returns @error. */
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

/* For CopyWorker: digests what was read, when it is the turn of its chunk. The workers that have the chunks before it
 * began earlier and do not wait for this one. */
static int digest_seen(void *userdata, const Chunk *chunk, uint64_t offset, const void *data, size_t length) {
        Copy *copy = userdata;
        CopyLane *lane = &copy->lanes[COPY_LANE_SOURCE];
        size_t index = (size_t) (chunk - copy->chunks.items);
        bool over;

        (void) pthread_mutex_lock(&copy->lock);
        while (copy->error == 0 && lane->next != index)
                (void) pthread_cond_wait(&copy->moved, &copy->lock);
        over = copy->error != 0;
        (void) pthread_mutex_unlock(&copy->lock);
        if (over)
                return COPY_MOVER_CANCELLED; /* the failure is recorded already */
        copy_lane_update(lane, offset, data, length);
        if (lane->position < chunk->offset + chunk->length)
                return 0;
        (void) pthread_mutex_lock(&copy->lock);
        lane->next++;
        (void) pthread_cond_broadcast(&copy->moved);
        (void) pthread_mutex_unlock(&copy->lock);
        return 0;
}

/* The functions below are called with the lock held; those that read or write release it meanwhile. */

/* How many chunks the digests that copying waits for have passed. */
static size_t chunks_digested(const Copy *copy) {
        const CopyLane *source = &copy->lanes[COPY_LANE_SOURCE], *mirror = &copy->lanes[COPY_LANE_MIRROR];

        return source->used ? MIN(source->next, mirror->next) : mirror->next;
}

/* Drops what was not in the page cache before. */
static void drop_parts(const Copy *copy, const Chunk *chunk) {
        uint64_t part = chunks_part(chunk);

        for (uint64_t i = 0, at = 0; at < chunk->length; i++, at += part)
                if (!(chunk->cached_parts & (UINT64_C(1) << i)))
                        pagecache_drop(copy->sourcefd, chunk->offset + at, MIN(part, chunk->length - at));
}

/* A page of the cache may be as large as 2 MiB, and may reach into the next chunk; it is dropped as a whole or not at
 * all. So the chunks before, in which such a page may begin, are dropped once more. */
static void drop_behind(Copy *copy, size_t index) {
        const Chunk *chunk = &copy->chunks.items[index];
        uint64_t start = chunk->offset, end = chunk->offset + chunk->length, first = start & ~(PAGE_MAX - 1);

        if (chunk->cached_parts != 0) {
                drop_parts(copy, chunk);
                return;
        }
        for (const Chunk *before = chunk; start > first && before > copy->chunks.items;
             start = MAX(before->offset, first)) {
                before--;
                if (before->cached_parts != 0 || before->offset + before->length != start)
                        break;
        }
        pagecache_drop(copy->sourcefd, start, end - start);
}

/* The copy is digested through its mapping, because that is what engines will see; a small file is read instead, which
 * costs less than to map and unmap it. */
static int digest(Copy *copy, CopyLane *lane, const Chunk *chunk, uint64_t *reterr_offset) {
        if (lane == &copy->lanes[COPY_LANE_MIRROR] && copy->source->size > COPY_LANE_READ_MAX)
                return copy_lane_digest_mapping(lane, copy->mirrorfd, chunk, &copy->pages, reterr_offset);
        return copy_lane_digest_by_reading(lane,
                                           lane == &copy->lanes[COPY_LANE_SOURCE] ? copy->sourcefd : copy->mirrorfd,
                                           chunk, reterr_offset);
}

static void run_lane(Copy *copy, CopyLane *lane) {
        size_t index = lane->next;
        const Chunk *chunk = &copy->chunks.items[index];
        uint64_t offset = chunk->offset;
        bool last;
        int r;

        lane->busy = true;
        (void) pthread_mutex_unlock(&copy->lock);
        r = digest(copy, lane, chunk, &offset);
        if (r < 0)
                (void) fail(copy, r,
                            r == -ENOMEM                             ? "allocate memory to copy"
                            : lane == &copy->lanes[COPY_LANE_SOURCE] ? COPY_MOVER_READ
                                                                     : "read back the copy of",
                            offset);
        (void) pthread_mutex_lock(&copy->lock);
        if (r > 0 && copy->error == 0)
                copy->error = COPY_SOURCE_CHANGED;
        lane->busy = false;
        lane->next++;
        last = lane != &copy->lanes[COPY_LANE_CLAIM] && chunks_digested(copy) > index;
        (void) pthread_cond_broadcast(&copy->moved);
        if (last) {
                (void) pthread_mutex_unlock(&copy->lock);
                drop_behind(copy, index);
                (void) pthread_mutex_lock(&copy->lock);
        }
}

static void run_copy(Copy *copy, const CopyWorker *worker) {
        size_t index = copy->next++;
        CopyMoverError error;
        int r;

        (void) pthread_mutex_unlock(&copy->lock);
        r = copy_method_move(&copy->mover, &copy->chunks.items[index], worker, &error);
        if (r < 0)
                (void) fail(copy, r, error.what, error.offset);
        (void) pthread_mutex_lock(&copy->lock);
        if (r > 0 && copy->error == 0)
                copy->error = r == COPY_MOVER_CANCELLED ? COPY_CANCELLED : COPY_SOURCE_CHANGED;
        copy->chunks.items[index].copied = true;
        (void) pthread_cond_broadcast(&copy->moved);
}

/* The lane that is furthest behind, of those that have a chunk to digest and no worker. */
static CopyLane *find_lane(Copy *copy) {
        CopyLane *best = NULL;

        for (size_t i = 0; i < _LANE_MAX; i++) {
                CopyLane *lane = &copy->lanes[i];

                if (lane->used && !lane->by_copier && !lane->busy && lane->next < copy->chunks.n &&
                    copy->chunks.items[lane->next].copied && (!best || lane->next < best->next))
                        best = lane;
        }
        return best;
}

/* sendfile() writes at the file offset of its descriptor, so each worker needs an open file description of its own. */
static int open_for_writing(Copy *copy, int *ret_own) {
        if (copy->mover.way != COPY_MOVER_SENDFILE || !copy->mirrorfd_taken) {
                copy->mirrorfd_taken = true;
                return copy->mirrorfd;
        }
        *ret_own = tree_access_reopen(copy->mirrorfd, O_WRONLY);
        return *ret_own;
}

static uint8_t *allocate_buffer(const CopyMover *mover) {
        size_t size = copy_method_buffer_size(mover);
        uint8_t *buffer = aligned_alloc(size < HUGE_PAGE ? (size_t) sysconf(_SC_PAGESIZE) : HUGE_PAGE, size);

        if (buffer && size == HUGE_PAGE)
                (void) madvise(buffer, size, MADV_HUGEPAGE); /* one piece for the disk instead of 512 */
        return buffer;
}

/* Gives a worker what it needs before it copies its first chunk. */
static int equip(Copy *copy, CopyWorker *worker, int *ret_own) {
        if (worker->outfd >= 0)
                return 0;
        worker->outfd = open_for_writing(copy, ret_own);
        if (worker->outfd < 0) {
                copy->what = "open the temporary file for";
                return worker->outfd;
        }
        if (copy->mover.way != COPY_MOVER_BUFFER)
                return 0;
        worker->buffer = allocate_buffer(&copy->mover);
        copy->what = worker->buffer ? NULL : "allocate memory to copy";
        return worker->buffer ? 0 : -ENOMEM;
}

void copy_work(Copy *copy) {
        CopyWorker worker = { .outfd = -1, .seen = copy->lanes[COPY_LANE_SOURCE].used ? digest_seen : NULL,
                              .userdata = copy };
        _cleanup_(close_fdp) int own = -1;

        (void) pthread_mutex_lock(&copy->lock);
        copy->n_workers++;
        while (copy->error == 0) {
                CopyLane *lane = find_lane(copy);

                if (lane)
                        run_lane(copy, lane);
                else if (copy->next == copy->chunks.n)
                        break; /* the workers that are still copying digest the rest */
                else if (copy->next >= chunks_digested(copy) + MAX((size_t) AHEAD, 2 * copy->n_workers))
                        (void) pthread_cond_wait(&copy->moved, &copy->lock);
                else {
                        copy->error = equip(copy, &worker, &own);
                        if (copy->error == 0)
                                run_copy(copy, &worker);
                }
        }
        copy->n_workers--;
        (void) pthread_cond_broadcast(&copy->moved);
        (void) pthread_mutex_unlock(&copy->lock);
        free(worker.buffer);
}

/* Checked by its name, which may lead to another file by now; if it still leads to the one that was read, with the same
 * size and times, that has not changed. Nothing is opened, so symbolic links on the way do no harm. A network
 * filesystem is made to ask the server instead of its cache. */
static bool is_source_unchanged(const Copy *copy) {
        const Entry *entry = copy->source;
        struct statx now;

        if (statx(copy->source_dirfd, entry->path, AT_SYMLINK_NOFOLLOW | AT_STATX_FORCE_SYNC, STATX_BASIC_STATS,
                  &now) < 0)
                return false;
        return S_ISREG(now.stx_mode) && now.stx_size == entry->size && now.stx_ino == copy->source_ino &&
               makedev(now.stx_dev_major, now.stx_dev_minor) == copy->source_dev &&
               now.stx_mtime.tv_sec * NSEC_PER_SEC + now.stx_mtime.tv_nsec == entry->mtime_nsec &&
               now.stx_ctime.tv_sec * NSEC_PER_SEC + now.stx_ctime.tv_nsec == entry->ctime_nsec;
}

int copy_finish(Copy *copy, CopyResult *ret, const char **reterr_what, uint64_t *reterr_offset) {
        Digest digests[COPY_LANE_CLAIM] = {};

        if (copy->error != 0) {
                *reterr_what = copy->what ? copy->what : "copy";
                *reterr_offset = copy->error_offset;
                return copy->error;
        }
        for (size_t i = 0; i < _LANE_MAX; i++) {
                CopyLane *lane = &copy->lanes[i];

                if (!lane->used)
                        continue;
                assert(lane->next == copy->chunks.n);
                copy_lane_skip(lane, copy->source->size);
                if (lane->stream)
                        digests[i] = digest_stream_get(lane->stream);
        }
        *ret = (CopyResult){ .source = digests[copy->options.on_record ? COPY_LANE_MIRROR : COPY_LANE_SOURCE],
                             .mirror = digests[COPY_LANE_MIRROR],
                             .huge_bytes = copy->pages.huge_bytes, .measured_bytes = copy->pages.measured_bytes,
                             .direct_bytes = atomic_load(&copy->mover.direct_bytes),
                             .method = copy_method_used(&copy->mover) };
        if (copy->lanes[COPY_LANE_CLAIM].claim)
                ret->claim = claim_stream_get(copy->lanes[COPY_LANE_CLAIM].claim);
        if (!is_source_unchanged(copy))
                return COPY_SOURCE_CHANGED;
        return digest_equal(&ret->source, &ret->mirror) ? 0 : COPY_MISMATCH;
}

int copy_mirror_fd(const Copy *copy) {
        return copy->mirrorfd;
}

int copy_source_fd(const Copy *copy) {
        return copy->sourcefd;
}
