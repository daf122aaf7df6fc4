/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The processes that use the mirrors. See ctl/users.h.
 *
 * A file is recognised by its path if the process sees the same mounts as we do, and else by device and inode: in a
 * container, or behind a bind mount. The inodes of a mirror come from one scan of it; those of a source are read only
 * when such a process has a file of its device. */

#include "ctl/users.h"

#include "base/array.h"
#include "base/path.h"
#include "base/strv.h"
#include "base/text.h"
#include "ctl/doctor/engine-facts.h"
#include "ctl/doctor/procfs.h"
#include "os/fs.h"
#include "tree/manifest.h"
#include "tree/scan.h"

#include <fcntl.h>
#include <sys/stat.h>

typedef struct Inode {
        uint64_t ino;
        const char *path; /* of the mirror's manifest */
} Inode;

typedef struct Tree {
        const UsersMirror *mirror;
        char *source, *target;  /* without links */
        Manifest *copies;       /* what is in the mirror */
        uint64_t target_dev, source_dev;
        bool own_device;        /* the device holds nothing but the mirror */
        Inode *copy_inodes, *source_inodes; /* sorted */
        size_t n_copy_inodes, n_source_inodes;
        bool source_listed;
} Tree;

typedef struct Search {
        const RootView *machine;
        Tree *trees;
        size_t n_trees;
        Users users;
        const Process *process; /* the one being inspected */
        EngineLocations locations;
        size_t first;           /* its first use */
} Search;

const char *users_kind_name(UseKind kind) {
        static const char *const names[] = {
                [USE_COPY] = "ram", [USE_OLD] = "old", [USE_SOURCE] = "disk", [USE_CONFIGURED] = "configured-disk"
        };

        return names[kind];
}

/* @path relative to @directory, "." for the directory itself; NULL if it is not below. */
static const char *relative(const char *path, const char *directory) {
        const char *rest = path_below(path, directory);

        return rest && !*rest ? "." : rest;
}

static int compare_inodes(const void *a, const void *b) {
        const Inode *left = a, *right = b;

        return (left->ino > right->ino) - (left->ino < right->ino);
}

static const char *find_inode(const Inode *inodes, size_t n, uint64_t ino) {
        Inode key = { .ino = ino };
        const Inode *found = n > 0 ? bsearch(&key, inodes, n, sizeof(key), compare_inodes) : NULL;

        return found ? found->path : NULL;
}

static bool is_copy(const Entry *entry) {
        return entry && (entry->type == ENTRY_FILE || entry->type == ENTRY_HARDLINK);
}

static int list_copies(Tree *tree, int fd) {
        ScanOptions options = { .mirror = true, .layout = LAYOUT_PLAIN, .root = tree->target };
        struct stat st, parent;
        int r;

        if (fstat(fd, &st) < 0)
                return -errno;
        tree->target_dev = st.st_dev;
        tree->own_device = fstatat(fd, "..", &parent, 0) == 0 && parent.st_dev != st.st_dev;
        r = scan_tree(fd, &options, &tree->copies);
        if (r < 0)
                return r;
        tree->copy_inodes = calloc(MAX(tree->copies->n_entries, (size_t) 1), sizeof(Inode));
        if (!tree->copy_inodes)
                return -ENOMEM;
        for (size_t i = 0; i < tree->copies->n_entries; i++)
                if (is_copy(&tree->copies->entries[i]))
                        tree->copy_inodes[tree->n_copy_inodes++] =
                                (Inode){ tree->copies->entries[i].ino, tree->copies->entries[i].path };
        qsort(tree->copy_inodes, tree->n_copy_inodes, sizeof(Inode), compare_inodes);
        return 0;
}

static int read_tree(const RootView *machine, const UsersMirror *mirror, Tree *tree) {
        _cleanup_(close_fdp) int target = -1, source = -1;
        struct stat st;
        int r;

        tree->mirror = mirror;
        r = root_view_resolve(machine, mirror->source, &tree->source);
        if (r == 0)
                r = root_view_resolve(machine, mirror->target, &tree->target);
        if (r < 0)
                return r;
        source = root_view_open_path(machine, tree->source, O_PATH | O_DIRECTORY);
        if (source >= 0 && fstat(source, &st) == 0)
                tree->source_dev = st.st_dev;
        target = root_view_open_path(machine, tree->target, O_RDONLY | O_DIRECTORY);
        r = target < 0 ? target : list_copies(tree, target);
        if (r < 0 && r != -ENOMEM && !tree->copies)
                return manifest_new(&tree->copies); /* no mirror, or an unreadable one, counts as empty */
        return r;
}

