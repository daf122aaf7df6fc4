/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The object /io/shmstaged. See control/object.h. */

#include "control/object.h"

#include "base/clock.h"
#include "base/strv.h"
#include "control/lookup.h"
#include "control/message.h"
#include "mirror/inventory.h"
#include "report/metrics.h"

/* Rows and bytes of an answer; the next call continues after its last row. */
enum { ROWS_MAX = 10000, REPLY_SIZE_MAX = 1 << 20 };

static ControlState state_of(const ControlObject *object) {
        return object->options.state(object->options.userdata);
}

int control_object_facts(const ControlObject *object, ControlFacts *ret) {
        _cleanup_(freep) MirrorStatus *statuses = mirrors_statuses(object->options.mirrors);
        ControlState state = state_of(object);

        if (!statuses)
                return -ENOMEM;
        *ret = control_status_facts(&state, statuses, object->options.mirrors->n);
        return 0;
}

/* NULL, with *error set, if there is none. */
static const Mirror *find_mirror(const ControlObject *object, const char *name, sd_bus_error *error) {
        const Mirrors *mirrors = object->options.mirrors;

        for (size_t i = 0; i < mirrors->n; i++)
                if (string_equal(mirror_config(mirrors->mirrors[i])->name, name))
                        return mirrors->mirrors[i];
        (void) sd_bus_error_setf(error, "io.shmstaged.Error.NoSuchName", "There is no mirror '%s'", name);
        return NULL;
}

static int get_status(sd_bus_message *call, void *userdata, sd_bus_error *error _unused_) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        ControlObject *object = userdata;
        _cleanup_(freep) MirrorStatus *statuses = NULL;
        ControlState state = state_of(object);
        size_t n = object->options.mirrors->n;
        ControlFacts facts;
        int r;

        mirrors_measure(object->options.mirrors);
        statuses = mirrors_statuses(object->options.mirrors);
        if (!statuses)
                return -ENOMEM;
        facts = control_status_facts(&state, statuses, n);
        r = sd_bus_message_new_method_return(call, &reply);
        if (r >= 0)
                r = control_status_append_daemon(reply, &state, &facts,
                                                 clock_usec(CLOCK_MONOTONIC) - object->begun_usec,
                                                 control_jobs_running(object->jobs));
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "a{sv}");
        for (size_t i = 0; r >= 0 && i < n; i++)
                r = control_status_append_mirror(reply, &statuses[i]);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r >= 0 ? sd_bus_message_send(reply) : r;
}

typedef struct Listing {
        sd_bus_message *reply;
        size_t size; /* bytes, roughly */
} Listing;

static int append_file(const InventoryFile *file, void *userdata) {
        Listing *listing = userdata;
        char hex[DIGEST_HEX_MAX];
        uint8_t flags = (uint8_t) ((file->in_ram ? 1 : 0) | (file->on_disk ? 2 : 0));
        int r = sd_bus_message_open_container(listing->reply, 'r', "aysttybsss");

        if (r >= 0)
                r = control_message_append_path(listing->reply, file->path);
        if (r >= 0)
                r = sd_bus_message_append(listing->reply, "sttybss", file_state_name(file->state), file->size,
                                          file->room, flags, 0, file->digest ? digest_to_hex(file->digest, hex) : "",
                                          file->method ? file->method : "");
        if (r >= 0)
                r = control_message_append_text(listing->reply, file->reason);
        if (r >= 0)
                r = sd_bus_message_close_container(listing->reply);
        listing->size += 128 + strlen(file->path) + (file->reason ? strlen(file->reason) : 0);
        return r < 0 ? r : listing->size >= REPLY_SIZE_MAX;
}

