/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Messages from other threads to the loop: a list under a mutex, and an eventfd that wakes the loop. */

#include "base/base.h"

/* Embed it in the object that is sent. A letter belongs to the sender until mailbox_post(), and to the receiver after
 * mailbox_take(). */
typedef struct Letter Letter;
struct Letter {
        Letter *next; /* Mailbox.first, under its lock; then the receiver's */
};

typedef struct Mailbox Mailbox;

int mailbox_new(Mailbox **ret);
Mailbox *mailbox_free(Mailbox *mailbox); /* letters still inside stay their senders' */
DEFINE_CLEANUP(Mailbox, mailbox_free)

/* Readable when there are letters. */
int mailbox_get_fd(Mailbox *mailbox);

/* Any thread. Never blocks, never fails. */
void mailbox_post(Mailbox *mailbox, Letter *letter);

/* For the receiver: takes all letters at once, as a list with the oldest first; NULL if there is none. */
Letter *mailbox_take(Mailbox *mailbox);
