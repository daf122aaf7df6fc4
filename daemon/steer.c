/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What an operator asks of one mirror: its life from the wish to the end, whichever it is. See steer.h; steerwork.h has the parts. */

#include "steerwork.h"

#include "log.h"
#include "strv.h"
#include "text.h"

#include <stdarg.h>

/* ---- what is said ---- */

/* Takes @text; without memory it is not said. */
static void say(Steer *steer, char *text) {
        if (text)
                (void) strv_take(&steer->report, text);
}

void steer_say(Steer *steer, const char *format, ...) {
        char *text = NULL;
        va_list ap;

        va_start(ap, format);
        if (vasprintf(&text, format, ap) < 0)
                text = NULL;
        va_end(ap);
        say(steer, text);
}

void steer_log(Steer *steer, const char *path, const char *format, ...) {
        LogFields fields = { .mirror = steer->mirror ? steer->mirror->config.name : NULL, .path = path };
        char *text = NULL, who[TEXT_PATH_MAX];
        va_list ap;

        va_start(ap, format);
        if (vasprintf(&text, format, ap) < 0)
                text = NULL;
        va_end(ap);
        if (text)
                log_event(LOG_NOTICE, &fields, "%s, as %s asked", text, text_path(who, steer->who));
        say(steer, text);
}

/* ---- its life ---- */

static void drop(Steer *steer) {
        strv_free(steer->names);
        strv_free(steer->report);
        pathset_done(&steer->roots);
        pathset_done(&steer->concerned);
        pathset_done(&steer->released);
        free(steer->who);
        free(steer);
}

void steer_end(Steer *steer, bool failed) {
        Mirror *m = steer->mirror;

        steer->phase = STEER_OVER;
        steer->failed = failed;
        steer->mirror = NULL;
        if (m) {
                mirrorstate_unlisten(m, &steer->listener);
                if (steer->request > 0)
                        wishes_end_request(&m->wishes, steer->request);
        }
        if (steer->orphan)
                drop(steer);
}

bool steer_take_answer(Steer *steer, Mirror *m, const Answer **ret) {
        const Answer *answer = NULL;

        for (size_t i = 0; i < m->look.n_answers; i++)
                if (m->look.answers[i].id == steer->request)
                        answer = &m->look.answers[i];
        if (!answer)
                return false; /* that look had begun before */
        if (*answer->unknown) {
                for (char **name = answer->unknown; *name; name++) {
                        char path[TEXT_PATH_MAX];

                        steer_say(steer, "There is no file, directory or model '%s' in mirror '%s' or its source", text_path(path, *name), m->config.name);
                }
                steer_end(steer, true);
                return false;
        }
        pathset_done(&steer->roots);
        pathset_done(&steer->concerned);
        if (pathset_copy(&answer->roots, &steer->roots) < 0 || pathset_copy(&answer->concerned, &steer->concerned) < 0) {
                steer_say(steer, "Memory ran out");
                steer_end(steer, true);
                return false;
        }
        *ret = answer;
        return true;
}

static void hear_kind(Steer *steer, Mirror *m, MirrorEvent event) {
        switch (steer->kind) {
        case STEER_STAGE:
        case STEER_RELEASE:
                steerroom_hear(steer, m, event);
                break;
        case STEER_ACCEPT:
        case STEER_SYNC:
        case STEER_VERIFY:
                break;
        }
}

static void hear(MirrorListener *listener, Mirror *m, MirrorEvent event) {
        Steer *steer = (Steer *) listener;

        switch (event) {
        case MIRROR_LOOKED:
        case MIRROR_RESTED:
                hear_kind(steer, m, event);
                break;
        case MIRROR_BLIND:
                steer_say(steer, "%s", m->problem ? m->problem : "The source is lost");
                steer_end(steer, true);
                break;
        case MIRROR_ENDS:
        case MIRROR_FREED:
                steer_say(steer, "Mirror '%s' is %s", m->config.name, m->failing ? "failing" : "stopping");
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
        if (kind == STEER_SYNC && !m->config.write_back)
                return "nothing of it is ever saved, because of WriteBack=no";
        return NULL;
}

static int refuse(const Mirror *m, const char *reason, char **ret_refusal) {
        if (asprintf(ret_refusal, "Mirror '%s' does not take that now: %s", m->config.name, reason) < 0) {
                *ret_refusal = NULL;
                return -ENOMEM;
        }
        return STEER_REFUSED;
}

static int begin(Steer *steer, Mirror *m) {
        switch (steer->kind) {
        case STEER_STAGE:
        case STEER_RELEASE:
                return steerroom_begin(steer, m);
        case STEER_ACCEPT:
        case STEER_SYNC:
        case STEER_VERIFY:
                break;
        }
        return -EOPNOTSUPP;
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
        *steer = (Steer){ .listener.hear = hear, .kind = kind, .who = strdup(who) };
        r = strv_copy(names, &steer->names);
        if (r == 0)
                r = strv_copy(NULL, &steer->report);
        if (r == 0 && !steer->who)
                r = -ENOMEM;
        if (r == 0) {
                steer->mirror = m;
                mirrorstate_listen(m, &steer->listener);
                r = begin(steer, m);
                if (r != 0 && steer->mirror)
                        steer_end(steer, true);
        }
        if (r > 0) {
                *ret_refusal = *steer->report ? strdup(*steer->report) : NULL;
                r = *ret_refusal ? STEER_REFUSED : -ENOMEM;
        }
        if (r != 0)
                drop(steer);
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
        if (steer->kind == STEER_STAGE && steer->phase == STEER_PLANNED && m && m->state == MIRROR_STAGING)
                status.done = MIN(steer->total, (uint64_t) atomic_load(&m->progress));
        return status;
}

Steer *steer_free(Steer *steer) {
        if (!steer)
                return NULL;
        if (steer->phase == STEER_OVER)
                drop(steer);
        else
                steer->orphan = true;
        return NULL;
}
