/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The control interface: what is sent when. See control/control.h; control/object.h and control/begin-job.h have the
 * calls. */

#include "control/control.h"

#include "base/clock.h"
#include "base/dirs.h"
#include "base/log.h"
#include "base/strv.h"
#include "base/text.h"
#include "control/begin-job.h"
#include "control/message.h"
#include "control/socket.h"
#include "control/system-bus.h"

/* Updates are at least so far apart: many changes are sent as one. */
#define UPDATE_USEC (USEC_PER_SEC / 10)
/* Jobs and waits are checked so often while something is under way: control_update() is not called for each step. */
#define PROGRESS_USEC (USEC_PER_SEC / 5)

/* Signals queued for the system bus; while it does not read these, no more are added. */
enum { BUS_WAITING_MAX = 64 };

/* The properties that may change, as bits. */
enum { STATE, STATUS_TEXT, READY, DEGRADED, MIRRORS, FILES, BYTES, UNSAVED_FILES, UNSAVED_BYTES, PROPERTIES };
static const char *const property_names[PROPERTIES] = {
        "State", "StatusText", "Ready", "Degraded", "Mirrors", "Files", "BytesInRAM", "UnsavedFiles", "UnsavedBytes",
};
enum { ALL_PROPERTIES = (1 << PROPERTIES) - 1 };

struct Control {
        ControlObject object;  /* first, for schedule_update() */
        ControlSocket socket;
        ControlSystemBus *bus;
        ClockTimer timer;
        uint64_t updated_usec; /* when the last update began */
        ControlFacts facts;    /* the properties as they were sent last: these, */
        char *text;            /* StatusText, */
        char **mirrors;        /* and Mirrors */
        unsigned changed;      /* the bits that are being sent; else all, for clients that have missed signals */
};

static ControlState state_of(const Control *control) {
        return control->object.options.state(control->object.options.userdata);
}

/* Schedules the next update, @delay after the last one, unless it is due earlier already. */
static void schedule(Control *control, uint64_t delay) {
        uint64_t due, wanted = MAX(clock_now(control->object.options.event), control->updated_usec + delay);

        if (!clock_timer_is_set(&control->timer, &due) || due > wanted)
                (void) clock_timer_set(&control->timer, wanted);
}

static void schedule_update(ControlObject *object) {
        schedule((Control *) object, 0);
}

/* A signal that cannot be sent is ignored: the client is gone, which clients.c and system-bus.c notice themselves. */
static void emit_to(sd_bus *bus, void *userdata) {
        Control *control = userdata;
        char *names[PROPERTIES + 1] = {};
        size_t n = 0;

        for (size_t i = 0; i < PROPERTIES; i++)
                if (control->changed & (1U << i))
                        names[n++] = (char *) property_names[i]; /* sd-bus only reads them */
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
                r = control_message_append_texts(message, control_job_report(job));
        if (r >= 0)
                (void) sd_bus_send(bus, message, NULL);
}

static void on_job_ended(const ControlJob *job, void *userdata) {
        Control *control = userdata;
        sd_bus *bus = bus_for_signals(control);

        control_clients_send(control->object.clients, send_removed, job);
        if (bus)
                send_removed(bus, job);
}

static int list_mirrors(const Mirrors *mirrors, char ***ret) {
        _cleanup_(strv_freep) char **names = NULL;
        int r = 0;

        for (size_t i = 0; r == 0 && i < mirrors->n; i++)
                r = strv_take(&names, strdup(mirror_config(mirrors->mirrors[i])->name));
        if (r == 0)
                *ret = TAKE_PTR(names);
        return r;
}

/* Which properties differ from those that were sent last; these become the present ones. */
static int compare(Control *control, const ControlState *state, unsigned *ret) {
        _cleanup_(strv_freep) char **mirrors = NULL;
        _cleanup_(freep) char *text = state->text ? strdup(state->text) : NULL;
        const ControlFacts *last = &control->facts;
        ControlFacts now;
        int r = control_object_facts(&control->object, &now);

        if (r == 0)
                r = list_mirrors(control->object.options.mirrors, &mirrors);
        if (r < 0)
                return r;
        *ret = (unsigned) !string_equal(now.state, last->state) << STATE |
               (unsigned) !string_equal(text, control->text) << STATUS_TEXT |
               (unsigned) (now.ready != last->ready) << READY |
               (unsigned) (now.degraded != last->degraded) << DEGRADED |
               (unsigned) !strv_equal(mirrors, control->mirrors) << MIRRORS |
               (unsigned) (now.files != last->files) << FILES |
               (unsigned) (now.bytes != last->bytes) << BYTES |
               (unsigned) (now.unsaved != last->unsaved) << UNSAVED_FILES |
               (unsigned) (now.unsaved_bytes != last->unsaved_bytes) << UNSAVED_BYTES;
        control->facts = now;
        free(control->text);
        control->text = TAKE_PTR(text);
        (void) strv_free(control->mirrors);
        control->mirrors = TAKE_PTR(mirrors);
        return 0;
}

static void emit_changes(Control *control, unsigned changed) {
        sd_bus *bus = bus_for_signals(control);

        control->changed = changed;
        control_clients_emit(control->object.clients, emit_to);
        if (bus)
                emit_to(bus, control);
        control->changed = ALL_PROPERTIES;
}

