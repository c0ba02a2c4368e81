/* Preloaded into a process that is going to be killed: notes, for every file below KOBAN_UNSYNCED_FOLDER, what each
   write overwrote since the file was last synced. With these notes (in KOBAN_UNSYNCED_NOTES, one file per inode) the test
   can give back what a disk would hold after a power cut: a kill alone loses nothing that was handed to the kernel. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

struct note {
    int64_t offset;      /* where the old bytes go back */
    int64_t length;      /* how many follow */
    int64_t size_before; /* how long the file was */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int is_watched(int fd, struct stat *found) {
    const char *folder = getenv("KOBAN_UNSYNCED_FOLDER");
    char link[64], path[4096];
    if (folder == NULL || fstat(fd, found) != 0 || !S_ISREG(found->st_mode)) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    size_t prefix = strlen(folder);
    if (strncmp(path, folder, prefix) != 0 || path[prefix] != '/') return 0;
    return strcmp(path + length - (length > 4 ? 4 : length), "-shm") != 0;
}

static void notes_of(ino_t inode, char *path, size_t size) {
    snprintf(path, size, "%s/%llu", getenv("KOBAN_UNSYNCED_NOTES"), (unsigned long long)inode);
}

static void give_up(const char *why) {
    perror(why);
    abort();
}

/* Append one note before the bytes are changed; the caller holds the lock. */
static void keep(int fd, const struct stat *found, off_t offset, int64_t length) {
    static ssize_t (*real_write)(int, const void *, size_t);
    if (real_write == NULL) real_write = REAL(write);
    char path[4096];
    int64_t there = found->st_size > offset ? found->st_size - offset : 0;
    struct note note = {offset, length < there ? length : there, found->st_size};
    char *record = malloc(sizeof note + note.length);
    memcpy(record, &note, sizeof note);
    char own[64];
    snprintf(own, sizeof own, "/proc/self/fd/%d", fd);
    if (note.length > 0) {
        int reading = open(own, O_RDONLY | O_CLOEXEC); /* the file itself may be open for writing only */
        if (reading < 0 || pread(reading, record + sizeof note, note.length, offset) != note.length) give_up("unsynced: read");
        close(reading);
    }
    notes_of(found->st_ino, path, sizeof path);
    int notes = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    size_t total = sizeof note + note.length;
    if (notes < 0 || real_write(notes, record, total) != (ssize_t)total) give_up("unsynced: note");
    close(notes);
    free(record);
}

static void forget(ino_t inode) {
    char path[4096];
    notes_of(inode, path, sizeof path);
    int notes = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    if (notes >= 0) close(notes);
}

static ssize_t write_at(ssize_t (*real)(int, const void *, size_t, off_t), int fd, const void *bytes, size_t count, off_t offset) {
    struct stat found;
    if (!is_watched(fd, &found)) return real(fd, bytes, count, offset);
    pthread_mutex_lock(&lock);
    if (fstat(fd, &found) == 0) keep(fd, &found, offset, count);
    ssize_t done = real(fd, bytes, count, offset);
    pthread_mutex_unlock(&lock);
    return done;
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) {
    return write_at(REAL(pwrite), fd, bytes, count, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off_t offset) {
    return write_at(REAL(pwrite), fd, bytes, count, offset);
}

ssize_t write(int fd, const void *bytes, size_t count) {
    static ssize_t (*real)(int, const void *, size_t);
    if (real == NULL) real = REAL(write);
    struct stat found;
    if (!is_watched(fd, &found)) return real(fd, bytes, count);
    pthread_mutex_lock(&lock);
    if (fstat(fd, &found) == 0) {
        off_t offset = fcntl(fd, F_GETFL) & O_APPEND ? found.st_size : lseek(fd, 0, SEEK_CUR);
        keep(fd, &found, offset, count);
    }
    ssize_t done = real(fd, bytes, count);
    pthread_mutex_unlock(&lock);
    return done;
}

static int cut(int (*real)(int, off_t), int fd, off_t length) {
    struct stat found;
    if (!is_watched(fd, &found)) return real(fd, length);
    pthread_mutex_lock(&lock);
    if (fstat(fd, &found) == 0) keep(fd, &found, length, found.st_size > length ? found.st_size - length : 0);
    int done = real(fd, length);
    pthread_mutex_unlock(&lock);
    return done;
}

int ftruncate(int fd, off_t length) { return cut(REAL(ftruncate), fd, length); }

int ftruncate64(int fd, off_t length) { return cut(REAL(ftruncate), fd, length); }

static int sync_file(int (*real)(int), int fd) {
    struct stat found;
    if (!is_watched(fd, &found)) return real(fd);
    pthread_mutex_lock(&lock); /* what is written while the disk works does not count as synced */
    int done = real(fd);
    if (done == 0) forget(found.st_ino);
    pthread_mutex_unlock(&lock);
    return done;
}

int fsync(int fd) { return sync_file(REAL(fsync), fd); }

int fdatasync(int fd) { return sync_file(REAL(fdatasync), fd); }

int unlink(const char *path) {
    struct stat found;
    int had = stat(path, &found) == 0;
    int done = REAL(unlink)(path);
    if (done == 0 && had && getenv("KOBAN_UNSYNCED_NOTES") != NULL) forget(found.st_ino); /* the inode may be used again */
    return done;
}
