import { execFile } from "node:child_process";
import { chmod, cp, mkdir, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { unpackDebianPackages, type SourceContext } from "@k3s/components";
import { provideCachedFolder } from "./cached-folder.ts";

const run = promisify(execFile);

/** A Debian with systemd as a rented machine has it after its installation, and with curl; what they need is named with them. */
const PACKAGES = `
  base-files base-passwd bash coreutils curl dash dbus dbus-bin dbus-daemon dbus-session-bus-common dbus-system-bus-common debianutils
  diffutils findutils grep gzip hostname init-system-helpers iproute2 iptables kmod libacl1 libapparmor1 libargon2-1 libattr1 libaudit1
  libblkid1 libbpf1 libbrotli1 libbsd0 libbz2-1.0 libc-bin libc6 libcap-ng0 libcap2 libcap2-bin libcom-err2 libcrypt1 libcryptsetup12
  libcurl4 libdbus-1-3 libdevmapper1.02.1 libelf1 libexpat1 libfdisk1 libffi8 libgcc-s1 libgcrypt20 libgmp10 libgnutls30 libgpg-error0
  libgssapi-krb5-2 libhogweed6 libidn2-0 libip4tc2 libip6tc2 libjson-c5 libk5crypto3 libkeyutils1 libkmod2 libkrb5-3 libkrb5support0
  libldap-2.5-0 liblz4-1 liblzma5 libmd0 libmnl0 libmount1 libncursesw6 libnetfilter-conntrack3 libnettle8 libnfnetlink0 libnftnl11
  libnghttp2-14 libp11-kit0 libpam0g libpcre2-8-0 libproc2-0 libpsl5 librtmp1 libsasl2-2 libseccomp2 libselinux1 libsmartcols1 libssh2-1
  libssl3 libstdc++6 libsystemd-shared libsystemd0 libtasn1-6 libtinfo6 libtirpc3 libudev1 libunistring2 libuuid1 libxtables12 libxxhash0
  libzstd1 mawk mount netbase procps sed systemd systemd-sysv tar util-linux util-linux-extra zlib1g zstd
`
  .trim()
  .split(/\s+/);
/** Folders that are links into /usr on every Debian of today. */
const MERGED = ["bin", "sbin", "lib", "lib64"];
/** Made by scripts of the packages, which are not run: place and target. */
const LINKS: readonly (readonly [string, string])[] = [
  ["usr/bin/awk", "mawk"],
  ["var/run", "/run"],
  ["var/lock", "/run/lock"],
  ...["iptables", "ip6tables"].flatMap((family) =>
    ["", "-save", "-restore"].map((action) => [`usr/sbin/${family}${action}`, "xtables-nft-multi"] as const),
  ),
  // Nobody logs in, there are no devices to wait for, and the kernel is that of the machine of the tests.
  ...[
    ...["systemd-logind.service", "getty.target", "console-getty.service", "systemd-pcrphase.service"],
    ...["systemd-sysctl.service", "proc-sys-fs-binfmt_misc.automount", "proc-sys-fs-binfmt_misc.mount"],
  ].map((unit) => [`etc/systemd/system/${unit}`, "/dev/null"] as const),
];
/** The same: files copied from where a package keeps them. */
const COPIES: readonly (readonly [string, string])[] = [
  ["usr/share/base-passwd/passwd.master", "etc/passwd"],
  ["usr/share/base-passwd/group.master", "etc/group"],
  ["usr/share/libc-bin/nsswitch.conf", "etc/nsswitch.conf"],
];
const USERS = 'u messagebus - "System Message Bus" /nonexistent\n';

/** A file tree for systemd hosts of tests, made once from Debian's packages and kept in the cache. Returns its folder. */
export async function provideHostRoot(context: SourceContext): Promise<string> {
  const make = (staging: string) => makeHostRoot(staging, context);
  return await provideCachedFolder({ name: "host-root", recipe: import.meta.filename, make }, context);
}

async function makeHostRoot(staging: string, context: SourceContext): Promise<void> {
  await unpackDebianPackages({ names: PACKAGES }, staging, context);
  await mergeIntoUsr(staging);
  for (const [from, to] of COPIES) await cp(join(staging, from), join(staging, to));
  for (const [place, target] of LINKS) {
    await rm(join(staging, place), { recursive: true, force: true });
    await symlink(target, join(staging, place));
  }
  await chmod(join(staging, "tmp"), 0o1777);
  for (const name of ["bin", "lib", "sbin"]) await mkdir(join(staging, "usr/local", name), { recursive: true });
  await writeFile(join(staging, "usr/lib/sysusers.d/dbus.conf"), USERS);
  // With the programs of the tree itself; the machine may have none of them.
  for (const program of ["systemd-sysusers", "ldconfig"]) await run("chroot", [staging, program]);
  for (const mark of ["etc/.updated", "var/.updated"]) await writeFile(join(staging, mark), "");
}

async function mergeIntoUsr(root: string): Promise<void> {
  for (const name of MERGED) {
    await mkdir(join(root, "usr", name), { recursive: true });
    await run("cp", ["-a", `${join(root, name)}/.`, join(root, "usr", name)]);
    await rm(join(root, name), { recursive: true });
    await symlink(`usr/${name}`, join(root, name));
  }
}
