/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Owns the event loop, the workers, the watch and the mirrors. See manager.h. */

#include "manager.h"

#include "base/clock.h"
#include "base/dirs.h"
#include "base/log.h"
#include "base/strv.h"
#include "base/text.h"
#include "config/problems.h"
#include "control/control.h"
#include "mirror/mirrors.h"
#include "os/fs.h"
#include "os/memory.h"
#include "os/own-file.h"
#include "report/metrics-file.h"
#include "report/metrics.h"
#include "report/notify.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>

/* A stop in which nothing moves for so long goes on without waiting for the workers that hold it up. */
#define STUCK_USEC (10 * USEC_PER_SEC)
/* The same while something is in RAM only, which would be lost at a shutdown: a disk that has to spin up, or whose
 * queue is full, gets nearly as long as report/notify.c asks systemd for. */
#define STUCK_UNSAVED_USEC (100 * USEC_PER_SEC)

/* Two for large saves and one for small ones: more would only make a disk seek. */
enum { SAVERS = 3 };
/* One for what may have been written, which can be much, and is not to be felt by those who use the models. */
enum { READERS = 1, READERS_NICE = 19 };

struct Manager {
        ManagerOptions options;
        Config *config;
        sd_event *event;
        Pool *pool, *savers, *readers;
        Watch *watch;
        int statefd;
        MirrorContext context;
        uint64_t promised;
        Mirrors mirrors;
        ClockTimer tick;
        sd_event_source *review;
        Notify notify;
        MetricsFile metrics;
        bool ready;       /* READY=1 has been sent */
        bool reloading, reload_wanted;
        unsigned reloads_begun, reloads_over;
        char **reload_errors; /* of the last reload */
        Control *control;
        bool stopping;
        bool stuck;       /* a worker did not come back, so nothing may be freed */
};

static void push_status(Manager *manager) {
        _cleanup_(freep) MirrorStatus *statuses = mirrors_statuses(&manager->mirrors);

        if (statuses)
                notify_status(&manager->notify, statuses, manager->mirrors.n,
                              !manager->ready || manager->reloading || manager->stopping);
        metrics_file_touch(&manager->metrics);
        control_update(manager->control);
}

static char *render_metrics(void *userdata) {
        Manager *manager = userdata;
        _cleanup_(freep) MirrorStatus *statuses = mirrors_statuses(&manager->mirrors);

        return statuses ? metrics_text(statuses, manager->mirrors.n, SHMSTAGED_VERSION) : NULL;
}

static void on_metrics_ended(void *userdata) {
        Manager *manager = userdata;

        (void) sd_event_source_set_enabled(manager->review, SD_EVENT_ONESHOT);
}

/* The clock ticks only while something moves: an idle daemon does not wake up. */
static void set_tick(Manager *manager, bool on) {
        (void) clock_timer_set_in(&manager->tick, on ? notify_interval_usec(&manager->notify) : UINT64_MAX);
}

static int on_tick(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata) {
        Manager *manager = userdata;
        MirrorsState state = mirrors_state(&manager->mirrors);

        push_status(manager);
        if (manager->stopping && state.busy &&
            notify_stalled_usec(&manager->notify) > (state.unsaved ? STUCK_UNSAVED_USEC : STUCK_USEC)) {
                /* a worker that waits for a dead server cannot be cancelled, but the mirrors need not wait for it */
                manager->stuck = true;
                mirrors_abandon(&manager->mirrors);
        }
        set_tick(manager, state.busy);
        return 0;
}

/* Mirrors report a change from the middle of what they do, so the review waits until they are through. */
static void on_changed(Mirror *mirror _unused_, void *userdata) {
        Manager *manager = userdata;

        (void) sd_event_source_set_enabled(manager->review, SD_EVENT_ONESHOT);
}

static void stop_all(Manager *manager) {
        if (manager->stopping)
                return;
        manager->stopping = true;
        notify_stopping(&manager->notify);
        mirrors_stop(&manager->mirrors);
        (void) sd_event_source_set_enabled(manager->review, SD_EVENT_ONESHOT);
}

static void reload(Manager *manager);

static void check_ready(Manager *manager) {
        MirrorsState state = mirrors_state(&manager->mirrors);

        if (!manager->ready && state.ready) {
                manager->ready = true;
                push_status(manager);
                notify_ready();
        } else if (manager->ready && manager->reloading && state.settled) {
                manager->reloading = false;
                manager->reloads_over = manager->reloads_begun;
                push_status(manager);
                notify_ready();
        }
        if (manager->ready && state.settled && manager->reload_wanted && !manager->reloading)
                reload(manager);
}

static void finish_if_over(Manager *manager) {
        MirrorsState state = mirrors_state(&manager->mirrors);

        if (!state.over || !metrics_file_end(&manager->metrics))
                return;
        manager->stuck = manager->stuck || metrics_file_is_stuck(&manager->metrics);
        if (state.failed)
                notify_failure(&manager->notify, state.failed, 0);
        (void) sd_event_exit(manager->event, state.failed ? EXIT_FAILURE : EXIT_SUCCESS);
}

