import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { cacheDirectory, readComponentOptions } from "../src/component-options.ts";

describe("readComponentOptions()", () => {
  test("prefers flags to the environment to defaults", () => {
    const env = {
      K3S_COMPONENT_SOURCE: "upstream",
      K3S_COMPONENT_MIRROR: "https://mirror.example/x",
      K3S_KUBERNETES: "1.30",
    };
    const { source, mirror, kubernetes, dir } = readComponentOptions({ kubernetes: "1.31" }, env);
    assert.deepEqual(
      { source, mirror, kubernetes, dir },
      { source: "upstream", mirror: "https://mirror.example/x", kubernetes: "1.31", dir: undefined },
    );
    assert.equal(readComponentOptions({}, {}).source, "auto");
  });

  test("makes the folder absolute", () => {
    assert.equal(readComponentOptions({ source: "dir", dir: "programs" }, {}).dir, resolve("programs"));
  });

  test("refuses a source that it does not know, and names those it does", () => {
    assert.throws(() => readComponentOptions({ source: "snap" }, {}), {
      code: "ERR_BUILD_OPTION",
      hint: "Use one of auto, upstream, debian, dir",
    });
  });

  test("refuses a mirror that is no address", () => {
    assert.throws(() => readComponentOptions({ mirror: "mirror.example" }, {}), { code: "ERR_BUILD_OPTION" });
  });
});

describe("cacheDirectory()", () => {
  const cases = [
    { name: "the named folder", env: { K3S_CACHE_DIR: "/cache", XDG_CACHE_HOME: "/xdg" }, expected: "/cache" },
    { name: "a folder in the user's cache", env: { XDG_CACHE_HOME: "/xdg" }, expected: "/xdg/k3s-build" },
    {
      name: "a folder in the home folder",
      env: { K3S_CACHE_DIR: "", XDG_CACHE_HOME: "" },
      expected: join(homedir(), ".cache/k3s-build"),
    },
  ];
  for (const { name, env, expected } of cases) test(`is ${name}`, () => assert.equal(cacheDirectory(env), expected));
});
