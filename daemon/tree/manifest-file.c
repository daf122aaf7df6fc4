/* SPDX-License-Identifier: GPL-2.0-or-later */

/* A manifest as a text: NAME.xxh128 and NAME.journal beside it. See tree/manifest.h.
 *
 * A line "# TYPE ..." holds everything about one entry; a line "DIGEST  PATH" after it is for people and for `xxh128sum
 * -c`, which takes lines that it does not know for comments (version 0.8.1 counts them in a remark, and succeeds).
 * Names that such a line cannot carry (with a line feed or a carriage return) have only the "#" line. */

#include "tree/manifest.h"

#include "base/text.h"
#include "os/own-file.h"

static const char *const type_names[] = {
        [ENTRY_FILE] = "file",
        [ENTRY_DIRECTORY] = "directory",
        [ENTRY_SYMLINK] = "symlink",
        [ENTRY_HARDLINK] = "hardlink",
};

static const char head_line[] = "# shmstaged manifest 2\n", head_line_1[] = "# shmstaged manifest 1\n";

enum { LINE_MAX_BYTES = 64 * 1024 };

/* One entry as a "#" line: a new string, NULL on ENOMEM. */
static char *entry_line(const Entry *entry) {
        _cleanup_(freep) char *path = text_escape(entry->path, true);
        _cleanup_(freep) char *target = entry->target ? text_escape(entry->target, true) : NULL;
        char hex[DIGEST_HEX_MAX] = "-";

        if (!path || (entry->target && !target))
                return NULL;
        if (entry->flags & ENTRY_HAS_DIGEST)
                (void) digest_to_hex(&entry->digest, hex);
        return text_format("# %s %u %llu %llu %lld %lld %llu %u %u %o %s %u %llu %lld %lld %s %s\n",
                           type_names[entry->type], entry->flags, (unsigned long long) entry->size,
                           (unsigned long long) entry->room, (long long) entry->mtime_nsec,
                           (long long) entry->ctime_nsec, (unsigned long long) entry->ino, entry->uid, entry->gid,
                           entry->mode, hex, entry->dev, (unsigned long long) entry->disk.ino,
                           (long long) entry->disk.mtime_nsec, (long long) entry->disk.ctime_nsec, path,
                           target && *target ? target : "-");
}

/* No path of a scan is absolute or has an empty, "." or ".." part. A file with another one was not written by us. */
static bool is_plain_path(const char *path) {
        for (const char *part = path;; part++) {
                const char *end = strchrnul(part, '/');
                size_t n = (size_t) (end - part);

                if (n == 0 || (n == 1 && part[0] == '.') || (n == 2 && part[0] == '.' && part[1] == '.'))
                        return false;
                if (*end == '\0')
                        return true;
                part = end;
        }
}

#define FORMAT_1 "# %15s %u %llu %llu %lld %lld %llu %u %u %o %63s "
#define FORMAT_2 FORMAT_1 "%u %llu %lld %lld "

