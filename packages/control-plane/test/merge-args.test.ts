import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { mergeArgs, takeUserArg } from "../src/merge-args.ts";

describe("mergeArgs()", () => {
  const defaults = { b: "1", a: "x,y" };
  const cases = [
    { name: "sorts by name", user: [], expected: ["--a=x,y", "--b=1"] },
    { name: "replaces a default", user: ["b=2"], expected: ["--a=x,y", "--b=2"] },
    { name: "keeps all of the user's values, in order", user: ["b=3", "b=2"], expected: ["--a=x,y", "--b=3", "--b=2"] },
    { name: "adds after the default with +=", user: ["a+=z"], expected: ["--a=x,y", "--a=z", "--b=1"] },
    { name: "adds before the default with -=", user: ["a-=w"], expected: ["--a=w", "--a=x,y", "--b=1"] },
    { name: "takes leading dashes", user: ["--b=2", "-c=1"], expected: ["--a=x,y", "--b=2", "--c=1"] },
    { name: "reads a name alone as true", user: ["c"], expected: ["--a=x,y", "--b=1", "--c=true"] },
    { name: "leaves equal signs in a value alone", user: ["c=k=v"], expected: ["--a=x,y", "--b=1", "--c=k=v"] },
    { name: "adds a flag without default with +=", user: ["c+=1"], expected: ["--a=x,y", "--b=1", "--c=1"] },
    { name: "replaces by an empty value", user: ["b="], expected: ["--a=x,y", "--b="] },
  ] as const;
  for (const { name, user, expected } of cases)
    test(`mergeArgs() ${name}`, () => assert.deepEqual(mergeArgs(defaults, user), expected));
});

test("takeUserArg() separates a flag in every form from the others", () => {
  const { values, rest } = takeUserArg(["--config=/a", "v=2", "config+=/b"], "config");
  assert.deepEqual(values, ["/a", "/b"]);
  assert.deepEqual(rest, ["v=2"]);
});