static int list_sources(const RootView *machine, Tree *tree) {
        _cleanup_(close_fdp) int fd = root_view_open_path(machine, tree->source, O_PATH | O_DIRECTORY);

        tree->source_listed = true;
        tree->source_inodes = calloc(MAX(tree->n_copy_inodes, (size_t) 1), sizeof(Inode));
        if (!tree->source_inodes)
                return -ENOMEM;
        for (size_t i = 0; fd >= 0 && i < tree->n_copy_inodes; i++) {
                const char *path = tree->copy_inodes[i].path;
                struct stat st;

                if (fs_stat_beneath(fd, path, &st) == 0 && S_ISREG(st.st_mode) && st.st_dev == tree->source_dev)
                        tree->source_inodes[tree->n_source_inodes++] = (Inode){ st.st_ino, path };
        }
        qsort(tree->source_inodes, tree->n_source_inodes, sizeof(Inode), compare_inodes);
        return 0;
}

static void tree_done(Tree *tree) {
        free(tree->source);
        free(tree->target);
        free(tree->copy_inodes);
        free(tree->source_inodes);
        (void) manifest_free(tree->copies);
}

/* The use of a file by the current process, which is added if it is new. NULL on ENOMEM. */
static Use *find_use(Search *search, UseKind kind, const Tree *tree, const char *path) {
        Users *users = &search->users;
        Use *use;

        for (size_t i = search->first; i < users->n; i++)
                if (users->uses[i].kind == kind && users->uses[i].mirror == tree->mirror->name &&
                    string_equal(users->uses[i].path, path))
                        return &users->uses[i];
        if (ARRAY_ROOM(users->uses, users->n) < 0)
                return NULL;
        use = &users->uses[users->n++];
        *use = (Use){ .kind = kind, .mirror = tree->mirror->name, .path = strdup(path), .pid = search->process->pid,
                      .uid = search->process->uid, .command = strdup(search->process->command),
                      .unit = search->process->unit ? strdup(search->process->unit) : NULL };
        return use->path && use->command && (use->unit || !search->process->unit) ? use : NULL;
}

/* The setting of this process that leads to @path on the disk: OLLAMA_MODELS counts before the command line of the
 * llama-server that Ollama starts. */
static const EngineLocation *find_location(const Search *search, const char *path) {
        const EngineLocation *found = NULL;

        for (size_t i = 0; i < search->locations.n; i++) {
                const EngineLocation *location = &search->locations.items[i];

                if (path_is_below(path, location->path) && (!found || string_equal(location->setting, "OLLAMA_MODELS")))
                        found = location;
        }
        return found;
}

/* A location above the source has other files, too, and cannot be replaced by the mirror. */
static int make_fix(const Search *search, const Tree *tree, const EngineLocation *location, Use *use) {
        _cleanup_(freep) char *better = NULL;

        if (location && path_is_below(location->path, tree->source)) {
                better = text_format("%s%s", tree->mirror->target, location->path + strlen(tree->source));
                use->fix = better ? engine_advice(location, better, search->process->unit) : NULL;
        } else
                use->fix = text_format("%slet it read %s/%s",
                                       search->process->contained ? "mount the mirror into its container and " : "",
                                       tree->mirror->target, use->path);
        return use->fix ? 0 : -ENOMEM;
}

static int add_use(Search *search, UseKind kind, const Tree *tree, const char *path, const ProcessFile *file) {
        _cleanup_(freep) char *full = NULL;
        Use *use = find_use(search, kind, tree, path);

        if (!use)
                return -ENOMEM;
        use->open = use->open || !file->mapped;
        use->mapped = use->mapped || file->mapped;
        use->writing = use->writing || file->writing;
        if (kind != USE_SOURCE || use->fix)
                return 0;
        full = text_format("%s/%s", tree->source, path);
        return !full ? -ENOMEM : make_fix(search, tree, find_location(search, full), use);
}

static bool is_private(const char *path) {
        return path_is_below(path, SCAN_PRIVATE_DIR);
}

/* Positive if the file belongs to the mirror, whether it is reported or not. */
static int match_copy(Search *search, const Tree *tree, const ProcessFile *file) {
        const char *path = file->elsewhere ? NULL : relative(file->path, tree->target);
        bool same_device = file->dev != 0 && file->dev == tree->target_dev;
        const char *known = same_device ? find_inode(tree->copy_inodes, tree->n_copy_inodes, file->ino) : NULL;
        int r;

        if (known)
                r = add_use(search, USE_COPY, tree, known, file);
        else if (path && is_private(path))
                return 1;
        else if (path)
                r = add_use(search, file->deleted ? USE_OLD : USE_COPY, tree, path, file);
        else if (same_device && tree->own_device && file->deleted)
                r = add_use(search, USE_OLD, tree, file->path, file);
        else
                return 0;
        return r < 0 ? r : 1;
}

