/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Owns the loop, the workers, the watch and the mirrors. See manager.h. */

#include "manager.h"

#include "fs.h"
#include "log.h"
#include "memory.h"
#include "mirror.h"
#include "notify.h"
#include "text.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>

/* A stop in which nothing moves for so long goes on without the workers that hold it up. */
#define STUCK_USEC (10 * USEC_PER_SEC)

struct Manager {
        ManagerOptions options;
        Config *config;
        sd_event *event;
        Pool *pool;
        Watch *watch;
        int statefd;
        MirrorContext context;
        uint64_t promised;
        Mirror **mirrors; /* in the order of the configuration at first, new ones at the end */
        size_t n_mirrors;
        unsigned last_number;
        sd_event_source *tick, *review;
        Notify notify;
        bool ready;       /* READY=1 has been sent */
        bool reloading, reload_wanted;
        bool stopping;
        bool failed;
        bool stuck;       /* a worker does not come back from the source */
};

int manager_state_directory(char **ret) {
        const char *given = getenv("STATE_DIRECTORY"), *xdg = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
        int r;

        if (given && given[0] == '/')
                r = asprintf(ret, "%.*s", (int) strcspn(given, ":"), given); /* systemd separates several with colons */
        else if (geteuid() == 0)
                r = asprintf(ret, "/var/lib/shmstaged");
        else if (xdg && xdg[0] == '/')
                r = asprintf(ret, "%s/shmstaged", xdg);
        else
                r = asprintf(ret, "%s/.local/state/shmstaged", home && home[0] == '/' ? home : "/tmp");
        return r < 0 ? -ENOMEM : 0;
}

bool manager_tell_config(const Config *config) {
        for (size_t i = 0; i < config->n_notes; i++) {
                const ConfigNote *note = &config->notes[i];
                int priority = note->error ? LOG_ERR : LOG_WARNING;

                if (note->file && note->line > 0)
                        log_event(priority, NULL, "%s:%u: %s", note->file, note->line, note->text);
                else
                        log_event(priority, NULL, "%s%s%s", note->file ? note->file : "", note->file ? ": " : "", note->text);
        }
        return config->n_errors == 0;
}

static size_t statuses(Manager *manager, MirrorStatus *ret) {
        for (size_t i = 0; i < manager->n_mirrors; i++)
                ret[i] = mirror_status(manager->mirrors[i]);
        return manager->n_mirrors;
}

static void push_status(Manager *manager) {
        _cleanup_(freep) MirrorStatus *list = calloc(manager->n_mirrors + 1, sizeof(MirrorStatus));

        if (list)
                notify_status(&manager->notify, list, statuses(manager, list),
                              !manager->ready || manager->reloading || manager->stopping);
}

static bool is_busy(MirrorState state) {
        return state != MIRROR_SETTLED && state != MIRROR_GONE && state != MIRROR_FAILED;
}

/* The clock ticks only while something moves: an idle daemon does not wake up. */
static void set_tick(Manager *manager, bool on) {
        uint64_t now;

        if (!on || sd_event_now(manager->event, CLOCK_MONOTONIC, &now) < 0) {
                (void) sd_event_source_set_enabled(manager->tick, SD_EVENT_OFF);
                return;
        }
        (void) sd_event_source_set_time(manager->tick, now + notify_interval_usec(&manager->notify));
        (void) sd_event_source_set_enabled(manager->tick, SD_EVENT_ONESHOT);
}

/* Whoever waits for a dead server cannot be cancelled. What is in RAM need not wait for it. */
static void abandon(Manager *manager) {
        manager->stuck = true;
        for (size_t i = 0; i < manager->n_mirrors; i++) {
                MirrorState state = mirror_status(manager->mirrors[i]).state;

                if (state == MIRROR_STARTING || state == MIRROR_LOOKING || state == MIRROR_STAGING)
                        mirror_abandon(manager->mirrors[i]);
        }
}

static int on_tick(sd_event_source *source, uint64_t usec, void *userdata) {
        Manager *manager = userdata;
        bool busy = false;

        (void) source;
        (void) usec;
        for (size_t i = 0; i < manager->n_mirrors; i++)
                busy = busy || is_busy(mirror_status(manager->mirrors[i]).state);
        push_status(manager);
        if (manager->stopping && busy && notify_stalled_usec(&manager->notify) > STUCK_USEC)
                abandon(manager);
        set_tick(manager, busy);
        return 0;
}

