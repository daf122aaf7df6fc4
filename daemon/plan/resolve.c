/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Resolves the names of an operator. See plan/resolve.h. */

#include "plan/resolve.h"

#include "base/path.h"
#include "base/strv.h"
#include "base/text.h"
#include "layout/layout.h"
#include "layout/model-name.h"
#include "layout/references.h"
#include "os/fs.h"
#include "os/tree-access.h"
#include "tree/scan.h"

#include <fcntl.h>

enum { LINKS_MAX = 8, TREES = 2 };

typedef struct Resolution {
        const ResolveInput *input;
        const Manifest *trees[TREES]; /* source and mirror */
        ResolvedNames *answer;
} Resolution;

void resolve_answer_done(ResolvedNames *answer) {
        answer->unknown = strv_free(answer->unknown);
        pathset_done(&answer->roots);
        pathset_done(&answer->concerned);
        free(answer->busy);
        *answer = (ResolvedNames){};
}

bool resolve_has_path(const Overrides *overrides, const char *path) {
        for (size_t i = 0; i < overrides->n_requests; i++)
                for (char **name = overrides->requests[i].names; *name; name++)
                        if (path_is_below(path, *name))
                                return true;
        return false;
}

static const Entry *find(const Resolution *resolution, const char *path) {
        const Entry *e = manifest_find(resolution->trees[0], path);

        return e ? e : manifest_find(resolution->trees[1], path);
}

/* ---- names ---- */

/* In a plain tree a link means what it leads to, because that is what takes RAM. */
static int add_root(const Resolution *resolution, const char *path) {
        _cleanup_(freep) char *at = strdup(path);

        for (unsigned i = 0; at && i < LINKS_MAX; i++) {
                const Entry *e = find(resolution, at);
                char *next = NULL;
                int r;

                if (!e || e->type != ENTRY_SYMLINK || resolution->input->kind != LAYOUT_PLAIN)
                        break;
                r = path_resolve_link("/", e->path, e->target, &next);
                if (r == -ENOMEM)
                        return r;
                if (r < 0 || !find(resolution, next)) {
                        free(next);
                        break; /* it leads nowhere, or to the disk */
                }
                free(at);
                at = next;
        }
        return at ? pathset_add(&resolution->answer->roots, at) : -ENOMEM;
}

/* The name is a path, or else matches models. */
static int find_name(const Resolution *resolution, const char *name, bool *ret_found) {
        int r = 0;

        *ret_found = find(resolution, name) != NULL;
        if (*ret_found)
                return add_root(resolution, name);
        for (unsigned t = 0; t < TREES; t++)
                for (size_t i = 0; r == 0 && i < resolution->trees[t]->n_entries; i++)
                        if (model_name_matches(resolution->input->kind, name, &resolution->trees[t]->entries[i])) {
                                *ret_found = true;
                                r = add_root(resolution, resolution->trees[t]->entries[i].path);
                        }
        return r;
}

static int find_names(const Resolution *resolution, char *const *names) {
        int r = strv_copy(NULL, &resolution->answer->unknown);

        for (; r == 0 && *names; names++) {
                _cleanup_(freep) char *name = strdup(*names);
                bool found;

                if (!name)
                        return -ENOMEM;
                while (*name && name[strlen(name) - 1] == '/')
                        name[strlen(name) - 1] = '\0';
                r = find_name(resolution, name, &found);
                if (r == 0 && !found) {
                        char *copy = strdup(*names);

                        r = copy ? strv_take(&resolution->answer->unknown, copy) : -ENOMEM;
                }
        }
        pathset_sort(&resolution->answer->roots);
        return r;
}

/* ---- what belongs together: the shards of a model, the names of a file ---- */

static int set_key(const Entry *entry, char **ret) {
        const char *tail;
        size_t n = layout_set(entry->path, &tail);

        *ret = NULL;
        if (entry->type == ENTRY_DIRECTORY || *tail == '\0')
                return 0;
        *ret = text_format("%.*s\n%s", (int) n, entry->path, tail);
        return *ret ? 0 : -ENOMEM;
}

/* All names of a file have its first one as their key. */
static int link_key(const Entry *entry, char **ret) {
        *ret = NULL;
        if (!manifest_entry_is_data(entry))
                return 0;
        *ret = strdup(entry->type == ENTRY_HARDLINK ? entry->target : entry->path);
        return *ret ? 0 : -ENOMEM;
}

