/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The conflicts that are not acknowledged yet. See save/conflicts.h. */

#include "save/conflicts.h"

#include "base/array.h"

static void conflict_done(Conflict *conflict) {
        free(conflict->path);
        free(conflict->kept);
}

void conflicts_done(Conflicts *conflicts) {
        for (size_t i = 0; i < conflicts->n; i++)
                conflict_done(&conflicts->items[i]);
        free(conflicts->items);
        *conflicts = (Conflicts){};
}

int conflicts_add(Conflicts *conflicts, const char *path, char *kept) {
        Conflict conflict = { .path = strdup(path), .kept = kept };

        if (!conflict.path || ARRAY_ROOM(conflicts->items, conflicts->n) < 0) {
                conflict_done(&conflict);
                return -ENOMEM;
        }
        conflicts->items[conflicts->n++] = conflict;
        return 0;
}

const char *conflicts_last(const Conflicts *conflicts) {
        return conflicts->n > 0 ? conflicts->items[conflicts->n - 1].kept : NULL;
}

void conflicts_drop(Conflicts *conflicts, size_t index) {
        conflict_done(&conflicts->items[index]);
        conflicts->n--;
        memmove(&conflicts->items[index], &conflicts->items[index + 1], (conflicts->n - index) * sizeof(Conflict));
}
