/* SPDX-License-Identifier: GPL-2.0-or-later */

/* One thing from the mirror to the disk: what is done with which kind of thing. See save/save.h. */

#include "save/save-internal.h"

#include "os/file-digest.h"
#include "os/fs.h"

#include <fcntl.h>

static void drop(Work *work) {
        work->fd = close_fd(work->fd);
        if (*work->name)
                disk_drop(work->disk, work->name);
        *work->name = '\0';
}

/* --- its place on the disk --- */

/* The caller saves directories first: one that is missing was removed since the scan, and one that is a link was put
 * there since. */
static int check_parent(const Work *work) {
        const char *name;
        _cleanup_(close_fdp) int parent = fs_open_parent(work->disk->rootfd, work->save->mirror->path, &name);

        return parent >= 0 ? 0 : save_is_gone_astray(parent) ? SAVE_CHANGED : parent;
}

/* A filesystem that folds case has the name, though the plan saw nothing there. */
static int explain_occupied(Work *work) {
        Save *save = work->save;
        _cleanup_(close_fdp) int parent = -1;
        const char *name;

        if (save->expected)
                return SAVE_OCCUPIED;
        parent = fs_open_parent(work->disk->rootfd, save->mirror->path, &name);
        if (parent >= 0)
                (void) fs_find_folded(parent, name, &save->text); /* if that fails it is still occupied */
        return save->text ? SAVE_FOLDED : SAVE_OCCUPIED;
}

int save_check_place(Work *work) {
        int r;

        work->save->what = "check its path on the disk";
        r = check_parent(work);
        if (r != 0)
                return r;
        r = disk_check_expected(work->disk, work->save->mirror->path, work->save->expected);
        return r == DISK_OCCUPIED ? explain_occupied(work) : r;
}

/* A directory is not exchanged for something else, nor the other way round: what was seen there is removed first. */
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

