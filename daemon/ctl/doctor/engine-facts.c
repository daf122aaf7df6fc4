/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The engines of a machine. See ctl/doctor/engine-facts.h. */

#include "ctl/doctor/engine-facts.h"

#include "base/array.h"
#include "base/path.h"
#include "base/strv.h"
#include "base/text.h"
#include "ctl/doctor/procfs.h"

/* What to read, and the engines found so far. */
typedef struct Gathering {
        const RootView *machine;
        const Config *config;
        EngineFactsList *list;
} Gathering;

static EngineFacts *find_engine(const EngineFactsList *list, const char *name) {
        for (size_t i = 0; i < list->n; i++)
                if (string_equal(list->items[i].name, name))
                        return &list->items[i];
        return NULL;
}

/* Takes @name. */
static int add_engine(EngineFactsList *list, char *name, EngineFacts **ret) {
        if (!name || ARRAY_ROOM(list->items, list->n) < 0) {
                free(name);
                return -ENOMEM;
        }
        *ret = &list->items[list->n++];
        **ret = (EngineFacts){ .name = name };
        return 0;
}

/* An empty run, whose lists the caller fills. */
static int add_run(EngineFacts *engine, EngineRun **ret) {
        if (ARRAY_ROOM(engine->runs, engine->n_runs) < 0)
                return -ENOMEM;
        *ret = &engine->runs[engine->n_runs++];
        **ret = (EngineRun){ .memlock = UINT64_MAX };
        return 0;
}

int engine_facts_resolve(const RootView *machine, EngineLocations *locations) {
        for (size_t i = 0; i < locations->n; i++) {
                char *resolved;

                if (root_view_resolve(machine, locations->items[i].path, &resolved) < 0)
                        return -ENOMEM;
                free(locations->items[i].path);
                locations->items[i].path = resolved;
        }
        return 0;
}

static int finish_run(const RootView *machine, EngineRun *run, const char *home) {
        int r = engine_locations(run->kind, run->arguments, run->environment, home, &run->locations);

        return r == 0 ? engine_facts_resolve(machine, &run->locations) : r;
}

static int read_user(const RootView *machine, EngineFacts *engine) {
        const char *name = unit_view_value(engine->unit, "Service", "User");
        int r;

        if (unit_view_is_on(engine->unit, "Service", "DynamicUser"))
                return 0; /* the user does not exist before the start */
        r = name && name[strspn(name, "0123456789")] == '\0'
                    ? root_view_user(machine, NULL, (uid_t) strtoul(name, NULL, 10), &engine->user)
                    : root_view_user(machine, name ? name : "root", 0, &engine->user);
        return r == -ENOMEM ? r : 0;
}

/* "soft:hard", of which the soft limit counts. What is not a number of bytes counts as unlimited. */
static void read_unit_memlock(const UnitView *unit, EngineRun *run) {
        const char *value = unit_view_value(unit, "Service", "LimitMEMLOCK");
        char soft[64];

        run->memlock = 8 * MIB; /* systemd's default, DefaultLimitMEMLOCK= */
        run->memlock_known = true;
        if (!value)
                return;
        (void) snprintf(soft, sizeof(soft), "%.*s", (int) strcspn(value, ":"), value);
        if (!unit_view_parse_bytes(soft, 0, &run->memlock))
                run->memlock = UINT64_MAX;
}

static int read_unit_run(const RootView *machine, EngineFacts *engine) {
        const char *home;
        EngineRun *run;
        int r = add_run(engine, &run);

        if (r == 0)
                r = unit_view_environment(machine, engine->unit, &run->environment);
        if (r == 0)
                r = unit_view_command(engine->unit, run->environment, &run->arguments);
        if (r < 0)
                return r;
        run->kind = engine_of_command(run->arguments);
        if (run->kind == ENGINE_OTHER)
                run->kind = engine->kind;
        else if (engine->kind == ENGINE_OTHER)
                engine->kind = run->kind;
        read_unit_memlock(engine->unit, run);
        home = engine_variable(run->environment, "HOME");
        return finish_run(machine, run, home ? home : engine->user.home);
}

static int add_unit(const Gathering *gathering, const char *name, bool configured) {
        EngineFacts *engine = find_engine(gathering->list, name);
        int r = 0;

        if (engine) {
                engine->configured = engine->configured || configured;
                return 0;
        }
        r = add_engine(gathering->list, strdup(name), &engine);
        if (r < 0)
                return r;
        engine->configured = configured;
        engine->kind = engine_of_unit(name);
        r = unit_view_load(gathering->machine, name, &engine->unit, &engine->unread);
        if (r > 0) {
                engine->unit = unit_view_free(engine->unit);
                return 0;
        }
        if (r == 0)
                r = read_user(gathering->machine, engine);
        return r == 0 ? read_unit_run(gathering->machine, engine) : r;
}

/* Units that the configuration names, and those with the name of an engine. A template is not a unit: only its
 * instances run. */
static int add_units(const Gathering *gathering) {
        const Config *config = gathering->config;
        _cleanup_(strv_freep) char **names = NULL;
        int r = 0;

        for (size_t i = 0; config && i < config->n_mirrors; i++)
                for (char **engine = config->mirrors[i].engines; r == 0 && *engine; engine++)
                        r = add_unit(gathering, *engine, true);
        if (r == 0)
                r = unit_view_names(gathering->machine, ".service", &names);
        for (char **name = names; r == 0 && name && *name; name++)
                if (engine_of_unit(*name) != ENGINE_OTHER && !strstr(*name, "@."))
                        r = add_unit(gathering, *name, false);
        return r;
}

