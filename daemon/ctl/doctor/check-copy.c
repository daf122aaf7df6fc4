/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The checks of what an engine does with a model once it has found it: a copy of its own, locked pages, and the
 * versions of Ollama. See ctl/doctor/doctor.h. */

#include "ctl/doctor/doctor.h"

#include "base/text.h"

/* Ollama starts llama-server with what it thinks best; on a machine without a GPU that is a copy. */
static void check_ollama_copies(const DoctorFacts *facts, const FactsEngine *engine, DoctorReport *report) {
        bool runs = false;

        for (size_t i = 0; i < engine->n_runs; i++)
                runs = runs || (engine->runs[i].pid > 0 && engine->runs[i].kind == ENGINE_LLAMA_SERVER);
        if (runs)
                doctor_say(report, DOCTOR_OK, engine->name, "The models that it has loaded are mapped");
        else if (!facts->gpu) {
                doctor_say(report, DOCTOR_WARNING, engine->name,
                           "Without a GPU Ollama copies each model into memory of its own: it takes the RAM twice");
                doctor_fix(report, "PARAMETER use_mmap true in the Modelfile of each model, or \"options\": "
                                   "{\"use_mmap\": true} in each request");
        } else
                doctor_say(report, DOCTOR_NOTE, engine->name,
                           "Ollama maps models while enough memory is free, and copies them if not: what is staged "
                           "counts as not free");
}

static void check_copies_of(const DoctorFacts *facts, const FactsEngine *engine, DoctorReport *report) {
        for (size_t i = 0; i < engine->n_runs; i++) {
                const FactsRun *run = &engine->runs[i];
                _cleanup_(freep) char *setting = NULL;

                if (engine_copies(run->kind, run->arguments, run->environment, &setting) < 0)
                        report->failed = true;
                if (!setting)
                        continue;
                doctor_say(report, DOCTOR_WARNING, engine->name,
                           "%s: it copies each model into memory of its own, which takes the RAM twice", setting);
                if (engine->kind == ENGINE_OLLAMA)
                        doctor_fix(report, "PARAMETER use_mmap true in the Modelfile of each model, or \"options\": "
                                           "{\"use_mmap\": true} in each request");
                else if (run->kind == ENGINE_KOBOLDCPP)
                        doctor_fix_setting(report, engine, "add --usemmap");
                else
                        doctor_fix_setting(report, engine, "leave that out: without it the model is mapped");
                return;
        }
        if (engine->kind == ENGINE_OLLAMA)
                check_ollama_copies(facts, engine, report);
        else if (engine->n_runs > 0 && engine->kind != ENGINE_OTHER)
                doctor_say(report, DOCTOR_OK, engine->name, "Nothing makes it copy a model");
}

void doctor_check_copies(const DoctorFacts *facts, DoctorReport *report) {
        for (size_t i = 0; i < facts->n_engines; i++)
                if (facts_engine_mirror(facts, &facts->engines[i]))
                        check_copies_of(facts, &facts->engines[i], report);
}

void doctor_check_memlock(const DoctorFacts *facts, DoctorReport *report) {
        for (size_t i = 0; i < facts->n_engines; i++) {
                const FactsEngine *engine = &facts->engines[i];
                const FactsMirror *mirror = facts_engine_mirror(facts, engine);

                for (size_t k = 0; mirror && mirror->looked && k < engine->n_runs; k++) {
                        const FactsRun *run = &engine->runs[k];
                        _cleanup_(freep) char *setting = NULL;
                        char a[TEXT_BYTES_MAX], b[TEXT_BYTES_MAX];

                        if (engine_locks(run->arguments, run->environment, &setting) < 0)
                                report->failed = true;
                        if (!setting || !run->memlock_known)
                                continue;
                        if (run->memlock < mirror->biggest) {
                                doctor_say(report, DOCTOR_WARNING, engine->name,
                                           "%s is to lock a model of up to %s, and it may lock %s", setting,
                                           text_bytes(b, mirror->biggest), text_bytes(a, run->memlock));
                                doctor_fix_setting(report, engine,
                                                   engine->unit ? "[Service] LimitMEMLOCK=infinity, or leave it out: "
                                                                  "a mirror without swap needs no locking"
                                                                : "after ulimit -l unlimited, or without that: a "
                                                                  "mirror without swap needs no locking");
                        } else
                                doctor_say(report, DOCTOR_OK, engine->name, "%s, and it may lock enough", setting);
                        break;
                }
        }
}

