/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The control interface. See control/control.h; control/object.h and control/methods.h have the calls. */

#include "control/control.h"

#include "base/dirs.h"
#include "base/log.h"
#include "base/strv.h"
#include "base/text.h"
#include "control/methods.h"
#include "control/socket.h"
#include "control/system-bus.h"

#include <time.h>

/* Many changes are told as one. */
#define PASS_USEC (USEC_PER_SEC / 10)
/* What waits is looked at so often while something moves: not every step of that is a change. */
#define PROGRESS_USEC (USEC_PER_SEC / 5)

/* On the system bus a signal is for everybody; what nobody takes is not piled up. */
enum { BUS_WAITING_MAX = 64 };

/* What may change, as bits. */
enum { STATE, STATUS_TEXT, READY, DEGRADED, MIRRORS, FILES, BYTES, UNSAVED_FILES, UNSAVED_BYTES, PROPERTIES };
static const char *const property_names[PROPERTIES] = {
        "State", "StatusText", "Ready", "Degraded", "Mirrors", "Files", "BytesInRAM", "UnsavedFiles", "UnsavedBytes",
};
enum { ALL_PROPERTIES = (1 << PROPERTIES) - 1 };

struct Control {
        ControlObject object;  /* first, for again() */
        ControlSocket socket;
        ControlSystemBus *bus;
        sd_event_source *timer;
        uint64_t passed_usec;  /* when the last pass began */
        ControlFacts facts;    /* what was told last */
        char *text;
        char **mirrors;
        unsigned changed;      /* what of it is told now; at any other time everything, for clients that catch up */
};

static ControlState state_of(const Control *control) {
        return control->object.options.state(control->object.options.userdata);
}

/* The next pass, if none is due earlier. */
static void schedule(Control *control, uint64_t delay) {
        uint64_t now, due, wanted;

        if (sd_event_now(control->object.options.event, CLOCK_MONOTONIC, &now) < 0)
                return;
        wanted = MAX(now, control->passed_usec + delay);
        if (sd_event_source_get_enabled(control->timer, NULL) > 0 &&
            sd_event_source_get_time(control->timer, &due) >= 0 && due <= wanted)
                return;
        (void) sd_event_source_set_time(control->timer, wanted);
        (void) sd_event_source_set_enabled(control->timer, SD_EVENT_ONESHOT);
}

static void again(ControlObject *object) {
        schedule((Control *) object, 0);
}

/* A signal that cannot be sent is for a client that has gone, which others find out. */
static void emit_to(sd_bus *bus, void *userdata) {
        Control *control = userdata;
        char *names[PROPERTIES + 1] = {};
        size_t n = 0;

        for (size_t i = 0; i < PROPERTIES; i++)
                if (control->changed & (1U << i))
                        names[n++] = (char *) property_names[i]; /* they are only read */
        if (n > 0)
                (void) sd_bus_emit_properties_changed_strv(bus, CONTROL_PATH, CONTROL_INTERFACE, names);
        control_jobs_emit(control->object.jobs, bus);
}

static sd_bus *bus_for_signals(const Control *control) {
        sd_bus *bus = control_system_bus_get(control->bus);
        uint64_t n = 0;

        return bus && sd_bus_get_n_queued_write(bus, &n) >= 0 && n <= BUS_WAITING_MAX ? bus : NULL;
}

static void send_removed(sd_bus *bus, const void *what) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        const ControlJob *job = what;
        int r = sd_bus_message_new_signal(bus, &message, CONTROL_PATH, CONTROL_INTERFACE, "JobRemoved");

        if (r >= 0)
                r = sd_bus_message_append(message, "uos", control_job_id(job), control_job_path(job),
                                          control_job_result(job));
        if (r >= 0)
                r = control_status_append_texts(message, control_job_report(job));
        if (r >= 0)
                (void) sd_bus_send(bus, message, NULL);
}

static void on_job_ended(const ControlJob *job, void *userdata) {
        Control *control = userdata;
        sd_bus *bus = bus_for_signals(control);

        control_clients_send(control->object.peers, send_removed, job);
        if (bus)
                send_removed(bus, job);
}

