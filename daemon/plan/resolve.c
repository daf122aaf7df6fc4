/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What the names of an operator stand for. See plan/resolve.h. */

#include "plan/resolve.h"

#include "base/path.h"
#include "base/strv.h"
#include "layout/layout.h"
#include "layout/model-name.h"
#include "layout/references.h"
#include "os/fs.h"
#include "tree/scan.h"

#include <fcntl.h>

enum { LINKS_MAX = 8, TREES = 2 };

typedef struct Asked {
        const ResolveInput *input;
        const Manifest *trees[TREES]; /* source and mirror */
        ResolvedNames *answer;
} Asked;

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

static const Entry *find(const Asked *asked, const char *path) {
        const Entry *e = manifest_find(asked->trees[0], path);

        return e ? e : manifest_find(asked->trees[1], path);
}

/* ---- names ---- */

/* In a plain tree a link stands for what it leads to, which is what takes RAM. */
static int add_root(const Asked *asked, const char *path) {
        _cleanup_(freep) char *at = strdup(path);

        for (unsigned i = 0; at && i < LINKS_MAX; i++) {
                const Entry *e = find(asked, at);
                char *next = NULL;
                int r;

                if (!e || e->type != ENTRY_SYMLINK || asked->input->kind != LAYOUT_PLAIN)
                        break;
                r = path_resolve_link("/", e->path, e->target, &next);
                if (r == -ENOMEM)
                        return r;
                if (r < 0 || !find(asked, next)) {
                        free(next);
                        break; /* it leads nowhere, or to the disk */
                }
                free(at);
                at = next;
        }
        return at ? pathset_add(&asked->answer->roots, at) : -ENOMEM;
}

/* A path is a path; else it is the name of models. */
static int find_name(const Asked *asked, const char *name, bool *ret_found) {
        int r = 0;

        *ret_found = find(asked, name) != NULL;
        if (*ret_found)
                return add_root(asked, name);
        for (unsigned t = 0; t < TREES; t++)
                for (size_t i = 0; r == 0 && i < asked->trees[t]->n_entries; i++)
                        if (model_name_matches(asked->input->kind, name, &asked->trees[t]->entries[i])) {
                                *ret_found = true;
                                r = add_root(asked, asked->trees[t]->entries[i].path);
                        }
        return r;
}

static int find_names(const Asked *asked, char *const *names) {
        int r = strv_copy(NULL, &asked->answer->unknown);

        for (; r == 0 && *names; names++) {
                _cleanup_(freep) char *name = strdup(*names);
                bool found;

                if (!name)
                        return -ENOMEM;
                while (*name && name[strlen(name) - 1] == '/')
                        name[strlen(name) - 1] = '\0';
                r = find_name(asked, name, &found);
                if (r == 0 && !found) {
                        char *copy = strdup(*names);

                        r = copy ? strv_take(&asked->answer->unknown, copy) : -ENOMEM;
                }
        }
        pathset_sort(&asked->answer->roots);
        return r;
}

/* ---- what belongs together: the shards of a model, the names of a file ---- */

static int set_key(const Entry *entry, char **ret) {
        const char *tail;
        size_t n = layout_set(entry->path, &tail);

        *ret = NULL;
        if (entry->type == ENTRY_DIRECTORY || *tail == '\0')
                return 0;
        return asprintf(ret, "%.*s\n%s", (int) n, entry->path, tail) < 0 ? -ENOMEM : 0;
}

/* Names of one file go by the first of them. */
static int link_key(const Entry *entry, char **ret) {
        *ret = NULL;
        if (entry->type != ENTRY_FILE && entry->type != ENTRY_HARDLINK)
                return 0;
        *ret = strdup(entry->type == ENTRY_HARDLINK ? entry->target : entry->path);
        return *ret ? 0 : -ENOMEM;
}

static int complete(const Asked *asked, int (*key_of)(const Entry *entry, char **ret)) {
        PathSet *roots = &asked->answer->roots, keys = {};
        size_t n = roots->n;
        int r = 0;

        for (unsigned pass = 0; pass < 2; pass++) {
                for (unsigned t = 0; t < TREES; t++)
                        for (size_t i = 0; r == 0 && i < asked->trees[t]->n_entries; i++) {
                                const Entry *e = &asked->trees[t]->entries[i];
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

static int add_references(const Asked *asked, unsigned tree, const Entry *entry) {
        int fd = tree == 0 ? asked->input->sourcefd : asked->input->mirrorfd;
        References references;
        const char *text;
        int r;

        if (fd < 0)
                return 0;
        r = references_read(asked->input->kind, fd, asked->trees[tree], entry->path, &references, &text);
        if (r != 0)
                return r == -ENOMEM ? r : 0; /* what cannot be understood names nothing */
        for (size_t i = 0; r == 0 && i < references.n; i++) {
                const Entry *named = find(asked, references.items[i].path);

                if (named && named->type != ENTRY_DIRECTORY)
                        r = pathset_add(&asked->answer->concerned, references.items[i].path);
        }
        reference_list_done(&references);
        return r;
}

static bool names_others(const Asked *asked, const Entry *entry) {
        LayoutKind kind = asked->input->kind;
        LayoutRole role = layout_role(kind, entry->path);

        if (kind == LAYOUT_OLLAMA)
                return role == LAYOUT_POINTER && !layout_may_link(kind, entry->path);
        return kind == LAYOUT_HUGGINGFACE && entry->type == ENTRY_SYMLINK && role == LAYOUT_LINK;
}

static int gather(const Asked *asked) {
        int r = 0;

        for (unsigned t = 0; t < TREES; t++)
                for (size_t i = 0; r == 0 && i < asked->trees[t]->n_entries; i++) {
                        const Entry *e = &asked->trees[t]->entries[i];

                        if (e->type == ENTRY_DIRECTORY || !pathset_covers(&asked->answer->roots, e->path))
                                continue;
                        r = pathset_add(&asked->answer->concerned, e->path);
                        if (r == 0 && names_others(asked, e))
                                r = add_references(asked, t, e);
                }
        pathset_sort(&asked->answer->concerned);
        return r;
}

static int find_busy(const Asked *asked) {
        const PathSet *concerned = &asked->answer->concerned;

        for (size_t i = 0; asked->input->mirrorfd >= 0 && i < concerned->n; i++) {
                const Entry *e = manifest_find(asked->trees[1], concerned->items[i]);
                _cleanup_(close_fdp) int fd = -1;

                if (!e || (e->type != ENTRY_FILE && e->type != ENTRY_HARDLINK))
                        continue;
                fd = fs_open_beneath(asked->input->mirrorfd, e->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
                if (fd < 0 || !fs_is_being_written(fd))
                        continue;
                asked->answer->busy = strdup(e->path);
                return asked->answer->busy ? 0 : -ENOMEM;
        }
        return 0;
}

int resolve_names(const OverrideRequest *request, const ResolveInput *input, ResolvedNames *ret) {
        ResolvedNames answer = { .id = request->id };
        Asked asked = { .input = input, .trees = { input->source, input->mirror }, .answer = &answer };
        int r = find_names(&asked, request->names);

        if (r == 0)
                r = complete(&asked, set_key);
        if (r == 0)
                r = complete(&asked, link_key);
        if (r == 0)
                r = gather(&asked);
        if (r == 0)
                r = find_busy(&asked);
        if (r < 0)
                resolve_answer_done(&answer);
        else
                *ret = answer;
        return r;
}
