/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Reads bytes to find out what is the same: of a file on both sides, and of a copy before it goes. See stage/task.h. */

#include "stage/task-internal.h"

#include "os/file-digest.h"
#include "os/fs.h"
#include "os/tree-access.h"
#include "stage/publish.h"

#include <fcntl.h>

static bool is_as_seen(const struct stat *st, const Entry *seen) {
        return S_ISREG(st->st_mode) && (uint64_t) st->st_size == seen->size &&
               fs_nsec(&st->st_mtim) == seen->mtime_nsec && fs_nsec(&st->st_ctim) == seen->ctime_nsec &&
               (seen->ino == 0 || st->st_ino == seen->ino);
}

/* Something has changed since the scan: the next one finds out what. */
static void gone(Task *task) {
        task->outcome = TASK_GONE;
}

bool task_is_as_seen(const Task *task, Entry *ret) {
        const Entry *mirror = task->item->mirror;
        struct stat st;
        bool same;

        same = fs_stat_beneath(task->context->private_dir->mirrorfd, mirror->path, &st) == 0 && S_ISREG(st.st_mode) &&
               st.st_ino == mirror->ino && (uint64_t) st.st_size == mirror->size &&
               (fs_nsec(&st.st_mtim) == mirror->mtime_nsec || fs_nsec(&st.st_mtim) == task->current.mtime_nsec);
        *ret = *mirror;
        if (same)
                ret->mtime_nsec = fs_nsec(&st.st_mtim);
        return same;
}

/* Digests the file of a side as the scan saw it. False: the task has its outcome. @idle: not while it is written to. */
static bool read_side(Task *task, int rootfd, const Entry *seen, bool idle, RateLimit *limit, Digest *ret) {
        FileDigestOptions options = { .cancel = task->context->cancel, .progress = task->context->steps,
                                      .limit = limit };
        _cleanup_(close_fdp) int fd = fs_open_beneath(rootfd, seen->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
        struct stat st;
        int r;

        if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP || fd == -EXDEV || fd == -ENXIO) {
                gone(task);
                return false;
        }
        r = fd < 0 ? fd : fstat(fd, &st) < 0 ? -errno : 0;
        if (r == 0 && !is_as_seen(&st, seen)) {
                gone(task);
                return false;
        }
        if (r == 0 && idle && tree_access_is_being_written(fd)) {
                task->outcome = TASK_BUSY;
                return false;
        }
        if (r == 0)
                r = file_digest_of(fd, &options, ret);
        if (r == 0 && fstat(fd, &st) < 0)
                r = -errno;
        if (r == -ESTALE || (r == 0 && !is_as_seen(&st, seen))) {
                gone(task);
                return false;
        }
        if (r < 0)
                task_fail(task, r, task->what);
        return r == 0;
}

static bool read_mirror(Task *task, Digest *ret) {
        task->what = "read the copy of";
        return read_side(task, task->context->private_dir->mirrorfd, task->item->mirror, true, NULL, ret);
}

static bool read_source(Task *task, Digest *ret) {
        task->what = "read";
        return read_side(task, task->context->sourcefd, &task->current, false, task->context->limit, ret);
}

/* --- before a copy goes --- */

/* The base's entry says what was put there, and its digest. */
static bool is_agreed(const PlanItem *item) {
        return item->base && item->base->flags & ENTRY_HAS_DIGEST &&
               !(item->base->flags & (ENTRY_RECORD | ENTRY_LINKED)) && manifest_entry_is_data(item->base);
}

/* A store through a mapping may have left no trace in size and times, and its report may have come after the scan, or
 * not yet: a copy waits for its turn for hours. What is released or becomes a link is read anyway. A further name may
 * go unread while the file has its first one, which does not. */
static bool may_be_written_since_scan(const Task *task, const struct stat *now) {
        if (task->context->ending || (task->item->mirror->type == ENTRY_HARDLINK && now->st_nlink > 1))
                return false;
        return task->item->action == PLAN_STAGE || task->item->action == PLAN_REMOVE;
}

static bool is_in_doubt(const Task *task, const struct stat *now) {
        const Entry *base = task->item->base;

        return base->flags & ENTRY_UNPROVEN || may_be_written_since_scan(task, now) ||
               (fs_nsec(&now->st_ctim) != base->ctime_nsec && !task->context->mirror_watched);
}

