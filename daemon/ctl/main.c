/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The program shmstagectl: its command line. A command is a row of the table below and a function of ctl/commands.h;
 * an option is a row, too. tests/unit/ctldocs.py checks manual page and completions against what --help prints. */

#include "ctl/commands.h"

#include "base/log.h"
#include "base/quantity.h"
#include "ctl/screen.h"

#include <getopt.h>
#include <limits.h>
#include <locale.h>

enum { ANY = UINT_MAX, FIRST_VALUE = 256 };

typedef struct Verb {
        const char *name;
        unsigned min, max;     /* arguments */
        Command *run;
        const char *arguments; /* as --help shows them */
        const char *help;
} Verb;

static const Verb verbs[] = {
        { "status", 0, ANY, commands_status, "[MIRROR...]", "Show state, progress, and files that need attention" },
        { "list", 0, ANY, commands_list, "[MIRROR...]", "List files and their states (with --models: models)" },
        { "wait", 0, ANY, commands_wait, "[NAME...]", "Wait until NAMEs are ready (default: the daemon)" },
        { "stage", 0, ANY, commands_stage, "NAME...", "Copy NAMEs to RAM, or retry NAMEs that failed" },
        { "release", 1, ANY, commands_release, "NAME...", "Free the RAM of NAMEs; fail if one is not saved yet" },
        { "accept", 0, ANY, commands_accept, "NAME...",
          "Stage, save or delete NAMEs that a safety check stopped" },
        { "sync", 0, 0, commands_sync, "", "Save all unsaved files without waiting for SettleTime=" },
        { "verify", 0, ANY, commands_verify, "[NAME...]", "Read the copies in RAM again and check their digests" },
        { "reload", 0, 0, commands_reload, "", "Read the configuration again and apply it" },
        { "plan", 0, ANY, commands_plan, "[MIRROR...]",
          "Show what would be staged and whether it fits; needs no daemon" },
        { "users", 0, ANY, commands_users, "[MIRROR...]",
          "List processes that use a mirror, or read mirrored files from the disk" },
        { "doctor", 0, 0, commands_doctor, "", "Check this machine and its engines, and suggest fixes" },
        { "cat-config", 0, 0, commands_cat_config, "",
          "Print the configuration files (with --effective: all settings)" },
        { "metrics", 0, 0, commands_metrics, "", "Print metrics for Prometheus" },
};

typedef enum OptionKind {
        OPTION_HELP, OPTION_VERSION, OPTION_FLAG, OPTION_TEXT, OPTION_SPAN, OPTION_JSON, OPTION_IGNORED,
} OptionKind;

typedef struct Option {
        const char *name, *alias; /* the alias may be NULL */
        OptionKind kind;
        size_t offset;            /* of the field in Ctl */
        const char *verbs;        /* that accept it; after "!": that do not; NULL: all accept it */
        const char *argument;     /* as --help shows it */
        const char *help;
} Option;

#define FIELD(name) offsetof(Ctl, name)

static const Option options[] = {
        { "help", NULL, OPTION_HELP, 0, NULL, "", "Show this help" },
        { "version", NULL, OPTION_VERSION, 0, NULL, "", "Show the version" },
        { "socket", NULL, OPTION_TEXT, FIELD(socket), NULL, "=PATH", "Connect to the daemon at this socket" },
        { "system-bus", NULL, OPTION_FLAG, FIELD(system_bus), NULL, "",
          "Connect to the daemon over the system bus" },
        { "json", NULL, OPTION_JSON, FIELD(json), "!wait cat-config metrics", "[=pretty|short|off]", "Print JSON" },
        { "noheadings", "no-legend", OPTION_FLAG, FIELD(no_headings), "list users plan", "", "Omit table headings" },
        { "output", NULL, OPTION_TEXT, FIELD(output), "list users plan", "=COLUMNS",
          "Print only these columns; +COLUMNS adds to the default" },
        { "bytes", NULL, OPTION_FLAG, FIELD(bytes), "status list plan", "", "Print sizes in bytes" },
        { "no-pager", NULL, OPTION_IGNORED, 0, NULL, "", "Accepted for compatibility; has no effect" },
        { "watch", NULL, OPTION_FLAG, FIELD(watch), "status", "", "Update the status until interrupted" },
        { "models", NULL, OPTION_FLAG, FIELD(models), "list", "", "List models instead of files" },
        { "state", NULL, OPTION_TEXT, FIELD(states), "list", "=STATE[,STATE...]", "List only items in these states" },
        { "timeout", NULL, OPTION_SPAN, FIELD(timeout_usec), "wait", "=SPAN",
          "Give up after SPAN with exit status 124" },
        { "all", NULL, OPTION_FLAG, FIELD(all), "stage accept", "",
          "Apply to all missing files, or all deletions held back" },
        { "no-block", "no-wait", OPTION_FLAG, FIELD(no_block), "stage release accept sync verify reload", "",
          "Do not wait for completion" },
        { "config", NULL, OPTION_TEXT, FIELD(config), "plan users doctor cat-config", "=FILE",
          "Read only FILE, without drop-ins" },
        { "root", NULL, OPTION_TEXT, FIELD(root), "plan users doctor cat-config", "=DIR",
          "Use configuration and system below DIR" },
        { "effective", NULL, OPTION_FLAG, FIELD(effective), "cat-config", "", "Print every setting with its value" },
};

