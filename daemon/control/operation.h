/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What an operator asks of one mirror. Every wish only leads to another look; what is done about it the plan
 * decides, as about everything else. Loop thread only.
 *
 * Names are relative to the root of the mirror: files, directories (with all that is below), or models by their
 * client's names (see plan/select.h; globs as there). A set (a split model) goes whole. In an Ollama store the name
 * of a model, or the path of its manifest, stands for the blobs that it names too; in a cache of Hugging Face the
 * name of a repository stands for all of it, and a link of a snapshot for the blob that it leads to.
 *
 * OPERATION_RELEASE   Frees the RAM of what is named, as if Models= and Include= had not chosen it. Of an Ollama
 * store the blobs that no other model in RAM needs become links to
 *                 the disk, and the manifests stay, so that Ollama still lists and loads the model, from the disk.
 *                     Of a cache of Hugging Face all that is named is absent (never
 *                 links: "hf cache rm" would follow them). Elsewhere it is absent too, or with OnNoRoom=link a link
 *                     to the disk stands for it. The disk is never touched, and
 *                 nothing of it counts as a deletion. It holds until OPERATION_STAGE, or until a client puts a file
 *                     there again, or until the daemon is started anew; a reload does not end it,
 *                 and that a client had brought the file does not protect from it. Only what is clean is released,
 *                     that is the same on disk, with nothing waiting to be saved and
 *                 nothing in conflict: else it fails, with names and reasons, and nothing at all has changed. No
 *                     names: refused. Done when the RAM is free. OPERATION_STAGE     Brings what is named into RAM:
 *                     undoes a release, stages what Models= or Include= did not choose (until the daemon is started
 *                     anew; what Exclude= names
 *                 stays out), and gives files that were withheld, or for which there was no room, another try. No
 *                     names: everything that was released, and all that is withheld
 *                 or left out. Done when it is in RAM, verified; fails with the reason when it cannot be, and for
 *                     want of room the wish is then forgotten. OPERATION_ACCEPT    The one deliberate way past a
 *                     guard, for exactly what is named:
 *                   a withheld file whose bytes on disk are not those on record, at an unchanged size and time: the
 *                       disk's bytes as they are now are the truth from now on;
 *                   a withheld file whose name states another digest: it is staged all the same, for as long as it
 *                       stays that file (size, time, inode);
 *                   a file of the mirror that is never saved as it is, because its structure or digest is wrong, or
 *                       it lacks what it names: it is saved as it is;
 *                   deletions that were held back: of the names of that wave those that are named, or are below a
 *                       named directory, or belong to a named model, are deleted
 *                     after all: in the mirror, if they were staged again, and on the disk as Deletes= says. What
 *                         was changed since, on either side, is not;
 *                   a version that was kept aside in conflicts/: it is told no more (by the name of the file, or its
 *                       path in conflicts/).
 *                 No names: the wave of deletions as a whole; if there is none, every conflict. With nothing to
 *                     accept under a name: refused. What was accepted, and by whom, is logged. Done
 *                 when it has come about. OPERATION_SYNC      What is unsaved is saved now, without waiting for it
 *                 to hold still; what is open for writing is waited for, and deletions take the few seconds that
 *                 they always
 *                 wait. Names are ignored. Done when all that was unsaved at the time is on disk; fails, when the
 *                     rest is, with the reasons for what cannot be saved. OPERATION_VERIFY    Reads the copies in
 *                     RAM again, at full speed, and compares them with what was verified when they came (no names:
 *                     all of them). What is damaged is told and handled as by
 *                 Scrub= (see mirror/scrub.h): staged again. Fails if anything was damaged; the report has the names.
 *
 * A mirror that has not taken hold of source and tmpfs yet, is stopping, or has failed, refuses. Any number of
 * wishes may be under way; each has its own end. */

#include "base/base.h"
#include "mirror/mirror.h"

typedef enum OperationKind {
        OPERATION_STAGE,
        OPERATION_RELEASE,
        OPERATION_ACCEPT,
        OPERATION_SYNC,
        OPERATION_VERIFY
} OperationKind;

typedef struct Operation Operation;

typedef struct OperationStatus {
        bool over, failed;
        uint64_t done, total; /* bytes; total 0: not known */
        /* sentences without a full stop: what was done, found, refused; NULL-terminated, never NULL; borrowed until
         * the next call */
        char *const *report;
} OperationStatus;

/* @names: NULL-terminated; empty: see above. @who: for the log ("uid 1000 (pid 77, shmstagectl)"). 0 and a Steer to
 * be freed, which may outlive the mirror; or OPERATION_REFUSED and a sentence why (a new string): then nothing was
 * changed; or -ENOMEM. */
enum { OPERATION_REFUSED = 1 };
int control_operation_new(Operation **ret, Mirror *mirror, OperationKind kind, char *const *names, const char *who,
                          char **ret_refusal);

/* To be asked whenever something has changed. @mirror: of control_operation_new(), NULL if it is gone meanwhile. */
OperationStatus control_operation_status(Operation *operation, Mirror *mirror);

/* What is under way goes on. */
Operation *control_operation_free(Operation *operation);
DEFINE_CLEANUP(Operation, control_operation_free)
