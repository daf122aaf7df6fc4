/* SPDX-License-Identifier: GPL-2.0-or-later */

/* One thing from the mirror to the disk: the kinds of things, and the order of the steps. See save/save.h. */

#include "save/save.h"

#include "layout/structure.h"
#include "os/file-digest.h"
#include "os/fs.h"
#include "save/copy-to-disk.h"
#include "save/mirror-file.h"

#include <fcntl.h>

/* What a save has in hand. The functions below return 0, a negative errno with the step in save->what, or a
 * SaveOutcome that is not SAVE_DONE. */
typedef struct Work {
        Save *save;
        const SaveOptions *options;
        Disk *disk;                /* of the options */
        atomic_uint_fast64_t none; /* progress that nobody wants to know */
        atomic_uint_fast64_t *progress;
        MirrorFile file;           /* of files; .fd is -1 */
        int fd;                    /* of the temporary of a file, -1 */
        char name[DISK_NAME_MAX];  /* of the temporary; empty: there is none */
        Digest digest;
} Work;

static bool is_gone_astray(int error) {
        return error == -ENOENT || error == -ENOTDIR || error == -ELOOP || error == -EXDEV;
}

static bool is_link_or_file(const Entry *entry) {
        return entry->type == ENTRY_FILE || entry->type == ENTRY_HARDLINK;
}

static void drop(Work *work) {
        work->fd = close_fd(work->fd);
        if (*work->name)
                disk_drop(work->disk, work->name);
        *work->name = '\0';
}

/* --- its place on the disk --- */

/* The caller saves directories first: one that is missing was removed since the look, and one that is a link
 * was put there. */
static int check_parent(const Work *work) {
        const char *name;
        _cleanup_(close_fdp) int parent = fs_open_parent(work->disk->rootfd, work->save->mirror->path, &name);

        return parent >= 0 ? 0 : is_gone_astray(parent) ? SAVE_CHANGED : parent;
}

/* On a filesystem that folds case the plan sees nothing at a name that is taken. */
static int explain_occupied(Work *work) {
        Save *save = work->save;
        _cleanup_(close_fdp) int parent = -1;
        const char *name;

        if (save->expected)
                return SAVE_OCCUPIED;
        parent = fs_open_parent(work->disk->rootfd, save->mirror->path, &name);
        if (parent >= 0)
                (void) fs_find_folded(parent, name, &save->text); /* occupied it is in any case */
        return save->text ? SAVE_FOLDED : SAVE_OCCUPIED;
}

/* Before the work, so that it is not done in vain. */
static int check_place(Work *work) {
        int r;

        work->save->what = "look at its place on the disk";
        r = check_parent(work);
        if (r != 0)
                return r;
        r = disk_check_expected(work->disk, work->save->mirror->path, work->save->expected);
        return r == DISK_OCCUPIED ? explain_occupied(work) : r;
}

/* A directory is not exchanged for something else, nor the other way round: what was seen there goes first. */
static int clear_place(Work *work) {
        Save *save = work->save;
        const Entry *m = save->mirror, *expected = save->expected;
        int r;

        if (!expected || (expected->type == ENTRY_DIRECTORY) == (m->type == ENTRY_DIRECTORY))
                return 0;
        if (save->keep && expected->type != ENTRY_DIRECTORY)
                r = disk_set_aside(work->disk, m->path, expected, &save->kept);
        else
                r = disk_remove(work->disk, m->path, expected, true);
        return r == DISK_OCCUPIED ? SAVE_OCCUPIED : r;
}

