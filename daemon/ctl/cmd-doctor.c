/* SPDX-License-Identifier: GPL-2.0-or-later */

/* shmstagectl doctor: the findings as text, grouped by subject, or as JSON. */

#include "ctl/commands.h"

#include "ctl/doctor/doctor.h"
#include "ctl/json-output.h"
#include "ctl/screen.h"

#include <ctype.h>

enum { TITLE_WIDTH = 13, VERDICT_WIDTH = 8, INDENT = 2 + VERDICT_WIDTH + TITLE_WIDTH + 2 };

static const char *const groups[] = { [DOCTOR_MACHINE] = "machine",
                                      [DOCTOR_SERVICE] = "service",
                                      [DOCTOR_MIRROR] = "mirror",
                                      [DOCTOR_ENGINE] = "engine" };

/* Prints @text: on a terminal wrapped and indented, with @used columns of the first line taken; else on one line. */
static void print_wrapped(const Screen *screen, const char *text, size_t used) {
        _cleanup_(freep) char *safe = screen_text(text);
        size_t column = used;

        for (char *rest = NULL, *word = safe ? strtok_r(safe, " ", &rest) : NULL; word;
             word = strtok_r(NULL, " ", &rest)) {
                size_t width = screen_width(word);

                if (screen->terminal && column > INDENT && column + 1 + width > screen->columns) {
                        (void) printf("\n%*s", INDENT, "");
                        column = INDENT;
                } else if (column > used || used > INDENT) {
                        (void) fputc(' ', stdout);
                        column++;
                }
                (void) fputs(word, stdout);
                column += width;
        }
        (void) fputc('\n', stdout);
}

static void print_finding(const Screen *screen, const DoctorFinding *finding) {
        static const ScreenColour colours[] = { [DOCTOR_OK] = SCREEN_GREEN, [DOCTOR_NOTE] = SCREEN_PLAIN,
                                                [DOCTOR_WARNING] = SCREEN_YELLOW, [DOCTOR_PROBLEM] = SCREEN_RED };
        const char *verdict = doctor_verdict_name(finding->verdict);

        (void) printf("  %s%s%s%*s%-*s  ", screen_colour(screen, colours[finding->verdict]), verdict,
                      screen_end(screen), (int) (VERDICT_WIDTH - strlen(verdict)), "", TITLE_WIDTH,
                      finding->check->title);
        print_wrapped(screen, finding->reason, INDENT);
        if (finding->fix) {
                (void) printf("%*s%sFix:%s", INDENT, "", screen_colour(screen, SCREEN_BOLD), screen_end(screen));
                print_wrapped(screen, finding->fix, INDENT + strlen("Fix:"));
        }
}

static bool is_about_same(const DoctorFinding *a, const DoctorFinding *b) {
        return a->check->group == b->check->group && string_equal(a->subject, b->subject);
}

static void print_subject(const Screen *screen, const DoctorReport *report, size_t first, bool *blank) {
        const DoctorFinding *head = &report->findings[first];
        const char *group = groups[head->check->group];
        _cleanup_(freep) char *name = head->subject ? screen_text(head->subject) : NULL;

        (void) printf("%s%s%c%s%s%s%s\n", *blank ? "\n" : "", screen_colour(screen, SCREEN_BOLD), toupper(group[0]),
                      group + 1, name ? " " : "", name ? name : "", screen_end(screen));
        *blank = true;
        for (size_t i = first; i < report->n_findings; i++)
                if (is_about_same(&report->findings[i], head))
                        print_finding(screen, &report->findings[i]);
}

static bool is_first_of_subject(const DoctorReport *report, size_t i) {
        for (size_t k = 0; k < i; k++)
                if (is_about_same(&report->findings[k], &report->findings[i]))
                        return false;
        return true;
}

static int print_text(const DoctorFacts *facts, const DoctorReport *report) {
        Screen screen = screen_of(STDOUT_FILENO);
        size_t count[DOCTOR_PROBLEM + 1] = { 0 };
        bool blank = false;

        for (size_t i = 0; i < report->n_findings; i++)
                count[report->findings[i].verdict]++;
        for (DoctorGroup group = DOCTOR_MACHINE; group <= DOCTOR_ENGINE; group++)
                for (size_t i = 0; i < report->n_findings; i++)
                        if (report->findings[i].check->group == group && is_first_of_subject(report, i))
                                print_subject(&screen, report, i, &blank);
        (void) printf("\n%zu problem%s, %zu warning%s, %zu note%s, %zu ok\n", count[DOCTOR_PROBLEM],
                      count[DOCTOR_PROBLEM] == 1 ? "" : "s", count[DOCTOR_WARNING],
                      count[DOCTOR_WARNING] == 1 ? "" : "s", count[DOCTOR_NOTE], count[DOCTOR_NOTE] == 1 ? "" : "s",
                      count[DOCTOR_OK]);
        if (!facts->all_processes)
                (void) printf("Only your own processes were inspected; run as root to include the others.\n");
        return fflush(stdout) == 0 ? 0 : -errno;
}

static json_t *make_finding(const DoctorFinding *finding) {
        return json_pack("{so,so,ss,so,so,so}", "check", json_output_text(finding->check->name), "verdict",
                         json_output_text(doctor_verdict_name(finding->verdict)), "group",
                         groups[finding->check->group], "subject",
                         finding->subject ? json_output_text(finding->subject) : json_null(), "reason",
                         json_output_text(finding->reason), "fix",
                         finding->fix ? json_output_text(finding->fix) : json_null());
}

static int print_json(const Ctl *ctl, const DoctorReport *report) {
        _cleanup_(json_decrefp) json_t *array = json_array();

        for (size_t i = 0; array && i < report->n_findings; i++)
                if (json_array_append_new(array, make_finding(&report->findings[i])) < 0)
                        return -ENOMEM;
        return json_output_print(ctl, array, stdout);
}

int commands_doctor(const Ctl *ctl, char *const *arguments _unused_) {
        _cleanup_(doctor_facts_done) DoctorFacts facts = { .machine = ROOT_VIEW_NONE };
        _cleanup_(finding_report_done) DoctorReport report = { 0 };
        int r = doctor_facts_read(ctl->root, ctl->config, &facts);

        if (r < 0)
                return screen_fail(CTL_FAILED, "Failed to inspect the machine%s%s: %s", ctl->root ? " below " : "",
                                   ctl->root ? ctl->root : "", strerror(-r));
        r = doctor_run(&facts, &report);
        if (r == 0)
                r = ctl->json != CTL_JSON_OFF ? print_json(ctl, &report) : print_text(&facts, &report);
        if (r < 0)
                return screen_fail(CTL_FAILED, "Failed to print the findings: %s", strerror(-r));
        return doctor_worst(&report) > DOCTOR_NOTE ? CTL_FAILED : CTL_DONE;
}
