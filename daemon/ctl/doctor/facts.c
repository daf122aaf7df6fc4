/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The facts about a machine and its mirrors. See ctl/doctor/facts.h. */

#include "ctl/doctor/facts.h"

#include "base/ini.h"
#include "base/path.h"
#include "base/strv.h"
#include "base/text.h"
#include "os/fs.h"
#include "plan/fit.h"
#include "plan/survey.h"
#include "tree/scan.h"

#include <fcntl.h>
#include <libmount.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

enum { LOGIN_UID_MIN = 1000, NOBODY_UID = 65534 };

char *facts_move_path(const char *path, const char *from, const char *to) {
        errno = 0;
        return path_is_below(path, from) ? text_format("%s%s", to, path + strlen(from)) : NULL;
}

uint64_t facts_mirror_size(const DoctorFacts *facts, const MirrorConfig *mirror) {
        uint64_t total = facts->memory.total, reserve = quantity_amount_bytes(facts->config->reserve, total, 0);

        return quantity_amount_bytes(mirror->size, total, total - MIN(total, reserve));
}

static int read_mounts(DoctorFacts *facts) {
        int fd = root_view_open_path(&facts->machine, "/proc/self/mountinfo", O_RDONLY);
        _cleanup_(fclosep) FILE *file = fd < 0 ? NULL : fdopen(fd, "r");

        facts->mounts = mnt_new_table();
        if (!facts->mounts)
                return -ENOMEM;
        if (!file) {
                (void) close_fd(fd);
                return 0;
        }
        return mnt_table_parse_stream(facts->mounts, file, "mountinfo") == -ENOMEM ? -ENOMEM : 0;
}

static FactsMount find_mount(const DoctorFacts *facts, const char *path) {
        _cleanup_(freep) char *prefix = strdup(path);
        struct libmnt_fs *fs = NULL;
        dev_t number;

        /* mnt_table_find_mountpoint() would look the path up on this machine, not below the root of the facts */
        while (prefix && !(fs = mnt_table_find_target(facts->mounts, *prefix ? prefix : "/", MNT_ITER_BACKWARD)) &&
               *prefix)
                *strrchr(prefix, '/') = '\0';
        if (!fs)
                return (FactsMount){ 0 };
        number = mnt_fs_get_devno(fs);
        return (FactsMount){ .directory = mnt_fs_get_target(fs), .type = mnt_fs_get_fstype(fs),
                             .options = mnt_fs_get_options(fs),
                             .major = major(number), .minor = minor(number) };
}

char *facts_mount_option(const FactsMount *mount, const char *name) {
        char *value = NULL;
        size_t length = 0;

        if (!mount->options || mnt_optstr_get_option(mount->options, name, &value, &length) != 0)
                return NULL;
        return value ? strndup(value, length) : strdup("");
}

/* "always within_size [advise] never deny force" */
static int read_choice(const RootView *machine, const char *path, char **ret) {
        _cleanup_(freep) char *text = NULL;
        const char *open;
        int r = root_view_read(machine, path, 4 * KIB, &text);

        if (r < 0)
                return r == -ENOMEM ? r : 0;
        open = strchr(text, '[');
        if (open && !(*ret = strndup(open + 1, strcspn(open + 1, "]"))))
                return -ENOMEM;
        return 0;
}

