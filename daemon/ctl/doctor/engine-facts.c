/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The engines of a machine: units and processes. See ctl/doctor/facts.h. */

#include "ctl/doctor/facts.h"

#include "base/path.h"
#include "base/strv.h"

static FactsEngine *find_engine(const DoctorFacts *facts, const char *name) {
        for (size_t i = 0; i < facts->n_engines; i++)
                if (string_equal(facts->engines[i].name, name))
                        return &facts->engines[i];
        return NULL;
}

/* Takes @name. */
static int add_engine(DoctorFacts *facts, char *name, FactsEngine **ret) {
        FactsEngine *grown = name ? reallocarray(facts->engines, facts->n_engines + 1, sizeof(*grown)) : NULL;

        if (!grown) {
                free(name);
                return -ENOMEM;
        }
        facts->engines = grown;
        *ret = &grown[facts->n_engines++];
        **ret = (FactsEngine){ .name = name };
        return 0;
}

/* An empty run, whose lists the caller fills. */
static int add_run(FactsEngine *engine, FactsRun **ret) {
        FactsRun *grown = reallocarray(engine->runs, engine->n_runs + 1, sizeof(*grown));

        if (!grown)
                return -ENOMEM;
        engine->runs = grown;
        *ret = &grown[engine->n_runs++];
        **ret = (FactsRun){ .memlock = UINT64_MAX };
        return 0;
}

static int finish_run(const DoctorFacts *facts, FactsRun *run, const char *home) {
        int r = engine_locations(run->kind, run->arguments, run->environment, home, &run->locations, &run->n_locations);

        for (size_t i = 0; r == 0 && i < run->n_locations; i++) {
                char *resolved;

                /* what is not there stays as it is written */
                r = root_view_resolve(&facts->machine, run->locations[i].path, &resolved);
                if (r < 0) {
                        r = r == -ENOMEM ? r : 0;
                        continue;
                }
                free(run->locations[i].path);
                run->locations[i].path = resolved;
        }
        return r;
}

static int read_user(const DoctorFacts *facts, FactsEngine *engine) {
        const char *name = unit_view_value(engine->unit, "Service", "User");
        int r;

        if (unit_view_is_on(engine->unit, "Service", "DynamicUser"))
                return 0; /* nobody knows before it starts */
        r = name && name[strspn(name, "0123456789")] == '\0'
                    ? root_view_user(&facts->machine, NULL, (uid_t) strtoul(name, NULL, 10), &engine->user)
                    : root_view_user(&facts->machine, name ? name : "root", 0, &engine->user);
        return r == -ENOMEM ? r : 0;
}

/* "soft:hard", of which the soft one counts; what is no number of bytes is not known. */
static void read_unit_memlock(const UnitView *unit, FactsRun *run) {
        const char *value = unit_view_value(unit, "Service", "LimitMEMLOCK");
        char soft[64];

        run->memlock = 8 * MIB; /* of systemd, DefaultLimitMEMLOCK= */
        run->memlock_known = true;
        if (!value)
                return;
        (void) snprintf(soft, sizeof(soft), "%.*s", (int) strcspn(value, ":"), value);
        if (!unit_view_parse_bytes(soft, 0, &run->memlock))
                run->memlock = UINT64_MAX;
}

static int read_unit_run(DoctorFacts *facts, FactsEngine *engine) {
        const char *home;
        FactsRun *run;
        int r = add_run(engine, &run);

        if (r == 0)
                r = unit_view_environment(&facts->machine, engine->unit, &run->environment);
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
        return finish_run(facts, run, home ? home : engine->user.home);
}

static int add_unit(DoctorFacts *facts, const char *name, bool configured) {
        FactsEngine *engine = find_engine(facts, name);
        int r = 0;

        if (engine) {
                engine->configured = engine->configured || configured;
                return 0;
        }
        r = add_engine(facts, strdup(name), &engine);
        if (r < 0)
                return r;
        engine->configured = configured;
        engine->kind = engine_of_unit(name);
        r = unit_view_load(&facts->machine, name, &engine->unit, &engine->unread);
        if (r > 0) {
                engine->unit = unit_view_free(engine->unit);
                return 0;
        }
        if (r == 0)
                r = read_user(facts, engine);
        return r == 0 ? read_unit_run(facts, engine) : r;
}

/* Units that the configuration names, and those whose names are known. Of a template only its instances run. */
static int add_units(DoctorFacts *facts) {
        _cleanup_(strv_freep) char **names = NULL;
        int r = 0;

        for (size_t i = 0; facts->config && i < facts->config->n_mirrors; i++)
                for (char **engine = facts->config->mirrors[i].engines; r == 0 && *engine; engine++)
                        r = add_unit(facts, *engine, true);
        if (r == 0)
                r = unit_view_names(&facts->machine, ".service", &names);
        for (char **name = names; r == 0 && name && *name; name++)
                if (engine_of_unit(*name) != ENGINE_OTHER && !strstr(*name, "@."))
                        r = add_unit(facts, *name, false);
        return r;
}

