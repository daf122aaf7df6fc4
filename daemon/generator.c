/* SPDX-License-Identifier: GPL-2.0-or-later */

/* shmstaged-generator: makes units from the configuration when systemd starts or reloads (systemd.generator(7)).
 *
 * It writes a mount unit for each mirror, so that PID 1 mounts it where all processes see it; a drop-in with the
 * sources, targets and engines for shmstaged.service; and a drop-in for each engine. All units are composed in memory
 * first, so that a configuration with errors leaves no half of them. Sources and targets are not touched: they may not
 * be mounted yet, or be on a server that does not answer. */

#include "base/path.h"
#include "base/strv.h"
#include "base/text.h"
#include "config/config.h"
#include "config/problems.h"
#include "os/fs.h"
#include "os/memory.h"
#include "os/numa.h"
#include "os/unit-files.h"
#include "os/unit-name.h"
#include "stage/mount.h"

#include <fcntl.h>
#include <libmount.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <syslog.h>

#ifndef SHMSTAGED_RELEASE_MOUNT
#error "the build must define where release-mount is installed"
#endif

static const char HEADER[] =
        "# Written by shmstaged-generator from the configuration. Changes made here do not last.\n\n";

typedef struct Generator {
        const char *root;   /* "" for / */
        int kmsg;           /* -1: messages go to stderr */
        bool reported;      /* a message has said why it fails */
        Config *config;
        MemoryFacts memory;
        unsigned n_nodes;   /* NUMA nodes that have memory */
        char *service;      /* the [Service] section of the drop-in for shmstaged.service, as it grows */
        char *service_unit; /* its [Unit] section */
        UnitFiles files;    /* what is to be written */
} Generator;

static void generator_done(Generator *generator) {
        unit_files_done(&generator->files);
        free(generator->service);
        free(generator->service_unit);
        memory_facts_done(&generator->memory);
        (void) config_free(generator->config);
        (void) close_fd(generator->kmsg);
}

/* Logs to the kernel's log, because the journal may not run yet; one write() is one record. Returns @error. */
_printf_(3, 4) static int report(Generator *generator, int error, const char *format, ...) {
        char text[TEXT_PATH_MAX * 2], line[TEXT_PATH_MAX * 2 + 64];
        va_list arguments;
        int n;

        va_start(arguments, format);
        (void) vsnprintf(text, sizeof(text), format, arguments);
        va_end(arguments);
        generator->reported = true;
        if (generator->kmsg >= 0)
                n = snprintf(line, sizeof(line), "<%d>shmstaged-generator[%d]: %s\n", LOG_ERR | LOG_DAEMON,
                             (int) getpid(), text);
        else
                n = snprintf(line, sizeof(line), "shmstaged-generator: %s\n", text);
        if (write(generator->kmsg >= 0 ? generator->kmsg : STDERR_FILENO, line, (size_t) n) < 0)
                return error; /* there is no other place for the message */
        return error;
}

/* Positive if fstab or a unit file of the administrator mounts a filesystem there already: then that one is used, and
 * is not for us to stop. */
static int is_mounted_by_others(const Generator *generator, const MirrorConfig *mirror, const char *unit) {
        _cleanup_(freep) char *path = NULL;
        struct libmnt_table *table;
        int r = unit_name_exists(generator->root, unit);

        if (r != 0)
                return r;
        path = text_format("%s/etc/fstab", generator->root);
        table = path ? mnt_new_table() : NULL;
        if (!table)
                return -ENOMEM;
        if (mnt_table_parse_file(table, path) == 0 && mnt_table_find_target(table, mirror->target, MNT_ITER_FORWARD))
                r = 1;
        mnt_unref_table(table);
        return r;
}

static int write_mount_options(const Generator *generator, const MirrorConfig *mirror, char **text) {
        uint64_t total = generator->memory.total, reserve, size;
        _cleanup_(freep) char *options = NULL;
        TmpfsOptions answers = {};

        reserve = quantity_amount_bytes(generator->config->reserve, total, 0);
        size = quantity_amount_bytes(mirror->size, total, total - MIN(total, reserve));
        if (tmpfs_options_probe(mirror, generator->n_nodes, &answers) < 0)
                answers = (TmpfsOptions){}; /* the mirror works without these options */
        options = tmpfs_options_text(mirror, size, &answers);
        return options ? unit_files_setting(text, "Options", UNIT_NAME_BARE, "", options) : -ENOMEM;
}

