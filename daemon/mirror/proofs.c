/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Files that may have been written are read in the background. See mirror/proofs.h. */

#include "mirror/proofs.h"

#include "base/array.h"
#include "base/log.h"
#include "base/text.h"
#include "tree/inodes.h"

static void set_state(Proofs *proofs, Proof *proof, ProofState state) {
        proofs->n_waiting -= proof->state == PROOF_WAITING;
        proofs->n_results -= proof_is_result(proof);
        proof->state = state;
        proofs->n_waiting += proof->state == PROOF_WAITING;
        proofs->n_results += proof_is_result(proof);
        if (state == PROOF_WAITING)
                proofs->next = 0;
}

static int compare_with_ino(const void *item, const void *entry) {
        uint64_t x = (*(Proof *const *) item)->ino, y = ((const Entry *) entry)->ino;

        return x < y ? -1 : x > y;
}

/* The proof of this very object in a list that is sorted by inode, or NULL. */
static Proof *find(Proof *const *items, size_t n, const Entry *entry) {
        size_t i = array_seek(items, n, sizeof(Proof *), compare_with_ino, entry);

        for (; i < n && items[i]->ino == entry->ino; i++)
                if (proof_is_of(items[i], entry))
                        return items[i];
        return NULL;
}

static void free_all(Proof **items, size_t n) {
        for (size_t i = 0; i < n; i++)
                (void) proof_free(items[i]);
        free(items);
}

void proofs_done(Proofs *proofs) {
        assert(!proofs->running);
        free_all(proofs->items, proofs->n);
        proofs->items = NULL;
        proofs->n = proofs->next = proofs->n_waiting = proofs->n_results = 0;
}

/* --- one file after the other --- */

static void log_proof(const Proofs *proofs, const Proof *proof) {
        LogFields fields = { .mirror = proofs->config->name, .source = proofs->config->source,
                             .target = proofs->config->target, .path = proof->names.items[proof->name],
                             .bytes = proof->size, .error = -proof->error };
        char path[TEXT_PATH_MAX], target[TEXT_PATH_MAX];

        (void) text_path(path, fields.path);
        (void) text_path(target, fields.target);
        if (proof->outcome == PROOF_SAME || proof->outcome == PROOF_ALTERED)
                log_event(LOG_DEBUG, &fields, "Read '%s' in '%s' because it %s; %s%s", path, target,
                          proof->reported ? "was closed after writing" : "was not watched all the time",
                          proof->outcome == PROOF_SAME ? "it is unchanged" : "its bytes have changed",
                          proof->again ? ", but it was reported again meanwhile" : "");
        else
                log_event(LOG_DEBUG, &fields, "Failed to read '%s' in '%s': %s; it is read when it is reported again",
                          path, target,
                          proof->outcome == PROOF_BUSY ? "a process has it open for writing"
                                                       : strerror(-proof->error));
}

static void run(Job *job) {
        Proofs *proofs = (Proofs *) job;

        proof_read(proofs->current, proofs->mirrorfd, &proofs->cancel, proofs->progress);
}

static void go_on(Proofs *proofs);

static void done(Job *job) {
        Proofs *proofs = (Proofs *) job;
        Proof *proof = TAKE_PTR(proofs->current);

        proofs->running = false;
        if (proof->error != -ECANCELED && !proof_is_missing(proof)) /* what a client took away is no failure */
                log_proof(proofs, proof);
        if (proofs->dropped)
                (void) proof_free(proof);
        else {
                set_state(proofs, proof, proof->again ? PROOF_WAITING : proof->outcome);
                proof->again = false;
        }
        go_on(proofs);
        if (!proofs->running)
                proofs->ended(proofs->userdata);
}

/* Frees a proof that is not wanted any more; that of the job when it is back. */
static void let_go(Proofs *proofs, Proof *proof) {
        if (proof != proofs->current) {
                (void) proof_free(proof);
                return;
        }
        proofs->dropped = true;
        atomic_store(&proofs->cancel, true);
}

static void go_on(Proofs *proofs) {
        if (proofs->running || proofs->n_waiting == 0)
                return;
        while (proofs->items[proofs->next]->state != PROOF_WAITING)
                proofs->next++;
        proofs->current = proofs->items[proofs->next++];
        set_state(proofs, proofs->current, PROOF_READING);
        proofs->dropped = false;
        proofs->mirrorfd = proofs->attachment->mount.fd;
        proofs->job = (Job){ .run = run, .done = done };
        proofs->running = true;
        atomic_store(&proofs->cancel, false);
        pool_submit(proofs->pool, &proofs->job);
}

/* --- what is to be read --- */

void proofs_note(Proofs *proofs, const Manifest *base, const PathSet *marked) {
        for (size_t i = 0; i < marked->n; i++) {
                const Entry *entry = manifest_find(base, marked->items[i]);
                Proof *proof = entry ? find(proofs->items, proofs->n, entry) : NULL;

                if (!proof)
                        continue;
                if (proof->state == PROOF_READING)
                        proof->again = true;
                else
                        set_state(proofs, proof, PROOF_WAITING);
        }
}

static uint64_t ino_of(const Entry *entry) {
        return proof_is_needed(entry) ? entry->ino : 0;
}

