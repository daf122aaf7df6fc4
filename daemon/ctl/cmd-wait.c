/* SPDX-License-Identifier: GPL-2.0-or-later */

/* shmstagectl wait: waits until names are ready. Made for ExecStartPre=, when the daemon may not be running yet, or
 * may be restarted meanwhile. */

#include "ctl/commands.h"

#include "base/clock.h"
#include "base/text.h"
#include "ctl/connection.h"
#include "ctl/screen.h"

#define RETRY_USEC (USEC_PER_SEC / 5) /* between two attempts to connect */

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

/* Connects, and waits for the reply. Even without time left, a daemon that is ready gets a moment to say so. */
static CtlTrouble wait_connected(const Ctl *ctl, char *const *names, uint64_t rest, char **ret_reason) {
        _cleanup_(ctl_connection_close) CtlConnection bus = {};
        CtlTrouble trouble = ctl_connection_open(ctl, &bus, ret_reason);

        return trouble != CTL_TROUBLE_NONE ? trouble
                                           : wait_once(&bus, names, MAX(rest, USEC_PER_SEC / 2), ret_reason);
}

int commands_wait(const Ctl *ctl, char *const *arguments) {
        uint64_t start = clock_usec(CLOCK_MONOTONIC),
                 end = ctl->timeout_usec > UINT64_MAX - start ? UINT64_MAX : start + ctl->timeout_usec;
        bool announced = false;

        for (;;) {
                _cleanup_(freep) char *reason = NULL;
                uint64_t now = clock_usec(CLOCK_MONOTONIC);
                CtlTrouble trouble =
                        wait_connected(ctl, arguments, end == UINT64_MAX ? UINT64_MAX : end - MIN(now, end), &reason);

                if (trouble == CTL_TROUBLE_NONE)
                        return CTL_DONE;
                if (trouble != CTL_TROUBLE_ABSENT && trouble != CTL_TROUBLE_LOST && trouble != CTL_TROUBLE_TIMEOUT)
                        return screen_fail(CTL_FAILED, "%s", reason ? reason : strerror(ENOMEM));
                now = clock_usec(CLOCK_MONOTONIC);
                if (now >= end || trouble == CTL_TROUBLE_TIMEOUT) {
                        if (trouble == CTL_TROUBLE_TIMEOUT)
                                screen_error("Not ready before the timeout; see shmstagectl status");
                        else
                                screen_error("%s", reason ? reason : strerror(ENOMEM));
                        return CTL_TIMEOUT;
                }
                if (!announced && isatty(STDERR_FILENO) == 1 && reason)
                        (void) fprintf(stderr, "Waiting: %s\n", reason);
                announced = true;
                pause_usec(MIN(RETRY_USEC, end - now));
        }
}
