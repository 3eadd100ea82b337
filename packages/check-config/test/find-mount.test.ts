import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { findMount } from "../src/find-mount.ts";

describe("findMount()", () => {
  const table = [
    "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw",
    "30 22 8:2 / /var rw,nosuid - ext4 /dev/sda2 rw",
    "31 30 0:40 / /var/lib/with\\040space rw,noexec - tmpfs tmpfs rw",
    "32 30 0:41 / /var/lib rw - tmpfs tmpfs rw",
    "33 30 0:42 / /var/lib rw,noexec - tmpfs tmpfs rw",
  ].join("\n");
  const cases = [
    ["/var/lib/rancher", "/var/lib", ["rw", "noexec"], "tmpfs"],
    ["/var/lib", "/var/lib", ["rw", "noexec"], "tmpfs"],
    ["/var/library", "/var", ["rw", "nosuid"], "ext4"],
    ["/var/lib/with space/x", "/var/lib/with space", ["rw", "noexec"], "tmpfs"],
    ["/srv", "/", ["rw", "relatime"], "ext4"],
  ] as const;
  for (const [path, point, options, filesystem] of cases) {
    test(path, () => assert.deepEqual(findMount(table, path), { point, options, filesystem }));
  }
});
