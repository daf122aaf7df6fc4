/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* How an attempt to save something can end. Shared by save and the modules that it is made of; in those 0 is SAVE_DONE
 * too, and a failure is a negative errno. */

typedef enum SaveOutcome {
        SAVE_DONE,      /* .entry: what both sides have now */
        SAVE_BUSY,      /* a process has it open for writing */
        SAVE_CHANGED,   /* it is not, or no longer, what @mirror says: scan again */
        SAVE_GONE,      /* it is not there any more */
        SAVE_BAD,       /* its bytes are not what its name or header says: .text. Never to be saved as it is */
        SAVE_LEADS_OUT, /* a symbolic link that leads out of the tree */
        SAVE_OCCUPIED,  /* on disk its name is taken by something that the plan did not see: scan again */
        SAVE_FOLDED,    /* on disk the name is taken by one that differs in case only: .text is that name */
        SAVE_NO_ROOM,   /* the disk is full (ENOSPC, EDQUOT) */
        SAVE_GARBLED,   /* what was read back from the disk is not what was written, more than once */
        SAVE_FAILED,    /* .error and .what */
        SAVE_CANCELLED,
} SaveOutcome;