/* Mirrors say that they have changed from the middle of what they do: it is looked at when they are through. */
static void on_changed(Mirror *mirror, void *userdata) {
        Manager *manager = userdata;

        (void) mirror;
        (void) sd_event_source_set_enabled(manager->review, SD_EVENT_ONESHOT);
}

static Mirror *find_mirror(Manager *manager, const char *name) {
        for (size_t i = 0; i < manager->n_mirrors; i++)
                if (string_equal(mirror_config(manager->mirrors[i])->name, name))
                        return manager->mirrors[i];
        return NULL;
}

static int add_mirror(Manager *manager, const MirrorConfig *config) {
        Mirror **grown = reallocarray(manager->mirrors, manager->n_mirrors + 1, sizeof(Mirror *));
        int r;

        if (!grown)
                return -ENOMEM;
        manager->mirrors = grown;
        r = mirror_new(&grown[manager->n_mirrors], config, manager->last_number + 1, &manager->context);
        if (r < 0)
                return r;
        manager->last_number++;
        mirror_start(grown[manager->n_mirrors++]);
        return 0;
}

static bool is_same_place(const MirrorConfig *a, const MirrorConfig *b) {
        return string_equal(a->source, b->source) && string_equal(a->target, b->target);
}

static bool is_leaving(const Manager *manager, const Mirror *mirror) {
        const MirrorConfig *wanted = config_find_mirror(manager->config, mirror_config(mirror)->name);
        MirrorState state = mirror_status(mirror).state;

        return state != MIRROR_GONE && state != MIRROR_FAILED && !(wanted && is_same_place(wanted, mirror_config(mirror)));
}

/* Makes the mirrors those of the configuration. What has to go first is stopped already; its target, its name or its memory may be
 * needed, so nothing begins before it is gone: then this is called again. */
static void reconcile(Manager *manager) {
        for (size_t i = 0; i < manager->n_mirrors; i++)
                if (is_leaving(manager, manager->mirrors[i]))
                        return;
        for (size_t i = 0; i < manager->config->n_mirrors; i++) {
                const MirrorConfig *config = &manager->config->mirrors[i];

                if (!find_mirror(manager, config->name) && add_mirror(manager, config) < 0)
                        log_error("Failed to begin mirror '%s': out of memory", config->name);
        }
}

static void stop_all(Manager *manager) {
        if (manager->stopping)
                return;
        manager->stopping = true;
        notify_stopping();
        for (size_t i = 0; i < manager->n_mirrors; i++)
                mirror_stop(manager->mirrors[i]);
        (void) sd_event_source_set_enabled(manager->review, SD_EVENT_ONESHOT);
}

static void remove_mirror(Manager *manager, size_t index) {
        manager->mirrors[index] = mirror_free(manager->mirrors[index]);
        memmove(manager->mirrors + index, manager->mirrors + index + 1,
                (manager->n_mirrors - index - 1) * sizeof(Mirror *));
        manager->n_mirrors--;
}

/* Mirrors that were taken out of the configuration and are gone by now make way for what takes their place. */
static void sweep(Manager *manager) {
        bool swept = false;

        for (size_t i = manager->n_mirrors; i > 0; i--) {
                Mirror *mirror = manager->mirrors[i - 1];
                const MirrorConfig *config = config_find_mirror(manager->config, mirror_config(mirror)->name);

                if (mirror_status(mirror).state != MIRROR_GONE || (config && is_same_place(config, mirror_config(mirror))))
                        continue;
                remove_mirror(manager, i - 1);
                swept = true;
        }
        if (swept)
                reconcile(manager);
}

/* All plan before one stages, so that what does not fit is known before the first byte. */
static void proceed_together(Manager *manager) {
        for (size_t i = 0; i < manager->n_mirrors; i++) {
                MirrorState state = mirror_status(manager->mirrors[i]).state;

                if (!manager->ready && (state == MIRROR_STARTING || state == MIRROR_LOOKING))
                        return;
        }
        for (size_t i = 0; i < manager->n_mirrors; i++)
                if (mirror_status(manager->mirrors[i]).state == MIRROR_PLANNED && !mirror_fits(manager->mirrors[i]) && !manager->ready)
                        return; /* a start that is not whole is none */
        for (size_t i = 0; i < manager->n_mirrors; i++)
                if (mirror_status(manager->mirrors[i]).state == MIRROR_PLANNED)
                        mirror_proceed(manager->mirrors[i]);
}

static void reload(Manager *manager);

