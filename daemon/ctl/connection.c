/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The connection to the daemon. See ctl/connection.h. */

#include "ctl/connection.h"

#include "base/clock.h"
#include "base/text.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>

#define BUS_NAME "io.shmstaged"
#define ERROR_PREFIX "io.shmstaged.Error."
#define AGENT "/usr/bin/pkttyagent"
#define GREET_USEC (5 * USEC_PER_SEC) /* for connecting and authentication */

/* The socket of the system's daemon, or for an ordinary user without one, that of their own. */
static char *find_socket(const Ctl *ctl) {
        const char *given = ctl->socket ? ctl->socket : getenv("SHMSTAGED_SOCKET"), *xdg = getenv("XDG_RUNTIME_DIR");
        static const char system[] = "/run/shmstaged/control";
        char *own;

        if (given && *given)
                return strdup(given);
        if (geteuid() == 0 || access(system, F_OK) == 0 || !xdg || xdg[0] != '/')
                return strdup(system);
        own = text_format("%s/shmstaged/control", xdg);
        if (!own || access(own, F_OK) == 0)
                return own;
        free(own);
        return strdup(system);
}

static CtlTrouble explain_unconnected(const char *path, int error, char **ret_reason) {
        char shown[TEXT_PATH_MAX];

        *ret_reason = NULL;
        (void) text_path(shown, path);
        if (error == -ENOENT || error == -ECONNREFUSED || error == -ENOTDIR) {
                (void) text_append(ret_reason,
                                   "No daemon at '%s'; start it with: systemctl start shmstaged.service",
                                   shown);
                return CTL_TROUBLE_ABSENT;
        }
        (void) text_append(ret_reason, "Failed to connect to '%s': %s", shown,
                           error == -EAGAIN ? "timed out; the process that listens there may be suspended or hanging"
                                            : strerror(-error));
        return error == -EACCES || error == -EPERM ? CTL_TROUBLE_DENIED : CTL_TROUBLE_STRANGE;
}

