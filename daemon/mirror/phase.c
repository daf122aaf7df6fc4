/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The phases of a mirror's life. See mirror/phase.h. */

#include "mirror/phase.h"

#define TO(phase) (1U << PHASE_##phase)
/* From wherever a mirror is at work: its end, by way of a last scan or, if that is not wanted or it failed, without. */
#define TO_END (TO(LAST_SCAN_DUE) | TO(DRAINING))

typedef struct Phase {
        const char *name;
        MirrorState state;
        unsigned next; /* bits of phases */
} Phase;

/* FAILED follows directly where a stop does not wait for a job that its source holds up: see mirror_abandon(). */
static const Phase phases[MIRROR_PHASES] = {
        [PHASE_ATTACHING] = { "attaching", MIRROR_STARTING, TO(ARMING) | TO_END | TO(FAILED) },
        [PHASE_ARMING] = { "arming", MIRROR_STARTING, TO(SCANNING) | TO_END | TO(FAILED) },
        [PHASE_SCANNING] = { "scanning", MIRROR_SCANNING, TO(PLANNED) | TO(IDLE) | TO_END | TO(FAILED) },
        [PHASE_PLANNED] = { "planned", MIRROR_PLANNED, TO(STAGING) | TO_END },
        [PHASE_STAGING] = { "staging", MIRROR_STAGING, TO(RECORDING) | TO(IDLE) | TO_END | TO(FAILED) },
        [PHASE_RECORDING] = { "recording", MIRROR_STAGING, TO(GUARDING) | TO(IDLE) | TO_END | TO(FAILED) },
        [PHASE_GUARDING] = { "guarding", MIRROR_STAGING, TO(IDLE) | TO_END | TO(FAILED) },
        [PHASE_IDLE] = { "idle", MIRROR_IDLE, TO(SCANNING) | TO_END },
        [PHASE_LAST_SCAN_DUE] = { "last-scan-due", MIRROR_SAVING, TO(LAST_SCAN) | TO(FAILED) },
        [PHASE_LAST_SCAN] = { "last-scan", MIRROR_SAVING, TO(SAVING_REST) | TO(DRAINING) | TO(FAILED) },
        [PHASE_SAVING_REST] = { "saving-rest", MIRROR_SAVING, TO(LAST_SCAN) | TO(DRAINING) | TO(FAILED) },
        [PHASE_DRAINING] = { "draining", MIRROR_SAVING, TO(REMOVING) | TO(DETACHING) | TO(FAILED) },
        [PHASE_REMOVING] = { "removing", MIRROR_REMOVING, TO(DETACHING) },
        [PHASE_DETACHING] = { "detaching", MIRROR_REMOVING, TO(ATTACHING) | TO(STOPPED) | TO(FAILED) },
        [PHASE_STOPPED] = { "stopped", MIRROR_STOPPED, 0 },
        [PHASE_FAILED] = { "failed", MIRROR_FAILED, 0 },
};

const char *mirror_phase_name(MirrorPhase phase) {
        return phases[phase].name;
}

MirrorState mirror_phase_state(MirrorPhase phase) {
        return phases[phase].state;
}

bool mirror_phase_may_go(MirrorPhase phase, MirrorPhase next) {
        return phases[phase].next & 1U << next;
}
