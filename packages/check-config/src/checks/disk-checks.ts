import { missing, ok, unknown, type Answer, type Check } from "../check.ts";
import { formatBytes } from "../format-bytes.ts";
import type { HostFacts } from "../host-facts.ts";
import { DATA_DIR_MIN } from "../limits.ts";
import { machineRule } from "./machine-rule.ts";

/** Programs, a database and the images of some pods. */
const COMFORTABLE_BYTES = 4 * 1024 ** 3;
/** Leader leases are given up after 10 s without a write; etcd asks for 10 ms. */
const SYNC_GOOD_MS = 10;
const SYNC_BAD_MS = 100;
/** File systems of other machines: a lock or a sync may not mean what a database thinks. */
const REMOTE = /^(nfs|nfs4|cifs|smb3|9p|ceph|glusterfs|fuse\.(sshfs|glusterfs|ceph.*))$/;

export const DISK_CHECKS: readonly Check[] = [
  {
    ...{ id: "disk-writable", group: "Disk", title: "data dir", severity: "required" },
    needsRoot: true,
    cure: "Mount that file system writable and without noexec, or choose another --data-dir",
    examine: ({ disk }) => {
      if (disk.mountOptions.includes("noexec")) return missing(`"${disk.mountPoint}" is mounted noexec`);
      if (disk.isWritable) return ok(`${disk.dataDir} on ${disk.filesystem} at ${disk.mountPoint}`);
      return missing(`"${disk.place}" cannot be written`);
    },
  },
  {
    ...{ id: "disk-space", group: "Disk", title: "free space", severity: "required" },
    cure: "Free some space there, or choose another --data-dir",
    examine: examineSpace,
  },
  {
    ...{ id: "disk-room", group: "Disk", title: "room for images", severity: "recommended" },
    cure: "Free some space: the kubelet throws pods out of a disk that is more than 85 to 90 % full",
    examine: ({ disk }) => {
      const found = formatBytes(disk.freeBytes);
      return disk.freeBytes >= COMFORTABLE_BYTES ? ok(found) : missing(found);
    },
  },
  {
    ...{ id: "disk-filesystem", group: "Disk", title: "file system", severity: "recommended" },
    cure: "Put the data dir on a disk of this machine, such as ext4 or xfs, or use a database server with --datastore-endpoint",
    examine: ({ disk: { filesystem } }) => {
      if (REMOTE.test(filesystem))
        return missing(filesystem, { effect: "Neither the database nor images are safe there" });
      if (/^(tmpfs|ramfs)$/.test(filesystem))
        return missing(filesystem, { effect: "Everything is lost at the next boot" });
      return ok(filesystem);
    },
  },
  ...machineRule("overlayfs", "overlay mounts", { group: "Disk", severity: "recommended", needsRoot: true }),
  {
    ...{ id: "disk-sync", group: "Disk", title: "time until a write is durable", severity: "recommended" },
    cure: "Use an SSD, keep other writers off this disk, or use a database server with --datastore-endpoint",
    examine: ({ disk: { syncMs } }) => {
      if (syncMs === undefined) return unknown("it could not be tried");
      const found = `${round(syncMs.median)} ms, at worst ${round(syncMs.worst)} ms`;
      if (syncMs.median <= SYNC_GOOD_MS && syncMs.worst <= SYNC_BAD_MS) return ok(found);
      return missing(found, { effect: "Every change in the cluster waits for it" });
    },
  },
];

function examineSpace({ disk: { place, freeBytes, freeFiles } }: HostFacts): Answer {
  if (freeBytes < DATA_DIR_MIN.bytes) return missing(`${formatBytes(freeBytes)} in ${place}`);
  if (freeFiles !== undefined && freeFiles < DATA_DIR_MIN.files) return missing(`${freeFiles} inodes in ${place}`);
  return ok(`${formatBytes(freeBytes)} in ${place}`);
}

function round(ms: number): string {
  return ms < 10 ? ms.toFixed(1) : String(Math.round(ms));
}
