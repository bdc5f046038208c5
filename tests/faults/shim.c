/* Counts the calls that this process makes to write, or to read, below a folder, and lets one of them, or all from one on,
 * fail.
 *
 * Loaded with LD_PRELOAD, it catches the calls of every library in the process: Python's, SQLite's, numpy's. `arm` sets
 * the folder, the number of the call (from 1; 0 for none), the errno (0 to end the process with SIGKILL at that call),
 * whether all later calls fail, too, and whether it is the calls that read. A line "name path" goes to the descriptor
 * `log`, or to none when that is -1: one for each call when none is to fail, else one for the first that fails.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static char root[4096];
static volatile long count, fail_at;
static volatile int error, is_lasting, is_reading, log_to = -1;
static __thread char where[4096];  /* what the call is about, below the root */

void arm(const char *folder, long at, int number, int lasting, int log, int reading) {
    snprintf(root, sizeof root, "%s", folder);
    count = 0;
    fail_at = at;
    error = number;
    is_lasting = lasting;
    log_to = log;
    is_reading = reading;
}

static int is_below(const char *path) {
    if (!root[0] || !path || strncmp(path, root, strlen(root))) return 0;
    snprintf(where, sizeof where, "%s", path + strlen(root));
    return 1;
}

static int is_of(int descriptor) {
    char link[64], path[4096];
    if (!root[0]) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return is_below(path);
}

/* Of a path that is relative to a folder's descriptor. */
static int is_at(int folder, const char *path) {
    if (!root[0] || !path) return 0;
    return path[0] == '/' || folder == AT_FDCWD ? is_below(path) : is_of(folder);
}

static int fails_now(const char *name) {
    long number = __sync_add_and_fetch(&count, 1);
    if (log_to >= 0 && (!fail_at || number == fail_at)) dprintf(log_to, "%s %s\n", name, where);
    if (!fail_at || number < fail_at || (number > fail_at && !is_lasting)) return 0;
    if (!error) kill(getpid(), SIGKILL);
    errno = error;
    return 1;
}

static int fails(const char *name) { return !is_reading && fails_now(name); }

static int read_fails(const char *name) { return is_reading && fails_now(name); }

#define NEXT(name) \
    static __typeof__(name) *next; \
    if (!next) next = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

#define ON_PATH(type, name, label, parameters, path, ...) \
    type name parameters { NEXT(name); if (is_below(path) && fails(label)) return -1; return next(__VA_ARGS__); }

#define ON_AT(type, name, label, parameters, folder, path, ...) \
    type name parameters { NEXT(name); if (is_at(folder, path) && fails(label)) return -1; return next(__VA_ARGS__); }

#define ON_FILE(type, name, label, parameters, file, ...) \
    type name parameters { NEXT(name); if (is_of(file) && fails(label)) return -1; return next(__VA_ARGS__); }

#define WRITES (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC)

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        NEXT(name); \
        va_list more; va_start(more, flags); mode_t mode = va_arg(more, mode_t); va_end(more); \
        if (is_below(path) && (flags & WRITES ? fails : read_fails)("open")) return -1; \
        return next(path, flags, mode); \
    }
OPEN(open)
OPEN(open64)

#define OPEN_AT(name) \
    int name(int folder, const char *path, int flags, ...) { \
        NEXT(name); \
        va_list more; va_start(more, flags); mode_t mode = va_arg(more, mode_t); va_end(more); \
        if (is_at(folder, path) && (flags & WRITES ? fails : read_fails)("open")) return -1; \
        return next(folder, path, flags, mode); \
    }
OPEN_AT(openat)
OPEN_AT(openat64)

