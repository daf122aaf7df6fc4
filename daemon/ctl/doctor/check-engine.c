/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The checks of each engine: does it wait for its mirror, does it read it, does it see it, does it copy it once
 * more. See ctl/doctor/doctor.h. */

#include "ctl/doctor/doctor.h"

#include "base/path.h"
#include "base/strv.h"
#include "base/text.h"

#include <strings.h>
#include <sys/stat.h>

void doctor_check_unit(const DoctorFacts *facts, DoctorReport *report) {
        for (size_t i = 0; i < facts->n_engines; i++) {
                const FactsEngine *engine = &facts->engines[i];
                const UnitView *unit = engine->unit;

                if (!unit && engine->configured) {
                        doctor_say(report, DOCTOR_PROBLEM, engine->name,
                                   "Engines= names it, and there is no such unit");
                        doctor_fix(report, "systemctl list-unit-files, then correct Engines= in shmstaged.conf");
                } else if (unit && unit->masked && engine->configured) {
                        doctor_say(report, DOCTOR_WARNING, engine->name, "It is masked: it cannot be started");
                        doctor_fix(report, "systemctl unmask %s", engine->name);
                } else if (engine->unread)
                        doctor_say(report, DOCTOR_NOTE, engine->name,
                                   "%s cannot be read%s: what it sets is not known here", engine->unread,
                                   facts->all_processes ? "" : " by you");
                else if (unit && unit->wrong) {
                        doctor_say(report, DOCTOR_WARNING, engine->name, "systemd passes over a line: %s",
                                   unit->wrong[0]);
                        doctor_fix(report, "correct that line (a setting needs its [Section] above it), then "
                                           "systemctl daemon-reload");
                } else if (unit)
                        doctor_say(report, DOCTOR_OK, engine->name, "%s", unit->path);
        }
}

void doctor_check_order(const DoctorFacts *facts, DoctorReport *report) {
        static const char ours[] = "shmstaged.service";

        for (size_t i = 0; i < facts->n_engines; i++) {
                const FactsEngine *engine = &facts->engines[i];
                const FactsMirror *mirror = facts_engine_mirror(facts, engine);
                bool requires = unit_view_refers_to(engine->unit, "Requires", ours) ||
                                unit_view_refers_to(engine->unit, "BindsTo", ours);
                bool after = unit_view_refers_to(engine->unit, "After", ours),
                     wants = unit_view_refers_to(engine->unit, "Wants", ours);

                if (!engine->unit || !mirror)
                        continue;
                if (requires && after)
                        doctor_say(report, DOCTOR_OK, engine->name,
                                   "It starts after shmstaged.service and stops before it");
                else if (wants && after) {
                        doctor_say(report, DOCTOR_WARNING, engine->name,
                                   "It waits for shmstaged.service (Wants=), but starts without a mirror if that "
                                   "fails, and goes on when the mirror is taken away");
                        doctor_fix_setting(report, engine, "[Unit] Requires=shmstaged.service");
                } else {
                        doctor_say(report, DOCTOR_PROBLEM, engine->name,
                                   "It does not wait for shmstaged.service (%s missing): it may start on a mirror "
                                   "that is empty or not whole%s",
                                   requires || wants ? "After="
                                   : after           ? "Requires="
                                                     : "Requires= and After=",
                                   engine->kind == ENGINE_OLLAMA ? ", and deletes what no manifest names yet" : "");
                        if (engine->configured)
                                doctor_fix(report, "systemctl daemon-reload && systemctl restart %s", engine->name);
                        else
                                doctor_fix(report,
                                           "Engines=%s in [Mirror %s], then systemctl daemon-reload && systemctl "
                                           "restart %s",
                                           engine->name, mirror->config->name, engine->name);
                }
        }
}

/* llama-swap has the command lines of its engines in a file. True if one of them reads the disk. */
static bool file_names_source(const DoctorFacts *facts, const FactsRun *run, const FactsMirror *mirror,
                              const char **ret_file) {
        for (size_t i = 0; run->kind == ENGINE_LLAMA_SWAP && i < run->n_locations; i++) {
                _cleanup_(freep) char *text = NULL, *wanted = NULL;

                if (!strstr(run->locations[i].setting, "config") ||
                    root_view_read(&facts->machine, run->locations[i].path, MIB, &text) < 0)
                        continue;
                if (asprintf(&wanted, "%s/", mirror->config->source) < 0) {
                        wanted = NULL;
                        continue;
                }
                *ret_file = run->locations[i].path;
                if (strstr(text, wanted))
                        return true;
        }
        return false;
}

