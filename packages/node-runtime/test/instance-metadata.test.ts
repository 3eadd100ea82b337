import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { instanceMetadataEnvironment } from "../src/instance-metadata.ts";

describe("instanceMetadataEnvironment()", () => {
  const cases = [
    { version: "v1.20.2", trace: "QEMU\n", disabled: true },
    { version: "v1.20.2", trace: undefined, disabled: true },
    { version: "v1.26.9", trace: "Amazon EC2\n", disabled: false },
    { version: "v1.26.9", trace: "4.2.amazon\n", disabled: false },
    { version: "v1.26.9", trace: "ec2e1916-9099-7caf-fd21-012345abcdef\n", disabled: false },
    { version: "v1.27.0", trace: "QEMU\n", disabled: false },
  ];
  for (const { version, trace, disabled } of cases)
    test(`${disabled ? "spares" : "leaves"} ${version} the search where the machine says ${JSON.stringify(trace)}`, async (t) => {
      const folder = await mkdtemp(join(tmpdir(), "instance-"));
      t.after(() => rm(folder, { recursive: true, force: true }));
      const file = join(folder, "trace");
      if (trace !== undefined) await writeFile(file, trace);
      const environment = await instanceMetadataEnvironment(version, [file]);
      assert.deepEqual(environment, disabled ? { AWS_EC2_METADATA_DISABLED: "true" } : {});
    });
});
