/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What a pointer names. See references.h. */

#include "references.h"

#include "fs.h"
#include "jsontext.h"
#include "layout.h"
#include "scan.h"

#include <ctype.h>
#include <fcntl.h>

enum { CONTENT_MAX = 16 * 1024 * 1024, DEPTH_MAX = 32 };

/* The pointer in hand. */
typedef struct Reader {
        int rootfd;
        const Manifest *tree;
        References found;
        const char *text; /* of REFERENCES_BROKEN */
} Reader;

static int broken(Reader *reader, const char *text) {
        reader->text = text;
        return REFERENCES_BROKEN;
}

/* ---- the content of a pointer ---- */

static int read_all(int fd, char **ret, size_t *ret_length) {
        _cleanup_(freep) char *text = NULL;
        size_t used = 0, allocated = 0;
        ssize_t n;

        do {
                if (used + 1 >= allocated) {
                        char *grown = realloc(text, allocated = MAX(allocated * 2, (size_t) 8192));

                        if (!grown)
                                return -ENOMEM;
                        text = grown;
                }
                n = read(fd, text + used, allocated - used - 1);
                if (n < 0 && errno != EINTR)
                        return -errno;
                used += n > 0 ? (size_t) n : 0;
        } while (n != 0 && used <= CONTENT_MAX);
        text[used] = '\0';
        *ret_length = used;
        *ret = TAKE_PTR(text);
        return 0;
}

