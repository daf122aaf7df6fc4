/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The content of a file, or its owner, mode and time only. See save/save.h. */

#include "save/save-internal.h"

#include "layout/structure.h"
#include "os/file-digest.h"
#include "os/fs.h"
#include "plan/pair.h"
#include "save/copy-to-disk.h"

#include <fcntl.h>

static int open_file(Work *work) {
        int r;

        work->save->what = "open it in the mirror";
        r = mirror_file_open(&work->file, work->options->mirrorfd, work->save->mirror);
        return r == 0 ? mirror_file_observe(&work->file) : r;
}

static int check_file(Work *work) {
        int r = mirror_file_check(&work->file);

        work->save->what = "stat it in the mirror";
        work->save->gone = work->file.st.st_nlink == 0;
        return r;
}

static int check_structure(Work *work) {
        Save *save = work->save;
        int r;

        if (save->anyway || save->claim.kind != CLAIM_NONE)
                return 0;
        save->what = "read its header";
        r = structure_check(work->file.fd, save->mirror->path, save->mirror->size, &save->text);
        if (r != STRUCTURE_BAD)
                return r;
        r = check_file(work); /* a file that is just being changed is not reported as bad */
        return r != 0 ? r : SAVE_BAD;
}

static int copy_file(Work *work) {
        Save *save = work->save;
        CopyToDiskOptions options = { .disk = work->disk, .claim = &save->claim, .own_owner = work->options->own_owner,
                                    .cancel = work->options->cancel, .progress = work->progress };
        CopyToDiskResult result = { .fd = -1 };
        struct stat disk;
        int r = copy_to_disk(&work->file, &options, &result, &save->bytes, &save->text, &save->what);

        if (r != 0)
                return r;
        work->fd = result.fd;
        memcpy(work->name, result.name, sizeof(work->name));
        r = check_file(work); /* reading back may have taken long */
        if (r == 0)
                r = save_place(work);
        if (r != 0)
                return r;
        save->what = "stat it on the disk";
        if (fstat(work->fd, &disk) < 0)
                return -errno;
        save_set_results(save, &disk, disk_keeps_inodes(work->disk));
        save_set_digest(save, &result.digest);
        return 0;
}

int save_check_unaltered(Work *work, const Digest *known) {
        FileDigestOptions options = { .cancel = work->options->cancel, .progress = work->progress };
        const Entry *expected = work->save->expected;
        FileIdentity seen, there;
        struct stat st;
        Digest found;
        int r;

        if (!expected || !manifest_entry_is_data(expected) ||
            fs_stat_beneath(work->disk->rootfd, expected->path, &st) < 0)
                return 0;
        seen = manifest_identity(expected);
        there = identity_of(&st);
        if (identity_compare(&seen, &there) != IDENTITY_TOUCHED) /* if it is something else, that is found out next */
                return 0;
        if (!known)
                return SAVE_CHANGED;
        work->save->what = "read it on the disk";
        r = file_digest_at(work->disk->rootfd, expected->path, &options, &found);
        if (r < 0)
                return r == -ECANCELED ? SAVE_CANCELLED : r == -ESTALE || save_is_gone_astray(r) ? SAVE_CHANGED : r;
        return digest_equal(&found, known) ? 0 : SAVE_CHANGED;
}

/* --- owner, mode and time only --- */

/* Of a file whose bytes have .digest. */
static int carry_attributes(Work *work) {
        Save *save = work->save;
        struct stat disk;
        int r = save_check_unaltered(work, &work->digest);

        if (r != 0)
                return r;
        save->what = "set owner, mode and time on the disk";
        r = disk_set_attributes(work->disk, save->mirror, save->expected, work->options->own_owner, &disk);
        if (r != 0)
                return r == DISK_OCCUPIED ? SAVE_OCCUPIED : save_is_gone_astray(r) ? SAVE_CHANGED : r;
        save_set_results(save, &disk, disk_keeps_inodes(work->disk));
        return 0;
}