static int read_process_run(const RootView *machine, EngineFacts *engine, const Process *process, EngineKind kind) {
        _cleanup_(root_view_user_done) RootViewUser user = { 0 };
        const char *home;
        EngineRun *run;
        int r = add_run(engine, &run);

        if (r < 0)
                return r;
        run->pid = process->pid;
        run->kind = kind;
        r = strv_copy(process->arguments, &run->arguments);
        if (r == 0)
                r = procfs_environment(machine, process->pid, &run->environment);
        run->hidden = r > 0 || process->contained;
        if (r > 0)
                r = (run->environment = calloc(1, sizeof(char *))) ? 0 : -ENOMEM;
        if (r < 0)
                return r;
        run->memlock_known = procfs_memlock(machine, process->pid, &run->memlock) == 0;
        if (root_view_user(machine, NULL, process->uid, &user) == -ENOMEM)
                return -ENOMEM;
        if (process->contained)
                return 0; /* its paths mean nothing outside of the container */
        home = engine_variable(run->environment, "HOME");
        /* its default location counts only if its environment shows that it is not configured otherwise */
        return finish_run(machine, run, run->hidden ? NULL : home ? home : user.home);
}

static int add_process(const Gathering *gathering, const Process *process) {
        EngineFacts *engine = process->unit ? find_engine(gathering->list, process->unit) : NULL;
        EngineKind kind = engine_of_command(process->arguments);
        int r;

        if (kind == ENGINE_OTHER && engine)
                kind = engine->kind; /* a helper process of the engine */
        else if (kind == ENGINE_OTHER)
                return 0;
        if (!engine && process->unit && strstr(process->unit, ".service") && strncmp(process->unit, "user@", 5) != 0) {
                r = add_unit(gathering, process->unit, false);
                if (r < 0)
                        return r;
                engine = find_engine(gathering->list, process->unit);
        }
        if (!engine) {
                r = add_engine(gathering->list, text_format("PID %d (%s)", process->pid, process->command), &engine);
                if (r < 0)
                        return r;
        }
        if (engine->kind == ENGINE_OTHER)
                engine->kind = kind;
        if (!engine->unit && !engine->user.name &&
            root_view_user(gathering->machine, NULL, process->uid, &engine->user) == -ENOMEM)
                return -ENOMEM;
        return read_process_run(gathering->machine, engine, process, kind);
}

/* The version of Ollama, if dpkg installed it. */
static int read_version(const RootView *machine, EngineFacts *engine) {
        _cleanup_(freep) char *text = NULL;
        const char *entry, *version;
        int r;

        if (engine->kind != ENGINE_OLLAMA)
                return 0;
        r = root_view_read(machine, "/var/lib/dpkg/status", 64 * MIB, &text);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        entry = strncmp(text, "Package: ollama\n", 16) == 0 ? text : strstr(text, "\nPackage: ollama\n");
        version = entry ? strstr(entry, "\nVersion: ") : NULL;
        if (!version || (strstr(entry, "\n\n") && strstr(entry, "\n\n") < version))
                return 0;
        version += strlen("\nVersion: ");
        engine->version = strndup(version, strcspn(version, "\n"));
        return engine->version ? 0 : -ENOMEM;
}

int engine_facts_read(const RootView *machine, const Config *config, EngineFactsList *list) {
        _cleanup_(procfs_list_done) ProcessList processes = { 0 };
        Gathering gathering = { .machine = machine, .config = config, .list = list };
        int r = add_units(&gathering);

        if (r == 0)
                r = procfs_list(machine, &processes);
        if (r < 0 && r != -ENOMEM)
                r = 0; /* a tree without /proc */
        for (size_t i = 0; r == 0 && i < processes.n; i++)
                r = add_process(&gathering, &processes.items[i]);
        for (size_t i = 0; r == 0 && i < list->n; i++)
                r = read_version(machine, &list->items[i]);
        return r;
}

static void run_done(EngineRun *run) {
        (void) strv_free(run->arguments);
        (void) strv_free(run->environment);
        engine_locations_done(&run->locations);
}

void engine_facts_done(EngineFactsList *list) {
        for (size_t i = 0; i < list->n; i++) {
                EngineFacts *engine = &list->items[i];

                for (size_t k = 0; k < engine->n_runs; k++)
                        run_done(&engine->runs[k]);
                free(engine->runs);
                free(engine->name);
                free(engine->unread);
                free(engine->version);
                root_view_user_done(&engine->user);
                (void) unit_view_free(engine->unit);
        }
        free(list->items);
        *list = (EngineFactsList){ 0 };
}

const EngineLocation *engine_facts_location(const EngineRun *run, const char *directory) {
        for (size_t i = 0; i < run->locations.n; i++)
                if (path_is_below(run->locations.items[i].path, directory))
                        return &run->locations.items[i];
        return NULL;
}

bool engine_facts_reads(const EngineFacts *engine, const char *directory) {
        for (size_t i = 0; i < engine->n_runs; i++)
                if (engine_facts_location(&engine->runs[i], directory))
                        return true;
        return false;
}