static int place(Work *work) {
        Save *save = work->save;
        const Entry *expected = save->expected;
        int r;

        save->what = "put it in place on the disk";
        if (save->kind == SAVE_BESIDE)
                r = disk_place_conflict(work->disk, work->name, save->mirror->path, &save->kept);
        else {
                r = clear_place(work);
                if (r != 0)
                        return r;
                if (expected && expected->type == ENTRY_DIRECTORY)
                        expected = NULL;
                r = disk_place(work->disk, work->name, save->mirror->path, expected, save->keep, &save->kept);
                if (r == DISK_OCCUPIED)
                        return explain_occupied(work);
                if (r < 0 && check_parent(work) == SAVE_CHANGED)
                        return SAVE_CHANGED;
        }
        if (r == 0)
                *work->name = '\0';
        return r;
}

/* --- results --- */

static void set_results(Save *save, const struct stat *disk) {
        save->entry = *save->mirror;
        save->entry.flags = 0;
        if (save->kind == SAVE_BESIDE)
                return;
        save->disk = save->entry;
        save->disk.ino = disk->st_ino;
        save->disk.ctime_nsec = fs_nsec(&disk->st_ctim);
        save->disk.mtime_nsec = fs_nsec(&disk->st_mtim);
        save->disk.uid = disk->st_uid;
        save->disk.gid = disk->st_gid;
        if (!S_ISLNK(disk->st_mode))
                save->disk.mode = disk->st_mode & 0777;
}

static void set_digest(Save *save, const Digest *digest) {
        save->entry.digest = *digest;
        save->entry.flags |= ENTRY_HAS_DIGEST;
        if (!save->disk.path)
                return;
        save->disk.digest = *digest;
        save->disk.flags |= ENTRY_HAS_DIGEST;
}

/* With what is at the path on disk. */
static int set_results_by_path(Work *work) {
        Save *save = work->save;
        struct stat disk = {};
        int r;

        save->what = "look at it on the disk";
        r = save->kind == SAVE_BESIDE ? 0 : fs_stat_beneath(work->disk->rootfd, save->mirror->path, &disk);
        if (r < 0)
                return is_gone_astray(r) ? SAVE_CHANGED : r;
        set_results(save, &disk);
        return 0;
}

/* --- files --- */

static int open_original(Work *work) {
        work->save->what = "open it in the mirror";
        return mirror_file_open(&work->file, work->options->mirrorfd, work->save->mirror);
}

static int check_original(Work *work) {
        int r = mirror_file_check(&work->file);

        work->save->what = "look at it in the mirror";
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
        r = check_original(work); /* of what changes under our eyes nothing is said */
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
        r = check_original(work); /* reading back may have taken long */
        if (r == 0)
                r = place(work);
        if (r != 0)
                return r;
        save->what = "look at it on the disk";
        if (fstat(work->fd, &disk) < 0)
                return -errno;
        set_results(save, &disk);
        set_digest(save, &result.digest);
        return 0;
}

/* --- owner, mode and time only --- */

static int carry_attributes(Work *work) {
        Save *save = work->save;
        struct stat disk;
        int r;

        save->what = "set owner, mode and time on the disk";
        r = disk_set_attributes(work->disk, save->mirror, save->expected, work->options->own_owner, &disk);
        if (r != 0)
                return r == DISK_OCCUPIED ? SAVE_OCCUPIED : is_gone_astray(r) ? SAVE_CHANGED : r;
        set_results(save, &disk);
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
                r = check_original(work);
        return r != 0 ? r : digest_equal(&work->digest, agreed) ? 0 : SAVE_CHANGED;
}

/* Of a name that was linked on disk no digest may be on record: there the disk's own bytes count. */
static int check_bytes_on_disk(Work *work) {
        FileDigestOptions options = { .cancel = work->options->cancel, .progress = work->progress };
        Digest disk;
        int r;

        work->save->what = "read it on the disk";
        r = file_digest_at(work->disk->rootfd, work->save->expected->path, &options, &disk);
        if (r < 0)
                return r == -ECANCELED ? SAVE_CANCELLED : r == -ESTALE || is_gone_astray(r) ? SAVE_CHANGED : r;
        return check_bytes(work, &disk);
}

