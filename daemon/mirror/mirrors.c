/* SPDX-License-Identifier: GPL-2.0-or-later */

/* All mirrors, and how they become those of a configuration. See mirror/mirrors.h. */

#include "mirror/mirrors.h"

#include "base/array.h"
#include "base/log.h"

static MirrorState state_of(const Mirrors *mirrors, size_t index) {
        return mirror_state(mirrors->mirrors[index]);
}

static void drop(Mirrors *mirrors, size_t index) {
        mirrors->mirrors[index] = mirror_free(mirrors->mirrors[index]);
        memmove(mirrors->mirrors + index, mirrors->mirrors + index + 1, (mirrors->n - index - 1) * sizeof(Mirror *));
        mirrors->n--;
}

void mirrors_done(Mirrors *mirrors) {
        while (mirrors->n > 0)
                drop(mirrors, mirrors->n - 1);
        free(mirrors->mirrors);
        mirrors->mirrors = NULL;
}

static bool has(const Mirrors *mirrors, const char *name) {
        for (size_t i = 0; i < mirrors->n; i++)
                if (string_equal(mirror_config(mirrors->mirrors[i])->name, name))
                        return true;
        return false;
}

static int add(Mirrors *mirrors, const MirrorConfig *config) {
        MirrorIds ids = { .mirror = ++mirrors->last_id, .source_watch = ++mirrors->last_id,
                          .mirror_watch = ++mirrors->last_id };
        int r = ARRAY_ROOM(mirrors->mirrors, mirrors->n);

        if (r == 0)
                r = mirror_new(&mirrors->mirrors[mirrors->n], config, &ids, mirrors->context);
        if (r < 0)
                return r;
        mirror_start(mirrors->mirrors[mirrors->n++]);
        return 0;
}

/* This mirror in a configuration; NULL if it has to go, because it is not there any more or has another source or
 * target. */
static const MirrorConfig *find_in(const Config *config, const Mirror *mirror) {
        const MirrorConfig *now = mirror_config(mirror), *wanted = config_find_mirror(config, now->name);

        if (!wanted || !string_equal(wanted->source, now->source) || !string_equal(wanted->target, now->target))
                return NULL;
        return wanted;
}

static bool is_leaving(const Mirrors *mirrors, size_t index) {
        MirrorState state = state_of(mirrors, index);

        return state != MIRROR_STOPPED && state != MIRROR_FAILED &&
               !find_in(mirrors->config, mirrors->mirrors[index]);
}

/* Mirrors that have to go are stopping already. Their targets, names or memory may be needed, so nothing begins before
 * they are gone: then this is called again. */
static void begin_missing(Mirrors *mirrors) {
        for (size_t i = 0; i < mirrors->n; i++)
                if (is_leaving(mirrors, i))
                        return;
        for (size_t i = 0; i < mirrors->config->n_mirrors; i++) {
                const MirrorConfig *config = &mirrors->config->mirrors[i];

                if (!has(mirrors, config->name) && add(mirrors, config) < 0)
                        log_error("Failed to start mirror '%s': out of memory; reload to try again", config->name);
        }
}

void mirrors_apply(Mirrors *mirrors, const Config *config) {
        mirrors->config = config;
        for (size_t i = mirrors->n; i > 0; i--) {
                Mirror *mirror = mirrors->mirrors[i - 1];
                const MirrorConfig *wanted = find_in(config, mirror);

                if (state_of(mirrors, i - 1) == MIRROR_FAILED)
                        drop(mirrors, i - 1);
                else if (!wanted)
                        mirror_stop(mirror);
                else if (mirror_reconfigure(mirror, wanted) < 0)
                        log_error("Failed to reconfigure mirror '%s': out of memory; it keeps its previous settings",
                                  wanted->name);
        }
        begin_missing(mirrors);
}

