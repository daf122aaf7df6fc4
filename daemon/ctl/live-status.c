/* SPDX-License-Identifier: GPL-2.0-or-later */

/* shmstagectl status --watch. See ctl/live-status.h. */

#include "ctl/live-status.h"

#include "base/clock.h"
#include "base/strv.h"
#include "base/text.h"
#include "ctl/connection.h"
#include "ctl/fetch.h"
#include "ctl/reply.h"
#include "ctl/status-view.h"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <termios.h>

#define PACE_USEC (USEC_PER_SEC / 2)     /* between two calls while something changes */
#define IDLE_USEC (30 * USEC_PER_SEC)    /* added while nothing changes but the uptime */
#define RETRY_USEC USEC_PER_SEC          /* between two attempts to connect */
#define PATIENCE_USEC (3 * USEC_PER_SEC) /* before a missing reply is shown */

typedef struct Watcher {
        const Ctl *ctl;
        int (*prepare)(json_t *, void *);
        void *userdata;
        Screen screen;
        CtlConnection bus;
        sd_bus_slot *signals, *call;
        json_t *status;      /* the latest; NULL while there is no daemon */
        char *reason;        /* why there is none, or why it is out of date */
        char **lines;        /* the latest ones that were printed, if there is no terminal */
        bool connected;
        bool stale;          /* the daemon has announced a change */
        bool moving;         /* something changes without announcements, such as progress */
        bool full;           /* the terminal shows the status only */
        uint64_t asked_usec; /* of the call that is pending */
        uint64_t next_usec;  /* no call or attempt to connect before this */
        struct termios terminal;
        bool keys;           /* the keyboard is read */
        int status_code;     /* of @prepare */
        int over;            /* a signal that ends it, or -1 */
} Watcher;

static void take_terminal(Watcher *watcher) {
        struct termios raw;

        if (!watcher->screen.terminal)
                return;
        /* a background process that changes the settings of the terminal is stopped by SIGTTOU */
        watcher->keys = tcgetpgrp(STDIN_FILENO) == getpgrp() && tcgetattr(STDIN_FILENO, &watcher->terminal) == 0;
        if (watcher->keys) {
                raw = watcher->terminal;
                raw.c_lflag &= ~(tcflag_t) (ICANON | ECHO);
                (void) tcsetattr(STDIN_FILENO, TCSANOW, &raw);
        }
        (void) fputs("\033[?1049h\033[?25l", stdout);
        (void) fflush(stdout);
        watcher->full = true;
}

static void give_back_terminal(Watcher *watcher) {
        if (!watcher->full)
                return;
        (void) fputs("\033[?25h\033[?1049l", stdout);
        (void) fflush(stdout);
        if (watcher->keys)
                (void) tcsetattr(STDIN_FILENO, TCSANOW, &watcher->terminal);
        watcher->full = watcher->keys = false;
}

/* The lines for a terminal. */
static int view(const Watcher *watcher, char ***ret) {
        ViewInput input = { .status = watcher->status, .reason = watcher->reason, .bytes = watcher->ctl->bytes,
                            .now_usec = clock_usec(CLOCK_REALTIME) };

        return status_view_print(&input, &watcher->screen, ret);
}

/* Draws as many lines as fit, each cleared to its end, and clears all below. The last row stays free: a newline there
 * would scroll. */
static void draw(Watcher *watcher) {
        _cleanup_(strv_freep) char **lines = NULL;
        size_t n, rows;

        watcher->screen = screen_of(STDOUT_FILENO);
        if (view(watcher, &lines) < 0)
                return;
        n = strv_length(lines);
        rows = MAX(watcher->screen.rows, 2) - 1;
        (void) fputs("\033[H", stdout);
        for (size_t i = 0; i < MIN(n, rows); i++)
                if (n > rows && i == rows - 1)
                        (void) printf("(%zu more lines)\033[K\r\n", n - i);
                else
                        (void) printf("%s\033[K\r\n", lines[i]);
        (void) fputs("\033[J", stdout);
        (void) fflush(stdout);
}

/* Prints the lines that differ from the previous ones. */
static void print_changes(Watcher *watcher) {
        const json_t *mirrors = json_object_get(watcher->status, "mirrors"),
                     *daemon = json_object_get(watcher->status, "daemon");
        _cleanup_(strv_freep) char **lines = NULL;
        const char *state = !watcher->status ? watcher->reason
                            : ctl_reply_flag(daemon, "degraded") ? "degraded" : ctl_reply_text(daemon, "state");
        char *head = NULL;

        (void) text_append(&head, "shmstaged: %s", state ? state : "not running");
        if (strv_take(&lines, head) < 0)
                return;
        for (size_t i = 0; i < json_array_size(mirrors); i++)
                if (strv_take(&lines, status_view_line(json_array_get(mirrors, i), watcher->ctl->bytes)) < 0)
                        return;
        for (size_t i = 0; lines[i]; i++) {
                _cleanup_(freep) char *safe = screen_text(lines[i]);

                if (safe && (i >= strv_length(watcher->lines) || strcmp(lines[i], watcher->lines[i]) != 0))
                        (void) printf("%s\n", safe);
        }
        (void) fflush(stdout);
        (void) strv_free(watcher->lines);
        watcher->lines = TAKE_PTR(lines);
}

