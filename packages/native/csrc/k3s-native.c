// The system calls Node lacks, as an N-API add-on. Everything here returns at once: nothing may block the event loop.
#define _GNU_SOURCE
#define NAPI_VERSION 8
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/netlink.h>
#include <malloc.h>
#include <node_api.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_ARGUMENTS 2
#define MAX_MESSAGE_BYTES 4096

// Throws `Error("Cannot <what>: <reason>")` with the errno name in `code`, as Node's own system errors have it.
static napi_value throw_errno(napi_env env, const char *what, int number) {
  const char *name = strerrorname_np(number);
  char text[256] = "Cannot ";
  strncat(text, what, 100);
  strncat(text, ": ", 3);
  strncat(text, strerror(number), 100);
  napi_throw_error(env, name == NULL ? "EUNKNOWN" : name, text);
  return NULL;
}

static napi_value throw_argument(napi_env env, const char *text) {
  napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", text);
  return NULL;
}

static int read_arguments(napi_env env, napi_callback_info info, napi_value *arguments, size_t wanted) {
  size_t given = MAX_ARGUMENTS;
  return napi_get_cb_info(env, info, &given, arguments, NULL, NULL) == napi_ok && given >= wanted;
}

// flock(fd: number): boolean
static napi_value lock_file(napi_env env, napi_callback_info info) {
  napi_value arguments[MAX_ARGUMENTS];
  int32_t fd;
  if (!read_arguments(env, info, arguments, 1) || napi_get_value_int32(env, arguments[0], &fd) != napi_ok)
    return throw_argument(env, "Cannot lock file: a file descriptor is needed");

  int result;
  do result = flock(fd, LOCK_EX | LOCK_NB);
  while (result < 0 && errno == EINTR);
  if (result < 0 && errno != EWOULDBLOCK) return throw_errno(env, "lock file", errno);

  napi_value taken;
  napi_get_boolean(env, result == 0, &taken);
  return taken;
}

// isLockedElsewhere(fd: number): boolean. Asks for what a lock on the whole file would meet: one of this process never counts.
static napi_value is_locked_elsewhere(napi_env env, napi_callback_info info) {
  napi_value arguments[MAX_ARGUMENTS];
  int32_t fd;
  if (!read_arguments(env, info, arguments, 1) || napi_get_value_int32(env, arguments[0], &fd) != napi_ok)
    return throw_argument(env, "Cannot look for locks: a file descriptor is needed");

  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  if (fcntl(fd, F_GETLK, &lock) < 0) return throw_errno(env, "look for locks", errno);

  napi_value locked;
  napi_get_boolean(env, lock.l_type != F_UNLCK, &locked);
  return locked;
}

static int send_datagram(const struct sockaddr_un *address, socklen_t length, const char *message) {
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return errno;
  ssize_t sent;
  do
    sent = sendto(fd, message, strlen(message), MSG_NOSIGNAL | MSG_DONTWAIT, (const struct sockaddr *)address, length);
  while (sent < 0 && errno == EINTR);
  int number = sent < 0 ? errno : 0;
  close(fd);
  return number;
}

// notify(socketPath: string, message: string): void. A path that begins with '@' names an abstract socket.
static napi_value notify(napi_env env, napi_callback_info info) {
  napi_value arguments[MAX_ARGUMENTS];
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  char path[sizeof address.sun_path + 1];
  char message[MAX_MESSAGE_BYTES];
  size_t path_length, message_length;
  if (!read_arguments(env, info, arguments, 2) ||
      napi_get_value_string_utf8(env, arguments[0], path, sizeof path, &path_length) != napi_ok ||
      napi_get_value_string_utf8(env, arguments[1], message, sizeof message, &message_length) != napi_ok)
    return throw_argument(env, "Cannot notify: a socket path and a message are needed");
  if (path_length == 0) return throw_errno(env, "notify", EINVAL);
  if (path_length >= sizeof address.sun_path) return throw_errno(env, "notify", ENAMETOOLONG);
  if (message_length == sizeof message - 1) return throw_errno(env, "notify", EMSGSIZE);

  memcpy(address.sun_path, path, path_length);
  if (path[0] == '@') address.sun_path[0] = '\0';
  // The length excludes a terminator: for an abstract name every byte counts.
  socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path_length);
  int number = send_datagram(&address, length, message);
  return number == 0 ? NULL : throw_errno(env, "notify", number);
}

