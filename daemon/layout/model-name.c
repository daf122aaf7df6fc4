/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The names of models against paths. See layout/model-name.h. */

#include "layout/model-name.h"

#include "base/text.h"
#include "layout/layout.h"

#include <fnmatch.h>

/* A name that has a glob's characters in it still means itself. */
static bool matches(const char *pattern, const char *text, int flags) {
        return strcmp(pattern, text) == 0 || fnmatch(pattern, text, flags) == 0;
}

/* ---- Ollama ---- */

/* What "ollama list" leaves out before MODEL, NAMESPACE/MODEL and HOST/NAMESPACE/MODEL. */
static const char *const implied[] = { "registry.ollama.ai/library/", "registry.ollama.ai/", "" };

/* A model's name as the path of its manifest, "HOST/NAMESPACE/MODEL/TAG"; NULL if it cannot be one, or on ENOMEM. */
static char *complete(const char *model) {
        const char *slash = strrchr(model, '/'), *colon = strrchr(slash ? slash : model, ':');
        int length = colon ? (int) (colon - model) : (int) strlen(model);
        const char *tag = colon ? colon + 1 : strpbrk(model, "*?[") ? "*" : "latest";
        size_t depth = layout_kind_depth(model);

        if (strcmp(model, "*") == 0)
                return strdup("*/*/*/*");
        return depth > ELEMENTSOF(implied) ? NULL : text_format("%s%.*s/%s", implied[depth - 1], length, model, tag);
}

/* The place of a manifest, NULL if the entry is none. */
static const char *place_of(const Entry *entry) {
        return entry->type != ENTRY_DIRECTORY && layout_role(LAYOUT_OLLAMA, entry->path) == LAYOUT_POINTER
                       ? layout_kind_ollama_manifest(entry->path)
                       : NULL;
}

static bool matches_manifest(const char *model, const char *place) {
        _cleanup_(freep) char *pattern = complete(model);

        return pattern && fnmatch(pattern, place, FNM_PATHNAME | FNM_CASEFOLD) == 0;
}

static bool matches_ollama(const char *model, const Entry *entry) {
        const char *place = place_of(entry);

        return place && matches_manifest(model, place);
}

/* As "ollama list" shows it. */
static int name_of_manifest(const Entry *entry, char **ret) {
        const char *place = place_of(entry), *tag = place ? strrchr(place, '/') : NULL;

        if (!tag || layout_kind_depth(place) != 4)
                return 0;
        for (size_t i = 0; i < ELEMENTSOF(implied); i++) {
                size_t n = strlen(implied[i]);

                if (strncmp(place, implied[i], n) == 0 && place + n < tag) {
                        place += n;
                        break;
                }
        }
        *ret = text_format("%.*s:%s", (int) (tag - place), place, tag + 1);
        return *ret ? 1 : -ENOMEM;
}

static bool means_in_ollama(const char *model, const char *shown) {
        _cleanup_(freep) char *place = complete(shown);

        return place && matches_manifest(model, place);
}

/* ---- Hugging Face ---- */

/* "models--org--name" -> "org/name"; NULL if it is none, or on ENOMEM. */
static char *name_of_repository(const char *directory) {
        for (size_t i = 0; i < LAYOUT_KIND_REPOSITORIES; i++) {
                const LayoutRepository *kind = &layout_kind_repositories[i];
                const char *name = directory + strlen(kind->directory), *dashes;

                if (strncmp(directory, kind->directory, strlen(kind->directory)) != 0 || *name == '\0')
                        continue;
                dashes = strstr(name, "--");
                return dashes ? text_format("%s%.*s/%s", kind->shown, (int) (dashes - name), name, dashes + 2)
                              : text_format("%s%s", kind->shown, name);
        }
        return NULL;
}

/* A glob matches repositories of its own kind only: "*" means models, and no datasets. */
static bool means_repository(const char *model, const char *name) {
        for (size_t i = 0; i < LAYOUT_KIND_REPOSITORIES; i++) {
                const char *shown = layout_kind_repositories[i].shown;
                size_t n = strlen(shown);
                bool wanted = strncmp(model, shown, n) == 0, is = strncmp(name, shown, n) == 0;

                if (wanted || (is && n > 0))
                        return wanted && is && matches(model + n, name + n, strchr(model + n, '/') ? FNM_PATHNAME : 0);
        }
        return false;
}

static bool is_at_top(const Entry *entry) {
        return (entry->type == ENTRY_DIRECTORY || entry->type == ENTRY_SYMLINK) && !strchr(entry->path, '/');
}

static int name_of_top(const Entry *entry, char **ret) {
        *ret = is_at_top(entry) ? name_of_repository(entry->path) : NULL;
        return *ret != NULL;
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

/* The length of a shard's path before "-00001-of-"; 0 for anything else. */
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

/* See the functions below. */
static const struct NameRules {
        bool (*matches)(const char *model, const Entry *entry);
        int (*name_of)(const Entry *entry, char **ret);
        bool (*means)(const char *model, const char *shown);
} rules[] = {
        [LAYOUT_AUTO] = { matches_plain, name_of_file, means_in_plain },
        [LAYOUT_PLAIN] = { matches_plain, name_of_file, means_in_plain },
        [LAYOUT_OLLAMA] = { matches_ollama, name_of_manifest, means_in_ollama },
        [LAYOUT_HUGGINGFACE] = { matches_repository, name_of_top, means_repository },
};

bool model_name_matches(LayoutKind kind, const char *model, const Entry *entry) {
        return rules[kind].matches(model, entry);
}

int model_name_of(LayoutKind kind, const Entry *entry, char **ret) {
        return rules[kind].name_of(entry, ret);
}

bool model_name_means(LayoutKind kind, const char *model, const char *shown) {
        return rules[kind].means(model, shown);
}
