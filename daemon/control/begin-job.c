/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The calls that change something. See control/begin-job.h. */

#include "control/begin-job.h"

#include "base/log.h"
#include "base/strv.h"
#include "control/lookup.h"
#include "control/message.h"
#include "control/object.h"

typedef struct Names {
        ParsedName *list;
        size_t n;
} Names;

static void names_done(Names *names) {
        for (size_t i = 0; i < names->n; i++)
                parse_name_done(&names->list[i]);
        free(names->list);
        *names = (Names){};
}

/* Resolves all names or none: an unknown one is an error before anything is begun. With @unseen a name need not be
 * known yet: a file to be staged may be on disk though it is not selected, and an accepted one may be a name in
 * conflicts/. Only the next scan knows. */
static int resolve(const ControlObject *object, char *const *raw, bool unseen, Names *ret, sd_bus_error *error) {
        _cleanup_(names_done) Names names = { .list = calloc(strv_length(raw) + 1, sizeof(ParsedName)) };

        if (!names.list)
                return -ENOMEM;
        for (; raw && *raw; raw++) {
                _cleanup_(freep) char *refusal = NULL;
                int r = (unseen ? control_lookup_parse : control_lookup_find)(object->options.mirrors, *raw,
                                                                              &names.list[names.n], &refusal);

                if (r < 0)
                        return r;
                if (r > 0)
                        return sd_bus_error_set(error, "io.shmstaged.Error.NoSuchName", refusal);
                names.n++;
        }
        *ret = names;
        names = (Names){};
        return 0;
}

static int find_kind(const char *member, OperationKind *ret) {
        static const struct {
                const char *member;
                OperationKind kind;
        } kinds[] = { { "Stage", OPERATION_STAGE }, { "Release", OPERATION_RELEASE }, { "Accept", OPERATION_ACCEPT },
                      { "Sync", OPERATION_SYNC }, { "Verify", OPERATION_VERIFY } };

        for (size_t i = 0; i < ELEMENTSOF(kinds); i++)
                if (string_equal(kinds[i].member, member)) {
                        *ret = kinds[i].kind;
                        return 0;
                }
        return -ENOENT;
}

static int begin_operation(ControlObject *object, sd_bus_message *call, OperationKind kind, const char *who,
                           const ControlJob **ret, sd_bus_error *error) {
        _cleanup_(strv_freep) char **raw = NULL;
        _cleanup_(names_done) Names names = {};
        _cleanup_(freep) char *refusal = NULL;
        int r = kind == OPERATION_SYNC ? 0 : control_lookup_read(call, &raw, error);

        if (r >= 0)
                r = resolve(object, raw, kind == OPERATION_STAGE || kind == OPERATION_ACCEPT, &names, error);
        if (r < 0)
                return r;
        r = control_jobs_operate(object->jobs, kind, names.list, names.n, who, ret, &refusal);
        return r == CONTROL_JOB_REFUSED ? sd_bus_error_set(error, "io.shmstaged.Error.Refused", refusal) : r;
}

static int begin(ControlObject *object, sd_bus_message *call, const char *who, const ControlJob **ret,
                 sd_bus_error *error) {
        const char *member = sd_bus_message_get_member(call);
        OperationKind kind;
        int r;

        if (object->options.state(object->options.userdata).stopping)
                return sd_bus_error_set(error, "io.shmstaged.Error.Stopping", "The daemon is stopping");
        if (find_kind(member, &kind) == 0)
                r = begin_operation(object, call, kind, who, ret, error);
        else if (control_jobs_is_full(object->jobs)) /* before the reload, which cannot be taken back */
                r = CONTROL_JOB_TOO_MANY;
        else {
                log_info("Reload requested by %s", who);
                r = control_jobs_reload(object->jobs, object->options.reload(object->options.userdata), ret);
        }
        return r == CONTROL_JOB_TOO_MANY ? sd_bus_error_set(error, "io.shmstaged.Error.TooMany",
                                                            "Too many jobs are running; try again later")
                                         : r;
}

void control_begin_job(sd_bus_message *call, const char *who, void *userdata) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        ControlObject *object = userdata;
        const ControlJob *job = NULL;
        int r = begin(object, call, who, &job, &error);

        if (r < 0 && sd_bus_error_is_set(&error))
                control_message_reply_error(call, error.name, error.message ? error.message : "");
        else if (r < 0)
                (void) sd_bus_reply_method_errno(call, r, NULL); /* it does not matter if the caller is gone */
        if (r < 0)
                return;
        (void) sd_bus_reply_method_return(call, "o", control_job_path(job));
        object->schedule_update(object);
}
