/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Prints the names of doctor's checks, for the tests that hold the manual page and the cases against them. */

#include "ctl/doctor/doctor.h"

int main(void) {
        size_t n;
        const DoctorCheck *checks = doctor_checks(&n);

        for (size_t i = 0; i < n; i++)
                (void) printf("%s\n", checks[i].name);
        return 0;
}
