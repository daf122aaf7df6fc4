/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Knowledge about engines: names, locations of models, and settings that copy or lock them. */

#include "ctl/doctor/engine.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define WORDS(...) ((char *const *) (const char *const[]){ __VA_ARGS__, NULL })

static void a_unit_is_known_by_its_name(void **state) {
        (void) state;
        assert_int_equal(engine_of_unit("ollama.service"), ENGINE_OLLAMA);
        assert_int_equal(engine_of_unit("llama-server@7b.service"), ENGINE_LLAMA_SERVER);
        assert_int_equal(engine_of_unit("VLLM-openai.service"), ENGINE_VLLM);
        assert_int_equal(engine_of_unit("ollama-backup.service"), ENGINE_OTHER);
        assert_int_equal(engine_of_unit("sshd.service"), ENGINE_OTHER);
}

static void a_command_is_known_by_its_program_or_the_module_that_python_runs(void **state) {
        static char *const none[] = { NULL };

        (void) state;
        assert_int_equal(engine_of_command(WORDS("/opt/bin/llama-server", "-m", "/a")), ENGINE_LLAMA_SERVER);
        assert_int_equal(engine_of_command(WORDS("python3", "-m", "vllm.entrypoints.openai.api_server")), ENGINE_VLLM);
        assert_int_equal(engine_of_command(WORDS("/usr/bin/python3.11", "-u", "/opt/koboldcpp.py")), ENGINE_KOBOLDCPP);
        assert_int_equal(engine_of_command(WORDS("python3", "/opt/backup.py", "vllm")), ENGINE_OTHER);
        assert_int_equal(engine_of_command(WORDS("cat", "ollama")), ENGINE_OTHER);
        assert_int_equal(engine_of_command(none), ENGINE_OTHER);
}

/* The location with this setting has this path. */
static void assert_location(EngineKind kind, char *const *arguments, char *const *environment, const char *home,
                            const char *setting, const char *path, bool automatic) {
        _cleanup_(engine_locations_done) EngineLocations locations = { 0 };
        bool found = false;

        assert_int_equal(engine_locations(kind, arguments, environment, home, &locations), 0);
        for (size_t i = 0; i < locations.n; i++)
                found = found || (string_equal(locations.items[i].setting, setting) &&
                                  string_equal(locations.items[i].path, path) &&
                                  locations.items[i].automatic == automatic);
        assert_int_equal(found, path != NULL);
}

static void paths_are_found_in_command_lines_and_environments(void **state) {
        (void) state;
        assert_location(ENGINE_LLAMA_SERVER, WORDS("x", "--model", "/m/a.gguf"), NULL, NULL, "--model", "/m/a.gguf",
                        false);
        assert_location(ENGINE_LLAMA_SERVER, WORDS("x", "--model=/m/a.gguf"), NULL, NULL, "--model", "/m/a.gguf",
                        false);
        assert_location(ENGINE_VLLM, WORDS("x", "serve", "/m/a/"), NULL, NULL, "", "/m/a", false);
        assert_location(ENGINE_OLLAMA, WORDS("x", "serve"), WORDS("OLLAMA_MODELS=/m"), "/home/a", "OLLAMA_MODELS",
                        "/m", false);
}

static void hf_home_has_its_models_in_hub_unless_the_cache_is_elsewhere(void **state) {
        (void) state;
        assert_location(ENGINE_VLLM, WORDS("x"), WORDS("HF_HOME=/h"), NULL, "HF_HUB_CACHE", "/h/hub", false);
        assert_location(ENGINE_VLLM, WORDS("x"), WORDS("HF_HOME=/h", "HF_HUB_CACHE=/c"), NULL, "HF_HUB_CACHE", "/c",
                        false);
        assert_location(ENGINE_VLLM, WORDS("x"), WORDS("HF_HOME=/h", "HF_HUB_CACHE=/c"), NULL, "/h/hub", NULL, false);
}

