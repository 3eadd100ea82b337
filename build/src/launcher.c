/*
 * dist/k3s: starts the bundle with the Node that was built for it. A program, not a script, because it runs before everything
 * else: it costs well under a millisecond and needs no shell.
 *
 * The folder is found through /proc/self/exe, so symbolic links to this file work. The name it was called by (kubectl, ctr,
 * crictl or k3s) is handed on in K3S_ARGV0.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const node_options[] = {
	"--max-semi-space-size=2", /* the young generation; larger ones cost memory that an idle node never gives back */
	"--heap-growing-percent=40", /* garbage beside live objects; V8 alone lets more than as much lie about, and a quarter costs a fifth more CPU under load */
	"--disable-sigusr1",	   /* else SIGUSR1 opens the inspector in a root daemon */
	"--no-warnings",
};

#define OPTION_COUNT (sizeof(node_options) / sizeof(node_options[0]))

int main(int argc, char **argv)
{
	char folder[PATH_MAX], node[PATH_MAX + 16], bundle[PATH_MAX + 16];
	ssize_t length = readlink("/proc/self/exe", folder, sizeof(folder) - 1);

	if (length < 0) {
		fprintf(stderr, "Cannot find the folder of k3s: /proc is not mounted\n");
		return 1;
	}
	folder[length] = '\0';
	*strrchr(folder, '/') = '\0';
	snprintf(node, sizeof(node), "%s/lib/node", folder);
	snprintf(bundle, sizeof(bundle), "%s/lib/main.js", folder);

	const char *called = argc > 0 ? argv[0] : "k3s";
	const char *slash = strrchr(called, '/');
	char **arguments = calloc((size_t)argc + OPTION_COUNT + 3, sizeof(char *));
	size_t count = 0;

	if (arguments == NULL)
		return 1;
	setenv("K3S_ARGV0", slash == NULL ? called : slash + 1, 1);
	/* A daemon of root must not load what the environment names. */
	unsetenv("NODE_OPTIONS");
	/* glibc: one arena for all threads, and free memory at its top goes back; 20 MiB less at idle. Not handed to children. */
	setenv("MALLOC_ARENA_MAX", "1", 0);
	setenv("MALLOC_TRIM_THRESHOLD_", "131072", 0);
	arguments[count++] = (char *)called;
	for (size_t i = 0; i < OPTION_COUNT; i++)
		arguments[count++] = (char *)node_options[i];
	arguments[count++] = bundle;
	for (int i = 1; i < argc; i++)
		arguments[count++] = argv[i];
	execv(node, arguments);
	fprintf(stderr, "Cannot run \"%s\": %s\n  Build k3s again: its lib folder belongs beside it\n", node, strerror(errno));
	return 1;
}
