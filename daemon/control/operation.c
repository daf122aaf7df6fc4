/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What an operator asks of one mirror: its life from the wish to the end, whichever it is. See control/operation.h; control/operation-work.h has the parts. */

#include "control/operation.h"

#include "base/strv.h"
#include "control/operation-accept.h"
#include "control/operation-residency.h"
#include "control/operation-sync.h"
#include "control/operation-verify.h"

static void hear(MirrorListener *listener, Mirror *m, MirrorEvent event) {
        Steer *steer = (Steer *) listener;

        switch (event) {
        case MIRROR_LOOKED:
        case MIRROR_RESTED:
        case MIRROR_SAVED:
                steer->hear(steer, m, event);
                break;
        case MIRROR_BLIND:
                steer_say(steer, "%s", m->problem ? m->problem : "The source is lost");
                steer_end(steer, true);
                break;
        case MIRROR_ENDS:
        case MIRROR_FREED:
                steer_say(steer, "Mirror '%s' %s", m->config.name, m->failing ? "has failed" : m->moving ? "was lost, and is made anew" : "is stopping");
                steer_end(steer, true);
                break;
        }
}

/* A sentence, or NULL if it takes wishes. */
static const char *why_not(const Mirror *m, SteerKind kind) {
        if (m->failing || m->state == MIRROR_FAILED)
                return "it has failed";
        if (m->stopping || m->state == MIRROR_GONE || m->state == MIRROR_REMOVING)
                return "it is stopping";
        if (!m->attached || m->moving)
                return "it is only starting: source and tmpfs are being opened";
        if (m->lost && kind != STEER_VERIFY)
                return m->problem ? m->problem : "its source is lost";
        return NULL;
}

static int refuse(const Mirror *m, const char *reason, char **ret_refusal) {
        if (asprintf(ret_refusal, "Mirror '%s' does not take that now: %s", m->config.name, reason) < 0) {
                *ret_refusal = NULL;
                return -ENOMEM;
        }
        return STEER_REFUSED;
}

static int begin(Steer *steer, Mirror *m, SteerKind kind) {
        switch (kind) {
        case STEER_STAGE:
                return steerroom_stage(steer, m);
        case STEER_RELEASE:
                return steerroom_release(steer, m);
        case STEER_ACCEPT:
                return steeraccept_begin(steer, m);
        case STEER_SYNC:
                return steersync_begin(steer, m);
        case STEER_VERIFY:
                return steerverify_begin(steer, m);
        }
        return -EINVAL;
}

int steer_new(Steer **ret, Mirror *m, SteerKind kind, char *const *names, const char *who, char **ret_refusal) {
        const char *reason = why_not(m, kind);
        Steer *steer;
        int r;

        if (!reason && kind == STEER_RELEASE && !*names)
                reason = "what is to be released has to be named";
        if (reason)
                return refuse(m, reason, ret_refusal);
        steer = calloc(1, sizeof(*steer));
        if (!steer)
                return -ENOMEM;
        *steer = (Steer){ .listener.hear = hear, .who = strdup(who) };
        r = strv_copy(names, &steer->names);
        if (r == 0)
                r = strv_copy(NULL, &steer->report);
        if (r == 0 && !steer->who)
                r = -ENOMEM;
        if (r == 0) {
                steer->mirror = m;
                mirrorstate_listen(m, &steer->listener);
                r = begin(steer, m, kind);
                if (r != 0 && steer->mirror)
                        steer_end(steer, true);
        }
        if (r > 0) {
                *ret_refusal = *steer->report ? strdup(*steer->report) : NULL;
                r = *ret_refusal ? STEER_REFUSED : -ENOMEM;
        }
        if (r != 0)
                steer_drop(steer);
        else
                *ret = steer;
        return r;
}

SteerStatus steer_status(Steer *steer, Mirror *m) {
        SteerStatus status;

        if (!m && steer->phase != STEER_OVER) {
                steer_say(steer, "The mirror is gone");
                steer_end(steer, true);
        }
        status = (SteerStatus){ .over = steer->phase == STEER_OVER, .failed = steer->failed, .done = steer->done, .total = steer->total,
                                .report = steer->report };
        if (steer->stages && steer->phase == STEER_PLANNED && m && m->state == MIRROR_STAGING)
                status.done = MIN(steer->total, (uint64_t) atomic_load(&m->progress));
        return status;
}

Steer *steer_free(Steer *steer) {
        if (!steer)
                return NULL;
        if (steer->phase == STEER_OVER)
                steer_drop(steer);
        else
                steer->orphan = true;
        return NULL;
}