static int connect_socket(const char *path) {
        _cleanup_(close_fdp) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct timeval patience = { .tv_sec = GREET_USEC / USEC_PER_SEC };
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        size_t length = strlen(path);

        if (fd < 0)
                return -errno;
        if (length >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        memcpy(address.sun_path, path, length);
        /* the timeout of connect(), which waits while the queue of the listener is full */
        if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0 ||
            connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
                return -errno;
        return TAKE_FD(fd);
}

/* Waits until both sides have authenticated. */
static int greet(sd_bus *bus) {
        uint64_t end = clock_usec(CLOCK_MONOTONIC) + GREET_USEC, now;
        int r;

        while ((r = sd_bus_is_ready(bus)) == 0) {
                r = sd_bus_process(bus, NULL);
                if (r < 0)
                        return r;
                now = clock_usec(CLOCK_MONOTONIC);
                if (now >= end)
                        return -ETIMEDOUT;
                if (r == 0 && (r = sd_bus_wait(bus, end - now)) < 0 && r != -EINTR)
                        return r;
        }
        return r < 0 ? r : 0;
}

static CtlTrouble open_socket(const Ctl *ctl, CtlConnection *bus, char **ret_reason) {
        _cleanup_(freep) char *path = find_socket(ctl);
        char shown[TEXT_PATH_MAX];
        int fd, r;

        bus->place = path ? text_format("at '%s'", text_path(shown, path)) : NULL;
        if (!bus->place)
                return CTL_TROUBLE_REFUSED;
        fd = connect_socket(path);
        if (fd < 0)
                return explain_unconnected(path, fd, ret_reason);
        r = sd_bus_new(&bus->bus);
        if (r >= 0)
                r = sd_bus_set_fd(bus->bus, fd, fd);
        if (r < 0)
                close_fdp(&fd);
        if (r >= 0)
                r = sd_bus_start(bus->bus);
        if (r >= 0)
                r = greet(bus->bus);
        if (r >= 0)
                return CTL_TROUBLE_NONE;
        (void) text_append(ret_reason, "The process that listens %s is not shmstaged, or does not answer: %s",
                           bus->place, strerror(-r));
        /* the daemon may just have ended */
        return r == -ECONNRESET || r == -EPIPE || r == -ENOTCONN ? CTL_TROUBLE_LOST : CTL_TROUBLE_STRANGE;
}

static CtlTrouble open_system(CtlConnection *bus, char **ret_reason) {
        int r = sd_bus_open_system(&bus->bus);

        bus->destination = BUS_NAME;
        bus->place = strdup("on the system bus");
        if (r >= 0 && bus->place)
                return CTL_TROUBLE_NONE;
        (void) text_append(ret_reason, "Failed to connect to the system bus: %s", strerror(r < 0 ? -r : ENOMEM));
        return CTL_TROUBLE_STRANGE;
}

CtlTrouble ctl_connection_open(const Ctl *ctl, CtlConnection *ret, char **ret_reason) {
        CtlConnection bus = {};
        CtlTrouble trouble;

        *ret_reason = NULL;
        trouble = ctl->system_bus ? open_system(&bus, ret_reason) : open_socket(ctl, &bus, ret_reason);
        if (trouble != CTL_TROUBLE_NONE) {
                ctl_connection_close(&bus);
                return trouble;
        }
        *ret = bus;
        return CTL_TROUBLE_NONE;
}

/* Starts polkit's agent for this terminal, and waits until it closes its end of the pipe, which means that it is ready.
 * Without an agent, the call is denied. */
static pid_t start_agent(void) {
        _cleanup_(close_fdp) int near = -1, far = -1;
        char number[16], process[16], byte;
        int ends[2];
        pid_t pid;

        if (!isatty(STDIN_FILENO) || access(AGENT, X_OK) < 0 || pipe2(ends, O_CLOEXEC) < 0)
                return 0;
        near = ends[0];
        far = ends[1];
        (void) snprintf(number, sizeof(number), "%d", far);
        (void) snprintf(process, sizeof(process), "%d", getpid());
        pid = fork();
        if (pid == 0) {
                (void) fcntl(far, F_SETFD, 0);
                (void) execl(AGENT, AGENT, "--notify-fd", number, "--process", process, "--fallback", NULL);
                _exit(EXIT_FAILURE);
        }
        close_fdp(&far);
        while (pid > 0 && read(near, &byte, 1) < 0 && errno == EINTR)
                ;
        return MAX(pid, 0);
}

CtlTrouble ctl_connection_open_interactive(CtlConnection *ret, char **ret_reason) {
        static const Ctl on_bus = { .system_bus = true };
        CtlTrouble trouble = ctl_connection_open(&on_bus, ret, ret_reason);

        if (trouble == CTL_TROUBLE_NONE) {
                (void) sd_bus_set_allow_interactive_authorization(ret->bus, true);
                ret->agent = start_agent();
        }
        return trouble;
}

void ctl_connection_close(CtlConnection *bus) {
        bus->bus = sd_bus_close_unref(bus->bus); /* flushing would wait for a daemon that does not answer */
        free(bus->place);
        bus->place = NULL;
        if (bus->agent > 0) {
                (void) kill(bus->agent, SIGTERM);
                (void) waitpid(bus->agent, NULL, 0);
                bus->agent = 0;
        }
}

sd_bus_message *ctl_connection_message(const CtlConnection *bus, const char *member) {
        sd_bus_message *message = NULL;

        return sd_bus_message_new_method_call(bus->bus, &message, bus->destination, CTL_OBJECT, CTL_INTERFACE,
                                              member) < 0
                       ? NULL
                       : message;
}

/* The daemon does not know our working directory. */
static char *absolute_name(const char *name) {
        char here[PATH_MAX];

        if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && strncmp(name, "./", 2) != 0 &&
            strncmp(name, "../", 3) != 0)
                return strdup(name);
        return getcwd(here, sizeof(here)) ? text_format("%s/%s", here, name) : NULL;
}

/* Removes "." and "..", which the daemon would take for names. Lexically, as the shell's cd does. */
static void normalise(char *path) {
        char *out = path;

        for (const char *s = path; *s;) {
                size_t length = strcspn(s += strspn(s, "/"), "/");

                if (length == 2 && s[0] == '.' && s[1] == '.')
                        while (out > path && *--out != '/')
                                ;
                else if (length > 0 && !(length == 1 && s[0] == '.')) {
                        *out++ = '/';
                        memmove(out, s, length);
                        out += length;
                }
                s += length;
        }
        *out = '\0';
}

int ctl_connection_append_names(sd_bus_message *message, char *const *names) {
        int r = sd_bus_message_open_container(message, 'a', "ay");

        for (size_t i = 0; r >= 0 && names[i]; i++) {
                _cleanup_(freep) char *name = absolute_name(names[i]);

                if (!name)
                        return -errno;
                if (name[0] == '/')
                        normalise(name);
                r = sd_bus_message_append_array(message, 'y', name, strlen(name));
        }
        return r < 0 ? r : sd_bus_message_close_container(message);
}

/* The version of a daemon that does not know our call: a new string, or NULL if it is no shmstaged. */
static char *ask_version(const CtlConnection *bus) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL, *reply = NULL;
        const char *version;

        if (sd_bus_message_new_method_call(bus->bus, &call, bus->destination, CTL_OBJECT,
                                           "org.freedesktop.DBus.Properties", "Get") < 0 ||
            sd_bus_message_append(call, "ss", CTL_INTERFACE, "Version") < 0 ||
            sd_bus_call(bus->bus, call, CTL_CALL_USEC, NULL, &reply) < 0 ||
            sd_bus_message_read(reply, "v", "s", &version) < 0)
                return NULL;
        return strdup(version);
}