/* What a comparison found out about the base's object in the mirror. */
static void note_altered(Task *task, const Entry *mirror) {
        task->entry = *task->item->base;
        if (task->entry.ino != mirror->ino)
                task->entry.flags |= ENTRY_WRITTEN; /* a client has put something else there */
        task->entry.ino = mirror->ino;
        task->entry.mtime_nsec = mirror->mtime_nsec;
        manifest_entry_alter(&task->entry, mirror->ctime_nsec);
        task->outcome = TASK_COMPARED;
}

/* It was agreed, but it has no digest by which it could be proven. */
static bool is_unprovable(const PlanItem *item) {
        return item->base && !(item->base->flags & (ENTRY_RECORD | ENTRY_LINKED | ENTRY_HAS_DIGEST)) &&
               item->base->flags & ENTRY_UNPROVEN;
}

/* From before it is read until it goes. If a process has it open for writing now, that is known before everything is
 * copied in vain. Where it cannot be found out, the task goes on without. */
static bool observe(Task *task) {
        FileIdentity identity = manifest_identity(task->item->mirror);
        struct stat st;
        int r;

        task_let_go(task);
        identity.ctime_nsec = 0; /* another name that came or went has moved it */
        if (tree_access_open_expected(task->context->private_dir->mirrorfd, task->item->mirror->path, &identity,
                                      &task->outgoing, &st) != 0)
                return true; /* which its reading finds out, or its removal */
        r = tree_access_observe(task->outgoing);
        if (r != 0)
                task_let_go(task);
        if (r == TREE_BUSY)
                task->outcome = TASK_BUSY;
        return r != TREE_BUSY;
}

bool task_is_undisturbed(Task *task) {
        if (task->outgoing < 0 || tree_access_keep_out(task->outgoing))
                return true;
        task_let_go(task);
        gone(task);
        return false;
}

void task_let_go(Task *task) {
        task->outgoing = close_fd(task->outgoing);
}

/* A store through a mapping may have come since the version in conflicts/ was written. */
static bool is_as_kept(Task *task) {
        task->what = "read the copy of";
        if (!observe(task) ||
            !read_side(task, task->context->private_dir->mirrorfd, task->item->mirror, true, NULL, &task->found))
                return false;
        task->outcome = TASK_GONE;
        return digest_equal(&task->found, &task->item->kept_digest);
}

/* Names of one file are removed by several workers, and each removal moves the ctime that others read it with. */
enum { READINGS_MAX = 20 };

typedef enum Doubt {
        DOUBT_NONE,    /* it has the base's bytes, or another thing has its name, which its removal finds out */
        DOUBT_TOUCHED, /* its ctime moved while it was read */
        DOUBT_RIGHT,   /* the task has its outcome */
} Doubt;

static Doubt resolve_doubt(Task *task, Entry *now) {
        const PlanItem *item = task->item;
        struct stat st;
        int r;

        task->what = "stat the copy of";
        r = fs_stat_beneath(task->context->private_dir->mirrorfd, item->mirror->path, &st);
        if (r < 0 && r != -ENOENT && r != -ENOTDIR && r != -ELOOP && r != -EXDEV) {
                task_fail(task, r, task->what);
                return DOUBT_RIGHT;
        }
        if (r < 0 || !S_ISREG(st.st_mode) || st.st_ino != item->mirror->ino || !is_in_doubt(task, &st))
                return DOUBT_NONE;
        *now = *item->mirror;
        now->ctime_nsec = fs_nsec(&st.st_ctim);
        task->what = "read the copy of";
        if (!read_side(task, task->context->private_dir->mirrorfd, now, true, NULL, &task->found))
                return task->outcome == TASK_GONE ? DOUBT_TOUCHED : DOUBT_RIGHT;
        task->expected = item->base->digest;
        task->proven = digest_equal(&task->found, &task->expected);
        if (task->proven)
                return DOUBT_NONE;
        note_altered(task, now);
        return DOUBT_RIGHT;
}

