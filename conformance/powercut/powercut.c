/*
 * What a process does to the files below one directory, written down in order; and on demand a disk
 * that fails or a process that dies at a given call. Test-only: preloaded (LD_PRELOAD) into the
 * unchanged server by `cargo xtask crash`, which compiles it. Linux.
 *
 * POWERCUT_ROOT       the directory; calls on files elsewhere pass through
 * POWERCUT_LOG        where the record goes; its length is the clock of the harness. SIGUSR1 then
 *                     kills the process as SIGKILL does, but never between a call and its record
 * POWERCUT_DELAY_US   each sync takes so much longer, as on a slow disk
 * POWERCUT_FAIL       write|sync:N:ERRNO:COUNT  the Nth call and those after it fail, COUNT
 *                               of them (0: all); a failing write may have written half
 * POWERCUT_KILL       POINT:N  SIGKILL at the Nth: before-write, torn-write, after-write
 *                               (a sync is asked for), after-sync, after-answer (a socket was written)
 * POWERCUT_READ_ONLY  nothing below the directory can be changed (EROFS)
 *
 * The log is a sequence of records: a header (struct record), a path, and data. A write is logged
 * with the lock that was held while it was done, so the log has the order of the disk. A sync is
 * logged before and after: only what was logged before it began counts as synced, and an answer
 * that was read when the log had a length came after everything up to that length. The sync of a
 * directory carries its entries. SQLite's -shm file is memory shared by mapping; nothing of it
 * survives, so it is left out.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { CREATE = 1, WRITE, TRUNCATE, SYNC_BEGINS, SYNCED, SYNC_FAILED, RENAME, UNLINK, MKDIR };

struct record {
    uint32_t kind;
    uint32_t path_length;
    uint64_t inode;
    uint64_t offset; /* of a write; a truncation's new length; a sync's number */
    uint64_t data_length;
};

enum point { NOWHERE, BEFORE_WRITE, TORN_WRITE, AFTER_WRITE, AFTER_SYNC, AFTER_ANSWER };

static const char *const point_names[] = {"", "before-write", "torn-write", "after-write",
                                          "after-sync", "after-answer"};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char root[PATH_MAX];
static size_t root_length;
static int log_file = -1;
static useconds_t delay;
static int read_only;

static struct {
    int on_sync, error;
    long from, count;
} failing;

static struct {
    enum point point;
    long at;
} killing;

static long writes, syncs;
static uint64_t syncs_begun;
static long passed[AFTER_ANSWER + 1];

static __typeof__(&write) real_write;
static __typeof__(&pwrite64) real_pwrite;
static __typeof__(&writev) real_writev;
static __typeof__(&send) real_send;
static __typeof__(&sendmsg) real_sendmsg;
static __typeof__(&ftruncate64) real_ftruncate;
static __typeof__(&fsync) real_fsync;
static __typeof__(&fdatasync) real_fdatasync;
static int (*real_open)(const char *, int, ...);
static int (*real_openat)(int, const char *, int, ...);
static __typeof__(&rename) real_rename;
static __typeof__(&unlink) real_unlink;
static __typeof__(&mkdir) real_mkdir;

static void give_up(const char *what)
{
    dprintf(2, "powercut: %s\n", what);
    abort();
}

static void *find(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (!found)
        give_up(name);
    return found;
}

