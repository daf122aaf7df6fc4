/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The checks of each mirror: its source, its memory, the way between them. See ctl/doctor/checks.h. */

#include "ctl/doctor/checks.h"

#include "base/path.h"
#include "base/strv.h"
#include "base/text.h"
#include "os/unit-name.h"

#include <sys/stat.h>

/* By the types in the mount table, of which these are the beginnings: "nfs4", "fuse.sshfs". */
static bool is_remote(const char *type) {
        static const char *const names[] = { "nfs",  "cifs", "smb",    "fuse.",     "9p",     "ceph",     "lustre",
                                             "gpfs", "afs",  "beegfs", "glusterfs", "vboxsf", "virtiofs", "vmhgfs" };

        for (size_t i = 0; type && i < ELEMENTSOF(names); i++)
                if (strncmp(type, names[i], strlen(names[i])) == 0)
                        return true;
        return false;
}

static void check_source_mount(const FactsMirror *mirror, DoctorReport *report) {
        const MirrorConfig *config = mirror->config;
        const char *type = mirror->source_mount.type;
        char need[TEXT_BYTES_MAX], span[TEXT_SPAN_MAX];

        (void) text_bytes(need, mirror->need);
        if (string_equal(type, "tmpfs") || string_equal(type, "ramfs")) {
                finding_add(report, DOCTOR_WARNING, "The source %s is itself in RAM (%s); each model occupies RAM "
                            "twice, and nothing is saved to disk", config->source, type);
                finding_fix(report, "set Source= in [Mirror %s] to a directory on a disk", config->name);
        } else if (is_remote(type) && config->poll_usec == 0) {
                finding_add(report, DOCTOR_WARNING, "The source is on %s, which does not report changes, and it is "
                                                    "never scanned (PollInterval=0); changes there go unnoticed", type);
                finding_fix(report, "set PollInterval=5min in [Mirror %s]", config->name);
        } else if (is_remote(type))
                finding_add(report, DOCTOR_NOTE, "%s in %s on %s; changes are noticed within %s (PollInterval=), "
                                                 "and engines that map models directly from the source can stall or "
                                                 "fail", need, config->source, type,
                            text_span(span, config->poll_usec));
        else
                finding_add(report, DOCTOR_OK, "%s in %s%s%s", need, config->source, type ? " on " : "",
                            type ? type : "");
}

void doctor_check_source(const DoctorFacts *facts, const FactsMirror *mirror, DoctorReport *report) {
        const MirrorConfig *config = mirror->config;

        if (!mirror->source_there) {
                finding_add(report, DOCTOR_PROBLEM, "The source %s is missing: %s", config->source,
                            strerror(mirror->scan_error));
                finding_fix(report, "mount the disk, or correct Source= in [Mirror %s]", config->name);
        } else if (mirror->scan_error != 0) {
                finding_add(report, facts->all_processes ? DOCTOR_PROBLEM : DOCTOR_NOTE,
                            "The source %s cannot be read%s: %s", config->source,
                            facts->all_processes ? "" : " by you", strerror(mirror->scan_error));
                if (facts->all_processes)
                        finding_fix(report, "correct the permissions that ls -la %s shows", config->source);
        } else if (mirror->scanned && mirror->need == 0) {
                finding_add(report, DOCTOR_WARNING,
                            "The source %s has nothing to stage; its disk may not be mounted", config->source);
                finding_fix(report, "findmnt --target %s; shmstagectl plan %s", config->source, config->name);
        } else if (mirror->unreadable) {
                finding_add(report, facts->all_processes ? DOCTOR_WARNING : DOCTOR_NOTE,
                            "Parts of the source %s cannot be read%s", config->source,
                            facts->all_processes ? "" : " by you");
                if (facts->all_processes)
                        finding_fix(report, "list them with shmstagectl plan %s, and correct their permissions",
                                    config->name);
        } else
                check_source_mount(mirror, report);
}

/* Reads that go through the page cache depend on the kernel's read-ahead, whose default is too small to use the
 * bandwidth of a network. */
void doctor_check_read_ahead(const DoctorFacts *facts, const FactsMirror *mirror, DoctorReport *report) {
        enum { ENOUGH_KB = 1024 };

        char path[96];
        uint64_t kb;

        if (!is_remote(mirror->source_mount.type))
                return;
        (void) snprintf(path, sizeof(path), "/sys/class/bdi/%u:%u/read_ahead_kb", mirror->source_mount.major,
                        mirror->source_mount.minor);
        if (root_view_read_number(&facts->machine, path, &kb) < 0)
                return;
        if (kb < ENOUGH_KB) {
                finding_add(report, DOCTOR_WARNING,
                            "The kernel reads only %llu KiB ahead on %s; staging over the network is slow",
                            (unsigned long long) kb, mirror->source_mount.directory);
                finding_fix(report, "echo 4096 >%s", path);
        } else
                finding_add(report, DOCTOR_OK, "%llu KiB", (unsigned long long) kb);
}

