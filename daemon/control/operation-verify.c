/* SPDX-License-Identifier: GPL-2.0-or-later */

/* OPERATION_VERIFY: reads the copies in RAM again. See control/operation.h.
 *
 * A worker of the savers' pool reads them, a slice at a time, so that saves can get in between and a stop waits for
 * one slice only. What it finds goes to scrub, which decides whether it is damage. The job owns itself: it outlives
 * the operation if that ends early, and the mirror does not end before it (Mirror.n_rechecks). */

#include "control/operation-internal.h"

#include "base/text.h"
#include "mirror/scrub-pass.h"

#define SLICE_BYTES (64 * MIB)

struct Recheck {
        Job job;              /* first */
        Mirror *mirror;
        Operation *operation; /* NULL: it has ended early */
        ScrubPass *pass;      /* the worker's while the job is out */
        int mirrorfd;         /* borrowed */
        uint64_t cost;
        int result;
        bool changed;
        ScrubFinding finding;
        size_t n_damaged;
        atomic_bool cancel;
};

void control_operation_detach_recheck(Recheck *recheck) {
        recheck->operation = NULL;
        atomic_store(&recheck->cancel, true);
}

static void recheck_free(Recheck *recheck) {
        scrub_pass_finding_done(&recheck->finding);
        (void) scrub_pass_free(recheck->pass);
        free(recheck);
}

static void run(Job *job) {
        Recheck *recheck = (Recheck *) job;

        recheck->cost = 0;
        recheck->result = scrub_pass_read(recheck->pass, recheck->mirrorfd, SLICE_BYTES, &recheck->cancel,
                                          &recheck->cost, &recheck->finding, &recheck->changed);
}

/* Scrub logs the finding when it has judged it. */
static void report(Recheck *recheck) {
        Operation *operation = recheck->operation;
        char path[TEXT_PATH_MAX];

        recheck->n_damaged++;
        if (operation && recheck->finding.error != 0)
                control_operation_report(operation, "Failed to read '%s' in RAM: %s",
                                         text_path(path, recheck->finding.entry.path),
                                         strerror(recheck->finding.error));
        else if (operation)
                control_operation_report(operation,
                                         "'%s' in RAM is corrupted: its bytes have changed, but its size and time "
                                         "have not",
                                         text_path(path, recheck->finding.entry.path));
        scrub_report(&recheck->mirror->scrub, &recheck->finding);
}

static void end(Recheck *recheck) {
        Operation *operation = recheck->operation;
        Mirror *m = recheck->mirror;
        char bytes[TEXT_BYTES_MAX];
        size_t n = scrub_pass_files(recheck->pass);

        if (operation) {
                operation->recheck = NULL;
                if (recheck->result < 0)
                        control_operation_report(operation, "Verification failed: %s", strerror(-recheck->result));
                else
                        control_operation_report(operation, "Mirror '%s': verified %zu %s (%s) in RAM, %zu "
                                                            "corrupted%s",
                                                 m->config.name, n, n == 1 ? "file" : "files",
                                                 text_bytes(bytes, scrub_pass_bytes(recheck->pass)),
                                                 recheck->n_damaged,
                                                 recheck->n_damaged > 0 ? "; see the journal for their repair"
                                                                        : "");
                operation->done = operation->total;
                control_operation_end(operation, recheck->result < 0 || recheck->n_damaged > 0);
        }
        recheck_free(recheck);
        mirror_recheck_ended(m);
}

static void done(Job *job) {
        Recheck *recheck = (Recheck *) job;
        Operation *operation = recheck->operation;

        if (recheck->changed)
                mirror_state_want_scan(recheck->mirror);
        if (operation)
                operation->done = MIN(operation->total, operation->done + recheck->cost);
        if (recheck->result == SCRUB_PASS_FOUND)
                report(recheck);
        if (recheck->result > 0)
                pool_submit(recheck->mirror->context->savers, &recheck->job);
        else
                end(recheck);
}

static int start(Operation *operation, Mirror *m, const PathSet *chosen) {
        Recheck *recheck = calloc(1, sizeof(*recheck));
        int r = recheck ? scrub_pass_new_of(&recheck->pass, m->attachment.base, chosen) : -ENOMEM;

        if (r < 0) {
                free(recheck);
                return r;
        }
        recheck->job = (Job){ .run = run, .done = done };
        recheck->mirror = m;
        recheck->operation = operation;
        recheck->mirrorfd = m->attachment.mount.fd;
        operation->recheck = recheck;
        operation->total = scrub_pass_bytes(recheck->pass);
        operation->phase = OPERATION_PLANNED;
        mirror_recheck_began(m);
        pool_submit(m->context->savers, &recheck->job);
        return 0;
}

static void on_event(Operation *operation, Mirror *m, MirrorEvent event) {
        if (event != MIRROR_SCANNED || operation->phase != OPERATION_REQUESTED ||
            (*operation->names && !control_operation_take_answer(operation, m)))
                return;
        if (start(operation, m, *operation->names ? &operation->concerned : NULL) < 0)
                control_operation_fail(operation, "Out of memory");
}

int control_operation_verify(Operation *operation, Mirror *m) {
        operation->on_event = on_event;
        if (*operation->names)
                return control_operation_request(operation, m);
        mirror_state_want_scan(m); /* so that files which a client has changed are not taken for damaged */
        return 0;
}
