import { join } from "node:path";
import { DIST, type TestHost } from "@k3s/testkit";

/** The machine may lack iptables; the product brings its own. */
const AUX = join(DIST, "lib/components/bin/aux");
/** The folders that are the host's own, and what is written into them by others: the lock is that of every iptables. */
const FOLDERS = ["/etc", "/run", "/usr/libexec", "/var/lib", "/var/log"];
const OF_OTHERS = ["file /run/xtables.lock"];
const LOOK = `
PATH=$PATH:${AUX}
awk '{ print "mount", $2 }' /proc/self/mounts
ip -oneline link | awk -F ': ' '{ sub(/@.*/, "", $2); print "link", $2 }'
for family in iptables ip6tables; do
	$family-save | grep -e ^-A -e '^:[^ ]* - ' | sed "s/^/$family /"
done
find /sys/fs/cgroup -mindepth 1 -type d -printf 'cgroup %p\\n'
find ${FOLDERS.join(" ")} -xdev -printf 'file %p\\n'
`;

/** What programs can leave on a host, one line each: mounts, links, firewall rules and chains, cgroups, files, programs that run. */
export async function tracesOf(host: TestHost): Promise<ReadonlySet<string>> {
  const lines = (await host.run("sh", "-c", LOOK)).split("\n").filter((line) => !OF_OTHERS.includes(line));
  const programs = (await host.processes()).map(({ commandLine }) => `program ${commandLine[0] ?? ""}`);
  return new Set([...lines, ...programs]);
}