static void report_too_small(const FactsMirror *mirror, uint64_t size, DoctorReport *report) {
        _cleanup_(freep) char *unit = unit_name_from_path(mirror->config->target, "mount");
        char a[TEXT_BYTES_MAX], b[TEXT_BYTES_MAX];

        finding_add(report, mirror->config->on_no_room == NO_ROOM_FAIL ? DOCTOR_PROBLEM : DOCTOR_WARNING,
                    "The mirror selects %s, but %s has room for only %s", text_bytes(a, mirror->need),
                    mirror->config->target, text_bytes(b, size));
        finding_fix(report, "set Size= in [Mirror %s] to more than %s, then systemctl daemon-reload && systemctl "
                    "reload %s && systemctl restart shmstaged.service", mirror->config->name, a,
                    unit ? unit : "its mount unit");
}

void doctor_check_room(const DoctorFacts *facts, const FactsMirror *mirror, DoctorReport *report) {
        bool mounted = mirror->target_there && string_equal(mirror->target_mount.type, "tmpfs") && mirror->total > 0;
        uint64_t size = facts_mirror_size(facts, mirror->config);
        char a[TEXT_BYTES_MAX], b[TEXT_BYTES_MAX];

        if (facts->memory.total == 0)
                return;
        /* in a tmpfs that other programs use, too, Size= is a budget */
        size = mirror->own_mount && mounted ? mirror->total : mounted ? MIN(size, mirror->total) : size;
        if (mirror->scanned && mirror->need > size)
                report_too_small(mirror, size, report);
        else if (mounted && mirror->config->write_back && mirror->left < mirror->total / 20) {
                finding_add(report, DOCTOR_WARNING, "Only %s of %s are free in %s; models that clients pull or "
                            "create will not fit, and some clients do not notice", text_bytes(a, mirror->left),
                            text_bytes(b, mirror->total), mirror->config->target);
                finding_fix(report, "shmstagectl release MODEL, or raise Size= in [Mirror %s]",
                            mirror->config->name);
        } else if (!mounted)
                finding_add(report, DOCTOR_OK, "%s according to Size=; not mounted", text_bytes(a, size));
        else
                finding_add(report, DOCTOR_OK, "%s, %s free", text_bytes(a, size), text_bytes(b, mirror->left));
}

void doctor_check_mount_options(const DoctorFacts *facts, const FactsMirror *mirror, DoctorReport *report) {
        _cleanup_(freep) char *huge = facts_mount_option(&mirror->target_mount, "huge"),
                              *ro = facts_mount_option(&mirror->target_mount, "ro");
        static const char *const names[] = { [HUGE_WITHIN_SIZE] = "within_size", [HUGE_ALWAYS] = "always",
                                             [HUGE_ADVISE] = "advise", [HUGE_NEVER] = "never" };
        const char *wanted = names[mirror->config->huge_pages];

        if (!mirror->target_there || !string_equal(mirror->target_mount.type, "tmpfs"))
                return;
        if (ro) {
                finding_add(report, DOCTOR_PROBLEM, "%s is mounted read-only", mirror->target_mount.directory);
                finding_fix(report, "mount -o remount,rw %s", mirror->target_mount.directory);
        } else if (facts->shmem_huge && !string_equal(huge ? huge : "never", wanted)) {
                bool wants_none = string_equal(wanted, "never");

                finding_add(report, wants_none ? DOCTOR_NOTE : DOCTOR_WARNING,
                            "%s is mounted with huge=%s, not with huge=%s as HugePages= says%s",
                            mirror->target_mount.directory, huge ? huge : "never", wanted,
                            wants_none ? "" : "; engines load models more slowly from pages of 4 KiB");
                if (mirror->own_mount)
                        finding_fix(report, "mount -o remount,huge=%s %s; files that are staged already keep their "
                                    "pages until shmstaged.service is restarted", wanted,
                                    mirror->target_mount.directory);
        } else
                finding_add(report, DOCTOR_OK, "huge=%s", huge ? huge : "never");
}

