/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The copies in RAM are read again. See mirror/scrub.h. */

#include "mirror/scrub.h"

#include "base/log.h"
#include "base/messages.h"
#include "base/text.h"
#include "layout/layout.h"

#include <fcntl.h>

/* What was done to a file before we were given a lease has been reported by then. */
#define VERDICT_USEC (USEC_PER_SEC)
/* Accuracy of the timer: so many wake-ups of others may be shared. */
#define ACCURACY_USEC (USEC_PER_SEC / 100)
/* A pass that is behind by more does not catch up, or it would read without a pause after it was held up. */
#define BEHIND_USEC (USEC_PER_SEC / 2)

static void go_on(Scrub *scrub);

static uint64_t now_usec(const Scrub *scrub) {
        uint64_t now = 0;

        (void) sd_event_now(scrub->event, CLOCK_MONOTONIC, &now); /* at worst it is due */
        return now;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        (void) source;
        (void) usec;
        go_on(userdata);
        return 0;
}

static void wake_at(Scrub *scrub, uint64_t usec) {
        if (!scrub->timer) {
                (void) sd_event_add_time(scrub->event, &scrub->timer, CLOCK_MONOTONIC, usec, ACCURACY_USEC, on_timer,
                                         scrub);
                return;
        }
        (void) sd_event_source_set_time(scrub->timer, usec);
        (void) sd_event_source_set_enabled(scrub->timer, SD_EVENT_ONESHOT);
}

static void drop_pass(Scrub *scrub) {
        scrub->pass = scrub_pass_free(scrub->pass);
        scrub_pass_finding_done(&scrub->finding);
        for (size_t i = 0; i < scrub->n_reported; i++)
                scrub_pass_finding_done(&scrub->reported[i]);
        free(scrub->reported);
        scrub->reported = NULL;
        scrub->n_reported = 0;
        scrub_writers_forget(&scrub->writers);
}

/* A job is back that nobody wants any more. */
static void give_up(Scrub *scrub) {
        scrub->gave_up = false;
        drop_pass(scrub);
        go_on(scrub);
        scrub->ended(scrub->userdata);
}

void scrub_done(Scrub *scrub) {
        assert(!scrub->running);
        scrub->timer = sd_event_source_unref(scrub->timer);
        drop_pass(scrub);
        scrub->damaged = manifest_free(scrub->damaged);
        scrub->left = manifest_free(scrub->left);
        pathset_done(&scrub->names);
        pathset_done(&scrub->touched);
}

void scrub_stop(Scrub *scrub) {
        scrub->timer = sd_event_source_unref(scrub->timer);
        scrub->span_usec = 0;
        if (scrub->running) {
                scrub->gave_up = true;
                atomic_store(&scrub->cancel, true);
        } else
                drop_pass(scrub);
}

/* --- lists of files that are not as they were --- */

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

/* Somebody was there since the verdict. What we have put in its place ourselves is reported as well, but is another
 * file. */
static bool is_touched(const Entry *entry, void *userdata) {
        return pathset_has(userdata, entry->path);
}

static bool is_gone(const Entry *entry, void *userdata) {
        const Entry *base = manifest_find(userdata, entry->path);

        return !is_same_file(base, entry) || base->flags & (ENTRY_RECORD | ENTRY_LINKED);
}