static int write_mount(Generator *generator, const MirrorConfig *mirror, const char *unit) {
        const char *source_path = generator->config->files[0];
        _cleanup_(freep) char *text = NULL;
        int r = text_append(&text, "%s[Unit]\n", HEADER);

        if (r == 0)
                r = unit_files_setting(&text, "Description", UNIT_NAME_BARE, "Memory of the mirror ", mirror->name);
        if (r == 0)
                r = text_append(&text, "Documentation=man:shmstaged-generator(8) man:shmstaged.conf(5)\n");
        if (r == 0 && source_path)
                r = unit_files_setting(&text, "SourcePath", UNIT_NAME_BARE, "", source_path + strlen(generator->root));
        /* Without any configuration, shmstaged.service starts only if the default source exists; so does its mount. */
        if (r == 0 && !source_path)
                r = unit_files_setting(&text, "ConditionPathIsDirectory", UNIT_NAME_BARE, "", mirror->source);
        /* Without the default dependencies, so that local-fs.target does not wait for it. After swap.target, so that at
         * shutdown the memory is given back before swap is turned off. */
        if (r == 0)
                r = text_append(&text, "DefaultDependencies=no\nConflicts=umount.target\nBefore=umount.target\n"
                                       "After=local-fs-pre.target swap.target\n\n[Mount]\nWhat=tmpfs\n");
        if (r == 0)
                r = unit_files_setting(&text, "Where", UNIT_NAME_BARE, "", mirror->target);
        if (r == 0)
                r = text_append(&text, "Type=tmpfs\n");
        if (r == 0)
                r = write_mount_options(generator, mirror, &text);
        if (r == 0)
                r = text_append(&text, "LazyUnmount=yes\nDirectoryMode=0755\n");
        return r < 0 ? r : unit_files_add(&generator->files, strdup(unit), TAKE_PTR(text));
}

/* Has the mount stopped when the service has stopped and left nothing in it. */
static int write_release(Generator *generator, const MirrorConfig *mirror, const char *unit) {
        _cleanup_(freep) char *quoted_unit = unit_name_quote(UNIT_NAME_COMMAND, "", unit);
        _cleanup_(freep) char *quoted_path = unit_name_quote(UNIT_NAME_COMMAND, "", mirror->target);

        if (!quoted_unit || !quoted_path)
                return -ENOMEM;
        return text_append(&generator->service, "ExecStopPost=+-%s %s %s\n", SHMSTAGED_RELEASE_MOUNT, quoted_unit,
                           quoted_path);
}

static int check_mirror(Generator *generator, const MirrorConfig *mirror, const char *unit) {
        char path[TEXT_PATH_MAX];

        if (strlen(unit) > UNIT_NAME_LENGTH_MAX || !unit_name_path_fits_bare(mirror->target))
                return report(generator, -EINVAL, "Target=%s of [Mirror %s] cannot be the path of a mount unit; no "
                                                  "units are generated",
                              text_path(path, mirror->target), mirror->name);
        if (strv_has(mirror->engines, "shmstaged.service"))
                return report(generator, -EINVAL, "Engines= of [Mirror %s] contains shmstaged.service itself; no "
                                                  "units are generated",
                              mirror->name);
        return 0;
}

/* True if a mirror saves to @path, because it is or lies in the source of that mirror. */
static bool is_saved_to(const Generator *generator, const char *path) {
        for (size_t i = 0; i < generator->config->n_mirrors; i++)
                if (generator->config->mirrors[i].write_back &&
                    path_is_below(path, generator->config->mirrors[i].source))
                        return true;
        return false;
}

/* A source that lies in another one which is saved to must not be listed as read-only: for the same path that would
 * win, and below it would make a mount point of its own, across which no file can be renamed into place. */
static int write_sandbox(Generator *generator, const MirrorConfig *mirror) {
        int r = 0;

        if (mirror->write_back)
                r = unit_files_setting(&generator->service, "ReadWritePaths", UNIT_NAME_WORD, "-", mirror->source);
        else if (!is_saved_to(generator, mirror->source))
                r = unit_files_setting(&generator->service, "ReadOnlyPaths", UNIT_NAME_WORD, "-", mirror->source);
        return r < 0 ? r
                     : unit_files_setting(&generator->service, "ReadWritePaths", UNIT_NAME_WORD, "-", mirror->target);
}

