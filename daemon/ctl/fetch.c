/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The calls of the daemon that read something. See ctl/fetch.h. */

#include "ctl/fetch.h"

#include "base/text.h"
#include "ctl/reply.h"

enum { PAGE = 10000, IN_RAM = 1, ON_DISK = 2 };

/* A reply that cannot be read comes from an incompatible version. */
static CtlTrouble explain_unread(const char *what, int error, char **ret_reason) {
        (void) text_append(ret_reason, "Failed to read the %s of the daemon: %s", what, strerror(-error));
        return CTL_TROUBLE_STRANGE;
}

int ctl_fetch_read_status(sd_bus_message *reply, json_t **ret) {
        static const char *const keys[] = { "daemon", "mirrors" };
        _cleanup_(json_decrefp) json_t *status = json_object();
        int r = status ? 0 : -ENOMEM;

        for (size_t i = 0; r == 0 && i < ELEMENTSOF(keys); i++) {
                json_t *part = NULL;

                r = ctl_reply_json(reply, &part);
                if (r == 0 && json_object_set_new(status, keys[i], part) < 0)
                        r = -ENOMEM;
        }
        if (r == 0)
                *ret = TAKE_PTR(status);
        return r;
}

CtlTrouble ctl_fetch_status(CtlConnection *bus, json_t **ret, char **ret_reason) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        CtlTrouble trouble = ctl_connection_ask(bus, "GetStatus", &reply, ret_reason);
        int r;

        if (trouble != CTL_TROUBLE_NONE)
                return trouble;
        r = ctl_fetch_read_status(reply, ret);
        return r < 0 ? explain_unread("status", r, ret_reason) : CTL_TROUBLE_NONE;
}

json_t *ctl_fetch_absent(void) {
        return json_pack("{s{sssb}s[]}", "daemon", "state", "not-running", "ready", 0, "mirrors");
}

static sd_bus_message *message_about(CtlConnection *bus, const char *member, const char *mirror) {
        sd_bus_message *message = ctl_connection_message(bus, member);

        return message && sd_bus_message_append(message, "s", mirror) < 0 ? sd_bus_message_unref(message) : message;
}

UsersMirror *ctl_fetch_mirrors(const json_t *status, size_t *ret_n) {
        const json_t *list = json_object_get(status, "mirrors");
        UsersMirror *mirrors = calloc(json_array_size(list) + 1, sizeof(*mirrors));

        *ret_n = 0;
        for (size_t i = 0; mirrors && i < json_array_size(list); i++) {
                const json_t *mirror = json_array_get(list, i);
                UsersMirror *next = &mirrors[*ret_n];

                *next = (UsersMirror){ ctl_reply_text(mirror, "name"), ctl_reply_text(mirror, "source"),
                                       ctl_reply_text(mirror, "target") };
                *ret_n += next->name && next->source && next->target;
        }
        return mirrors;
}

CtlTrouble ctl_fetch_models(CtlConnection *bus, const char *mirror, json_t **ret, char **ret_reason) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = message_about(bus, "ListModels", mirror), *reply = NULL;
        CtlTrouble trouble = ctl_connection_call(bus, call, CTL_CALL_USEC, &reply, ret_reason);
        int r;

        if (trouble != CTL_TROUBLE_NONE)
                return trouble;
        r = ctl_reply_json(reply, ret);
        return r < 0 ? explain_unread("models", r, ret_reason) : CTL_TROUBLE_NONE;
}

/* Reads a row: 1, 0 at the end, or a negative errno. The path is a new string. */
static int read_file(sd_bus_message *reply, FetchedFile *file, char **ret_path) {
        uint8_t flags;
        int reserved, r = sd_bus_message_enter_container(reply, 'r', "aysttybsss");

        if (r <= 0)
                return r;
        r = ctl_reply_path(reply, ret_path);
        if (r >= 0)
                r = sd_bus_message_read(reply, "sttybsss", &file->state, &file->size, &file->room, &flags, &reserved,
                                        &file->digest, &file->method, &file->reason);
        if (r < 0)
                return r;
        file->path = *ret_path;
        file->in_ram = flags & IN_RAM;
        file->on_disk = flags & ON_DISK;
        r = sd_bus_message_exit_container(reply);
        return r < 0 ? r : 1;
}

/* Reads a page: the number of rows, or a negative errno. *last, a string, is replaced by the path of the last row. */
static int read_page(sd_bus_message *reply, char **last, int (*each)(const FetchedFile *, void *), void *userdata) {
        int n = 0, r = sd_bus_message_enter_container(reply, 'a', "(aysttybsss)");

        while (r >= 0) {
                FetchedFile file = {};
                char *path = NULL;

                r = read_file(reply, &file, &path);
                if (r > 0)
                        r = each(&file, userdata) < 0 ? -ENOMEM : 1;
                if (path) {
                        free(*last);
                        *last = path;
                }
                if (r <= 0)
                        break;
                n++;
        }
        return r < 0 ? r : n;
}

CtlTrouble ctl_fetch_files(CtlConnection *bus, const char *mirror,
                           int (*each)(const FetchedFile *file, void *userdata), void *userdata, char **ret_reason) {
        _cleanup_(freep) char *last = strdup("");

        for (int n = PAGE; n > 0;) {
                _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = message_about(bus, "ListFiles", mirror),
                                                                *reply = NULL;
                CtlTrouble trouble;

                if (!last || (call && (sd_bus_message_append_array(call, 'y', last, strlen(last)) < 0 ||
                                       sd_bus_message_append(call, "u", (unsigned) PAGE) < 0)))
                        return explain_unread("list of files", -ENOMEM, ret_reason);
                trouble = ctl_connection_call(bus, call, CTL_CALL_USEC, &reply, ret_reason);
                if (trouble != CTL_TROUBLE_NONE)
                        return trouble;
                n = read_page(reply, &last, each, userdata);
                if (n < 0)
                        return explain_unread("list of files", n, ret_reason);
        }
        return CTL_TROUBLE_NONE;
}