/* What has been replaced by another file that the disk vouches for was repaired, whoever saw to it. */
static void see_what_was_repaired(Scrub *scrub) {
        const Manifest *base = scrub->attachment->base;
        size_t before = scrub_n_damaged(scrub);

        if (before == 0)
                return;
        if (scrub->damaged)
                for (size_t i = 0; i < scrub->damaged->n_entries; i++) {
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
                        /* if not, the next look has it */
                        (void) pathset_add(&scrub->names, scrub->damaged->entries[i].path);
        pathset_sort(&scrub->names);
        return scrub->names.n > 0 ? &scrub->names : NULL;
}

/* --- what is told --- */

#define ADVICE                                                                                                       \
        "If this happens again, test the memory (memtest86+) and look at what the kernel has counted (ras-mc-ctl "   \
        "--errors)"

/* Memory that fails does so in many files: of those of one pass the first are told by name. */
enum { LINES_MAX = 20 };

static LogFields fields_of(const Scrub *scrub) {
        const MirrorConfig *config = scrub->config;

        return (LogFields){ .message_id = MESSAGE_SCRUB,
                            .mirror = config->name,
                            .source = config->source,
                            .target = config->target };
}

static void tell(Scrub *scrub, const ScrubFinding *finding, const char *done, const char *detail) {
        LogFields fields = fields_of(scrub);
        char path[TEXT_PATH_MAX], target[TEXT_PATH_MAX], place[TEXT_PATH_MAX], was[DIGEST_HEX_MAX], is[DIGEST_HEX_MAX];
        int priority = scrub->n_logged++ < LINES_MAX ? LOG_WARNING : LOG_DEBUG;

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
                          "RAM may be faulty: '%s' in '%s', XXH3-128 %s, cannot be read any more (%s). %s%s. " ADVICE,
                          path, target, was, strerror(finding->error), done, place);
        else
                log_event(priority, &fields,
                          "RAM may be faulty: the bytes of '%s' in '%s' have changed, and its time has not: XXH3-128 "
                          "was %s when it was verified, and is %s. %s%s. " ADVICE,
                          path, target, was, is, done, place);
}

static void explain_rest(Scrub *scrub) {
        LogFields fields = fields_of(scrub);
        char target[TEXT_PATH_MAX];

        fields.count = scrub->n_logged;
        if (scrub->n_logged > LINES_MAX)
                log_event(LOG_WARNING, &fields,
                          "RAM may be faulty: in '%s' %zu more files are not what they were, which are not listed",
                          text_path(target, scrub->config->target), scrub->n_logged - LINES_MAX);
        scrub->n_logged = 0;
}

static bool is_told(const Manifest *list, const ScrubFinding *finding) {
        const Entry *before = list ? manifest_find(list, finding->entry.path) : NULL;

        return is_same_file(before, &finding->entry) && digest_equal(&before->digest, &finding->found);
}

/* --- the verdict --- */

static bool has_path(const Entry *entry, void *userdata) {
        return strcmp(entry->path, userdata) == 0;
}

/* The next plan stages it again. */
static void condemn(Scrub *scrub, const char *done, const char *detail) {
        if (!is_told(scrub->damaged, &scrub->finding))
                tell(scrub, &scrub->finding, done, detail);
        if (scrub->left)
                manifest_filter(scrub->left, has_path, scrub->finding.entry.path);
        if (put(&scrub->damaged, &scrub->finding) == 0) /* without memory, the next pass finds it again */
                scrub->survey(scrub->userdata);
        scrub_pass_finding_done(&scrub->finding);
}

static void leave(Scrub *scrub, const char *done, const char *detail) {
        if (!is_told(scrub->left, &scrub->finding))
                tell(scrub, &scrub->finding, done, detail);
        (void) put(&scrub->left, &scrub->finding); /* for the status only */
        scrub_pass_finding_done(&scrub->finding);
}

/* Nobody's work is in these bytes. */
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
        return save->outcome == SAVE_NO_ROOM   ? "the disk is full"
               : save->outcome == SAVE_GARBLED ? "what was read back from the disk is not what was written"
               : save->outcome == SAVE_FAILED  ? strerror(save->error)
                                               : "it cannot be saved";
}