static int add_mirror(Generator *generator, const MirrorConfig *mirror) {
        _cleanup_(freep) char *unit = unit_name_from_path(mirror->target, "mount");
        int r;

        if (!unit)
                return -ENOMEM;
        r = check_mirror(generator, mirror, unit);
        if (r < 0)
                return r;
        r = is_mounted_by_others(generator, mirror, unit);
        if (r < 0)
                return r;
        if (r == 0) {
                r = write_mount(generator, mirror, unit);
                if (r == 0)
                        r = write_release(generator, mirror, unit);
        } else
                r = 0;
        if (r == 0)
                r = unit_files_setting(&generator->service_unit, "RequiresMountsFor", UNIT_NAME_WORD, "",
                                       mirror->source);
        if (r == 0)
                r = unit_files_setting(&generator->service_unit, "RequiresMountsFor", UNIT_NAME_WORD, "",
                                       mirror->target);
        return r < 0 ? r : write_sandbox(generator, mirror);
}

static int write_binds(const Generator *generator, const char *engine, char **text) {
        int r = text_append(text, "\n[Service]\n");

        for (size_t i = 0; r == 0 && i < generator->config->n_mirrors; i++)
                if (strv_has(generator->config->mirrors[i].engines, engine))
                        r = unit_files_setting(text, "BindPaths", UNIT_NAME_WORD, "-",
                                               generator->config->mirrors[i].target);
        return r;
}

static int add_engine(Generator *generator, const char *engine) {
        _cleanup_(freep) char *text = NULL;
        const char *type = strrchr(engine, '.');
        int r = text_append(&text, "%s[Unit]\nRequires=shmstaged.service\nAfter=shmstaged.service\n", HEADER);

        /* Only for a service that has a mount namespace of its own already. The setting would give any other service
         * one, and other processes would no longer see what it mounts, as a container engine does. */
        if (r == 0 && string_equal(type, ".service")) {
                r = unit_name_hides_mounts(generator->root, engine);
                if (r > 0)
                        r = write_binds(generator, engine, &text);
        }
        /* Wants=, so that an engine whose start failed together with ours is started when ours is repeated. */
        if (r == 0)
                r = text_append(&generator->service_unit, "Wants=%s\nBefore=%s\n", engine, engine);
        if (r < 0)
                return r;
        return unit_files_add(&generator->files, text_format("%s.d/50-shmstaged.conf", engine), TAKE_PTR(text));
}

static int add_engines(Generator *generator) {
        const Config *config = generator->config;

        for (size_t i = 0; i < config->n_mirrors; i++)
                for (char **engine = config->mirrors[i].engines; *engine; engine++) {
                        bool seen = false;
                        int r;

                        for (size_t k = 0; k < i; k++)
                                seen = seen || strv_has(config->mirrors[k].engines, *engine);
                        for (char **earlier = config->mirrors[i].engines; earlier < engine; earlier++)
                                seen = seen || string_equal(*earlier, *engine);
                        r = seen ? 0 : add_engine(generator, *engine);
                        if (r < 0)
                                return r;
                }
        return 0;
}

/* Relaxes the sandbox of the unit, which is as strict as most mirrors allow, where a mirror needs it. */
static int ease_service(Generator *generator) {
        const char *metrics = generator->config->metrics_file;
        bool temporary = path_is_below(metrics, "/tmp") || path_is_below(metrics, "/var/tmp"), swap = false;
        int r = 0;

        for (size_t i = 0; i < generator->config->n_mirrors; i++) {
                const MirrorConfig *mirror = &generator->config->mirrors[i];

                temporary = temporary || path_is_below(mirror->source, "/tmp") ||
                            path_is_below(mirror->source, "/var/tmp") || path_is_below(mirror->target, "/tmp") ||
                            path_is_below(mirror->target, "/var/tmp");
                swap = swap || mirror->swap;
        }
        if (temporary)
                r = text_append(&generator->service, "PrivateTmp=no\n");
        if (r == 0 && swap)
                r = text_append(&generator->service, "MemorySwapMax=infinity\n");
        return r;
}

/* The file is replaced by a rename, so its directory has to be writable. */
static int write_metrics(Generator *generator) {
        _cleanup_(freep) char *directory = strdup(generator->config->metrics_file);
        char *slash = directory ? strrchr(directory, '/') : NULL;

        if (!directory)
                return -ENOMEM;
        /* No file is configured, or it is in the root directory, which would have to be writable as a whole: then the
         * daemon reports that it cannot write there. */
        if (!slash || slash == directory)
                return 0;
        *slash = '\0';
        return unit_files_setting(&generator->service, "ReadWritePaths", UNIT_NAME_WORD, "-", directory);
}