/* A proof of the inode at *k, and of all its names if these agree about it; *k goes behind them. NULL on ENOMEM. */
static Proof *make(const Manifest *base, const Inodes *inodes, size_t *k) {
        const Entry *first = &base->entries[inodes->items[*k].index], *entry = first;
        _cleanup_(proof_freep) Proof *proof = calloc(1, sizeof(*proof));

        if (!proof)
                return NULL;
        proof->ino = first->ino;
        proof->size = first->size;
        proof->mtime_nsec = first->mtime_nsec;
        proof->ctime_nsec = first->ctime_nsec;
        proof->digest = first->digest;
        do {
                if (pathset_add(&proof->names, entry->path) < 0)
                        return NULL;
                proof->reported = proof->reported || entry->flags & ENTRY_WRITTEN;
                if (++*k < inodes->n)
                        entry = &base->entries[inodes->items[*k].index];
        } while (*k < inodes->n && proof_is_of(proof, entry));
        return TAKE_PTR(proof);
}

static bool has_same_names(const Proof *a, const Proof *b) {
        bool same = a->names.n == b->names.n;

        for (size_t i = 0; same && i < a->names.n; i++)
                same = string_equal(a->names.items[i], b->names.items[i]);
        return same;
}

/* The one that there is already of the same object goes on, with what the base says now. That a file was not under the
 * names that it had says nothing about new ones. */
static Proof *carry_over(const Proofs *proofs, Proof *fresh) {
        const Entry entry = { .ino = fresh->ino, .size = fresh->size, .mtime_nsec = fresh->mtime_nsec,
                              .digest = fresh->digest };
        Proof *proof = find(proofs->items, proofs->n, &entry);

        if (!proof || proof->kept)
                return fresh;
        proof->kept = true;
        if ((proof->state == PROOF_UNREAD || proof->state == PROOF_BUSY) && !has_same_names(proof, fresh))
                proof->state = PROOF_WAITING; /* they are counted anew */
        if (proof->state != PROOF_READING) { /* else the job reads the names */
                PathSet names = proof->names;

                proof->names = fresh->names;
                fresh->names = names;
        }
        if (proof->state != PROOF_READING && !proof_is_result(proof))
                proof->ctime_nsec = fresh->ctime_nsec;
        proof->reported = fresh->reported;
        (void) proof_free(fresh);
        return proof;
}

/* Takes the list in place of the present one. */
static void replace(Proofs *proofs, Proof **items, size_t n) {
        for (size_t i = 0; i < proofs->n; i++)
                if (!proofs->items[i]->kept)
                        let_go(proofs, proofs->items[i]);
        free(proofs->items);
        proofs->items = items;
        proofs->n = n;
        proofs->next = proofs->n_waiting = proofs->n_results = 0;
        for (size_t i = 0; i < n; i++) {
                items[i]->kept = false;
                proofs->n_waiting += items[i]->state == PROOF_WAITING;
                proofs->n_results += proof_is_result(items[i]);
        }
}

void proofs_update(Proofs *proofs, const Manifest *base) {
        _cleanup_(inodes_done) Inodes inodes = {};
        Proof **items = NULL;
        size_t n = 0, k = 0;
        bool failed = inodes_collect(&inodes, base, ino_of) < 0;

        while (!failed && k < inodes.n) {
                failed = ARRAY_ROOM(items, n) < 0 || !(items[n] = make(base, &inodes, &k));
                n += !failed;
        }
        if (failed) { /* the next call has it */
                free_all(items, n);
                return;
        }
        for (size_t i = 0; i < n; i++)
                items[i] = carry_over(proofs, items[i]);
        replace(proofs, items, n);
        go_on(proofs);
}

/* Drops the proofs that are in one of these states. */
static void drop(Proofs *proofs, unsigned states) {
        size_t n = 0;

        for (size_t i = 0; i < proofs->n; i++) {
                Proof *proof = proofs->items[i];

                if (!(states & (1U << proof->state))) {
                        proofs->items[n++] = proof;
                        continue;
                }
                set_state(proofs, proof, PROOF_READING); /* which is not counted */
                let_go(proofs, proof);
        }
        proofs->n = n;
        proofs->next = 0;
}

void proofs_stop(Proofs *proofs) {
        drop(proofs, 1U << PROOF_WAITING | 1U << PROOF_READING);
}

/* --- results --- */

static void apply(const Proof *proof, Entry *entry) {
        /* else a later ctime was recorded meanwhile */
        int64_t ctime = entry->ctime_nsec == proof->ctime_nsec ? proof->seen_nsec : entry->ctime_nsec;

        if (proof->state == PROOF_ALTERED)
                manifest_entry_alter(entry, ctime);
        else
                manifest_entry_prove(entry, ctime);
}

bool proofs_take(Proofs *proofs, Manifest *base, size_t *ret_altered) {
        bool changed = false;

        *ret_altered = 0;
        for (size_t i = 0; proofs->n_results > 0 && i < base->n_entries; i++) {
                Entry *entry = &base->entries[i];
                Proof *proof = proof_is_needed(entry) ? find(proofs->items, proofs->n, entry) : NULL;

                if (!proof || !proof_is_result(proof))
                        continue;
                apply(proof, entry);
                changed = true;
                if (proof->state != PROOF_ALTERED || proof->taken)
                        continue;
                proof->taken = true;
                (*ret_altered)++;
        }
        if (proofs->n_results > 0)
                drop(proofs, 1U << PROOF_SAME | 1U << PROOF_ALTERED);
        return changed;
}

bool proofs_is_over(const Proofs *proofs) {
        return !proofs->running && proofs->n_waiting == 0;
}

bool proofs_is_settled(const Proofs *proofs) {
        return proofs_is_over(proofs) && proofs->n_results == 0;
}

size_t proofs_n_busy(const Proofs *proofs) {
        size_t n = 0;

        for (size_t i = 0; i < proofs->n; i++)
                n += proofs->items[i]->state == PROOF_BUSY;
        return n;
}