ON_FILE(ssize_t, write, "write", (int file, const void *data, size_t size), file, file, data, size)
ON_FILE(ssize_t, writev, "writev", (int file, const struct iovec *parts, int parts_count), file, file, parts, parts_count)
ON_FILE(ssize_t, pwrite, "pwrite", (int file, const void *data, size_t size, off_t at), file, file, data, size, at)
ON_FILE(ssize_t, pwrite64, "pwrite", (int file, const void *data, size_t size, off64_t at), file, file, data, size, at)
ON_FILE(int, fsync, "fsync", (int file), file, file)
ON_FILE(int, fdatasync, "fdatasync", (int file), file, file)
ON_FILE(int, ftruncate, "ftruncate", (int file, off_t size), file, file, size)
ON_FILE(int, ftruncate64, "ftruncate", (int file, off64_t size), file, file, size)
ON_FILE(int, fallocate, "fallocate", (int file, int mode, off_t at, off_t size), file, file, mode, at, size)
ON_FILE(int, fallocate64, "fallocate", (int file, int mode, off64_t at, off64_t size), file, file, mode, at, size)
ON_FILE(int, fchmod, "fchmod", (int file, mode_t mode), file, file, mode)
ON_FILE(int, fchown, "fchown", (int file, uid_t user, gid_t group), file, file, user, group)
ON_PATH(int, chmod, "chmod", (const char *path, mode_t mode), path, path, mode)
ON_PATH(int, truncate, "truncate", (const char *path, off_t size), path, path, size)
ON_PATH(int, symlink, "symlink", (const char *from, const char *to), to, from, to)
ON_AT(int, unlinkat, "unlink", (int folder, const char *path, int flags), folder, path, folder, path, flags)
ON_AT(int, mkdirat, "mkdir", (int folder, const char *path, mode_t mode), folder, path, folder, path, mode)
ON_AT(int, fchmodat, "chmod", (int folder, const char *path, mode_t mode, int flags), folder, path, folder, path, mode, flags)
ON_AT(int, renameat, "rename", (int a, const char *from, int b, const char *to), a, from, a, from, b, to)
ON_PATH(int, rename, "rename", (const char *from, const char *to), from, from, to)
ON_PATH(int, link, "link", (const char *from, const char *to), from, from, to)
ON_PATH(int, linkat, "link", (int a, const char *from, int b, const char *to, int flags), from, a, from, b, to, flags)
ON_PATH(int, unlink, "unlink", (const char *path), path, path)
ON_PATH(int, mkdir, "mkdir", (const char *path, mode_t mode), path, path, mode)
ON_PATH(int, rmdir, "rmdir", (const char *path), path, path)
ON_AT(int, utimensat, "utimensat", (int folder, const char *path, const struct timespec times[2], int flags), folder, path, folder, path, times, flags)


/* From one file to another: either end may be what fails. */
#define BETWEEN(name, at_type) \
    ssize_t name(int file, int from, at_type *at, size_t size) { \
        NEXT(name); \
        if ((is_of(file) && fails("sendfile")) || (is_of(from) && read_fails("sendfile"))) return -1; \
        return next(file, from, at, size); \
    }
BETWEEN(sendfile, off_t)
BETWEEN(sendfile64, off64_t)

ssize_t copy_file_range(int from, off64_t *from_at, int file, off64_t *at, size_t size, unsigned flags) {
    NEXT(copy_file_range);
    if ((is_of(file) && fails("copy_file_range")) || (is_of(from) && read_fails("copy_file_range"))) return -1;
    return next(from, from_at, file, at, size, flags);
}

/* The calls that read. To ask whether a file is there, and how large it is, is to read its folder. */
#define READ_PATH(type, name, label, parameters, path, ...) \
    type name parameters { NEXT(name); if (is_reading && is_below(path) && read_fails(label)) return -1; return next(__VA_ARGS__); }

#define READ_AT(type, name, label, parameters, folder, path, ...) \
    type name parameters { NEXT(name); if (is_reading && is_at(folder, path) && read_fails(label)) return -1; return next(__VA_ARGS__); }

#define READ_FILE(type, name, label, parameters, file, ...) \
    type name parameters { NEXT(name); if (is_reading && is_of(file) && read_fails(label)) return -1; return next(__VA_ARGS__); }

