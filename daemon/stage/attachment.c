/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Opens and closes what a mirror holds while it runs. See stage/attachment.h. */

#include "stage/attachment.h"

#include "base/path.h"
#include "base/text.h"
#include "os/fs.h"
#include "os/own-file.h"
#include "os/tree-access.h"
#include "stage/special-files.h"
#include "tree/scan.h"

#include <fcntl.h>
#include <stdarg.h>
#include <sys/file.h>
#include <systemd/sd-id128.h>

void attachment_init(Attachment *attachment) {
        *attachment = (Attachment){ .sourcefd = -1, .statelockfd = -1 };
        attachment->mount.fd = -1;
        attachment->private_dir.fd = attachment->private_dir.lockfd = -1;
}

static int refuse(char **reterr_text, const char *format, ...) _printf_(2, 3);

static int refuse(char **reterr_text, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        *reterr_text = text_vformat(format, ap);
        va_end(ap);
        return *reterr_text ? ATTACH_REFUSED : -ENOMEM;
}

static int open_source(Attachment *a, const MirrorConfig *config, char **reterr_text) {
        char path[TEXT_PATH_MAX];
        int fd;

        (void) text_path(path, config->source);
        fd = tree_access_open_root(config->source, 0);
        if (fd == -ENOENT)
                return refuse(reterr_text, "The source '%s' does not exist; mount or create it, or correct Source=",
                              path);
        if (fd == -ENOTDIR)
                return refuse(reterr_text, "The source '%s' is not a directory; correct Source=", path);
        if (fd < 0)
                return refuse(reterr_text, "Failed to open the source '%s': %s%s", path, strerror(-fd),
                              fd == -EACCES ? "; make it readable for the daemon" : "");
        a->sourcefd = fd;
        a->eventless = fs_is_eventless(a->sourcefd) != 0;
        return 0;
}

/* The path without symbolic links as far as it exists, followed by the rest of it. */
static char *resolve(const char *path) {
        _cleanup_(freep) char *existing = strdup(path);

        while (existing) {
                _cleanup_(freep) char *real = realpath(*existing ? existing : "/", NULL);
                char *slash;

                if (real)
                        return text_format("%s%s", real[1] ? real : "", path + strlen(existing));
                slash = strrchr(existing, '/');
                if (!slash || errno == ENOMEM)
                        break;
                *slash = '\0';
        }
        return NULL;
}

/* A symbolic link may put source and target inside each other although the paths in the configuration are not, and the
 * mirror would then be mirrored into itself. */
static int check_apart(const MirrorConfig *config, char **reterr_text) {
        _cleanup_(freep) char *source = resolve(config->source), *target = resolve(config->target);
        char a[TEXT_PATH_MAX], b[TEXT_PATH_MAX];

        if (!source || !target)
                return 0; /* opening them finds out what is wrong */
        if (!path_is_below(source, target) && !path_is_below(target, source))
                return 0;
        return refuse(reterr_text,
                      "The target '%s' and the source '%s' overlap once symbolic links are followed; choose another "
                      "Target=",
                      text_path(b, config->target), text_path(a, config->source));
}

