/* SPDX-License-Identifier: GPL-2.0-or-later */

/* shmstagectl wait: until something can be used. Made for ExecStartPre=, where the daemon may not have been started
 * yet, or is started anew meanwhile. */

#include "ctl/commands.h"

#include "base/text.h"
#include "ctl/connection.h"
#include "ctl/screen.h"

#include <time.h>

/* So often a daemon is looked for that is not there. */
#define SURVEY_USEC (USEC_PER_SEC / 5)

static uint64_t now_usec(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / 1000;
}

static void pause_usec(uint64_t usec) {
        struct timespec ts = { .tv_sec = (time_t) (usec / USEC_PER_SEC),
                               .tv_nsec = (long) (usec % USEC_PER_SEC * 1000) };

        (void) nanosleep(&ts, NULL);
}

static CtlTrouble wait_once(CtlConnection *bus, char *const *names, uint64_t usec, char **ret_reason) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = ctl_connection_message(bus, "Wait"), *reply = NULL;

        if (call && ctl_connection_append_names(call, names) < 0)
                call = sd_bus_message_unref(call);
        return ctl_connection_call(bus, call, usec, &reply, ret_reason);
}

/* The daemon is there: until the answer, or the end of the time. A moment is always left for the answer of one that
 * is ready. */
static CtlTrouble wait_there(const Ctl *ctl, char *const *names, uint64_t rest, char **ret_reason) {
        CtlTrouble trouble;
        CtlConnection bus;

        trouble = ctl_connection_open(ctl, &bus, ret_reason);
        if (trouble != CTL_TROUBLE_NONE)
                return trouble;
        trouble = wait_once(&bus, names, MAX(rest, USEC_PER_SEC / 2), ret_reason);
        ctl_connection_close(&bus);
        return trouble;
}

int commands_wait(const Ctl *ctl, char *const *arguments) {
        uint64_t start = now_usec(),
                 end = ctl->timeout_usec > UINT64_MAX - start ? UINT64_MAX : start + ctl->timeout_usec;
        bool log_once = false;

        for (;;) {
                _cleanup_(freep) char *reason = NULL;
                uint64_t now = now_usec();
                CtlTrouble trouble =
                        wait_there(ctl, arguments, end == UINT64_MAX ? UINT64_MAX : end - MIN(now, end), &reason);

                if (trouble == CTL_TROUBLE_NONE)
                        return CTL_DONE;
                if (trouble != CTL_TROUBLE_ABSENT && trouble != CTL_TROUBLE_LOST && trouble != CTL_TROUBLE_TIMEOUT) {
                        screen_error("%s", reason ? reason : strerror(ENOMEM));
                        return CTL_FAILED;
                }
                now = now_usec();
                if (now >= end || trouble == CTL_TROUBLE_TIMEOUT) {
                        if (trouble == CTL_TROUBLE_TIMEOUT)
                                screen_error("Not ready before the timeout; see shmstagectl status");
                        else
                                screen_error("%s", reason ? reason : strerror(ENOMEM));
                        return CTL_TIMEOUT;
                }
                if (!log_once && isatty(STDERR_FILENO) == 1 && reason)
                        (void) fprintf(stderr, "Waiting: %s\n", reason);
                log_once = true;
                pause_usec(MIN(SURVEY_USEC, end - now));
        }
}