void mirrors_set_limits(Mirrors *mirrors, const Config *config) {
        for (size_t i = 0; i < mirrors->n; i++) {
                const MirrorConfig *wanted = find_in(config, mirrors->mirrors[i]);

                if (wanted)
                        mirror_set_limit(mirrors->mirrors[i], wanted->bandwidth_limit);
        }
}

void mirrors_sweep(Mirrors *mirrors) {
        bool swept = false;

        for (size_t i = mirrors->n; i > 0; i--) {
                if (state_of(mirrors, i - 1) != MIRROR_STOPPED || find_in(mirrors->config, mirrors->mirrors[i - 1]))
                        continue;
                drop(mirrors, i - 1);
                swept = true;
        }
        if (swept)
                begin_missing(mirrors);
}

void mirrors_proceed(Mirrors *mirrors, bool together) {
        for (size_t i = 0; together && i < mirrors->n; i++)
                if (state_of(mirrors, i) == MIRROR_STARTING || state_of(mirrors, i) == MIRROR_SCANNING)
                        return;
        for (size_t i = 0; i < mirrors->n; i++)
                if (state_of(mirrors, i) == MIRROR_PLANNED && !mirror_fits(mirrors->mirrors[i]) && together)
                        return; /* the daemon starts with all mirrors, or not at all */
        for (size_t i = 0; i < mirrors->n; i++)
                if (state_of(mirrors, i) == MIRROR_PLANNED)
                        mirror_proceed(mirrors->mirrors[i]);
}

void mirrors_report(Mirrors *mirrors) {
        for (size_t i = 0; i < mirrors->n; i++)
                mirror_report(mirrors->mirrors[i]);
}

void mirrors_stop(Mirrors *mirrors) {
        for (size_t i = 0; i < mirrors->n; i++)
                mirror_stop(mirrors->mirrors[i]);
}

void mirrors_abandon(Mirrors *mirrors) {
        for (size_t i = 0; i < mirrors->n; i++) {
                MirrorState state = state_of(mirrors, i);

                if (state == MIRROR_STARTING || state == MIRROR_SCANNING || state == MIRROR_STAGING ||
                    state == MIRROR_SAVING)
                        mirror_abandon(mirrors->mirrors[i]);
        }
}

void mirrors_notice(Mirrors *mirrors, const WatchReport *report) {
        for (size_t i = 0; i < mirrors->n; i++)
                mirror_notice(mirrors->mirrors[i], report);
}

MirrorsState mirrors_state(const Mirrors *mirrors) {
        MirrorsState state = { .ready = true, .settled = true, .over = true };

        for (size_t i = 0; i < mirrors->n; i++) {
                MirrorStatus mirror = mirror_status(mirrors->mirrors[i]);
                bool ended = mirror.state == MIRROR_STOPPED || mirror.state == MIRROR_FAILED;

                state.ready = state.ready && mirror.ready;
                state.settled =
                        state.settled && (mirror_is_settled(mirrors->mirrors[i]) || mirror.state == MIRROR_FAILED);
                state.busy = state.busy || (!ended && (mirror.state != MIRROR_IDLE || mirror.n_saving > 0));
                state.over = state.over && ended;
                state.unsaved = state.unsaved || (!ended && mirror.n_unsaved > 0);
                if (!state.failed && (mirror.state == MIRROR_FAILED || mirror.failing))
                        state.failed = mirror.problem ? mirror.problem : "files were left in the mirror";
        }
        return state;
}

void mirrors_measure(const Mirrors *mirrors) {
        for (size_t i = 0; i < mirrors->n; i++)
                mirror_measure(mirrors->mirrors[i]);
}

MirrorStatus *mirrors_statuses(const Mirrors *mirrors) {
        MirrorStatus *statuses = calloc(mirrors->n + 1, sizeof(MirrorStatus));

        for (size_t i = 0; statuses && i < mirrors->n; i++)
                statuses[i] = mirror_status(mirrors->mirrors[i]);
        return statuses;
}