static CtlTrouble explain_incompatible(const CtlConnection *bus, const char *member, char **ret_reason) {
        _cleanup_(freep) char *version = ask_version(bus);

        if (version)
                (void) text_append(ret_reason,
                                   "The daemon (version %s) does not support '%s' of this shmstagectl (version %s); "
                                   "if shmstaged was upgraded, restart shmstaged.service",
                                   version, member, SHMSTAGED_VERSION);
        else
                (void) text_append(ret_reason, "The service %s is not shmstaged; it does not support '%s'", bus->place,
                                   member);
        return CTL_TROUBLE_STRANGE;
}

static CtlTrouble explain_denied(const CtlConnection *bus, char **ret_reason) {
        (void) text_append(ret_reason,
                           "uid %u may not control the daemon %s; run as root or as the daemon's user, or allow the "
                           "polkit action io.shmstaged.manage",
                           (unsigned) getuid(), bus->place);
        return CTL_TROUBLE_DENIED;
}

static bool is_error(const sd_bus_error *error, const char *const *names) {
        for (; *names; names++)
                if (sd_bus_error_has_name(error, *names))
                        return true;
        return false;
}

static CtlTrouble explain_error(const CtlConnection *bus, const char *member, const sd_bus_error *error,
                                char **ret_reason) {
        static const char *const strange[] = { SD_BUS_ERROR_UNKNOWN_METHOD,    SD_BUS_ERROR_UNKNOWN_INTERFACE,
                                               SD_BUS_ERROR_UNKNOWN_OBJECT,    SD_BUS_ERROR_INVALID_ARGS,
                                               SD_BUS_ERROR_INVALID_SIGNATURE, NULL };
        static const char *const denied[] = { SD_BUS_ERROR_ACCESS_DENIED,
                                              SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED, NULL };
        static const char *const absent[] = { SD_BUS_ERROR_SERVICE_UNKNOWN, SD_BUS_ERROR_NAME_HAS_NO_OWNER, NULL };
        static const char *const lost[] = { ERROR_PREFIX "Stopping", SD_BUS_ERROR_DISCONNECTED, NULL };

        if (is_error(error, strange))
                return explain_incompatible(bus, member, ret_reason);
        if (is_error(error, denied))
                return explain_denied(bus, ret_reason);
        if (is_error(error, absent)) {
                (void) text_append(
                        ret_reason,
                        "No daemon on the system bus; start it with: systemctl start shmstaged.service");
                return CTL_TROUBLE_ABSENT;
        }
        (void) text_append(ret_reason, "%s", error->message && *error->message ? error->message : error->name);
        if (is_error(error, lost))
                return CTL_TROUBLE_LOST;
        return sd_bus_error_has_name(error, ERROR_PREFIX "NeverReady") ? CTL_TROUBLE_NEVER : CTL_TROUBLE_REFUSED;
}

CtlTrouble ctl_connection_broken(const CtlConnection *bus, int error, char **ret_reason) {
        (void) text_append(ret_reason,
                           "Lost the connection to the daemon %s: %s; it stopped or was restarted",
                           bus->place, strerror(-error));
        return CTL_TROUBLE_LOST;
}

CtlTrouble ctl_connection_call(CtlConnection *bus, sd_bus_message *message, uint64_t usec, sd_bus_message **ret,
                               char **ret_reason) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        int r;

        *ret_reason = NULL;
        if (!message) {
                (void) text_append(ret_reason, "Out of memory");
                return CTL_TROUBLE_REFUSED;
        }
        r = sd_bus_call(bus->bus, message, usec, &error, ret);
        if (r >= 0)
                return CTL_TROUBLE_NONE;
        if (r == -ETIMEDOUT || sd_bus_error_has_name(&error, SD_BUS_ERROR_NO_REPLY) ||
            sd_bus_error_has_name(&error, SD_BUS_ERROR_TIMEOUT)) {
                (void) text_append(ret_reason, "The daemon %s did not answer in time", bus->place);
                return CTL_TROUBLE_TIMEOUT;
        }
        if (r == -ECONNRESET || r == -ENOTCONN || r == -EPIPE)
                return ctl_connection_broken(bus, r, ret_reason);
        if (sd_bus_error_is_set(&error))
                return explain_error(bus, sd_bus_message_get_member(message), &error, ret_reason);
        (void) text_append(ret_reason, "Failed to call the daemon %s: %s", bus->place, strerror(-r));
        return CTL_TROUBLE_REFUSED;
}

CtlTrouble ctl_connection_ask(CtlConnection *bus, const char *member, sd_bus_message **ret, char **ret_reason) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = ctl_connection_message(bus, member);

        return ctl_connection_call(bus, message, CTL_CALL_USEC, ret, ret_reason);
}