// waitpid(pid: number): number | undefined. The raw wait status, or undefined while the process runs.
static napi_value reap(napi_env env, napi_callback_info info) {
  napi_value arguments[MAX_ARGUMENTS], result = NULL;
  int32_t pid;
  // Zero and negative values would reap children at random, libuv's among them.
  if (!read_arguments(env, info, arguments, 1) || napi_get_value_int32(env, arguments[0], &pid) != napi_ok || pid < 1)
    return throw_argument(env, "Cannot reap process: a process id is needed");

  int status;
  pid_t reaped;
  do reaped = waitpid(pid, &status, WNOHANG);
  while (reaped < 0 && errno == EINTR);
  if (reaped < 0) return throw_errno(env, "reap process", errno);
  if (reaped > 0) napi_create_int32(env, status, &result);
  return result;
}

struct mapping {
  unsigned long start, end;
  int is_ours; // read-only, private, of the executable
};

// One line of /proc/self/smaps. True when the mapping that was read before it, now complete, holds nothing but pages of its
// file: the kernel brings those back when they are next used. A page changed in private could not be brought back.
static int ends_clean_mapping(const char *line, const char *executable, struct mapping *current) {
  struct mapping next = {0};
  char permissions[5] = "", path[PATH_MAX] = "";
  unsigned long kilobytes;
  if (sscanf(line, "%lx-%lx %4s %*s %*s %*s %4095s", &next.start, &next.end, permissions, path) >= 3) {
    next.is_ours = permissions[1] == '-' && permissions[3] == 'p' && strcmp(path, executable) == 0;
    *current = next;
  } else if (sscanf(line, "Private_Dirty: %lu kB", &kilobytes) == 1 && kilobytes > 0) current->is_ours = 0;
  else if (sscanf(line, "Anonymous: %lu kB", &kilobytes) == 1 && kilobytes > 0) current->is_ours = 0;
  else return strncmp(line, "VmFlags:", 8) == 0 && current->is_ours;
  return 0;
}

// releaseCode(): void
static napi_value release_code(napi_env env, napi_callback_info info) {
  (void)info;
  char executable[PATH_MAX], line[PATH_MAX + 200];
  ssize_t length = readlink("/proc/self/exe", executable, sizeof executable - 1);
  if (length < 0) return throw_errno(env, "find executable", errno);
  executable[length] = '\0';
  FILE *maps = fopen("/proc/self/smaps", "re");
  if (maps == NULL) return throw_errno(env, "read memory map", errno);
  struct mapping current = {0};
  while (fgets(line, sizeof line, maps) != NULL)
    if (ends_clean_mapping(line, executable, &current))
      madvise((void *)current.start, current.end - current.start, MADV_DONTNEED);
  fclose(maps);
  return NULL;
}

// releaseFree(): void. Blocks that were freed between blocks in use stay with the process otherwise (malloc_trim(3)).
static napi_value release_free(napi_env env, napi_callback_info info) {
  (void)env, (void)info;
  malloc_trim(0);
  return NULL;
}

// isCached(fd: number, limit: number): boolean. Files beyond the limit count as not cached, so that the look takes no time.
static napi_value is_cached(napi_env env, napi_callback_info info) {
  napi_value arguments[MAX_ARGUMENTS], answer;
  int32_t fd;
  int64_t limit;
  if (!read_arguments(env, info, arguments, 2) || napi_get_value_int32(env, arguments[0], &fd) != napi_ok ||
      napi_get_value_int64(env, arguments[1], &limit) != napi_ok)
    return throw_argument(env, "Cannot look for file in memory: a file descriptor and a limit are needed");

  struct stat about;
  if (fstat(fd, &about) < 0) return throw_errno(env, "look for file in memory", errno);
  int64_t page = sysconf(_SC_PAGESIZE), pages = (about.st_size + page - 1) / page, cached = 0;
  if (pages > 0 && about.st_size <= limit) {
    unsigned char *found = malloc(pages);
    void *file = mmap(NULL, about.st_size, PROT_READ, MAP_SHARED, fd, 0);
    int number = found == NULL ? ENOMEM : file == MAP_FAILED || mincore(file, about.st_size, found) < 0 ? errno : 0;
    while (number == 0 && cached < pages && (found[cached] & 1)) cached++;
    if (file != MAP_FAILED) munmap(file, about.st_size);
    free(found);
    if (number != 0) return throw_errno(env, "look for file in memory", number);
  }
  napi_get_boolean(env, about.st_size <= limit && cached == pages, &answer);
  return answer;
}

