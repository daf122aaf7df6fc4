/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What an operator asked for beyond the configuration. See plan/overrides.h. */

#include "plan/overrides.h"

#include "base/array.h"
#include "base/path.h"
#include "base/strv.h"

static void acceptance_done(Acceptance *acceptance) {
        free(acceptance->path);
}

static void request_done(OverrideRequest *request) {
        strv_free(request->names);
}

void overrides_done(Overrides *overrides) {
        pathset_done(&overrides->released);
        pathset_done(&overrides->wanted);
        pathset_done(&overrides->in_effect);
        for (size_t i = 0; i < overrides->n_acceptances; i++)
                acceptance_done(&overrides->acceptances[i]);
        for (size_t i = 0; i < overrides->n_requests; i++)
                request_done(&overrides->requests[i]);
        free(overrides->acceptances);
        free(overrides->requests);
        (void) manifest_free(overrides->marked_deleted);
        *overrides = (Overrides){};
}

static int add_request(Overrides *overrides, uint64_t id, char *const *names) {
        OverrideRequest request = { .id = id };
        int r = strv_copy(names, &request.names);

        if (r < 0)
                return r;
        if (ARRAY_ROOM(overrides->requests, overrides->n_requests) < 0) {
                request_done(&request);
                return -ENOMEM;
        }
        overrides->requests[overrides->n_requests++] = request;
        return 0;
}

int overrides_copy(const Overrides *from, Overrides *to) {
        Overrides copy = { .last_id = from->last_id };
        int r = pathset_copy(&from->released, &copy.released);

        if (r == 0)
                r = pathset_copy(&from->wanted, &copy.wanted);
        for (size_t i = 0; r == 0 && i < from->n_acceptances; i++)
                r = overrides_accept(&copy, from->acceptances[i].kind, &from->acceptances[i]);
        for (size_t i = 0; r == 0 && i < from->n_requests; i++)
                r = add_request(&copy, from->requests[i].id, from->requests[i].names);
        if (r == 0 && from->marked_deleted)
                r = manifest_copy(from->marked_deleted, &copy.marked_deleted);
        if (r < 0)
                overrides_done(&copy);
        else
                *to = copy;
        return r;
}

/* ---- released and wanted ---- */

Override overrides_get(const Overrides *overrides, const char *path) {
        _cleanup_(freep) char *part = overrides->released.n + overrides->wanted.n > 0 ? strdup(path) : NULL;

        while (part) {
                char *slash;

                if (pathset_has(&overrides->released, part))
                        return OVERRIDE_RELEASED;
                if (pathset_has(&overrides->wanted, part))
                        return OVERRIDE_STAGED;
                slash = strrchr(part, '/');
                if (!slash)
                        break;
                *slash = '\0';
        }
        return OVERRIDE_NONE;
}

bool overrides_stages_below(const Overrides *overrides, const char *directory) {
        for (size_t i = 0; i < overrides->wanted.n; i++) {
                const char *below = path_below(overrides->wanted.items[i], directory);

                if (below && *below)
                        return true;
        }
        return false;
}

static int set_override(PathSet *set, PathSet *other, const char *path) {
        int r = pathset_insert(set, path);

        if (r == 0)
                pathset_drop(other, path);
        return r;
}

int overrides_release(Overrides *overrides, const char *path) {
        return set_override(&overrides->released, &overrides->wanted, path);
}

int overrides_stage(Overrides *overrides, const char *path) {
        return set_override(&overrides->wanted, &overrides->released, path);
}

void overrides_forget(Overrides *overrides, const char *path) {
        pathset_drop(&overrides->released, path);
        pathset_drop(&overrides->wanted, path);
}

/* ---- safety checks that were overridden ---- */

static void drop_acceptance(Overrides *overrides, size_t index) {
        acceptance_done(&overrides->acceptances[index]);
        overrides->acceptances[index] = overrides->acceptances[--overrides->n_acceptances];
}

int overrides_accept(Overrides *overrides, AcceptKind kind, const Acceptance *file) {
        Acceptance copy = *file;

        copy.kind = kind;
        copy.path = strdup(file->path);
        if (!copy.path)
                return -ENOMEM;
        if (ARRAY_ROOM(overrides->acceptances, overrides->n_acceptances) < 0) {
                acceptance_done(&copy);
                return -ENOMEM;
        }
        for (size_t i = 0; i < overrides->n_acceptances; i++)
                if (overrides->acceptances[i].kind == kind && strcmp(overrides->acceptances[i].path, copy.path) == 0) {
                        drop_acceptance(overrides, i);
                        break;
                }
        overrides->acceptances[overrides->n_acceptances++] = copy;
        return 0;
}

bool overrides_accepts(const Overrides *overrides, AcceptKind kind, const Entry *source) {
        for (size_t i = 0; i < overrides->n_acceptances; i++) {
                const Acceptance *a = &overrides->acceptances[i];

                if (a->kind == kind && strcmp(a->path, source->path) == 0)
                        return a->size == source->size && a->ino == source->ino &&
                               a->mtime_nsec == source->mtime_nsec && a->ctime_nsec == source->ctime_nsec;
        }
        return false;
}

void overrides_end_acceptance(Overrides *overrides, const char *path) {
        for (size_t i = overrides->n_acceptances; i-- > 0;)
                if (strcmp(overrides->acceptances[i].path, path) == 0)
                        drop_acceptance(overrides, i);
}

int overrides_mark_deleted(Overrides *overrides, const Entry *source) {
        int r = overrides->marked_deleted ? 0 : manifest_new(&overrides->marked_deleted);

        return r == 0 ? manifest_put(overrides->marked_deleted, source) : r;
}

void overrides_sort(Overrides *overrides) {
        if (overrides->marked_deleted)
                manifest_sort(overrides->marked_deleted);
}

bool overrides_is_marked_deleted(const Overrides *overrides, const Entry *source) {
        const Entry *marked_deleted =
                overrides->marked_deleted ? manifest_find(overrides->marked_deleted, source->path) : NULL;

        return marked_deleted && marked_deleted->type == source->type && marked_deleted->ino == source->ino &&
               (source->type == ENTRY_DIRECTORY ||
                (marked_deleted->size == source->size && marked_deleted->mtime_nsec == source->mtime_nsec));
}

/* ---- requests ---- */

uint64_t overrides_request(Overrides *overrides, char *const *names) {
        uint64_t id = overrides->last_id + 1;

        if (add_request(overrides, id, names) < 0)
                return 0;
        overrides->last_id = id;
        return id;
}

void overrides_end_request(Overrides *overrides, uint64_t id) {
        for (size_t i = 0; i < overrides->n_requests; i++)
                if (overrides->requests[i].id == id) {
                        request_done(&overrides->requests[i]);
                        overrides->requests[i] = overrides->requests[--overrides->n_requests];
                        return;
                }
}

/* ---- for the status ---- */

bool overrides_is_released(const Overrides *overrides, const char *path) {
        return pathset_has(&overrides->in_effect, path);
}

size_t overrides_count_released(const Overrides *overrides) {
        return overrides->in_effect.n;
}