static void print_help(void) {
        (void) printf("%s [OPTIONS...] [COMMAND] [ARGUMENTS...]\n\n"
                      "Inspect and control the daemon that keeps model files in RAM.\n\nCommands:\n",
                      program_invocation_short_name);
        for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
                (void) printf("  %s %-*s %s\n", verbs[i].name, (int) (24 - strlen(verbs[i].name)), verbs[i].arguments,
                              verbs[i].help);
        (void) printf("\nA NAME is a path below a mirror or its source, a path relative to the root of a mirror,\n"
                      "a model by the name that its client uses (\"llama3.1:70b\", \"org/name\"), or a mirror.\n"
                      "Prefix \"MIRROR:\" to select one mirror. The default command is status.\n\nOptions:\n");
        for (size_t i = 0; i < ELEMENTSOF(options); i++) {
                const Option *o = &options[i];
                int used = printf("  %s--%s%s%s%s", o->kind == OPTION_HELP ? "-h " : "", o->name, o->alias ? " --" : "",
                                  o->alias ? o->alias : "", o->argument);

                (void) printf("%*s%s", MAX(28 - used, 1), "", o->help);
                if (o->verbs)
                        (void) printf(" (%s%s)", o->verbs[0] == '!' ? "all but " : "", o->verbs + (o->verbs[0] == '!'));
                (void) fputc('\n', stdout);
        }
        (void) printf("\nSee shmstagectl(1), shmstaged(8) and shmstaged.conf(5).\n");
}

static bool parse_json(const char *value, CtlJson *ret) {
        static const char *const words[] = {
                [CTL_JSON_OFF] = "off", [CTL_JSON_SHORT] = "short", [CTL_JSON_PRETTY] = "pretty"
        };

        if (!value) {
                *ret = CTL_JSON_PRETTY;
                return true;
        }
        for (size_t i = 0; i < ELEMENTSOF(words); i++)
                if (string_equal(value, words[i])) {
                        *ret = (CtlJson) i;
                        return true;
                }
        return false;
}

static bool parse_span(const char *value, uint64_t *ret) {
        if (string_equal(value, "infinity")) {
                *ret = UINT64_MAX;
                return true;
        }
        return quantity_parse_span(value, ret);
}

/* False for an invalid value. */
static bool take_option(Ctl *ctl, const Option *option, const char *value) {
        void *field = (char *) ctl + option->offset;

        switch (option->kind) {
        case OPTION_FLAG:
                *(bool *) field = true;
                return true;
        case OPTION_TEXT:
                *(const char **) field = value;
                return *value;
        case OPTION_SPAN:
                return parse_span(value, field);
        case OPTION_JSON:
                return parse_json(value, field);
        case OPTION_HELP:
        case OPTION_VERSION:
        case OPTION_IGNORED:
                return true;
        }
        return false;
}