#define NETLINK_WAIT_SECONDS 2
#define MAX_ANSWER_BYTES (64 << 20)
// The kernel never makes a part of an answer larger than 32 KiB.
#define NETLINK_PART_BYTES (64 << 10)

struct answer {
  char *bytes;
  size_t length;
};

// Whether this part of an answer holds its end: the kernel closes a dump with DONE, all else with an acknowledgement.
static int is_last_part(const char *part, size_t length) {
  size_t at = 0;
  while (length - at >= sizeof(struct nlmsghdr)) {
    struct nlmsghdr header;
    memcpy(&header, part + at, sizeof header);
    if (header.nlmsg_len < sizeof header || header.nlmsg_len > length - at) return 1;
    if (header.nlmsg_type == NLMSG_DONE || header.nlmsg_type == NLMSG_ERROR) return 1;
    size_t step = NLMSG_ALIGN((size_t)header.nlmsg_len);
    if (step >= length - at) return 0;
    at += step;
  }
  return 1;
}

static int receive_answer(int fd, struct answer *answer) {
  for (;;) {
    if (answer->length > MAX_ANSWER_BYTES) return EMSGSIZE;
    char *larger = realloc(answer->bytes, answer->length + NETLINK_PART_BYTES);
    if (larger == NULL) return ENOMEM;
    answer->bytes = larger;
    char *part = answer->bytes + answer->length;
    ssize_t received;
    do received = recv(fd, part, NETLINK_PART_BYTES, MSG_TRUNC);
    while (received < 0 && errno == EINTR);
    if (received < 0) return errno == EAGAIN ? ETIMEDOUT : errno;
    if (received > NETLINK_PART_BYTES) return EMSGSIZE;
    answer->length += (size_t)received;
    if (is_last_part(part, (size_t)received)) return 0;
  }
}

static int exchange_netlink(const void *request, size_t length, struct answer *answer) {
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0) return errno;
  struct timeval limit = {.tv_sec = NETLINK_WAIT_SECONDS};
  const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
  int number = 0;
  if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) < 0 ||
      sendto(fd, request, length, 0, (const struct sockaddr *)&kernel, sizeof kernel) < 0)
    number = errno;
  else number = receive_answer(fd, answer);
  close(fd);
  return number;
}

// netlinkRoute(request: Uint8Array): Buffer. The kernel works on the request while it is sent, so its answer is there at once.
static napi_value netlink_route(napi_env env, napi_callback_info info) {
  napi_value arguments[MAX_ARGUMENTS], result = NULL;
  void *request;
  size_t length;
  bool is_buffer = false;
  if (!read_arguments(env, info, arguments, 1) || napi_is_buffer(env, arguments[0], &is_buffer) != napi_ok ||
      !is_buffer || napi_get_buffer_info(env, arguments[0], &request, &length) != napi_ok ||
      length < sizeof(struct nlmsghdr))
    return throw_argument(env, "Cannot ask the kernel: a buffer with a netlink message is needed");

  struct answer answer = {0};
  int number = exchange_netlink(request, length, &answer);
  if (number == 0) napi_create_buffer_copy(env, answer.length, answer.bytes, NULL, &result);
  free(answer.bytes);
  return number == 0 ? result : throw_errno(env, "ask the kernel", number);
}

static void export_function(napi_env env, napi_value exports, napi_property_descriptor descriptor) {
  napi_define_properties(env, exports, 1, &descriptor);
}

NAPI_MODULE_INIT() {
  export_function(env, exports, (napi_property_descriptor){.utf8name = "flock", .method = lock_file});
  export_function(env, exports, (napi_property_descriptor){.utf8name = "isCached", .method = is_cached});
  export_function(env, exports, (napi_property_descriptor){.utf8name = "isLockedElsewhere", .method = is_locked_elsewhere});
  export_function(env, exports, (napi_property_descriptor){.utf8name = "netlinkRoute", .method = netlink_route});
  export_function(env, exports, (napi_property_descriptor){.utf8name = "notify", .method = notify});
  export_function(env, exports, (napi_property_descriptor){.utf8name = "releaseCode", .method = release_code});
  export_function(env, exports, (napi_property_descriptor){.utf8name = "releaseFree", .method = release_free});
  export_function(env, exports, (napi_property_descriptor){.utf8name = "waitpid", .method = reap});
  return exports;
}
