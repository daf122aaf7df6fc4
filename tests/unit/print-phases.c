/* SPDX-License-Identifier: GPL-2.0-or-later */

/* For phases.py: every phase of a mirror as "name<TAB>state<TAB>next,next,...", in their order. */

#include "mirror/phase.h"

int main(void) {
        for (unsigned phase = 0; phase < MIRROR_PHASES; phase++) {
                const char *comma = "";

                (void) printf("%s\t%s\t", mirror_phase_name(phase),
                              mirror_status_state_name(mirror_phase_state(phase)));
                for (unsigned next = 0; next < MIRROR_PHASES; next++)
                        if (mirror_phase_may_go(phase, next)) {
                                (void) printf("%s%s", comma, mirror_phase_name(next));
                                comma = ",";
                        }
                (void) puts("");
        }
        return 0;
}
