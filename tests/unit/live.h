/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* A real mirror to ask: source/ on the ground's tmpfs, mirror/ a tmpfs of its own, with loop, workers and watch as the manager has them. One at a time. To be included after ground.h. */

#include "config/config.h"
#include "mirror/mirror.h"
#include "on-pool.h"
#include "os/fs.h"

static sd_event *live_event;
static Pool *live_pool, *live_savers, *live_readers;
static Watch *live_watch;
static Config *live_config;
static Mirror *live_mirror;
static MirrorContext live_context;
static uint64_t live_promised;

static void live_changed(Mirror *mirror, void *userdata) {
        (void) mirror;
        (void) userdata;
}

static int live_on_watch(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        WatchReport *report;

        (void) source;
        (void) fd;
        (void) events;
        (void) userdata;
        while (watch_next(live_watch, &report) > 0) {
                if (live_mirror)
                        mirror_notice(live_mirror, report);
                report = watch_report_free(report);
        }
        return 0;
}

/* For main(), before anything else. */
static inline void live_enter(void) {
        const char *what;

        if (watch_new(&live_watch, &what) < 0 || pool_new(2, &live_pool) < 0 || pool_new(2, &live_savers) < 0 || pool_new_nice(1, 19, &live_readers) < 0 ||
            sd_event_default(&live_event) < 0 ||
            sd_event_add_io(live_event, NULL, watch_get_fd(live_watch), EPOLLIN, live_on_watch, NULL) < 0)
                exit(EXIT_FAILURE);
        add_pool(live_event, live_pool);
        add_pool(live_event, live_savers);
        add_pool(live_event, live_readers);
}

static inline void live_leave(void) {
        live_pool = pool_free(live_pool);
        live_savers = pool_free(live_savers);
        live_readers = pool_free(live_readers);
        live_watch = watch_free(live_watch);
        live_event = sd_event_unref(live_event);
}

/* Turns the loop until @is_so, for at most half a minute. */
static inline void live_wait(bool (*is_so)(void *userdata), void *userdata, const char *what) {
        time_t begin = time(NULL);

        while (!is_so(userdata)) {
                assert_true(sd_event_run(live_event, 100 * 1000) >= 0);
                if (time(NULL) - begin > 30)
                        fail_msg("it never came to this: %s (state %d, %s)", what, mirror_status(live_mirror).state,
                                 mirror_status(live_mirror).problem ? mirror_status(live_mirror).problem : "no problem");
        }
}

static inline bool live_is_planned(void *userdata) {
        (void) userdata;
        return mirror_status(live_mirror).state == MIRROR_PLANNED;
}

static inline bool live_is_settled(void *userdata) {
        (void) userdata;
        return mirror_is_settled(live_mirror);
}

static inline bool live_is_over(void *userdata) {
        MirrorState state = mirror_status(live_mirror).state;

        (void) userdata;
        return state == MIRROR_STOPPED || state == MIRROR_FAILED;
}

/* Begins a mirror of source/ in mirror/, with further lines of configuration. state/ is kept from one to the next. What
 * is in source/ is old enough by then for its times to prove something, so that it is not seen once more. */
static inline void live_start(const char *lines) {
        char text[4096];
        const char *what;

        (void) snprintf(text, sizeof(text), "[Mirror m]\nSource=%s/source\nTarget=%s/mirror\nSize=64M\n%s\n", ground_base, ground_base, lines);
        put_text("conf", text);
        assert_int_equal(config_load("conf", NULL, &live_config, &what), 0);
        assert_int_equal(live_config->n_errors, 0);
        if (!is_there("state"))
                make_directory("state");
        (void) usleep(50000);
        live_promised = 0;
        live_context = (MirrorContext){ .event = live_event, .pool = live_pool, .savers = live_savers, .readers = live_readers, .watch = live_watch, .statefd = open_directory("state"),
                                        .reserve = live_config->reserve, .ram = 4 * GIB, .promised = &live_promised, .changed = live_changed };
        assert_int_equal(mirror_new(&live_mirror, &live_config->mirrors[0], &(MirrorIds){ 1, 2, 3 }, &live_context), 0);
        mirror_start(live_mirror);
}

/* The same, as far as to the plan, and through it. */
static inline void live_settle(void) {
        live_wait(live_is_planned, NULL, "a plan");
        assert_true(mirror_fits(live_mirror));
        mirror_proceed(live_mirror);
        live_wait(live_is_settled, NULL, "settled");
}

static inline void live_end(void) {
        mirror_stop(live_mirror);
        live_wait(live_is_over, NULL, "the end");
        live_mirror = mirror_free(live_mirror);
        live_config = config_free(live_config);
        (void) close(live_context.statefd);
}
