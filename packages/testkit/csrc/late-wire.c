// A wire between two interfaces of its network namespace that delivers each frame late: late-wire <interface> <interface> <ms>
// Frames keep their offload header (virtio_net.h), so segments and checksums that the kernel left for later stay as they are.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { FRAME_MAX = sizeof(struct virtio_net_hdr) + ETH_HLEN + 4 + 65536, WAITING_MAX = 64 << 20 };

struct frame {
  struct frame *next;
  int64_t due;
  size_t size;
  unsigned char bytes[];
};

struct direction {
  int from, to;
  struct frame *first, **last;
  size_t waiting;
};

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static int64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static int attach(const char *name) {
  int on = 1, buffer = 16 << 20;
  int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex(name)};
  struct packet_mreq all = {.mr_ifindex = address.sll_ifindex, .mr_type = PACKET_MR_PROMISC};
  if (fd < 0 || address.sll_ifindex == 0) fail(name);
  if (setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof on) < 0) fail("PACKET_VNET_HDR");
  if (setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on) < 0) fail("PACKET_IGNORE_OUTGOING");
  if (setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof all) < 0) fail("PACKET_ADD_MEMBERSHIP");
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer) < 0) fail("SO_RCVBUFFORCE");
  if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer) < 0) fail("SO_SNDBUFFORCE");
  if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) fail(name);
  return fd;
}

static void take(struct direction *path, int64_t delay) {
  static unsigned char buffer[FRAME_MAX];
  ssize_t size;
  while ((size = recv(path->from, buffer, sizeof buffer, 0)) > 0) {
    if (path->waiting + (size_t)size > WAITING_MAX) continue; // lost, as in a switch whose queue is full
    struct frame *frame = malloc(sizeof *frame + (size_t)size);
    if (frame == NULL) fail("malloc");
    *frame = (struct frame){.due = now() + delay, .size = (size_t)size};
    memcpy(frame->bytes, buffer, (size_t)size);
    *path->last = frame;
    path->last = &frame->next;
    path->waiting += (size_t)size;
  }
}

static void deliver(struct direction *path) {
  while (path->first != NULL && path->first->due <= now()) {
    struct frame *frame = path->first;
    // An interface that is down, or a full queue, loses the frame.
    (void)!send(path->to, frame->bytes, frame->size, 0);
    path->waiting -= frame->size;
    if ((path->first = frame->next) == NULL) path->last = &path->first;
    free(frame);
  }
}

static int64_t nextDue(const struct direction *paths) {
  int64_t due = INT64_MAX;
  for (int i = 0; i < 2; i++)
    if (paths[i].first != NULL && paths[i].first->due < due) due = paths[i].first->due;
  return due;
}

int main(int count, char **words) {
  if (count != 4) {
    fprintf(stderr, "usage: late-wire <interface> <interface> <ms>\n");
    return 2;
  }
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  int64_t delay = strtoll(words[3], NULL, 10) * 1000000;
  int one = attach(words[1]), other = attach(words[2]);
  struct direction paths[2] = {{.from = one, .to = other}, {.from = other, .to = one}};
  for (int i = 0; i < 2; i++) paths[i].last = &paths[i].first;
  puts("ready");
  fflush(stdout);
  for (;;) {
    struct pollfd fds[2] = {{.fd = one, .events = POLLIN}, {.fd = other, .events = POLLIN}};
    int64_t due = nextDue(paths), left = due == INT64_MAX ? -1 : due - now();
    struct timespec wait = {.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};
    if (left < 0 && due != INT64_MAX) wait = (struct timespec){0};
    if (ppoll(fds, 2, due == INT64_MAX ? NULL : &wait, NULL) < 0 && errno != EINTR) fail("ppoll");
    for (int i = 0; i < 2; i++) take(&paths[i], delay);
    for (int i = 0; i < 2; i++) deliver(&paths[i]);
  }
}
