/* SPDX-License-Identifier: GPL-2.0-or-later */

/* shmstagectl metrics: the metrics in the text format of Prometheus. */

#include "ctl/commands.h"

#include "ctl/connection.h"
#include "ctl/screen.h"

static int print_text(sd_bus_message *reply) {
        const char *text;

        if (sd_bus_message_read(reply, "s", &text) < 0)
                return screen_fail(CTL_FAILED, "Failed to read the reply of the daemon");
        if (fputs(text, stdout) == EOF || fflush(stdout) != 0)
                return screen_fail(CTL_FAILED, "Failed to print the metrics: %m");
        return CTL_DONE;
}

int commands_metrics(const Ctl *ctl, char *const *arguments _unused_) {
        _cleanup_(ctl_connection_close) CtlConnection bus = {};
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_(freep) char *reason = NULL;
        CtlTrouble trouble = ctl_connection_open(ctl, &bus, &reason);

        if (trouble == CTL_TROUBLE_NONE)
                trouble = ctl_connection_ask(&bus, "GetMetrics", &reply, &reason);
        if (trouble == CTL_TROUBLE_NONE)
                return print_text(reply);
        return screen_fail(CTL_FAILED, "%s", reason ? reason : strerror(ENOMEM));
}
