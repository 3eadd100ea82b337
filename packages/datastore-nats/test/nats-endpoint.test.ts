import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Random } from "@k3s/testkit";
import { NatsError, parseNatsEndpoint, type NatsEndpoint } from "../src/index.ts";

const PLAIN: NatsEndpoint = {
  servers: ["host:4222"],
  user: undefined,
  password: undefined,
  token: undefined,
  bucket: "kine",
  replicas: 1,
  revHistory: 10,
  slowMethodMs: 500,
  credsFile: undefined,
  contextFile: undefined,
  ignored: [],
  shown: "",
};

describe("O1 DSN parsing: parseNatsEndpoint()", () => {
  const good: readonly (readonly [text: string, expected: Partial<NatsEndpoint>])[] = [
    ["nats://host", {}],
    ["nats://host:14222", { servers: ["host:14222"] }],
    ["jetstream://host", {}],
    ["nats://[::1]:4222", { servers: ["[::1]:4222"] }],
    ["nats://a,b:4333,nats://c", { servers: ["a:4222", "b:4333", "c:4222"] }],
    ["nats://user:pw@host", { user: "user", password: "pw" }],
    ["nats://user:@host", { user: "user", password: "" }],
    ["nats://u%40x:p%3Aw%2F%40@host", { user: "u@x", password: "p:w/@" }],
    ["nats://user:p:w@host", { user: "user", password: "p:w" }],
    ["nats://secret@host", { token: "secret" }],
    ["nats://u:p@a,nats://x:y@b", { servers: ["a:4222", "b:4222"], user: "u", password: "p" }],
    ["nats://host?bucket=b-1_2&replicas=3&revHistory=64", { bucket: "b-1_2", replicas: 3, revHistory: 64 }],
    ["nats://host?bucket=x,b", { servers: ["host:4222", "b:4222"], bucket: "x" }],
    ["nats://host?slowMethod=1m30s", { slowMethodMs: 90_000 }],
    ["nats://host?slowMethod=1.5s", { slowMethodMs: 1500 }],
    ["nats://host?slowMethod=250us", { slowMethodMs: 0.25 }],
    ["nats://host?credsFile=/etc/k3s/nats.creds", { credsFile: "/etc/k3s/nats.creds" }],
    ["nats://?contextFile=/etc/k3s/context.json", { servers: [], contextFile: "/etc/k3s/context.json" }],
    ["nats://host?noEmbed", {}],
    ["nats://host?noEmbed=true&bucket=", {}],
    ["nats://host/", {}],
    ["nats://host/path?other=1", { ignored: ["a path", 'parameter "other"'] }],
    ["nats://a,nats://b?bucket=x", { servers: ["a:4222", "b:4222"], ignored: ["parameters behind the first host"] }],
  ];
  for (const [text, expected] of good)
    test(`reads ${text}`, () => {
      assert.deepEqual({ ...parseNatsEndpoint(text), shown: "" }, { ...PLAIN, ...expected });
    });

  const bad: readonly (readonly [text: string, ...problems: readonly RegExp[]])[] = [
    ["", /does not begin with nats/],
    ["http://host", /does not begin with nats/],
    ["nats://", /names no host/],
    ["nats://host:70000", /"host:70000" is no host with a port/],
    ["nats://ho st", /"ho st" is no host/],
    ["nats://a,https://b", /host 2 has another scheme/],
    ["nats://user:%zz@host", /has a % that is not followed/],
    ["nats://host?bucket=a.b", /bucket must be letters/],
    ["nats://host?replicas=6", /replicas must be a number from 1 to 5, not "6"/],
    ["nats://host?replicas=two&revHistory=1", /replicas must/, /revHistory must be a number from 2 to 64, not "1"/],
    ["nats://host?slowMethod=soon", /slowMethod must be a duration such as 500ms/],
    ["nats://host?dataDir=/x&dontListen", /"dataDir" is for a server inside/, /leave "dontListen" out/],
    ["nats://host?contextFile=/x", /names the hosts, so none may stand here/],
  ];
  for (const [text, ...problems] of bad)
    test(`refuses "${text}" and says why`, () => {
      assert.throws(
        () => parseNatsEndpoint(text),
        (error) => {
          assert.ok(error instanceof NatsError && error.code === "ERR_NATS_ENDPOINT");
          for (const problem of problems) assert.match(error.message, problem);
          return true;
        },
      );
    });

  test("shows neither user nor password nor token", () => {
    const texts = [
      "nats://user:s3cret@host:0",
      "nats://s3cret@host:0",
      "nats://u:s3c@s3cret@host:0",
      "nats://u:s3cret@a,u:s3cret@b:0",
    ];
    for (const text of texts)
      assert.throws(
        () => parseNatsEndpoint(text),
        (error) => error instanceof Error && !error.message.includes("s3c") && error.message.includes("********@"),
      );
  });

  test("answers or refuses whatever the text is", () => {
    const parts = ["nats://", "host", ":", "@", "/", "?", "&", "=", "%", ",", "bucket", "1", "é", " ", "[", "]"];
    const random = new Random(4222);
    for (let i = 0; i < 3000; i++) {
      const text = Array.from({ length: 8 }, () => random.pick(parts)).join("");
      try {
        parseNatsEndpoint(text);
      } catch (error) {
        assert.ok(error instanceof NatsError, `seed ${random.seed}, round ${i}, "${text}": ${String(error)}`);
      }
    }
  });
});
