import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { armFailpoints, failpoint } from "../src/index.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const SAMPLE = fileURLToPath(new URL("./fixtures/sample.ts", import.meta.url));

describe("failpoint()", () => {
  test("does nothing at a point that is not armed", (t) => {
    t.after(() => armFailpoints({}));
    armFailpoints({ other: { kind: "throw", atHit: 1 } });
    failpoint("point");
  });

  test("throws once, at the pass that was asked for", (t) => {
    t.after(() => armFailpoints({}));
    armFailpoints({ point: { kind: "throw", atHit: 2 } });
    failpoint("point");
    assert.throws(() => failpoint("point"), { message: 'Cannot go on: failpoint "point"' });
    failpoint("point");
  });

  test("kills the process, in a worker thread as well", () => {
    const { signal, stdout } = spawnSync(process.execPath, [SAMPLE], { encoding: "utf8", timeout: 20_000 });
    assert.equal(signal, "SIGKILL");
    assert.doesNotMatch(stdout, /twice/);
  });

  test("leaves nothing in a bundle that defines K3S_FAILPOINTS as false", async () => {
    const contents = 'import { failpoint } from "./src/index.ts"; failpoint("the.name"); globalThis.done = true;';
    const bundle = async (define: Record<string, string>) => {
      const stdin = { contents, resolveDir: ROOT };
      const options = { stdin, bundle: true, write: false, minify: true, platform: "node", format: "esm" } as const;
      const result = await build({ ...options, define });
      return result.outputFiles[0]?.text ?? "";
    };
    assert.match(await bundle({}), /the\.name/);
    assert.equal(await bundle({ K3S_FAILPOINTS: "false" }), "globalThis.done=!0;\n");
  });
});