/* Adds everything that has the same key as something there. */
static int complete(const Resolution *resolution, int (*key_of)(const Entry *entry, char **ret)) {
        PathSet *roots = &resolution->answer->roots, keys = {};
        size_t n = roots->n;
        int r = 0;

        for (unsigned pass = 0; pass < 2; pass++) {
                for (unsigned t = 0; t < TREES; t++)
                        for (size_t i = 0; r == 0 && i < resolution->trees[t]->n_entries; i++) {
                                const Entry *e = &resolution->trees[t]->entries[i];
                                const PathSet known = { .items = roots->items, .n = n };
                                _cleanup_(freep) char *key = NULL;
                                bool covered = pathset_covers(&known, e->path);

                                if (covered == (pass == 1) || key_of(e, &key) < 0 || !key)
                                        continue;
                                if (pass == 0)
                                        r = pathset_add(&keys, key);
                                else if (pathset_has(&keys, key))
                                        r = pathset_add(roots, e->path);
                        }
                pathset_sort(&keys);
        }
        pathset_done(&keys);
        pathset_sort(roots);
        return r;
}

/* ---- what is concerned ---- */

static int add_references(const Resolution *resolution, unsigned tree, const Entry *entry) {
        int fd = tree == 0 ? resolution->input->sourcefd : resolution->input->mirrorfd;
        References references;
        const char *text;
        int r;

        if (fd < 0)
                return 0;
        r = references_read(resolution->input->kind, fd, resolution->trees[tree], entry->path, &references, &text);
        if (r != 0)
                return r == -ENOMEM ? r : 0; /* what cannot be understood references nothing */
        for (size_t i = 0; r == 0 && i < references.n; i++) {
                const Entry *named = find(resolution, references.items[i].path);

                if (named && named->type != ENTRY_DIRECTORY)
                        r = pathset_add(&resolution->answer->concerned, references.items[i].path);
        }
        reference_list_done(&references);
        return r;
}

static bool references_others(const Resolution *resolution, const Entry *entry) {
        LayoutKind kind = resolution->input->kind;
        LayoutRole role = layout_role(kind, entry->path);

        if (kind == LAYOUT_OLLAMA)
                return role == LAYOUT_POINTER && !layout_may_link(kind, entry->path);
        return kind == LAYOUT_HUGGINGFACE && entry->type == ENTRY_SYMLINK && role == LAYOUT_LINK;
}

static int gather(const Resolution *resolution) {
        int r = 0;

        for (unsigned t = 0; t < TREES; t++)
                for (size_t i = 0; r == 0 && i < resolution->trees[t]->n_entries; i++) {
                        const Entry *e = &resolution->trees[t]->entries[i];

                        if (e->type == ENTRY_DIRECTORY || !pathset_covers(&resolution->answer->roots, e->path))
                                continue;
                        r = pathset_add(&resolution->answer->concerned, e->path);
                        if (r == 0 && references_others(resolution, e))
                                r = add_references(resolution, t, e);
                }
        pathset_sort(&resolution->answer->concerned);
        return r;
}

static int find_busy(const Resolution *resolution) {
        const PathSet *concerned = &resolution->answer->concerned;

        for (size_t i = 0; resolution->input->mirrorfd >= 0 && i < concerned->n; i++) {
                const Entry *e = manifest_find(resolution->trees[1], concerned->items[i]);
                _cleanup_(close_fdp) int fd = -1;

                if (!e || !manifest_entry_is_data(e))
                        continue;
                fd = fs_open_beneath(resolution->input->mirrorfd, e->path,
                                     O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
                if (fd < 0 || !tree_access_is_being_written(fd))
                        continue;
                resolution->answer->busy = strdup(e->path);
                return resolution->answer->busy ? 0 : -ENOMEM;
        }
        return 0;
}

int resolve_names(const OverrideRequest *request, const ResolveInput *input, ResolvedNames *ret) {
        ResolvedNames answer = { .id = request->id };
        Resolution resolution = { .input = input, .trees = { input->source, input->mirror }, .answer = &answer };
        int r = find_names(&resolution, request->names);

        if (r == 0)
                r = complete(&resolution, set_key);
        if (r == 0)
                r = complete(&resolution, link_key);
        if (r == 0)
                r = gather(&resolution);
        if (r == 0)
                r = find_busy(&resolution);
        if (r < 0)
                resolve_answer_done(&answer);
        else
                *ret = answer;
        return r;
}
