/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Reads and looks up the names in a call. See control/lookup.h. */

#include "control/lookup.h"

#include "base/strv.h"
#include "base/text.h"

#include <limits.h>

static int read_one(sd_bus_message *message, char **ret, sd_bus_error *error) {
        const void *bytes;
        size_t size;
        int r = sd_bus_message_read_array(message, 'y', &bytes, &size);

        if (r < 0)
                return r;
        if (size == 0 || size >= PATH_MAX || memchr(bytes, 0, size))
                return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                                         "A name must have 1 to %d bytes and no NUL byte", PATH_MAX - 1);
        *ret = strndup(bytes, size);
        return *ret ? 0 : -ENOMEM;
}

int control_lookup_read(sd_bus_message *message, char ***ret, sd_bus_error *error) {
        _cleanup_(strv_freep) char **names = NULL;
        size_t n = 0;
        int r = sd_bus_message_enter_container(message, 'a', "ay");

        while (r >= 0 && (r = sd_bus_message_at_end(message, false)) == 0) {
                char *name = NULL;

                if (++n > CONTROL_LOOKUP_MAX)
                        return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS, "At most %d names per call",
                                                 CONTROL_LOOKUP_MAX);
                r = read_one(message, &name, error);
                if (r >= 0)
                        r = strv_take(&names, name);
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(message);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(names);
        return 0;
}

static bool knows(size_t mirror, const char *path, void *userdata) {
        const Mirrors *mirrors = userdata;
        _cleanup_(freep) char *reason = NULL;

        return inventory_readiness(mirrors->mirrors[mirror], path, &reason) != READINESS_UNKNOWN;
}

static int list_mirrors(const Mirrors *mirrors, ParseNameMirror **ret) {
        ParseNameMirror *list = calloc(mirrors->n + 1, sizeof(ParseNameMirror));

        for (size_t i = 0; list && i < mirrors->n; i++) {
                const MirrorConfig *config = mirror_config(mirrors->mirrors[i]);

                list[i] = (ParseNameMirror){ config->name, config->source, config->target };
        }
        *ret = list;
        return list ? 0 : -ENOMEM;
}

int control_lookup_parse(const Mirrors *mirrors, const char *raw, ParsedName *ret, char **ret_refusal) {
        _cleanup_(freep) ParseNameMirror *list = NULL;
        int r = list_mirrors(mirrors, &list);

        return r < 0 ? r : parse_name(list, mirrors->n, raw, knows, (void *) mirrors, ret, ret_refusal);
}

int control_lookup_find(const Mirrors *mirrors, const char *raw, ParsedName *ret, char **ret_refusal) {
        char escaped[TEXT_PATH_MAX];
        ParsedName name = {};
        int r = control_lookup_parse(mirrors, raw, &name, ret_refusal);

        if (r == 0 && name.path[0] != '\0' && !knows(name.mirror, name.path, (void *) mirrors)) {
                r = text_append(ret_refusal, "Mirror '%s': neither the mirror nor its source had '%s' at the last "
                                             "scan",
                                mirror_config(mirrors->mirrors[name.mirror])->name, text_path(escaped, name.path));
                r = r < 0 ? r : PARSE_NAME_UNKNOWN;
        }
        if (r != 0) {
                parse_name_done(&name);
                return r;
        }
        *ret = name;
        return 0;
}

static bool were_all_scanned(const Mirrors *mirrors) {
        for (size_t i = 0; i < mirrors->n; i++) {
                MirrorStatus status = mirror_status(mirrors->mirrors[i]);

                if (!status.ready && status.state != MIRROR_FAILED)
                        return false;
        }
        return true;
}

static Readiness mirror_readiness(const Mirror *mirror, char **ret_reason) {
        MirrorStatus status = mirror_status(mirror);

        if (status.state == MIRROR_FAILED || status.failing) {
                *ret_reason = strdup(status.problem ? status.problem : "The mirror has failed");
                return READINESS_NEVER;
        }
        return status.ready ? READINESS_READY : READINESS_PENDING;
}

Readiness control_lookup_readiness(const Mirrors *mirrors, const char *raw, char **ret_reason) {
        ParsedName name = {};
        Readiness readiness = READINESS_UNKNOWN;
        int r = control_lookup_parse(mirrors, raw, &name, ret_reason);

        if (r == 0 && name.path[0] == '\0')
                readiness = mirror_readiness(mirrors->mirrors[name.mirror], ret_reason);
        else if (r == 0)
                readiness = inventory_readiness(mirrors->mirrors[name.mirror], name.path, ret_reason);
        if (readiness == READINESS_UNKNOWN && !were_all_scanned(mirrors)) {
                free(*ret_reason);
                *ret_reason = NULL;
                readiness = READINESS_PENDING;
        }
        parse_name_done(&name);
        return readiness;
}
