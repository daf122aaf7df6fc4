/* SPDX-License-Identifier: GPL-2.0-or-later */

/* A setting in memory. See config/field.h. */

#include "config/field.h"

#include "base/quantity.h"
#include "base/strv.h"
#include "base/text.h"

int field_replace_string(char **field, const char *text) {
        char *copy = strdup(text);

        if (!copy)
                return -ENOMEM;
        free(*field);
        *field = copy;
        return 0;
}

bool field_equal(FieldKind kind, const void *a, const void *b) {
        switch (kind) {
        case FIELD_UNSIGNED:
                return *(const unsigned *) a == *(const unsigned *) b;
        case FIELD_U64:
                return *(const uint64_t *) a == *(const uint64_t *) b;
        case FIELD_BOOL:
                return *(const bool *) a == *(const bool *) b;
        case FIELD_AMOUNT:
                return ((const Amount *) a)->kind == ((const Amount *) b)->kind &&
                       ((const Amount *) a)->value == ((const Amount *) b)->value;
        case FIELD_STRING:
                return string_equal(*(char *const *) a, *(char *const *) b);
        case FIELD_LIST:
                return strv_equal(*(char **const *) a, *(char **const *) b);
        case FIELD_DELETE_LIMIT:
                return quantity_delete_limit_equal(*(const DeleteLimit *) a, *(const DeleteLimit *) b);
        }
        return false;
}

int field_copy(FieldKind kind, const void *from, void *to) {
        switch (kind) {
        case FIELD_UNSIGNED:
                *(unsigned *) to = *(const unsigned *) from;
                return 0;
        case FIELD_U64:
                *(uint64_t *) to = *(const uint64_t *) from;
                return 0;
        case FIELD_BOOL:
                *(bool *) to = *(const bool *) from;
                return 0;
        case FIELD_AMOUNT:
                *(Amount *) to = *(const Amount *) from;
                return 0;
        case FIELD_STRING:
                return field_replace_string(to, *(char *const *) from);
        case FIELD_LIST:
                return strv_copy(*(char **const *) from, to);
        case FIELD_DELETE_LIMIT:
                *(DeleteLimit *) to = *(const DeleteLimit *) from;
                return 0;
        }
        return -EINVAL;
}

void field_done(FieldKind kind, void *field) {
        if (kind == FIELD_STRING) {
                free(*(char **) field);
                *(char **) field = NULL;
        } else if (kind == FIELD_LIST)
                *(char ***) field = strv_free(*(char ***) field);
}