static void the_default_location_counts_unless_it_is_overridden(void **state) {
        EngineLocations locations = { 0 };

        (void) state;
        assert_location(ENGINE_OLLAMA, WORDS("x"), NULL, "/home/a", "OLLAMA_MODELS", "/home/a/.ollama/models", true);
        assert_int_equal(engine_locations(ENGINE_OLLAMA, WORDS("x"), WORDS("OLLAMA_MODELS=/m"), "/home/a", &locations),
                         0);
        assert_int_equal(locations.n, 1);
        engine_locations_done(&locations);
        assert_int_equal(engine_locations(ENGINE_OLLAMA, WORDS("x"), NULL, NULL, &locations), 0);
        assert_int_equal(locations.n, 0);
        engine_locations_done(&locations);
}

static void assert_setting(int (*find)(EngineKind, char *const *, char *const *, char **), EngineKind kind,
                           char *const *arguments, char *const *environment, const char *expected) {
        _cleanup_(freep) char *setting = NULL;

        assert_int_equal(find(kind, arguments, environment, &setting), 0);
        assert_true(string_equal(setting, expected));
}

static int locks(EngineKind kind _unused_, char *const *arguments, char *const *environment, char **ret) {
        return engine_locks(arguments, environment, ret);
}

static void settings_that_copy_a_model_are_named(void **state) {
        (void) state;
        assert_setting(engine_copies, ENGINE_LLAMA_SERVER, WORDS("x", "--no-mmap"), NULL, "--no-mmap");
        assert_setting(engine_copies, ENGINE_LLAMA_SERVER, WORDS("x", "--load-mode", "none"), NULL, "--load-mode none");
        assert_setting(engine_copies, ENGINE_LLAMA_SERVER, WORDS("x", "--load-mode", "mmap"), NULL, NULL);
        assert_setting(engine_copies, ENGINE_LLAMA_SERVER, WORDS("x"), WORDS("LLAMA_ARG_MMAP=off"),
                       "LLAMA_ARG_MMAP=off");
        assert_setting(engine_copies, ENGINE_LLAMA_SERVER, WORDS("x"), WORDS("LLAMA_ARG_MMAP=on"), NULL);
        assert_setting(engine_copies, ENGINE_KOBOLDCPP, WORDS("x"), NULL, "no --usemmap");
        assert_setting(engine_copies, ENGINE_KOBOLDCPP, WORDS("x", "--usemmap"), NULL, NULL);
}

static void settings_that_lock_a_model_are_named(void **state) {
        (void) state;
        assert_setting(locks, ENGINE_LLAMA_SERVER, WORDS("x", "--mlock"), NULL, "--mlock");
        assert_setting(locks, ENGINE_LLAMA_SERVER, WORDS("x", "-lm", "mmap+mlock"), NULL, "-lm mmap+mlock");
        assert_setting(locks, ENGINE_LLAMA_SERVER, WORDS("x"), WORDS("LLAMA_ARG_MLOCK=1"), "LLAMA_ARG_MLOCK=1");
        assert_setting(locks, ENGINE_LLAMA_SERVER, WORDS("x"), WORDS("LLAMA_ARG_MLOCK=0"), NULL);
}

static void advice_changes_the_unit_or_the_command(void **state) {
        const EngineLocation variable = { .setting = (char *) "OLLAMA_MODELS", .variable = true },
                             option = { .setting = (char *) "-m" };
        _cleanup_(freep) char *unit = engine_advice(&variable, "/t", "ollama.service"),
                              *command = engine_advice(&option, "/t/a", NULL),
                              *scope = engine_advice(&variable, "/t", "session-1.scope");

        (void) state;
        assert_string_equal(unit, "systemctl edit ollama.service: [Service] Environment=OLLAMA_MODELS=/t");
        assert_string_equal(command, "restart it with -m /t/a");
        assert_string_equal(scope, "restart it with OLLAMA_MODELS=/t");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_unit_is_known_by_its_name),
                cmocka_unit_test(a_command_is_known_by_its_program_or_the_module_that_python_runs),
                cmocka_unit_test(paths_are_found_in_command_lines_and_environments),
                cmocka_unit_test(hf_home_has_its_models_in_hub_unless_the_cache_is_elsewhere),
                cmocka_unit_test(the_default_location_counts_unless_it_is_overridden),
                cmocka_unit_test(settings_that_copy_a_model_are_named),
                cmocka_unit_test(settings_that_lock_a_model_are_named),
                cmocka_unit_test(advice_changes_the_unit_or_the_command),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
