/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Directories that belong to the system. See config/system-path.h. */

#include "config/system-path.h"

#include "base/path.h"

/* As hier(7) and file-hierarchy(7) name them. */
static const char *const reserved[] = {
        "/",      "/dev",       "/dev/shm",   "/home",        "/lost+found", "/media",     "/mnt",     "/opt",
        "/root",  "/run",       "/run/lock",  "/run/user",    "/snap",       "/srv",       "/tmp",     "/usr",
        "/usr/local", "/usr/share", "/usr/src", "/var",       "/var/cache",  "/var/lib",   "/var/log", "/var/opt",
        "/var/run", "/var/spool", "/var/tmp",
};

/* With all that is below. */
static const char *const reserved_trees[] = {
        "/bin",     "/boot", "/dev/hugepages", "/dev/mqueue", "/dev/pts", "/efi",     "/etc",       "/lib",
        "/lib32",   "/lib64", "/libx32",       "/proc",       "/run/systemd", "/sbin", "/sys",      "/usr/bin",
        "/usr/include", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libexec", "/usr/sbin", "/var/lib/shmstaged",
};

bool system_path_is_reserved(const char *path) {
        for (size_t i = 0; i < ELEMENTSOF(reserved); i++)
                if (strcmp(path, reserved[i]) == 0)
                        return true;
        for (size_t i = 0; i < ELEMENTSOF(reserved_trees); i++)
                if (path_is_below(path, reserved_trees[i]))
                        return true;
        return false;
}