static int parse_entry(const char *line, bool first_format, Entry *ret) {
        _cleanup_(freep) char *path_text = malloc(strlen(line) + 1), *target_text = malloc(strlen(line) + 1);
        _cleanup_(freep) char *path = NULL, *target = NULL;
        unsigned long long size, room, ino, disk_ino = 0;
        long long mtime, ctime, disk_mtime = 0, disk_ctime = 0;
        unsigned flags, uid, gid, mode, type, dev = 0;
        char name[16], hex[64];
        int rest = 0, end = 0;

        if (!path_text || !target_text)
                return -ENOMEM;
        if (first_format)
                (void) sscanf(line, FORMAT_1 "%n", name, &flags, &size, &room, &mtime, &ctime, &ino, &uid, &gid, &mode,
                              hex, &rest);
        else
                (void) sscanf(line, FORMAT_2 "%n", name, &flags, &size, &room, &mtime, &ctime, &ino, &uid, &gid, &mode,
                              hex, &dev, &disk_ino, &disk_mtime, &disk_ctime, &rest);
        if (rest == 0 || sscanf(line + rest, "%s %s%n", path_text, target_text, &end) != 2 || line[rest + end] != '\0')
                return -EINVAL;
        for (type = 0; type < ELEMENTSOF(type_names) && strcmp(name, type_names[type]) != 0; type++)
                ;
        if (type == ELEMENTSOF(type_names) || mode > 03777 || text_unescape(path_text, &path) < 0 ||
            text_unescape(target_text, &target) < 0 || !is_plain_path(path))
                return -EINVAL;
        if (type == ENTRY_FILE || type == ENTRY_DIRECTORY) {
                free(target);
                target = NULL;
        }
        *ret = (Entry){ .size = size, .room = room, .mtime_nsec = mtime, .ctime_nsec = ctime, .ino = ino, .uid = uid,
                        .gid = gid, .dev = dev, .mode = (uint16_t) mode, .type = (uint8_t) type,
                        .flags = (uint16_t) (flags | (first_format ? ENTRY_RECORD : 0)),
                        .disk = { .ino = disk_ino, .mtime_nsec = disk_mtime, .ctime_nsec = disk_ctime } };
        if (flags & ENTRY_HAS_DIGEST && (strlen(hex) != DIGEST_HEX_MAX - 1 || digest_from_hex(hex, &ret->digest) < 0))
                return -EINVAL;
        ret->path = TAKE_PTR(path);
        ret->target = TAKE_PTR(target);
        return 0;
}

static void generation_line(const Generation *generation, char buffer[static 160]) {
        char boot[DIGEST_HEX_MAX];
        Digest id;

        memcpy(id.bytes, generation->boot_id, sizeof(id.bytes));
        (void) snprintf(buffer, 160, "# generation %s %llu:%llu %llu:%llu\n", digest_to_hex(&id, boot),
                        (unsigned long long) generation->mirror_dev, (unsigned long long) generation->mirror_ino,
                        (unsigned long long) generation->source_dev, (unsigned long long) generation->source_ino);
}

static int parse_generation(const char *line, Generation *ret) {
        unsigned long long mirror_dev, mirror_ino, source_dev, source_ino;
        char boot[64];
        Digest id;

        if (sscanf(line, "# generation %63s %llu:%llu %llu:%llu", boot, &mirror_dev, &mirror_ino, &source_dev,
                   &source_ino) != 5 || strlen(boot) != DIGEST_HEX_MAX - 1 || digest_from_hex(boot, &id) < 0)
                return -EINVAL;
        *ret = (Generation){ .mirror_dev = mirror_dev, .mirror_ino = mirror_ino, .source_dev = source_dev,
                             .source_ino = source_ino };
        memcpy(ret->boot_id, id.bytes, sizeof(ret->boot_id));
        return 0;
}

static bool has_checksum_line(const Entry *entry) {
        return (entry->type == ENTRY_FILE || entry->type == ENTRY_HARDLINK) && entry->flags & ENTRY_HAS_DIGEST &&
               !(entry->flags & (ENTRY_RECORD | ENTRY_LINKED)) && !strpbrk(entry->path, "\n\r");
}

static int write_entries(const Manifest *manifest, FILE *file) {
        for (size_t i = 0; i < manifest->n_entries; i++) {
                const Entry *entry = &manifest->entries[i];
                _cleanup_(freep) char *line = entry_line(entry);
                char hex[DIGEST_HEX_MAX];

                if (!line)
                        return -ENOMEM;
                if (fputs(line, file) < 0)
                        return -errno;
                if (has_checksum_line(entry) &&
                    fprintf(file, "%s  %s\n", digest_to_hex(&entry->digest, hex), entry->path) < 0)
                        return -errno;
        }
        return 0;
}

static int write_all(const Manifest *manifest, FILE *file, const char *source, const char *target) {
        _cleanup_(freep) char *source_text = text_escape(source, true), *target_text = text_escape(target, true);
        char generation[160];
        int r;

        if (!source_text || !target_text)
                return -ENOMEM;
        generation_line(&manifest->generation, generation);
        if (fprintf(file, "%s# source %s\n# target %s\n%s", head_line, source_text, target_text, generation) < 0)
                return -errno;
        r = write_entries(manifest, file);
        if (r < 0)
                return r;
        if (fputs("# end\n", file) < 0 || fflush(file) != 0 || fsync(fileno(file)) < 0)
                return -errno;
        return 0;
}

