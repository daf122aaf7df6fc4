/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What a mirror knows about its single files and models. See mirror/inventory.h. */

#include "mirror/inventory.h"

#include "base/path.h"
#include "base/strv.h"
#include "base/text.h"
#include "tree/scan.h"

#include <limits.h>

/* Links that are followed one after the other, as a kernel would. */
enum { LINKS_MAX = 8 };

/* ---- files ---- */

/* Links and directories only if they are out of the ordinary: there are many, and usually they are as ready as what
 * they lead to or hold. */
static bool is_worth_a_row(const FileRow *row) {
        static const bool ordinary[_FILE_STATE_MAX] = {
                [FILE_STAGED] = true, [FILE_WAITING] = true, [FILE_LINKED] = true,
                [FILE_DISK] = true, [FILE_SKIPPED] = true, [FILE_RELEASED] = true,
        };

        return !ordinary[row->file.state] || row->type == ENTRY_FILE || row->type == ENTRY_HARDLINK;
}

int inventory_files(const Mirror *mirror, const char *after, size_t max,
                    int (*each)(const InventoryFile *file, void *userdata), void *userdata) {
        FileRowWalk walk;
        FileRow row;
        size_t n = 0;
        int r = 0;

        file_row_walk_init(&walk, mirror);
        if (after)
                file_row_walk_seek(&walk, after);
        while (r == 0 && n < MIN(max, (size_t) INT_MAX) && file_row_walk_next(&walk, &row)) {
                if (!is_worth_a_row(&row) || (after && strcmp(row.file.path, after) == 0))
                        continue;
                n++;
                r = each(&row.file, userdata);
        }
        return r < 0 ? r : (int) n;
}

/* ---- what is below a path, and where it leads ---- */

/* What some files come to together. */
typedef struct Sum {
        FileState state;        /* the worst */
        const char *reason;     /* of the first in that state */
        uint64_t size, ram_bytes;
        size_t n_files, n_ready;
        size_t n_rows, n_usable; /* links and directories too */
        size_t n_missing;        /* rows that stand for something which is not there */
        /* the first row that will never be usable, and that is not usable yet; NULL */
        const char *never, *never_why, *pending, *pending_why;
} Sum;

/* The state of a model is that of its file with the highest weight. */
static unsigned weight(FileState state) {
        static const unsigned weights[_FILE_STATE_MAX] = {
                [FILE_STAGED] = 0,    [FILE_DISK] = 1,     [FILE_LINKED] = 2,   [FILE_CHANGED] = 3,
                [FILE_UNSAVED] = 4,   [FILE_SAVING] = 5,   [FILE_RELEASED] = 6, [FILE_WAITING] = 7,
                [FILE_DELETING] = 8,  [FILE_SKIPPED] = 9, [FILE_REJECTED] = 10, [FILE_DAMAGED] = 11,
                [FILE_WITHHELD] = 12,
        };

        return weights[state];
}

static void add_row(Sum *sum, const FileRow *row) {
        bool data = row->type == ENTRY_FILE || row->type == ENTRY_HARDLINK;

        sum->n_rows++;
        sum->n_usable += row->usable;
        if (data) {
                sum->n_files++;
                sum->n_ready += row->usable;
                sum->size += row->file.size;
                sum->ram_bytes += row->file.in_ram ? row->file.size : 0;
        }
        if ((data || !row->usable) && weight(row->file.state) > weight(sum->state)) {
                sum->state = row->file.state;
                sum->reason = row->file.reason;
        }
        if (!row->usable && !row->pending && !sum->never) {
                sum->never = row->file.path;
                sum->never_why = row->file.reason;
        }
        if (!row->usable && row->pending && !sum->pending) {
                sum->pending = row->file.path;
                sum->pending_why = row->file.reason;
        }
}

static int add_path(FileRowWalk *walk, const char *path, unsigned links, bool below, Sum *sum);

/* Adds what the link at a path leads to, if that is not below @top anyway. */
static int add_target(FileRowWalk *walk, const char *path, const char *target, const char *top, unsigned links,
                      Sum *sum) {
        _cleanup_(freep) char *to = NULL;
        int r = links > 0 && *target != '/' ? path_resolve_link("/", path, target, &to) : -EXDEV;

        if (r == -ENOMEM)
                return r;
        if (r < 0 || *to == '\0' || path_is_below(to, top))
                return 0;
        return add_path(walk, to, links - 1, true, sum);
}

/* Adds what is in a directory, without what nothing needs. */
static int add_below(FileRowWalk *walk, const char *path, unsigned links, Sum *sum) {
        _cleanup_(freep) char *prefix = text_format("%s/", path);
        FileRow row;
        size_t n;
        int r = 0;

        if (!prefix)
                return -ENOMEM;
        n = strlen(prefix);
        for (file_row_walk_seek(walk, prefix);
             r == 0 && file_row_walk_next(walk, &row) && strncmp(row.file.path, prefix, n) == 0;) {
                FileRowWalk here = *walk;

                if (row.unneeded)
                        continue;
                add_row(sum, &row);
                if (row.target && row.usable)
                        r = add_target(&here, row.file.path, row.target, path, links, sum);
        }
        return r;
}

