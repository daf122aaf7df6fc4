/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Verify. See control/operation-verify.h.
 *
 * The files are read by a saver, a slice at a time, so that saves can get in between and a stop waits for one slice only. What is found goes to scrub, which judges it. The job belongs to itself: it
 * outlives the wish, and the mirror waits for it (Mirror.n_rechecks). */

#include "control/operation-verify.h"

#include "base/text.h"
#include "mirror/scrub-pass.h"
#include "mirror/shutdown.h"

#define SLICE_BYTES (64 * MIB)

struct Recheck {
        Job job;           /* first */
        Mirror *mirror;
        Steer *steer;      /* NULL: nobody waits for it any more */
        ScrubPass *pass;   /* the job has it while it is out */
        int mirrorfd;      /* borrowed */
        uint64_t cost;
        int result;
        bool changed;
        ScrubFinding finding;
        size_t n_damaged;
        atomic_bool cancel;
};

/* The mirror ends, and does not wait for all of it. */
static void let_go(Recheck *recheck) {
        recheck->steer = NULL;
        atomic_store(&recheck->cancel, true);
}

static void recheck_free(Recheck *recheck) {
        scrubpass_finding_done(&recheck->finding);
        (void) scrubpass_free(recheck->pass);
        free(recheck);
}

static void run(Job *job) {
        Recheck *recheck = (Recheck *) job;

        recheck->cost = 0;
        recheck->result = scrubpass_read(recheck->pass, recheck->mirrorfd, SLICE_BYTES, &recheck->cancel, &recheck->cost, &recheck->finding, &recheck->changed);
}

/* It has found something: that is told by scrub when it has judged it. */
static void report(Recheck *recheck) {
        Steer *steer = recheck->steer;
        char path[TEXT_PATH_MAX];

        recheck->n_damaged++;
        if (steer && recheck->finding.error != 0)
                steer_say(steer, "'%s' in RAM cannot be read any more: %s", text_path(path, recheck->finding.entry.path), strerror(recheck->finding.error));
        else if (steer)
                steer_say(steer, "'%s' in RAM is damaged: its bytes are not those that were verified, though its size and time are", text_path(path, recheck->finding.entry.path));
        scrub_report(&recheck->mirror->scrub, &recheck->finding);
}

static void end(Recheck *recheck) {
        Steer *steer = recheck->steer;
        Mirror *m = recheck->mirror;
        char bytes[TEXT_BYTES_MAX];
        size_t n = scrubpass_files(recheck->pass);

        if (steer) {
                steer->recheck = NULL;
                if (recheck->result < 0)
                        steer_say(steer, "It was given up: %s", strerror(-recheck->result));
                else
                        steer_say(steer, "Mirror '%s': %zu %s (%s) read in RAM, %zu damaged%s", m->config.name, n, n == 1 ? "file" : "files",
                                  text_bytes(bytes, scrubpass_bytes(recheck->pass)), recheck->n_damaged, recheck->n_damaged > 0 ? ": see the journal for what becomes of them" : "");
                steer->done = steer->total;
                steer_end(steer, recheck->result < 0 || recheck->n_damaged > 0);
        }
        recheck_free(recheck);
        m->n_rechecks--;
        mirrorend_on_saved(m);
}

static void done(Job *job) {
        Recheck *recheck = (Recheck *) job;
        Steer *steer = recheck->steer;

        if (recheck->changed)
                mirrorstate_want_look(recheck->mirror);
        if (steer)
                steer->done = MIN(steer->total, steer->done + recheck->cost);
        if (recheck->result == SCRUBPASS_FOUND)
                report(recheck);
        if (recheck->result > 0)
                pool_submit(recheck->mirror->context->savers, &recheck->job);
        else
                end(recheck);
}

static int start(Steer *steer, Mirror *m, const PathSet *chosen) {
        Recheck *recheck = calloc(1, sizeof(*recheck));
        int r = recheck ? scrubpass_new_of(&recheck->pass, m->attachment.base, chosen) : -ENOMEM;

        if (r < 0) {
                free(recheck);
                return r;
        }
        recheck->job = (Job){ .run = run, .done = done };
        recheck->mirror = m;
        recheck->steer = steer;
        recheck->mirrorfd = m->attachment.mount.fd;
        steer->recheck = recheck;
        steer->total = scrubpass_bytes(recheck->pass);
        steer->phase = STEER_PLANNED;
        m->n_rechecks++;
        pool_submit(m->context->savers, &recheck->job);
        return 0;
}

static void hear(Steer *steer, Mirror *m, MirrorEvent event) {
        const Answer *answer;

        if (event != MIRROR_LOOKED || steer->phase != STEER_ASKED || (*steer->names && !steer_take_answer(steer, m, &answer)))
                return;
        if (start(steer, m, *steer->names ? &steer->concerned : NULL) < 0) {
                steer_say(steer, "Memory ran out");
                steer_end(steer, true);
        }
}

int steerverify_begin(Steer *steer, Mirror *m) {
        steer->hear = hear;
        steer->let_go = let_go;
        if (*steer->names) {
                steer->request = wishes_request(&m->wishes, steer->names);
                if (steer->request == 0)
                        return -ENOMEM;
                steer->n_requests = 1;
        }
        mirrorstate_want_look(m); /* by which what somebody has changed is known */
        return 0;
}