static void show(Watcher *watcher) {
        if (watcher->full)
                draw(watcher);
        else if (watcher->ctl->json == CTL_JSON_OFF)
                print_changes(watcher);
        else {
                json_t *status = watcher->status ? json_incref(watcher->status) : ctl_fetch_absent();

                (void) json_output_print(watcher->ctl, status, stdout);
                json_decref(status);
        }
}

/* Takes the reason. */
static void disconnect(Watcher *watcher, char *reason) {
        bool news = watcher->full || watcher->status || !watcher->reason;

        watcher->signals = sd_bus_slot_unref(watcher->signals);
        watcher->call = sd_bus_slot_unref(watcher->call);
        if (watcher->connected)
                ctl_connection_close(&watcher->bus);
        watcher->connected = watcher->moving = false;
        json_decref(watcher->status);
        watcher->status = NULL;
        free(watcher->reason);
        watcher->reason = reason;
        watcher->next_usec = clock_usec(CLOCK_MONOTONIC) + RETRY_USEC;
        if (news)
                show(watcher);
}

static bool is_moving(const json_t *status) {
        static const char *const quiet[] = { "idle", "stopped", "failed" };
        const json_t *mirrors = json_object_get(status, "mirrors");

        for (size_t i = 0; i < json_array_size(mirrors); i++) {
                const json_t *mirror = json_array_get(mirrors, i);
                bool rests = false;

                for (size_t q = 0; q < ELEMENTSOF(quiet); q++)
                        rests = rests || string_equal(ctl_reply_text(mirror, "state"), quiet[q]);
                if (!rests || ctl_reply_number(mirror, "unsaved") > 0)
                        return true;
        }
        return ctl_reply_number(json_object_get(status, "daemon"), "jobs") > 0;
}

/* True if only the time has changed. */
static bool is_same(const json_t *a, const json_t *b) {
        const json_t *da = json_object_get(a, "daemon"), *db = json_object_get(b, "daemon");

        return a && b && json_equal(json_object_get(a, "mirrors"), json_object_get(b, "mirrors")) &&
               string_equal(ctl_reply_text(da, "status_text"), ctl_reply_text(db, "status_text")) &&
               string_equal(ctl_reply_text(da, "state"), ctl_reply_text(db, "state"));
}

static int on_status(sd_bus_message *reply, void *userdata, sd_bus_error *error _unused_) {
        Watcher *watcher = userdata;
        const sd_bus_error *failure = sd_bus_message_get_error(reply);
        json_t *status = NULL;
        bool same;

        watcher->call = sd_bus_slot_unref(watcher->call);
        if (sd_bus_is_open(watcher->bus.bus) <= 0)
                return 0; /* the daemon is gone; work() notices that and disconnects */
        free(watcher->reason);
        watcher->reason = NULL;
        if (failure || ctl_fetch_read_status(reply, &status) < 0) {
                (void) text_append(&watcher->reason, "Failed to get the status: %s",
                                   failure && failure->message ? failure->message
                                                               : "the daemon has an incompatible version");
                status = NULL;
        } else
                watcher->status_code = watcher->prepare(status, watcher->userdata);
        if (watcher->status_code != 0)
                watcher->over = -1;
        same = is_same(watcher->status, status);
        json_decref(watcher->status);
        watcher->status = status;
        watcher->moving = is_moving(status);
        if (!watcher->over && (watcher->full || !same))
                show(watcher);
        return 0;
}

static int on_change(sd_bus_message *signal _unused_, void *userdata, sd_bus_error *error _unused_) {
        Watcher *watcher = userdata;

        watcher->stale = true;
        return 0;
}

static void connect_daemon(Watcher *watcher) {
        char *reason = NULL;

        if (ctl_connection_open(watcher->ctl, &watcher->bus, &reason) != CTL_TROUBLE_NONE) {
                disconnect(watcher, reason);
                return;
        }
        watcher->connected = watcher->stale = true;
        watcher->next_usec = 0;
        /* without the signal, the status is still read twice a minute */
        (void) sd_bus_match_signal(watcher->bus.bus, &watcher->signals, watcher->bus.destination, CTL_OBJECT,
                                   "org.freedesktop.DBus.Properties", "PropertiesChanged", on_change, watcher);
}

static void call_status(Watcher *watcher, uint64_t now) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = ctl_connection_message(&watcher->bus, "GetStatus");

        watcher->stale = false;
        watcher->asked_usec = now;
        watcher->next_usec = now + PACE_USEC;
        if (call)
                (void) sd_bus_call_async(watcher->bus.bus, &watcher->call, call, on_status, watcher, UINT64_MAX);
}

