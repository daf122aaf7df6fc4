/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Which files form which model. See layout/models.h.
 *
 * All strings are in one block, because there may be as many models as files. */

#include "layout/models.h"

#include "base/pathset.h"
#include "layout/layout.h"
#include "layout/model-name.h"

typedef struct Part {
        size_t name, path; /* where they are in .text */
} Part;

struct Models {
        LayoutKind kind;
        char *text;
        size_t n_text, text_allocated;
        Part *parts;       /* by name and path, after models_sort() */
        size_t n_parts, parts_allocated;
        size_t *first;     /* the index of each model's first part, and n_parts at the end; after models_sort() */
        size_t n;          /* models */
};

int models_new(Models **ret, LayoutKind kind) {
        _cleanup_(models_freep) Models *models = calloc(1, sizeof(*models));

        if (!models)
                return -ENOMEM;
        models->kind = kind;
        models->first = calloc(1, sizeof(size_t));
        if (!models->first)
                return -ENOMEM;
        *ret = TAKE_PTR(models);
        return 0;
}

Models *models_free(Models *models) {
        if (!models)
                return NULL;
        free(models->text);
        free(models->parts);
        free(models->first);
        free(models);
        return NULL;
}

/* ---- adding ---- */

static int add_text(Models *models, const char *string, size_t *ret) {
        size_t length = strlen(string) + 1;

        if (models->n_text + length > models->text_allocated) {
                size_t more = MAX(models->text_allocated * 2, models->n_text + length + 1024);
                char *grown = realloc(models->text, more);

                if (!grown)
                        return -ENOMEM;
                models->text = grown;
                models->text_allocated = more;
        }
        memcpy(models->text + models->n_text, string, length);
        *ret = models->n_text;
        models->n_text += length;
        return 0;
}

int models_add(Models *models, const char *name, const char *path) {
        const Part *last = models->n_parts > 0 ? &models->parts[models->n_parts - 1] : NULL;
        Part part;
        int r = 0;

        if (models->n_parts == models->parts_allocated) {
                size_t more = MAX(models->parts_allocated * 2, (size_t) 64);
                Part *grown = reallocarray(models->parts, more, sizeof(Part));

                if (!grown)
                        return -ENOMEM;
                models->parts = grown;
                models->parts_allocated = more;
                last = models->n_parts > 0 ? &grown[models->n_parts - 1] : NULL;
        }
        if (last && strcmp(models->text + last->name, name) == 0)
                part.name = last->name; /* parts of one model mostly come one after the other */
        else
                r = add_text(models, name, &part.name);
        if (r == 0 && strcmp(name, path) == 0)
                part.path = part.name;
        else if (r == 0)
                r = add_text(models, path, &part.path);
        if (r == 0)
                models->parts[models->n_parts++] = part;
        return r;
}

/* True if @path is directly in @directory; NULL is none. */
static bool is_in(const char *path, const char *directory) {
        size_t n = directory ? strlen(directory) : 0;

        return directory && strncmp(path, directory, n) == 0 && path[n] == '/' && !strchr(path + n + 1, '/');
}

/* The directory that @path is in: false at the top. */
static bool directory_of(const char *path, char **ret) {
        const char *slash = strrchr(path, '/');

        *ret = slash ? strndup(path, (size_t) (slash - path)) : NULL;
        return slash;
}

/* The trees that models are searched in. NULL: there is none. */
typedef struct Trees {
        const Manifest *source, *mirror, *base;
} Trees;

bool models_is_leaving(const Manifest *base, const Manifest *source, const Entry *mirror) {
        const Entry *agreed = base ? manifest_find(base, mirror->path) : NULL;

        return agreed && !(agreed->flags & (ENTRY_RECORD | ENTRY_MIRROR_DIFFERS)) && agreed->size == mirror->size &&
               agreed->mtime_nsec == mirror->mtime_nsec && !manifest_find(source, mirror->path) &&
               !manifest_is_blind(source, mirror->path);
}

static bool is_there(const Models *models, const Trees *trees, const Manifest *tree, const Entry *entry) {
        return layout_role(models->kind, entry->path) != LAYOUT_UNFINISHED &&
               (tree == trees->source || !models_is_leaving(trees->base, trees->source, entry));
}

/* Collects the directories that are one model each. Not the top of the tree, because it has no name: each file there
 * is a model of its own. */
static int collect_directories(const Models *models, const Trees *trees, const Manifest *tree, PathSet *ret) {
        int r = 0;

        for (size_t i = 0; r == 0 && tree && i < tree->n_entries; i++) {
                const Entry *e = &tree->entries[i];
                _cleanup_(freep) char *directory = NULL;

                if (e->type == ENTRY_DIRECTORY || !model_name_marks(e->path) ||
                    (ret->n > 0 && is_in(e->path, ret->items[ret->n - 1])) || !is_there(models, trees, tree, e) ||
                    !directory_of(e->path, &directory))
                        continue;
                r = directory ? pathset_add(ret, directory) : -ENOMEM;
        }
        return r;
}

static int add_directories(Models *models, const PathSet *directories) {
        int r = 0;

        for (size_t i = 0; r == 0 && i < directories->n; i++) {
                const char *path = directories->items[i];
                _cleanup_(freep) char *above = NULL;
                bool inner = directory_of(path, &above);

                if (inner && !above)
                        return -ENOMEM;
                if (!inner || !pathset_covers(directories, above))
                        r = models_add(models, path, path);
        }
        return r;
}

/* The last answer of is_covered(), because the files of a directory come one after the other. */
typedef struct Cover {
        char *directory;
        bool covered;
} Cover;

