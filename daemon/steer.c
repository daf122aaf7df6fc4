/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What an operator asks of one mirror. See steer.h. */

#include "steer.h"

struct Steer {
        char *none; /* of reports: an empty list */
};

int steer_new(Steer **ret, Mirror *mirror, SteerKind kind, char *const *names, const char *who, char **ret_refusal) {
        (void) ret;
        (void) mirror;
        (void) kind;
        (void) names;
        (void) who;
        (void) ret_refusal;
        return -EOPNOTSUPP;
}

SteerStatus steer_status(Steer *steer, Mirror *mirror) {
        return (SteerStatus){ .over = true, .failed = !mirror, .report = &steer->none };
}

Steer *steer_free(Steer *steer) {
        free(steer);
        return NULL;
}