static int open_mount(Attachment *a, const MirrorConfig *config, uint64_t size, char **reterr_text) {
        const char *what = "open";
        char path[TEXT_PATH_MAX];
        struct stat st;
        int r = mount_open(config, size, &a->mount, &what);

        (void) text_path(path, config->target);
        switch (r) {
        case 0:
                return 0;
        case MOUNT_NOT_TMPFS:
                return refuse(reterr_text,
                              "The target '%s' is not on a tmpfs, and the daemon may not mount one there; choose a "
                              "Target= below /dev/shm, or run the daemon as root",
                              path);
        case MOUNT_OTHER_MOUNTED:
                return refuse(reterr_text,
                              "Something other than a tmpfs is mounted on the target '%s'; unmount it, or choose "
                              "another Target=",
                              path);
        case MOUNT_COVERS_FILES:
                return refuse(reterr_text,
                              "The target '%s' contains files, which a tmpfs would hide; move them away, or choose "
                              "another Target=",
                              path);
        case MOUNT_INVISIBLE:
                return refuse(reterr_text,
                              "No tmpfs is mounted on the target '%s', and one mounted by this service would be "
                              "invisible to other processes; run 'systemctl daemon-reload' to generate its mount "
                              "unit, then restart shmstaged.service",
                              path);
        }
        if (r == -ENOMEM)
                return r;
        a->mount.fd = -1;
        if (lstat(config->target, &st) == 0 && S_ISLNK(st.st_mode))
                return refuse(reterr_text,
                              "The target '%s' is a symbolic link, which is not followed; set Target= to the "
                              "directory that it points to",
                              path);
        return refuse(reterr_text, "Failed to %s the target '%s': %s", what, path, strerror(-r));
}

static int open_private_dir(Attachment *a, const MirrorConfig *config, char **reterr_text) {
        char path[TEXT_PATH_MAX], detail[TEXT_PATH_MAX];
        _cleanup_(freep) char *found = NULL;
        const char *what = "";
        int r = mirror_private_dir_open(&a->private_dir, a->mount.fd, config->name, config->source, &found, &what);

        (void) text_path(path, config->target);
        (void) text_path(detail, found ? found : "?");
        switch (r) {
        case 0:
                return 0;
        case MIRROR_PRIVATE_DIR_BUSY:
                return refuse(reterr_text,
                              "The target '%s' is in use by another shmstaged, process %s; stop that one first, or "
                              "choose another Target=",
                              path, detail);
        case MIRROR_PRIVATE_DIR_FOREIGN:
                return refuse(reterr_text,
                              "The target '%s' contains files that are not from shmstaged, such as '%s', and "
                              "nothing was changed; move them away, or choose another Target=",
                              path, detail);
        case MIRROR_PRIVATE_DIR_OTHER:
                return refuse(reterr_text,
                              "The target '%s' is the mirror of another source, '%s', and nothing was changed; files "
                              "in it may not be on the disk yet: set Source= back and start once to save them, or "
                              "choose another Target=",
                              path, detail);
        }
        if (r == -ENOMEM)
                return r;
        return refuse(reterr_text, "Failed to %s the target '%s': %s", what, path, strerror(-r));
}

static int lock_state(Attachment *a, const MirrorConfig *config, int statefd, char **reterr_text) {
        _cleanup_(freep) char *name = text_format("%s.lock", config->name);
        int fd;

        if (!name)
                return -ENOMEM;
        fd = own_file_open(statefd, name, OWN_FILE_LOCK);
        if (fd < 0)
                return refuse(reterr_text, "Failed to open '%s' in the state directory: %s", name, strerror(-fd));
        a->statelockfd = fd;
        if (flock(a->statelockfd, LOCK_EX | LOCK_NB) < 0)
                return refuse(reterr_text,
                              "Another shmstaged has locked the state of a mirror named '%s'; stop that one first, or "
                              "use another name or state directory",
                              config->name);
        return 0;
}

static int read_generation(Attachment *a, const MirrorConfig *config, char **reterr_text) {
        struct stat source, mirror;
        sd_id128_t boot;
        int r = sd_id128_get_boot(&boot);

        if (r < 0)
                return refuse(reterr_text, "Failed to read the boot ID: %s", strerror(-r));
        if (fstat(a->sourcefd, &source) < 0 || fstat(a->mount.fd, &mirror) < 0)
                return refuse(reterr_text, "Failed to identify the source and target of mirror '%s': %m",
                              config->name);
        a->generation = (Generation){ .mirror_dev = mirror.st_dev, .mirror_ino = mirror.st_ino,
                                      .source_dev = source.st_dev, .source_ino = source.st_ino };
        memcpy(a->generation.boot_id, boot.bytes, sizeof(a->generation.boot_id));
        return 0;
}