static int save_attributes(Work *work) {
        Save *save = work->save;
        int r;

        if (!save->expected || (save->expected->type == ENTRY_DIRECTORY) != (save->mirror->type == ENTRY_DIRECTORY))
                return SAVE_CHANGED;
        if (save->mirror->type == ENTRY_DIRECTORY)
                return carry_attributes(work);
        r = open_original(work);
        if (r == 0)
                r = save->agreed && save->agreed->flags & ENTRY_HAS_DIGEST ? check_bytes(work, &save->agreed->digest)
                                                                           : check_bytes_on_disk(work);
        if (r == 0)
                r = carry_attributes(work);
        if (r == 0)
                set_digest(save, &work->digest);
        return r;
}

/* On disk the base's bytes still are as they were, and those of the mirror may be the same: touched only. */
static bool may_be_touched_only(const Save *save) {
        const Entry *m = save->mirror, *a = save->agreed, *e = save->expected;

        return save->kind == SAVE_CONTENT && !save->keep && a && e && a->flags & ENTRY_HAS_DIGEST &&
               is_link_or_file(a) && is_link_or_file(e) && a->ino == m->ino && a->size == m->size &&
               e->size == a->size && e->mtime_nsec == a->mtime_nsec;
}

static int save_file(Work *work) {
        Save *save = work->save;
        int r = open_original(work);

        if (r == 0 && save->kind != SAVE_BESIDE)
                r = check_place(work);
        if (r == 0)
                r = check_structure(work);
        if (r == 0 && may_be_touched_only(save)) {
                r = check_bytes(work, &save->agreed->digest);
                if (r == 0) {
                        r = carry_attributes(work);
                        if (r == 0)
                                set_digest(save, &work->digest);
                        return r;
                }
                r = r == SAVE_CHANGED ? check_original(work) : r; /* other bytes, in a file that holds still */
        }
        return r != 0 ? r : copy_file(work);
}

/* --- names of files that are on disk --- */

static int check_mirror(Work *work) {
        const Entry *m = work->save->mirror;
        struct stat st;
        int r;

        work->save->what = "look at it in the mirror";
        r = fs_stat_beneath(work->options->mirrorfd, m->path, &st);
        if (r < 0)
                return r == -ENOENT ? SAVE_GONE : is_gone_astray(r) ? SAVE_CHANGED : r;
        if (m->type == ENTRY_DIRECTORY)
                return S_ISDIR(st.st_mode) ? 0 : SAVE_CHANGED;
        if (m->type == ENTRY_SYMLINK)
                return S_ISLNK(st.st_mode) && st.st_ino == m->ino && fs_nsec(&st.st_ctim) == m->ctime_nsec
                               ? 0
                               : SAVE_CHANGED;
        return mirror_file_is_same(&st, m) ? 0 : SAVE_CHANGED;
}

/* A hard link on disk to @from, which must be @expected there. */
static int save_name(Work *work, const char *from, const Entry *expected) {
        Save *save = work->save;
        int r = check_mirror(work);

        if (r == 0)
                r = check_place(work);
        if (r != 0)
                return r;
        save->what = "link it on the disk";
        r = disk_new_link(work->disk, from, expected, work->name);
        if (r != 0)
                *work->name = '\0';
        if (r == DISK_NO_LINKS) {
                r = save_file(work);
                save->disk.type = ENTRY_FILE;
                save->disk.target = NULL;
                return r;
        }
        if (r == DISK_OCCUPIED || r == -ENOENT || r == -ELOOP)
                return SAVE_CHANGED;
        if (r == 0)
                r = place(work);
        return r != 0 ? r : set_results_by_path(work);
}

/* The first name was saved before, with the mirror's time. */
static int save_hardlink(Work *work) {
        const Entry *m = work->save->mirror;
        Entry first = { .path = m->target, .type = ENTRY_FILE, .size = m->size, .mtime_nsec = m->mtime_nsec };

        return save_name(work, m->target, &first);
}

