/* SPDX-License-Identifier: GPL-2.0-or-later */

/* shmstaged-generator: from the configuration to units, when systemd starts or reloads (systemd.generator(7)).
 *
 * It writes the mount of each mirror, so that PID 1 makes it where everybody sees it; what shmstaged.service needs
 * to know of sources, targets and engines; and a drop-in for each engine. All units are made up in memory first: a
 * configuration that is not usable leaves nothing behind. It looks at no source and no target, which may not be
 * mounted yet, or never answer. */

#include "base/path.h"
#include "base/text.h"
#include "config/config.h"
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
#error "the build says where release-mount is installed"
#endif

static const char HEADER[] =
        "# Written by shmstaged-generator from the configuration. Changes made here do not last.\n\n";

typedef struct Generator {
        const char *root;   /* "" for / */
        int kmsg;           /* -1: messages go to stderr */
        bool log_once;          /* why it fails */
        Config *config;
        MemoryFacts memory;
        unsigned n_nodes;   /* that have memory */
        char *service;      /* the drop-in of shmstaged.service: its [Service] section as it grows */
        char *service_unit; /* and its [Unit] section */
        UnitFiles files;
} Generator;

static void generator_done(Generator *generator) {
        unit_files_done(&generator->files);
        free(generator->service);
        free(generator->service_unit);
        memory_facts_done(&generator->memory);
        (void) config_free(generator->config);
        (void) close_fd(generator->kmsg);
}

/* To the kernel's log, since the journal may not run yet; a record is one write(). Gives back a value for return. */
_printf_(3, 4) static int complain(Generator *generator, int error, const char *format, ...) {
        char text[TEXT_PATH_MAX * 2], line[TEXT_PATH_MAX * 2 + 64];
        va_list arguments;
        int n;

        va_start(arguments, format);
        (void) vsnprintf(text, sizeof(text), format, arguments);
        va_end(arguments);
        generator->log_once = true;
        if (generator->kmsg >= 0)
                n = snprintf(line, sizeof(line), "<%d>shmstaged-generator[%d]: %s\n", LOG_ERR | LOG_DAEMON,
                             (int) getpid(), text);
        else
                n = snprintf(line, sizeof(line), "shmstaged-generator: %s\n", text);
        if (write(generator->kmsg >= 0 ? generator->kmsg : STDERR_FILENO, line, (size_t) n) < 0)
                return error; /* there is nobody else to tell */
        return error;
}

/* Positive if fstab or a unit file of the administrator's mounts something there already: then that is what is used,
 * and it is not ours to stop. */
