/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* A setting in memory: how it is stored, and how it is copied and freed. What its text may be is decided in
 * config/value.h. */

#include "base/base.h"

typedef enum FieldKind {
        FIELD_UNSIGNED, /* unsigned, or an enum */
        FIELD_U64,
        FIELD_BOOL,
        FIELD_AMOUNT,
        FIELD_STRING,
        FIELD_LIST,
        FIELD_DELETE_LIMIT,
} FieldKind;

int config_storage_copy(FieldKind kind, const void *from, void *to); /* over an empty field */
void config_storage_done(FieldKind kind, void *field);               /* leaves it empty */

/* 0, or -ENOMEM with the field untouched. */
int config_storage_replace_string(char **field, const char *text);
