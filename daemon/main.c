/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The program shmstaged: reads its options and runs the manager. The exit statuses are in shmstaged(8). */

#include "base/claim.h"
#include "base/dirs.h"
#include "base/log.h"
#include "config/config.h"
#include "config/problems.h"
#include "manager.h"
#include "report/preview.h"

#include <getopt.h>
#include <signal.h>

enum { EXIT_BAD_ARGUMENTS = 2, EXIT_BAD_CONFIG = 78 };

typedef enum Mode { MODE_RUN, MODE_PLAN, MODE_CHECK, MODE_EXIT } Mode;

typedef struct Options {
        Mode mode;
        int status; /* of MODE_EXIT */
        ManagerOptions manager;
        LogTarget log_target;
        int log_level;
} Options;

static void print_help(void) {
        (void) printf(
                "%s [OPTIONS...]\n\n"
                "Keep verified copies of model files in RAM.\n\n"
                "  -h --help               Show this help\n"
                "     --version            Show the version\n"
                "     --config=FILE        Read only FILE, not shmstaged.conf and its drop-ins\n"
                "     --root=DIR           Read the configuration below DIR\n"
                "     --plan               Show what would be staged; exit with status 1 if it does not fit\n"
                "     --check-config       Print the effective configuration, or the errors in it (exit status 78)\n"
                "     --log-level=LEVEL    Log messages up to this level: emerg, alert, crit, err, warning, notice,\n"
                "                          info (default) or debug\n"
                "     --log-target=TARGET  Log to journal, console, or auto (default): the journal if standard error\n"
                "                          is connected to it, else the console\n\n"
                "See shmstaged(8) and shmstaged.conf(5).\n", program_invocation_short_name);
}

static int parse_name(const char *text, const char *const *names, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (string_equal(text, names[i]))
                        return (int) i;
        return -1;
}

static int bad_argument(Options *options) {
        options->mode = MODE_EXIT;
        options->status = EXIT_BAD_ARGUMENTS;
        return -EINVAL;
}

static int parse_log(Options *options, int option, const char *value) {
        static const char *const levels[] = { "emerg", "alert", "crit", "err", "warning", "notice", "info", "debug" };
        static const char *const targets[] = { "auto", "console", "journal" };
        int i = option == 'l' ? parse_name(value, levels, ELEMENTSOF(levels))
                              : parse_name(value, targets, ELEMENTSOF(targets));

        if (i < 0) {
                log_error("Invalid option --log-%s=%s; see --help", option == 'l' ? "level" : "target", value);
                return bad_argument(options);
        }
        if (option == 'l')
                options->log_level = i;
        else
                options->log_target = (LogTarget) i;
        return 0;
}

static int parse_option(Options *options, int option) {
        switch (option) {
        case 'h':
                print_help();
                options->mode = MODE_EXIT;
                return 1;
        case 'v':
                (void) printf("shmstaged %s\n", SHMSTAGED_VERSION);
                options->mode = MODE_EXIT;
                return 1;
        case 'c':
                options->manager.config_file = optarg;
                return 0;
        case 'r':
                options->manager.root = optarg;
                return 0;
        case 'p':
                options->mode = MODE_PLAN;
                return 0;
        case 'k':
                options->mode = MODE_CHECK;
                return 0;
        case 'l':
        case 't':
                return parse_log(options, option, optarg);
        }
        return bad_argument(options); /* getopt_long() has printed an error */
}

static void parse_options(int argc, char **argv, Options *ret) {
        static const struct option known[] = {
                { "help", no_argument, NULL, 'h' },         { "version", no_argument, NULL, 'v' },
                { "config", required_argument, NULL, 'c' }, { "root", required_argument, NULL, 'r' },
                { "plan", no_argument, NULL, 'p' },         { "check-config", no_argument, NULL, 'k' },
                { "log-level", required_argument, NULL, 'l' }, { "log-target", required_argument, NULL, 't' },
                {},
        };
        int option;

        while ((option = getopt_long(argc, argv, "h", known, NULL)) != -1)
                if (parse_option(ret, option) != 0)
                        return;
        if (optind < argc) {
                log_error("Unexpected argument '%s'; see --help", argv[optind]);
                (void) bad_argument(ret);
        } else if (ret->manager.config_file && ret->manager.root) {
                log_error("--config= and --root= are mutually exclusive");
                (void) bad_argument(ret);
        }
}

/* The event loop takes these signals. Called before any thread exists, so that none has another mask. */
static void block_signals(void) {
        sigset_t set;

        (void) sigemptyset(&set);
        (void) sigaddset(&set, SIGTERM);
        (void) sigaddset(&set, SIGINT);
        (void) sigaddset(&set, SIGHUP);
        (void) sigprocmask(SIG_BLOCK, &set, NULL);
}

static int run(const Options *options, Config *config) {
        _cleanup_(manager_freep) Manager *manager = NULL;
        const char *what = "start";
        bool stuck = false;
        int r;

        block_signals();
        r = manager_new(&manager, &options->manager, config, &what);
        if (r < 0) {
                log_error("Failed to %s: %s; exiting", what, strerror(-r));
                return EXIT_FAILURE;
        }
        r = manager_run(manager, &stuck);
        if (stuck)
                (void) TAKE_PTR(manager); /* a worker still uses it */
        return r;
}

static int plan(const Config *config) {
        _cleanup_(preview_done) Preview preview = {};
        _cleanup_(freep) char *state = NULL;
        const char *what = "plan";
        int r = dirs_state_directory(&state);

        if (r == 0)
                r = preview_make(config, state, &preview, &what);
        if (r < 0) {
                log_error("Failed to %s: %s", what, strerror(-r));
                return EXIT_FAILURE;
        }
        return preview_print(&preview, stdout);
}

static int check(const Config *config) {
        if (config_print(config, stdout) < 0 || fflush(stdout) != 0) {
                log_error("Failed to print the configuration: %m");
                return EXIT_FAILURE;
        }
        return EXIT_SUCCESS;
}

int main(int argc, char **argv) {
        Options options = { .log_level = LOG_INFO };
        _cleanup_(config_freep) Config *config = NULL;

        log_setup(LOG_TARGET_AUTO, LOG_INFO);
        parse_options(argc, argv, &options);
        if (options.mode == MODE_EXIT)
                return options.status;
        log_setup(options.log_target, options.log_level);
        if (claim_init() < 0) {
                log_error("The installed libgcrypt is older than the one shmstaged was built with; upgrade libgcrypt");
                return EXIT_FAILURE;
        }
        if (config_problems_load(options.manager.config_file, options.manager.root, &config) < 0)
                return EXIT_BAD_CONFIG;
        if (options.mode == MODE_PLAN)
                return plan(config);
        if (options.mode == MODE_CHECK)
                return check(config);
        return run(&options, TAKE_PTR(config));
}
