/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What becomes of a file whose bytes in RAM have changed. See mirror/scrub.h. */

#include "mirror/scrub-internal.h"

#include "base/messages.h"
#include "base/text.h"
#include "layout/layout.h"

#include <fcntl.h>

/* --- files that are not as they were --- */

static int put(Manifest **list, const ScrubFinding *finding) {
        Entry entry = finding->entry;
        int r = *list ? 0 : manifest_new(list);

        entry.digest = finding->found; /* what it has now */
        if (r == 0)
                r = manifest_put(*list, &entry);
        if (r == 0)
                manifest_sort(*list);
        return r;
}

static bool is_same_file(const Entry *a, const Entry *b) {
        return a && b && a->ino == b->ino && a->ctime_nsec == b->ctime_nsec;
}

/* It was reported since the verdict. What we put in its place ourselves is reported as well, but is another file. */
static bool is_touched(const Entry *entry, void *userdata) {
        return pathset_has(userdata, entry->path);
}

static bool is_gone(const Entry *entry, void *userdata) {
        const Entry *base = manifest_find(userdata, entry->path);

        /* what was reported as written is a client's work, and is read and saved */
        return !is_same_file(base, entry) ||
               base->flags & (ENTRY_RECORD | ENTRY_LINKED | ENTRY_WRITTEN | ENTRY_MIRROR_DIFFERS);
}

/* A damaged file that has been replaced by another one, which was verified, is repaired. */
void scrub_note_repaired(Scrub *scrub) {
        const Manifest *base = scrub->attachment->base;
        size_t before = scrub_n_damaged(scrub);

        if (before == 0)
                return;
        for (size_t i = 0; scrub->damaged && i < scrub->damaged->n_entries; i++) {
                const Entry *entry = &scrub->damaged->entries[i], *now = manifest_find(base, entry->path);

                scrub->n_repaired += now && !(now->flags & ENTRY_RECORD) && now->ino != entry->ino;
        }
        if (scrub->damaged) {
                manifest_filter(scrub->damaged, is_gone, (void *) base);
                manifest_filter(scrub->damaged, is_touched, &scrub->touched);
        }
        pathset_done(&scrub->touched);
        if (scrub->left)
                manifest_filter(scrub->left, is_gone, (void *) base);
}

size_t scrub_n_damaged(const Scrub *scrub) {
        return (scrub->damaged ? scrub->damaged->n_entries : 0) + (scrub->left ? scrub->left->n_entries : 0);
}

static bool is_to_be_repaired(Scrub *scrub, const Entry *entry) {
        return !is_gone(entry, scrub->attachment->base) && !is_touched(entry, &scrub->touched);
}

const PathSet *scrub_get_damaged(Scrub *scrub) {
        pathset_done(&scrub->names);
        for (size_t i = 0; scrub->damaged && i < scrub->damaged->n_entries; i++)
                if (is_to_be_repaired(scrub, &scrub->damaged->entries[i]))
                        /* on failure, the next scan has it */
                        (void) pathset_add(&scrub->names, scrub->damaged->entries[i].path);
        pathset_sort(&scrub->names);
        return scrub->names.n > 0 ? &scrub->names : NULL;
}

/* --- the log --- */

#define ADVICE                                                                                                       \
        "If this happens again, test the memory (memtest86+) and check the errors counted by the kernel "            \
        "(ras-mc-ctl --errors)"

static LogFields fields_of(const Scrub *scrub) {
        const MirrorConfig *config = scrub->config;

        return (LogFields){ .message_id = MESSAGE_SCRUB, .mirror = config->name, .source = config->source,
                            .target = config->target };
}

/* @done and @detail, together: what becomes of the file. */
static void log_finding(Scrub *scrub, const ScrubFinding *finding, const char *done, const char *detail) {
        LogFields fields = fields_of(scrub);
        char path[TEXT_PATH_MAX], target[TEXT_PATH_MAX], place[TEXT_PATH_MAX], was[DIGEST_HEX_MAX], is[DIGEST_HEX_MAX];
        int priority = log_limit_pass(&scrub->log_limit) ? LOG_WARNING : LOG_DEBUG;

        (void) text_path(path, finding->entry.path);
        (void) text_path(target, scrub->config->target);
        (void) text_path(place, detail ? detail : "");
        fields.path = finding->entry.path;
        fields.bytes = finding->entry.size;
        fields.error = finding->error;
        fields.reason = finding->error != 0 ? "unreadable" : "changed";
        fields.expected = digest_to_hex(&finding->entry.digest, was);
        fields.found = finding->error == 0 ? digest_to_hex(&finding->found, is) : NULL;
        if (finding->error != 0)
                log_event(priority, &fields,
                          "RAM may be faulty: '%s' in '%s' can no longer be read (%s; its XXH3-128 was %s); "
                          "%s%s. " ADVICE,
                          path, target, strerror(finding->error), was, done, place);
        else
                log_event(priority, &fields,
                          "RAM may be faulty: the bytes of '%s' in '%s' changed while its times did not (XXH3-128 was "
                          "%s, is %s); %s%s. " ADVICE, path, target, was, is, done, place);
}

void scrub_log_suppressed(Scrub *scrub) {
        LogFields fields = fields_of(scrub);
        char target[TEXT_PATH_MAX];
        size_t suppressed;

        fields.count = scrub->log_limit.n;
        suppressed = log_limit_end(&scrub->log_limit);
        if (suppressed > 0)
                log_event(LOG_WARNING, &fields, "RAM may be faulty: %zu more files in '%s' changed", suppressed,
                          text_path(target, scrub->config->target));
}