bool task_may_replace(Task *task) {
        const PlanItem *item = task->item;
        Entry now;

        if (item->mirror && item->kept_known)
                return is_as_kept(task);
        if (!item->mirror || item->kept || !manifest_entry_is_data(item->mirror) ||
            (!is_agreed(item) && plan_takes_away(item->action) && !is_unprovable(item)))
                return true;
        if (!is_agreed(item) || !pair_is_known(item->in_mirror)) {
                task->outcome = TASK_OCCUPIED;
                return false;
        }
        if (task->context->ending && !(item->base->flags & ENTRY_UNPROVEN) && task->context->mirror_watched)
                return true;
        if (!observe(task))
                return false;
        for (unsigned attempt = 0; attempt < READINGS_MAX; attempt++) {
                Doubt found = resolve_doubt(task, &now);

                if (found != DOUBT_TOUCHED)
                        return found == DOUBT_NONE;
        }
        gone(task);
        return false;
}

/* --- both sides --- */

typedef struct Comparison {
        const Digest *of_base;          /* NULL: none */
        bool has_disk, has_mirror;      /* the digest is known */
        bool writer;                    /* a process has the mirror's open for writing */
        Digest disk, mirror;
} Comparison;

/* Reading both is in vain if they cannot be the same, but one may still be what the base has. */
static bool read_unknown(Task *task, Comparison *c) {
        const Entry *base = task->item->base, *mirror = task->item->mirror;
        bool same_size = task->current.size == mirror->size;

        if (task_digest_on_record(task)) {
                c->disk = *task_digest_on_record(task);
                c->has_disk = true;
        }
        if (is_agreed(task->item) && pair_is_known(task->item->in_mirror) && !(base->flags & ENTRY_UNPROVEN)) {
                /* it is the base's if nothing wrote; a process that may do so is reported when it closes the file */
                c->writer = task->item->in_mirror == PAIR_TOUCHED &&
                            mirror_private_dir_is_busy(task->context->private_dir, mirror);
                c->mirror = base->digest;
                c->has_mirror = true;
        }
        if (!c->has_mirror && (same_size || (c->of_base && mirror->size == base->size))) {
                if (!read_mirror(task, &c->mirror))
                        return false;
                c->has_mirror = true;
        }
        if (!c->has_disk && (same_size || (c->of_base && task->current.size == base->size))) {
                if (!read_source(task, &c->disk))
                        return false;
                c->has_disk = true;
        }
        return true;
}

/* Before it counts as on disk: it may come from a save whose last fsync() failed, or from another process. */
bool task_sync_directory(Task *task) {
        _cleanup_(close_fdp) int parent = -1;
        const char *name;
        int r;

        task->what = "sync the directory of";
        parent = fs_open_parent(task->context->sourcefd, task->current.path, &name);
        r = parent < 0 ? parent : fs_sync_directory(parent);
        if (r < 0 && r != -EROFS)
                task_fail(task, r, task->what);
        return r >= 0 || r == -EROFS;
}