/* True if this run reads the disk although there is a mirror of it, which is told. */
static bool explain_disk(const DoctorFacts *facts, const FactsEngine *engine, const FactsRun *run,
                         const FactsMirror *mirror, DoctorReport *report) {
        const EngineLocation *location = facts_run_location(run, mirror->source);
        _cleanup_(freep) char *better = NULL, *advice = NULL;
        const char *file = NULL;
        char who[64] = "";

        if (run->pid > 0)
                (void) snprintf(who, sizeof(who), " (process %d)", run->pid);
        if (location && !path_is_below(location->path, mirror->target)) {
                better = facts_move_path(location->path, mirror->source, mirror->config->target);
                advice = better ? engine_advice(location, better, engine->unit ? engine->name : NULL) : NULL;
                doctor_say(report, DOCTOR_PROBLEM, engine->name, "It reads the disk, not the mirror%s: %s%s%s", who,
                           location->setting,
                           location->automatic  ? " is not set, so it looks in "
                           : location->variable ? "="
                                                : " ",
                           location->path);
                doctor_fix(report, "%s", advice ? advice : "");
                report->failed = report->failed || !advice;
                return true;
        }
        if (!file_names_source(facts, run, mirror, &file))
                return false;
        doctor_say(report, DOCTOR_PROBLEM, engine->name,
                   "%s starts engines on the disk, not on the mirror: it names paths below %s", file,
                   mirror->config->source);
        doctor_fix(report, "sed -i 's,%s/,%s/,g' %s", mirror->config->source, mirror->config->target, file);
        return true;
}

static void check_place_of(const DoctorFacts *facts, const FactsEngine *engine, DoctorReport *report) {
        const FactsMirror *mirror = facts_engine_mirror(facts, engine);
        bool log_once = false, hidden = false;

        for (size_t k = 0; k < facts->n_mirrors; k++)
                for (size_t i = 0; i < engine->n_runs; i++)
                        log_once =
                                explain_disk(facts, engine, &engine->runs[i], &facts->mirrors[k], report) || log_once;
        for (size_t i = 0; i < engine->n_runs; i++)
                hidden = hidden || engine->runs[i].hidden;
        if (log_once || facts->n_mirrors == 0)
                return;
        if (mirror && facts_engine_reads(engine, mirror->target))
                doctor_say(report, DOCTOR_OK, engine->name, "It reads the mirror, %s", mirror->config->target);
        else if (!mirror) {
                doctor_say(report, DOCTOR_NOTE, engine->name, "It is here, and no mirror is for it");
                doctor_fix(report, "Engines=%s in the [Mirror] of its models", engine->unit ? engine->name : "UNIT");
        } else if (hidden || engine->n_runs == 0)
                doctor_say(report, DOCTOR_NOTE, engine->name, "Where it looks for models cannot be seen%s",
                           facts->all_processes ? "" : " by you");
        else {
                doctor_say(report, DOCTOR_WARNING, engine->name,
                           "Nothing in its command line and environment names the mirror %s", mirror->config->target);
                if (engine->kind == ENGINE_OLLAMA)
                        doctor_fix(report, "systemctl edit %s: [Service] Environment=OLLAMA_MODELS=%s", engine->name,
                                   mirror->config->target);
                else if (mirror->config->layout == LAYOUT_HUGGINGFACE)
                        doctor_fix(report, "systemctl edit %s: [Service] Environment=HF_HUB_CACHE=%s", engine->name,
                                   mirror->config->target);
                else
                        doctor_fix(report, "systemctl edit %s: let it load its models from %s", engine->name,
                                   mirror->config->target);
        }
}

void doctor_check_place(const DoctorFacts *facts, DoctorReport *report) {
        for (size_t i = 0; i < facts->n_engines; i++)
                check_place_of(facts, &facts->engines[i], report);
}

/* "/dev/shm:size=1M", "-/a:/b:rbind": the paths of a list of mounts. @second: the place, where two are given. */
static bool lists_path(const UnitView *unit, const char *key, bool second, const char *path, const char *stop_at) {
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
                found = found || (path_is_below(path, place) && !(stop_at && path_is_below(stop_at, path)));
        }
        return found;
}

