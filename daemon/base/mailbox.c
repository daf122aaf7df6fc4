/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Messages from other threads to the loop. See base/mailbox.h. */

#include "base/mailbox.h"

#include <pthread.h>
#include <sys/eventfd.h>

struct Mailbox {
        pthread_mutex_t lock;
        Letter *first; /* under lock */
        Letter *last;  /* under lock */
        int fd;        /* set once */
};

int mailbox_new(Mailbox **ret) {
        _cleanup_(mailbox_freep) Mailbox *mailbox = calloc(1, sizeof(*mailbox));

        if (!mailbox)
                return -ENOMEM;
        (void) pthread_mutex_init(&mailbox->lock, NULL); /* cannot fail with default attributes */
        mailbox->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (mailbox->fd < 0)
                return -errno;
        *ret = TAKE_PTR(mailbox);
        return 0;
}

Mailbox *mailbox_free(Mailbox *mailbox) {
        if (!mailbox)
                return NULL;
        (void) close_fd(mailbox->fd);
        (void) pthread_mutex_destroy(&mailbox->lock);
        free(mailbox);
        return NULL;
}

int mailbox_get_fd(Mailbox *mailbox) {
        return mailbox->fd;
}

void mailbox_post(Mailbox *mailbox, Letter *letter) {
        letter->next = NULL;
        (void) pthread_mutex_lock(&mailbox->lock);
        if (mailbox->last)
                mailbox->last->next = letter;
        else {
                mailbox->first = letter;
                (void) eventfd_write(mailbox->fd, 1); /* for the first letter only, so that it cannot overflow */
        }
        mailbox->last = letter;
        (void) pthread_mutex_unlock(&mailbox->lock);
}

Letter *mailbox_take(Mailbox *mailbox) {
        eventfd_t count;
        Letter *first;

        (void) pthread_mutex_lock(&mailbox->lock);
        first = mailbox->first;
        mailbox->first = mailbox->last = NULL;
        (void) eventfd_read(mailbox->fd, &count); /* EAGAIN if there was no letter */
        (void) pthread_mutex_unlock(&mailbox->lock);
        return first;
}