static bool version_is_below(const char *version, unsigned major, unsigned minor) {
        unsigned a = 0, b = 0;
        const char *epoch = strchr(version, ':');

        if (sscanf(epoch ? epoch + 1 : version, "%u.%u", &a, &b) != 2)
                return false;
        return a < major || (a == major && b < minor);
}

typedef enum LlamaServer { LLAMA_SERVER_UNKNOWN, LLAMA_SERVER_ABSENT, LLAMA_SERVER_THERE } LlamaServer;

/* From 0.30 on it comes with a llama-server, in ../lib/ollama as seen from the program, and runs it. */
static LlamaServer find_llama_server(const DoctorFacts *facts, const FactsEngine *engine) {
        LlamaServer found = LLAMA_SERVER_UNKNOWN;

        for (size_t i = 0; i < engine->n_runs && found != LLAMA_SERVER_THERE; i++) {
                const FactsRun *run = &engine->runs[i];
                const char *program = run->arguments[0], *slash = program ? strrchr(program, '/') : NULL;
                _cleanup_(freep) char *path = NULL;

                if (run->pid > 0 && run->kind == ENGINE_LLAMA_SERVER)
                        return LLAMA_SERVER_THERE;
                if (run->kind != ENGINE_OLLAMA || !slash || program[0] != '/' ||
                    !root_view_exists(&facts->machine, program))
                        continue;
                if (asprintf(&path, "%.*s/../lib/ollama/llama-server", (int) (slash - program), program) < 0) {
                        path = NULL;
                        continue;
                }
                found = root_view_exists(&facts->machine, path) ? LLAMA_SERVER_THERE : LLAMA_SERVER_ABSENT;
        }
        return found;
}

static void check_llama_server(const DoctorFacts *facts, const FactsEngine *engine, DoctorReport *report) {
        switch (find_llama_server(facts, engine)) {
        case LLAMA_SERVER_THERE:
                doctor_say(report, DOCTOR_OK, engine->name, "Ollama 0.30 or newer: it comes with llama-server");
                break;
        case LLAMA_SERVER_ABSENT:
                doctor_say(report, DOCTOR_WARNING, engine->name,
                           "Ollama older than 0.30, without a llama-server: it copies models instead of mapping them "
                           "when little memory seems free");
                doctor_fix(report, "upgrade to Ollama 0.30 or newer");
                break;
        case LLAMA_SERVER_UNKNOWN:
                doctor_say(report, DOCTOR_NOTE, engine->name,
                           "Which Ollama it is cannot be seen; before 0.30 it copies models, before 0.21 it deletes "
                           "too much at its start");
                doctor_fix(report, "ollama --version");
                break;
        }
}

static void check_version_of(const DoctorFacts *facts, const FactsEngine *engine, DoctorReport *report) {
        const char *experiment = NULL, *version = engine->version;

        for (size_t i = 0; i < engine->n_runs && !experiment; i++)
                experiment = engine_variable(engine->runs[i].environment, "OLLAMA_EXPERIMENT");
        if (experiment && strstr(experiment, "client2")) {
                doctor_say(report, DOCTOR_WARNING, engine->name,
                           "OLLAMA_EXPERIMENT=%s: it writes models under their final names while it pulls them",
                           experiment);
                doctor_fix_setting(report, engine, "[Service] UnsetEnvironment=OLLAMA_EXPERIMENT");
        } else if (version && version_is_below(version, 0, 21)) {
                doctor_say(report, DOCTOR_WARNING, engine->name,
                           "Ollama %s deletes at its start whatever no manifest names, however new it is (0.21 "
                           "spares the last hour), and copies models",
                           version);
                doctor_fix(report, "upgrade to Ollama 0.30 or newer");
        } else if (version && version_is_below(version, 0, 30)) {
                doctor_say(report, DOCTOR_WARNING, engine->name,
                           "Ollama %s copies models instead of mapping them when little memory seems free, and what "
                           "is staged is not free",
                           version);
                doctor_fix(report, "upgrade to Ollama 0.30 or newer");
        } else if (version)
                doctor_say(report, DOCTOR_OK, engine->name, "Ollama %s", version);
        else
                check_llama_server(facts, engine, report);
}

void doctor_check_version(const DoctorFacts *facts, DoctorReport *report) {
        for (size_t i = 0; i < facts->n_engines; i++)
                if (facts->engines[i].kind == ENGINE_OLLAMA)
                        check_version_of(facts, &facts->engines[i], report);
}
