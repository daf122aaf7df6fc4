/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Where the daemon keeps its own files. See base/dirs.h. */

#include "base/dirs.h"

#include "base/text.h"

int dirs_state_directory(char **ret) {
        const char *given = getenv("STATE_DIRECTORY"), *xdg = getenv("XDG_STATE_HOME"), *home = getenv("HOME");

        if (given && given[0] == '/') /* systemd separates several with colons */
                *ret = text_format("%.*s", (int) strcspn(given, ":"), given);
        else if (geteuid() == 0)
                *ret = text_format("/var/lib/shmstaged");
        else if (xdg && xdg[0] == '/')
                *ret = text_format("%s/shmstaged", xdg);
        else
                *ret = text_format("%s/.local/state/shmstaged", home && home[0] == '/' ? home : "/tmp");
        return *ret ? 0 : -ENOMEM;
}

int dirs_control_socket(char **ret) {
        const char *given = getenv("RUNTIME_DIRECTORY"), *xdg = getenv("XDG_RUNTIME_DIR");

        if (given && given[0] == '/')
                *ret = text_format("%.*s/control", (int) strcspn(given, ":"), given);
        else if (geteuid() == 0)
                *ret = text_format("/run/shmstaged/control");
        else if (xdg && xdg[0] == '/')
                *ret = text_format("%s/shmstaged/control", xdg);
        else
                return -ENOENT;
        return *ret ? 0 : -ENOMEM;
}
