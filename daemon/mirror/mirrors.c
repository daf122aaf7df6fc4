/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The mirrors there are, and how they become those of a configuration. See mirror/mirrors.h. */

#include "mirror/mirrors.h"

#include "base/log.h"

static MirrorState state_of(const Roster *roster, size_t index) {
        return mirror_state(roster->mirrors[index]);
}

static void drop(Roster *roster, size_t index) {
        roster->mirrors[index] = mirror_free(roster->mirrors[index]);
        memmove(roster->mirrors + index, roster->mirrors + index + 1, (roster->n - index - 1) * sizeof(Mirror *));
        roster->n--;
}

void roster_done(Roster *roster) {
        while (roster->n > 0)
                drop(roster, roster->n - 1);
        free(roster->mirrors);
        roster->mirrors = NULL;
}

static bool has(const Roster *roster, const char *name) {
        for (size_t i = 0; i < roster->n; i++)
                if (string_equal(mirror_config(roster->mirrors[i])->name, name))
                        return true;
        return false;
}

static int add(Roster *roster, const MirrorConfig *config) {
        Mirror **grown = reallocarray(roster->mirrors, roster->n + 1, sizeof(Mirror *));
        int r;

        if (!grown)
                return -ENOMEM;
        roster->mirrors = grown;
        r = mirror_new(&grown[roster->n], config, roster->last_number + 1, roster->context);
        if (r < 0)
                return r;
        roster->last_number++;
        mirror_start(grown[roster->n++]);
        return 0;
}

/* What the configuration wants of this mirror; NULL if it is to go, because it is not named any more or is another one by
 * that name. */
static const MirrorConfig *find_in(const Config *config, const Mirror *mirror) {
        const MirrorConfig *now = mirror_config(mirror), *wanted = config_find_mirror(config, now->name);

        if (!wanted || !string_equal(wanted->source, now->source) || !string_equal(wanted->target, now->target))
                return NULL;
        return wanted;
}

static const MirrorConfig *find_wanted(const Roster *roster, const Mirror *mirror) {
        return find_in(roster->config, mirror);
}

static bool is_leaving(const Roster *roster, size_t index) {
        MirrorState state = state_of(roster, index);

        return state != MIRROR_GONE && state != MIRROR_FAILED && !find_wanted(roster, roster->mirrors[index]);
}

/* What has to go first is stopped already; its target, its name or its memory may be needed, so nothing begins before it is gone:
 * then this is called again. */
static void begin_missing(Roster *roster) {
        for (size_t i = 0; i < roster->n; i++)
                if (is_leaving(roster, i))
                        return;
        for (size_t i = 0; i < roster->config->n_mirrors; i++) {
                const MirrorConfig *config = &roster->config->mirrors[i];

                if (!has(roster, config->name) && add(roster, config) < 0)
                        log_error("Failed to begin mirror '%s': out of memory", config->name);
        }
}

void roster_apply(Roster *roster, const Config *config) {
        roster->config = config;
        for (size_t i = roster->n; i > 0; i--) {
                Mirror *mirror = roster->mirrors[i - 1];
                const MirrorConfig *wanted = find_wanted(roster, mirror);

                if (state_of(roster, i - 1) == MIRROR_FAILED)
                        drop(roster, i - 1);
                else if (!wanted)
                        mirror_stop(mirror);
                else if (mirror_reconfigure(mirror, wanted) < 0)
                        log_error("Failed to reconfigure mirror '%s': out of memory", wanted->name);
        }
        begin_missing(roster);
}

void roster_set_limits(Roster *roster, const Config *config) {
        for (size_t i = 0; i < roster->n; i++) {
                const MirrorConfig *wanted = find_in(config, roster->mirrors[i]);

                if (wanted)
                        mirror_set_limit(roster->mirrors[i], wanted->bandwidth_limit);
        }
}

void roster_sweep(Roster *roster) {
        bool swept = false;

        for (size_t i = roster->n; i > 0; i--) {
                if (state_of(roster, i - 1) != MIRROR_GONE || find_wanted(roster, roster->mirrors[i - 1]))
                        continue;
                drop(roster, i - 1);
                swept = true;
        }
        if (swept)
                begin_missing(roster);
}

void roster_proceed(Roster *roster, bool together) {
        for (size_t i = 0; together && i < roster->n; i++)
                if (state_of(roster, i) == MIRROR_STARTING || state_of(roster, i) == MIRROR_LOOKING)
                        return;
        for (size_t i = 0; i < roster->n; i++)
                if (state_of(roster, i) == MIRROR_PLANNED && !mirror_fits(roster->mirrors[i]) && together)
                        return; /* a start that is not whole is none */
        for (size_t i = 0; i < roster->n; i++)
                if (state_of(roster, i) == MIRROR_PLANNED)
                        mirror_proceed(roster->mirrors[i]);
}

void roster_tell(Roster *roster) {
        for (size_t i = 0; i < roster->n; i++)
                mirror_tell(roster->mirrors[i]);
}

void roster_stop(Roster *roster) {
        for (size_t i = 0; i < roster->n; i++)
                mirror_stop(roster->mirrors[i]);
}

void roster_abandon(Roster *roster) {
        for (size_t i = 0; i < roster->n; i++) {
                MirrorState state = state_of(roster, i);

                if (state == MIRROR_STARTING || state == MIRROR_LOOKING || state == MIRROR_STAGING || state == MIRROR_SAVING)
                        mirror_abandon(roster->mirrors[i]);
        }
}

void roster_notice(Roster *roster, const WatchReport *report) {
        for (size_t i = 0; i < roster->n; i++)
                if (mirror_number(roster->mirrors[i]) == report->root / 2)
                        mirror_notice(roster->mirrors[i], report);
}

RosterState roster_state(const Roster *roster) {
        RosterState state = { .ready = true, .settled = true, .over = true };

        for (size_t i = 0; i < roster->n; i++) {
                MirrorStatus mirror = mirror_status(roster->mirrors[i]);
                bool ended = mirror.state == MIRROR_GONE || mirror.state == MIRROR_FAILED;

                state.ready = state.ready && mirror.ready;
                state.settled = state.settled && (mirror_is_settled(roster->mirrors[i]) || mirror.state == MIRROR_FAILED);
                state.busy = state.busy || (!ended && (mirror.state != MIRROR_SETTLED || mirror.n_saving > 0));
                state.over = state.over && ended;
                state.unsaved = state.unsaved || (!ended && mirror.n_unsaved > 0);
                if (!state.failed && (mirror.state == MIRROR_FAILED || mirror.failing))
                        state.failed = mirror.problem ? mirror.problem : "files were left in the mirror";
        }
        return state;
}

void roster_measure(const Roster *roster) {
        for (size_t i = 0; i < roster->n; i++)
                mirror_measure(roster->mirrors[i]);
}

MirrorStatus *roster_statuses(const Roster *roster) {
        MirrorStatus *statuses = calloc(roster->n + 1, sizeof(MirrorStatus));

        for (size_t i = 0; statuses && i < roster->n; i++)
                statuses[i] = mirror_status(roster->mirrors[i]);
        return statuses;
}