static int add_all(Generator *generator) {
        int r = 0;

        for (size_t i = 0; r == 0 && i < generator->config->n_mirrors; i++)
                r = add_mirror(generator, &generator->config->mirrors[i]);
        if (r == 0)
                r = add_engines(generator);
        if (r == 0)
                r = write_metrics(generator);
        if (r == 0)
                r = ease_service(generator);
        if (r < 0)
                return r;
        return unit_files_add(&generator->files, strdup("shmstaged.service.d/50-mirrors.conf"),
                              text_format("%s[Unit]\n%s\n[Service]\n%s", HEADER, generator->service_unit,
                                          generator->service));
}

/* For a configuration with errors no mount is written, but the engines that it lists still require the daemon, which
 * fails: they must not start without their mirror. */
static int add_engines_only(Generator *generator) {
        int r = add_engines(generator);

        if (r < 0 || !generator->service_unit)
                return r;
        return unit_files_add(&generator->files, strdup("shmstaged.service.d/50-mirrors.conf"),
                              text_format("%s[Unit]\n%s", HEADER, generator->service_unit));
}

static int write_all(Generator *generator, const char *directory) {
        const char *path;
        int r = unit_files_write(&generator->files, directory, &path);

        return r < 0 ? report(generator, r, "Failed to write '%s': %s", path, strerror(-r)) : 0;
}

/* 0 if the configuration can be used. */
static int load(Generator *generator) {
        const char *what;
        int r = config_load(NULL, generator->root, &generator->config, &what);

        if (r < 0)
                return report(generator, r, "Failed to %s: %s", what, strerror(-r));
        for (size_t i = 0; i < generator->config->n_notes; i++) {
                const ConfigNote *note = &generator->config->notes[i];
                _cleanup_(freep) char *text = note->error ? config_problems_text(note) : NULL;

                if (note->error) /* the daemon logs the warnings */
                        (void) report(generator, 0, "%s", text ? text : note->text);
        }
        return generator->config->n_errors > 0 ? -EINVAL : 0;
}

static int read_memory(Generator *generator) {
        _cleanup_(freep) char *proc = text_format("%s/proc", generator->root);
        _cleanup_(freep) char *sys = text_format("%s/sys", generator->root);
        int r;

        if (!proc || !sys)
                return -ENOMEM;
        generator->n_nodes = numa_read_nodes(sys);
        /* Without control groups: the one that the generator runs in is not the one of the service. */
        r = memory_read(proc, "/nonexistent", &generator->memory);
        return r < 0 ? report(generator, r, "Failed to determine the size of the RAM: %s", strerror(-r)) : 0;
}

/* True with shmstaged=0 on the kernel's command line, where the last shmstaged= counts. */
static bool is_switched_off(const char *root) {
        _cleanup_(freep) char *path = text_format("%s/proc/cmdline", root), *text = NULL;
        bool off = false;

        if (!path || fs_read_text(AT_FDCWD, path, 64 * KIB, &text) < 0)
                return false;
        for (char *rest = NULL, *word = strtok_r(text, " \t\n", &rest); word; word = strtok_r(NULL, " \t\n", &rest))
                if (strncmp(word, "shmstaged=", 10) == 0)
                        off = string_equal(word + 10, "0");
        return off;
}

int main(int argc, char **argv) {
        const char *root = secure_getenv("SHMSTAGED_GENERATOR_ROOT");
        _cleanup_(generator_done)
                Generator generator = { .root = root && strcmp(root, "/") != 0 ? root : "", .kmsg = -1 };
        int r;

        if (argc != 4) {
                fprintf(stderr, "Usage: shmstaged-generator NORMAL-DIR EARLY-DIR LATE-DIR\n"
                                "systemd runs this program; see shmstaged-generator(8).\n");
                return 2;
        }
        if (!root) /* O_NONBLOCK, because in a container it can be a fifo without a reader */
                generator.kmsg = open("/dev/kmsg", O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
        if (is_switched_off(generator.root))
                return EXIT_SUCCESS;
        r = load(&generator);
        if (r < 0 && generator.config && add_engines_only(&generator) == 0)
                (void) write_all(&generator, argv[1]); /* the errors of the configuration decide the exit status */
        if (r == 0)
                r = read_memory(&generator);
        if (r == 0)
                r = add_all(&generator);
        if (r == 0)
                r = write_all(&generator, argv[1]);
        if (r < 0 && !generator.reported)
                (void) report(&generator, r, "Failed to generate units from the configuration: %s", strerror(-r));
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