static bool is_logged(const Manifest *list, const ScrubFinding *finding) {
        const Entry *before = list ? manifest_find(list, finding->entry.path) : NULL;

        return is_same_file(before, &finding->entry) && digest_equal(&before->digest, &finding->found);
}

/* --- the verdict --- */

static bool has_path(const Entry *entry, void *userdata) {
        return strcmp(entry->path, userdata) == 0;
}

/* The next plan stages it again. */
static void restage(Scrub *scrub, const char *done, const char *detail) {
        if (!is_logged(scrub->damaged, &scrub->finding))
                log_finding(scrub, &scrub->finding, done, detail);
        if (scrub->left)
                manifest_filter(scrub->left, has_path, scrub->finding.entry.path);
        if (put(&scrub->damaged, &scrub->finding) == 0) /* without memory, the next pass finds it again */
                scrub->survey(scrub->userdata);
        scrub_pass_finding_done(&scrub->finding);
}

static void leave(Scrub *scrub, const char *done, const char *detail) {
        if (!is_logged(scrub->left, &scrub->finding))
                log_finding(scrub, &scrub->finding, done, detail);
        (void) put(&scrub->left, &scrub->finding); /* for the status only */
        scrub_pass_finding_done(&scrub->finding);
}

/* No client can have written these bytes. */
static bool is_damage(Scrub *scrub) {
        const ScrubFinding *finding = &scrub->finding;
        Claim claim;

        return finding->error != 0 ||
               (scrub->layout != LAYOUT_AUTO && layout_claim(scrub->layout, finding->entry.path, &claim)) ||
               (!finding->has_links && scrub->is_watched(scrub->userdata) &&
                scrub_writers_none_since(&scrub->writers, &finding->entry));
}

static void keep_run(Job *job) {
        Scrub *scrub = (Scrub *) job;

        save_run(&scrub->save, &scrub->options);
}

static const char *why_not_kept(const Save *save) {
        return save->outcome == SAVE_NO_ROOM   ? "the disk is full; free space, then run "
                                                "shmstagectl verify, and do not delete it in the mirror"
               : save->outcome == SAVE_GARBLED ? "read-back verification failed"
               : save->outcome == SAVE_FAILED  ? strerror(save->error)
                                               : "it cannot be saved";
}

/* A file that is open for writing, or was changed, is not damage: the next scan decides about it. */
static void keep_done(Job *job) {
        Scrub *scrub = (Scrub *) job;
        SaveOutcome outcome = scrub->save.outcome;

        scrub->running = false;
        if (outcome == SAVE_DONE && !scrub->gave_up)
                restage(scrub,
                        "a client may have written to it, so it is staged again and its current version is kept on "
                        "disk as ", scrub->save.kept);
        else if (outcome == SAVE_BUSY || outcome == SAVE_CHANGED || outcome == SAVE_GONE)
                scrub->survey(scrub->userdata);
        else if (!scrub->gave_up)
                leave(scrub,
                      "a client may have written to it and its current version could not be saved to disk, so it is "
                      "left as it is: ", why_not_kept(&scrub->save));
        scrub_pass_finding_done(&scrub->finding);
        save_done(&scrub->save);
        (void) close_fd(scrub->sourcefd);
        free(scrub->target);
        scrub_job_ended(scrub);
}

static int start_keeping(Scrub *scrub) {
        int fd = fcntl(scrub->attachment->sourcefd, F_DUPFD_CLOEXEC, 0);
        char *target = strdup(scrub->config->target);

        if (fd < 0 || !target) {
                (void) close_fd(fd);
                free(target);
                return -ENOMEM;
        }
        scrub->sourcefd = fd;
        scrub->target = target;
        disk_init(&scrub->disk, fd, scrub->config->name);
        scrub->save = (Save){ .kind = SAVE_BESIDE, .mirror = &scrub->finding.entry, .anyway = true };
        scrub->options = (SaveOptions){ .disk = &scrub->disk, .mirrorfd = scrub->attachment->mount.fd,
                                        .mirror_path = target,
                                        .cancel = &scrub->cancel, .own_owner = geteuid() != 0 };
        scrub->job = (Job){ .run = keep_run, .done = keep_done };
        scrub->running = true;
        atomic_store(&scrub->cancel, false);
        pool_submit(scrub->pool, &scrub->job);
        return 0;
}

void scrub_judge(Scrub *scrub) {
        ScrubFinding *finding = &scrub->finding;
        const Entry *base = manifest_find(scrub->attachment->base, finding->entry.path);

        if (!is_same_file(base, &finding->entry) || is_gone(&finding->entry, scrub->attachment->base))
                scrub_pass_finding_done(finding); /* it was replaced meanwhile */
        else if (is_logged(scrub->damaged, finding) || is_damage(scrub)) /* logged before: it could not be staged */
                restage(scrub, "it is staged again from disk", "");
        else if (!scrub->config->write_back)
                leave(scrub,
                      "a client may have written to it, so it is left as it is; to have it staged again, remove it "
                      "from the mirror (the file on disk stays)",
                      "");
        else if (start_keeping(scrub) < 0)
                scrub_pass_finding_done(finding); /* the next pass finds it again */
}