int save_place(Work *work) {
        Save *save = work->save;
        const Entry *expected = save->expected;
        int r;

        save->what = "put it in place on the disk";
        if (save->kind == SAVE_BESIDE)
                r = disk_place_conflict(work->disk, work->name, save->mirror->path, &save->kept);
        else {
                r = clear_place(work);
                if (r == 0 && !save->keep)
                        r = save_check_unaltered(work, save_agreed_digest(save));
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

void save_set_results(Save *save, const struct stat *disk, bool keeps_inodes) {
        save->entry = *save->mirror;
        save->entry.flags = 0;
        if (save->kind == SAVE_BESIDE)
                return;
        save->disk = save->entry;
        save->disk.ino = keeps_inodes ? disk->st_ino : 0;
        save->disk.dev = (uint32_t) disk->st_dev;
        /* where times are whole seconds, another change may come that does not show */
        save->disk.flags = (uint16_t) ((disk->st_ctim.tv_nsec == 0 && S_ISREG(disk->st_mode) ? ENTRY_RACY : 0) |
                                       (keeps_inodes ? 0 : ENTRY_NO_INODE));
        save->disk.ctime_nsec = fs_nsec(&disk->st_ctim);
        save->disk.mtime_nsec = fs_nsec(&disk->st_mtim);
        save->disk.uid = disk->st_uid;
        save->disk.gid = disk->st_gid;
        if (!S_ISLNK(disk->st_mode))
                save->disk.mode = fs_mode(disk);
}

void save_set_digest(Save *save, const Digest *digest) {
        save->entry.digest = *digest;
        save->entry.flags |= ENTRY_HAS_DIGEST;
        if (!save->disk.path)
                return;
        save->disk.digest = *digest;
        save->disk.flags |= ENTRY_HAS_DIGEST;
}

/* From what is at its path on disk. */
static int set_results_by_path(Work *work) {
        Save *save = work->save;
        struct stat disk = {};
        int r;

        save->what = "stat it on the disk";
        r = save->kind == SAVE_BESIDE ? 0 : fs_stat_beneath(work->disk->rootfd, save->mirror->path, &disk);
        if (r < 0)
                return save_is_gone_astray(r) ? SAVE_CHANGED : r;
        save_set_results(save, &disk, disk_keeps_inodes(work->disk));
        return 0;
}

/* --- names of files that are on disk --- */

static int check_mirror(Work *work) {
        const Entry *m = work->save->mirror;
        struct stat st;
        int r;

        work->save->what = "stat it in the mirror";
        r = fs_stat_beneath(work->options->mirrorfd, m->path, &st);
        if (r < 0)
                return r == -ENOENT ? SAVE_GONE : save_is_gone_astray(r) ? SAVE_CHANGED : r;
        if (m->type == ENTRY_DIRECTORY)
                return S_ISDIR(st.st_mode) ? 0 : SAVE_CHANGED;
        if (m->type == ENTRY_SYMLINK)
                return S_ISLNK(st.st_mode) && st.st_ino == m->ino && fs_nsec(&st.st_ctim) == m->ctime_nsec
                               ? 0
                               : SAVE_CHANGED;
        return mirror_file_is_same(&st, m) ? 0 : SAVE_CHANGED;
}

static int save_own_file(Work *work) {
        int r = save_file(work);

        work->save->disk.type = ENTRY_FILE;
        work->save->disk.target = NULL;
        return r;
}

/* A hard link on disk to @from, which must be @expected there. */
static int save_name(Work *work, const char *from, const Entry *expected) {
        Save *save = work->save;
        int r = check_mirror(work);

        if (r == 0)
                r = save_check_place(work);
        if (r != 0)
                return r;
        save->what = "hard-link it on the disk";
        r = disk_new_link(work->disk, from, expected, work->name);
        if (r != 0)
                *work->name = '\0';
        if (r == DISK_NO_LINKS)
                return save_own_file(work);
        if (r == DISK_OCCUPIED || r == -ENOENT || r == -ELOOP)
                return SAVE_CHANGED;
        if (r == 0)
                r = save_place(work);
        return r != 0 ? r : set_results_by_path(work);
}

/* True if the first name is on disk, and it is still to be found out what it is there. */
static bool is_first_in_doubt(const Work *work) {
        struct stat st;

        return work->save->first_in_doubt ||
               (work->save->first.ctime_nsec == 0 &&
                fs_stat_beneath(work->disk->rootfd, work->save->mirror->target, &st) == 0);
}

/* Its ctime alone has moved, as another link or a chmod moves it, or a write that had its time put back: then its bytes
 * decide. 0, positive if it has other ones, or a negative errno. */
static int is_first_altered(Work *work) {
        const Save *save = work->save;
        FileDigestOptions options = { .cancel = work->options->cancel, .progress = work->progress };
        FileIdentity there, known = { .ino = save->first.ino, .size = save->mirror->size, .type = S_IFREG,
                                      .mtime_nsec = save->first.mtime_nsec, .ctime_nsec = save->first.ctime_nsec };
        Digest found;
        struct stat st;
        int r = fs_stat_beneath(work->disk->rootfd, save->mirror->target, &st);

        if (r < 0)
                return 0; /* which is found out next, as if something else is there */
        there = identity_of(&st);
        if (identity_compare(&known, &there) != IDENTITY_TOUCHED)
                return 0;
        if (!save->first_has_digest)
                return 1;
        r = file_digest_at(work->disk->rootfd, save->mirror->target, &options, &found);
        return r < 0 ? r : !digest_equal(&found, &save->first_digest);
}

/* At a stop there is no time to find it out: then the bytes are saved, and the names are not tied. */
static int save_hardlink(Work *work) {
        const Entry *m = work->save->mirror;
        const DiskObject *known = &work->save->first;
        Entry first = { .path = m->target, .type = ENTRY_FILE, .size = m->size, .ino = known->ino,
                        .mtime_nsec = known->mtime_nsec };

        int r;

        if (is_first_in_doubt(work))
                return work->save->anyway ? save_own_file(work) : SAVE_CHANGED;
        if (known->ctime_nsec == 0)
                return save_own_file(work);
        work->save->what = "read its first name on the disk";
        r = is_first_altered(work);
        if (r < 0)
                return r == -ECANCELED ? SAVE_CANCELLED : r == -ESTALE || save_is_gone_astray(r) ? SAVE_CHANGED : r;
        r = r == 0 ? save_name(work, m->target, &first) : save_own_file(work);
        return r == SAVE_CHANGED && work->save->anyway ? save_own_file(work) : r;
}

static int save_linked(Work *work) {
        Save *save = work->save;
        const Entry *from = save->from_expected;
        int r = save_check_origin(work);

        if (r != 0 || save->kind == SAVE_CONTENT)
                return r != 0 ? r : save_file(work);
        r = save_name(work, save->from, from);
        if (r == 0 && !(save->entry.flags & ENTRY_HAS_DIGEST) && from->flags & ENTRY_HAS_DIGEST)
                save_set_digest(save, &from->digest);
        return r;
}

/* --- the rest --- */

static int save_directory(Work *work) {
        Save *save = work->save;
        int r = check_mirror(work);

        if (r == 0 && save->kind != SAVE_BESIDE) {
                save->what = "create the directory on the disk";
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
                r = save_check_place(work);
        if (r != 0)
                return r;
        save->what = "read the target of the link";
        r = disk_link_target(work->disk, work->options->mirror_path, save->mirror, &save->target);
        if (r != 0)
                return r == DISK_LEADS_OUT ? SAVE_LEADS_OUT : r;
        save->what = "create the symbolic link on the disk";
        r = disk_new_symlink(work->disk, save->mirror, save->target ? save->target : save->mirror->target, work->name);
        if (r < 0) {
                *work->name = '\0';
                return r;
        }
        r = save_place(work);
        if (r == 0)
                r = set_results_by_path(work);
        if (r == 0 && save->target)
                save->disk.target = save->target;
        return r;
}

static int remove_from_disk(Work *work) {
        Save *save = work->save;
        int r = save_check_unaltered(work, save_agreed_digest(save)); /* other bytes are not what was deleted */

        if (r != 0)
                return r;
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

/* It went from the mirror while it was saved. A scan may have seen that already, so it has to be told. */
static bool has_gone(const Work *work) {
        const Entry *mirror = work->save->mirror;
        struct stat st;

        return mirror && save_is_gone_astray(fs_stat_beneath(work->options->mirrorfd, mirror->path, &st));
}

void save_run(Save *save, const SaveOptions *options) {
        Work work = { .save = save, .options = options, .disk = options->disk, .progress = options->progress,
                      .file.fd = -1, .fd = -1 };
        int r;

        assert(save->kind == SAVE_REMOVAL ? save->expected != NULL : save->mirror != NULL);
        save_done(save); /* of an earlier attempt */
        save->bytes = 0;
        save->gone = save->found = false;
        if (!work.progress)
                work.progress = &work.ignored;
        r = options->cancel && atomic_load(options->cancel) ? SAVE_CANCELLED : run(&work);
        if (r == 0 && has_gone(&work))
                save->gone = true;
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