static int on_review(sd_event_source *source _unused_, void *userdata) {
        Manager *manager = userdata;

        if (!manager->stopping && mirrors_state(&manager->mirrors).failed &&
            (!manager->ready || mirrors_state(&manager->mirrors).over))
                stop_all(manager); /* it starts with all mirrors or not at all, and does not run without any */
        if (!manager->stopping) {
                mirrors_sweep(&manager->mirrors);
                mirrors_proceed(&manager->mirrors, !manager->ready);
                mirrors_report(&manager->mirrors);
                check_ready(manager);
        }
        push_status(manager);
        if (manager->stopping)
                finish_if_over(manager);
        set_tick(manager, true);
        return 0;
}

/* The errors of a configuration, for the client that asked for the reload. Without memory, they are in the log only. */
static void keep_errors(Manager *manager, const Config *config) {
        for (size_t i = 0; i < config->n_notes; i++) {
                char *text = config->notes[i].error ? config_problems_text(&config->notes[i]) : NULL;

                if (text)
                        (void) strv_take(&manager->reload_errors, text);
        }
}

/* The configuration could not be read at all. */
static void keep_failure(Manager *manager, const char *what, int error) {
        const char *file = manager->options.config_file;
        char *text = file ? text_format("Failed to %s the configuration '%s': %s", what, file, strerror(-error))
                          : text_format("Failed to %s: %s", what, strerror(-error));

        log_error("%s; keeping the previous configuration", text ? text : "Failed to read the configuration");
        if (text)
                (void) strv_take(&manager->reload_errors, text);
}

/* A configuration that cannot be used changes nothing: it is not applied, and acknowledges nothing. */
static void reload(Manager *manager) {
        _cleanup_(config_freep) Config *config = NULL;
        const char *what = "read";
        int r;

        manager->reload_wanted = false;
        manager->reloading = true;
        manager->reloads_begun++;
        manager->reload_errors = strv_free(manager->reload_errors);
        notify_reloading();
        r = config_load(manager->options.config_file, manager->options.root, &config, &what);
        if (r < 0)
                keep_failure(manager, what, r);
        else if (!config_problems_log(config)) {
                log_error("Invalid configuration; keeping the previous one");
                keep_errors(manager, config);
        } else {
                if (config->workers != manager->config->workers)
                        log_notice("The new Workers= takes effect when the daemon is restarted");
                manager->config = config_free(manager->config);
                manager->config = TAKE_PTR(config);
                manager->context.reserve = manager->config->reserve;
                /* without memory the file stays where it is */
                (void) metrics_file_set_path(&manager->metrics, manager->config->metrics_file);
                mirrors_apply(&manager->mirrors, manager->config);
        }
        (void) sd_event_source_set_enabled(manager->review, SD_EVENT_ONESHOT);
}

/* A reload waits until nothing is under way. Under a low BandwidthLimit= that can take hours, which is when another
 * limit is wanted most, so that one is applied immediately. Errors of the configuration are reported by the reload. */
static void reload_limits(Manager *manager) {
        _cleanup_(config_freep) Config *config = NULL;
        const char *what;

        if (config_load(manager->options.config_file, manager->options.root, &config, &what) == 0 &&
            config->n_errors == 0)
                mirrors_set_limits(&manager->mirrors, config);
}

/* The reload begins when the start, or a reload that is under way, is over. */
static unsigned want_reload(void *userdata) {
        Manager *manager = userdata;

        manager->reload_wanted = !manager->stopping;
        reload_limits(manager);
        control_retry(manager->control);
        (void) sd_event_source_set_enabled(manager->review, SD_EVENT_ONESHOT);
        return manager->reloads_begun + 1;
}

static ControlState control_state(void *userdata) {
        const Manager *manager = userdata;

        return (ControlState){ .text = manager->notify.status, .ready = manager->ready,
                               .reloading = manager->reloading, .stopping = manager->stopping,
                               .reloads = manager->reloads_over, .reload_errors = manager->reload_errors };
}

static int on_signal(sd_event_source *source _unused_, const struct signalfd_siginfo *info, void *userdata) {
        Manager *manager = userdata;

        if (info->ssi_signo == SIGHUP) {
                (void) want_reload(manager);
                return 0;
        }
        if (!manager->stopping)
                log_notice("Stopping");
        stop_all(manager);
        return 0;
}

static int on_pool(sd_event_source *source _unused_, int fd _unused_, uint32_t events _unused_, void *userdata) {
        pool_dispatch(userdata);
        return 0;
}

static int on_watch(sd_event_source *source _unused_, int fd _unused_, uint32_t events _unused_, void *userdata) {
        Manager *manager = userdata;
        WatchReport *report;

        while (watch_next(manager->watch, &report) > 0) {
                mirrors_notice(&manager->mirrors, report);
                report = watch_report_free(report);
        }
        return 0;
}

