/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What an operator wants of one mirror. See plan/overrides.h. */

#include "plan/overrides.h"

#include "base/strv.h"

static void acceptance_done(Acceptance *acceptance) {
        free(acceptance->path);
}

static void request_done(WishRequest *request) {
        strv_free(request->names);
}

void wishes_done(Wishes *wishes) {
        pathset_done(&wishes->released);
        pathset_done(&wishes->wanted);
        pathset_done(&wishes->in_effect);
        for (size_t i = 0; i < wishes->n_acceptances; i++)
                acceptance_done(&wishes->acceptances[i]);
        for (size_t i = 0; i < wishes->n_requests; i++)
                request_done(&wishes->requests[i]);
        free(wishes->acceptances);
        free(wishes->requests);
        (void) manifest_free(wishes->doomed);
        *wishes = (Wishes){};
}

static int add_request(Wishes *wishes, uint64_t id, char *const *names) {
        WishRequest request = { .id = id }, *grown;
        int r = strv_copy(names, &request.names);

        if (r < 0)
                return r;
        grown = reallocarray(wishes->requests, wishes->n_requests + 1, sizeof(WishRequest));
        if (!grown) {
                request_done(&request);
                return -ENOMEM;
        }
        wishes->requests = grown;
        wishes->requests[wishes->n_requests++] = request;
        return 0;
}

static int copy_doomed(const Manifest *from, Manifest **ret) {
        _cleanup_(manifest_freep) Manifest *copy = NULL;
        int r = manifest_new(&copy);

        for (size_t i = 0; r == 0 && i < from->n_entries; i++)
                r = manifest_put(copy, &from->entries[i]);
        if (r < 0)
                return r;
        manifest_sort(copy);
        *ret = TAKE_PTR(copy);
        return 0;
}

int wishes_copy(const Wishes *from, Wishes *to) {
        Wishes copy = { .last_id = from->last_id };
        int r = pathset_copy(&from->released, &copy.released);

        if (r == 0)
                r = pathset_copy(&from->wanted, &copy.wanted);
        for (size_t i = 0; r == 0 && i < from->n_acceptances; i++)
                r = wishes_accept(&copy, from->acceptances[i].kind, &from->acceptances[i]);
        for (size_t i = 0; r == 0 && i < from->n_requests; i++)
                r = add_request(&copy, from->requests[i].id, from->requests[i].names);
        if (r == 0 && from->doomed)
                r = copy_doomed(from->doomed, &copy.doomed);
        if (r < 0)
                wishes_done(&copy);
        else
                *to = copy;
        return r;
}

/* ---- released and wanted ---- */

Wish wishes_of(const Wishes *wishes, const char *path) {
        _cleanup_(freep) char *part = wishes->released.n + wishes->wanted.n > 0 ? strdup(path) : NULL;

        while (part) {
                char *slash;

                if (pathset_has(&wishes->released, part))
                        return WISH_RELEASED;
                if (pathset_has(&wishes->wanted, part))
                        return WISH_WANTED;
                slash = strrchr(part, '/');
                if (!slash)
                        break;
                *slash = '\0';
        }
        return WISH_NONE;
}

bool wishes_want_below(const Wishes *wishes, const char *directory) {
        size_t n = strlen(directory);

        for (size_t i = 0; i < wishes->wanted.n; i++)
                if (strncmp(wishes->wanted.items[i], directory, n) == 0 && wishes->wanted.items[i][n] == '/')
                        return true;
        return false;
}

static int say(PathSet *set, PathSet *other, const char *path) {
        int r = pathset_add(set, path);

        if (r < 0)
                return r;
        pathset_drop(other, path);
        pathset_sort(set);
        return 0;
}

int wishes_release(Wishes *wishes, const char *path) {
        return say(&wishes->released, &wishes->wanted, path);
}

int wishes_want(Wishes *wishes, const char *path) {
        return say(&wishes->wanted, &wishes->released, path);
}

void wishes_forget(Wishes *wishes, const char *path) {
        pathset_drop(&wishes->released, path);
        pathset_drop(&wishes->wanted, path);
}

/* ---- past a guard ---- */

static void drop_acceptance(Wishes *wishes, size_t index) {
        acceptance_done(&wishes->acceptances[index]);
        wishes->acceptances[index] = wishes->acceptances[--wishes->n_acceptances];
}

int wishes_accept(Wishes *wishes, AcceptKind kind, const Acceptance *file) {
        Acceptance copy = *file, *grown;

        copy.kind = kind;
        copy.path = strdup(file->path);
        if (!copy.path)
                return -ENOMEM;
        grown = reallocarray(wishes->acceptances, wishes->n_acceptances + 1, sizeof(Acceptance));
        if (!grown) {
                acceptance_done(&copy);
                return -ENOMEM;
        }
        wishes->acceptances = grown;
        for (size_t i = 0; i < wishes->n_acceptances; i++)
                if (grown[i].kind == kind && strcmp(grown[i].path, copy.path) == 0) {
                        drop_acceptance(wishes, i);
                        break;
                }
        wishes->acceptances[wishes->n_acceptances++] = copy;
        return 0;
}

bool wishes_accepts(const Wishes *wishes, AcceptKind kind, const Entry *source) {
        for (size_t i = 0; i < wishes->n_acceptances; i++) {
                const Acceptance *a = &wishes->acceptances[i];

                if (a->kind == kind && strcmp(a->path, source->path) == 0)
                        return a->size == source->size && a->ino == source->ino && a->mtime_nsec == source->mtime_nsec && a->ctime_nsec == source->ctime_nsec;
        }
        return false;
}

void wishes_end_acceptance(Wishes *wishes, const char *path) {
        for (size_t i = wishes->n_acceptances; i-- > 0;)
                if (strcmp(wishes->acceptances[i].path, path) == 0)
                        drop_acceptance(wishes, i);
}

int wishes_doom(Wishes *wishes, const Entry *source) {
        int r = wishes->doomed ? 0 : manifest_new(&wishes->doomed);

        return r == 0 ? manifest_put(wishes->doomed, source) : r;
}

void wishes_sort(Wishes *wishes) {
        if (wishes->doomed)
                manifest_sort(wishes->doomed);
}

bool wishes_is_doomed(const Wishes *wishes, const Entry *source) {
        const Entry *doomed = wishes->doomed ? manifest_find(wishes->doomed, source->path) : NULL;

        return doomed && doomed->type == source->type && doomed->ino == source->ino &&
               (source->type == ENTRY_DIRECTORY || (doomed->size == source->size && doomed->mtime_nsec == source->mtime_nsec));
}

/* ---- requests ---- */

uint64_t wishes_request(Wishes *wishes, char *const *names) {
        uint64_t id = wishes->last_id + 1;

        if (add_request(wishes, id, names) < 0)
                return 0;
        wishes->last_id = id;
        return id;
}

void wishes_end_request(Wishes *wishes, uint64_t id) {
        for (size_t i = 0; i < wishes->n_requests; i++)
                if (wishes->requests[i].id == id) {
                        request_done(&wishes->requests[i]);
                        wishes->requests[i] = wishes->requests[--wishes->n_requests];
                        return;
                }
}

/* ---- for who tells of it ---- */

bool wishes_is_released(const Wishes *wishes, const char *path) {
        return pathset_has(&wishes->in_effect, path);
}

size_t wishes_n_released(const Wishes *wishes) {
        return wishes->in_effect.n;
}
