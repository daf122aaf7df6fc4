/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What a pointer names. See layout/references.h. */

#include "layout/references.h"

#include "layout/layout.h"
#include "layout/ollama-manifest.h"
#include "layout/pointer.h"

#include <ctype.h>

/* ---- links ---- */

static int read_link(Pointer *pointer, const Entry *link) {
        char *path;
        int r = pointer_resolve(pointer, link, &path);

        return r != 0 ? r : reference_list_add(&pointer->found, path, UINT64_MAX, false);
}

/* ---- Hugging Face ---- */

/* The first entry in path order that is not before @path. */
static size_t lower_bound(const Manifest *tree, const char *path) {
        size_t low = 0, high = tree->n_entries;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (strcmp(tree->entries[middle].path, path) < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

static int add_snapshot(Pointer *pointer, const char *prefix) {
        size_t n = strlen(prefix);
        int r = 0;

        for (size_t i = lower_bound(pointer->tree, prefix); r == 0 && i < pointer->tree->n_entries; i++) {
                const Entry *e = &pointer->tree->entries[i];

                if (strncmp(e->path, prefix, n) != 0)
                        break;
                if (e->type != ENTRY_DIRECTORY && layout_role(LAYOUT_HUGGINGFACE, e->path) != LAYOUT_UNFINISHED)
                        r = reference_list_add(&pointer->found, strdup(e->path), UINT64_MAX, false);
        }
        if (r == 0 && pointer->found.n == 0)
                return pointer_broken(pointer, "its snapshot is not there");
        return r;
}

static int read_ref(Pointer *pointer, const char *path) {
        _cleanup_(freep) char *commit = NULL, *prefix = NULL, *list = NULL;
        size_t length;
        int r = pointer_read(pointer, path, &commit, &length), repository = (int) (strchr(path, '/') - path);
        Claim claim;

        if (r != 0)
                return r;
        while (length > 0 && isspace((unsigned char) commit[length - 1]))
                commit[--length] = '\0';
        if (claim_from_hex(CLAIM_GIT_BLOB, commit, length, &claim) < 0)
                return pointer_broken(pointer, "it is no commit");
        if (asprintf(&prefix, "%.*s/snapshots/%s/", repository, path, commit) < 0) {
                prefix = NULL;
                return -ENOMEM;
        }
        r = add_snapshot(pointer, prefix);
        if (r != 0)
                return r;
        if (asprintf(&list, "%.*s/trees/%s.json", repository, path, commit) < 0) {
                list = NULL;
                return -ENOMEM;
        }
        return manifest_find(pointer->tree, list)
                       ? reference_list_add(&pointer->found, TAKE_PTR(list), UINT64_MAX, false)
                       : 0;
}

/* ---- plain ---- */

/* @name seen from the directory of @path. */
static char *beside(const char *path, const char *name) {
        const char *slash = strrchr(path, '/');
        char *joined;

        if (asprintf(&joined, "%.*s%s", slash ? (int) (slash - path + 1) : 0, path, name) < 0)
                return NULL;
        return joined;
}

/* True if a path stays below where it starts. */
static bool is_inside(const char *path) {
        if (*path == '/' || *path == '\0')
                return false;
        for (const char *part = path; part; part = strchr(part, '/') ? strchr(part, '/') + 1 : NULL)
                if (strncmp(part, "..", 2) == 0 && (part[2] == '/' || part[2] == '\0'))
                        return false;
        return true;
}

static int read_index(Pointer *pointer, const char *path) {
        _cleanup_(json_decrefp) json_t *json = NULL;
        int r = pointer_read_json(pointer, path, &json);
        const char *key, *last = "";
        json_t *map, *value;

        if (r != 0)
                return r;
        map = json_object_get(json, "weight_map");
        if (!json_is_object(map))
                return pointer_broken(pointer, "it has no weight_map");
        json_object_foreach(map, key, value) {
                const char *name = json_input_string(value);

                if (!name || !is_inside(name))
                        return pointer_broken(pointer, "its weight_map names what is no file");
                if (strcmp(name, last) == 0)
                        continue; /* tensors of one shard stand together, mostly */
                last = name;
                r = reference_list_add(&pointer->found, beside(path, name), UINT64_MAX, false);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int read_first_shard(Pointer *pointer, const char *path) {
        const char *tail;
        size_t n = layout_set(path, &tail);
        unsigned long count = strtoul(tail + 4, NULL, 10); /* after "-of-" */
        int r = 0;

        for (unsigned long i = 2; r == 0 && i <= count; i++) {
                char *shard;

                if (asprintf(&shard, "%.*s%05lu%s", (int) n, path, i, tail) < 0)
                        return -ENOMEM;
                r = reference_list_add(&pointer->found, shard, UINT64_MAX, false);
        }
        return r;
}

/* The file that a line of LocalAI's YAML names, without the marks around it; NULL if it names none. Changes the line. */
static char *named_file(char *line) {
        static const char *const keys[] = { "model:", "mmproj:", "filename:" };
        char *value = NULL, *end;

        line += strspn(line, " \t-");
        for (size_t i = 0; i < ELEMENTSOF(keys); i++)
                if (strncmp(line, keys[i], strlen(keys[i])) == 0)
                        value = line + strlen(keys[i]);
        if (!value)
                return NULL;
        end = strstr(value, " #");
        if (end)
                *end = '\0';
        value += strspn(value, " \t\r\"'");
        for (end = value + strlen(value); end > value && strchr(" \t\r\"'", end[-1]); end--)
                end[-1] = '\0';
        while (strncmp(value, "./", 2) == 0)
                value += 2;
        return value;
}

static int read_yaml(Pointer *pointer, const char *path) {
        _cleanup_(freep) char *text = NULL;
        size_t length;
        int r = pointer_read(pointer, path, &text, &length);

        if (r == 0 && strlen(text) != length)
                return pointer_broken(pointer, "it is no text");
        for (char *save = NULL, *line = r == 0 ? strtok_r(text, "\n", &save) : NULL; r == 0 && line;
             line = strtok_r(NULL, "\n", &save)) {
                const char *name = named_file(line);

                if (name && strcmp(name, path) != 0 && manifest_find(pointer->tree, name))
                        r = reference_list_add(&pointer->found, strdup(name), UINT64_MAX, false);
        }
        return r;
}

/* "D/.cache/huggingface/download/FILE.metadata" is about "D/FILE". */
static int read_record_of_download(Pointer *pointer, const char *path) {
        static const char place[] = ".cache/huggingface/download/";
        const char *s = strstr(path, place), *file = s + strlen(place);
        char *about;

        if (asprintf(&about, "%.*s%.*s", (int) (s - path), path, (int) (strlen(file) - strlen(".metadata")), file) < 0)
                return -ENOMEM;
        return reference_list_add(&pointer->found, about, UINT64_MAX, false);
}

static int read_plain(Pointer *pointer, const char *path) {
        const char *tail = strrchr(path, '.');

        if (string_equal(tail, ".metadata"))
                return read_record_of_download(pointer, path);
        if (string_equal(tail, ".json"))
                return read_index(pointer, path);
        return string_equal(tail, ".gguf") ? read_first_shard(pointer, path) : read_yaml(pointer, path);
}

/* ---- */

static int read_pointer(LayoutKind kind, Pointer *pointer, const Entry *entry) {
        LayoutRole role = layout_role(kind, entry->path);
        bool ollama = kind == LAYOUT_OLLAMA && strncmp(entry->path, "manifest", 8) == 0 && strchr(entry->path, '/');
        bool hub = kind == LAYOUT_HUGGINGFACE && !layout_may_link(kind, entry->path);

        if (ollama)
                return ollama_manifest_read(pointer, entry);
        if (role != LAYOUT_POINTER && role != LAYOUT_LINK)
                return 0;
        if (entry->type == ENTRY_SYMLINK)
                return read_link(pointer, entry);
        if (hub)
                return role == LAYOUT_POINTER ? read_ref(pointer, entry->path) : 0;
        return read_plain(pointer, entry->path);
}

int references_read(LayoutKind kind, int rootfd, const Manifest *tree, const char *path, References *ret,
                    const char **reterr_text) {
        Pointer pointer = { .rootfd = rootfd, .tree = tree };
        const Entry *entry = manifest_find(tree, path);
        int r;

        if (!entry)
                return -ENOENT;
        r = entry->type == ENTRY_DIRECTORY ? 0 : read_pointer(kind, &pointer, entry);
        if (r == 0 && reference_list_sort(&pointer.found) != 0)
                r = pointer_broken(&pointer, "it gives two sizes for one file");
        if (r != 0) {
                reference_list_done(&pointer.found);
                if (r != POINTER_BROKEN)
                        return r;
                *reterr_text = pointer.text;
                return REFERENCES_BROKEN;
        }
        *ret = pointer.found;
        return 0;
}
