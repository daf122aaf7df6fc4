/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The life of an operation from the request to the end, whatever its kind. See control/operation.h. */

#include "control/operation-internal.h"

#include "base/array.h"
#include "base/log.h"
#include "base/strv.h"
#include "base/text.h"

#include <stdarg.h>

/* ---- its report: a sentence for which there is no memory is left out ---- */

/* Takes over @text. The end of the list is an element too. */
static void add_sentence(Operation *operation, char *text) {
        if (!text || ARRAY_ROOM(operation->report, operation->n_report + 1) < 0) {
                free(text);
                return;
        }
        operation->report[operation->n_report++] = text;
        operation->report[operation->n_report] = NULL;
}

void control_operation_report(Operation *operation, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        add_sentence(operation, text_vformat(format, ap));
        va_end(ap);
}

void control_operation_log(Operation *operation, const char *path, const char *format, ...) {
        LogFields fields = { .mirror = operation->mirror ? operation->mirror->config.name : NULL, .path = path };
        char *text, who[TEXT_PATH_MAX];
        va_list ap;

        va_start(ap, format);
        text = text_vformat(format, ap);
        va_end(ap);
        if (text)
                log_event(LOG_NOTICE, &fields, "%s (requested by %s)", text, text_path(who, operation->who));
        add_sentence(operation, text);
}

void control_operation_report_unknown(Operation *operation, const Mirror *m, const char *name) {
        char path[TEXT_PATH_MAX];

        control_operation_report(operation, "There is no file, directory or model '%s' in mirror '%s' or its source",
                                 text_path(path, name), m->config.name);
}

char *control_operation_list_names(const Operation *operation) {
        char *text = NULL, path[TEXT_PATH_MAX];
        size_t n = strv_length(operation->names);

        for (size_t i = 0; i < MIN(n, (size_t) 3); i++)
                (void) text_append(&text, "%s'%s'", i > 0 ? ", " : "", text_path(path, operation->names[i]));
        if (n > 3)
                (void) text_append(&text, " and %zu more", n - 3);
        return text;
}

/* ---- what the mirror has ---- */

const Entry *control_operation_find_in_ram(const Mirror *m, const char *path) {
        const Entry *e = manifest_find(m->attachment.base, path);

        return e && control_operation_is_data(e) && !(e->flags & (ENTRY_RECORD | ENTRY_LINKED)) ? e : NULL;
}

uint64_t control_operation_sum_in_ram(const Mirror *m, const PathSet *paths, size_t *ret_n) {
        uint64_t bytes = 0;

        *ret_n = 0;
        for (size_t i = 0; i < paths->n; i++) {
                const Entry *e = control_operation_find_in_ram(m, paths->items[i]);

                *ret_n += e != NULL;
                bytes += e && e->type == ENTRY_FILE ? e->room : 0;
        }
        return bytes;
}

/* ---- its names ---- */

int control_operation_request(Operation *operation, Mirror *m) {
        operation->request = overrides_request(&m->overrides, operation->names);
        if (operation->request == 0)
                return -ENOMEM;
        operation->n_requests = 1;
        mirror_state_want_scan(m);
        return 0;
}

const ResolvedNames *control_operation_answer(const Mirror *m, uint64_t request) {
        for (size_t i = 0; i < m->survey.n_answers; i++)
                if (m->survey.answers[i].id == request)
                        return &m->survey.answers[i];
        return NULL;
}

const ResolvedNames *control_operation_take_answer(Operation *operation, Mirror *m) {
        const ResolvedNames *answer = control_operation_answer(m, operation->request);

        if (!answer)
                return NULL;
        if (*answer->unknown) {
                for (char **name = answer->unknown; *name; name++)
                        control_operation_report_unknown(operation, m, *name);
                control_operation_end(operation, true);
                return NULL;
        }
        pathset_done(&operation->roots);
        pathset_done(&operation->concerned);
        if (pathset_copy(&answer->roots, &operation->roots) < 0 ||
            pathset_copy(&answer->concerned, &operation->concerned) < 0) {
                control_operation_fail(operation, "Out of memory");
                return NULL;
        }
        return answer;
}

/* ---- its life ---- */

/* It is not in the mirror's list any more. */
static void operation_free(Operation *operation) {
        (void) strv_free(operation->names);
        (void) strv_free(operation->report);
        pathset_done(&operation->roots);
        pathset_done(&operation->concerned);
        pathset_done(&operation->were_released);
        pathset_done(&operation->deletions);
        pathset_done(&operation->saves);
        free(operation->who);
        free(operation);
}

