import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { controllerManagerArgs } from "../src/controller-manager-args.ts";
import { KNOWN_MINORS } from "../src/flag-lifetime.ts";
import { kubeApiserverArgs } from "../src/kube-apiserver-args.ts";
import { schedulerArgs } from "../src/scheduler-args.ts";
import { flagsOf, fullOptions } from "./control-plane-options.ts";

interface RecordedProgram {
  readonly flags: readonly string[];
  /** Flags that the program takes although the page does not list them, by where that is known from. */
  readonly hidden: Readonly<Record<string, readonly string[]>>;
  /** Of kube-controller-manager: the controllers that `--controllers` takes. */
  readonly controllers?: readonly string[];
}

const FOLDER = new URL("recorded/", import.meta.url);
const PROGRAMS = {
  "kube-apiserver": kubeApiserverArgs,
  "kube-controller-manager": controllerManagerArgs,
  "kube-scheduler": schedulerArgs,
} as const;

function recorded(minor: number): Record<keyof typeof PROGRAMS, RecordedProgram> {
  const text = readFileSync(new URL(`1.${minor}.json`, FOLDER), "utf8");
  return JSON.parse(text) as Record<keyof typeof PROGRAMS, RecordedProgram>; // written in this form beside this test
}

const minors = Array.from(
  { length: KNOWN_MINORS.newest - KNOWN_MINORS.oldest + 1 },
  (_, index) => KNOWN_MINORS.oldest + index,
);

describe("flags of each release", () => {
  test("every release from the oldest to the newest we know is recorded", () => {
    assert.deepEqual(
      readdirSync(FOLDER).sort(),
      minors.map((minor) => `1.${minor}.json`),
    );
  });

  for (const minor of minors) {
    test(`kube-controller-manager 1.${minor} knows every controller it is told about`, () => {
      const args = controllerManagerArgs(fullOptions({ kubernetesVersion: `v1.${minor}.3` }));
      const given = flagsOf(args).get("controllers")?.split(",") ?? [];
      const known = new Set(recorded(minor)["kube-controller-manager"].controllers);
      const unknown = given.filter((item) => item !== "*" && !known.has(item.replace(/^-/, "")));
      assert.deepEqual(unknown, []);
      assert.equal(given.length, 5);
    });

    for (const [name, makeArgs] of Object.entries(PROGRAMS)) {
      test(`${name} 1.${minor} knows every flag it is given`, () => {
        const program = recorded(minor)[name as keyof typeof PROGRAMS]; // a key of the object just listed
        const known = new Set([...program.flags, ...Object.values(program.hidden).flat()]);
        const given = [...flagsOf(makeArgs(fullOptions({ kubernetesVersion: `v1.${minor}.3` }))).keys()];
        assert.deepEqual(
          given.filter((flag) => !known.has(flag)),
          [],
        );
        assert.ok(given.length > 10);
      });
    }
  }
});
