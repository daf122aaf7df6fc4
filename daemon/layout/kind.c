/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What the layouts share: small questions about paths. See layout/kind.h. */

#include "layout/kind.h"

const char *layout_kind_below(const char *path, const char *directory) {
        size_t n = strlen(directory);

        return strncmp(path, directory, n) == 0 && path[n] == '/' ? path + n + 1 : NULL;
}

size_t layout_kind_depth(const char *path) {
        size_t n = 1;

        for (; *path; path++)
                n += *path == '/';
        return n;
}

bool layout_kind_is_ollama_blob(const char *name, Claim *ret) {
        Claim claim;

        if (strncmp(name, "sha256-", 7) != 0 || claim_from_hex(CLAIM_SHA256, name + 7, strlen(name + 7), &claim) < 0)
                return false;
        if (ret)
                *ret = claim;
        return true;
}

bool layout_kind_is_hub_blob(const char *name, Claim *ret) {
        size_t n = strlen(name);
        Claim claim;

        if (claim_from_hex(n == 64 ? CLAIM_SHA256 : CLAIM_GIT_BLOB, name, n, &claim) < 0)
                return false;
        if (ret)
                *ret = claim;
        return true;
}
