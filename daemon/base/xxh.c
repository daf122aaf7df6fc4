/* SPDX-License-Identifier: GPL-2.0-or-later */

/* XXH3-128 in several forms. See base/xxh.h.
 *
 * This file is compiled once for each form. The wider ones are the library's code inlined and compiled anew: on
 * Debian 12 the library's plain functions use the vectors that every x86-64 has, and its own choice among wider ones
 * (xxh_x86dispatch.h) leaves the upper halves of the vectors dirty, which slows what the thread does next. They
 * fetch farther ahead than the library does: for what is not in the processor's cache that was worth a fifth (11.5
 * instead of 9.6 GB/s with AVX2, 12.0 instead of 9.8 with AVX-512). */

#include "base/xxh.h"

#if defined(XXH_FORM_AVX512)
#define FORM xxh_avx512
#elif defined(XXH_FORM_AVX2)
#define FORM xxh_avx2
#else
#define FORM xxh_plain
#define XXH_FORM_PLAIN
#endif

#ifndef XXH_FORM_PLAIN
#define XXH_INLINE_ALL
#define XXH_PREFETCH_DIST 2048
#endif

#include <xxhash.h>

extern const XxhForm FORM;

static void *state_new(void) {
        return XXH3_createState();
}

static void state_free(void *state) {
        (void) XXH3_freeState(state);
}

static void reset(void *state) {
        (void) XXH3_128bits_reset(state);
}

static void update(void *state, const void *data, size_t length) {
        (void) XXH3_128bits_update(state, data, length);
}

static void get(const void *state, uint8_t bytes[static XXH_FORM_BYTES]) {
        XXH128_canonical_t canonical;

        XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(state));
        memcpy(bytes, canonical.digest, XXH_FORM_BYTES);
}

const XxhForm FORM = { .state_new = state_new, .state_free = state_free, .reset = reset, .update = update, .get = get };

#ifdef XXH_FORM_PLAIN
#ifdef HAVE_WIDE_XXH
extern const XxhForm xxh_avx2, xxh_avx512;
#endif

const XxhForm *xxh_form(size_t index) {
        const XxhForm *forms[3] = {};
        size_t n = 0;

#ifdef HAVE_WIDE_XXH
        if (__builtin_cpu_supports("avx512f"))
                forms[n++] = &xxh_avx512;
        if (__builtin_cpu_supports("avx2"))
                forms[n++] = &xxh_avx2;
#endif
        forms[n++] = &xxh_plain;
        return index < n ? forms[index] : NULL;
}
#endif