/* What is busy, or was changed, is not ours to judge: who has it open closes it, and then it is looked at. */
static void keep_done(Job *job) {
        Scrub *scrub = (Scrub *) job;
        SaveOutcome outcome = scrub->save.outcome;

        scrub->running = false;
        if (outcome == SAVE_DONE && !scrub->gave_up)
                condemn(scrub,
                        "Somebody may have written to it, so what it has now was put on the disk, and it is staged "
                        "again from "
                        "there: ",
                        scrub->save.kept);
        else if (outcome == SAVE_BUSY || outcome == SAVE_CHANGED || outcome == SAVE_GONE)
                scrub->survey(scrub->userdata);
        else if (!scrub->gave_up)
                leave(scrub,
                      "Somebody may have written to it, and what it has now could not be put on the disk, so it is "
                      "left as it is: ",
                      why_not_kept(&scrub->save));
        scrub_pass_finding_done(&scrub->finding);
        save_done(&scrub->save);
        (void) close_fd(scrub->sourcefd);
        free(scrub->target);
        if (scrub->gave_up)
                give_up(scrub);
        else {
                go_on(scrub);
                scrub->ended(scrub->userdata);
        }
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
        scrub->options = (SaveOptions){ .disk = &scrub->disk,
                                        .mirrorfd = scrub->attachment->mount.fd,
                                        .mirror_path = target,
                                        .cancel = &scrub->cancel,
                                        .own_owner = geteuid() != 0 };
        scrub->job = (Job){ .run = keep_run, .done = keep_done };
        scrub->running = true;
        atomic_store(&scrub->cancel, false);
        pool_submit(scrub->pool, &scrub->job);
        return 0;
}

static void judge(Scrub *scrub) {
        ScrubFinding *finding = &scrub->finding;
        const Entry *base = manifest_find(scrub->attachment->base, finding->entry.path);

        if (!is_same_file(base, &finding->entry) || is_gone(&finding->entry, scrub->attachment->base))
                scrub_pass_finding_done(finding); /* it was replaced meanwhile */
        else if (is_told(scrub->damaged, finding))
                condemn(scrub, "", NULL); /* it could not be staged: another look asks for it */
        else if (is_damage(scrub))
                condemn(scrub, "It is staged again from the disk", "");
        else if (!scrub->config->write_back)
                leave(scrub,
                      "Somebody may have written to it, so it is left as it is; remove it from the mirror to have it "
                      "staged again",
                      "");
        else if (start_keeping(scrub) < 0)
                scrub_pass_finding_done(finding); /* the next pass finds it again */
}

/* --- reading --- */

static void read_run(Job *job) {
        Scrub *scrub = (Scrub *) job;

        scrub->result = scrub_pass_read(scrub->pass, scrub->mirrorfd, scrub->slice, &scrub->cancel, &scrub->cost,
                                        &scrub->finding, &scrub->changed);
}

static void end_pass(Scrub *scrub) {
        explain_rest(scrub);
        scrub->bytes = scrub_pass_bytes(scrub->pass);
        scrub->all_bytes += scrub->bytes;
        scrub_writers_end(&scrub->writers, scrub_pass_take_good(scrub->pass));
        scrub->pass = scrub_pass_free(scrub->pass);
}

/* The bytes of a stretch are read in the time that the rate gives them, counted from when it began: errors do not
 * add up. */
static void pay(Scrub *scrub) {
        uint64_t now = now_usec(scrub);

        scrub->stretch_cost += scrub->cost;
        scrub->next_usec =
                scrub->stretch_usec + (uint64_t) ((double) scrub->stretch_cost * USEC_PER_SEC / (double) scrub->rate);
        if (scrub->next_usec + BEHIND_USEC < now) {
                scrub->stretch_usec = scrub->next_usec = now;
                scrub->stretch_cost = 0;
        }
}

static void read_done(Job *job) {
        Scrub *scrub = (Scrub *) job;

        scrub->running = false;
        if (scrub->gave_up) {
                give_up(scrub);
                return;
        }
        if (scrub->changed)
                scrub->survey(scrub->userdata);
        pay(scrub);
        if (scrub->result == SCRUB_PASS_FOUND) {
                scrub->n_found++;
                scrub->next_usec = now_usec(scrub) + VERDICT_USEC;
        } else if (scrub->result == 0)
                end_pass(scrub);
        else if (scrub->result < 0)
                drop_pass(scrub); /* memory ran out; the next pass, then */
        go_on(scrub);
        if (!scrub->pass)
                scrub->ended(scrub->userdata);
}

