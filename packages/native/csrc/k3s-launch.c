// k3s-launch: becomes another program that dies with the process that started it.
//
//   k3s-launch --parent PID [--session] [--oom-score-adj N] [--chdir DIR] [--mark OWNER] -- FILE [ARGUMENT...]
//
// Exit status 127 when FILE cannot be found, 126 when it cannot be run, 125 when the launcher itself is at fault.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MARK_VARIABLE "K3S_SUPERVISED_BY"
#define EXIT_LAUNCHER 125
#define EXIT_NOT_RUNNABLE 126
#define EXIT_NOT_FOUND 127

struct options {
  pid_t parent;
  int session;
  const char *oom_score_adj;
  const char *directory;
  const char *owner;
};

static void fail(int status, const char *what, const char *reason) {
  fprintf(stderr, "k3s-launch: Cannot %s: %s\n", what, reason);
  exit(status);
}

static void fail_errno(int status, const char *verb, const char *object) {
  char what[PATH_MAX + 64];
  snprintf(what, sizeof what, "%s \"%s\"", verb, object);
  fail(status, what, strerror(errno));
}

static pid_t parse_pid(const char *text) {
  char *end;
  errno = 0;
  long value = strtol(text, &end, 10);
  if (errno != 0 || *end != '\0' || value < 1 || value > INT_MAX) fail(EXIT_LAUNCHER, "read --parent", "not a process id");
  return (pid_t)value;
}

static struct options parse_options(int argc, char **argv) {
  static const struct option known[] = {
      {"parent", required_argument, NULL, 'p'}, {"session", no_argument, NULL, 's'},
      {"oom-score-adj", required_argument, NULL, 'o'}, {"chdir", required_argument, NULL, 'c'},
      {"mark", required_argument, NULL, 'm'}, {NULL, 0, NULL, 0}};
  struct options options = {0};
  int option;
  while ((option = getopt_long(argc, argv, "+", known, NULL)) != -1) {
    if (option == 'p') options.parent = parse_pid(optarg);
    else if (option == 's') options.session = 1;
    else if (option == 'o') options.oom_score_adj = optarg;
    else if (option == 'c') options.directory = optarg;
    else if (option == 'm') options.owner = optarg;
    else exit(EXIT_LAUNCHER); // getopt has said why
  }
  if (options.parent == 0) fail(EXIT_LAUNCHER, "start", "--parent is missing");
  if (optind >= argc) fail(EXIT_LAUNCHER, "start", "no program is named");
  return options;
}

// The parent may have died before prctl took effect; then no signal will ever come, and the parent id has changed.
static void die_with(pid_t parent) {
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) fail(EXIT_LAUNCHER, "die with the parent", strerror(errno));
  if (getppid() != parent) fail(EXIT_LAUNCHER, "start", "the parent process is gone");
}

// Refused to all but the privileged, and then the score stays as it is: nothing depends on it.
static void set_oom_score(const char *value) {
  int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  if (write(fd, value, strlen(value)) < 0 && errno != EACCES && errno != EPERM)
    fprintf(stderr, "k3s-launch: Cannot set oom_score_adj to %s: %s\n", value, strerror(errno));
  close(fd);
}

// An ignored signal or a mask would be inherited through exec.
static void reset_signals(void) {
  for (int number = 1; number < NSIG; number++) signal(number, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

static void close_inherited_files(void) {
#ifdef SYS_close_range
  syscall(SYS_close_range, 3U, ~0U, 0U); // an old kernel refuses; Node opens its own files close-on-exec anyway
#endif
}

// Field 22 of /proc/self/stat: with the id it names one process for as long as the machine is up. Empty if unknown.
static void read_start_ticks(char *ticks, size_t size) {
  char line[1024];
  ticks[0] = '\0';
  FILE *file = fopen("/proc/self/stat", "re");
  if (file == NULL) return;
  char *field = fgets(line, sizeof line, file) == NULL ? NULL : strrchr(line, ')');
  fclose(file);
  for (int number = 2; field != NULL && number < 22; number++) field = strchr(field + 1, ' ');
  if (field != NULL) snprintf(ticks, size, "%.*s", (int)strcspn(field + 1, " \n"), field + 1);
}

// OWNER:PID:TICKS. What a descendant inherits does not name the descendant itself, so only this process bears the mark.
static void set_mark(const char *owner) {
  char ticks[32], mark[512];
  read_start_ticks(ticks, sizeof ticks);
  snprintf(mark, sizeof mark, "%s:%d:%s", owner, getpid(), ticks);
  if (setenv(MARK_VARIABLE, mark, 1) < 0) fail(EXIT_LAUNCHER, "set " MARK_VARIABLE, strerror(errno));
}

int main(int argc, char **argv) {
  struct options options = parse_options(argc, argv);
  die_with(options.parent);
  if (options.session) setsid(); // fails only for a group leader, which then has what it needs
  if (options.oom_score_adj != NULL) set_oom_score(options.oom_score_adj);
  if (options.directory != NULL && chdir(options.directory) < 0)
    fail_errno(EXIT_NOT_FOUND, "change to folder", options.directory);
  if (options.owner != NULL) set_mark(options.owner);
  reset_signals();
  close_inherited_files();

  char **command = argv + optind;
  // execvp() runs a file of unknown format as a shell script; a damaged executable must be an error instead.
  if (strchr(command[0], '/') != NULL) execv(command[0], command);
  else execvp(command[0], command);
  fail_errno(errno == ENOENT || errno == ENOTDIR ? EXIT_NOT_FOUND : EXIT_NOT_RUNNABLE, "execute", command[0]);
}