static char *final_name(const char *name) {
        return text_format("%s.xxh128", name);
}

static char *journal_name(const char *name) {
        return text_format("%s.journal", name);
}

int manifest_save(const Manifest *manifest, int dirfd, const char *name, const char *source, const char *target) {
        _cleanup_(freep) char *final = final_name(name), *temporary = text_format(".%s.xxh128.new", name),
                              *journal = journal_name(name);
        _cleanup_(fclosep) FILE *file = NULL;
        int r;

        assert(manifest->n_sorted == manifest->n_entries);
        if (!final || !temporary || !journal)
                return -ENOMEM;
        r = own_file_open_stream(dirfd, temporary, OWN_FILE_WRITE, &file);
        if (r < 0)
                return r;
        r = write_all(manifest, file, source, target);
        if (r == 0)
                r = own_file_rename(dirfd, temporary, final);
        if (r < 0) {
                (void) own_file_remove(dirfd, temporary); /* only the first failure is reported */
                return r;
        }
        r = own_file_remove(dirfd, journal);
        return r == 0 && fsync(dirfd) < 0 ? -errno : r;
}

/* Applies one line to the manifest. 0, positive at "# end", or a negative errno. */
static int apply_any(Manifest *manifest, char *line, bool first_format) {
        Entry entry = {};
        int r;

        if (strncmp(line, "# ", 2) != 0)
                return 0;
        if (string_equal(line, "# end"))
                return 1;
        if (strncmp(line, "# generation ", 13) == 0)
                return parse_generation(line, &manifest->generation);
        if (strncmp(line, "# source ", 9) == 0 || strncmp(line, "# target ", 9) == 0)
                return 0;
        r = parse_entry(line, first_format, &entry);
        if (r == 0)
                r = manifest_put(manifest, &entry);
        manifest_entry_done(&entry);
        return r;
}

static int apply_line(Manifest *manifest, char *line) {
        return apply_any(manifest, line, false);
}

static int apply_line_1(Manifest *manifest, char *line) {
        return apply_any(manifest, line, true);
}

static int drop_line(Manifest *manifest, const char *line) {
        _cleanup_(freep) char *path = NULL;
        Entry *entry;
        int r = text_unescape(line + strlen("# drop "), &path);

        if (r < 0)
                return r;
        manifest_sort(manifest);
        entry = manifest_find(manifest, path);
        if (entry)
                entry->flags |= ENTRY_RECORD;
        return 0;
}

/* Reads lines until the end of the file. 0, a negative errno, or positive: the number of the line that is invalid. */
static int read_lines(FILE *file, Manifest *manifest, bool *ret_complete,
                      int (*apply)(Manifest *manifest, char *line)) {
        _cleanup_(freep) char *line = NULL;
        size_t allocated = 0;
        ssize_t n;

        *ret_complete = false;
        for (int number = 1; (n = getline(&line, &allocated, file)) >= 0; number++) {
                int r;

                if (n == 0 || line[n - 1] != '\n') /* a crash cut it off: as if it had not been written */
                        return 0;
                line[n - 1] = '\0';
                if (n > LINE_MAX_BYTES || strlen(line) != (size_t) n - 1)
                        return number;
                r = apply(manifest, line);
                if (r == -ENOMEM)
                        return r;
                if (r < 0)
                        return number;
                *ret_complete = *ret_complete || r > 0;
        }
        return ferror(file) ? -EIO : 0;
}

/* An invalid line was cut off by a crash. It is left out: its entry is verified again, which only costs time. */
static int apply_journal_line(Manifest *manifest, char *line) {
        int r = strncmp(line, "# drop ", 7) == 0 ? drop_line(manifest, line) : apply_line(manifest, line);

        return r == -ENOMEM ? r : 0;
}

/* The first line of the journal says of which generation it is. If that is not the manifest's, the entries of the
 * manifest become records, because they describe an earlier mirror. */