/* What of the unit takes the path out of sight: the name of the setting, NULL for nothing. */
static const char *find_blind(const UnitView *unit, const char *path) {
        static const char *const lists[] = { "TemporaryFileSystem", "InaccessiblePaths" };
        static const char *const roots[] = { "RootDirectory", "RootImage" };
        const char *home = unit_view_value(unit, "Service", "ProtectHome");

        if (lists_path(unit, "BindPaths", true, path, NULL) || lists_path(unit, "BindReadOnlyPaths", true, path, NULL))
                return NULL;
        for (size_t i = 0; i < ELEMENTSOF(lists); i++)
                if (lists_path(unit, lists[i], false, path, NULL))
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

void doctor_check_sight(const DoctorFacts *facts, DoctorReport *report) {
        for (size_t i = 0; i < facts->n_engines; i++) {
                const FactsEngine *engine = &facts->engines[i];

                for (size_t k = 0; engine->unit && k < facts->n_mirrors; k++) {
                        const FactsMirror *mirror = &facts->mirrors[k];
                        const char *target = mirror->config->target, *blind = find_blind(engine->unit, target);

                        if (!facts_engine_uses(engine, mirror))
                                continue;
                        if (!blind) {
                                doctor_say(report, DOCTOR_OK, engine->name, "Its sandbox lets it see %s", target);
                                continue;
                        }
                        doctor_say(report, DOCTOR_PROBLEM, engine->name,
                                   "%s= in its unit takes %s out of its sight: it finds an empty directory, or none",
                                   blind, target);
                        if (facts_engine_is_wired(engine, mirror))
                                doctor_fix(
                                        report,
                                        "systemctl daemon-reload, which adds BindPaths=%s, and systemctl restart %s",
                                        target, engine->name);
                        else
                                doctor_fix(report, "systemctl edit %s: [Service] BindPaths=%s", engine->name, target);
                }
        }
}

void doctor_check_dynamic_user(const DoctorFacts *facts, DoctorReport *report) {
        for (size_t i = 0; i < facts->n_engines; i++) {
                const FactsEngine *engine = &facts->engines[i];
                const FactsMirror *mirror = facts_engine_mirror(facts, engine);
                bool dynamic = unit_view_is_on(engine->unit, "Service", "DynamicUser"),
                     shm = mirror && path_is_below(mirror->target, "/dev/shm");

                if (!engine->unit || !mirror)
                        continue;
                if (dynamic) {
                        doctor_say(report, DOCTOR_WARNING, engine->name,
                                   "DynamicUser=yes: its files belong to another number after each start%s",
                                   shm ? ", and when it stops systemd removes them from /dev/shm" : "");
                        doctor_fix_setting(report, engine, "[Service] DynamicUser=no and User= a user of its own");
                } else if (shm && unit_view_is_on(engine->unit, "Service", "RemoveIPC") && engine->user.uid != 0) {
                        doctor_say(report, DOCTOR_PROBLEM, engine->name,
                                   "RemoveIPC=yes: when it stops, systemd removes the files of %s from /dev/shm, "
                                   "those of the mirror too",
                                   engine->user.name ? engine->user.name : "its user");
                        doctor_fix_setting(report, engine, "[Service] RemoveIPC=no");
                } else
                        doctor_say(report, DOCTOR_OK, engine->name, "It runs as %s",
                                   engine->user.name ? engine->user.name : "a user that is not known here");
        }
}

static bool owner_matters(const FactsEngine *engine) {
        return engine->kind == ENGINE_OLLAMA; /* it changes times and makes links, which only the owner may */
}

/* Only others are looked at: which groups a user is in is not known here. */
static bool may_read(const FactsEngine *engine, const FactsMirror *mirror) {
        mode_t wanted = S_IROTH | S_IXOTH;

        return engine->user.uid == 0 || !mirror->target_there || engine->user.uid == mirror->target_uid ||
               (mirror->target_mode & wanted) == wanted;
}

void doctor_check_owner(const DoctorFacts *facts, DoctorReport *report) {
        for (size_t i = 0; i < facts->n_engines; i++) {
                const FactsEngine *engine = &facts->engines[i];
                const FactsMirror *mirror = facts_engine_mirror(facts, engine);
                _cleanup_(root_view_user_done) RootViewUser owner = { 0 };
                bool readable;
                uid_t uid;

                if (!mirror || !engine->user.name || !(mirror->source_there || mirror->target_there))
                        continue;
                readable = may_read(engine, mirror);
                uid = mirror->source_there && readable ? mirror->source_uid : mirror->target_uid;
                (void) root_view_user(&facts->machine, NULL, uid, &owner);
                if (!readable) {
                        doctor_say(report, DOCTOR_PROBLEM, engine->name, "It runs as %s, and only %s may read %s",
                                   engine->user.name, owner.name ? owner.name : "somebody else",
                                   mirror->config->target);
                        doctor_fix(report, "chmod o+rx %s", mirror->config->source);
                } else if (owner_matters(engine) && mirror->config->write_back && engine->user.uid != 0 &&
                           engine->user.uid != uid) {
                        doctor_say(report, DOCTOR_WARNING, engine->name,
                                   "It runs as %s, and the models belong to %s: creating a model from them fails",
                                   engine->user.name, owner.name ? owner.name : "somebody else");
                        doctor_fix(report, "chown -R %s: %s", engine->user.name, mirror->config->source);
                } else
                        doctor_say(report, DOCTOR_OK, engine->name, "%s may do what it has to with the mirror",
                                   engine->user.name);
        }
}

void doctor_check_home(const DoctorFacts *facts, DoctorReport *report) {
        for (size_t i = 0; i < facts->n_engines; i++) {
                const FactsEngine *engine = &facts->engines[i];

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
                                doctor_say(report, DOCTOR_WARNING, engine->name,
                                           "HF_HOME=%s is in the mirror: the login token and the cache of chunks "
                                           "land in RAM%s",
                                           home,
                                           inside->config->write_back ? ", and are saved beside the models" : "");
                                doctor_fix(report,
                                           "systemctl edit %s: [Service] Environment=HF_HUB_CACHE=%s instead of "
                                           "HF_HOME=",
                                           engine->name, inside->config->target);
                        } else
                                doctor_say(report, DOCTOR_OK, engine->name, "HF_HOME is outside the mirrors");
                        break;
                }
        }
}
