import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { kubeProxyArgs } from "../src/kube-proxy-args.ts";
import { kubeletArgs } from "../src/kubelet-args.ts";
import { kubeletConfig, type JsonObject } from "../src/kubelet-config.ts";
import { flagsOf, fullOptions } from "./node-options.ts";

interface RecordedProgram {
  readonly flags: readonly string[];
  /** Flags that the program takes although the page does not list them, by where that is known from. */
  readonly hidden: Readonly<Record<string, readonly string[]>>;
}

interface Recorded {
  readonly kubelet: RecordedProgram;
  readonly "kube-proxy": RecordedProgram;
  /** JSON names of the fields of each type. */
  readonly config: Readonly<Record<string, readonly string[]>>;
}

const FOLDER = new URL("recorded/", import.meta.url);
const minors = Array.from({ length: 17 }, (_, index) => 20 + index);

function recorded(minor: number): Recorded {
  return JSON.parse(readFileSync(new URL(`1.${minor}.json`, FOLDER), "utf8")) as Recorded; // written in this form beside this test
}

function unknownFlags(args: readonly string[], program: RecordedProgram): string[] {
  const known = new Set([...program.flags, ...Object.values(program.hidden).flat()]);
  return [...flagsOf(args).keys()].filter((flag) => !known.has(flag));
}

function unknownFields(object: unknown, known: readonly string[] | undefined): string[] {
  assert.ok(typeof object === "object" && object !== null && known !== undefined);
  return Object.keys(object).filter((field) => field !== "apiVersion" && field !== "kind" && !known.includes(field));
}

describe("flags and fields of each release", () => {
  test("every release from 1.20 to 1.36 is recorded", () => {
    assert.deepEqual(
      readdirSync(FOLDER).sort(),
      minors.map((minor) => `1.${minor}.json`),
    );
  });

  for (const minor of minors) {
    const options = fullOptions({ kubernetesVersion: `v1.${minor}.3` });

    test(`kubelet 1.${minor} knows every flag it is given`, () => {
      assert.deepEqual(unknownFlags(kubeletArgs(options), recorded(minor).kubelet), []);
    });

    test(`kube-proxy 1.${minor} knows every flag it is given`, () => {
      assert.deepEqual(unknownFlags(kubeProxyArgs(options), recorded(minor)["kube-proxy"]), []);
    });

    test(`kubelet 1.${minor} knows every field of its configuration`, () => {
      const { config: types } = recorded(minor);
      const config: JsonObject = kubeletConfig(options);
      assert.deepEqual(unknownFields(config, types["KubeletConfiguration"]), []);
      assert.deepEqual(unknownFields(config["authentication"], types["KubeletAuthentication"]), []);
      assert.deepEqual(unknownFields(config["authorization"], types["KubeletAuthorization"]), []);
      assert.deepEqual(unknownFields(config["logging"], types["LoggingConfiguration"]), []);
    });

    test(`kubelet 1.${minor} is told its runtime and taints exactly once`, () => {
      const flags = flagsOf(kubeletArgs(options));
      const config = kubeletConfig(options);
      assert.notEqual(flags.has("container-runtime-endpoint"), "containerRuntimeEndpoint" in config);
      assert.notEqual(flags.has("register-with-taints"), "registerWithTaints" in config);
      assert.notEqual(flags.has("config"), flags.has("config-dir"));
    });
  }
});