static int load_journal(int dirfd, const char *name, Manifest *manifest) {
        _cleanup_(freep) char *journal = journal_name(name);
        _cleanup_(fclosep) FILE *file = NULL;
        Generation before = manifest->generation;
        char head[160];
        bool complete;
        int r;

        r = journal ? own_file_open_stream(dirfd, journal, OWN_FILE_READ, &file) : -ENOMEM;
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        if (!fgets(head, sizeof(head), file) || parse_generation(head, &manifest->generation) < 0)
                return 0;
        if (!manifest_generation_equal(&before, &manifest->generation))
                for (size_t i = 0; i < manifest->n_entries; i++)
                        manifest->entries[i].flags |= ENTRY_RECORD;
        r = read_lines(file, manifest, &complete, apply_journal_line);
        manifest_sort(manifest);
        return r < 0 ? r : 0;
}

/* 0, MANIFEST_DAMAGED, or a negative errno. */
static int load_entries(FILE *file, Manifest *manifest, unsigned *reterr_line) {
        bool complete = false;
        char head[64];
        int r;

        if (!fgets(head, sizeof(head), file) || (strcmp(head, head_line) != 0 && strcmp(head, head_line_1) != 0)) {
                *reterr_line = 1;
                return MANIFEST_DAMAGED;
        }
        r = read_lines(file, manifest, &complete, strcmp(head, head_line) == 0 ? apply_line : apply_line_1);
        if (r < 0)
                return r;
        if (r > 0 || !complete) {
                *reterr_line = r > 0 ? (unsigned) r + 1 : 0;
                return MANIFEST_DAMAGED;
        }
        manifest_sort(manifest);
        return 0;
}

int manifest_load(int dirfd, const char *name, Manifest **ret, unsigned *reterr_line) {
        _cleanup_(freep) char *final = final_name(name);
        _cleanup_(manifest_freep) Manifest *manifest = NULL;
        _cleanup_(fclosep) FILE *file = NULL;
        bool absent;
        int r;

        r = final ? manifest_new(&manifest) : -ENOMEM;
        if (r < 0)
                return r;
        r = own_file_open_stream(dirfd, final, OWN_FILE_READ, &file);
        absent = r == -ENOENT;
        if (r == 0)
                r = load_entries(file, manifest, reterr_line);
        if (r != 0 && !absent)
                return r;
        r = load_journal(dirfd, name, manifest);
        if (r < 0)
                return r;
        if (absent && manifest->n_entries == 0)
                return MANIFEST_ABSENT;
        *ret = TAKE_PTR(manifest);
        return 0;
}

static int append(int fd, const char *text) {
        ssize_t n = write(fd, text, strlen(text));

        if (n < 0)
                return -errno;
        return (size_t) n == strlen(text) ? 0 : -EIO;
}

int manifest_journal_open(int dirfd, const char *name, const Generation *generation, int *ret_fd) {
        _cleanup_(freep) char *journal = journal_name(name);
        _cleanup_(close_fdp) int fd = -1;
        char line[160], head[160];
        ssize_t n;
        int r;

        if (!journal)
                return -ENOMEM;
        fd = own_file_open(dirfd, journal, OWN_FILE_APPEND);
        if (fd < 0)
                return fd;
        generation_line(generation, line);
        n = pread(fd, head, sizeof(head) - 1, 0);
        if (n < 0)
                return -errno;
        head[n] = '\0';
        if (strncmp(head, line, strlen(line)) == 0)
                r = append(fd, "\n"); /* ends a line that a crash may have cut off */
        else {
                r = own_file_empty(fd);
                if (r == 0)
                        r = append(fd, line);
        }
        if (r < 0)
                return r;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

int manifest_journal_put(int fd, const Entry *entry) {
        _cleanup_(freep) char *line = entry_line(entry);

        return line ? append(fd, line) : -ENOMEM;
}

int manifest_journal_drop(int fd, const char *path) {
        _cleanup_(freep) char *escaped = text_escape(path, true);
        _cleanup_(freep) char *line = escaped ? text_format("# drop %s\n", escaped) : NULL;

        return line ? append(fd, line) : -ENOMEM;
}
