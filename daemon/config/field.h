/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* A setting in memory: what it is stored as, and what follows from that. What may be written for it is the business
 * of configvalue. */

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

bool field_equal(FieldKind kind, const void *a, const void *b);
int field_copy(FieldKind kind, const void *from, void *to); /* over an empty field */
void field_done(FieldKind kind, void *field);               /* leaves it empty */

/* 0 or -ENOMEM, with the field untouched. */
int field_replace_string(char **field, const char *text);