static int open_state(Manager *manager, const char **reterr_what) {
        static char what[TEXT_PATH_MAX + 32]; /* there is one manager */
        _cleanup_(freep) char *path = NULL;
        char escaped[TEXT_PATH_MAX];
        int r = dirs_state_directory(&path);

        if (r < 0)
                return r;
        (void) snprintf(what, sizeof(what), "open the state directory '%s'", text_path(escaped, path));
        *reterr_what = what;
        r = own_file_make_path(path);
        if (r < 0)
                return r;
        r = own_file_open_directory(path);
        manager->statefd = MAX(r, -1);
        return MIN(r, 0);
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

static int add_sources(Manager *manager) {
        static const int signals[] = { SIGTERM, SIGINT, SIGHUP };
        int r = sd_event_default(&manager->event);

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(signals); i++)
                r = sd_event_add_signal(manager->event, NULL, signals[i], on_signal, manager);
        if (r >= 0)
                r = sd_event_add_io(manager->event, NULL, pool_get_fd(manager->pool), EPOLLIN, on_pool, manager->pool);
        if (r >= 0)
                r = sd_event_add_io(manager->event, NULL, pool_get_fd(manager->savers), EPOLLIN, on_pool,
                                    manager->savers);
        if (r >= 0)
                r = sd_event_add_io(manager->event, NULL, pool_get_fd(manager->readers), EPOLLIN, on_pool,
                                    manager->readers);
        if (r >= 0)
                r = sd_event_add_io(manager->event, NULL, watch_get_fd(manager->watch), EPOLLIN, on_watch, manager);
        manager->tick = (ClockTimer){ .event = manager->event, .handler = on_tick, .userdata = manager };
        if (r >= 0)
                r = clock_timer_set(&manager->tick, 0);
        if (r >= 0)
                r = sd_event_add_defer(manager->event, &manager->review, on_review, manager);
        if (r >= 0)
                r = sd_event_set_watchdog(manager->event, true);
        return r < 0 ? r : 0;
}

int manager_new(Manager **ret, const ManagerOptions *options, Config *config, const char **reterr_what) {
        _cleanup_(manager_freep) Manager *manager = calloc(1, sizeof(*manager));
        int r;

        *reterr_what = "allocate memory";
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
                r = pool_new(pool_choose_workers(config->workers), &manager->pool);
        }
        if (r == 0) {
                *reterr_what = "start the savers";
                r = pool_new(SAVERS, &manager->savers);
        }
        if (r == 0) {
                *reterr_what = "start the reader";
                r = pool_new_nice(READERS, READERS_NICE, &manager->readers);
        }
        if (r == 0) {
                *reterr_what = "read /proc/meminfo";
                r = read_ram(manager);
        }
        if (r == 0) {
                *reterr_what = "set up the event loop";
                r = add_sources(manager);
        }
        if (r == 0) {
                *reterr_what = "set up the control interface";
                r = control_new(&manager->control, &(ControlOptions){ .event = manager->event,
                                                                      .mirrors = &manager->mirrors,
                                                                      .state = control_state, .reload = want_reload,
                                                                      .userdata = manager });
        }
        if (r < 0)
                return r;
        notify_init(&manager->notify);
        manager->context = (MirrorContext){
                .event = manager->event, .pool = manager->pool, .savers = manager->savers,
                .readers = manager->readers, .watch = manager->watch,
                .statefd = manager->statefd, .reserve = config->reserve, .ram = manager->context.ram,
                .promised = &manager->promised, .changed = on_changed, .userdata = manager,
        };
        manager->metrics = (MetricsFile){ .event = manager->event, .pool = manager->savers, .render = render_metrics,
                                          .ended = on_metrics_ended, .userdata = manager };
        *ret = TAKE_PTR(manager);
        return 0;
}

Manager *manager_free(Manager *manager) {
        if (!manager)
                return NULL;
        manager->control = control_free(manager->control); /* first: its answers say how the mirrors ended */
        metrics_file_done(&manager->metrics);
        mirrors_done(&manager->mirrors);
        manager->pool = pool_free(manager->pool);
        manager->savers = pool_free(manager->savers);
        manager->readers = pool_free(manager->readers);
        manager->watch = watch_free(manager->watch);
        clock_timer_done(&manager->tick);
        (void) sd_event_source_unref(manager->review);
        (void) sd_event_unref(manager->event);
        manager->statefd = close_fd(manager->statefd);
        notify_done(&manager->notify);
        manager->reload_errors = strv_free(manager->reload_errors);
        manager->config = config_free(manager->config);
        free(manager);
        return NULL;
}

int manager_run(Manager *manager, bool *ret_stuck) {
        int r;

        manager->mirrors.context = &manager->context;
        mirrors_apply(&manager->mirrors, manager->config);
        r = metrics_file_set_path(&manager->metrics, manager->config->metrics_file);
        if (r == 0)
                r = sd_event_loop(manager->event);
        *ret_stuck = manager->stuck;
        if (r < 0) {
                log_error("Failed to run the event loop: %s; exiting", strerror(-r));
                return EXIT_FAILURE;
        }
        return r;
}