static int is_covered(Cover *cover, const PathSet *directories, const char *path) {
        if (directories->n == 0)
                return false;
        if (is_in(path, cover->directory))
                return cover->covered;
        free(cover->directory);
        if (!directory_of(path, &cover->directory))
                return false;
        cover->covered = cover->directory && pathset_covers(directories, cover->directory);
        return cover->directory ? cover->covered : -ENOMEM;
}

static int add_entry(Models *models, const Trees *trees, const Manifest *tree, const Entry *entry) {
        _cleanup_(freep) char *name = NULL;
        int r;

        if (tree == trees->mirror && manifest_find(trees->source, entry->path))
                return 0; /* the pass over the source adds it */
        r = model_name_of(models->kind, entry, &name);
        return r <= 0 || !is_there(models, trees, tree, entry) ? MIN(r, 0) : models_add(models, name, entry->path);
}

/* Adds what has a name of its own and is in none of the directories. */
static int add_entries(Models *models, const Trees *trees, const Manifest *tree, const PathSet *directories) {
        Cover cover = {};
        int r = 0;

        for (size_t i = 0; r >= 0 && tree && i < tree->n_entries; i++) {
                r = is_covered(&cover, directories, tree->entries[i].path);
                if (r == 0)
                        r = add_entry(models, trees, tree, &tree->entries[i]);
        }
        free(cover.directory);
        return MIN(r, 0);
}

int models_add_trees(Models *models, const Manifest *source, const Manifest *mirror, const Manifest *base) {
        const Trees trees = { .source = source, .mirror = mirror, .base = base };
        PathSet directories = {};
        int r = 0;

        if (models->kind == LAYOUT_OLLAMA)
                return 0;
        if (models->kind != LAYOUT_HUGGINGFACE)
                r = collect_directories(models, &trees, source, &directories);
        if (r == 0 && models->kind != LAYOUT_HUGGINGFACE)
                r = collect_directories(models, &trees, mirror, &directories);
        pathset_sort(&directories);
        if (r == 0)
                r = add_directories(models, &directories);
        if (r == 0)
                r = add_entries(models, &trees, source, &directories);
        if (r == 0)
                r = add_entries(models, &trees, mirror, &directories);
        pathset_done(&directories);
        return r;
}

/* ---- sorting ---- */

static int compare_parts(const void *a, const void *b, void *text) {
        const Part *x = a, *y = b;
        const char *base = text;
        int order = x->name == y->name ? 0 : strcmp(base + x->name, base + y->name);

        return order != 0 ? order : strcmp(base + x->path, base + y->path);
}

/* Frees what was allocated for more to come. */
static void shrink(Models *models) {
        char *text = models->n_text > 0 ? realloc(models->text, models->n_text) : NULL;
        Part *parts = models->n_parts > 0 ? reallocarray(models->parts, models->n_parts, sizeof(Part)) : NULL;

        if (text) {
                models->text = text;
                models->text_allocated = models->n_text;
        }
        if (parts) {
                models->parts = parts;
                models->parts_allocated = models->n_parts;
        }
}

int models_sort(Models *models) {
        size_t kept = 0, *first;

        if (models->n_parts > 0)
                qsort_r(models->parts, models->n_parts, sizeof(Part), compare_parts, models->text);
        for (size_t i = 0; i < models->n_parts; i++)
                if (kept == 0 || compare_parts(&models->parts[kept - 1], &models->parts[i], models->text) != 0)
                        models->parts[kept++] = models->parts[i];
        models->n_parts = kept;
        first = reallocarray(NULL, kept + 1, sizeof(size_t));
        if (!first)
                return -ENOMEM;
        free(models->first);
        models->first = first;
        shrink(models);
        models->n = 0;
        for (size_t i = 0; i < kept; i++)
                if (i == 0 ||
                    strcmp(models->text + models->parts[i - 1].name, models->text + models->parts[i].name) != 0)
                        first[models->n++] = i;
        first[models->n] = kept;
        return 0;
}

/* ---- questions ---- */

size_t models_count(const Models *models) {
        return models->n;
}

const char *models_name(const Models *models, size_t index) {
        return models->text + models->parts[models->first[index]].name;
}

size_t models_n_paths(const Models *models, size_t index) {
        return models->first[index + 1] - models->first[index];
}

const char *models_path(const Models *models, size_t index, size_t k) {
        return models->text + models->parts[models->first[index] + k].path;
}

/* The model of exactly this name. */
static bool find_exactly(const Models *models, const char *name, size_t *ret) {
        size_t low = 0, high = models->n;

        while (low < high) {
                size_t middle = low + (high - low) / 2;
                int order = strcmp(models_name(models, middle), name);

                if (order == 0) {
                        *ret = middle;
                        return true;
                }
                if (order < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        return false;
}

/* The next model from @index on that @name means; models_count() if there is none. */
static size_t find_next(const Models *models, const char *name, size_t index) {
        size_t exact;

        if (find_exactly(models, name, &exact))
                return exact >= index ? exact : models->n;
        while (index < models->n && !model_name_means(models->kind, name, models_name(models, index)))
                index++;
        return index;
}

int models_find(const Models *models, const char *name, char ***ret_paths) {
        PathSet paths = {};
        int r = 0;

        for (size_t i = find_next(models, name, 0); r == 0 && i < models->n; i = find_next(models, name, i + 1))
                for (size_t k = 0; r == 0 && k < models_n_paths(models, i); k++)
                        r = pathset_add(&paths, models_path(models, i, k));
        pathset_sort(&paths);
        if (r == 0 && paths.n > 0)
                r = pathset_take(&paths, ret_paths) < 0 ? -ENOMEM : 1;
        pathset_done(&paths);
        return r;
}
