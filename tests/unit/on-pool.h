/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* A pool whose jobs come back on an event loop. To be included after ground.h. */

#include "base/pool.h"

#include <systemd/sd-event.h>

static inline int on_pool(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        (void) source;
        (void) fd;
        (void) events;
        pool_dispatch(userdata);
        return 0;
}

/* Until the loop is freed. */
static inline void add_pool(sd_event *event, Pool *pool) {
        if (sd_event_add_io(event, NULL, pool_get_fd(pool), EPOLLIN, on_pool, pool) < 0)
                abort();
}