__attribute__((noreturn)) static void die(void)
{
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

/* Dies when it is asked to, while no call is done and not recorded. */
static void *await_death(void *signals)
{
    int signal;
    if (sigwait(signals, &signal) != 0)
        give_up("no signal can be awaited");
    pthread_mutex_lock(&lock);
    die();
}

/* Every thread that is started later inherits that the signal is not its own. */
static void die_when_asked(void)
{
    static sigset_t signals;
    pthread_t thread;
    sigemptyset(&signals);
    sigaddset(&signals, SIGUSR1);
    if (pthread_sigmask(SIG_BLOCK, &signals, NULL) != 0 ||
        pthread_create(&thread, NULL, await_death, &signals) != 0)
        give_up("no thread can await a signal");
}

__attribute__((constructor)) static void start(void)
{
    real_write = find("write");
    real_pwrite = find("pwrite64");
    real_writev = find("writev");
    real_send = find("send");
    real_sendmsg = find("sendmsg");
    real_ftruncate = find("ftruncate64");
    real_fsync = find("fsync");
    real_fdatasync = find("fdatasync");
    real_open = find("open64");
    real_openat = find("openat64");
    real_rename = find("rename");
    real_unlink = find("unlink");
    real_mkdir = find("mkdir");

    const char *text = getenv("POWERCUT_ROOT");
    if (!text)
        return;
    if (!realpath(text, root))
        give_up("POWERCUT_ROOT is not there");
    root_length = strlen(root);
    if ((text = getenv("POWERCUT_LOG"))) {
        log_file = real_open(text, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        if (log_file < 0)
            give_up("the log cannot be opened");
        die_when_asked();
    }
    if ((text = getenv("POWERCUT_DELAY_US")))
        delay = (useconds_t)atol(text);
    read_only = getenv("POWERCUT_READ_ONLY") != NULL;
    if ((text = getenv("POWERCUT_FAIL"))) {
        char what[16];
        if (sscanf(text, "%15[a-z]:%ld:%d:%ld", what, &failing.from, &failing.error,
                   &failing.count) != 4)
            give_up("POWERCUT_FAIL is not write|sync:N:ERRNO:COUNT");
        failing.on_sync = strcmp(what, "sync") == 0;
    }
    if ((text = getenv("POWERCUT_KILL"))) {
        char what[16];
        if (sscanf(text, "%15[a-z-]:%ld", what, &killing.at) != 2)
            give_up("POWERCUT_KILL is not POINT:N");
        for (int point = BEFORE_WRITE; point <= AFTER_ANSWER; point++)
            if (strcmp(what, point_names[point]) == 0)
                killing.point = (enum point)point;
        if (killing.point == NOWHERE)
            give_up("POWERCUT_KILL names no point");
    }
}

/* Counts a point passed; tells whether it is the one to die at. The lock is held. */
static int is_the_end(enum point point)
{
    return ++passed[point] == killing.at && killing.point == point;
}

/* The path below the root, or NULL for what is not recorded. */
static const char *below(const char *path)
{
    size_t length = strlen(path);
    if (!root_length || length < root_length || memcmp(path, root, root_length) != 0)
        return NULL;
    if (length > 4 && strcmp(path + length - 4, "-shm") == 0)
        return NULL;
    if (path[root_length] == '\0')
        return path + root_length;
    return path[root_length] == '/' ? path + root_length + 1 : NULL;
}

/* The file behind a descriptor, if it is recorded. */
static const char *recorded(int fd, struct stat *found, char path[PATH_MAX])
{
    char link[64];
    if (!root_length || fd < 0 || fd == log_file)
        return NULL;
    if (fstat(fd, found) != 0 || !(S_ISREG(found->st_mode) || S_ISDIR(found->st_mode)))
        return NULL;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0)
        return NULL;
    path[length] = '\0';
    return below(path);
}

/* A path that a call was given, made absolute, if it is recorded. Its folder must exist. */
static const char *named(int folder, const char *path, char whole[PATH_MAX])
{
    char parent[PATH_MAX], link[64];
    if (!root_length || strlen(path) >= PATH_MAX / 2)
        return NULL;
    const char *name = strrchr(path, '/');
    if (!name) {
        if (folder == AT_FDCWD) {
            if (!getcwd(parent, sizeof parent))
                return NULL;
        } else {
            snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
            ssize_t length = readlink(link, parent, sizeof parent - 1);
            if (length < 0)
                return NULL;
            parent[length] = '\0';
        }
        name = path;
    } else {
        char given[PATH_MAX];
        size_t length = name == path ? 1 : (size_t)(name - path);
        memcpy(given, path, length);
        given[length] = '\0';
        if (path[0] != '/' && folder != AT_FDCWD)
            return NULL;
        if (!realpath(given, parent))
            return NULL;
        name++;
    }
    if ((size_t)snprintf(whole, PATH_MAX, "%s/%s", parent, name) >= PATH_MAX)
        return NULL;
    return below(whole);
}

/* Appends a record in one piece. The lock is held. */
static void record(enum kind kind, uint64_t inode, uint64_t offset, const char *path,
                   const void *data, size_t data_length)
{
    if (log_file < 0)
        return;
    size_t path_length = strlen(path);
    struct record header = {kind, (uint32_t)path_length, inode, offset, data_length};
    struct iovec parts[] = {
        {&header, sizeof header}, {(void *)path, path_length}, {(void *)data, data_length}};
    ssize_t length = (ssize_t)(sizeof header + path_length + data_length);
    if (real_writev(log_file, parts, 3) != length)
        give_up("the log cannot be written");
}

/* Whether this write or sync is to fail. The lock is held. */
static int fails(int is_sync)
{
    long number = is_sync ? ++syncs : ++writes;
    return failing.from && failing.on_sync == is_sync && number >= failing.from &&
           (failing.count == 0 || number < failing.from + failing.count);
}

/* A write at an offset, or at the file's position where that is negative. */
static ssize_t write_recorded(int fd, const void *data, size_t length, off64_t offset,
                              const struct stat *found, const char *path)
{
    pthread_mutex_lock(&lock);
    if (is_the_end(BEFORE_WRITE))
        die();
    int torn = is_the_end(TORN_WRITE);
    int failed = fails(0);
    if (torn || (failed && writes % 2))
        length /= 2;
    off64_t at = offset;
    if (offset < 0) {
        int flags = fcntl(fd, F_GETFL);
        at = lseek64(fd, 0, flags & O_APPEND ? SEEK_END : SEEK_CUR);
    }
    ssize_t written = 0;
    if (!failed || writes % 2)
        written = offset < 0 ? real_write(fd, data, length) : real_pwrite(fd, data, length, offset);
    if (written > 0)
        record(WRITE, found->st_ino, (uint64_t)at, path, data, (size_t)written);
    if (torn)
        die();
    pthread_mutex_unlock(&lock);
    if (failed) {
        errno = failing.error;
        return -1;
    }
    return written;
}

static void answered(void)
{
    pthread_mutex_lock(&lock);
    if (is_the_end(AFTER_ANSWER))
        die();
    pthread_mutex_unlock(&lock);
}

static int is_socket(int fd)
{
    struct stat found;
    return killing.point == AFTER_ANSWER && fstat(fd, &found) == 0 && S_ISSOCK(found.st_mode);
}

ssize_t write(int fd, const void *data, size_t length)
{
    struct stat found;
    char whole[PATH_MAX];
    const char *path = recorded(fd, &found, whole);
    return path ? write_recorded(fd, data, length, -1, &found, path) : real_write(fd, data, length);
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset)
{
    struct stat found;
    char whole[PATH_MAX];
    const char *path = recorded(fd, &found, whole);
    return path ? write_recorded(fd, data, length, offset, &found, path)
                : real_pwrite(fd, data, length, offset);
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset)
{
    return pwrite64(fd, data, length, offset);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    struct stat found;
    char whole[PATH_MAX];
    const char *path = recorded(fd, &found, whole);
    if (path && count > 0) /* A short write, which every caller has to expect. */
        return write_recorded(fd, parts[0].iov_base, parts[0].iov_len, -1, &found, path);
    ssize_t written = real_writev(fd, parts, count);
    if (written > 0 && is_socket(fd))
        answered();
    return written;
}

ssize_t send(int fd, const void *data, size_t length, int flags)
{
    ssize_t written = real_send(fd, data, length, flags);
    if (written > 0 && is_socket(fd))
        answered();
    return written;
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    ssize_t written = real_sendmsg(fd, message, flags);
    if (written > 0 && is_socket(fd))
        answered();
    return written;
}

int ftruncate64(int fd, off64_t length)
{
    struct stat found;
    char whole[PATH_MAX];
    const char *path = recorded(fd, &found, whole);
    if (!path)
        return real_ftruncate(fd, length);
    pthread_mutex_lock(&lock);
    int result = real_ftruncate(fd, length);
    if (result == 0)
        record(TRUNCATE, found.st_ino, (uint64_t)length, path, NULL, 0);
    pthread_mutex_unlock(&lock);
    return result;
}

int ftruncate(int fd, off_t length)
{
    return ftruncate64(fd, length);
}

/* The entries of a directory, a line each: inode, blank, name. The lock is held. */
static char *entries(const char *path, size_t *length)
{
    char *text = NULL;
    FILE *stream = open_memstream(&text, length);
    DIR *directory = opendir(path);
    if (!stream || !directory)
        give_up("a directory cannot be listed");
    for (struct dirent *entry; (entry = readdir(directory));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            fprintf(stream, "%llu %s\n", (unsigned long long)entry->d_ino, entry->d_name);
    closedir(directory);
    fclose(stream);
    return text;
}

static int sync_recorded(int fd, int (*sync)(int))
{
    struct stat found;
    char whole[PATH_MAX], *list = NULL;
    size_t list_length = 0;
    const char *path = recorded(fd, &found, whole);
    if (!path)
        return sync(fd);
    pthread_mutex_lock(&lock);
    if (is_the_end(AFTER_WRITE))
        die();
    int failed = fails(1);
    if (S_ISDIR(found.st_mode))
        list = entries(whole, &list_length);
    uint64_t number = ++syncs_begun;
    record(SYNC_BEGINS, found.st_ino, number, path, list, list_length);
    free(list);
    pthread_mutex_unlock(&lock);

    if (delay)
        usleep(delay);
    int result = failed ? -1 : sync(fd);
    int error = failed ? failing.error : errno;

    pthread_mutex_lock(&lock);
    record(result == 0 ? SYNCED : SYNC_FAILED, found.st_ino, number, path, NULL, 0);
    if (is_the_end(AFTER_SYNC))
        die();
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

int fsync(int fd)
{
    return sync_recorded(fd, real_fsync);
}

int fdatasync(int fd)
{
    return sync_recorded(fd, real_fdatasync);
}

static int open_recorded(int folder, const char *given, int flags, mode_t mode)
{
    char whole[PATH_MAX];
    int changes = (flags & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC)) != 0;
    const char *path = changes ? named(folder, given, whole) : NULL;
    if (!path)
        return real_openat(folder, given, flags, mode);
    if (read_only) {
        errno = EROFS;
        return -1;
    }
    pthread_mutex_lock(&lock);
    struct stat found;
    int is_new = stat(whole, &found) != 0;
    int fd = real_openat(folder, given, flags, mode);
    int error = errno;
    if (fd >= 0 && fstat(fd, &found) == 0) {
        if (is_new)
            record(CREATE, found.st_ino, 0, path, NULL, 0);
        else if (flags & O_TRUNC)
            record(TRUNCATE, found.st_ino, 0, path, NULL, 0);
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return fd;
}

static mode_t mode_of(int flags, va_list arguments)
{
    return flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
}

#define OPEN(name)                                                                                \
    int name(const char *path, int flags, ...)                                                    \
    {                                                                                             \
        va_list arguments;                                                                        \
        va_start(arguments, flags);                                                               \
        mode_t mode = mode_of(flags, arguments);                                                  \
        va_end(arguments);                                                                        \
        return open_recorded(AT_FDCWD, path, flags, mode);                                        \
    }

#define OPENAT(name)                                                                              \
    int name(int folder, const char *path, int flags, ...)                                        \
    {                                                                                             \
        va_list arguments;                                                                        \
        va_start(arguments, flags);                                                               \
        mode_t mode = mode_of(flags, arguments);                                                  \
        va_end(arguments);                                                                        \
        return open_recorded(folder, path, flags, mode);                                          \
    }

OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

int mkdir(const char *given, mode_t mode)
{
    char whole[PATH_MAX];
    const char *path = named(AT_FDCWD, given, whole);
    if (!path)
        return real_mkdir(given, mode);
    if (read_only) {
        struct stat there;
        errno = stat(whole, &there) == 0 ? EEXIST : EROFS;
        return -1;
    }
    pthread_mutex_lock(&lock);
    int result = real_mkdir(given, mode);
    int error = errno;
    struct stat found;
    if (result == 0 && stat(whole, &found) == 0)
        record(MKDIR, found.st_ino, 0, path, NULL, 0);
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

int rename(const char *from, const char *to)
{
    char whole_from[PATH_MAX], whole_to[PATH_MAX];
    const char *path_from = named(AT_FDCWD, from, whole_from);
    const char *path_to = named(AT_FDCWD, to, whole_to);
    if (!path_from || !path_to)
        return real_rename(from, to);
    if (read_only) {
        errno = EROFS;
        return -1;
    }
    pthread_mutex_lock(&lock);
    int result = real_rename(from, to);
    int error = errno;
    if (result == 0)
        record(RENAME, 0, 0, path_from, path_to, strlen(path_to));
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

int unlink(const char *given)
{
    char whole[PATH_MAX];
    const char *path = named(AT_FDCWD, given, whole);
    if (!path)
        return real_unlink(given);
    if (read_only) {
        errno = EROFS;
        return -1;
    }
    pthread_mutex_lock(&lock);
    int result = real_unlink(given);
    int error = errno;
    if (result == 0)
        record(UNLINK, 0, 0, path, NULL, 0);
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}