static int read_content(Reader *reader, const char *path, char **ret, size_t *ret_length) {
        _cleanup_(close_fdp) int fd = fs_open_beneath(reader->rootfd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
        _cleanup_(freep) char *text = NULL;
        struct stat st;
        size_t length = 0;
        int r;

        if (fd < 0)
                return fd == -ELOOP ? broken(reader, "it is a link to a link") : fd;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return broken(reader, "it is no file");
        r = read_all(fd, &text, &length);
        if (r < 0)
                return r;
        if (length == 0)
                return broken(reader, "it is empty");
        if (length > CONTENT_MAX)
                return broken(reader, "it is larger than 16 MiB");
        *ret_length = length;
        *ret = TAKE_PTR(text);
        return 0;
}

static int read_json(Reader *reader, const char *path, json_t **ret) {
        _cleanup_(freep) char *text = NULL;
        size_t length;
        int r = read_content(reader, path, &text, &length);

        if (r != 0)
                return r;
        r = jsontext_parse(text, length, ret);
        if (r == JSONTEXT_LARGE)
                return broken(reader, "it has too many values");
        return r == JSONTEXT_BROKEN ? broken(reader, "it is not JSON") : r;
}

/* ---- links ---- */

/* An absolute link is understood by the name that the root has now. */
static int resolve(Reader *reader, const Entry *link, char **ret) {
        char self[32], root[4096] = "/nowhere";
        ssize_t n;
        int r;

        (void) snprintf(self, sizeof(self), "/proc/self/fd/%d", reader->rootfd);
        n = readlink(self, root, sizeof(root) - 1);
        if (n > 0)
                root[n] = '\0';
        r = scan_link_path(root, link->path, link->target, ret);
        return r == -EXDEV ? broken(reader, "it leads out of the tree") : r;
}

static int read_link(Reader *reader, const Entry *link) {
        char *path;
        int r = resolve(reader, link, &path);

        return r != 0 ? r : references_add(&reader->found, path, UINT64_MAX, false);
}

/* ---- Ollama ---- */

static int walk(Reader *reader, const json_t *json, unsigned depth, bool nested);

/* A manifest that a list of manifests names is kept among the blobs. */
static int follow_manifest(Reader *reader, const char *path) {
        _cleanup_(json_decrefp) json_t *json = NULL;
        int r = read_json(reader, path, &json);

        if (r == -ENOENT)
                return broken(reader, "a manifest that it names is not there");
        if (r == 0)
                r = walk(reader, json, 0, true);
        return r == REFERENCES_BROKEN ? broken(reader, "a manifest that it names is broken") : r;
}

static bool is_manifest_type(const json_t *type) {
        const char *text = jsontext_string(type);

        return text && (strstr(text, "manifest") || strstr(text, "image.index"));
}

static int blob_path(const char *digest, char **ret) {
        Claim claim;

        if (!digest || strncmp(digest, "sha256", 6) != 0 || (digest[6] != ':' && digest[6] != '-') ||
            claim_from_hex(CLAIM_SHA256, digest + 7, strlen(digest + 7), &claim) < 0)
                return -EINVAL;
        if (asprintf(ret, "blobs/sha256-%s", digest + 7) < 0)
                return -ENOMEM;
        return 0;
}

static int add_descriptor(Reader *reader, const json_t *descriptor, const json_t *digest, bool nested) {
        const json_t *size = json_object_get(descriptor, "size");
        bool manifest = is_manifest_type(json_object_get(descriptor, "mediaType"));
        _cleanup_(freep) char *path = NULL;
        int r;

        if (json_is_null(digest) || (json_is_string(digest) && json_string_length(digest) == 0))
                return 0; /* a model that runs elsewhere */
        r = blob_path(jsontext_string(digest), &path);
        if (r == -EINVAL)
                return broken(reader, "it has a digest that is none");
        if (r < 0)
                return r;
        if (json_is_integer(size) && json_integer_value(size) < 0)
                return broken(reader, "it has a negative size");
        if (manifest && nested)
                return broken(reader, "its manifests are nested too deep");
        if (manifest) {
                r = follow_manifest(reader, path);
                if (r != 0)
                        return r;
        }
        return references_add(&reader->found, TAKE_PTR(path), json_is_integer(size) ? (uint64_t) json_integer_value(size) : UINT64_MAX, manifest);
}

static int walk_object(Reader *reader, json_t *json, unsigned depth, bool nested) {
        const json_t *digest = json_object_get(json, "digest");
        const char *key;
        json_t *value;
        int r = digest ? add_descriptor(reader, json, digest, nested) : 0;

        json_object_foreach(json, key, value) {
                if (r != 0)
                        return r;
                r = walk(reader, value, depth + 1, nested);
        }
        return r;
}

static int walk(Reader *reader, const json_t *json, unsigned depth, bool nested) {
        int r = 0;

        if (depth > DEPTH_MAX)
                return broken(reader, "it is nested too deep");
        if (json_is_object(json))
                return walk_object(reader, (json_t *) json, depth, nested);
        for (size_t i = 0; r == 0 && i < json_array_size(json); i++)
                r = walk(reader, json_array_get(json, i), depth + 1, nested);
        return r;
}

static int read_ollama(Reader *reader, const char *path) {
        _cleanup_(json_decrefp) json_t *json = NULL;
        int r = read_json(reader, path, &json);

        if (r != 0)
                return r;
        r = walk(reader, json, 0, false);
        if (r != 0)
                return r;
        if (!json_object_get(json, "config") && !json_object_get(json, "layers") && reader->found.n == 0)
                return broken(reader, "it is no manifest");
        return 0;
}

/* A tag may be a link to a manifest among the blobs, which is needed as much as what that names. */
static int read_ollama_link(Reader *reader, const Entry *entry) {
        _cleanup_(freep) char *path = NULL;
        int r;

        if (entry->type == ENTRY_HARDLINK)
                path = strdup(entry->target);
        else {
                r = resolve(reader, entry, &path);
                if (r != 0)
                        return r;
        }
        if (!path)
                return -ENOMEM;
        r = read_ollama(reader, path);
        if (r == -ENOENT)
                return broken(reader, "it leads nowhere");
        return r != 0 ? r : references_add(&reader->found, TAKE_PTR(path), UINT64_MAX, true);
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

static int add_snapshot(Reader *reader, const char *prefix) {
        size_t n = strlen(prefix);
        int r = 0;

        for (size_t i = lower_bound(reader->tree, prefix); r == 0 && i < reader->tree->n_entries; i++) {
                const Entry *e = &reader->tree->entries[i];

                if (strncmp(e->path, prefix, n) != 0)
                        break;
                if (e->type != ENTRY_DIRECTORY && layout_role(LAYOUT_HUGGINGFACE, e->path) != LAYOUT_UNFINISHED)
                        r = references_add(&reader->found, strdup(e->path), UINT64_MAX, false);
        }
        if (r == 0 && reader->found.n == 0)
                return broken(reader, "its snapshot is not there");
        return r;
}

static int read_ref(Reader *reader, const char *path) {
        _cleanup_(freep) char *commit = NULL, *prefix = NULL, *list = NULL;
        size_t length;
        int r = read_content(reader, path, &commit, &length), repository = (int) (strchr(path, '/') - path);
        Claim claim;

        if (r != 0)
                return r;
        while (length > 0 && isspace((unsigned char) commit[length - 1]))
                commit[--length] = '\0';
        if (claim_from_hex(CLAIM_GIT_BLOB, commit, length, &claim) < 0)
                return broken(reader, "it is no commit");
        if (asprintf(&prefix, "%.*s/snapshots/%s/", repository, path, commit) < 0) {
                prefix = NULL;
                return -ENOMEM;
        }
        r = add_snapshot(reader, prefix);
        if (r != 0)
                return r;
        if (asprintf(&list, "%.*s/trees/%s.json", repository, path, commit) < 0) {
                list = NULL;
                return -ENOMEM;
        }
        return manifest_find(reader->tree, list) ? references_add(&reader->found, TAKE_PTR(list), UINT64_MAX, false) : 0;
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

static int read_index(Reader *reader, const char *path) {
        _cleanup_(json_decrefp) json_t *json = NULL;
        int r = read_json(reader, path, &json);
        const char *key, *last = "";
        json_t *map, *value;

        if (r != 0)
                return r;
        map = json_object_get(json, "weight_map");
        if (!json_is_object(map))
                return broken(reader, "it has no weight_map");
        json_object_foreach(map, key, value) {
                const char *name = jsontext_string(value);

                if (!name || !is_inside(name))
                        return broken(reader, "its weight_map names what is no file");
                if (strcmp(name, last) == 0)
                        continue; /* tensors of one shard stand together, mostly */
                last = name;
                r = references_add(&reader->found, beside(path, name), UINT64_MAX, false);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int read_first_shard(Reader *reader, const char *path) {
        const char *tail;
        size_t n = layout_set(path, &tail);
        unsigned long count = strtoul(tail + 4, NULL, 10); /* after "-of-" */
        int r = 0;

        for (unsigned long i = 2; r == 0 && i <= count; i++) {
                char *shard;

                if (asprintf(&shard, "%.*s%05lu%s", (int) n, path, i, tail) < 0)
                        return -ENOMEM;
                r = references_add(&reader->found, shard, UINT64_MAX, false);
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

static int read_yaml(Reader *reader, const char *path) {
        _cleanup_(freep) char *text = NULL;
        size_t length;
        int r = read_content(reader, path, &text, &length);

        if (r == 0 && strlen(text) != length)
                return broken(reader, "it is no text");
        for (char *save = NULL, *line = r == 0 ? strtok_r(text, "\n", &save) : NULL; r == 0 && line; line = strtok_r(NULL, "\n", &save)) {
                const char *name = named_file(line);

                if (name && strcmp(name, path) != 0 && manifest_find(reader->tree, name))
                        r = references_add(&reader->found, strdup(name), UINT64_MAX, false);
        }
        return r;
}

/* "D/.cache/huggingface/download/FILE.metadata" is about "D/FILE". */
static int read_record_of_download(Reader *reader, const char *path) {
        static const char place[] = ".cache/huggingface/download/";
        const char *s = strstr(path, place), *file = s + strlen(place);
        char *about;

        if (asprintf(&about, "%.*s%.*s", (int) (s - path), path, (int) (strlen(file) - strlen(".metadata")), file) < 0)
                return -ENOMEM;
        return references_add(&reader->found, about, UINT64_MAX, false);
}

static int read_plain(Reader *reader, const char *path) {
        const char *tail = strrchr(path, '.');

        if (string_equal(tail, ".metadata"))
                return read_record_of_download(reader, path);
        if (string_equal(tail, ".json"))
                return read_index(reader, path);
        return string_equal(tail, ".gguf") ? read_first_shard(reader, path) : read_yaml(reader, path);
}

/* ---- */

static int read_pointer(LayoutKind kind, Reader *reader, const Entry *entry) {
        LayoutRole role = layout_role(kind, entry->path);
        bool ollama = kind == LAYOUT_OLLAMA && strncmp(entry->path, "manifest", 8) == 0 && strchr(entry->path, '/');
        bool hub = kind == LAYOUT_HUGGINGFACE && !layout_may_link(kind, entry->path);

        if (ollama)
                return entry->type == ENTRY_FILE ? read_ollama(reader, entry->path) : read_ollama_link(reader, entry);
        if (role != LAYOUT_POINTER && role != LAYOUT_LINK)
                return 0;
        if (entry->type == ENTRY_SYMLINK)
                return read_link(reader, entry);
        if (hub)
                return role == LAYOUT_POINTER ? read_ref(reader, entry->path) : 0;
        return read_plain(reader, entry->path);
}

int references_read(LayoutKind kind, int rootfd, const Manifest *tree, const char *path, References *ret, const char **reterr_text) {
        Reader reader = { .rootfd = rootfd, .tree = tree };
        const Entry *entry = manifest_find(tree, path);
        int r;

        if (!entry)
                return -ENOENT;
        r = entry->type == ENTRY_DIRECTORY ? 0 : read_pointer(kind, &reader, entry);
        if (r == 0 && references_sort(&reader.found) != 0)
                r = broken(&reader, "it gives two sizes for one file");
        if (r != 0) {
                references_done(&reader.found);
                if (r == REFERENCES_BROKEN)
                        *reterr_text = reader.text;
                return r;
        }
        *ret = reader.found;
        return 0;
}
