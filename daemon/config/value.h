/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The kinds of values that a setting can have, from text and to text. Each kind is one ValueType, which the rows of
 * config/config.c refer to; only it decides what a key accepts. */

#include "base/quantity.h"
#include "config/storage.h"

enum { VALUE_BAD = 1 };

typedef struct ValueType ValueType;
struct ValueType {
        FieldKind storage;
        int (*parse)(const ValueType *type, const char *text, void *field);
        void (*print)(const ValueType *type, const void *field, FILE *out);
        const char *allowed;      /* the end of the sentence "KEY=VALUE: must be ..." */
        const char *const *names; /* of an enum, in its order, NULL-terminated */
        uint64_t min, max;        /* of a number */
};

/* Reads @text into @field; a list is added to. 0, VALUE_BAD with the field untouched, or -ENOMEM. */
int value_parse(const ValueType *type, const char *text, void *field);

/* Writes a text that value_parse() reads back to the same value, a list on one line. Check ferror(@out) afterwards. */
void value_print(const ValueType *type, const void *field, FILE *out);

extern const ValueType value_type_workers, value_type_reserve, value_type_size, value_type_chunk_size,
        value_type_bandwidth_limit, value_type_settle_time, value_type_poll_interval, value_type_boolean,
        value_type_huge_pages, value_type_on_no_room, value_type_copy_method, value_type_on_corrupt, value_type_path,
        value_type_optional_path, value_type_numa_policy, value_type_globs, value_type_units, value_type_layout,
        value_type_models, value_type_deletes, value_type_trash_keep, value_type_mass_delete_limit,
        value_type_sweep_delay, value_type_scrub;