/* Does what is due. Returns the microseconds until something is due again. */
static uint64_t work(Watcher *watcher) {
        uint64_t now, idle;
        int r = 0;

        if (!watcher->connected && clock_usec(CLOCK_MONOTONIC) >= watcher->next_usec)
                connect_daemon(watcher);
        while (watcher->connected && (r = sd_bus_process(watcher->bus.bus, NULL)) > 0)
                ;
        if (r < 0) {
                char *reason = NULL;

                (void) ctl_connection_broken(&watcher->bus, r, &reason);
                disconnect(watcher, reason);
        }
        now = clock_usec(CLOCK_MONOTONIC);
        if (!watcher->connected)
                return watcher->next_usec - MIN(now, watcher->next_usec);
        if (watcher->call) {
                if (watcher->full && !watcher->reason && now - watcher->asked_usec >= PATIENCE_USEC &&
                    text_append(&watcher->reason, "The daemon does not answer") == 0)
                        draw(watcher);
                return watcher->reason ? UINT64_MAX : PATIENCE_USEC - MIN(now - watcher->asked_usec, PATIENCE_USEC - 1);
        }
        idle = watcher->stale || watcher->moving ? 0 : IDLE_USEC;
        if (now >= watcher->next_usec + idle) {
                call_status(watcher, now);
                return 0;
        }
        return watcher->next_usec + idle - now;
}

static void take_signal(Watcher *watcher, int signals) {
        struct signalfd_siginfo info;

        while (read(signals, &info, sizeof(info)) == (ssize_t) sizeof(info))
                switch (info.ssi_signo) {
                case SIGWINCH:
                        if (watcher->full)
                                draw(watcher);
                        break;
                case SIGTSTP:
                        give_back_terminal(watcher);
                        (void) kill(getpid(), SIGSTOP);
                        take_terminal(watcher);
                        show(watcher);
                        break;
                default:
                        watcher->over = (int) info.ssi_signo;
                }
}

static void take_key(Watcher *watcher) {
        char key;
        ssize_t n = read(STDIN_FILENO, &key, 1);

        if (n == 0 || (n == 1 && (key == 'q' || key == 'Q')))
                watcher->over = -1;
}

static void run(Watcher *watcher, int signals) {
        while (!watcher->over) {
                uint64_t rest = work(watcher);
                struct pollfd fds[] = {
                        { .fd = signals, .events = POLLIN },
                        { .fd = watcher->connected ? sd_bus_get_fd(watcher->bus.bus) : -1,
                          .events = watcher->connected ? (short) sd_bus_get_events(watcher->bus.bus) : 0 },
                        { .fd = watcher->keys ? STDIN_FILENO : -1, .events = POLLIN },
                        { .fd = STDOUT_FILENO }, /* POLLERR once the reader has gone */
                };

                if (watcher->over || poll(fds, ELEMENTSOF(fds),
                                          rest == UINT64_MAX ? -1 : (int) MIN((rest + 999) / 1000, INT32_MAX)) < 0)
                        continue;
                if (fds[0].revents)
                        take_signal(watcher, signals);
                if (fds[2].revents)
                        take_key(watcher);
                if (fds[3].revents & (POLLERR | POLLHUP | POLLNVAL))
                        watcher->over = SIGPIPE;
        }
}

/* Leaves the latest status on the screen. */
static void print_last(const Watcher *watcher) {
        _cleanup_(strv_freep) char **lines = NULL;

        if (view(watcher, &lines) == 0)
                for (size_t i = 0; lines[i]; i++)
                        (void) printf("%s\n", lines[i]);
}

int live_status_run(const Ctl *ctl, int (*prepare)(json_t *status, void *userdata),
                    int (*judge)(const json_t *status, void *userdata), void *userdata) {
        Watcher watcher = { .ctl = ctl, .prepare = prepare, .userdata = userdata, .screen = screen_of(STDOUT_FILENO) };
        static const int numbers[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGTSTP };
        _cleanup_(close_fdp) int signals = -1;
        bool was_full;
        sigset_t set, before;
        int r;

        (void) sigemptyset(&set);
        for (size_t i = 0; i < ELEMENTSOF(numbers); i++)
                (void) sigaddset(&set, numbers[i]);
        (void) sigprocmask(SIG_BLOCK, &set, &before);
        signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        if (signals < 0)
                return screen_fail(CTL_UNKNOWN, "Failed to receive signals: %m");
        if (ctl->json == CTL_JSON_OFF)
                take_terminal(&watcher);
        run(&watcher, signals);
        was_full = watcher.full;
        give_back_terminal(&watcher);
        if (was_full && watcher.status_code == 0)
                print_last(&watcher);
        (void) fflush(stdout);
        (void) sigprocmask(SIG_SETMASK, &before, NULL);
        if (watcher.over > 0)
                (void) raise(watcher.over);
        r = watcher.status_code != 0 ? watcher.status_code : judge(watcher.status, userdata);
        watcher.signals = sd_bus_slot_unref(watcher.signals);
        watcher.call = sd_bus_slot_unref(watcher.call);
        if (watcher.connected)
                ctl_connection_close(&watcher.bus);
        json_decref(watcher.status);
        free(watcher.reason);
        (void) strv_free(watcher.lines);
        return r;
}