void doctor_check_shm(const DoctorFacts *facts _unused_, const FactsMirror *mirror, DoctorReport *report) {
        const char *name = mirror->config->name, *type = mirror->target_mount.type;
        _cleanup_(freep) char *unit = unit_name_from_path(mirror->config->target, "mount");
        char a[TEXT_BYTES_MAX];

        if (!mirror->target_there)
                return;
        if (mirror->own_mount && !string_equal(type, "tmpfs")) {
                finding_add(report, DOCTOR_PROBLEM, "The filesystem on %s is %s, not tmpfs", mirror->config->target,
                            type);
                finding_fix(report, "umount %s, or set another Target= in [Mirror %s]", mirror->config->target,
                            name);
        } else if (!mirror->own_mount && string_equal(type, "tmpfs")) {
                finding_add(report, DOCTOR_WARNING,
                            "%s is a directory in the tmpfs %s (%s), which all programs share; it has no size and "
                            "no huge pages of its own", mirror->config->target, mirror->target_mount.directory,
                            mirror->total > 0 ? text_bytes(a, mirror->total) : "size unknown");
                finding_fix(report, "systemctl stop shmstaged.service; systemctl daemon-reload; systemctl start %s "
                            "shmstaged.service", unit ? unit : "its mount unit");
        } else if (mirror->own_mount)
                finding_add(report, DOCTOR_OK, "A tmpfs of its own");
}

/* When the last session of a user ends, logind removes the files of that user below /dev/shm (clean-ipc.c of systemd),
 * which looks like a deletion of models. The versions of systemd that were read descend only into directories of
 * that user; others may not, so a root directory of another user lessens the danger but does not rule it out. */
void doctor_check_remove_ipc(const DoctorFacts *facts, const FactsMirror *mirror, DoctorReport *report) {
        _cleanup_(root_view_user_done) RootViewUser user = { 0 };
        const char *name = mirror->config->name;
        bool one = mirror->n_login_files == 1;

        if (!facts->has_logind || !path_is_below(mirror->target, "/dev/shm"))
                return;
        if (!facts->remove_ipc || mirror->n_login_files == 0) {
                finding_add(report, DOCTOR_OK,
                            facts->remove_ipc ? "No file of the mirror belongs to a login user"
                                              : "logind leaves /dev/shm alone");
                return;
        }
        (void) root_view_user(&facts->machine, NULL, mirror->login_uid, &user);
        finding_add(report, mirror->target_uid == mirror->login_uid ? DOCTOR_PROBLEM : DOCTOR_WARNING,
                    "%zu file%s of the mirror belong%s to login user %s (%s%s); logind may remove %s from /dev/shm "
                    "when that user logs out", mirror->n_login_files, one ? "" : "s", one ? "s" : "",
                    user.name ? user.name : "without a name", one ? "" : "such as ", mirror->login_file,
                    one ? "it" : "them");
        finding_fix(report, "set RemoveIPC=no in [Login] of /etc/systemd/logind.conf.d/50-shmstaged.conf and "
                    "restart systemd-logind, or set Target=/run/shmstaged-%s", name);
}

void doctor_check_disk_room(const DoctorFacts *facts _unused_, const FactsMirror *mirror, DoctorReport *report) {
        _cleanup_(freep) char *ro = facts_mount_option(&mirror->source_mount, "ro");
        const char *name = mirror->config->name;
        char a[TEXT_BYTES_MAX], b[TEXT_BYTES_MAX];

        if (!mirror->config->write_back || !mirror->source_there)
                return;
        if (ro) {
                finding_add(report, DOCTOR_PROBLEM, "The source is mounted read-only; changes that clients make in "
                            "the mirror cannot be saved");
                finding_fix(report, "mount -o remount,rw %s, or set WriteBack=no in [Mirror %s]",
                            mirror->source_mount.directory, name);
        } else if (mirror->disk_left == UINT64_MAX || !mirror->scanned)
                return;
        else if (mirror->disk_left < mirror->biggest) {
                finding_add(report, DOCTOR_WARNING, "The disk of the source has %s free, less than its largest file "
                            "(%s, %s); a pulled model of that size cannot be saved",
                            text_bytes(a, mirror->disk_left), text_bytes(b, mirror->biggest), mirror->biggest_path);
                finding_fix(report, "free at least %s on the disk of %s", b, mirror->config->source);
        } else
                finding_add(report, DOCTOR_OK, "%s free on the disk; the size of the largest file is %s",
                            text_bytes(a, mirror->disk_left), text_bytes(b, mirror->biggest));
}

void doctor_check_token(const DoctorFacts *facts _unused_, const FactsMirror *mirror, DoctorReport *report) {
        const char *name = mirror->config->name, *source = mirror->config->source;

        if (!mirror->scanned)
                return;
        if (mirror->has_token) {
                finding_add(report, DOCTOR_WARNING,
                            "%s is an HF_HOME; its login token and chunk cache are mirrored, too", source);
                finding_fix(report, "set Source=%s/hub in [Mirror %s]", source, name);
        } else
                finding_add(report, DOCTOR_OK, "No login token in the source");
}
