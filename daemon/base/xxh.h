/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* XXH3-128 in the variants that this processor can run: the library's own, and two that are compiled for wider
 * vectors, which are up to three times as fast. The only user of xxhash. All variants give the same digest; a state
 * belongs to the variant that made it. */

#include "base/base.h"

enum { XXH_VARIANT_BYTES = 16 };

typedef struct XxhVariant {
        void *(*state_new)(void); /* ready for the first bytes; NULL: no memory */
        void (*state_free)(void *state);
        void (*update)(void *state, const void *data, size_t length);
        void (*get)(const void *state, uint8_t bytes[static XXH_VARIANT_BYTES]); /* canonical: big-endian */
} XxhVariant;

/* The fastest variant first; NULL after the last. */
const XxhVariant *xxh_variant(size_t index);