static void mark_unproven(Manifest *base) {
        for (size_t i = 0; i < base->n_entries; i++)
                if (manifest_entry_is_data(&base->entries[i]) &&
                    !(base->entries[i].flags & (ENTRY_RECORD | ENTRY_LINKED | ENTRY_MIRROR_DIFFERS)))
                        base->entries[i].flags |= ENTRY_UNPROVEN;
}

/* Entries of another boot, another mount or another source are not in this mirror: only their digests still count. */
static int load_base(Attachment *a, const MirrorConfig *config, int statefd, char **reterr_text) {
        int r = manifest_load(statefd, config->name, &a->base, &a->damaged_line);

        if (r == MANIFEST_DAMAGED || r == MANIFEST_ABSENT) {
                a->base_damaged = r == MANIFEST_DAMAGED;
                r = manifest_new(&a->base);
        }
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return refuse(reterr_text, "Failed to read '%s.xxh128' in the state directory: %s", config->name,
                              strerror(-r));
        if (!a->private_dir.adopted || !manifest_generation_equal(&a->base->generation, &a->generation))
                for (size_t i = 0; i < a->base->n_entries; i++)
                        a->base->entries[i].flags |= ENTRY_RECORD;
        else /* nobody watched what was done to it */
                mark_unproven(a->base);
        a->base->generation = a->generation;
        return 0;
}

int attachment_open(Attachment *a, const MirrorConfig *config, int statefd, uint64_t size, char **reterr_text) {
        int r;

        r = open_source(a, config, reterr_text);
        if (r == 0)
                r = check_apart(config, reterr_text);
        if (r == 0)
                r = lock_state(a, config, statefd, reterr_text);
        if (r == 0)
                r = open_mount(a, config, size, reterr_text);
        if (r == 0)
                r = open_private_dir(a, config, reterr_text);
        if (r == 0)
                r = read_generation(a, config, reterr_text);
        if (r == 0)
                r = load_base(a, config, statefd, reterr_text);
        if (r == 0 && a->private_dir.adopted)
                a->n_unknown = MAX(mirror_private_dir_clean(&a->private_dir, a->base), 0);
        return r;
}

int attachment_close(Attachment *a, const MirrorConfig *config, bool remove) {
        int r = 0;

        if (a->private_dir.fd >= 0)
                mirror_private_dir_close(&a->private_dir, remove);
        if (a->mount.fd >= 0)
                r = mount_close(&a->mount, config->target, remove);
        a->base = manifest_free(a->base);
        a->sourcefd = close_fd(a->sourcefd);
        a->statelockfd = close_fd(a->statelockfd);
        return r;
}

static bool knows_a_file(const Manifest *base, int sourcefd) {
        for (size_t i = 0; i < base->n_entries; i++) {
                const Entry *entry = &base->entries[i];
                int64_t mtime_nsec = entry->disk.ctime_nsec != 0 ? entry->disk.mtime_nsec : entry->mtime_nsec;
                struct stat st;

                if (entry->type == ENTRY_FILE && fs_stat_beneath(sourcefd, entry->path, &st) == 0 &&
                    S_ISREG(st.st_mode) && (uint64_t) st.st_size == entry->size &&
                    fs_nsec(&st.st_mtim) == mtime_nsec)
                        return true;
        }
        return false;
}