/* The rows in the form of getopt_long(): first all names, then all aliases. */
static void list_options(struct option ret[static 2 * ELEMENTSOF(options) + 1]) {
        size_t n = 0;

        for (size_t pass = 0; pass < 2; pass++)
                for (size_t i = 0; i < ELEMENTSOF(options); i++) {
                        const Option *o = &options[i];
                        bool wants = o->kind == OPTION_TEXT || o->kind == OPTION_SPAN;

                        if (pass > 0 && !o->alias)
                                continue;
                        ret[n++] = (struct option){
                                .name = pass == 0 ? o->name : o->alias,
                                .has_arg = o->kind == OPTION_JSON ? optional_argument
                                           : wants                ? required_argument
                                                                  : no_argument,
                                .val = FIRST_VALUE + (int) i,
                        };
                }
        ret[n] = (struct option){};
}

typedef struct Line {
        Ctl ctl;
        const Verb *verb;
        bool given[ELEMENTSOF(options)];
        bool over; /* --help or --version has been printed: there is nothing left to do */
} Line;

static int parse_options(int argc, char **argv, Line *line) {
        struct option known[2 * ELEMENTSOF(options) + 1];
        int value;

        list_options(known);
        while ((value = getopt_long(argc, argv, "h", known, NULL)) != -1) {
                size_t i = value == 'h' ? 0 : (size_t) (value - FIRST_VALUE);

                if (value == '?')
                        return CTL_BAD_ARGUMENTS; /* getopt_long() has printed the reason */
                if (options[i].kind == OPTION_HELP || options[i].kind == OPTION_VERSION) {
                        line->over = true;
                        if (options[i].kind == OPTION_HELP)
                                print_help();
                        else
                                (void) printf("shmstagectl %s\n", SHMSTAGED_VERSION);
                        return CTL_DONE;
                }
                if (!take_option(&line->ctl, &options[i], optarg))
                        return screen_fail(CTL_BAD_ARGUMENTS, "Invalid value '%s' for --%s=; see --help",
                                           optarg ? optarg : "", options[i].name);
                line->given[i] = true;
        }
        return CTL_DONE;
}

static bool lists(const char *words, const char *word) {
        size_t length = strlen(word);

        for (; words && *words; words += strcspn(words, " "), words += strspn(words, " "))
                if (strcspn(words, " ") == length && strncmp(words, word, length) == 0)
                        return true;
        return false;
}

static bool goes_with(const Option *option, const char *verb) {
        if (!option->verbs)
                return true;
        return option->verbs[0] == '!' ? !lists(option->verbs + 1, verb) : lists(option->verbs, verb);
}

static int choose_verb(const char *name, unsigned n_arguments, Line *line) {
        for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
                if (string_equal(verbs[i].name, name))
                        line->verb = &verbs[i];
        if (!line->verb)
                return screen_fail(CTL_BAD_ARGUMENTS, "Unknown command '%s'; see --help", name);
        if (n_arguments < line->verb->min || n_arguments > line->verb->max)
                return screen_fail(CTL_BAD_ARGUMENTS, "Too %s arguments; %s takes %s",
                                   n_arguments < line->verb->min ? "few" : "many", name,
                                   *line->verb->arguments ? line->verb->arguments : "none");
        for (size_t i = 0; i < ELEMENTSOF(options); i++)
                if (line->given[i] && !goes_with(&options[i], name))
                        return screen_fail(CTL_BAD_ARGUMENTS, "Option --%s cannot be used with %s; see --help",
                                           options[i].name, name);
        if (line->ctl.socket && line->ctl.system_bus)
                return screen_fail(CTL_BAD_ARGUMENTS, "--socket= and --system-bus are mutually exclusive");
        if (line->ctl.config && line->ctl.root)
                return screen_fail(CTL_BAD_ARGUMENTS, "--config= and --root= are mutually exclusive");
        return CTL_DONE;
}

int main(int argc, char **argv) {
        static char *const none[] = { NULL };
        Line line = { .ctl.timeout_usec = UINT64_MAX };
        int r;

        /* Only the character set follows the locale: other programs parse the numbers that we print. */
        (void) setlocale(LC_CTYPE, "");
        log_setup(LOG_TARGET_CONSOLE, LOG_WARNING);
        r = parse_options(argc, argv, &line);
        if (r != CTL_DONE || line.over)
                return r;
        r = choose_verb(optind < argc ? argv[optind] : "status", optind < argc ? (unsigned) (argc - optind - 1) : 0,
                        &line);
        if (r != CTL_DONE)
                return r;
        return line.verb->run(&line.ctl, optind < argc ? argv + optind + 1 : none);
}