static int list_mirrors(const Mirrors *mirrors, char ***ret) {
        _cleanup_(strv_freep) char **names = NULL;
        int r = 0;

        for (size_t i = 0; r == 0 && i < mirrors->n; i++) {
                char *name = strdup(mirror_config(mirrors->mirrors[i])->name);

                r = name ? strv_take(&names, name) : -ENOMEM;
        }
        if (r == 0)
                *ret = TAKE_PTR(names);
        return r;
}

/* What differs from what was told last, which it becomes. */
static int compare(Control *control, const ControlState *state, unsigned *ret) {
        _cleanup_(strv_freep) char **mirrors = NULL;
        _cleanup_(freep) char *text = state->text ? strdup(state->text) : NULL;
        const ControlFacts *log_once = &control->facts;
        ControlFacts now;
        int r = control_object_facts(&control->object, &now);

        if (r == 0)
                r = list_mirrors(control->object.options.mirrors, &mirrors);
        if (r < 0)
                return r;
        *ret = (unsigned) !string_equal(now.state, log_once->state) << STATE |
               (unsigned) !string_equal(text, control->text) << STATUS_TEXT |
               (unsigned) (now.ready != log_once->ready) << READY |
               (unsigned) (now.degraded != log_once->degraded) << DEGRADED |
               (unsigned) !strv_equal(mirrors, control->mirrors) << MIRRORS |
               (unsigned) (now.files != log_once->files) << FILES |
               (unsigned) (now.bytes != log_once->bytes) << BYTES |
               (unsigned) (now.unsaved != log_once->unsaved) << UNSAVED_FILES |
               (unsigned) (now.unsaved_bytes != log_once->unsaved_bytes) << UNSAVED_BYTES;
        control->facts = now;
        free(control->text);
        control->text = TAKE_PTR(text);
        (void) strv_free(control->mirrors);
        control->mirrors = TAKE_PTR(mirrors);
        return 0;
}

static void tell(Control *control, unsigned changed) {
        sd_bus *bus = bus_for_signals(control);

        control->changed = changed;
        control_clients_emit(control->object.peers, emit_to);
        if (bus)
                emit_to(bus, control);
        control->changed = ALL_PROPERTIES;
}

/* What has changed is told; what has come about is answered. */
static void pass(Control *control) {
        ControlState state = state_of(control);
        MirrorsState mirrors = mirrors_state(control->object.options.mirrors);
        unsigned changed = 0, running;
        bool late;

        running = control_jobs_update(control->object.jobs, &state, mirrors.failed);
        if (compare(control, &state, &changed) == 0 &&
            (changed != 0 || control_jobs_have_changed(control->object.jobs)))
                tell(control, changed);
        control_jobs_collect(control->object.jobs, on_job_ended, control);
        late = control_waits_update(control->object.waits, &state, mirrors.failed);
        control_clients_serve(control->object.peers);
        if (running > 0 || late || (!mirrors.settled && control_waits_count(control->object.waits) > 0))
                schedule(control, PROGRESS_USEC);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Control *control = userdata;

        (void) source;
        (void) usec;
        (void) sd_event_now(control->object.options.event, CLOCK_MONOTONIC, &control->passed_usec);
        pass(control);
        return 0;
}

static bool is_anybody_there(const Control *control) {
        return control_clients_count(control->object.peers) > 0 || control_system_bus_get(control->bus) ||
               control_jobs_running(control->object.jobs) > 0;
}

void control_update(Control *control) {
        if (control && is_anybody_there(control))
                schedule(control, PASS_USEC);
}

void control_retry(Control *control) {
        if (control)
                control_system_bus_retry(control->bus);
}

static int dress(sd_bus *bus, void *userdata) {
        return control_object_add(userdata, bus);
}

static bool waits(sd_bus *bus, void *userdata) {
        const ControlObject *object = userdata;

        return control_waits_count_of(object->waits, bus) > 0;
}

