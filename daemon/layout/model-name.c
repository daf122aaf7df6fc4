/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The names of models against paths. See layout/model-name.h. */

#include "layout/model-name.h"

#include "layout/layout.h"

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

/* What of the path of a manifest names its model, NULL if it is none. */
static const char *below_manifests(const Entry *entry) {
        const char *slash = strchr(entry->path, '/');

        if (entry->type == ENTRY_DIRECTORY || layout_role(LAYOUT_OLLAMA, entry->path) != LAYOUT_POINTER || !slash ||
            strncmp(entry->path, "manifest", 8) != 0)
                return NULL;
        return slash + 1;
}

static bool matches_manifest(const char *model, const char *place) {
        _cleanup_(freep) char *pattern = NULL;

        return complete(model, &pattern) == 0 && fnmatch(pattern, place, FNM_PATHNAME | FNM_CASEFOLD) == 0;
}

static bool matches_ollama(const char *model, const Entry *entry) {
        const char *place = below_manifests(entry);

        return place && matches_manifest(model, place);
}

/* As "ollama list" has it: without what complete() puts before it. */
static int name_of_manifest(const Entry *entry, char **ret) {
        static const char *const before[] = { "registry.ollama.ai/library/", "registry.ollama.ai/" };
        const char *place = below_manifests(entry), *tag = place ? strrchr(place, '/') : NULL;

        if (!tag || count_slashes(place) != 3)
                return 0;
        for (size_t i = 0; i < ELEMENTSOF(before); i++) {
                size_t n = strlen(before[i]);

                if (strncmp(place, before[i], n) == 0 && place + n < tag) {
                        place += n;
                        break;
                }
        }
        return asprintf(ret, "%.*s:%s", (int) (tag - place), place, tag + 1) < 0 ? -ENOMEM : 1;
}

static bool means_in_ollama(const char *model, const char *shown) {
        _cleanup_(freep) char *place = NULL;

        return complete(shown, &place) == 0 && matches_manifest(model, place);
}

/* ---- Hugging Face ---- */

static const struct {
        const char *before, *kind;
} repositories[] = { { "datasets/", "datasets--" }, { "spaces/", "spaces--" }, { "", "models--" } };

/* "models--org--name" -> "org/name"; NULL if it is none, or for want of memory. */
static char *name_of_repository(const char *directory) {
        char *text;

        for (size_t i = 0; i < ELEMENTSOF(repositories); i++) {
                size_t prefix = strlen(repositories[i].kind);
                const char *name = directory + prefix, *dashes;

                if (strncmp(directory, repositories[i].kind, prefix) != 0 || *name == '\0')
                        continue;
                dashes = strstr(name, "--");
                if (asprintf(&text, "%s%.*s%s%s", repositories[i].before,
                             dashes ? (int) (dashes - name) : (int) strlen(name), name, dashes ? "/" : "",
                             dashes ? dashes + 2 : "") < 0)
                        return NULL;
                return text;
        }
        return NULL;
}

/* A glob for models is none for the others. */
static bool means_repository(const char *model, const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(repositories); i++) {
                size_t n = strlen(repositories[i].before);
                bool asked = strncmp(model, repositories[i].before, n) == 0,
                     is = strncmp(name, repositories[i].before, n) == 0;

                if (asked || (is && n > 0))
                        return asked && is && matches(model + n, name + n, strchr(model + n, '/') ? FNM_PATHNAME : 0);
        }
        return false;
}

static bool is_at_top(const Entry *entry) {
        return (entry->type == ENTRY_DIRECTORY || entry->type == ENTRY_SYMLINK) && !strchr(entry->path, '/');
}

static bool matches_repository(const char *model, const Entry *entry) {
        _cleanup_(freep) char *name = is_at_top(entry) ? name_of_repository(entry->path) : NULL;

        return name && means_repository(model, name);
}

/* ---- plain ---- */

static const char *last_part(const char *path) {
        const char *slash = strrchr(path, '/');

        return slash ? slash + 1 : path;
}

/* Of a shard, the length of its path before "-00001-of-"; of anything else 0. */
static size_t before_number(const char *path) {
        const char *tail;
        size_t n = layout_set(path, &tail);

        return *tail == '\0' || path + n <= last_part(path) + 1 ? 0 : n - 1;
}

static bool means_in_plain(const char *model, const char *path) {
        bool whole = strchr(model, '/') != NULL;

        return matches(model, whole ? path : last_part(path), whole ? FNM_PATHNAME : 0);
}

static bool matches_plain(const char *model, const Entry *entry) {
        _cleanup_(freep) char *text = NULL;
        size_t n = before_number(entry->path);
        char *dot;

        if (means_in_plain(model, entry->path))
                return true;
        text = entry->type == ENTRY_DIRECTORY ? NULL : strdup(entry->path);
        if (!text)
                return false;
        dot = strrchr(text, '.');
        if (dot && dot > last_part(text)) {
                *dot = '\0';
                if (means_in_plain(model, text))
                        return true;
        }
        text[n] = '\0';
        return n > 0 && means_in_plain(model, text);
}

static bool is_model_file(const char *extension) {
        static const char *const extensions[] = { ".gguf", ".ggml", ".safetensors", ".bin",    ".pt", ".pth",
                                                  ".ckpt", ".onnx", ".llamafile",   ".tflite", ".h5" };

        for (size_t i = 0; extension && i < ELEMENTSOF(extensions); i++)
                if (strcasecmp(extension, extensions[i]) == 0)
                        return true;
        return false;
}

static int name_of_file(const Entry *entry, char **ret) {
        const char *name = last_part(entry->path), *dot = strrchr(name, '.');
        size_t n = before_number(entry->path);

        if (entry->type == ENTRY_DIRECTORY || dot == name || !is_model_file(dot))
                return 0;
        *ret = strndup(entry->path, n > 0 ? n : (size_t) (dot - entry->path));
        return *ret ? 1 : -ENOMEM;
}

bool model_name_marks(const char *path) {
        const char *name = last_part(path), *extension = strrchr(name, '.');

        if (string_equal(extension, ".safetensors"))
                return true;
        if (!string_equal(extension, ".json"))
                return false;
        return string_equal(name, "config.json") || string_equal(name, "model_index.json") || /* of diffusers */
               layout_role(LAYOUT_PLAIN, path) == LAYOUT_POINTER;
}

/* ---- */

bool model_name_matches(LayoutKind kind, const char *model, const Entry *entry) {
        switch (kind) {
        case LAYOUT_OLLAMA:
                return matches_ollama(model, entry);
        case LAYOUT_HUGGINGFACE:
                return matches_repository(model, entry);
        case LAYOUT_PLAIN:
        case LAYOUT_AUTO:
                break;
        }
        return matches_plain(model, entry);
}

int model_name_of(LayoutKind kind, const Entry *entry, char **ret) {
        switch (kind) {
        case LAYOUT_OLLAMA:
                return name_of_manifest(entry, ret);
        case LAYOUT_HUGGINGFACE:
                *ret = is_at_top(entry) ? name_of_repository(entry->path) : NULL;
                return *ret != NULL;
        case LAYOUT_PLAIN:
        case LAYOUT_AUTO:
                break;
        }
        return name_of_file(entry, ret);
}

bool model_name_means(LayoutKind kind, const char *model, const char *shown) {
        switch (kind) {
        case LAYOUT_OLLAMA:
                return means_in_ollama(model, shown);
        case LAYOUT_HUGGINGFACE:
                return means_repository(model, shown);
        case LAYOUT_PLAIN:
        case LAYOUT_AUTO:
                break;
        }
        return means_in_plain(model, shown);
}
