// A disk that loses power, for a program that is preloaded with this library.
//
// What the program writes to the files of POWER_CUT_FOLDER goes there as always. What it makes durable with fsync() or
// fdatasync() is copied to a file of the same name in POWER_CUT_SHADOW before the call returns: after SIGKILL the shadow
// holds what a disk is sure to have kept, and the folder what it may have kept. With POWER_CUT_LIES set the calls say that
// all is well and do nothing, as some disks do.
//
// Files named *-shm and *.lock are not followed: the first is memory, the second has no content.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_MAX 64
#define FDS_MAX 65536
#define COPY_BYTES 65536

struct range {
  off_t from;
  off_t to;
};

/* One file by its inode. `reader` is never closed: closing it would drop the program's locks on the file. */
struct file {
  dev_t device;
  ino_t inode;
  int reader;
  int shadow;
  char name[NAME_MAX + 1];
  struct range *dirty;
  size_t dirty_count;
  size_t dirty_room;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct file files[FILES_MAX];
static int file_count;
static unsigned char file_of_fd[FDS_MAX]; /* number in `files` + 1 */

#define REAL(result, name, ...)                                          \
  static result (*real)(__VA_ARGS__);                                    \
  if (real == NULL) *(void **)&real = dlsym(RTLD_NEXT, name)

static void fail(const char *what) {
  dprintf(STDERR_FILENO, "Cannot simulate a disk: %s: %s\n", what, strerror(errno));
  abort();
}

static int open_plain(const char *path, int flags) {
  REAL(int, "open", const char *, int, ...);
  return real(path, flags | O_CLOEXEC, 0600);
}

static ssize_t pwrite_plain(int fd, const void *bytes, size_t count, off_t at) {
  REAL(ssize_t, "pwrite64", int, const void *, size_t, off_t);
  return real(fd, bytes, count, at);
}

static int ftruncate_plain(int fd, off_t size) {
  REAL(int, "ftruncate64", int, off_t);
  return real(fd, size);
}

static bool ends_with(const char *text, const char *end) {
  size_t length = strlen(text), tail = strlen(end);
  return length >= tail && strcmp(text + length - tail, end) == 0;
}

/* The name inside of the folder, or NULL for a file that is not followed. */
static const char *followed_name(const char *path) {
  const char *folder = getenv("POWER_CUT_FOLDER");
  size_t length = folder == NULL ? 0 : strlen(folder);
  if (length == 0 || strncmp(path, folder, length) != 0 || path[length] != '/') return NULL;
  const char *name = path + length + 1;
  if (strchr(name, '/') != NULL || strlen(name) > NAME_MAX) return NULL;
  return ends_with(name, "-shm") || ends_with(name, ".lock") ? NULL : name;
}

static void shadow_path(char *path, const char *name) {
  const char *folder = getenv("POWER_CUT_SHADOW");
  snprintf(path, PATH_MAX, "%s/%s", folder == NULL ? "" : folder, name);
}

static void mark(struct file *file, off_t from, off_t to) {
  struct range *last = file->dirty_count > 0 ? &file->dirty[file->dirty_count - 1] : NULL;
  if (last != NULL && last->to == from) {
    last->to = to;
    return;
  }
  if (file->dirty_count == file->dirty_room) {
    file->dirty_room = file->dirty_room == 0 ? 64 : file->dirty_room * 2;
    file->dirty = realloc(file->dirty, file->dirty_room * sizeof *file->dirty);
    if (file->dirty == NULL) fail("out of memory");
  }
  file->dirty[file->dirty_count++] = (struct range){.from = from, .to = to};
}

/* The file behind fd, if it is one of ours. libuv closes by a system call of its own, unseen here: the number may be another's by now. */
static struct file *file_at(int fd) {
  if (fd < 0 || fd >= FDS_MAX || file_of_fd[fd] == 0) return NULL;
  struct file *file = &files[file_of_fd[fd] - 1];
  struct stat status;
  if (fstat(fd, &status) == 0 && status.st_ino == file->inode && status.st_dev == file->device) return file;
  file_of_fd[fd] = 0;
  return NULL;
}

static void follow(int fd, const char *path) {
  const char *name = fd >= 0 && fd < FDS_MAX ? followed_name(path) : NULL;
  struct stat status;
  if (name == NULL || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) return;
  pthread_mutex_lock(&lock);
  int number = 0;
  while (number < file_count && (files[number].inode != status.st_ino || files[number].device != status.st_dev)) number++;
  if (number == FILES_MAX) fail("too many files");
  if (number == file_count) {
    struct file *file = &files[file_count++];
    file->device = status.st_dev;
    file->inode = status.st_ino;
    file->shadow = -1;
    file->reader = open_plain(path, O_RDONLY);
    if (file->reader < 0) fail(path);
    strcpy(file->name, name);
    mark(file, 0, status.st_size); /* what a process that was killed wrote becomes durable with the file as well */
  }
  file_of_fd[fd] = (unsigned char)(number + 1);
  pthread_mutex_unlock(&lock);
}

static void forget(int fd) {
  if (fd >= 0 && fd < FDS_MAX) file_of_fd[fd] = 0;
}

static void note_write(int fd, off_t from, ssize_t count) {
  struct file *file = count > 0 ? file_at(fd) : NULL;
  if (file == NULL) return;
  pthread_mutex_lock(&lock);
  mark(file, from, from + count);
  pthread_mutex_unlock(&lock);
}

static void copy_range(struct file *file, struct range range) {
  static char buffer[COPY_BYTES];
  while (range.from < range.to) {
    size_t wanted = range.to - range.from > COPY_BYTES ? COPY_BYTES : (size_t)(range.to - range.from);
    ssize_t count = pread(file->reader, buffer, wanted, range.from);
    if (count < 0) fail(file->name);
    if (count == 0) return; /* was cut off since */
    if (pwrite_plain(file->shadow, buffer, (size_t)count, range.from) != count) fail("the shadow");
    range.from += count;
  }
}

/* True when the file is one of ours: it is durable then. */
static bool make_durable(int fd) {
  struct file *file = file_at(fd);
  if (file == NULL) return false;
  if (getenv("POWER_CUT_LIES") != NULL) return true;
  pthread_mutex_lock(&lock);
  if (file->shadow < 0) {
    char path[PATH_MAX];
    shadow_path(path, file->name);
    file->shadow = open_plain(path, O_RDWR | O_CREAT);
    if (file->shadow < 0) fail(path);
  }
  struct stat status;
  if (fstat(file->reader, &status) != 0) fail(file->name);
  for (size_t i = 0; i < file->dirty_count; i++) copy_range(file, file->dirty[i]);
  if (ftruncate_plain(file->shadow, status.st_size) != 0) fail("the shadow");
  file->dirty_count = 0;
  pthread_mutex_unlock(&lock);
  return true;
}

#define DEFINE_OPEN(name)                                                \
  int name(const char *path, int flags, ...) {                           \
    REAL(int, #name, const char *, int, ...);                            \
    va_list arguments;                                                   \
    va_start(arguments, flags);                                          \
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0; \
    va_end(arguments);                                                   \
    int fd = real(path, flags, mode);                                    \
    follow(fd, path);                                                    \
    return fd;                                                           \
  }
DEFINE_OPEN(open)
DEFINE_OPEN(open64)

int close(int fd) {
  REAL(int, "close", int);
  forget(fd);
  return real(fd);
}

ssize_t write(int fd, const void *bytes, size_t count) {
  REAL(ssize_t, "write", int, const void *, size_t);
  off_t from = file_at(fd) == NULL ? 0 : lseek(fd, 0, SEEK_CUR);
  ssize_t written = real(fd, bytes, count);
  note_write(fd, from, written);
  return written;
}

#define DEFINE_PWRITE(name)                                              \
  ssize_t name(int fd, const void *bytes, size_t count, off_t at) {      \
    REAL(ssize_t, #name, int, const void *, size_t, off_t);              \
    ssize_t written = real(fd, bytes, count, at);                        \
    note_write(fd, at, written);                                         \
    return written;                                                      \
  }
DEFINE_PWRITE(pwrite)
DEFINE_PWRITE(pwrite64)

#define DEFINE_SYNC(name)                                                \
  int name(int fd) {                                                     \
    REAL(int, #name, int);                                               \
    return make_durable(fd) ? 0 : real(fd);                              \
  }
DEFINE_SYNC(fsync)
DEFINE_SYNC(fdatasync)

/* The name is gone at once, and durably. */
int unlink(const char *path) {
  REAL(int, "unlink", const char *);
  const char *name = followed_name(path);
  if (name != NULL) {
    char shadow[PATH_MAX];
    shadow_path(shadow, name);
    real(shadow);
  }
  return real(path);
}
