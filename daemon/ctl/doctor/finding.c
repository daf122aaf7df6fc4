/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The findings of doctor's checks. See ctl/doctor/finding.h. */

#include "ctl/doctor/finding.h"

#include "base/array.h"
#include "base/text.h"

void finding_add(DoctorReport *report, DoctorVerdict verdict, const char *format, ...) {
        DoctorFinding *finding;
        va_list arguments;

        if (ARRAY_ROOM(report->findings, report->n_findings) < 0) {
                report->failed = true;
                return;
        }
        finding = &report->findings[report->n_findings++];
        *finding = (DoctorFinding){ .check = report->check, .verdict = verdict,
                                    .subject = report->subject ? strdup(report->subject) : NULL };
        va_start(arguments, format);
        finding->reason = text_vformat(format, arguments);
        va_end(arguments);
        report->failed = report->failed || !finding->reason || (report->subject && !finding->subject);
}

void finding_fix(DoctorReport *report, const char *format, ...) {
        va_list arguments;

        if (report->failed || report->n_findings == 0)
                return;
        va_start(arguments, format);
        report->findings[report->n_findings - 1].fix = text_vformat(format, arguments);
        va_end(arguments);
        report->failed = !report->findings[report->n_findings - 1].fix;
}

void finding_fix_setting(DoctorReport *report, const char *format, ...) {
        _cleanup_(freep) char *text = NULL;
        va_list arguments;

        va_start(arguments, format);
        text = text_vformat(format, arguments);
        va_end(arguments);
        if (!text)
                report->failed = true;
        else if (report->unit)
                finding_fix(report, "systemctl edit %s: %s", report->unit, text);
        else
                finding_fix(report, "restart it: %s", text);
}

void finding_report_done(DoctorReport *report) {
        for (size_t i = 0; i < report->n_findings; i++) {
                free(report->findings[i].subject);
                free(report->findings[i].reason);
                free(report->findings[i].fix);
        }
        free(report->findings);
        *report = (DoctorReport){ 0 };
}