/* Whether the mirror's file has these bytes: SAVE_CHANGED if not. */
static int check_bytes(Work *work, const Digest *agreed) {
        FileDigestOptions options = { .cancel = work->options->cancel, .progress = work->progress };
        int r;

        work->save->what = "read it";
        r = file_digest_of(work->file.fd, &options, &work->digest);
        if (r == -ECANCELED)
                return SAVE_CANCELLED;
        if (r == 0 || r == -ESTALE)
                r = check_file(work);
        return r != 0 ? r : digest_equal(&work->digest, agreed) ? 0 : SAVE_CHANGED;
}

/* There may be no digest on record for a further name that was linked on disk: then the disk's own bytes count. */
static int check_bytes_on_disk(Work *work) {
        FileDigestOptions options = { .cancel = work->options->cancel, .progress = work->progress };
        Digest disk;
        int r;

        work->save->what = "read it on the disk";
        r = file_digest_at(work->disk->rootfd, work->save->expected->path, &options, &disk);
        if (r < 0)
                return r == -ECANCELED ? SAVE_CANCELLED : r == -ESTALE || save_is_gone_astray(r) ? SAVE_CHANGED : r;
        return check_bytes(work, &disk);
}

int save_attributes(Work *work) {
        Save *save = work->save;
        int r;

        if (!save->expected || (save->expected->type == ENTRY_DIRECTORY) != (save->mirror->type == ENTRY_DIRECTORY))
                return SAVE_CHANGED;
        if (save->mirror->type == ENTRY_DIRECTORY)
                return carry_attributes(work);
        r = open_file(work);
        if (r == 0)
                r = save->agreed && save->agreed->flags & ENTRY_HAS_DIGEST ? check_bytes(work, &save->agreed->digest)
                                                                           : check_bytes_on_disk(work);
        if (r == 0)
                r = carry_attributes(work);
        if (r == 0)
                save_set_digest(save, &work->digest);
        return r;
}

/* --- bytes that are on disk already --- */

static bool has_size_of(const Entry *entry, uint64_t size) {
        return entry && manifest_entry_is_data(entry) && entry->size == size;
}

/* The disk still has what the base says, and the mirror may have it too. Where a link to the disk stood in the mirror,
 * the base need not know the bytes. */
static bool may_be_agreed(const Save *save) {
        const Entry *m = save->mirror, *a = save->agreed, *e = save->expected;

        if (save->kind != SAVE_CONTENT || save->keep || !a || !has_size_of(a, m->size) || !has_size_of(e, m->size))
                return false;
        return a->flags & ENTRY_HAS_DIGEST ? pair_is_known(pair_disk(a, e, true)) : (a->flags & ENTRY_LINKED) != 0;
}

static bool is_as_expected(const struct stat *st, const Entry *expected) {
        return S_ISREG(st->st_mode) && (uint64_t) st->st_size == expected->size &&
               fs_nsec(&st->st_mtim) == expected->mtime_nsec && fs_nsec(&st->st_ctim) == expected->ctime_nsec &&
               (expected->ino == 0 || st->st_ino == expected->ino);
}

/* What is on disk need not be there for good: it may come from a save whose last fsync() failed, or from another
 * process. */
