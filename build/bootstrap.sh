#!/bin/sh
# From a fresh machine to a running node, to what is published or to all tests:
# sh build/bootstrap.sh up|build|release|reproduce|test [arguments]
#
# Needs root, Node 18 or later and npm. Everything else is fetched from the package archives of npm and Debian:
# what the build needs and the machine lacks, the pinned Node and the libraries. With all that there it takes a second.
set -eu

# Packages by the program that shows whether they are there. gcc compiles our native part, strip makes Node smaller;
# the others are what tests look at the machine with, and what the installer and image archives are tested with.
TOOLS='gcc:gcc strip:binutils ip:iproute2 ps:procps unshare:util-linux openssl:openssl curl:curl python3:python3 git:git bzip2:bzip2 wget:wget zstd:zstd'
HEADERS='/usr/include/stdio.h:libc6-dev'
APT_LOCK_SECONDS=300
OLDEST_NODE=18

fail() {
	printf '\nError %s: %s\n  %s\n' "$1" "$2" "$3" >&2
	exit 1
}

check_machine() {
	[ "$(uname -s)" = Linux ] && [ "$(uname -m)" = x86_64 ] ||
		fail ERR_BUILD_MACHINE "Cannot build here: this is $(uname -s) on $(uname -m)" "Use a Linux machine with an x86-64 processor"
	[ "$(id -u)" = 0 ] ||
		fail ERR_BUILD_NOT_ROOT "Cannot build and run a node: not root" "Run the same command as root, for instance with sudo"
	command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 ||
		fail ERR_BUILD_NODE "Cannot start: node or npm is not there" "Install Node $OLDEST_NODE or later with npm"
	major=$(node -p 'process.versions.node.split(".")[0]')
	[ "$major" -ge "$OLDEST_NODE" ] ||
		fail ERR_BUILD_NODE "Cannot start with Node $major: too old" "Install Node $OLDEST_NODE or later"
}

missing_packages() {
	for entry in $TOOLS; do
		command -v "${entry%%:*}" >/dev/null 2>&1 || printf '%s ' "${entry#*:}"
	done
	for entry in $HEADERS; do
		[ -e "${entry%%:*}" ] || printf '%s ' "${entry#*:}"
	done
}

install_packages() {
	packages=$(missing_packages)
	[ -n "$packages" ] || return 0
	command -v apt-get >/dev/null 2>&1 ||
		fail ERR_BUILD_TOOLS "Cannot build: missing $packages" "Install these packages with the package manager of this machine"
	echo "Install $packages…" >&2
	export DEBIAN_FRONTEND=noninteractive
	lock="-o DPkg::Lock::Timeout=$APT_LOCK_SECONDS"
	# shellcheck disable=SC2086 # lists of words
	{ apt-get $lock -qq update && apt-get $lock -qq install -y --no-install-recommends $packages >/dev/null; } ||
		fail ERR_BUILD_TOOLS "Cannot install $packages" "See apt-get's message above; another run goes on from here"
}

# pnpm keeps a copy of the lockfile that it installed from.
install_libraries() {
	[ -x node_modules/.bin/node ] && cmp -s pnpm-lock.yaml node_modules/.pnpm/lock.yaml && return 0
	pnpm=$(node -p 'require("./package.json").packageManager')
	echo "Install libraries with $pnpm…" >&2
	npm exec --yes "$pnpm" -- install --frozen-lockfile >&2 ||
		fail ERR_BUILD_LIBRARIES "Cannot install the libraries" "See the message above; check the network and run the same command again"
}

cd "$(dirname "$0")/.."
task=${1:-}
[ $# -eq 0 ] || shift
case $task in
up | build | release | reproduce | test) ;;
*) fail ERR_BUILD_TASK "Cannot do \"$task\": it is not known" "Use: sh build/bootstrap.sh up [server arguments], build, release, reproduce, or test [suites]" ;;
esac
check_machine
install_packages
install_libraries
node=node_modules/.bin/node
"$node" packages/native/build.ts >&2
case $task in
up)
	"$node" build/src/dist.ts
	exec dist/k3s server "$@"
	;;
build)
	exec "$node" build/src/dist.ts "$@"
	;;
release)
	exec "$node" build/src/dist.ts --release "$@"
	;;
reproduce)
	exec "$node" build/src/reproduce.ts "$@"
	;;
test)
	exec "$node" build/src/test.ts "$@"
	;;
esac
