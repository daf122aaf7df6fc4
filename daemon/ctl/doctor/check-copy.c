/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The checks of what an engine does with the models that it has found: a copy of its own, locked pages, and what the
 * versions of Ollama do. See ctl/doctor/checks.h. */

#include "ctl/doctor/checks.h"

#include "base/text.h"

static void fix_use_mmap(DoctorReport *report) {
        finding_fix(report, "set PARAMETER use_mmap true in the Modelfile of each model, or \"options\": "
                    "{\"use_mmap\": true} in each request");
}

/* Ollama decides itself how its llama-server loads a model; without a GPU, it makes a copy. */
static void check_ollama_copies(const DoctorFacts *facts, const EngineFacts *engine, DoctorReport *report) {
        bool runs = false;

        for (size_t i = 0; i < engine->n_runs; i++)
                runs = runs || (engine->runs[i].pid > 0 && engine->runs[i].kind == ENGINE_LLAMA_SERVER);
        if (runs)
                finding_add(report, DOCTOR_OK, "The loaded models are mapped");
        else if (!facts->gpu) {
                finding_add(report, DOCTOR_WARNING, "Without a GPU, Ollama copies each model into its own memory; "
                            "the model occupies RAM twice");
                fix_use_mmap(report);
        } else
                finding_add(report, DOCTOR_NOTE, "Ollama maps models while enough memory is free, and copies them "
                            "otherwise; staged models do not count as free memory");
}

void doctor_check_copies(const DoctorFacts *facts, const EngineFacts *engine, DoctorReport *report) {
        if (!facts_engine_mirror(facts, engine))
                return;
        for (size_t i = 0; i < engine->n_runs; i++) {
                const EngineRun *run = &engine->runs[i];
                _cleanup_(freep) char *setting = NULL;

                if (engine_copies(run->kind, run->arguments, run->environment, &setting) < 0)
                        report->failed = true;
                if (!setting)
                        continue;
                finding_add(report, DOCTOR_WARNING, "With %s, the engine copies each model into its own memory; the "
                            "model occupies RAM twice", setting);
                if (engine->kind == ENGINE_OLLAMA)
                        fix_use_mmap(report);
                else if (run->kind == ENGINE_KOBOLDCPP)
                        finding_fix_setting(report, "add --usemmap");
                else
                        finding_fix_setting(report, "remove %s, so that the model is mapped", setting);
                return;
        }
        if (engine->kind == ENGINE_OLLAMA)
                check_ollama_copies(facts, engine, report);
        else if (engine->n_runs > 0 && engine->kind != ENGINE_OTHER)
                finding_add(report, DOCTOR_OK, "No setting makes the engine copy models");
}

void doctor_check_memlock(const DoctorFacts *facts, const EngineFacts *engine, DoctorReport *report) {
        const FactsMirror *mirror = facts_engine_mirror(facts, engine);

        for (size_t k = 0; mirror && mirror->scanned && k < engine->n_runs; k++) {
                const EngineRun *run = &engine->runs[k];
                _cleanup_(freep) char *setting = NULL;
                char a[TEXT_BYTES_MAX], b[TEXT_BYTES_MAX];

                if (engine_locks(run->arguments, run->environment, &setting) < 0)
                        report->failed = true;
                if (!setting || !run->memlock_known)
                        continue;
                if (run->memlock < mirror->biggest) {
                        finding_add(report, DOCTOR_WARNING,
                                    "With %s, the engine locks models of up to %s in RAM, but its limit for locked "
                                    "memory is %s",
                                    setting, text_bytes(b, mirror->biggest), text_bytes(a, run->memlock));
                        finding_fix_setting(report, "%s, or remove %s; a mirror without swap needs no locking",
                                            engine->unit ? "[Service] LimitMEMLOCK=infinity"
                                                         : "run ulimit -l unlimited before you start the engine",
                                            setting);
                } else
                        finding_add(report, DOCTOR_OK, "%s, and the limit is high enough", setting);
                break;
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

/* From 0.30 on, Ollama comes with a llama-server in ../lib/ollama, relative to its program, and runs it. */
static LlamaServer find_llama_server(const DoctorFacts *facts, const EngineFacts *engine) {
        LlamaServer found = LLAMA_SERVER_UNKNOWN;

        for (size_t i = 0; i < engine->n_runs && found != LLAMA_SERVER_THERE; i++) {
                const EngineRun *run = &engine->runs[i];
                const char *program = run->arguments[0], *slash = program ? strrchr(program, '/') : NULL;
                _cleanup_(freep) char *path = NULL;

                if (run->pid > 0 && run->kind == ENGINE_LLAMA_SERVER)
                        return LLAMA_SERVER_THERE;
                if (run->kind != ENGINE_OLLAMA || !slash || program[0] != '/' ||
                    !root_view_exists(&facts->machine, program))
                        continue;
                path = text_format("%.*s/../lib/ollama/llama-server", (int) (slash - program), program);
                if (path)
                        found = root_view_exists(&facts->machine, path) ? LLAMA_SERVER_THERE : LLAMA_SERVER_ABSENT;
        }
        return found;
}

static void check_llama_server(const DoctorFacts *facts, const EngineFacts *engine, DoctorReport *report) {
        switch (find_llama_server(facts, engine)) {
        case LLAMA_SERVER_THERE:
                finding_add(report, DOCTOR_OK, "Ollama 0.30 or newer, which comes with llama-server");
                break;
        case LLAMA_SERVER_ABSENT:
                finding_add(report, DOCTOR_WARNING, "Ollama is older than 0.30 (no llama-server); it copies models "
                            "instead of mapping them when little memory seems free");
                finding_fix(report, "upgrade to Ollama 0.30 or newer");
                break;
        case LLAMA_SERVER_UNKNOWN:
                finding_add(report, DOCTOR_NOTE, "The version of Ollama is unknown; versions before 0.30 copy "
                                                 "models, and versions before 0.21 delete files that no manifest "
                                                 "names yet at startup");
                finding_fix(report, "check it with ollama --version");
                break;
        }
}

void doctor_check_version(const DoctorFacts *facts, const EngineFacts *engine, DoctorReport *report) {
        const char *experiment = NULL, *version = engine->version;

        if (engine->kind != ENGINE_OLLAMA)
                return;
        for (size_t i = 0; i < engine->n_runs && !experiment; i++)
                experiment = engine_variable(engine->runs[i].environment, "OLLAMA_EXPERIMENT");
        if (experiment && strstr(experiment, "client2")) {
                finding_add(report, DOCTOR_WARNING,
                            "OLLAMA_EXPERIMENT=%s makes Ollama write models under their final names during a pull; "
                            "unfinished files look complete",
                            experiment);
                finding_fix_setting(report, "[Service] UnsetEnvironment=OLLAMA_EXPERIMENT");
        } else if (version && version_is_below(version, 0, 21)) {
                finding_add(report, DOCTOR_WARNING,
                            "At startup, Ollama %s deletes every file that no manifest names, however new (0.21 "
                            "spares files of the last hour); it also copies models instead of mapping them", version);
                finding_fix(report, "upgrade to Ollama 0.30 or newer");
        } else if (version && version_is_below(version, 0, 30)) {
                finding_add(report, DOCTOR_WARNING, "Ollama %s copies models instead of mapping them when little "
                            "memory seems free; staged models do not count as free", version);
                finding_fix(report, "upgrade to Ollama 0.30 or newer");
        } else if (version)
                finding_add(report, DOCTOR_OK, "Ollama %s", version);
        else
                check_llama_server(facts, engine, report);
}
