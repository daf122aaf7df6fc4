/* SPDX-License-Identifier: GPL-2.0-or-later */

/* XXH3-128 in several variants. See base/xxh.h.
 *
 * This file is compiled once for each variant. The wider ones inline the library's code and compile it for their
 * vectors: on Debian 12 the library's plain functions use the vectors that every x86-64 has, and its own choice among
 * wider ones (xxh_x86dispatch.h) leaves the upper halves of the vectors dirty, which slows what the thread does next.
 * They prefetch farther ahead than the library does, which is a fifth faster for data that is not in the processor's
 * cache (11.5 instead of 9.6 GB/s with AVX2, 12.0 instead of 9.8 with AVX-512). */

#include "base/xxh.h"

#if defined(XXH_VARIANT_AVX512)
#define VARIANT xxh_avx512
#elif defined(XXH_VARIANT_AVX2)
#define VARIANT xxh_avx2
#else
#define VARIANT xxh_plain
#define XXH_VARIANT_PLAIN
#endif

#ifndef XXH_VARIANT_PLAIN
#define XXH_INLINE_ALL
#define XXH_PREFETCH_DIST 2048
#endif

#include <xxhash.h>

extern const XxhVariant VARIANT;

static void *state_new(void) {
        XXH3_state_t *state = XXH3_createState();

        if (state)
                (void) XXH3_128bits_reset(state);
        return state;
}

static void state_free(void *state) {
        (void) XXH3_freeState(state);
}

static void update(void *state, const void *data, size_t length) {
        (void) XXH3_128bits_update(state, data, length);
}

static void get(const void *state, uint8_t bytes[static XXH_VARIANT_BYTES]) {
        XXH128_canonical_t canonical;

        XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(state));
        memcpy(bytes, canonical.digest, XXH_VARIANT_BYTES);
}

const XxhVariant VARIANT = { .state_new = state_new, .state_free = state_free, .update = update, .get = get };

#ifdef XXH_VARIANT_PLAIN
#ifdef HAVE_WIDE_XXH
extern const XxhVariant xxh_avx2, xxh_avx512;
#endif

const XxhVariant *xxh_variant(size_t index) {
        const XxhVariant *variants[3] = {};
        size_t n = 0;

#ifdef HAVE_WIDE_XXH
        if (__builtin_cpu_supports("avx512f"))
                variants[n++] = &xxh_avx512;
        if (__builtin_cpu_supports("avx2"))
                variants[n++] = &xxh_avx2;
#endif
        variants[n++] = &xxh_plain;
        return index < n ? variants[index] : NULL;
}
#endif
