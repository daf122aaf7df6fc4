/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The checks of each engine: its unit, its order after the mirror, and whether it finds and may read the mirror. See
 * ctl/doctor/checks.h. */

#include "ctl/doctor/checks.h"

#include "base/path.h"
#include "base/strv.h"
#include "base/text.h"

#include <strings.h>
#include <sys/stat.h>

void doctor_check_unit(const DoctorFacts *facts, const EngineFacts *engine, DoctorReport *report) {
        const UnitView *unit = engine->unit;

        if (!unit && engine->configured) {
                finding_add(report, DOCTOR_PROBLEM, "Engines= names this unit, but it does not exist");
                finding_fix(report,
                            "find its name with systemctl list-unit-files, and correct Engines= in shmstaged.conf");
        } else if (unit && unit->masked && engine->configured) {
                finding_add(report, DOCTOR_WARNING, "The unit is masked and cannot be started");
                finding_fix(report, "systemctl unmask %s", engine->name);
        } else if (engine->unread)
                finding_add(report, DOCTOR_NOTE, "%s cannot be read%s; its settings are unknown", engine->unread,
                            facts->all_processes ? "" : " by you");
        else if (unit && unit->wrong) {
                finding_add(report, DOCTOR_WARNING, "systemd ignores a line: %s", unit->wrong[0]);
                finding_fix(report, "correct that line (a setting needs its [Section] above it), then systemctl "
                            "daemon-reload");
        } else if (unit)
                finding_add(report, DOCTOR_OK, "%s", unit->path);
}

void doctor_check_order(const DoctorFacts *facts, const EngineFacts *engine, DoctorReport *report) {
        static const char ours[] = "shmstaged.service";

        const FactsMirror *mirror = facts_engine_mirror(facts, engine);
        bool requires = unit_view_refers_to(engine->unit, "Requires", ours) ||
                        unit_view_refers_to(engine->unit, "BindsTo", ours);
        bool after = unit_view_refers_to(engine->unit, "After", ours),
             wants = unit_view_refers_to(engine->unit, "Wants", ours);

        if (!engine->unit || !mirror)
                return;
        if (requires && after)
                finding_add(report, DOCTOR_OK, "The unit starts after shmstaged.service and stops before it");
        else if (wants && after) {
                finding_add(report, DOCTOR_WARNING, "The unit has only Wants=shmstaged.service; it starts without a "
                            "mirror if that fails, and keeps running when the mirror is removed");
                finding_fix_setting(report, "[Unit] Requires=shmstaged.service");
        } else {
                finding_add(report, DOCTOR_PROBLEM, "The unit does not wait for shmstaged.service (%s missing); it "
                            "may start on an empty or partial mirror%s",
                            requires || wants ? "After=" : after           ? "Requires=" : "Requires= and After=",
                            engine->kind == ENGINE_OLLAMA ? " and delete files that no manifest names yet" : "");
                if (engine->configured)
                        finding_fix(report, "systemctl daemon-reload && systemctl restart %s", engine->name);
                else
                        finding_fix(report, "set Engines=%s in [Mirror %s], then systemctl daemon-reload && "
                                    "systemctl restart %s", engine->name, mirror->config->name, engine->name);
        }
}

/* True if a run is llama-swap and its configuration file, which has the command lines of engines, names the source. */
static bool file_names_source(const DoctorFacts *facts, const EngineRun *run, const FactsMirror *mirror,
                              const char **ret_file) {
        for (size_t i = 0; run->kind == ENGINE_LLAMA_SWAP && i < run->locations.n; i++) {
                _cleanup_(freep) char *text = NULL, *wanted = NULL;

                if (!strstr(run->locations.items[i].setting, "config") ||
                    root_view_read(&facts->machine, run->locations.items[i].path, MIB, &text) < 0)
                        continue;
                wanted = text_format("%s/", mirror->config->source);
                *ret_file = run->locations.items[i].path;
                if (wanted && strstr(text, wanted))
                        return true;
        }
        return false;
}

/* Reports a run that reads the disk although there is a mirror of it: true if it does. */
static bool report_disk(const DoctorFacts *facts, const EngineFacts *engine, const EngineRun *run,
                        const FactsMirror *mirror, DoctorReport *report) {
        const EngineLocation *location = engine_facts_location(run, mirror->source);
        _cleanup_(freep) char *better = NULL, *advice = NULL;
        const char *file = NULL;
        char who[64] = "";

        if (run->pid > 0)
                (void) snprintf(who, sizeof(who), " (process %d)", run->pid);
        if (location && !path_is_below(location->path, mirror->target)) {
                better = facts_move_path(location->path, mirror->source, mirror->config->target);
                advice = better ? engine_advice(location, better, engine->unit ? engine->name : NULL) : NULL;
                finding_add(report, DOCTOR_PROBLEM, "The engine reads the disk, not the mirror%s: %s%s%s", who,
                            location->setting,
                            location->automatic  ? " is not set, so it uses " : location->variable ? "=" : " ",
                            location->path);
                finding_fix(report, "%s", advice ? advice : "");
                report->failed = report->failed || !advice;
                return true;
        }
        if (!file_names_source(facts, run, mirror, &file))
                return false;
        finding_add(report, DOCTOR_PROBLEM,
                    "%s makes engines read the disk, not the mirror; it has paths below %s", file,
                    mirror->config->source);
        finding_fix(report, "sed -i 's,%s/,%s/,g' %s", mirror->config->source, mirror->config->target, file);
        return true;
}