static int save_linked(Work *work) {
        Save *save = work->save;
        const Entry *from = save->from_expected;
        int r = save_name(work, save->from, from);

        if (r == 0 && !(save->entry.flags & ENTRY_HAS_DIGEST) && from->flags & ENTRY_HAS_DIGEST)
                set_digest(save, &from->digest);
        return r;
}

/* --- the rest --- */

static int save_directory(Work *work) {
        Save *save = work->save;
        int r = check_mirror(work);

        if (r == 0 && save->kind != SAVE_BESIDE) {
                save->what = "make the directory on the disk";
                r = check_parent(work);
                if (r == 0)
                        r = clear_place(work);
                if (r == 0)
                        r = disk_make_directory(work->disk, save->mirror);
                if (r == DISK_OCCUPIED)
                        return explain_occupied(work);
        }
        return r != 0 ? r : set_results_by_path(work);
}

static int save_symlink(Work *work) {
        Save *save = work->save;
        int r = check_mirror(work);

        if (r == 0 && save->kind != SAVE_BESIDE)
                r = check_place(work);
        if (r != 0)
                return r;
        save->what = "find out where it leads";
        r = disk_link_target(work->disk, work->options->mirror_path, save->mirror, &save->target);
        if (r != 0)
                return r == DISK_LEADS_OUT ? SAVE_LEADS_OUT : r;
        save->what = "make the link on the disk";
        r = disk_new_symlink(work->disk, save->mirror, save->target ? save->target : save->mirror->target, work->name);
        if (r < 0) {
                *work->name = '\0';
                return r;
        }
        r = place(work);
        if (r == 0)
                r = set_results_by_path(work);
        if (r == 0 && save->target)
                save->disk.target = save->target;
        return r;
}

static int remove_from_disk(Work *work) {
        Save *save = work->save;
        int r;

        save->what = save->trash ? "move it to the trash" : "remove it from the disk";
        r = disk_remove(work->disk, save->expected->path, save->expected, save->trash);
        return r == DISK_OCCUPIED ? SAVE_OCCUPIED : r;
}

static int save_content(Work *work) {
        switch ((EntryType) work->save->mirror->type) {
        case ENTRY_FILE:
                return save_file(work);
        case ENTRY_HARDLINK:
                return work->save->kind == SAVE_BESIDE ? save_file(work) : save_hardlink(work);
        case ENTRY_DIRECTORY:
                return save_directory(work);
        case ENTRY_SYMLINK:
                return save_symlink(work);
        }
        return SAVE_CHANGED;
}

static int run(Work *work) {
        switch (work->save->kind) {
        case SAVE_CONTENT:
        case SAVE_BESIDE:
                return save_content(work);
        case SAVE_ATTRIBUTES:
                return save_attributes(work);
        case SAVE_LINKED:
                return save_linked(work);
        case SAVE_REMOVAL:
                return remove_from_disk(work);
        }
        return -EINVAL;
}

void save_run(Save *save, const SaveOptions *options) {
        Work work = { .save = save,
                      .options = options,
                      .disk = options->disk,
                      .progress = options->progress,
                      .file.fd = -1,
                      .fd = -1 };
        int r;

        assert(save->kind == SAVE_REMOVAL ? save->expected != NULL : save->mirror != NULL);
        save_done(save); /* of an earlier attempt */
        save->bytes = 0;
        save->gone = false;
        if (!work.progress)
                work.progress = &work.none;
        r = options->cancel && atomic_load(options->cancel) ? SAVE_CANCELLED : run(&work);
        drop(&work);
        mirror_file_done(&work.file);
        save->outcome = r >= 0 ? (SaveOutcome) r : r == -ENOSPC || r == -EDQUOT ? SAVE_NO_ROOM : SAVE_FAILED;
        save->error = r < 0 ? -r : 0;
}

void save_done(Save *save) {
        free(save->text);
        free(save->target);
        free(save->kept);
        save->text = save->target = save->kept = NULL;
}