static int match_source(Search *search, Tree *tree, const ProcessFile *file) {
        const char *path = NULL;
        int r = 0;

        if (!file->elsewhere && !file->deleted && path_is_below(file->path, tree->source)) {
                path = relative(file->path, tree->source);
                path = is_copy(manifest_find(tree->copies, path)) ? path : NULL;
        } else if (file->elsewhere && file->dev != 0 && file->dev == tree->source_dev) {
                r = tree->source_listed ? 0 : list_sources(search->machine, tree);
                path = r == 0 ? find_inode(tree->source_inodes, tree->n_source_inodes, file->ino) : NULL;
        }
        if (r < 0 || !path)
                return r;
        r = add_use(search, USE_SOURCE, tree, path, file);
        return r < 0 ? r : 1;
}

static int match_file(const ProcessFile *file, void *userdata) {
        Search *search = userdata;
        int r = 0;

        for (size_t i = 0; r == 0 && i < search->n_trees; i++)
                r = match_copy(search, &search->trees[i], file);
        for (size_t i = 0; r == 0 && i < search->n_trees; i++)
                r = match_source(search, &search->trees[i], file);
        return r < 0 ? r : 0;
}

/* The settings of the process, if it is an engine: a path on the command line of another program may mean anything. */
static int read_locations(Search *search) {
        _cleanup_(strv_freep) char **environment = NULL;
        EngineKind kind = engine_of_command(search->process->arguments);
        int r;

        if (kind == ENGINE_OTHER || search->process->contained)
                return 0;
        r = procfs_environment(search->machine, search->process->pid, &environment);
        if (r < 0)
                return r;
        r = engine_locations(kind, search->process->arguments, environment, NULL, &search->locations);
        return r == 0 ? engine_facts_resolve(search->machine, &search->locations) : r;
}

/* The settings that lead to the disk, unless the process was already found to read a file there. */
static int match_locations(Search *search) {
        int r = 0;

        for (size_t i = search->first; i < search->users.n; i++)
                if (search->users.uses[i].kind == USE_SOURCE)
                        return 0;
        for (size_t i = 0; r == 0 && i < search->locations.n; i++)
                for (size_t k = 0; r == 0 && k < search->n_trees; k++) {
                        const char *path = search->locations.items[i].path;
                        Tree *tree = &search->trees[k];
                        Use *use;

                        if (!path_is_below(path, tree->source) || path_is_below(path, tree->target))
                                continue;
                        if (!string_equal(path, tree->source) &&
                            !manifest_find(tree->copies, relative(path, tree->source)))
                                continue; /* no copy in RAM: it has to be read from disk */
                        use = find_use(search, USE_CONFIGURED, tree, relative(path, tree->source));
                        r = use ? use->fix ? 0 : make_fix(search, tree, find_location(search, path), use) : -ENOMEM;
                }
        return r;
}

static int inspect_process(Search *search, const Process *process) {
        int r;

        /* not the daemon, which has to read sources, and not threads of the kernel, which have no arguments */
        if (string_equal(process->command, "shmstaged") || process->pid == getpid() || !process->arguments[0])
                return 0;
        search->process = process;
        search->first = search->users.n;
        r = read_locations(search);
        if (r == 0)
                r = procfs_files(search->machine, process->pid, match_file, search);
        search->users.n_denied += r == PROCFS_DENIED;
        if (r >= 0)
                r = match_locations(search);
        engine_locations_done(&search->locations);
        return r;
}

static void search_done(Search *search) {
        for (size_t i = 0; i < search->n_trees; i++)
                tree_done(&search->trees[i]);
        free(search->trees);
        users_done(&search->users);
}

int users_find(const RootView *machine, const UsersMirror *mirrors, size_t n, Users *ret) {
        _cleanup_(search_done)
                Search search = { .machine = machine, .trees = calloc(MAX(n, (size_t) 1), sizeof(Tree)) };
        _cleanup_(procfs_list_done) ProcessList processes = { 0 };
        int r = search.trees ? 0 : -ENOMEM;

        for (; r == 0 && search.n_trees < n; search.n_trees++)
                r = read_tree(machine, &mirrors[search.n_trees], &search.trees[search.n_trees]);
        if (r == 0)
                r = procfs_list(machine, &processes);
        for (size_t i = 0; r == 0 && i < processes.n; i++)
                r = inspect_process(&search, &processes.items[i]);
        if (r < 0)
                return r;
        *ret = search.users;
        search.users = (Users){ 0 };
        return 0;
}

void users_done(Users *users) {
        for (size_t i = 0; i < users->n; i++) {
                free(users->uses[i].path);
                free(users->uses[i].command);
                free(users->uses[i].unit);
                free(users->uses[i].fix);
        }
        free(users->uses);
        *users = (Users){ 0 };
}

char *users_of(const Users *users, const char *mirror, const char *path) {
        char *text = strdup("");

        for (size_t i = 0; text && i < users->n; i++) {
                const Use *use = &users->uses[i];

                if (use->kind != USE_COPY || !string_equal(use->mirror, mirror) || !string_equal(use->path, path))
                        continue;
                if (text_append(&text, "%s%s(%d)", *text ? ", " : "", use->command, use->pid) < 0) {
                        free(text);
                        return NULL;
                }
        }
        return text;
}