void doctor_check_place(const DoctorFacts *facts, const EngineFacts *engine, DoctorReport *report) {
        const FactsMirror *mirror = facts_engine_mirror(facts, engine);
        bool reported = false, hidden = false;

        for (size_t k = 0; k < facts->n_mirrors; k++)
                for (size_t i = 0; i < engine->n_runs; i++)
                        reported =
                                report_disk(facts, engine, &engine->runs[i], &facts->mirrors[k], report) || reported;
        for (size_t i = 0; i < engine->n_runs; i++)
                hidden = hidden || engine->runs[i].hidden;
        if (reported || facts->n_mirrors == 0)
                return;
        if (mirror && engine_facts_reads(engine, mirror->target))
                finding_add(report, DOCTOR_OK, "The engine reads the mirror %s", mirror->config->target);
        else if (!mirror) {
                finding_add(report, DOCTOR_NOTE, "Engine detected, but no mirror lists it in Engines=");
                finding_fix(report, "set Engines=%s in the [Mirror NAME] of its models",
                            engine->unit ? engine->name : "UNIT");
        } else if (hidden || engine->n_runs == 0)
                finding_add(report, DOCTOR_NOTE, "The directory of the engine's models cannot be determined%s",
                            facts->all_processes ? "" : "; run as root");
        else {
                finding_add(report, DOCTOR_WARNING,
                            "Neither its command line nor its environment names the mirror %s",
                            mirror->config->target);
                if (engine->kind == ENGINE_OLLAMA)
                        finding_fix(report, "systemctl edit %s: [Service] Environment=OLLAMA_MODELS=%s",
                                    engine->name, mirror->config->target);
                else if (mirror->config->layout == LAYOUT_HUGGINGFACE)
                        finding_fix(report, "systemctl edit %s: [Service] Environment=HF_HUB_CACHE=%s", engine->name,
                                    mirror->config->target);
                else
                        finding_fix(report, "systemctl edit %s: make it load its models from %s", engine->name,
                                    mirror->config->target);
        }
}

/* Whether a list of mounts covers a path, as "/dev/shm:size=1M" or "-/a:/b:rbind" do; of a pair, @second takes the
 * destination. */
static bool lists_path(const UnitView *unit, const char *key, bool second, const char *path) {
        _cleanup_(strv_freep) char **words = NULL;
        bool found = false;

        if (unit_view_words(unit, "Service", key, &words) < 0)
                return false;
        for (char **word = words; *word; word++) {
                char *place = *word + strspn(*word, "-+"), *colon = strchr(place, ':');

                if (colon)
                        *colon = '\0';
                if (colon && second)
                        place = colon + 1;
                place[strcspn(place, ":")] = '\0';
                found = found || path_is_below(path, place);
        }
        return found;
}

/* The setting of the unit that hides a path, NULL for none. */
static const char *find_blind(const UnitView *unit, const char *path) {
        static const char *const lists[] = { "TemporaryFileSystem", "InaccessiblePaths" };
        static const char *const roots[] = { "RootDirectory", "RootImage" };
        const char *home = unit_view_value(unit, "Service", "ProtectHome");

        if (lists_path(unit, "BindPaths", true, path) || lists_path(unit, "BindReadOnlyPaths", true, path))
                return NULL;
        for (size_t i = 0; i < ELEMENTSOF(lists); i++)
                if (lists_path(unit, lists[i], false, path))
                        return lists[i];
        for (size_t i = 0; i < ELEMENTSOF(roots); i++)
                if (unit_view_value(unit, "Service", roots[i]) &&
                    !string_equal(unit_view_value(unit, "Service", roots[i]), "/"))
                        return roots[i];
        if (path_is_below(path, "/dev") && unit_view_is_on(unit, "Service", "PrivateDevices"))
                return "PrivateDevices";
        if ((path_is_below(path, "/tmp") || path_is_below(path, "/var/tmp")) &&
            unit_view_is_on(unit, "Service", "PrivateTmp"))
                return "PrivateTmp";
        if ((path_is_below(path, "/home") || path_is_below(path, "/root") || path_is_below(path, "/run/user")) &&
            (unit_view_is_on(unit, "Service", "ProtectHome") || (home && strcasecmp(home, "tmpfs") == 0)))
                return "ProtectHome";
        return NULL;
}