int attachment_check_source(Attachment *a, const MirrorConfig *config, bool *ret_reopened) {
        _cleanup_(close_fdp) int fd = -1;
        struct stat st;

        *ret_reopened = false;
        fd = tree_access_open_root(config->source, 0);
        if (fd < 0 || fstat(fd, &st) < 0)
                return ATTACH_LOST;
        if (st.st_dev == a->generation.source_dev && st.st_ino == a->generation.source_ino)
                return 0;
        if (!knows_a_file(a->base, fd))
                return ATTACH_LOST;
        (void) close_fd(a->sourcefd);
        a->sourcefd = TAKE_FD(fd);
        for (size_t i = 0; i < a->base->n_entries; i++) /* it is the same filesystem, mounted again */
                if (a->base->entries[i].dev == (uint32_t) a->generation.source_dev)
                        a->base->entries[i].dev = (uint32_t) st.st_dev;
        a->generation.source_dev = st.st_dev;
        a->generation.source_ino = st.st_ino;
        a->base->generation = a->generation;
        *ret_reopened = true;
        return 0;
}

int attachment_check_mirror(Attachment *a, const MirrorConfig *config) {
        struct stat st, here;

        if (stat(config->target, &st) < 0 || fstat(a->mount.fd, &here) < 0 || st.st_dev != here.st_dev ||
            st.st_ino != here.st_ino)
                return ATTACH_LOST;
        if (a->private_dir.fd >= 0 && !mirror_private_dir_is_gone(&a->private_dir))
                return 0;
        return mirror_private_dir_recreate(&a->private_dir, config->name, config->source) < 0 ? ATTACH_LOST
                                                                                              : ATTACH_WIPED;
}

/* Whether nothing is left in the mirror, in the private directory neither; else *ret_left is something that is, a new
 * string, or NULL if not known. */
static bool is_empty(Attachment *a, const MirrorConfig *config, char **ret_left) {
        ScanOptions options = { .root = config->target, .mirror = true };
        _cleanup_(manifest_freep) Manifest *left = NULL;

        *ret_left = NULL;
        if (scan_tree(a->mount.fd, &options, &left) < 0)
                return false;
        if (left->n_entries == 0 && mirror_private_dir_is_empty(&a->private_dir))
                return true;
        *ret_left = strdup(left->n_entries > 0 ? left->entries[left->n_entries - 1].path : SCAN_PRIVATE_DIR);
        return false;
}

void attachment_end(Attachment *a, const MirrorConfig *config, int statefd, bool removed, bool save,
                    AttachmentEnd *ret) {
        *ret = (AttachmentEnd){};
        if (!a->base) {
                (void) attachment_close(a, config, false); /* it was never open as a whole, and has nothing to remove */
                return;
        }
        if (removed)
                special_files_remove(&a->private_dir);
        mount_freeze(&a->mount, true);
        ret->empty = is_empty(a, config, &ret->left);
        if (!ret->empty)
                mount_freeze(&a->mount, false);
        if (removed && ret->empty) /* else the next start goes on with what is left */
                a->base->generation = (Generation){};
        if (save || removed)
                ret->save = manifest_save(a->base, statefd, config->name, config->source, config->target);
        ret->unmount = attachment_close(a, config, ret->empty);
}

/* From the end of the list, so that directories come after what is in them. */
static void remove_all(Attachment *a, const Manifest *list) {
        const unsigned stays = ENTRY_RECORD | ENTRY_UNPROVEN | ENTRY_MIRROR_DIFFERS | ENTRY_OWN_COPY;

        for (size_t i = list->n_entries; i > 0; i--)
                if (!(list->entries[i - 1].flags & stays))
                        (void) mirror_private_dir_remove(&a->private_dir, list->entries[i - 1].path,
                                                         &list->entries[i - 1]);
}

void attachment_abandon(Attachment *a, const MirrorConfig *config, const Manifest *changes) {
        _cleanup_(freep) char *left = NULL;
        bool empty;

        if (changes)
                remove_all(a, changes);
        remove_all(a, a->base);
        mount_freeze(&a->mount, true);
        empty = is_empty(a, config, &left);
        if (!empty)
                mount_freeze(&a->mount, false);
        mirror_private_dir_close(&a->private_dir, empty);
        (void) mount_close(&a->mount, config->target, empty); /* the process ends before it could report anything */
}
