/* SPDX-License-Identifier: GPL-2.0-or-later */

/* A setting in memory. See config/storage.h. */

#include "config/storage.h"

#include "base/quantity.h"
#include "base/strv.h"

/* Of the kinds that own nothing. */
static const size_t sizes[] = {
        [FIELD_UNSIGNED] = sizeof(unsigned),
        [FIELD_U64] = sizeof(uint64_t),
        [FIELD_BOOL] = sizeof(bool),
        [FIELD_AMOUNT] = sizeof(Amount),
        [FIELD_DELETE_LIMIT] = sizeof(DeleteLimit),
};

int config_storage_replace_string(char **field, const char *text) {
        char *copy = strdup(text);

        if (!copy)
                return -ENOMEM;
        free(*field);
        *field = copy;
        return 0;
}

int config_storage_copy(FieldKind kind, const void *from, void *to) {
        if (kind == FIELD_STRING)
                return config_storage_replace_string(to, *(char *const *) from);
        if (kind == FIELD_LIST)
                return strv_copy(*(char **const *) from, to);
        memcpy(to, from, sizes[kind]);
        return 0;
}

void config_storage_done(FieldKind kind, void *field) {
        if (kind == FIELD_STRING) {
                free(*(char **) field);
                *(char **) field = NULL;
        } else if (kind == FIELD_LIST)
                *(char ***) field = strv_free(*(char ***) field);
}
