/*
 * The first process of every pod: keeps the pod's namespaces open, reaps whatever is re-parented to it
 * and leaves on SIGTERM or SIGINT. Static, so that its image needs no other file.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t ending;

static void on_end(int signal_number)
{
	(void)signal_number;
	ending = 1;
}

static void on_child(int signal_number)
{
	(void)signal_number;
	int saved = errno;

	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	errno = saved;
}

static int watch(int signal_number, void (*handler)(int), int flags)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = flags };

	return sigaction(signal_number, &action, NULL);
}

int main(void)
{
	sigset_t blocked, before;

	/* Blocked outside sigsuspend(), so that a signal between the test and the wait is not lost. */
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGTERM);
	sigaddset(&blocked, SIGINT);
	sigprocmask(SIG_BLOCK, &blocked, &before);
	if (watch(SIGTERM, on_end, 0) != 0 || watch(SIGINT, on_end, 0) != 0 || watch(SIGCHLD, on_child, SA_NOCLDSTOP) != 0) {
		perror("pause: cannot set signal handlers");
		return 1;
	}
	on_child(SIGCHLD); /* children that ended before the handler was there */
	sigdelset(&before, SIGTERM);
	sigdelset(&before, SIGINT);
	while (!ending)
		sigsuspend(&before);
	return 0;
}