static int is_mounted_by_others(const Generator *generator, const MirrorConfig *mirror, const char *unit) {
        _cleanup_(freep) char *path = NULL;
        struct libmnt_table *table;
        int r;

        r = unit_name_exists(generator->root, unit);
        if (r != 0)
                return r;
        if (asprintf(&path, "%s/etc/fstab", generator->root) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        table = mnt_new_table();
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
        if (tmpfs_probe(mirror, generator->n_nodes, &answers) < 0)
                answers = (TmpfsOptions){}; /* without them the mirror still works */
        options = tmpfs_option_text(mirror, size, &answers);
        return options ? unit_files_setting(text, "Options", UNIT_NAME_BARE, "", options) : -ENOMEM;
}

static int write_mount(Generator *generator, const MirrorConfig *mirror, const char *unit) {
        const char *source_path = generator->config->files[0];
        _cleanup_(freep) char *text = NULL;
        int r;

        r = text_append(&text, "%s[Unit]\n", HEADER);
        if (r == 0)
                r = unit_files_setting(&text, "Description", UNIT_NAME_BARE, "Memory of the mirror ", mirror->name);
        if (r == 0)
                r = text_append(&text, "Documentation=man:shmstaged-generator(8) man:shmstaged.conf(5)\n");
        if (r == 0 && source_path)
                r = unit_files_setting(&text, "SourcePath", UNIT_NAME_BARE, "", source_path + strlen(generator->root));
        /* Nobody has configured anything: the unit must do as little as shmstaged.service, whose conditions are the
         * same */
        if (r == 0 && !source_path)
                r = unit_files_setting(&text, "ConditionPathIsDirectory", UNIT_NAME_BARE, "", mirror->source);
        /* Not before local-fs.target, which need not wait for it. After swap.target, so that at shutdown the memory is
         * given back before the swap goes. */
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

/* The mount is given back when the service has stopped and left nothing in it. */
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
                return complain(generator, -EINVAL, "Target=%s of mirror %s: no mount unit can have this path",
                                text_path(path, mirror->target), mirror->name);
        for (char **engine = mirror->engines; *engine; engine++)
                if (string_equal(*engine, "shmstaged.service"))
                        return complain(generator, -EINVAL, "Engines= of mirror %s names shmstaged.service itself",
                                        mirror->name);
        return 0;
}

/* True if what is saved goes to @path, by this mirror or by one whose source is around it. */
static bool is_saved_to(const Generator *generator, const char *path) {
        for (size_t i = 0; i < generator->config->n_mirrors; i++)
                if (generator->config->mirrors[i].write_back &&
                    path_is_below(path, generator->config->mirrors[i].source))
                        return true;
        return false;
}

/* A source that lies in another one which is saved to must have no line of its own: read-only would win where both
 * name the same path, and below it would make a mount of its own, over whose edge no file can be renamed into place. */
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

static bool has_engine(const MirrorConfig *mirror, const char *name) {
        for (char **engine = mirror->engines; *engine; engine++)
                if (string_equal(*engine, name))
                        return true;
        return false;
}

static int write_binds(const Generator *generator, const char *engine, char **text) {
        int r;

        r = text_append(text, "\n[Service]\n");
        for (size_t i = 0; r == 0 && i < generator->config->n_mirrors; i++)
                if (has_engine(&generator->config->mirrors[i], engine))
                        r = unit_files_setting(text, "BindPaths", UNIT_NAME_WORD, "-",
                                               generator->config->mirrors[i].target);
        return r;
}

static int add_engine(Generator *generator, const char *engine) {
        _cleanup_(freep) char *text = NULL;
        const char *type = strrchr(engine, '.');
        char *path;
        int r;

        r = text_append(&text, "%s[Unit]\nRequires=shmstaged.service\nAfter=shmstaged.service\n", HEADER);
        /* Only where it is needed: in a service that has a mount namespace of its own already. To any other the setting
         * would give one, and what it mounts (a container engine does) would be seen by nobody else. */
        if (r == 0 && string_equal(type, ".service")) {
                r = unit_name_hides_mounts(generator->root, engine);
                if (r > 0)
                        r = write_binds(generator, engine, &text);
        }
        /* Wants=, so that an engine whose start failed with ours comes up when ours is repeated */
        if (r == 0)
                r = text_append(&generator->service_unit, "Wants=%s\nBefore=%s\n", engine, engine);
        if (r < 0)
                return r;
        if (asprintf(&path, "%s.d/50-shmstaged.conf", engine) < 0)
                return -ENOMEM;
        return unit_files_add(&generator->files, path, TAKE_PTR(text));
}

static int add_engines(Generator *generator) {
        const Config *config = generator->config;

        for (size_t i = 0; i < config->n_mirrors; i++)
                for (char **engine = config->mirrors[i].engines; *engine; engine++) {
                        bool seen = false;
                        int r;

                        for (size_t k = 0; k < i; k++)
                                seen = seen || has_engine(&config->mirrors[k], *engine);
                        for (char **earlier = config->mirrors[i].engines; earlier < engine; earlier++)
                                seen = seen || string_equal(*earlier, *engine);
                        r = seen ? 0 : add_engine(generator, *engine);
                        if (r < 0)
                                return r;
                }
        return 0;
}

/* The unit is as strict as most mirrors allow; what some need is eased here. */
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

/* The file is replaced by a rename, so what has to be writable is its directory. */
static int write_metrics(Generator *generator) {
        _cleanup_(freep) char *directory = strdup(generator->config->metrics_file);
        char *slash = directory ? strrchr(directory, '/') : NULL;

        if (!directory)
                return -ENOMEM;
        if (!slash || slash == directory)
                /* there is none, or the sandbox would be no more for it: then the daemon tells that it cannot write
                 * there */
                return 0;
        *slash = '\0';
        return unit_files_setting(&generator->service, "ReadWritePaths", UNIT_NAME_WORD, "-", directory);
}

static int add_all(Generator *generator) {
        char *text = NULL;
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
        if (asprintf(&text, "%s[Unit]\n%s\n[Service]\n%s", HEADER, generator->service_unit, generator->service) < 0)
                return -ENOMEM;
        return unit_files_add(&generator->files, strdup("shmstaged.service.d/50-mirrors.conf"), text);
}

/* Of a configuration that cannot be used nothing is mounted, but the engines that it names still wait for the
 * daemon, which fails: they must not start on a mirror that is not there. */
static int add_wiring(Generator *generator) {
        char *text = NULL;
        int r = add_engines(generator);

        if (r < 0 || !generator->service_unit)
                return r;
        if (asprintf(&text, "%s[Unit]\n%s", HEADER, generator->service_unit) < 0)
                return -ENOMEM;
        return unit_files_add(&generator->files, strdup("shmstaged.service.d/50-mirrors.conf"), text);
}

static int write_all(Generator *generator, const char *directory) {
        const char *path;
        int r = unit_files_write(&generator->files, directory, &path);

        return r < 0 ? complain(generator, r, "cannot write %s: %s", path, strerror(-r)) : 0;
}

/* 0 for a configuration that can be used. */
static int load(Generator *generator) {
        const char *what = NULL;
        int r;

        r = config_load(NULL, generator->root, &generator->config, &what);
        if (r < 0)
                return complain(generator, r, "cannot %s: %s", what ? what : "read the configuration", strerror(-r));
        for (size_t i = 0; i < generator->config->n_notes; i++) {
                const ConfigNote *note = &generator->config->notes[i];
                char path[TEXT_PATH_MAX];

                if (!note->error)
                        continue; /* the daemon tells the warnings */
                if (!note->file)
                        (void) complain(generator, 0, "%s", note->text);
                else if (note->line == 0)
                        (void) complain(generator, 0, "%s: %s", text_path(path, note->file), note->text);
                else
                        (void) complain(generator, 0, "%s:%u: %s", text_path(path, note->file), note->line, note->text);
        }
        return generator->config->n_errors > 0 ? -EINVAL : 0;
}

static int read_memory(Generator *generator) {
        _cleanup_(freep) char *proc = NULL, *sys = NULL;
        int r;

        if (asprintf(&proc, "%s/proc", generator->root) < 0) {
                proc = NULL;
                return -ENOMEM;
        }
        if (asprintf(&sys, "%s/sys", generator->root) < 0) {
                sys = NULL;
                return -ENOMEM;
        }
        generator->n_nodes = numa_read_nodes(sys);
        /* the groups that PID 1 starts us in say nothing about those of the service */
        r = memory_read(proc, "/nonexistent", &generator->memory);
        return r < 0 ? complain(generator, r, "cannot read the size of the memory: %s", strerror(-r)) : 0;
}

/* shmstaged=0 on the kernel's command line, the last one counting. */
static bool is_switched_off(const char *root) {
        _cleanup_(freep) char *path = NULL, *text = NULL;
        bool off = false;

        if (asprintf(&path, "%s/proc/cmdline", root) < 0) {
                path = NULL;
                return false;
        }
        if (fs_read_text(AT_FDCWD, path, 64 * KIB, &text) < 0)
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
                fprintf(stderr, "Usage: shmstaged-generator NORMAL-DIR EARLY-DIR LATE-DIR\nsystemd runs it, see "
                                "shmstaged-generator(8).\n");
                return 2;
        }
        if (!root)
                /* in a container it can be a fifo that nobody reads */
                generator.kmsg = open("/dev/kmsg", O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
        if (is_switched_off(generator.root))
                return EXIT_SUCCESS;
        r = load(&generator);
        if (r < 0 && generator.config && add_wiring(&generator) == 0)
                (void) write_all(&generator, argv[1]); /* the configuration's errors have been told, and decide */
        if (r == 0)
                r = read_memory(&generator);
        if (r == 0)
                r = add_all(&generator);
        if (r == 0)
                r = write_all(&generator, argv[1]);
        if (r < 0 && !generator.log_once)
                (void) complain(&generator, r, "cannot make units of the configuration: %s", strerror(-r));
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