/* RemoveIPC= of logind.conf and its drop-ins; the last one wins. */
static int read_logind(DoctorFacts *facts) {
        static const char *const directories[] = { "/usr/lib/systemd", "/usr/local/lib/systemd", "/run/systemd",
                                                   "/etc/systemd" };
        int r = 0;

        facts->remove_ipc = true; /* the default */
        facts->has_logind = root_view_exists(&facts->machine, "/usr/lib/systemd/systemd-logind") ||
                            root_view_exists(&facts->machine, "/lib/systemd/systemd-logind") ||
                            root_view_exists(&facts->machine, "/usr/lib/systemd/system/systemd-logind.service");
        for (size_t i = 0; r == 0 && i < 2 * ELEMENTSOF(directories); i++) {
                const char *directory = directories[i % ELEMENTSOF(directories)];
                _cleanup_(strv_freep) char **files = NULL;
                char path[128];

                (void) snprintf(path, sizeof(path),
                                i < ELEMENTSOF(directories) ? "%s/logind.conf" : "%s/logind.conf.d", directory);
                r = i < ELEMENTSOF(directories) ? strv_take(&files, strdup(path))
                                                : unit_view_list_directory(&facts->machine, path, ".conf", &files);
                for (char **file = files; r == 0 && file && *file; file++) {
                        _cleanup_(freep) char *text = NULL;
                        IniReader reader;
                        IniItem item;
                        int kind;

                        if (root_view_read(&facts->machine, *file, MIB, &text) < 0)
                                continue;
                        ini_init(&reader, text, strlen(text));
                        while ((kind = ini_next(&reader, &item)) != INI_END)
                                if (kind == INI_ASSIGNMENT && string_equal(item.name, "RemoveIPC"))
                                        facts->remove_ipc = item.value[0] != 'n' && item.value[0] != 'f' &&
                                                            item.value[0] != '0' &&
                                                            strcasecmp(item.value, "off") != 0;
                }
        }
        return r;
}

static int read_kernel(DoctorFacts *facts) {
        int r = root_view_read(&facts->machine, "/proc/sys/kernel/osrelease", KIB, &facts->kernel);

        if (r < 0)
                return r == -ENOMEM ? r : 0;
        facts->kernel[strcspn(facts->kernel, "\n")] = '\0';
        if (sscanf(facts->kernel, "%u.%u", &facts->kernel_major, &facts->kernel_minor) != 2)
                facts->kernel_major = facts->kernel_minor = 0;
        return 0;
}

static int read_knobs(DoctorFacts *facts) {
        static const char *const gpus[] = { "/dev/nvidia0", "/dev/kfd", "/dev/dri/renderD128" };
        const RootView *machine = &facts->machine;
        int r;

        r = read_choice(machine, "/sys/kernel/mm/transparent_hugepage/shmem_enabled", &facts->shmem_huge);
        if (r == 0)
                r = read_kernel(facts);
        if (r == 0)
                r = read_logind(facts);
        if (root_view_read_number(machine, "/proc/sys/fs/inotify/max_user_watches", &facts->watches) < 0)
                facts->watches = 0;
        if (root_view_read_number(machine, "/proc/sys/fs/inotify/max_user_instances", &facts->instances) < 0)
                facts->instances = 0;
        if (root_view_read_number(machine, "/proc/sys/fs/inotify/max_queued_events", &facts->queue) < 0)
                facts->queue = 0;
        for (size_t i = 0; i < ELEMENTSOF(gpus); i++)
                facts->gpu = facts->gpu || root_view_exists(machine, gpus[i]);
        return r;
}

static int read_memory(DoctorFacts *facts) {
        char path[64];
        int r;

        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d/proc", facts->machine.fd);
        /* the control group of this program has other limits than that of the service */
        r = memory_read(path, "/nonexistent", &facts->memory);
        return r == -ENOMEM ? r : 0;
}

static int64_t newest(int64_t a, const RootView *machine, const char *path) {
        _cleanup_(close_fdp) int fd = root_view_open_path(machine, path, O_PATH);
        struct stat st;

        return fd >= 0 && fstat(fd, &st) == 0 ? MAX(a, fs_nsec(&st.st_mtim)) : a;
}

static int read_config(const char *root, const char *file, DoctorFacts *facts) {
        size_t skip = facts->machine.live || !root ? 0 : strlen(root);
        const char *what = "read";
        int r = config_load(file, root, &facts->config, &what);

        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return (facts->config_problem = text_format("Failed to %s: %s", what, strerror(-r))) ? 0 : -ENOMEM;
        for (size_t i = 0; i < facts->config->n_notes && !facts->config_problem; i++) {
                const ConfigNote *note = &facts->config->notes[i];

                if (!note->error)
                        continue;
                facts->config_problem = text_format("%s:%u: %s", note->file ? note->file : "", note->line, note->text);
                if (!facts->config_problem)
                        return -ENOMEM;
        }
        while (skip > 0 && root[skip - 1] == '/')
                skip--;
        for (char **name = facts->config->files; name && *name && !file; name++)
                facts->config_mtime_nsec = newest(facts->config_mtime_nsec, &facts->machine, *name + skip);
        facts->generated_mtime_nsec =
                newest(0, &facts->machine, "/run/systemd/generator/shmstaged.service.d/50-mirrors.conf");
        return 0;
}