static int list_files(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_(freep) char *after = NULL;
        ControlObject *object = userdata;
        const Mirror *mirror;
        const void *bytes;
        const char *name;
        Listing listing;
        uint32_t max;
        size_t size;
        int r = sd_bus_message_read(call, "s", &name);

        if (r >= 0)
                r = sd_bus_message_read_array(call, 'y', &bytes, &size);
        if (r >= 0)
                r = sd_bus_message_read(call, "u", &max);
        if (r < 0)
                return r;
        mirror = find_mirror(object, name, error);
        if (!mirror)
                return -ENOENT;
        after = size > 0 ? strndup(bytes, size) : NULL;
        if (size > 0 && !after)
                return -ENOMEM;
        r = sd_bus_message_new_method_return(call, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(aysttybsss)");
        listing = (Listing){ .reply = reply };
        if (r >= 0)
                r = inventory_files(mirror, after, max == 0 ? ROWS_MAX : MIN(max, (uint32_t) ROWS_MAX), append_file,
                                    &listing);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r >= 0 ? sd_bus_message_send(reply) : r;
}

static int append_model(const InventoryModel *model, void *userdata) {
        sd_bus_message *reply = ((Listing *) userdata)->reply;
        int r = sd_bus_message_open_container(reply, 'a', "{sv}");

        if (r >= 0)
                r = control_message_append_text_entry(reply, "name", model->name);
        if (r >= 0)
                r = sd_bus_message_append(reply, "{sv}{sv}{sv}{sv}{sv}", "state", "s", file_state_name(model->state),
                                          "size", "t", model->size, "ram_bytes", "t", model->ram_bytes, "files", "t",
                                          (uint64_t) model->n_files, "files_ready", "t", (uint64_t) model->n_ready);
        if (r >= 0 && model->reason)
                r = control_message_append_text_entry(reply, "reason", model->reason);
        return r >= 0 ? sd_bus_message_close_container(reply) : r;
}

static int list_models(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        ControlObject *object = userdata;
        const Mirror *mirror;
        const char *name;
        Listing listing;
        int r = sd_bus_message_read(call, "s", &name);

        if (r < 0)
                return r;
        mirror = find_mirror(object, name, error);
        if (!mirror)
                return -ENOENT;
        r = sd_bus_message_new_method_return(call, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "a{sv}");
        listing = (Listing){ .reply = reply };
        if (r >= 0)
                r = inventory_models(mirror, append_model, &listing);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r >= 0 ? sd_bus_message_send(reply) : r;
}

static int append_readiness(sd_bus_message *reply, const Mirrors *mirrors, const char *name) {
        static const char *const words[] = { [READINESS_READY] = "ready", [READINESS_PENDING] = "pending",
                                             [READINESS_NEVER] = "never", [READINESS_UNKNOWN] = "unknown" };
        _cleanup_(freep) char *reason = NULL;
        Readiness readiness = control_lookup_readiness(mirrors, name, &reason);
        int r = sd_bus_message_open_container(reply, 'r', "ayss");

        if (r >= 0)
                r = control_message_append_path(reply, name);
        if (r >= 0)
                r = sd_bus_message_append(reply, "s", words[readiness]);
        if (r >= 0)
                r = control_message_append_text(reply, reason);
        return r >= 0 ? sd_bus_message_close_container(reply) : r;
}

static int get_readiness(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_(strv_freep) char **names = NULL;
        ControlObject *object = userdata;
        int r = control_lookup_read(call, &names, error);

        if (r >= 0)
                r = sd_bus_message_new_method_return(call, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(ayss)");
        for (size_t i = 0; r >= 0 && names && names[i]; i++)
                r = append_readiness(reply, object->options.mirrors, names[i]);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r >= 0 ? sd_bus_message_send(reply) : r;
}

static int wait_for(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        ControlObject *object = userdata;
        const struct ucred *peer = control_clients_find(object->clients, sd_bus_message_get_bus(call));
        int r = control_waits_add(object->waits, call, peer && control_authorizer_is_trusted(peer->uid), error);

        if (r > 0)
                object->schedule_update(object);
        return r;
}

static int get_metrics(sd_bus_message *call, void *userdata, sd_bus_error *error _unused_) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_(freep) MirrorStatus *statuses = NULL;
        _cleanup_(freep) char *text = NULL;
        ControlObject *object = userdata;
        int r;

        mirrors_measure(object->options.mirrors);
        statuses = mirrors_statuses(object->options.mirrors);
        if (statuses)
                text = metrics_text(statuses, object->options.mirrors->n, SHMSTAGED_VERSION);
        if (!text)
                return -ENOMEM;
        r = sd_bus_message_new_method_return(call, &reply);
        if (r >= 0)
                r = control_message_append_text(reply, text);
        return r >= 0 ? sd_bus_message_send(reply) : r;
}

static int append_mirrors(sd_bus_message *reply, const Mirrors *mirrors) {
        int r = sd_bus_message_open_container(reply, 'a', "s");

        for (size_t i = 0; r >= 0 && i < mirrors->n; i++)
                r = control_message_append_text(reply, mirror_config(mirrors->mirrors[i])->name);
        return r >= 0 ? sd_bus_message_close_container(reply) : r;
}

static int get_property(sd_bus *bus _unused_, const char *path _unused_, const char *interface _unused_,
                        const char *property, sd_bus_message *reply, void *userdata, sd_bus_error *error _unused_) {
        ControlObject *object = userdata;
        ControlFacts facts;
        int r = control_object_facts(object, &facts);

        if (r < 0)
                return r;
        if (string_equal(property, "Version"))
                return sd_bus_message_append(reply, "s", SHMSTAGED_VERSION);
        if (string_equal(property, "State"))
                return sd_bus_message_append(reply, "s", facts.state);
        if (string_equal(property, "StatusText"))
                return control_message_append_text(reply, state_of(object).text);
        if (string_equal(property, "Ready"))
                return sd_bus_message_append(reply, "b", facts.ready);
        if (string_equal(property, "Degraded"))
                return sd_bus_message_append(reply, "b", facts.degraded);
        if (string_equal(property, "Mirrors"))
                return append_mirrors(reply, object->options.mirrors);
        return sd_bus_message_append(reply, "t",
                                     string_equal(property, "Files")          ? facts.files
                                     : string_equal(property, "BytesInRAM")   ? facts.bytes
                                     : string_equal(property, "UnsavedFiles") ? facts.unsaved
                                                                              : facts.unsaved_bytes);
}

/* All calls that change something: nothing is changed before the caller is authorized. */
static int change(sd_bus_message *call, void *userdata, sd_bus_error *error _unused_) {
        ControlObject *object = userdata;
        int r;

        r = control_authorizer_check(object->authorizer, call,
                                     control_clients_find(object->clients, sd_bus_message_get_bus(call)));
        return r < 0 ? r : 1;
}

#define READING(member, arguments, results, handler)                                                                 \
        SD_BUS_METHOD_WITH_ARGS(member, SD_BUS_ARGS arguments, SD_BUS_RESULT results, handler,                       \
                                SD_BUS_VTABLE_UNPRIVILEGED)
#define CHANGING(member, signature, names)                                                                           \
        SD_BUS_METHOD_WITH_NAMES(member, signature, names, "o", SD_BUS_PARAM(job), change, SD_BUS_VTABLE_UNPRIVILEGED)
#define PROPERTY(member, type) SD_BUS_PROPERTY(member, type, get_property, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE)

/* Every user may call; calls that change something authorize their caller themselves, without blocking. */
static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Version", "s", get_property, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        PROPERTY("State", "s"),
        PROPERTY("StatusText", "s"),
        PROPERTY("Ready", "b"),
        PROPERTY("Degraded", "b"),
        PROPERTY("Mirrors", "as"),
        PROPERTY("Files", "t"),
        PROPERTY("BytesInRAM", "t"),
        PROPERTY("UnsavedFiles", "t"),
        PROPERTY("UnsavedBytes", "t"),
        READING("GetStatus", (NULL), ("a{sv}", daemon, "aa{sv}", mirrors), get_status),
        READING("ListFiles", ("s", mirror, "ay", after, "u", max), ("a(aysttybsss)", files), list_files),
        READING("ListModels", ("s", mirror), ("aa{sv}", models), list_models),
        READING("GetReadiness", ("aay", names), ("a(ayss)", readiness), get_readiness),
        READING("Wait", ("aay", names), (NULL), wait_for),
        READING("GetMetrics", (NULL), ("s", text), get_metrics),
        CHANGING("Stage", "aay", SD_BUS_PARAM(names)),
        CHANGING("Release", "aay", SD_BUS_PARAM(names)),
        CHANGING("Accept", "aay", SD_BUS_PARAM(names)),
        CHANGING("Sync", "", ""),
        CHANGING("Verify", "aay", SD_BUS_PARAM(names)),
        CHANGING("Reload", "", ""),
        SD_BUS_SIGNAL_WITH_NAMES("JobRemoved", "uosas",
                                 SD_BUS_PARAM(id) SD_BUS_PARAM(job) SD_BUS_PARAM(result) SD_BUS_PARAM(report), 0),
        SD_BUS_VTABLE_END,
};

int control_object_register(ControlObject *object, sd_bus *bus) {
        int r = sd_bus_add_object_vtable(bus, NULL, CONTROL_PATH, CONTROL_INTERFACE, vtable, object);

        return r < 0 ? r : control_jobs_register(object->jobs, bus);
}
