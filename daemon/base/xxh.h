/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* XXH3-128 in the forms that this processor can run: the library's own, and one compiled for wider vectors, which is
 * three times as fast. The only user of xxhash. All forms give the same digest; a state belongs to the form that
 * made it. */

#include "base/base.h"

enum { XXH_FORM_BYTES = 16 };

typedef struct XxhForm {
        void *(*state_new)(void); /* NULL: no memory */
        void (*state_free)(void *state);
        void (*reset)(void *state);
        void (*update)(void *state, const void *data, size_t length);
        void (*get)(const void *state, uint8_t bytes[static XXH_FORM_BYTES]); /* the canonical form, big-endian */
} XxhForm;

/* The fastest form first; NULL after the last. */
const XxhForm *xxh_form(size_t index);
