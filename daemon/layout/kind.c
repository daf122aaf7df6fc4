/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What the layouts share. See layout/kind.h. */

#include "layout/kind.h"

#include "base/path.h"

const char *layout_kind_inside(const char *path, const char *directory) {
        const char *rest = path_below(path, directory);

        return rest && *rest ? rest : NULL;
}

size_t layout_kind_depth(const char *path) {
        size_t n = 1;

        for (; *path; path++)
                n += *path == '/';
        return n;
}

bool layout_kind_is_ollama_blob(const char *name, Claim *ret) {
        Claim claim;

        return strncmp(name, "sha256-", 7) == 0 &&
               claim_from_hex(CLAIM_SHA256, name + 7, strlen(name + 7), ret ? ret : &claim) == 0;
}

bool layout_kind_is_hub_blob(const char *name, Claim *ret) {
        size_t n = strlen(name);
        Claim claim;

        return claim_from_hex(n == 64 ? CLAIM_SHA256 : CLAIM_GIT_BLOB, name, n, ret ? ret : &claim) == 0;
}
