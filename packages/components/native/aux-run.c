/*
 * Runs a host tool (iptables, ipset, conntrack, socat, …) from the folder it was unpacked to, with the libraries beside it,
 * on a host that has neither. Called through a link that carries the tool's name:
 *
 *   bin/aux/iptables -> aux-run      executes  bin/aux/libexec/iptables
 *                                    with      LD_LIBRARY_PATH=bin/aux/lib  XTABLES_LIBDIR=bin/aux/lib/xtables
 *
 * Static, so that it starts on any host and in well under a millisecond.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int fail(const char *what, const char *object)
{
	fprintf(stderr, "Cannot %s \"%s\": %s\n", what, object, strerror(errno));
	return 127;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash == NULL ? path : slash + 1;
}

int main(int argc, char **argv)
{
	char folder[PATH_MAX], target[2 * PATH_MAX], value[2 * PATH_MAX];
	const char *name = argc > 0 ? base_name(argv[0]) : "";
	ssize_t length = readlink("/proc/self/exe", folder, sizeof(folder) - 1);

	if (length < 0)
		return fail("find the folder of", name);
	folder[length] = '\0';
	*strrchr(folder, '/') = '\0';
	snprintf(value, sizeof(value), "%s/lib", folder);
	setenv("LD_LIBRARY_PATH", value, 1);
	snprintf(value, sizeof(value), "%s/lib/xtables", folder);
	setenv("XTABLES_LIBDIR", value, 1);
	snprintf(target, sizeof(target), "%s/libexec/%s", folder, name);
	argv[0] = (char *)name;
	execv(target, argv);
	return fail("run", target);
}
