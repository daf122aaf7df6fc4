/* SPDX-License-Identifier: GPL-2.0-or-later */

/* One wish of an operator on its way: what it says, and how it ends. See control/operation-work.h. */

#include "control/operation-work.h"

#include "base/log.h"
#include "base/strv.h"
#include "base/text.h"

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

uint64_t steer_now(const Mirror *m) {
        uint64_t now = 0;

        (void) sd_event_now(m->context->event, CLOCK_MONOTONIC, &now); /* at worst it takes longer */
        return now;
}

/* ---- its life ---- */

void steer_drop(Steer *steer) {
        strv_free(steer->names);
        strv_free(steer->report);
        pathset_done(&steer->roots);
        pathset_done(&steer->concerned);
        pathset_done(&steer->released);
        pathset_done(&steer->doomed);
        pathset_done(&steer->saves);
        free(steer->who);
        free(steer);
}

void steer_end(Steer *steer, bool failed) {
        Mirror *m = steer->mirror;

        steer->phase = STEER_OVER;
        if (steer->recheck)
                steer->let_go(TAKE_PTR(steer->recheck));
        steer->failed = failed;
        steer->mirror = NULL;
        if (m) {
                mirrorstate_unlisten(m, &steer->listener);
                for (size_t i = 0; i < steer->n_requests; i++)
                        wishes_end_request(&m->wishes, steer->request + i);
        }
        if (steer->orphan)
                steer_drop(steer);
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
