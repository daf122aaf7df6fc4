/* SPDX-License-Identifier: GPL-2.0-or-later */

/* One pass over the files of a mirror. See mirror/scrub-pass.h. */

#include "mirror/scrub-pass.h"

#include "os/file-digest.h"
#include "os/fs.h"
#include "save/mirror-file.h"

#include <fcntl.h>

/* No memory is so fast, and to convert a double that an integer cannot hold is undefined. */
#define RATE_MAX 1e18
#define RATE_MIN (64 * MIB)
#define SLICE_MIN (64 * KIB)
#define SLICE_MAX (16 * MIB)
#define FILE_COST (64 * KIB) /* opening it, and asking for a lease */

struct ScrubPass {
        Manifest *files, *good;
        size_t next;           /* of the files */
        uint64_t bytes;
        int fd;                /* of the file at hand; -1: none */
        FileDigestVerification *reading; /* of it */
};

void scrub_pass_finding_done(ScrubFinding *finding) {
        manifest_entry_done(&finding->entry);
        *finding = (ScrubFinding){};
}

static bool is_to_be_read(const Entry *entry) {
        return entry->type == ENTRY_FILE && entry->flags & ENTRY_HAS_DIGEST &&
               !(entry->flags & (ENTRY_RECORD | ENTRY_LINKED));
}

int scrub_pass_new(ScrubPass **ret, const Manifest *base) {
        return scrub_pass_new_of(ret, base, NULL);
}

int scrub_pass_new_of(ScrubPass **ret, const Manifest *base, const PathSet *chosen) {
        _cleanup_(scrub_pass_freep) ScrubPass *pass = calloc(1, sizeof(*pass));
        int r;

        if (!pass)
                return -ENOMEM;
        pass->fd = -1;
        r = manifest_new(&pass->files);
        if (r == 0)
                r = manifest_new(&pass->good);
        for (size_t i = 0; r == 0 && i < base->n_entries; i++)
                if (is_to_be_read(&base->entries[i]) && (!chosen || pathset_has(chosen, base->entries[i].path))) {
                        pass->bytes += base->entries[i].size;
                        r = manifest_put(pass->files, &base->entries[i]);
                }
        if (r < 0)
                return r;
        manifest_sort(pass->files);
        *ret = TAKE_PTR(pass);
        return 0;
}

ScrubPass *scrub_pass_free(ScrubPass *pass) {
        if (!pass)
                return NULL;
        scrub_pass_let_go(pass);
        (void) manifest_free(pass->files);
        (void) manifest_free(pass->good);
        free(pass);
        return NULL;
}

size_t scrub_pass_files(const ScrubPass *pass) {
        return pass->files->n_entries;
}

uint64_t scrub_pass_bytes(const ScrubPass *pass) {
        return pass->bytes;
}

void scrub_pass_let_go(ScrubPass *pass) {
        pass->reading = file_digest_verification_free(pass->reading);
        pass->fd = close_fd(pass->fd);
}

Manifest *scrub_pass_take_good(ScrubPass *pass) {
        manifest_sort(pass->good);
        return TAKE_PTR(pass->good);
}

/* 0, or a negative errno: it is not there any more, or is no file. */
static int open_next(ScrubPass *pass, int mirrorfd) {
        const char *path = pass->files->entries[pass->next].path;
        int fd, r;

        if (pass->fd >= 0)
                return 0;
        fd = fs_open_beneath(mirrorfd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
        if (fd < 0)
                return fd;
        r = file_digest_verification_new(&pass->reading, fd);
        if (r < 0)
                (void) close_fd(fd);
        else
                pass->fd = fd;
        return r;
}

/* The bytes are not what they were, or cannot be read. It counts only if the file was neither changed nor replaced,
 * and if no process can write to it now: a store through a mapping may move no time, see mirror/scrub-writers.h. */
static int judge(const Entry *entry, int mirrorfd, ScrubFinding *ret, bool *ret_changed) {
        MirrorFile candidate = { .fd = -1 };
        int r = mirror_file_open(&candidate, mirrorfd, entry);

        if (r == 0) {
                ret->has_links = candidate.st.st_nlink > 1;
                r = manifest_entry_copy(entry, &ret->entry);
                mirror_file_done(&candidate);
                return r < 0 ? r : SCRUB_PASS_FOUND;
        }
        *ret_changed = *ret_changed || r == SAVE_CHANGED || r == SAVE_GONE;
        return r == -ENOMEM ? r : 0;
}

/* The file was read to its end. */
static int compare(ScrubPass *pass, int mirrorfd, ScrubFinding *ret, bool *ret_changed) {
        const Entry *entry = &pass->files->entries[pass->next];
        struct stat st;

        if (fstat(pass->fd, &st) < 0 || !mirror_file_is_same(&st, entry)) {
                *ret_changed = true;
                return 0;
        }
        if (ret->error == 0 && digest_equal(&ret->found, &entry->digest))
                return manifest_put(pass->good, entry);
        return judge(entry, mirrorfd, ret, ret_changed);
}

/* Reads one file, or as much of it as @max allows. 0: the file is done. */
static int read_file(ScrubPass *pass, int mirrorfd, uint64_t max, const FileDigestOptions *options, ScrubFinding *ret,
                     bool *ret_changed) {
        int r = open_next(pass, mirrorfd);

        if (r < 0) {
                *ret_changed = true;
                return r == -ENOMEM ? r : 0;
        }
        r = file_digest_verification_continue(pass->reading, max, options, &ret->found);
        if (r == FILE_DIGEST_MORE)
                return SCRUB_PASS_MORE;
        if (r < 0 && r != -ECANCELED && r != -ENOMEM && r != -ESTALE) {
                ret->error = -r;
                r = 0;
        }
        if (r == -ESTALE)
                *ret_changed = true;
        else if (r == 0)
                r = compare(pass, mirrorfd, ret, ret_changed);
        scrub_pass_let_go(pass);
        return r == -ESTALE ? 0 : r;
}

int scrub_pass_read(ScrubPass *pass, int mirrorfd, uint64_t max, const atomic_bool *cancel, uint64_t *cost,
                    ScrubFinding *ret, bool *ret_changed) {
        atomic_uint_fast64_t done = 0;
        FileDigestOptions options = { .cancel = cancel, .progress = &done };
        uint64_t files = 0, spent = 0;
        ScrubFinding finding = {};
        int r = 0;

        *ret_changed = false;
        while (r == 0 && pass->next < pass->files->n_entries && spent < max) {
                finding = (ScrubFinding){};
                files += pass->fd < 0;
                r = cancel && atomic_load(cancel)
                            ? -ECANCELED
                            : read_file(pass, mirrorfd, max - spent, &options, &finding, ret_changed);
                spent = files * FILE_COST + atomic_load(&done);
                if (r == 0 || r == SCRUB_PASS_FOUND)
                        pass->next++;
        }
        *cost += spent;
        if (r == SCRUB_PASS_FOUND)
                *ret = finding;
        return r == 0 && pass->next < pass->files->n_entries ? SCRUB_PASS_MORE : r;
}

uint64_t scrub_pass_rate(uint64_t bytes, uint64_t span_usec) {
        double rate = (double) bytes * USEC_PER_SEC / (double) MAX(span_usec / 2, (uint64_t) 1);

        return MAX((uint64_t) MIN(rate, RATE_MAX), RATE_MIN);
}

uint64_t scrub_pass_slice(uint64_t rate) {
        return MIN(MAX(rate / 8, SLICE_MIN), SLICE_MAX);
}