void control_operation_end(Operation *operation, bool failed) {
        Mirror *m = operation->mirror;

        operation->phase = OPERATION_ENDED;
        if (operation->recheck)
                control_operation_detach_recheck(TAKE_PTR(operation->recheck));
        operation->failed = failed;
        operation->mirror = NULL;
        if (m) {
                mirror_state_unlisten(m, &operation->listener);
                for (size_t i = 0; i < operation->n_requests; i++)
                        overrides_end_request(&m->overrides, operation->request + i);
        }
        if (operation->detached)
                operation_free(operation);
}

void control_operation_fail(Operation *operation, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        add_sentence(operation, text_vformat(format, ap));
        va_end(ap);
        control_operation_end(operation, true);
}

static void hear(MirrorListener *listener, Mirror *m, MirrorEvent event) {
        Operation *operation = (Operation *) listener;

        switch (event) {
        case MIRROR_SCANNED:
        case MIRROR_RESTED:
        case MIRROR_SAVED:
        case MIRROR_REPORTED:
                operation->on_event(operation, m, event);
                break;
        case MIRROR_BLIND:
                control_operation_fail(operation, "%s", m->problem ? m->problem : "The source is lost");
                break;
        case MIRROR_ENDS:
        case MIRROR_FREED:
                control_operation_fail(operation, "Mirror '%s' %s", m->config.name,
                                       mirror_state_is_failing(m)           ? "has failed"
                                       : mirror_state_is_being_recreated(m) ? "was lost and is being recreated"
                                                                            : "is stopping");
                break;
        }
}

/* A sentence, or NULL if the mirror takes operations. */
static const char *why_not(const Mirror *m, OperationKind kind) {
        if (mirror_state_is_failing(m) || m->phase == PHASE_FAILED)
                return "it has failed";
        if (mirror_state_is_stopping(m) || m->phase >= PHASE_REMOVING)
                return "it is stopping";
        if (!m->attached || mirror_state_is_being_recreated(m))
                return "it is still opening its source and target";
        if (m->lost && kind != OPERATION_VERIFY)
                return m->problem ? m->problem : "its source is lost";
        return NULL;
}

static int refuse(const Mirror *m, const char *reason, char **ret_refusal) {
        *ret_refusal = text_format("Mirror '%s' cannot do this now: %s", m->config.name, reason);
        return *ret_refusal ? OPERATION_REFUSED : -ENOMEM;
}

static int (*const begin[])(Operation *operation, Mirror *m) = {
        [OPERATION_STAGE] = control_operation_stage,   [OPERATION_RELEASE] = control_operation_release,
        [OPERATION_ACCEPT] = control_operation_accept, [OPERATION_SYNC] = control_operation_sync,
        [OPERATION_VERIFY] = control_operation_verify,
};

int control_operation_new(Operation **ret, Mirror *m, OperationKind kind, char *const *names, const char *who,
                          char **ret_refusal) {
        const char *reason = why_not(m, kind);
        Operation *operation;
        int r;

        if (reason)
                return refuse(m, reason, ret_refusal);
        operation = calloc(1, sizeof(*operation));
        if (!operation)
                return -ENOMEM;
        *operation = (Operation){ .listener.hear = hear, .who = strdup(who) };
        r = strv_copy(names, &operation->names);
        if (r == 0)
                r = strv_copy(NULL, &operation->report);
        if (r == 0 && !operation->who)
                r = -ENOMEM;
        if (r == 0) {
                operation->mirror = m;
                mirror_state_listen(m, &operation->listener);
                r = begin[kind](operation, m);
                if (r != 0 && operation->mirror)
                        control_operation_end(operation, true);
        }
        if (r > 0) {
                *ret_refusal = *operation->report ? strdup(*operation->report) : NULL;
                r = *ret_refusal ? OPERATION_REFUSED : -ENOMEM;
        }
        if (r != 0)
                operation_free(operation);
        else
                *ret = operation;
        return r;
}

OperationStatus control_operation_status(Operation *operation, Mirror *m) {
        OperationStatus status;

        if (!m && operation->phase != OPERATION_ENDED)
                control_operation_fail(operation, "The mirror was removed");
        status = (OperationStatus){ .over = operation->phase == OPERATION_ENDED, .failed = operation->failed,
                                    .done = operation->done, .total = operation->total,
                                    .report = operation->report, .n_report = operation->n_report };
        if (operation->shows_staging && operation->phase == OPERATION_PLANNED && m && mirror_state(m) == MIRROR_STAGING)
                status.done = MIN(operation->total, (uint64_t) atomic_load(&m->progress));
        return status;
}

Operation *control_operation_free(Operation *operation) {
        if (!operation)
                return NULL;
        if (operation->phase == OPERATION_ENDED)
                operation_free(operation);
        else
                operation->detached = true;
        return NULL;
}