static int sync_on_disk(Work *work, struct stat *ret) {
        const Entry *expected = work->save->expected;
        _cleanup_(close_fdp) int fd = -1, parent = -1;
        const char *name;
        int r;

        work->save->what = "sync it on the disk";
        fd = fs_open_beneath(work->disk->rootfd, expected->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
        if (fd < 0)
                return save_is_gone_astray(fd) ? SAVE_CHANGED : fd;
        if ((fsync(fd) < 0 && errno != EINVAL) || fstat(fd, ret) < 0)
                return -errno;
        if (!is_as_expected(ret, expected))
                return SAVE_CHANGED;
        work->save->what = "sync its directory on the disk";
        parent = fs_open_parent(work->disk->rootfd, expected->path, &name);
        r = parent < 0 ? parent : fs_sync_directory(parent);
        return save_is_gone_astray(r) ? SAVE_CHANGED : r;
}

static bool has_attributes_of_disk(const Work *work) {
        const Entry *m = work->save->mirror, *e = work->save->expected;

        return m->mode == e->mode && (work->options->own_owner || (m->uid == e->uid && m->gid == e->gid));
}

/* The bytes are on disk. Owner and mode belong to the object that was put into the mirror: those of another one, such
 * as a client's own copy, are not carried over. */
static int agree(Work *work) {
        Save *save = work->save;
        struct stat disk;
        int r;

        if (save->agreed && save->agreed->ino == save->mirror->ino && !save->keep)
                r = carry_attributes(work);
        else {
                r = sync_on_disk(work, &disk);
                if (r == 0)
                        save_set_results(save, &disk, disk_keeps_inodes(work->disk));
                if (r == 0 && !save->keep && has_attributes_of_disk(work)) /* but for the time, which gives no right */
                        r = carry_attributes(work);
        }
        if (r == 0)
                save_set_digest(save, &work->digest);
        save->found = r == 0;
        return r;
}

/* Both sides have changed, or nobody knows from what. Equal bytes are no conflict (*ret_agreed), and where the disk
 * still has the bytes of the base it has not changed. */
static int settle_conflict(Work *work, bool *ret_agreed) {
        Save *save = work->save;
        FileDigestOptions options = { .cancel = work->options->cancel, .progress = work->progress };
        bool same_size = has_size_of(save->expected, save->mirror->size);
        bool may_be_base = save->agreed && save->agreed->flags & ENTRY_HAS_DIGEST && save->expected &&
                           has_size_of(save->expected, save->agreed->size);
        Digest disk;
        int r;

        if (!save->keep || (!same_size && !may_be_base))
                return 0;
        save->what = "read it on the disk";
        r = file_digest_at(work->disk->rootfd, save->expected->path, &options, &disk);
        if (r < 0)
                return r == -ECANCELED ? SAVE_CANCELLED : r == -ESTALE || save_is_gone_astray(r) ? SAVE_CHANGED : r;
        r = disk_check_expected(work->disk, save->expected->path, save->expected);
        if (r != 0)
                return r == DISK_OCCUPIED ? SAVE_OCCUPIED : r;
        if (same_size) {
                r = check_bytes(work, &disk);
                if (r == 0) {
                        *ret_agreed = true;
                        save->kind = SAVE_CONTENT; /* it has its name: nothing is beside it */
                        return agree(work);
                }
                r = r == SAVE_CHANGED ? check_file(work) : r; /* other bytes, if the file holds still */
                if (r != 0)
                        return r;
        }
        if (may_be_base && digest_equal(&disk, &save->agreed->digest)) {
                save->keep_unless_agreed = true; /* a change that comes now may leave the same times */
                save->kind = SAVE_CONTENT;
        }
        return 0;
}

/* What was replaced had the bytes that both sides had agreed on when it was read; if it has them now that it is out of
 * the way, nothing is lost with it. */
static void drop_agreed(Work *work) {
        FileDigestOptions options = { .cancel = work->options->cancel, .progress = work->progress };
        Save *save = work->save;
        Digest kept;

        if (!save->kept || file_digest_at(work->disk->rootfd, save->kept, &options, &kept) < 0 ||
            !digest_equal(&kept, &save->agreed->digest) || disk_drop_kept(work->disk, save->kept) < 0)
                return;
        free(save->kept);
        save->kept = NULL;
}

/* A file that the scan did not list: it is not selected, or its name looks unfinished there. */
static bool find_unlisted(Work *work, Entry *ret) {
        struct stat st;

        if (fs_stat_beneath(work->disk->rootfd, work->save->mirror->path, &st) < 0 || !S_ISREG(st.st_mode))
                return false;
        *ret = (Entry){ .path = work->save->mirror->path, .type = ENTRY_FILE, .size = (uint64_t) st.st_size,
                        .ino = disk_keeps_inodes(work->disk) ? st.st_ino : 0, .dev = (uint32_t) st.st_dev,
                        .mtime_nsec = fs_nsec(&st.st_mtim), .ctime_nsec = fs_nsec(&st.st_ctim), .uid = st.st_uid,
                        .gid = st.st_gid, .mode = fs_mode(&st),
                        .flags = disk_keeps_inodes(work->disk) ? 0 : ENTRY_NO_INODE };
        return true;
}

/* The name is taken on the disk. If by what the base has there, that gives way; if by the same bytes, as of a save
 * after which we were killed, both sides agree (*ret_agreed). */
static int settle_unlisted(Work *work, bool *ret_agreed) {
        Save *save = work->save;
        const Entry *a = save->agreed;
        int r;

        if (save->expected || !find_unlisted(work, &save->unlisted))
                return SAVE_OCCUPIED;
        save->expected = &save->unlisted;
        if (a && !(a->flags & (ENTRY_RECORD | ENTRY_LINKED)) && pair_is_known(pair_disk(a, save->expected, true)))
                return 0;
        r = has_size_of(save->expected, save->mirror->size) ? check_bytes_on_disk(work) : SAVE_CHANGED;
        if (r == 0) {
                *ret_agreed = true;
                return agree(work);
        }
        save->expected = NULL;
        r = r == SAVE_CHANGED ? check_file(work) : r;
        return r == 0 ? SAVE_OCCUPIED : r;
}

/* 0, or SAVE_OCCUPIED for other bytes. */
static int check_origin_on_disk(Work *work) {
        FileDigestOptions options = { .cancel = work->options->cancel, .progress = work->progress };
        Digest disk;
        int r;

        work->save->what = "read it on the disk";
        r = file_digest_at(work->disk->rootfd, work->save->from, &options, &disk);
        if (r < 0)
                return r == -ECANCELED ? SAVE_CANCELLED : r == -ESTALE || save_is_gone_astray(r) ? SAVE_CHANGED : r;
        return digest_equal(&disk, &work->save->from_expected->digest) ? 0 : SAVE_OCCUPIED;
}

int save_check_origin(Work *work) {
        Save *save = work->save;
        const Entry *from = save->from_expected;
        bool other = false;
        int r = 0;

        if (from->flags & ENTRY_UNPROVEN) {
                r = open_file(work);
                if (r == 0)
                        r = check_bytes(work, &from->digest);
                if (r == SAVE_CHANGED && work->file.fd >= 0) {
                        r = check_file(work); /* other bytes, if the file holds still */
                        other = r == 0;
                }
                mirror_file_done(&work->file);
        }
        if (r == 0 && !other && from->flags & ENTRY_RACY) {
                r = check_origin_on_disk(work);
                other = r == SAVE_OCCUPIED;
        }
        if (other)
                save->kind = SAVE_CONTENT;
        return other ? 0 : r;
}

int save_file(Work *work) {
        Save *save = work->save;
        bool agreed = false;
        int r = open_file(work);

        if (r == 0)
                r = settle_conflict(work, &agreed);
        if (agreed)
                return r;
        if (r == 0 && save->kind != SAVE_BESIDE)
                r = save_check_place(work);
        if (r == SAVE_OCCUPIED)
                r = settle_unlisted(work, &agreed);
        if (agreed)
                return r;
        if (r == 0)
                r = check_structure(work);
        if (r == 0 && may_be_agreed(save)) {
                r = save->agreed->flags & ENTRY_HAS_DIGEST ? check_bytes(work, &save->agreed->digest)
                                                           : check_bytes_on_disk(work);
                if (r == 0)
                        return agree(work);
                r = r == SAVE_CHANGED ? check_file(work) : r; /* other bytes, if the file holds still */
        }
        if (r == 0)
                r = copy_file(work);
        if (r == 0 && save->keep_unless_agreed)
                drop_agreed(work);
        return r;
}