static void check_ready(Manager *manager) {
        bool ready = true, settled = true;

        for (size_t i = 0; i < manager->n_mirrors; i++) {
                MirrorStatus status = mirror_status(manager->mirrors[i]);

                ready = ready && status.ready;
                settled = settled && (mirror_is_settled(manager->mirrors[i]) || status.state == MIRROR_FAILED);
        }
        if (!manager->ready && ready) {
                manager->ready = true;
                push_status(manager);
                notify_ready();
        } else if (manager->ready && manager->reloading && settled) {
                manager->reloading = false;
                push_status(manager);
                notify_ready();
        }
        if (manager->ready && settled && manager->reload_wanted && !manager->reloading)
                reload(manager);
}

static bool any_failed(Manager *manager, const char **ret_text) {
        for (size_t i = 0; i < manager->n_mirrors; i++) {
                MirrorStatus status = mirror_status(manager->mirrors[i]);

                if (status.state != MIRROR_FAILED && !status.failing)
                        continue;
                *ret_text = status.problem ? status.problem : "files were left in the mirror";
                return true;
        }
        return false;
}

static void finish_if_over(Manager *manager) {
        const char *text = NULL;

        for (size_t i = 0; i < manager->n_mirrors; i++)
                if (is_busy(mirror_status(manager->mirrors[i]).state) ||
                    mirror_status(manager->mirrors[i]).state == MIRROR_SETTLED)
                        return;
        if (any_failed(manager, &text)) {
                manager->failed = true;
                notify_failure(&manager->notify, text, 0);
        }
        (void) sd_event_exit(manager->event, manager->failed ? EXIT_FAILURE : EXIT_SUCCESS);
}

static int on_review(sd_event_source *source, void *userdata) {
        Manager *manager = userdata;
        const char *text;

        (void) source;
        if (!manager->stopping && !manager->ready && any_failed(manager, &text))
                stop_all(manager); /* a start that is not whole is none */
        if (!manager->stopping) {
                sweep(manager);
                proceed_together(manager);
                check_ready(manager);
        }
        push_status(manager);
        if (manager->stopping)
                finish_if_over(manager);
        set_tick(manager, true);
        return 0;
}

/* A configuration that cannot be used changes nothing. */
static void reload(Manager *manager) {
        _cleanup_(config_freep) Config *config = NULL;
        const char *what = "read it";
        int r;

        manager->reload_wanted = false;
        manager->reloading = true;
        notify_reloading();
        r = config_load(manager->options.config_file, manager->options.root, &config, &what);
        if (r < 0)
                log_error("Failed to reload the configuration: failed to %s: %s; the old one stays", what, strerror(-r));
        else if (!manager_tell_config(config))
                log_error("The configuration has errors: the old one stays");
        else {
                if (config->workers != manager->config->workers)
                        log_notice("Workers= takes effect when the daemon is started anew");
                manager->config = config_free(manager->config);
                manager->config = TAKE_PTR(config);
                manager->context.reserve = manager->config->reserve;
        }
        for (size_t i = manager->n_mirrors; i > 0; i--) {
                Mirror *mirror = manager->mirrors[i - 1];
                const MirrorConfig *wanted = config_find_mirror(manager->config, mirror_config(mirror)->name);

                if (mirror_status(mirror).state == MIRROR_FAILED)
                        remove_mirror(manager, i - 1); /* and begin it anew */
                else if (!wanted || !is_same_place(wanted, mirror_config(mirror)))
                        mirror_stop(mirror);
                else if (mirror_reconfigure(mirror, wanted) < 0)
                        log_error("Failed to reconfigure mirror '%s': out of memory", wanted->name);
        }
        reconcile(manager);
        (void) sd_event_source_set_enabled(manager->review, SD_EVENT_ONESHOT);
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        Manager *manager = userdata;

        (void) source;
        if (info->ssi_signo == SIGHUP) {
                manager->reload_wanted = !manager->stopping; /* it is taken up when the start is over */
                (void) sd_event_source_set_enabled(manager->review, SD_EVENT_ONESHOT);
                return 0;
        }
        if (!manager->stopping)
                log_info("Stopping");
        stop_all(manager);
        return 0;
}

static int on_pool(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Manager *manager = userdata;

        (void) source;
        (void) fd;
        (void) events;
        pool_dispatch(manager->pool);
        return 0;
}

static int on_watch(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Manager *manager = userdata;
        WatchReport *report;

        (void) source;
        (void) fd;
        (void) events;
        while (watch_next(manager->watch, &report) > 0) {
                for (size_t i = 0; i < manager->n_mirrors; i++)
                        if (mirror_number(manager->mirrors[i]) == report->root)
                                mirror_notice(manager->mirrors[i], report);
                report = watch_report_free(report);
        }
        return 0;
}