/* @below: it may be a directory. */
static int add_path(FileRowWalk *walk, const char *path, unsigned links, bool below, Sum *sum) {
        FileRow row;
        int r = 0;

        file_row_walk_seek(walk, path);
        if (file_row_walk_next(walk, &row) && strcmp(row.file.path, path) == 0) {
                add_row(sum, &row);
                if (row.target && row.usable)
                        r = add_target(walk, path, row.target, path, links, sum);
                below = row.type == ENTRY_DIRECTORY || row.type == ENTRY_SYMLINK;
        }
        return r == 0 && below ? add_below(walk, path, links, sum) : r;
}

/* ---- models ---- */

/* A manifest may name a file that is nowhere. */
static int add_part(FileRowWalk *walk, const char *path, unsigned links, Sum *sum) {
        FileRow missing = { .file = { .path = path,
                                      .state = FILE_WITHHELD, .reason = "neither on disk nor in the mirror" } };
        size_t before = sum->n_rows;
        int r = add_path(walk, path, links, true, sum);

        if (r == 0 && sum->n_rows == before) {
                add_row(sum, &missing);
                sum->n_missing++;
        }
        return r;
}

int inventory_models(const Mirror *mirror, int (*each)(const InventoryModel *model, void *userdata), void *userdata) {
        const Models *models = mirror_state_models(mirror);
        FileRowWalk walk;
        int r = 0, n = 0;

        file_row_walk_init(&walk, mirror);
        for (size_t i = 0; r == 0 && walk.base && models && i < models_count(models) && n < INT_MAX; i++) {
                InventoryModel model = { .name = models_name(models, i) };
                Sum sum = {};

                for (size_t k = 0; r == 0 && k < models_n_paths(models, i); k++)
                        r = add_part(&walk, models_path(models, i, k), 0, &sum);
                if (r < 0 || sum.n_rows == sum.n_missing)
                        continue; /* it was deleted since the scan */
                model.state = sum.state;
                model.reason = sum.reason;
                model.size = sum.size;
                model.ram_bytes = sum.ram_bytes;
                model.n_files = sum.n_files;
                model.n_ready = sum.n_ready;
                n++;
                r = each(&model, userdata);
        }
        return r < 0 ? r : n;
}

static int count_if_whole(const InventoryModel *model, void *userdata) {
        size_t *n = userdata;

        *n += model->n_files > 0 && model->n_ready == model->n_files && model->ram_bytes == model->size;
        return 0;
}

size_t inventory_count_models(const Mirror *mirror) {
        size_t n = 0;

        return inventory_models(mirror, count_if_whole, &n) < 0 ? 0 : n;
}

/* ---- readiness ---- */

/* A path, or else a model. Then *ret_paths has its paths: the sum borrows from them the names of what is missing. */
static int add_name(FileRowWalk *walk, const char *name, Sum *sum, char ***ret_paths) {
        const Models *models = mirror_state_models(walk->mirror);
        char **paths;
        int r = add_path(walk, name, LINKS_MAX, true, sum);

        if (r < 0 || sum->n_rows > 0 || !models)
                return r;
        r = models_find(models, name, &paths);
        if (r > 0)
                *ret_paths = paths;
        for (size_t i = 0; r > 0 && paths[i]; i++)
                if (add_part(walk, paths[i], LINKS_MAX, sum) < 0)
                        r = -ENOMEM;
        if (sum->n_rows == sum->n_missing)
                *sum = (Sum){}; /* it was deleted since the scan */
        return MIN(r, 0);
}

/* No file or model is known by that name. */
static Readiness judge_unknown(const FileRowWalk *walk, char **ret_reason) {
        const Mirror *m = walk->mirror;

        if (m->phase >= PHASE_REMOVING) {
                *ret_reason = text_format("the mirror '%s' %s%s%s", m->config.name,
                                          m->phase == PHASE_FAILED ? "has failed" : "is being removed",
                                          m->problem ? ": " : "", m->problem ? m->problem : "");
                return READINESS_NEVER;
        }
        if (walk->source)
                return READINESS_UNKNOWN;
        *ret_reason = text_format("the source '%s' has not been read yet", m->config.source);
        return READINESS_PENDING;
}

Readiness inventory_readiness(const Mirror *mirror, const char *name, char **ret_reason) {
        FileRowWalk walk;
        _cleanup_(strv_freep) char **paths = NULL;
        Sum sum = {};
        char path[TEXT_PATH_MAX];

        *ret_reason = NULL;
        file_row_walk_init(&walk, mirror);
        if (add_name(&walk, name, &sum, &paths) < 0) {
                *ret_reason = text_format("out of memory");
                return READINESS_PENDING;
        }
        if (sum.n_rows == 0)
                return judge_unknown(&walk, ret_reason);
        if (sum.never) {
                *ret_reason = text_format("'%s': %s", text_path(path, sum.never),
                                          sum.never_why ? sum.never_why : "not in the mirror");
                return READINESS_NEVER;
        }
        if (!sum.pending)
                return READINESS_READY;
        *ret_reason = text_format("'%s': %s (%zu of %zu files ready)", text_path(path, sum.pending),
                                  sum.pending_why ? sum.pending_why : "not staged yet", sum.n_ready, sum.n_files);
        return READINESS_PENDING;
}
