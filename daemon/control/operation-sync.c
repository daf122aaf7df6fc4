/* SPDX-License-Identifier: GPL-2.0-or-later */

/* OPERATION_SYNC: saves now. See control/operation.h. */

#include "control/operation-internal.h"

#include "base/clock.h"
#include "base/text.h"

enum { REASONS_MAX = 10 }; /* files reported one by one */

static uint64_t left_of(const SaveItem *item) {
        return item && item->state != ITEM_DONE ? save_item_bytes(item) : 0;
}

/* What is unsaved at this moment is to be saved; what is changed later is not waited for. */
static void read_queue(Operation *operation, const Mirror *m) {
        const SaveQueue *queue = &m->writeback.queue;

        for (size_t i = 0; i < queue->n; i++)
                if (queue->by_path[i]->state != ITEM_DONE &&
                    pathset_add(&operation->saves, queue->by_path[i]->path) == 0)
                        operation->total += left_of(queue->by_path[i]);
        pathset_sort(&operation->saves);
        operation->phase = OPERATION_PLANNED;
}

/* Saving it was tried, and will not succeed soon. A file that is open for writing has no problem: it is waited for. */
static bool is_failing(const Mirror *m, const SaveItem *item, uint64_t now) {
        if (save_queue_is_refused(&m->writeback.queue, item) || item->state == ITEM_REFUSED)
                return true;
        return item->state == ITEM_WAITING && item->attempts > 0 && item->problem && item->due_usec > now;
}

typedef struct Rest {
        uint64_t bytes;
        size_t n_waiting, n_failing;
} Rest;

static Rest find_rest(const Operation *operation, const Mirror *m, Operation *report) {
        Rest rest = {};
        uint64_t now = clock_now(m->context->event);

        for (size_t i = 0; i < operation->saves.n; i++) {
                const SaveItem *item = save_queue_find(&m->writeback.queue, operation->saves.items[i]);
                char path[TEXT_PATH_MAX];

                rest.bytes += left_of(item);
                if (!item || item->state == ITEM_DONE)
                        continue;
                if (!is_failing(m, item, now))
                        rest.n_waiting++;
                else if (rest.n_failing++ < REASONS_MAX && report) {
                        if (item->problem)
                                control_operation_report(report, "%s", item->problem);
                        else
                                control_operation_report(report, "'%s' is not saved", text_path(path, item->path));
                }
        }
        if (report && rest.n_failing > REASONS_MAX)
                control_operation_report(report, "%zu more files cannot be saved", rest.n_failing - REASONS_MAX);
        return rest;
}

static void check(Operation *operation, const Mirror *m, MirrorEvent event) {
        Rest rest = find_rest(operation, m, NULL);
        char bytes[TEXT_BYTES_MAX];

        if (!proofs_is_settled(&m->proofs))
                return; /* what was written is read, to find out whether it has to be saved */
        if (mirror_state_n_unagreed(m) > 0 && event != MIRROR_RESTED)
                return; /* it is being compared with the disk */
        if (m->scan.wanted.outdated || mirror_state_n_unagreed(m) > 0) {
                operation->phase = OPERATION_APPLIED; /* it has, and the next scan queues it */
                return;
        }
        operation->done = operation->total - MIN(operation->total, rest.bytes);
        if (rest.n_waiting > 0)
                return;
        if (rest.n_failing > 0)
                (void) find_rest(operation, m, operation);
        else if (operation->saves.n == 0)
                control_operation_report(operation, "Mirror '%s': everything is on disk already", m->config.name);
        else
                control_operation_report(operation, "Mirror '%s': saved %zu %s (%s)", m->config.name,
                                         operation->saves.n, operation->saves.n == 1 ? "entry" : "entries",
                                         text_bytes(bytes, operation->total));
        control_operation_end(operation, rest.n_failing > 0);
}

static void begin(Operation *operation, Mirror *m) {
        operation->phase = m->phase == PHASE_SCANNING ? OPERATION_REQUESTED : OPERATION_APPLIED;
        mirror_state_want_scan(m);
}

static void on_event(Operation *operation, Mirror *m, MirrorEvent event) {
        if (operation->phase == OPERATION_DUE) {
                if (event == MIRROR_REPORTED)
                        begin(operation, m);
                return;
        }
        if (event == MIRROR_SCANNED && operation->phase == OPERATION_REQUESTED) {
                operation->phase = OPERATION_APPLIED;
                return; /* this scan may have begun before the operation */
        }
        if (event == MIRROR_SCANNED) {
                if (operation->phase == OPERATION_APPLIED)
                        read_queue(operation, m);
                save_queue_hurry(&m->writeback.queue, clock_now(m->context->event));
        } else if (operation->phase == OPERATION_PLANNED)
                check(operation, m, event);
}

int control_operation_sync(Operation *operation, Mirror *m) {
        operation->on_event = on_event;
        if (!m->config.write_back) { /* not a failure: "sync" is for all mirrors, and others have something to save */
                control_operation_report(operation, "Mirror '%s' is never saved, because of WriteBack=no",
                                         m->config.name);
                control_operation_end(operation, false);
                return 0;
        }
        if (mirror_state_ask_reports(m))
                operation->phase = OPERATION_DUE;
        else
                begin(operation, m);
        return 0;
}
