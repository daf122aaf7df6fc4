/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Carries out what an operator asks of one mirror. An operation changes the mirror's overrides (or hurries its save
 * queue), requests a scan, and watches what comes of it: what is done to files the plan decides, as always. So an
 * operation takes two scans: the first resolves its names, the second plans with what the operation changed. Loop
 * thread only.
 *
 * Names are relative to the root of the mirror: files, directories (with all that is below), or models by their
 * client's names (see plan/select.h; globs as there). A set (a split model) is taken as a whole. In an Ollama store
 * the name of a model, or the path of its manifest, includes the blobs that the manifest names; in a Hugging Face
 * cache the name of a repository includes all of it, and a link of a snapshot the blob that it leads to.
 *
 * OPERATION_RELEASE  Frees the RAM of what is named, as if Models= and Include= had not selected it.
 *     - What remains in the mirror: in an Ollama store manifests, and links to the disk in place of blobs that no
 *       other model in RAM needs, so that Ollama still lists and loads the model. In a Hugging Face cache nothing
 *       (never links: "hf cache rm" would follow them). Elsewhere nothing, or with OnNoRoom=link a link to the disk.
 *     - The disk is never touched, and nothing of it counts as a deletion.
 *     - It holds until OPERATION_STAGE, until a client puts a file there again, or until the daemon is restarted. A
 *       reload does not end it. A file that a client brought is released like any other.
 *     - Only clean files are released: the same on disk, nothing waiting to be saved, no conflict. If one file is not
 *       clean, the operation fails with names and reasons, and nothing at all has changed.
 *     - Without names: refused. Done when the RAM is free.
 *
 * OPERATION_STAGE  Brings what is named into RAM: undoes a release, stages what Models= or Include= did not select
 *     (until the daemon is restarted; what Exclude= names stays out), and retries files that were withheld or skipped
 *     for want of room.
 *     - Without names: all that was released, and all that is withheld or skipped.
 *     - Done when it is in RAM and verified. Fails with the reason when that is impossible; if for want of room, the
 *       overrides are as they were before.
 *
 * OPERATION_ACCEPT  Overrides a safety check, for exactly what is named:
 *     - a withheld file whose bytes on disk differ from the recorded digest, at an unchanged size and time: the
 *       disk's bytes are recorded as right from now on;
 *     - a withheld file whose name states another digest: it is staged, for as long as it stays that file (size,
 *       time, inode);
 *     - a rejected file of the mirror (wrong structure or digest, or it lacks what it names): it is saved as it is;
 *     - deletions that the mass-deletion guard held back: those that are named, are below a named directory or belong
 *       to a named model are carried out, in the mirror (where they were staged again) and on the disk as Deletes=
 *       says. A file that changed since, on either side, is kept;
 *     - a version kept aside in conflicts/: it is no longer reported (by the name of the file, or by its path in
 *       conflicts/).
 *     Without names: all deletions held back; if there are none, every conflict. Refused if a name has nothing to
 *     accept. What was accepted, and by whom, is logged. Done when it has taken effect.
 *
 * OPERATION_SYNC  Saves what is unsaved now, without waiting for it to settle. A file that is open for writing is
 *     still waited for, and deletions wait the few seconds that they always wait. Names are ignored. Done when all
 *     that was unsaved at the time is on disk; fails, when the rest is, with the reasons for what cannot be saved.
 *
 * OPERATION_VERIFY  Reads the copies in RAM again, at full speed, and compares them with their recorded digests
 *     (without names: all copies). Damaged files are reported and handled as Scrub= does (see mirror/scrub.h): they
 *     are staged again. Fails if a file was damaged; the report names it.
 *
 * A mirror that has not opened source and tmpfs yet, is stopping, or has failed, refuses. Any number of operations
 * may run at a time; each ends by itself. */

#include "base/base.h"
#include "mirror/mirror.h"

typedef enum OperationKind {
        OPERATION_STAGE, OPERATION_RELEASE, OPERATION_ACCEPT, OPERATION_SYNC, OPERATION_VERIFY
} OperationKind;

typedef struct Operation Operation;

typedef struct OperationStatus {
        bool over, failed;
        uint64_t done, total; /* bytes; total 0: not known */
        /* sentences without a full stop: what was done, found, refused; NULL-terminated, never NULL; borrowed until
         * the next call */
        char *const *report;
        size_t n_report; /* it only grows */
} OperationStatus;

/* @names: NULL-terminated; empty: see above. @who: for the log ("uid 1000 (pid 77, shmstagectl)"). 0 and an Operation
 * to be freed, which may outlive the mirror; or OPERATION_REFUSED with a sentence why (a new string), and nothing was
 * changed; or -ENOMEM. */
enum { OPERATION_REFUSED = 1 };
int control_operation_new(Operation **ret, Mirror *mirror, OperationKind kind, char *const *names, const char *who,
                          char **ret_refusal);

/* @mirror: that of control_operation_new(), NULL if it was removed meanwhile. */
OperationStatus control_operation_status(Operation *operation, Mirror *mirror);

/* An operation that is not over goes on without its owner. */
Operation *control_operation_free(Operation *operation);
DEFINE_CLEANUP(Operation, control_operation_free)