static int read_service(DoctorFacts *facts) {
        int r = unit_view_load(&facts->machine, "shmstaged.service", &facts->service, NULL);

        if (r > 0)
                facts->service = unit_view_free(facts->service);
        facts->enabled =
                root_view_exists(&facts->machine, "/etc/systemd/system/multi-user.target.wants/shmstaged.service");
        return r < 0 ? r : 0;
}

/* What the source has, and what of it is selected, by the same arithmetic as the daemon's. */
static int scan_source(const MirrorConfig *config, int sourcefd, FactsMirror *mirror) {
        _cleanup_(manifest_freep) Manifest *base = NULL;
        FitInput input = { .inodes = UINT64_MAX };
        atomic_uint_fast64_t progress = 0;
        SurveyOptions options;
        const char *what;
        Survey survey;
        Fit fit;
        int r = manifest_new(&base);

        if (r < 0)
                return r;
        options = (SurveyOptions){ .config = config, .base = base, .sourcefd = sourcefd, .mirrorfd = -1,
                                   .budget = UINT64_MAX, .progress = &progress };
        r = survey_run(&options, &survey, &what);
        if (r != 0) {
                mirror->scan_error = r < 0 ? -r : ECANCELED;
                return r == -ENOMEM ? r : 0;
        }
        for (FitLimit l = FIT_TMPFS; l < _FIT_LIMIT_MAX; l++)
                input.room[l] = UINT64_MAX;
        input.layout = survey.layout;
        input.source_path = config->source;
        r = fit_plan(survey.plan, &input, &fit);
        mirror->need = fit.need_bytes;
        mirror->scanned = r == 0;
        mirror->directories = 1;
        for (size_t i = 0; r == 0 && i < survey.source->n_entries; i++) {
                const Entry *entry = &survey.source->entries[i];

                mirror->directories += entry->type == ENTRY_DIRECTORY;
                if (entry->type != ENTRY_FILE || entry->size <= mirror->biggest)
                        continue;
                mirror->biggest = entry->size;
                free(mirror->biggest_path);
                mirror->biggest_path = strdup(entry->path);
                r = mirror->biggest_path ? 0 : -ENOMEM;
        }
        for (size_t i = 0; i < survey.source->n_omissions; i++)
                mirror->unreadable = mirror->unreadable || survey.source->omissions[i].reason == OMIT_UNREADABLE;
        survey_done(&survey);
        return r < 0 ? r : 0;
}

static int scan_mirror(int targetfd, FactsMirror *mirror) {
        _cleanup_(manifest_freep) Manifest *found = NULL;
        ScanOptions options = { .mirror = true, .layout = LAYOUT_PLAIN, .root = mirror->target };
        int r = scan_tree(targetfd, &options, &found);

        if (r < 0)
                return r == -ENOMEM ? r : 0;
        for (size_t i = 0; r == 0 && i < found->n_entries; i++) {
                const Entry *entry = &found->entries[i];

                if (entry->uid < LOGIN_UID_MIN || entry->uid == NOBODY_UID)
                        continue;
                if (mirror->n_login_files++ > 0)
                        continue;
                mirror->login_uid = entry->uid;
                mirror->login_file = strdup(entry->path);
                r = mirror->login_file ? 0 : -ENOMEM;
        }
        return r;
}

static int read_source(DoctorFacts *facts, FactsMirror *mirror) {
        _cleanup_(close_fdp) int fd = root_view_open_path(&facts->machine, mirror->source, O_RDONLY | O_DIRECTORY);
        uint64_t total;
        struct stat st;

        mirror->source_mount = find_mount(facts, mirror->source);
        if (root_view_room(&facts->machine, mirror->source, &total, &mirror->disk_left) < 0)
                mirror->disk_left = UINT64_MAX;
        if (fd < 0) {
                mirror->source_there = fd == -EACCES;
                mirror->scan_error = -fd;
                return 0;
        }
        mirror->source_there = true;
        if (fstat(fd, &st) == 0)
                mirror->source_uid = st.st_uid;
        mirror->has_token = faccessat(fd, "token", F_OK, 0) == 0 || faccessat(fd, "xet", F_OK, 0) == 0;
        mirror->has_token = mirror->has_token && faccessat(fd, "hub", F_OK, 0) == 0;
        return scan_source(mirror->config, fd, mirror);
}

