/* SPDX-License-Identifier: GPL-2.0-or-later */

/* One wish of an operator on its way: what it says, and how it ends. See control/operation.h. */

#include "control/operation-internal.h"

#include "base/log.h"
#include "base/strv.h"
#include "base/text.h"

#include <stdarg.h>

/* ---- what is said ---- */

/* Takes @text; without memory it is not said. */
static void say(Operation *operation, char *text) {
        if (text)
                (void) strv_take(&operation->report, text);
}

void control_operation_report(Operation *operation, const char *format, ...) {
        char *text = NULL;
        va_list ap;

        va_start(ap, format);
        if (vasprintf(&text, format, ap) < 0)
                text = NULL;
        va_end(ap);
        say(operation, text);
}

void control_operation_log(Operation *operation, const char *path, const char *format, ...) {
        LogFields fields = { .mirror = operation->mirror ? operation->mirror->config.name : NULL, .path = path };
        char *text = NULL, who[TEXT_PATH_MAX];
        va_list ap;

        va_start(ap, format);
        if (vasprintf(&text, format, ap) < 0)
                text = NULL;
        va_end(ap);
        if (text)
                log_event(LOG_NOTICE, &fields, "%s, as %s asked", text, text_path(who, operation->who));
        say(operation, text);
}

uint64_t control_operation_now(const Mirror *m) {
        uint64_t now = 0;

        (void) sd_event_now(m->context->event, CLOCK_MONOTONIC, &now); /* at worst it takes longer */
        return now;
}

/* ---- its life ---- */

void control_operation_drop(Operation *operation) {
        strv_free(operation->names);
        strv_free(operation->report);
        pathset_done(&operation->roots);
        pathset_done(&operation->concerned);
        pathset_done(&operation->released);
        pathset_done(&operation->marked_deleted);
        pathset_done(&operation->saves);
        free(operation->who);
        free(operation);
}

void control_operation_end(Operation *operation, bool failed) {
        Mirror *m = operation->mirror;

        operation->phase = OPERATION_OVER;
        if (operation->recheck)
                operation->let_go(TAKE_PTR(operation->recheck));
        operation->failed = failed;
        operation->mirror = NULL;
        if (m) {
                mirror_state_unlisten(m, &operation->listener);
                for (size_t i = 0; i < operation->n_requests; i++)
                        overrides_end_request(&m->overrides, operation->request + i);
        }
        if (operation->orphan)
                control_operation_drop(operation);
}

bool control_operation_take_answer(Operation *operation, Mirror *m, const ResolvedNames **ret) {
        const ResolvedNames *answer = NULL;

        for (size_t i = 0; i < m->survey.n_answers; i++)
                if (m->survey.answers[i].id == operation->request)
                        answer = &m->survey.answers[i];
        if (!answer)
                return false; /* that look had begun before */
        if (*answer->unknown) {
                for (char **name = answer->unknown; *name; name++) {
                        char path[TEXT_PATH_MAX];

                        control_operation_report(
                                operation, "There is no file, directory or model '%s' in mirror '%s' or its source",
                                text_path(path, *name), m->config.name);
                }
                control_operation_end(operation, true);
                return false;
        }
        pathset_done(&operation->roots);
        pathset_done(&operation->concerned);
        if (pathset_copy(&answer->roots, &operation->roots) < 0 ||
            pathset_copy(&answer->concerned, &operation->concerned) < 0) {
                control_operation_report(operation, "Memory ran out");
                control_operation_end(operation, true);
                return false;
        }
        *ret = answer;
        return true;
}
