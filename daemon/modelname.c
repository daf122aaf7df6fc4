/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The names of Models= against paths. See modelname.h. */

#include "modelname.h"

#include "layout.h"

#include <fnmatch.h>

/* A name may itself have what is a glob's in it. */
static bool matches(const char *pattern, const char *text, int flags) {
        return strcmp(pattern, text) == 0 || fnmatch(pattern, text, flags) == 0;
}

static size_t count_slashes(const char *text) {
        size_t n = 0;

        for (; *text; text++)
                n += *text == '/';
        return n;
}

/* ---- Ollama ---- */

/* "HOST/NAMESPACE/MODEL/TAG", as the manifests' directories are, or -EINVAL. */
static int complete(const char *model, char **ret) {
        static const char *const before[] = { "registry.ollama.ai/library/", "registry.ollama.ai/", "" };
        const char *slash = strrchr(model, '/'), *colon = strrchr(slash ? slash : model, ':');
        size_t n = count_slashes(model), length = colon ? (size_t) (colon - model) : strlen(model);
        const char *tag = colon ? colon + 1 : strpbrk(model, "*?[") ? "*" : "latest";

        if (n >= ELEMENTSOF(before))
                return -EINVAL;
        if (strcmp(model, "*") == 0)
                *ret = strdup("*/*/*/*");
        else if (asprintf(ret, "%s%.*s/%s", before[n], (int) length, model, tag) < 0)
                *ret = NULL;
        return *ret ? 0 : -ENOMEM;
}

static bool matches_ollama(const char *model, const Entry *entry) {
        const char *slash = strchr(entry->path, '/');
        _cleanup_(freep) char *pattern = NULL;

        if (entry->type == ENTRY_DIRECTORY || layout_role(LAYOUT_OLLAMA, entry->path) != LAYOUT_POINTER || !slash ||
            strncmp(entry->path, "manifest", 8) != 0)
                return false;
        return complete(model, &pattern) == 0 && fnmatch(pattern, slash + 1, FNM_PATHNAME | FNM_CASEFOLD) == 0;
}

/* ---- Hugging Face ---- */

static bool matches_repository(const char *model, const char *directory) {
        static const struct {
                const char *before, *kind;
        } kinds[] = { { "datasets/", "datasets--" }, { "spaces/", "spaces--" }, { "", "models--" } };

        for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
                size_t n = strlen(kinds[i].before), prefix = strlen(kinds[i].kind);
                const char *name = directory + prefix, *dashes = strstr(name, "--");
                _cleanup_(freep) char *text = NULL;

                if (strncmp(model, kinds[i].before, n) != 0)
                        continue;
                if (strncmp(directory, kinds[i].kind, prefix) != 0)
                        return false;
                if (asprintf(&text, "%.*s%s%s", dashes ? (int) (dashes - name) : (int) strlen(name), name, dashes ? "/" : "", dashes ? dashes + 2 : "") < 0) {
                        text = NULL;
                        return false;
                }
                return matches(model + n, text, strchr(model + n, '/') ? FNM_PATHNAME : 0);
        }
        return false;
}

/* ---- plain ---- */

static bool matches_plain(const char *model, const Entry *entry) {
        bool whole = strchr(model, '/') != NULL;
        const char *slash = strrchr(entry->path, '/'), *name = slash ? slash + 1 : entry->path, *from = whole ? entry->path : name, *tail;
        int flags = whole ? FNM_PATHNAME : 0;
        _cleanup_(freep) char *text = NULL;
        size_t n;
        char *dot;

        if (matches(model, from, flags))
                return true;
        if (entry->type == ENTRY_DIRECTORY)
                return false;
        text = strdup(from);
        if (!text)
                return false;
        dot = strrchr(text + (name - from), '.');
        if (dot && dot > text + (name - from)) {
                *dot = '\0';
                if (matches(model, text, flags))
                        return true;
        }
        n = layout_set(entry->path, &tail);
        if (*tail == '\0' || entry->path + n <= name + 1)
                return false;
        text[(size_t) (entry->path + n - from) - 1] = '\0'; /* before the dash */
        return matches(model, text, flags);
}

bool modelname_matches(LayoutKind kind, const char *model, const Entry *entry) {
        switch (kind) {
        case LAYOUT_OLLAMA:
                return matches_ollama(model, entry);
        case LAYOUT_HUGGINGFACE:
                return (entry->type == ENTRY_DIRECTORY || entry->type == ENTRY_SYMLINK) && !strchr(entry->path, '/') &&
                       matches_repository(model, entry->path);
        case LAYOUT_PLAIN:
        case LAYOUT_AUTO:
                break;
        }
        return matches_plain(model, entry);
}
