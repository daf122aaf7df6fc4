/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The content of a file, or its owner, mode and time only. See save/save.h. */

#include "save/save-internal.h"

#include "layout/structure.h"
#include "os/file-digest.h"
#include "os/fs.h"
#include "save/copy-to-disk.h"

static int open_file(Work *work) {
        work->save->what = "open it in the mirror";
        return mirror_file_open(&work->file, work->options->mirrorfd, work->save->mirror);
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
        save_set_results(save, &disk);
        save_set_digest(save, &result.digest);
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
                return r == DISK_OCCUPIED ? SAVE_OCCUPIED : save_is_gone_astray(r) ? SAVE_CHANGED : r;
        save_set_results(save, &disk);
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

/* The disk still has the bytes of the base, and the mirror may have them too, with another time only. */
static bool may_be_touched_only(const Save *save) {
        const Entry *m = save->mirror, *a = save->agreed, *e = save->expected;

        return save->kind == SAVE_CONTENT && !save->keep && a && e && a->flags & ENTRY_HAS_DIGEST &&
               manifest_entry_is_data(a) && manifest_entry_is_data(e) && a->ino == m->ino && a->size == m->size &&
               e->size == a->size && e->mtime_nsec == a->mtime_nsec;
}

int save_file(Work *work) {
        Save *save = work->save;
        int r = open_file(work);

        if (r == 0 && save->kind != SAVE_BESIDE)
                r = save_check_place(work);
        if (r == 0)
                r = check_structure(work);
        if (r == 0 && may_be_touched_only(save)) {
                r = check_bytes(work, &save->agreed->digest);
                if (r == 0) {
                        r = carry_attributes(work);
                        if (r == 0)
                                save_set_digest(save, &work->digest);
                        return r;
                }
                r = r == SAVE_CHANGED ? check_file(work) : r; /* other bytes, if the file holds still */
        }
        return r != 0 ? r : copy_file(work);
}
