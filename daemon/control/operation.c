/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What an operator asks of one mirror: its life from the wish to the end, whichever it is. See control/operation.h;
 * control/operation-work.h has the parts. */

#include "control/operation-internal.h"

#include "base/strv.h"

static void hear(MirrorListener *listener, Mirror *m, MirrorEvent event) {
        Operation *operation = (Operation *) listener;

        switch (event) {
        case MIRROR_SCANNED:
        case MIRROR_RESTED:
        case MIRROR_SAVED:
                operation->hear(operation, m, event);
                break;
        case MIRROR_BLIND:
                control_operation_report(operation, "%s", m->problem ? m->problem : "The source is lost");
                control_operation_end(operation, true);
                break;
        case MIRROR_ENDS:
        case MIRROR_FREED:
                control_operation_report(operation, "Mirror '%s' %s", m->config.name,
                                         mirror_state_is_failing(m)           ? "has failed"
                                         : mirror_state_is_being_recreated(m) ? "was lost, and is made anew"
                                                                              : "is stopping");
                control_operation_end(operation, true);
                break;
        }
}

/* A sentence, or NULL if it takes wishes. */
static const char *why_not(const Mirror *m, OperationKind kind) {
        if (mirror_state_is_failing(m) || m->phase == PHASE_FAILED)
                return "it has failed";
        if (mirror_state_is_stopping(m) || m->phase >= PHASE_REMOVING)
                return "it is stopping";
        if (!m->attached || mirror_state_is_being_recreated(m))
                return "it is only starting: source and tmpfs are being opened";
        if (m->lost && kind != OPERATION_VERIFY)
                return m->problem ? m->problem : "its source is lost";
        return NULL;
}

static int refuse(const Mirror *m, const char *reason, char **ret_refusal) {
        if (asprintf(ret_refusal, "Mirror '%s' does not take that now: %s", m->config.name, reason) < 0) {
                *ret_refusal = NULL;
                return -ENOMEM;
        }
        return OPERATION_REFUSED;
}

static int begin(Operation *operation, Mirror *m, OperationKind kind) {
        switch (kind) {
        case OPERATION_STAGE:
                return control_operation_stage(operation, m);
        case OPERATION_RELEASE:
                return control_operation_release(operation, m);
        case OPERATION_ACCEPT:
                return control_operation_accept(operation, m);
        case OPERATION_SYNC:
                return control_operation_sync(operation, m);
        case OPERATION_VERIFY:
                return control_operation_verify(operation, m);
        }
        return -EINVAL;
}

int control_operation_new(Operation **ret, Mirror *m, OperationKind kind, char *const *names, const char *who,
                          char **ret_refusal) {
        const char *reason = why_not(m, kind);
        Operation *operation;
        int r;

        if (!reason && kind == OPERATION_RELEASE && !*names)
                reason = "what is to be released has to be named";
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
                r = begin(operation, m, kind);
                if (r != 0 && operation->mirror)
                        control_operation_end(operation, true);
        }
        if (r > 0) {
                *ret_refusal = *operation->report ? strdup(*operation->report) : NULL;
                r = *ret_refusal ? OPERATION_REFUSED : -ENOMEM;
        }
        if (r != 0)
                control_operation_drop(operation);
        else
                *ret = operation;
        return r;
}

OperationStatus control_operation_status(Operation *operation, Mirror *m) {
        OperationStatus status;

        if (!m && operation->phase != OPERATION_OVER) {
                control_operation_report(operation, "The mirror is gone");
                control_operation_end(operation, true);
        }
        status = (OperationStatus){ .over = operation->phase == OPERATION_OVER,
                                    .failed = operation->failed,
                                    .done = operation->done,
                                    .total = operation->total,
                                    .report = operation->report };
        if (operation->stages && operation->phase == OPERATION_PLANNED && m && mirror_state(m) == MIRROR_STAGING)
                status.done = MIN(operation->total, (uint64_t) atomic_load(&m->progress));
        return status;
}

Operation *control_operation_free(Operation *operation) {
        if (!operation)
                return NULL;
        if (operation->phase == OPERATION_OVER)
                control_operation_drop(operation);
        else
                operation->orphan = true;
        return NULL;
}
