/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The names that clients and tools use while they write, and small questions about paths. See layout/kind.h.
 *
 * The patterns are spelled as comparisons, not as globs, because every name of a tree is asked for all of them at
 * every look. */

#include "layout/kind.h"

#include <ctype.h>

static bool begins(const char *name, size_t n, const char *with) {
        size_t m = strlen(with);

        return n >= m && memcmp(name, with, m) == 0;
}

static bool ends(const char *name, size_t n, const char *with) {
        size_t m = strlen(with);

        return n >= m && memcmp(name + n - m, with, m) == 0;
}

static bool is_exactly(const char *name, size_t n, const char *text) {
        return n == strlen(text) && memcmp(name, text, n) == 0;
}

/* rsync's temporary: ".NAME.XXXXXX" with six of mkstemp()'s characters. A plain dot file such as ".config" has no
 * second dot, and an extension made of six lower-case letters is taken for an extension. */
static bool is_rsync_temporary(const char *name, size_t n) {
        bool random = false;

        if (n < 9 || name[0] != '.' || name[n - 7] != '.')
                return false;
        for (size_t i = n - 6; i < n; i++) {
                if (!isalnum((unsigned char) name[i]))
                        return false;
                random = random || isupper((unsigned char) name[i]) || isdigit((unsigned char) name[i]);
        }
        return random;
}

/* ".NAME.swp" and its followers down to ".swa" */
static bool is_editor_swap(const char *name, size_t n) {
        return n >= 6 && name[0] == '.' && name[n - 1] >= 'a' && name[n - 1] <= 'p' && ends(name, n - 1, ".sw");
}

/* Our own directory at the top of a tree is never listed; below, it is that of another mirror, on whose disk nothing
 * is to be put into it. */
static bool is_of_tools(const char *name, size_t n) {
        return is_exactly(name, n, ".shmstaged") || begins(name, n, ".nfs") || ends(name, n, "~") ||
               is_exactly(name, n, ".~tmp~") || is_editor_swap(name, n) || is_rsync_temporary(name, n);
}

static bool is_of_clients(const char *name, size_t n) {
        static const char *const endings[] = {
                ".incomplete",         /* Hugging Face, in Python and JavaScript */
                ".part",               /* its Rust form (.sync.part), LM Studio */
                ".partial",            /* LocalAI */
                ".downloadInProgress", /* llama.cpp */
                ".crdownload", ".aria2", ".lock", ".tmp",
        };
        static const char *const beginnings[] = {
                "downloading_",                        /* LM Studio */
                ".model-config-", ".artifact-binding-", /* LocalAI */
        };

        for (size_t i = 0; i < ELEMENTSOF(endings); i++)
                if (ends(name, n, endings[i]))
                        return true;
        for (size_t i = 0; i < ELEMENTSOF(beginnings); i++)
                if (begins(name, n, beginnings[i]))
                        return true;
        return is_exactly(name, n, ".locks") || memmem(name, n, ".!", 2) != NULL || /* torrents: NAME.!qB, NAME.!ut */
               (begins(name, n, ".") && memmem(name + 1, n - 1, ".tmp-", 5) != NULL) || /* LocalAI */
               (begins(name, n, "sha256-") && memmem(name + 7, n - 7, "-partial", 8) != NULL);
}

/* True if the parts of @place stand somewhere in the path. */
static bool has_place(const char *path, const char *place) {
        size_t n = strlen(place);

        for (const char *s = strstr(path, place); s; s = strstr(s + 1, place))
                if ((s == path || s[-1] == '/') && (s[n] == '/' || s[n] == '\0'))
                        return true;
        return false;
}

bool layout_kind_is_scratch(const char *path, bool clients) {
        static const char *const places[] = { ".artifacts/.partial", ".artifacts/.locks" };

        for (const char *name = path;;) {
                const char *slash = strchrnul(name, '/');
                size_t n = (size_t) (slash - name);

                if (is_of_tools(name, n) || (clients && is_of_clients(name, n)))
                        return true;
                if (*slash == '\0')
                        break;
                name = slash + 1;
        }
        for (size_t i = 0; clients && i < ELEMENTSOF(places); i++)
                if (has_place(path, places[i]))
                        return true;
        return false;
}

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
