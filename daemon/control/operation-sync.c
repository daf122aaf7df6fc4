/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Sync. See control/operation-sync.h. */

#include "control/operation-sync.h"

#include "base/text.h"

enum { REASONS_MAX = 10 };

static uint64_t left_of(const SaveItem *item) {
        return item && item->state != ITEM_DONE ? saveitem_bytes(item) : 0;
}

/* What waits at this moment is what it is about. */
static void see_queue(Steer *steer, const Mirror *m) {
        const SaveQueue *queue = &m->writeback.queue;

        for (size_t i = 0; i < queue->n; i++)
                if (queue->by_path[i]->state != ITEM_DONE && pathset_add(&steer->saves, queue->by_path[i]->path) == 0)
                        steer->total += left_of(queue->by_path[i]);
        pathset_sort(&steer->saves);
        steer->phase = STEER_PLANNED;
}

/* It was tried, and is not going to be on disk soon; who has it open for writing is waited for. */
static bool is_failing(const Mirror *m, const SaveItem *item, uint64_t now) {
        if (savequeue_is_refused(&m->writeback.queue, item) || item->state == ITEM_REFUSED)
                return true;
        return item->state == ITEM_WAITING && item->attempts > 0 && item->problem && item->due_usec > now && item->save.outcome != SAVE_BUSY;
}

typedef struct Rest {
        uint64_t bytes;
        size_t n_waiting, n_failing;
} Rest;

static Rest find_rest(const Steer *steer, const Mirror *m, Steer *tell) {
        Rest rest = {};
        uint64_t now = steer_now(m);

        for (size_t i = 0; i < steer->saves.n; i++) {
                const SaveItem *item = savequeue_find(&m->writeback.queue, steer->saves.items[i]);
                char path[TEXT_PATH_MAX];

                rest.bytes += left_of(item);
                if (!item || item->state == ITEM_DONE)
                        continue;
                if (!is_failing(m, item, now))
                        rest.n_waiting++;
                else if (rest.n_failing++ < REASONS_MAX && tell) {
                        if (item->problem)
                                steer_say(tell, "%s", item->problem);
                        else
                                steer_say(tell, "'%s' in the mirror is not saved", text_path(path, item->path));
                }
        }
        if (tell && rest.n_failing > REASONS_MAX)
                steer_say(tell, "Nor can %zu more be saved", rest.n_failing - REASONS_MAX);
        return rest;
}

static void check(Steer *steer, const Mirror *m) {
        Rest rest = find_rest(steer, m, NULL);
        char bytes[TEXT_BYTES_MAX];

        steer->done = steer->total - MIN(steer->total, rest.bytes);
        if (rest.n_waiting > 0)
                return;
        if (rest.n_failing > 0)
                (void) find_rest(steer, m, steer);
        else if (steer->saves.n == 0)
                steer_say(steer, "Mirror '%s': everything was on disk already", m->config.name);
        else
                steer_say(steer, "Mirror '%s': what was changed is on disk (%zu names, %s)", m->config.name, steer->saves.n, text_bytes(bytes, steer->total));
        steer_end(steer, rest.n_failing > 0);
}

static void hear(Steer *steer, Mirror *m, MirrorEvent event) {
        if (event == MIRROR_LOOKED && steer->phase == STEER_ASKED) {
                steer->phase = STEER_GRANTED;
                return; /* that look may have begun before */
        }
        if (event == MIRROR_LOOKED) {
                if (steer->phase == STEER_GRANTED)
                        see_queue(steer, m);
                savequeue_make_haste(&m->writeback.queue, steer_now(m));
        } else if (steer->phase == STEER_PLANNED)
                check(steer, m);
}

int steersync_begin(Steer *steer, Mirror *m) {
        steer->hear = hear;
        if (!m->config.write_back) { /* no reason to fail, where other mirrors have something to save */
                steer_say(steer, "Mirror '%s': nothing of it is ever saved, because of WriteBack=no", m->config.name);
                steer_end(steer, false);
                return 0;
        }
        if (m->state != MIRROR_LOOKING)
                steer->phase = STEER_GRANTED;
        mirrorstate_want_look(m);
        return 0;
}