READ_FILE(ssize_t, read, "read", (int file, void *data, size_t size), file, file, data, size)
READ_FILE(ssize_t, readv, "readv", (int file, const struct iovec *parts, int count), file, file, parts, count)
READ_FILE(ssize_t, pread, "pread", (int file, void *data, size_t size, off_t at), file, file, data, size, at)
READ_FILE(ssize_t, pread64, "pread", (int file, void *data, size_t size, off64_t at), file, file, data, size, at)
READ_FILE(ssize_t, preadv, "preadv", (int file, const struct iovec *parts, int count, off_t at), file, file, parts, count, at)
READ_FILE(ssize_t, preadv64, "preadv", (int file, const struct iovec *parts, int count, off64_t at), file, file, parts, count, at)
READ_FILE(off_t, lseek, "lseek", (int file, off_t at, int from), file, file, at, from)
READ_FILE(off64_t, lseek64, "lseek", (int file, off64_t at, int from), file, file, at, from)
READ_FILE(int, fstat, "fstat", (int file, struct stat *found), file, file, found)
READ_FILE(int, fstat64, "fstat", (int file, struct stat64 *found), file, file, found)
READ_PATH(int, stat, "stat", (const char *path, struct stat *found), path, path, found)
READ_PATH(int, stat64, "stat", (const char *path, struct stat64 *found), path, path, found)
READ_PATH(int, lstat, "stat", (const char *path, struct stat *found), path, path, found)
READ_PATH(int, lstat64, "stat", (const char *path, struct stat64 *found), path, path, found)
READ_PATH(int, access, "access", (const char *path, int mode), path, path, mode)
READ_PATH(ssize_t, readlink, "readlink", (const char *path, char *text, size_t size), path, path, text, size)
READ_AT(int, fstatat, "stat", (int folder, const char *path, struct stat *found, int flags), folder, path, folder, path, found, flags)
READ_AT(int, fstatat64, "stat", (int folder, const char *path, struct stat64 *found, int flags), folder, path, folder, path, found, flags)
READ_AT(int, statx, "stat", (int folder, const char *path, int flags, unsigned mask, struct statx *found), folder, path, folder, path, flags, mask, found)
READ_AT(int, faccessat, "access", (int folder, const char *path, int mode, int flags), folder, path, folder, path, mode, flags)
READ_AT(ssize_t, readlinkat, "readlink", (int folder, const char *path, char *text, size_t size), folder, path, folder, path, text, size)

DIR *opendir(const char *path) {
    NEXT(opendir);
    return is_below(path) && read_fails("opendir") ? NULL : next(path);
}

DIR *fdopendir(int file) {
    NEXT(fdopendir);
    return is_of(file) && read_fails("opendir") ? NULL : next(file);
}

struct dirent *readdir(DIR *folder) {
    NEXT(readdir);
    return is_reading && is_of(dirfd(folder)) && read_fails("readdir") ? NULL : next(folder);
}

struct dirent64 *readdir64(DIR *folder) {
    NEXT(readdir64);
    return is_reading && is_of(dirfd(folder)) && read_fails("readdir") ? NULL : next(folder);
}

/* These return the error. */
int posix_fallocate(int file, off_t at, off_t size) {
    NEXT(posix_fallocate);
    return is_of(file) && fails("posix_fallocate") ? errno : next(file, at, size);
}

int posix_fallocate64(int file, off64_t at, off64_t size) {
    NEXT(posix_fallocate64);
    return is_of(file) && fails("posix_fallocate") ? errno : next(file, at, size);
}

void *mmap(void *place, size_t size, int protection, int flags, int file, off_t at) {
    NEXT(mmap);
    if (file >= 0 && is_of(file) && ((flags & MAP_SHARED) ? fails : read_fails)("mmap")) return MAP_FAILED;
    return next(place, size, protection, flags, file, at);
}

void *mmap64(void *place, size_t size, int protection, int flags, int file, off64_t at) {
    NEXT(mmap64);
    if (file >= 0 && is_of(file) && ((flags & MAP_SHARED) ? fails : read_fails)("mmap")) return MAP_FAILED;
    return next(place, size, protection, flags, file, at);
}

/* A map has no descriptor: every msync is counted. */
int msync(void *place, size_t size, int flags) {
    NEXT(msync);
    where[0] = 0;
    if (root[0] && fails("msync")) return -1;
    return next(place, size, flags);
}