static int read_process_run(DoctorFacts *facts, FactsEngine *engine, const Process *process, EngineKind kind) {
        _cleanup_(root_view_user_done) RootViewUser user = { 0 };
        const char *home;
        FactsRun *run;
        int r = add_run(engine, &run);

        if (r < 0)
                return r;
        run->pid = process->pid;
        run->kind = kind;
        r = strv_copy(process->arguments, &run->arguments);
        if (r == 0)
                r = procfs_environment(&facts->machine, process->pid, &run->environment);
        run->hidden = r > 0 || process->contained;
        if (r > 0)
                r = (run->environment = calloc(1, sizeof(char *))) ? 0 : -ENOMEM;
        if (r < 0)
                return r;
        run->memlock_known = procfs_memlock(&facts->machine, process->pid, &run->memlock) == 0;
        if (root_view_user(&facts->machine, NULL, process->uid, &user) == -ENOMEM)
                return -ENOMEM;
        if (process->contained)
                return 0; /* of its paths nothing is known here */
        home = engine_variable(run->environment, "HOME");
        /* where it looks by itself is known only if it is seen that it was told nothing */
        return finish_run(facts, run, run->hidden ? NULL : home ? home : user.home);
}

static int add_process(DoctorFacts *facts, const Process *process) {
        FactsEngine *engine = process->unit ? find_engine(facts, process->unit) : NULL;
        EngineKind kind = engine_of_command(process->arguments);
        char *name;
        int r;

        if (kind == ENGINE_OTHER && engine)
                kind = engine->kind; /* its helpers are looked at too */
        else if (kind == ENGINE_OTHER)
                return 0;
        if (!engine && process->unit && strstr(process->unit, ".service") && strncmp(process->unit, "user@", 5) != 0) {
                r = add_unit(facts, process->unit, false);
                if (r < 0)
                        return r;
                engine = find_engine(facts, process->unit);
        }
        if (!engine) {
                if (asprintf(&name, "PID %d (%s)", process->pid, process->command) < 0)
                        return -ENOMEM;
                r = add_engine(facts, name, &engine);
                if (r < 0)
                        return r;
        }
        if (engine->kind == ENGINE_OTHER)
                engine->kind = kind;
        if (!engine->unit && !engine->user.name &&
            root_view_user(&facts->machine, NULL, process->uid, &engine->user) == -ENOMEM)
                return -ENOMEM;
        return read_process_run(facts, engine, process, kind);
}

/* "Package: ollama" in the list of dpkg, or the directory in that of pacman. */
static int read_version(const DoctorFacts *facts, FactsEngine *engine) {
        _cleanup_(freep) char *text = NULL;
        const char *entry, *version;
        int r;

        if (engine->kind != ENGINE_OLLAMA)
                return 0;
        r = root_view_read(&facts->machine, "/var/lib/dpkg/status", 64 * MIB, &text);
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

int facts_read_engines(DoctorFacts *facts) {
        _cleanup_(procfs_list_done) ProcessList processes = { 0 };
        int r = add_units(facts);

        if (r == 0)
                r = procfs_list(&facts->machine, &processes);
        if (r < 0 && r != -ENOMEM)
                r = 0; /* a tree without /proc */
        for (size_t i = 0; r == 0 && i < processes.n; i++)
                r = add_process(facts, &processes.items[i]);
        for (size_t i = 0; r == 0 && i < facts->n_engines; i++)
                r = read_version(facts, &facts->engines[i]);
        return r;
}

static void run_done(FactsRun *run) {
        (void) strv_free(run->arguments);
        (void) strv_free(run->environment);
        engine_locations_free(run->locations, run->n_locations);
}

void facts_engines_done(DoctorFacts *facts) {
        for (size_t i = 0; i < facts->n_engines; i++) {
                FactsEngine *engine = &facts->engines[i];

                for (size_t k = 0; k < engine->n_runs; k++)
                        run_done(&engine->runs[k]);
                free(engine->runs);
                free(engine->name);
                free(engine->unread);
                free(engine->version);
                root_view_user_done(&engine->user);
                (void) unit_view_free(engine->unit);
        }
        free(facts->engines);
        facts->engines = NULL;
        facts->n_engines = 0;
}

bool facts_engine_is_wired(const FactsEngine *engine, const FactsMirror *mirror) {
        for (char **name = mirror->config->engines; *name; name++)
                if (string_equal(*name, engine->name))
                        return true;
        return false;
}

const EngineLocation *facts_run_location(const FactsRun *run, const char *directory) {
        for (size_t i = 0; i < run->n_locations; i++)
                if (path_is_below(run->locations[i].path, directory))
                        return &run->locations[i];
        return NULL;
}

bool facts_engine_reads(const FactsEngine *engine, const char *directory) {
        for (size_t i = 0; i < engine->n_runs; i++)
                if (facts_run_location(&engine->runs[i], directory))
                        return true;
        return false;
}

bool facts_engine_uses(const FactsEngine *engine, const FactsMirror *mirror) {
        return facts_engine_is_wired(engine, mirror) || facts_engine_reads(engine, mirror->target) ||
               facts_engine_reads(engine, mirror->source);
}

const FactsMirror *facts_engine_mirror(const DoctorFacts *facts, const FactsEngine *engine) {
        for (size_t i = 0; i < facts->n_mirrors; i++)
                if (facts_engine_uses(engine, &facts->mirrors[i]))
                        return &facts->mirrors[i];
        return NULL;
}