static void on_left(sd_bus *bus, void *userdata) {
        ControlObject *object = userdata;

        control_waits_forget(object->waits, bus);
        control_authorize_forget(object->rights, bus);
}

/* The daemon does without it; why there is none is told once. */
static int open_door(Control *control) {
        _cleanup_(freep) char *path = NULL;
        char escaped[TEXT_PATH_MAX];
        const char *what = "find the runtime directory";
        int r = dirs_control_socket(&path);

        if (r == -ENOENT) {
                log_info("There is no control socket: XDG_RUNTIME_DIR= is not set");
                return 0;
        }
        if (r == 0)
                r = control_socket_listen(&control->socket, path, &what);
        if (r == CONTROL_SOCKET_TAKEN)
                log_warning("Another program answers on the control socket '%s': this daemon goes without one. Is "
                            "another shmstaged running?",
                            text_path(escaped, path));
        else if (r == CONTROL_SOCKET_STRANGE)
                log_warning("'%s' is no socket and is left alone: this daemon goes without a control socket. Remove "
                            "it and restart",
                            text_path(escaped, path));
        else if (r < 0 && path)
                log_warning("Failed to %s '%s': %s. This daemon goes without one", what, text_path(escaped, path),
                            strerror(-r));
        if (r != 0)
                return r < 0 && !path ? r : 0;
        return control_clients_new(&control->object.peers,
                                   &(ControlClientsOptions){ .event = control->object.options.event,
                                                             .listenfd = control->socket.fd,
                                                             .dress = dress,
                                                             .waits = waits,
                                                             .left = on_left,
                                                             .userdata = &control->object });
}

/* What a user runs himself is his own affair, and the bus's policy gives the name to root alone. */
static int open_bus(Control *control) {
        if (geteuid() != 0)
                return 0;
        return control_system_bus_new(&control->bus,
                                      &(ControlSystemBusOptions){ .event = control->object.options.event,
                                                                  .dress = dress,
                                                                  .left = on_left,
                                                                  .userdata = &control->object });
}

int control_new(Control **ret, const ControlOptions *options) {
        _cleanup_(control_freep) Control *control = calloc(1, sizeof(*control));
        struct timespec now;
        int r;

        if (!control)
                return -ENOMEM;
        (void) clock_gettime(CLOCK_MONOTONIC, &now);
        control->object =
                (ControlObject){ .options = *options,
                                 .begun_usec = (uint64_t) now.tv_sec * USEC_PER_SEC + (uint64_t) now.tv_nsec / 1000,
                                 .again = again };
        control->socket = (ControlSocket) CONTROL_SOCKET_NONE;
        control->changed = ALL_PROPERTIES;
        r = control_jobs_new(&control->object.jobs, options->mirrors);
        if (r == 0)
                r = control_waits_new(&control->object.waits, options->mirrors);
        if (r == 0)
                r = control_authorize_new(&control->object.rights, control_methods_allowed, &control->object);
        if (r == 0)
                r = sd_event_add_time(options->event, &control->timer, CLOCK_MONOTONIC, 0, PASS_USEC / 2, on_timer,
                                      control);
        if (r >= 0)
                r = sd_event_source_set_enabled(control->timer, SD_EVENT_OFF);
        if (r >= 0)
                r = open_door(control);
        if (r >= 0)
                r = open_bus(control);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(control);
        return 0;
}

Control *control_free(Control *control) {
        if (!control)
                return NULL;
        if (control->timer && is_anybody_there(control))
                pass(control); /* how it ended */
        control->object.peers = control_clients_free(control->object.peers);
        control->bus = control_system_bus_free(control->bus);
        control_socket_done(&control->socket);
        (void) sd_event_source_disable_unref(control->timer);
        control->object.waits = control_waits_free(control->object.waits);
        control->object.rights = control_authorize_free(control->object.rights);
        control->object.jobs = control_jobs_free(control->object.jobs);
        free(control->text);
        control->mirrors = strv_free(control->mirrors);
        free(control);
        return NULL;
}