static int read_target(DoctorFacts *facts, FactsMirror *mirror) {
        _cleanup_(close_fdp) int fd = root_view_open_path(&facts->machine, mirror->target, O_RDONLY | O_DIRECTORY);
        struct stat st;

        mirror->target_mount = find_mount(facts, mirror->target);
        mirror->own_mount = string_equal(mirror->target_mount.directory, mirror->target);
        if (root_view_room(&facts->machine, mirror->target, &mirror->total, &mirror->left) < 0)
                mirror->total = mirror->left = 0;
        if (fd < 0 || fstat(fd, &st) < 0)
                return 0;
        mirror->target_there = true;
        mirror->target_uid = st.st_uid;
        mirror->target_mode = st.st_mode;
        return scan_mirror(fd, mirror);
}

static int read_mirrors(DoctorFacts *facts) {
        size_t n = facts->config ? facts->config->n_mirrors : 0;
        int r = 0;

        facts->mirrors = calloc(MAX(n, (size_t) 1), sizeof(FactsMirror));
        if (!facts->mirrors)
                return -ENOMEM;
        for (; r == 0 && facts->n_mirrors < n; facts->n_mirrors++) {
                FactsMirror *mirror = &facts->mirrors[facts->n_mirrors];

                mirror->config = &facts->config->mirrors[facts->n_mirrors];
                r = root_view_resolve(&facts->machine, mirror->config->source, &mirror->source);
                if (r == 0)
                        r = root_view_resolve(&facts->machine, mirror->config->target, &mirror->target);
                if (r == 0)
                        r = read_source(facts, mirror);
                if (r == 0)
                        r = read_target(facts, mirror);
        }
        return r;
}

int doctor_facts_read(const char *root, const char *config_file, DoctorFacts *ret) {
        _cleanup_(doctor_facts_done) DoctorFacts facts = { .machine = ROOT_VIEW_NONE };
        int r = root_view_open(root, &facts.machine);

        facts.all_processes = geteuid() == 0 || !facts.machine.live;
        if (r == 0)
                r = read_memory(&facts);
        if (r == 0)
                r = read_mounts(&facts);
        if (r == 0)
                r = read_knobs(&facts);
        if (r == 0)
                r = read_config(root, config_file, &facts);
        if (r == 0)
                r = read_service(&facts);
        if (r == 0)
                r = read_mirrors(&facts);
        if (r == 0)
                r = engine_facts_read(&facts.machine, facts.config, &facts.engines);
        if (r < 0)
                return r;
        *ret = facts;
        facts = (DoctorFacts){ .machine = ROOT_VIEW_NONE };
        return 0;
}

void doctor_facts_done(DoctorFacts *facts) {
        engine_facts_done(&facts->engines);
        for (size_t i = 0; i < facts->n_mirrors; i++) {
                free(facts->mirrors[i].source);
                free(facts->mirrors[i].target);
                free(facts->mirrors[i].biggest_path);
                free(facts->mirrors[i].login_file);
        }
        free(facts->mirrors);
        (void) unit_view_free(facts->service);
        mnt_unref_table(facts->mounts);
        memory_facts_done(&facts->memory);
        free(facts->kernel);
        free(facts->shmem_huge);
        free(facts->config_problem);
        (void) config_free(facts->config);
        root_view_done(&facts->machine);
        *facts = (DoctorFacts){ .machine = ROOT_VIEW_NONE };
}

bool facts_engine_is_wired(const EngineFacts *engine, const FactsMirror *mirror) {
        return strv_has(mirror->config->engines, engine->name);
}

bool facts_engine_uses(const EngineFacts *engine, const FactsMirror *mirror) {
        return facts_engine_is_wired(engine, mirror) || engine_facts_reads(engine, mirror->target) ||
               engine_facts_reads(engine, mirror->source);
}

const FactsMirror *facts_engine_mirror(const DoctorFacts *facts, const EngineFacts *engine) {
        for (size_t i = 0; i < facts->n_mirrors; i++)
                if (facts_engine_uses(engine, &facts->mirrors[i]))
                        return &facts->mirrors[i];
        return NULL;
}