static void read_on(Scrub *scrub) {
        scrub->mirrorfd = scrub->attachment->mount.fd;
        scrub->slice = scrub_pass_slice(scrub->rate);
        scrub->cost = 0;
        scrub->job = (Job){ .run = read_run, .done = read_done };
        scrub->running = true;
        atomic_store(&scrub->cancel, false);
        pool_submit(scrub->pool, &scrub->job);
}

/* One pass in each span, in its second half. */
static void begin_pass(Scrub *scrub) {
        uint64_t now = now_usec(scrub);

        scrub->due_usec = MAX(scrub->due_usec + scrub->span_usec, now + scrub->span_usec / 2);
        if (scrub_pass_new(&scrub->pass, scrub->attachment->base) < 0) {
                wake_at(scrub, scrub->due_usec);
                return;
        }
        scrub->rate = scrub_pass_rate(scrub_pass_bytes(scrub->pass), scrub->span_usec);
        scrub->stretch_usec = now;
        scrub->stretch_cost = 0;
        scrub_writers_begin(&scrub->writers, scrub->is_watched(scrub->userdata));
        read_on(scrub);
}

/* What others have found has its turn when nothing else waits to be judged. */
static void take_report(Scrub *scrub) {
        if (scrub->finding.entry.path || scrub->n_reported == 0)
                return;
        scrub->finding = scrub->reported[--scrub->n_reported];
        scrub->next_usec = MAX(scrub->next_usec, now_usec(scrub) + VERDICT_USEC);
}

/* When the next step is due. */
static uint64_t next_step(const Scrub *scrub) {
        return scrub->pass || scrub->finding.entry.path ? scrub->next_usec : scrub->due_usec;
}

/* The next step, if it is time. */
static void go_on(Scrub *scrub) {
        if (scrub->running)
                return;
        take_report(scrub);
        if (scrub->span_usec == 0 && !scrub->finding.entry.path)
                return;
        if (!scrub->may_run(scrub->userdata)) { /* scrub_update() comes when it may */
                if (scrub->pass)
                        scrub_pass_let_go(scrub->pass);
                return;
        }
        if (now_usec(scrub) < next_step(scrub)) {
                wake_at(scrub, next_step(scrub));
                return;
        }
        if (scrub->finding.entry.path) {
                judge(scrub);
                go_on(scrub);
                return;
        }
        if (scrub->pass)
                read_on(scrub);
        else
                begin_pass(scrub);
}

void scrub_report(Scrub *scrub, ScrubFinding *finding) {
        ScrubFinding *grown = reallocarray(scrub->reported, scrub->n_reported + 1, sizeof(ScrubFinding));

        if (!grown) {
                scrub_pass_finding_done(finding); /* the next pass finds it again */
                return;
        }
        scrub->reported = grown;
        scrub->reported[scrub->n_reported++] = *finding;
        *finding = (ScrubFinding){};
        go_on(scrub);
}

void scrub_note(Scrub *scrub, const WatchReport *report) {
        const PathSet reported = { .items = report->paths, .n = report->n_paths }; /* a view: sorted, each once */
        bool unnamed = report->flags & (WATCH_RESYNC | WATCH_LOST | WATCH_EXHAUSTED);

        if (scrub->span_usec > 0)
                scrub_writers_note(&scrub->writers, report);
        for (size_t i = 0; scrub->damaged && i < scrub->damaged->n_entries; i++)
                if (unnamed || pathset_covers(&reported, scrub->damaged->entries[i].path))
                        (void) pathset_add(&scrub->touched, scrub->damaged->entries[i].path);
        pathset_sort(&scrub->touched);
}

static void take_configuration(Scrub *scrub) {
        uint64_t span = scrub->config->scrub_usec;

        if (span == scrub->span_usec)
                return;
        scrub_stop(scrub);
        scrub->span_usec = span;
        scrub->due_usec = now_usec(scrub) + span / 2;
        if (span == 0) {
                scrub->bytes = 0;
                scrub->n_repaired = 0;
        }
}

void scrub_update(Scrub *scrub, LayoutKind layout) {
        scrub->layout = layout;
        see_what_was_repaired(scrub);
        take_configuration(scrub);
        go_on(scrub);
}