static int open_state(Manager *manager, const char **reterr_what) {
        static char what[TEXT_PATH_MAX + 32]; /* there is one manager */
        _cleanup_(freep) char *path = NULL;
        char escaped[TEXT_PATH_MAX];
        int r;

        r = manager_state_directory(&path);
        if (r < 0)
                return r;
        (void) snprintf(what, sizeof(what), "open the state directory '%s'", text_path(escaped, path));
        *reterr_what = what;
        r = fs_make_path(path);
        if (r < 0)
                return r;
        manager->statefd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return manager->statefd < 0 ? -errno : 0;
}

static int read_ram(Manager *manager) {
        MemoryFacts facts;
        int r = memory_read("/proc", "/sys/fs/cgroup", &facts);

        if (r < 0)
                return r;
        manager->context.ram = facts.total;
        memory_facts_done(&facts);
        return 0;
}

static unsigned choose_workers(const Config *config) {
        long processors = sysconf(_SC_NPROCESSORS_ONLN);

        if (config->workers > 0)
                return config->workers;
        /* more than processors, because a worker that reads a disk or a server mostly waits */
        return (unsigned) MIN(MAX(processors, 4), 16);
}

static int add_sources(Manager *manager) {
        static const int signals[] = { SIGTERM, SIGINT, SIGHUP };
        int r = sd_event_default(&manager->event);

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(signals); i++)
                r = sd_event_add_signal(manager->event, NULL, signals[i], on_signal, manager);
        if (r >= 0)
                r = sd_event_add_io(manager->event, NULL, pool_get_fd(manager->pool), EPOLLIN, on_pool, manager);
        if (r >= 0)
                r = sd_event_add_io(manager->event, NULL, watch_get_fd(manager->watch), EPOLLIN, on_watch, manager);
        if (r >= 0)
                r = sd_event_add_time(manager->event, &manager->tick, CLOCK_MONOTONIC, 0, 0, on_tick, manager);
        if (r >= 0)
                r = sd_event_add_defer(manager->event, &manager->review, on_review, manager);
        if (r >= 0)
                r = sd_event_set_watchdog(manager->event, true);
        return r < 0 ? r : 0;
}

int manager_new(Manager **ret, const ManagerOptions *options, Config *config, const char **reterr_what) {
        _cleanup_(manager_freep) Manager *manager = calloc(1, sizeof(*manager));
        int r;

        *reterr_what = "get memory";
        if (!manager) {
                (void) config_free(config);
                return -ENOMEM;
        }
        manager->options = *options;
        manager->config = config;
        manager->statefd = -1;
        r = watch_new(&manager->watch, reterr_what);
        if (r == 0)
                r = open_state(manager, reterr_what);
        if (r == 0) {
                *reterr_what = "start the workers";
                r = pool_new(choose_workers(config), &manager->pool);
        }
        if (r == 0) {
                *reterr_what = "read /proc/meminfo";
                r = read_ram(manager);
        }
        if (r == 0) {
                *reterr_what = "set up the event loop";
                r = add_sources(manager);
        }
        if (r < 0)
                return r;
        notify_init(&manager->notify);
        manager->context = (MirrorContext){
                .event = manager->event, .pool = manager->pool, .watch = manager->watch, .statefd = manager->statefd,
                .reserve = config->reserve, .ram = manager->context.ram, .promised = &manager->promised, .changed = on_changed,
                .userdata = manager,
        };
        *ret = TAKE_PTR(manager);
        return 0;
}

Manager *manager_free(Manager *manager) {
        if (!manager)
                return NULL;
        while (manager->n_mirrors > 0)
                remove_mirror(manager, manager->n_mirrors - 1);
        free(manager->mirrors);
        manager->pool = pool_free(manager->pool);
        manager->watch = watch_free(manager->watch);
        (void) sd_event_source_unref(manager->tick);
        (void) sd_event_source_unref(manager->review);
        (void) sd_event_unref(manager->event);
        manager->statefd = close_fd(manager->statefd);
        notify_done(&manager->notify);
        manager->config = config_free(manager->config);
        free(manager);
        return NULL;
}

int manager_run(Manager *manager, bool *ret_stuck) {
        int r;

        reconcile(manager);
        r = sd_event_loop(manager->event);
        *ret_stuck = manager->stuck;
        if (r < 0) {
                log_error("The event loop failed: %s", strerror(-r));
                return EXIT_FAILURE;
        }
        return r;
}
