/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Where the daemon keeps what is its own. See base/dirs.h. */

#include "base/dirs.h"

int dirs_state_directory(char **ret) {
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

int dirs_control_socket(char **ret) {
        const char *given = getenv("RUNTIME_DIRECTORY"), *xdg = getenv("XDG_RUNTIME_DIR");
        int r;

        if (given && given[0] == '/')
                r = asprintf(ret, "%.*s/control", (int) strcspn(given, ":"), given);
        else if (geteuid() == 0)
                r = asprintf(ret, "/run/shmstaged/control");
        else if (xdg && xdg[0] == '/')
                r = asprintf(ret, "%s/shmstaged/control", xdg);
        else
                return -ENOENT;
        return r < 0 ? -ENOMEM : 0;
}