void doctor_check_sight(const DoctorFacts *facts, const EngineFacts *engine, DoctorReport *report) {
        for (size_t k = 0; engine->unit && k < facts->n_mirrors; k++) {
                const FactsMirror *mirror = &facts->mirrors[k];
                const char *target = mirror->config->target, *blind = find_blind(engine->unit, target);

                if (!facts_engine_uses(engine, mirror))
                        continue;
                if (!blind) {
                        finding_add(report, DOCTOR_OK, "The sandbox of the unit allows access to %s", target);
                        continue;
                }
                finding_add(report, DOCTOR_PROBLEM,
                            "%s= of the unit hides %s; the engine finds an empty directory or none", blind, target);
                if (facts_engine_is_wired(engine, mirror))
                        finding_fix(report,
                                    "systemctl daemon-reload, which adds BindPaths=%s, then systemctl restart %s",
                                    target, engine->name);
                else
                        finding_fix(report, "systemctl edit %s: [Service] BindPaths=%s", engine->name, target);
        }
}

void doctor_check_dynamic_user(const DoctorFacts *facts, const EngineFacts *engine, DoctorReport *report) {
        const FactsMirror *mirror = facts_engine_mirror(facts, engine);
        bool dynamic = unit_view_is_on(engine->unit, "Service", "DynamicUser"),
             shm = mirror && path_is_below(mirror->target, "/dev/shm");

        if (!engine->unit || !mirror)
                return;
        if (dynamic) {
                finding_add(report, DOCTOR_WARNING, "DynamicUser=yes can give the unit another UID at each start%s",
                            shm ? "; when it stops, systemd removes its files from /dev/shm" : "");
                finding_fix_setting(report, "[Service] DynamicUser=no, and User= with a dedicated user");
        } else if (shm && unit_view_is_on(engine->unit, "Service", "RemoveIPC") && engine->user.uid != 0) {
                finding_add(report, DOCTOR_PROBLEM,
                            "RemoveIPC=yes makes systemd remove all files of %s from /dev/shm when the unit stops, "
                            "also those of the mirror", engine->user.name ? engine->user.name : "its user");
                finding_fix_setting(report, "[Service] RemoveIPC=no");
        } else
                finding_add(report, DOCTOR_OK, "The engine runs as %s",
                            engine->user.name ? engine->user.name : "an unknown user");
}

static bool owner_matters(const EngineFacts *engine) {
        return engine->kind == ENGINE_OLLAMA; /* it sets times and makes hard links, which only the owner may */
}

/* By the permissions of owner and others: the groups of the user are unknown. */
static bool may_read(const EngineFacts *engine, const FactsMirror *mirror) {
        mode_t wanted = S_IROTH | S_IXOTH;

        return engine->user.uid == 0 || !mirror->target_there || engine->user.uid == mirror->target_uid ||
               (mirror->target_mode & wanted) == wanted;
}

void doctor_check_owner(const DoctorFacts *facts, const EngineFacts *engine, DoctorReport *report) {
        const FactsMirror *mirror = facts_engine_mirror(facts, engine);
        _cleanup_(root_view_user_done) RootViewUser owner = { 0 };
        bool readable;
        uid_t uid;

        if (!mirror || !engine->user.name || !(mirror->source_there || mirror->target_there))
                return;
        readable = may_read(engine, mirror);
        uid = mirror->source_there && readable ? mirror->source_uid : mirror->target_uid;
        (void) root_view_user(&facts->machine, NULL, uid, &owner);
        if (!readable) {
                finding_add(report, DOCTOR_PROBLEM, "The engine runs as %s, but only %s may read %s",
                            engine->user.name, owner.name ? owner.name : "another user", mirror->config->target);
                finding_fix(report, "chmod o+rx %s", mirror->config->source);
        } else if (owner_matters(engine) && mirror->config->write_back && engine->user.uid != 0 &&
                   engine->user.uid != uid) {
                finding_add(report, DOCTOR_WARNING,
                            "The engine runs as %s, but the models belong to %s; creating a model from them fails",
                            engine->user.name, owner.name ? owner.name : "another user");
                finding_fix(report, "chown -R %s: %s", engine->user.name, mirror->config->source);
        } else
                finding_add(report, DOCTOR_OK, "%s has the access that the engine needs", engine->user.name);
}

void doctor_check_home(const DoctorFacts *facts, const EngineFacts *engine, DoctorReport *report) {
        for (size_t k = 0; k < engine->n_runs; k++) {
                const char *home = engine_variable(engine->runs[k].environment, "HF_HOME");
                const FactsMirror *inside = NULL;

                if (!home)
                        continue;
                for (size_t m = 0; m < facts->n_mirrors; m++)
                        if (path_is_below(home, facts->mirrors[m].config->target) ||
                            path_is_below(home, facts->mirrors[m].target))
                                inside = &facts->mirrors[m];
                if (inside) {
                        finding_add(report, DOCTOR_WARNING,
                                    "HF_HOME=%s is in the mirror; its login token and chunk cache are in RAM%s",
                                    home, inside->config->write_back ? " and are saved with the models" : "");
                        finding_fix(report,
                                    "systemctl edit %s: [Service] Environment=HF_HUB_CACHE=%s instead of HF_HOME=",
                                    engine->name, inside->config->target);
                } else
                        finding_add(report, DOCTOR_OK, "HF_HOME is outside the mirrors");
                break;
        }
}
