/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Makes entries visible in the mirror. See stage/publish.h. */

#include "stage/publish.h"

#include "os/tree-attributes.h"
#include "os/tree-rename.h"

/* Unless we are root, a directory has to stay writable for us, so that it can be filled and emptied. */
static mode_t mirror_mode(const Entry *source) {
        return source->type == ENTRY_DIRECTORY && geteuid() != 0 ? source->mode | 0700 : source->mode;
}

/* Without CAP_CHOWN the owner cannot be set; that is a failure only for root. */
static TreeAttributes attributes_of(const Entry *source) {
        return (TreeAttributes){ .uid = source->uid, .gid = source->gid, .mode = (uint16_t) mirror_mode(source),
                                 .mtime_nsec = source->mtime_nsec, .lenient = geteuid() != 0 };
}

/* The entry is that of the source, with the inode of the mirror. */
static void set_found(const struct stat *st, const Entry *source, Entry *ret) {
        *ret = *source;
        ret->ino = st->st_ino;
        ret->ctime_nsec = fs_nsec(&st->st_ctim);
}

/* The entry of @fd or, if that is -1, of what is at the path in the mirror now. */
static int describe(MirrorPrivateDir *private_dir, int fd, const Entry *source, Entry *ret) {
        struct stat st;
        int r = fd < 0 ? fs_stat_beneath(private_dir->mirrorfd, source->path, &st) : fstat(fd, &st) < 0 ? -errno : 0;

        if (r == 0)
                set_found(&st, source, ret);
        return r;
}

static int place(MirrorPrivateDir *private_dir, const char *name, int fd, const Entry *source, const Entry *expected,
                 Entry *ret, const char **reterr_what) {
        int r = mirror_private_dir_publish(private_dir, name, source->path, expected);

        *reterr_what = "move into place the copy of";
        if (r != 0) { /* or what a client's rename has replaced meanwhile, which would be gone without us too */
                (void) tree_access_drop((TreeName){ private_dir->fd, name });
                return r;
        }
        *reterr_what = "stat the copy of";
        return describe(private_dir, fd, source, ret);
}

int publish_file(MirrorPrivateDir *private_dir, int mirrorfd, int sourcefd, const Entry *source,
                 const Entry *expected, Entry *ret, bool *ret_xattrs_lost, const char **reterr_what) {
        TreeAttributes attributes = { .uid = UINT32_MAX, .gid = UINT32_MAX, .mode = source->mode,
                                      .mtime_nsec = source->mtime_nsec };
        char name[MIRROR_PRIVATE_DIR_NAME_MAX];
        struct stat st;
        int r;

        *reterr_what = "copy the xattrs of";
        r = tree_attributes_copy_xattrs(sourcefd, mirrorfd, ret_xattrs_lost);
        if (r < 0)
                return r;
        *reterr_what = "set owner, mode and time on the copy of";
        if (fstat(mirrorfd, &st) < 0)
                return -errno;
        if (st.st_uid != source->uid || st.st_gid != source->gid)
                attributes = attributes_of(source);
        r = tree_attributes_set(mirrorfd, &attributes);
        if (r < 0)
                return r;
        *reterr_what = "link the temporary file of";
        (void) mirror_private_dir_name_for(private_dir, st.st_ino, name);
        r = tree_access_name_unnamed(mirrorfd, (TreeName){ private_dir->fd, name });
        if (r < 0)
                return r;
        return place(private_dir, name, mirrorfd, source, expected, ret, reterr_what);
}

/* The first name may also be an old version, a link to the disk, or a client's. */
int publish_hardlink(MirrorPrivateDir *private_dir, const Entry *source, const Entry *expected, Entry *ret,
                     const char **reterr_what) {
        FileIdentity first = { .size = source->size, .mtime_nsec = source->mtime_nsec, .type = S_IFREG };
        _cleanup_(close_fdp) int parent = -1;
        char name[MIRROR_PRIVATE_DIR_NAME_MAX];
        TreeName own = { private_dir->fd, mirror_private_dir_name_new(private_dir, name) };
        const char *last;
        int r;

        *reterr_what = "hard-link the copy of";
        parent = fs_open_parent(private_dir->mirrorfd, source->target, &last);
        if (parent < 0)
                return parent;
        r = tree_rename_link((TreeName){ parent, last }, own, &first);
        if (r != 0)
                return r == TREE_OCCUPIED ? -ESTALE : r == TREE_ABSENT ? -ENOENT : r == TREE_NO_LINKS ? -EMLINK : r;
        r = mirror_private_dir_name_created(private_dir, name);
        if (r < 0) {
                (void) tree_access_drop(own);
                return r;
        }
        return place(private_dir, name, -1, source, expected, ret, reterr_what);
}

/* What has just been created gets its attributes and the name for its inode. */
static int prepare(MirrorPrivateDir *private_dir, char name[static MIRROR_PRIVATE_DIR_NAME_MAX], const Entry *source,
                   int (*set)(TreeName at, const TreeAttributes *attributes)) {
        TreeAttributes attributes = attributes_of(source);
        int r;

        attributes.mode |= 0700; /* a directory has to be filled yet */
        r = set((TreeName){ private_dir->fd, name }, &attributes);
        if (r == 0)
                r = mirror_private_dir_name_created(private_dir, name);
        if (r < 0)
                (void) tree_access_drop((TreeName){ private_dir->fd, name });
        return r;
}

int publish_symlink(MirrorPrivateDir *private_dir, const Entry *source, const char *target, const Entry *expected,
                    Entry *ret, const char **reterr_what) {
        char name[MIRROR_PRIVATE_DIR_NAME_MAX];
        int r;

        *reterr_what = "create the copy of the symbolic link";
        (void) mirror_private_dir_name_new(private_dir, name);
        r = tree_access_create_symlink((TreeName){ private_dir->fd, name }, target);
        if (r == 0)
                r = prepare(private_dir, name, source, tree_attributes_set_link);
        return r < 0 ? r : place(private_dir, name, -1, source, expected, ret, reterr_what);
}

int publish_directory(MirrorPrivateDir *private_dir, const Entry *source, const Entry *expected, Entry *ret,
                      const char **reterr_what) {
        char name[MIRROR_PRIVATE_DIR_NAME_MAX];
        int r;

        *reterr_what = "create the copy of the directory";
        if (expected && expected->type == ENTRY_DIRECTORY)
                return describe(private_dir, -1, source, ret);
        (void) mirror_private_dir_name_new(private_dir, name);
        r = tree_access_create_directory((TreeName){ private_dir->fd, name }, 0700);
        if (r == 0)
                r = prepare(private_dir, name, source, tree_attributes_set_directory);
        return r < 0 ? r : place(private_dir, name, -1, source, expected, ret, reterr_what);
}

int publish_attributes(MirrorPrivateDir *private_dir, const Entry *source, const Entry *expected, Entry *ret,
                       const char **reterr_what) {
        FileIdentity identity = { .type = S_IFDIR };
        TreeAttributes attributes = attributes_of(source);
        struct stat st;
        int r;

        if (expected) {
                identity = manifest_identity(expected);
                identity.ctime_nsec = 0;
        }
        *reterr_what = "set owner, mode and time on the copy of";
        r = tree_attributes_set_expected(private_dir->mirrorfd, source->path, &identity, &attributes, false, &st);
        if (r == 0)
                set_found(&st, source, ret);
        return r;
}
