/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What the pointers of a plain tree name. See layout/plain-pointer.h. */

#include "layout/plain-pointer.h"

#include "base/text.h"
#include "layout/layout.h"

/* The path of @name in the directory of @path. */
static char *beside(const char *path, const char *name) {
        const char *slash = strrchr(path, '/');

        return text_format("%.*s%s", slash ? (int) (slash - path + 1) : 0, path, name);
}

/* True if a path is relative and does not leave the directory that it starts in. */
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
                        return pointer_broken(pointer, "its weight_map has an invalid file name");
                if (strcmp(name, last) == 0)
                        continue; /* the tensors of a shard mostly follow each other */
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

        for (unsigned long i = 2; r == 0 && i <= count; i++)
                r = reference_list_add(&pointer->found, text_format("%.*s%05lu%s", (int) n, path, i, tail), UINT64_MAX,
                                       false);
        return r;
}

/* The file that a line of LocalAI's YAML names, without quotes; NULL if it names none. Changes the line. */
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
                return pointer_broken(pointer, "it is not text");
        for (char *save = NULL, *line = r == 0 ? strtok_r(text, "\n", &save) : NULL; r == 0 && line;
             line = strtok_r(NULL, "\n", &save)) {
                const char *name = named_file(line);

                if (name && strcmp(name, path) != 0 && manifest_find(pointer->tree, name))
                        r = reference_list_add(&pointer->found, strdup(name), UINT64_MAX, false);
        }
        return r;
}

static int read_record_of_download(Pointer *pointer, const char *path) {
        const char *s = strstr(path, LAYOUT_KIND_DOWNLOADS), *file = s + strlen(LAYOUT_KIND_DOWNLOADS);
        int above = (int) (s - path), length = (int) (strlen(file) - strlen(".metadata"));

        return reference_list_add(&pointer->found, text_format("%.*s%.*s", above, path, length, file), UINT64_MAX,
                                  false);
}

int plain_pointer_read(Pointer *pointer, const char *path) {
        const char *tail = strrchr(path, '.');

        if (string_equal(tail, ".metadata"))
                return read_record_of_download(pointer, path);
        if (string_equal(tail, ".json"))
                return read_index(pointer, path);
        return string_equal(tail, ".gguf") ? read_first_shard(pointer, path) : read_yaml(pointer, path);
}