static bool sync_source(Task *task) {
        _cleanup_(close_fdp) int fd = -1;
        int r;

        task->what = "sync";
        fd = fs_open_beneath(task->context->sourcefd, task->current.path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
        r = fd < 0 ? fd : fsync(fd) < 0 && errno != EINVAL && errno != EROFS ? -errno : 0;
        if (r < 0)
                task_fail(task, r, task->what);
        return r >= 0 && task_sync_directory(task);
}

static bool attributes_differ(const Entry *a, const Entry *b) {
        bool owners = geteuid() == 0; /* else all copies are ours */

        return a->mode != b->mode || (owners && (a->uid != b->uid || a->gid != b->gid));
}

/* Sets the attributes of the disk on the copy, if that is still what was seen: a new time must not hide a write. */
static int take_attributes(Task *task) {
        MirrorPrivateDir *private_dir = task->context->private_dir;
        Entry seen;

        if (!task_is_as_seen(task, &seen))
                return -ESTALE;
        return publish_attributes(private_dir, &task->current, &seen, &task->entry, &task->what);
}

/* The disk's time for a client's own copy, which keeps its owner and mode. */
static int take_time(Task *task) {
        const Entry *mirror = task->item->mirror;
        Entry wanted = task->current, seen;

        wanted.uid = mirror->uid;
        wanted.gid = mirror->gid;
        wanted.mode = mirror->mode;
        if (!task_is_as_seen(task, &seen))
                return -ESTALE;
        return publish_attributes(task->context->private_dir, &wanted, &seen, &task->entry, &task->what);
}

/* Without a base, only what came while all of the mirror was watched is certainly not of an earlier run of ours. */
static bool is_own_copy(const Task *task) {
        const Entry *base = task->item->base, *mirror = task->item->mirror;

        if (!base || base->flags & ENTRY_RECORD)
                return task->context->mirror_watched;
        return base->ino != mirror->ino || base->flags & (ENTRY_LINKED | ENTRY_OWN_COPY);
}

/* Both sides have the same bytes. The object that was put into the mirror gets the attributes that the disk has now,
 * unless only a client has changed them, which is to be saved; a client's own copy is agreed with those that it has. */
static void agree(Task *task, const Comparison *c) {
        const Entry *base = task->item->base, *mirror = task->item->mirror;
        bool ours = is_agreed(task->item) && base->ino == mirror->ino;
        bool changed_by_client =
                ours && attributes_differ(mirror, base) && !attributes_differ(&task->current, base);
        int r = 0;

        if (!(ours && pair_is_known(task->item->on_disk)) && !sync_source(task))
                return;
        task->entry = task->current;
        if (ours && !changed_by_client &&
            (attributes_differ(mirror, &task->current) || mirror->mtime_nsec != task->current.mtime_nsec))
                r = take_attributes(task);
        else if (!ours && mirror->mtime_nsec != task->current.mtime_nsec)
                r = take_time(task);
        else {
                task->entry.ino = mirror->ino;
                task->entry.mtime_nsec = mirror->mtime_nsec;
                task->entry.ctime_nsec = mirror->ctime_nsec;
        }
        if (!ours) {
                task->entry.uid = mirror->uid;
                task->entry.gid = mirror->gid;
                task->entry.mode = mirror->mode;
        }
        if (r == -ESTALE || r > 0) {
                gone(task);
                return;
        }
        if (r < 0) {
                task_fail(task, r, task->what);
                return;
        }
        task->outcome = TASK_AGREED;
        task->own_copy = is_own_copy(task);
        task->entry.digest = c->mirror;
        task->entry.flags = (uint16_t) (ENTRY_HAS_DIGEST | (c->writer ? ENTRY_UNPROVEN | ENTRY_WRITTEN : 0));
        manifest_entry_set_disk(&task->entry, &task->current);
        if (ours)
                task->entry.method = base->method;
}

/* Neither has the base's bytes, or there is no base: what is known is only that the two differ. */
static void note_different(Task *task, const Comparison *c) {
        const Entry *mirror = task->item->mirror;

        task->entry = task->current;
        task->entry.ino = mirror->ino;
        task->entry.mtime_nsec = mirror->mtime_nsec;
        task->entry.ctime_nsec = mirror->ctime_nsec;
        task->entry.flags = ENTRY_RECORD | ENTRY_SIDES_DIFFER;
        if (c->has_disk) {
                task->entry.flags |= ENTRY_HAS_DIGEST;
                task->entry.digest = c->disk;
        }
        manifest_entry_set_disk(&task->entry, &task->current);
        task->outcome = TASK_COMPARED;
}

void task_compare(Task *task) {
        const Entry *base = task->item->base, *mirror = task->item->mirror;
        bool published = is_agreed(task->item), disk_same, mirror_same;
        Comparison c = { .of_base = published ? &base->digest : NULL };

        if (!read_unknown(task, &c))
                return;
        task->expected = c.disk;
        task->found = c.mirror;
        if (c.has_disk && c.has_mirror && task->current.size == mirror->size && digest_equal(&c.disk, &c.mirror)) {
                agree(task, &c);
                return;
        }
        disk_same = published && c.has_disk && digest_equal(&c.disk, &base->digest);
        mirror_same = published && c.has_mirror && base->ino == mirror->ino && digest_equal(&c.mirror, &base->digest);
        if (!disk_same && !mirror_same) {
                note_different(task, &c);
                return;
        }
        if (!mirror_same && c.has_mirror)
                note_altered(task, mirror);
        else
                task->entry = *base;
        if (mirror_same) { /* else it would count as other bytes, and be compared again, for ever */
                task->entry.mtime_nsec = mirror->mtime_nsec;
                task->entry.flags &= (uint16_t) ~ENTRY_MIRROR_DIFFERS;
                manifest_entry_prove(&task->entry, mirror->ctime_nsec);
        }
        manifest_entry_set_disk(&task->entry, &task->current);
        task->entry.flags &= (uint16_t) ~(ENTRY_DISK_WRITTEN | ENTRY_DISK_DIFFERS);
        if (!disk_same)
                task->entry.flags |= ENTRY_DISK_DIFFERS;
        task->outcome = TASK_COMPARED;
}