/* Sends signals for all that has changed, and answers the waits that are over. */
static void update(Control *control) {
        ControlState state = state_of(control);
        MirrorsState mirrors = mirrors_state(control->object.options.mirrors);
        unsigned changed = 0, running;
        bool late;

        running = control_jobs_update(control->object.jobs, &state, mirrors.failed);
        if (compare(control, &state, &changed) == 0 &&
            (changed != 0 || control_jobs_have_changed(control->object.jobs)))
                emit_changes(control, changed);
        control_jobs_collect(control->object.jobs, on_job_ended, control);
        late = control_waits_update(control->object.waits, &state, mirrors.failed);
        control_clients_flush(control->object.clients);
        if (running > 0 || late || (!mirrors.settled && control_waits_count(control->object.waits) > 0))
                schedule(control, PROGRESS_USEC);
}

static int on_timer(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata) {
        Control *control = userdata;

        control->updated_usec = clock_now(control->object.options.event);
        update(control);
        return 0;
}

static bool has_listeners(const Control *control) {
        return control_clients_count(control->object.clients) > 0 || control_system_bus_get(control->bus) ||
               control_jobs_running(control->object.jobs) > 0;
}

void control_update(Control *control) {
        if (control && has_listeners(control))
                schedule(control, UPDATE_USEC);
}

void control_retry(Control *control) {
        if (control)
                control_system_bus_retry(control->bus);
}

static int register_objects(sd_bus *bus, void *userdata) {
        return control_object_register(userdata, bus);
}

static bool is_waiting(sd_bus *bus, void *userdata) {
        const ControlObject *object = userdata;

        return control_waits_count_of(object->waits, bus) > 0;
}

static void on_disconnected(sd_bus *bus, void *userdata) {
        ControlObject *object = userdata;

        control_waits_forget(object->waits, bus);
        control_authorizer_forget(object->authorizer, bus);
}

/* The daemon works without a socket; a warning says why there is none. */
static int open_socket(Control *control) {
        _cleanup_(freep) char *path = NULL;
        char escaped[TEXT_PATH_MAX];
        const char *what = "find the runtime directory";
        ControlClientsOptions options;
        int r = dirs_control_socket(&path);

        if (r == -ENOENT) {
                log_info("XDG_RUNTIME_DIR is not set; continuing without a control socket");
                return 0;
        }
        if (r == 0)
                r = control_socket_listen(&control->socket, path, &what);
        if (r == CONTROL_SOCKET_TAKEN)
                log_warning("Another process is listening on the control socket '%s'; continuing without a control "
                            "socket (is another shmstaged running?)",
                            text_path(escaped, path));
        else if (r == CONTROL_SOCKET_NOT_SOCKET)
                log_warning("'%s' is not a socket; continuing without a control socket until it is removed and the "
                            "daemon restarted",
                            text_path(escaped, path));
        else if (r < 0 && path)
                log_warning("Failed to %s '%s': %s; continuing without a control socket", what,
                            text_path(escaped, path), strerror(-r));
        if (r != 0)
                return r < 0 && !path ? r : 0;
        options = (ControlClientsOptions){ .event = control->object.options.event, .listenfd = control->socket.fd,
                                           .register_objects = register_objects, .is_waiting = is_waiting,
                                           .disconnected = on_disconnected, .userdata = &control->object };
        return control_clients_new(&control->object.clients, &options);
}

/* A user's own daemon is for that user, and the policy of the bus lets only root own the name. */
static int open_bus(Control *control) {
        const ControlSystemBusOptions options = { .event = control->object.options.event,
                                                  .register_objects = register_objects,
                                                  .disconnected = on_disconnected, .userdata = &control->object };

        return geteuid() == 0 ? control_system_bus_new(&control->bus, &options) : 0;
}

int control_new(Control **ret, const ControlOptions *options) {
        _cleanup_(control_freep) Control *control = calloc(1, sizeof(*control));
        int r;

        if (!control)
                return -ENOMEM;
        control->object = (ControlObject){ .options = *options, .begun_usec = clock_usec(CLOCK_MONOTONIC),
                                           .schedule_update = schedule_update };
        control->timer = (ClockTimer){ .event = options->event, .handler = on_timer, .userdata = control,
                                       .accuracy_usec = UPDATE_USEC / 2 };
        control->socket = (ControlSocket) CONTROL_SOCKET_NONE;
        control->changed = ALL_PROPERTIES;
        r = control_jobs_new(&control->object.jobs, options->mirrors);
        if (r == 0)
                r = control_waits_new(&control->object.waits, options->mirrors);
        if (r == 0)
                r = control_authorizer_new(&control->object.authorizer, control_begin_job, &control->object);
        if (r == 0)
                r = open_socket(control);
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
        if (control->object.authorizer && has_listeners(control))
                update(control); /* the last signals say how the jobs ended */
        control->object.clients = control_clients_free(control->object.clients);
        control->bus = control_system_bus_free(control->bus);
        control_socket_done(&control->socket);
        clock_timer_done(&control->timer);
        control->object.waits = control_waits_free(control->object.waits);
        control->object.authorizer = control_authorizer_free(control->object.authorizer);
        control->object.jobs = control_jobs_free(control->object.jobs);
        free(control->text);
        control->mirrors = strv_free(control->mirrors);
        free(control);
        return NULL;
}
