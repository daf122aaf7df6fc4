/* SPDX-License-Identifier: GPL-2.0-or-later */

/* How an unfinished file is known by its name. See layout/unfinished.h. */

#include "layout/unfinished.h"

#include "tree/scan.h"

#include <ctype.h>
#include <limits.h>

/* A name that begins, goes on and ends so. Not globs, because every name of a tree is compared with all of them in
 * every scan. */
typedef struct Pattern {
        const char *beginning, *middle, *ending; /* NULL: anything */
} Pattern;

static const Pattern client_patterns[] = {
        { .ending = ".incomplete" },                         /* Hugging Face, in Python and JavaScript */
        { .ending = ".part" },                               /* the same in Rust (".sync.part"), LM Studio */
        { .beginning = "sha256-", .middle = "-partial" },    /* Ollama */
        { .ending = ".downloadInProgress" },                 /* llama.cpp */
        { .beginning = "downloading_" },                     /* LM Studio */
        { .ending = ".partial" },                            /* LocalAI, and the next three */
        { .beginning = ".model-config-" },
        { .beginning = ".artifact-binding-" },
        { .beginning = ".", .middle = ".tmp-" },
        { .middle = ".!" },                                  /* BitTorrent: NAME.!qB, NAME.!ut */
        { .ending = ".crdownload" },                         /* browsers */
        { .ending = ".lock" },                               /* several clients, and the next one */
        { .ending = ".tmp" },
};

/* Directories of clients. */
static const char *const client_places[] = {
        ".locks",              /* Hugging Face; LocalAI (".artifacts/.locks") */
        ".artifacts/.partial", /* LocalAI */
};

const char *const unfinished_markers[] = {
        ".aria2", /* aria2 writes "X" in place, and removes "X.aria2" when that is whole */
        NULL,
};

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

static bool matches(const Pattern *pattern, const char *name, size_t n) {
        size_t before = pattern->beginning ? strlen(pattern->beginning) : 0;

        return (!pattern->beginning || begins(name, n, pattern->beginning)) &&
               (!pattern->middle || memmem(name + before, n - before, pattern->middle, strlen(pattern->middle))) &&
               (!pattern->ending || ends(name, n, pattern->ending));
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

/* The private directory at the top of a tree is never listed; one further down belongs to another mirror, on whose
 * disk nothing may be put into it. */
static bool is_of_tools(const char *name, size_t n) {
        return is_exactly(name, n, SCAN_PRIVATE_DIR) || begins(name, n, ".nfs") || ends(name, n, "~") ||
               is_exactly(name, n, ".~tmp~") || is_editor_swap(name, n) || is_rsync_temporary(name, n);
}

static bool is_of_clients(const char *name, size_t n) {
        for (size_t i = 0; i < ELEMENTSOF(client_patterns); i++)
                if (matches(&client_patterns[i], name, n))
                        return true;
        for (const char *const *marker = unfinished_markers; *marker; marker++)
                if (ends(name, n, *marker))
                        return true;
        return false;
}

/* True if the parts of @place are somewhere in the path. */
static bool has_place(const char *path, const char *place) {
        size_t n = strlen(place);

        for (const char *s = strstr(path, place); s; s = strstr(s + 1, place))
                if ((s == path || s[-1] == '/') && (s[n] == '/' || s[n] == '\0'))
                        return true;
        return false;
}

bool unfinished_has_name(const char *path, UnfinishedNames names) {
        bool clients = names == UNFINISHED_ALL;

        for (const char *name = path;;) {
                const char *slash = strchrnul(name, '/');
                size_t n = (size_t) (slash - name);

                if (is_of_tools(name, n) || (clients && is_of_clients(name, n)))
                        return true;
                if (*slash == '\0')
                        break;
                name = slash + 1;
        }
        for (size_t i = 0; clients && i < ELEMENTSOF(client_places); i++)
                if (has_place(path, client_places[i]))
                        return true;
        return false;
}

/* "ollama create" from safetensors: links to the files that it reads, which are absolute. */
bool unfinished_is_in_ollama(const char *path) {
        return strncmp(path, "ollama-safetensors", 18) == 0;
}

bool unfinished_is_in_hub(const char *path) {
        return strncmp(path, "tmp", 3) == 0;
}

bool unfinished_is_in_hub_blobs(const char *path) {
        return strncmp(path, "tmp_", 4) == 0;
}

bool unfinished_is_marked(const Manifest *tree, const char *path) {
        char name[PATH_MAX];

        for (const char *const *marker = unfinished_markers; *marker; marker++) {
                int n = snprintf(name, sizeof(name), "%s%s", path, *marker);

                if (n < (int) sizeof(name) && manifest_find(tree, name))
                        return true;
        }
        return false;
}
