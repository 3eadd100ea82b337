import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { parseLogLine, type ParsedLine } from "../src/parse-log-line.ts";

const CASES: readonly { readonly name: string; readonly line: string; readonly parsed: ParsedLine }[] = [
  {
    name: "klog info",
    line: "I1120 23:38:47.152011   12345 server.go:632] external host was not specified, using 10.0.0.1",
    parsed: { level: "info", message: "external host was not specified, using 10.0.0.1", source: "server.go:632" },
  },
  {
    name: "klog warning with a short thread id",
    line: "W1120 23:38:47.152011       1 authentication.go:519] AnonymousAuth is not allowed",
    parsed: { level: "warn", message: "AnonymousAuth is not allowed", source: "authentication.go:519" },
  },
  {
    name: "klog error with brackets in the message",
    line: 'E1120 23:38:47.152011    7 pod_workers.go:191] Error syncing pod [a] ("b"), skipping',
    parsed: { level: "error", message: 'Error syncing pod [a] ("b"), skipping', source: "pod_workers.go:191" },
  },
  {
    name: "klog fatal",
    line: "F1120 23:38:47.152011    7 controllermanager.go:230] cannot go on",
    parsed: { level: "error", message: "cannot go on", source: "controllermanager.go:230" },
  },
  {
    name: "containerd's logrus text",
    line: 'time="2023-11-20T23:38:47.123456789Z" level=warning msg="failed to load plugin \\"x\\"" error="no such file" id=7',
    parsed: { level: "warn", message: 'failed to load plugin "x" error="no such file" id=7' },
  },
  {
    name: "logrus without quotes, fields before the message",
    line: "time=2023-11-20T23:38:47Z level=debug component=cri msg=started",
    parsed: { level: "debug", message: "started component=cri" },
  },
  {
    name: "a dollar sign in a logrus message",
    line: 'time="t" level=info msg="cost $& $1" x=y',
    parsed: { level: "info", message: "cost $& $1 x=y" },
  },
  {
    name: "etcd's zap",
    line: '{"level":"warn","ts":"2023-11-20T23:38:47.1Z","caller":"etcdserver/util.go:123","msg":"apply took too long","took":"1s"}',
    parsed: { level: "warn", message: "apply took too long", source: "etcdserver/util.go:123", data: { took: "1s" } },
  },
  {
    name: "Kubernetes' JSON format, where an error has no level",
    line: '{"ts":1700523527.1,"caller":"app/server.go:1","msg":"failed","err":"boom"}',
    parsed: { level: "error", message: "failed", source: "app/server.go:1", data: { err: "boom" } },
  },
  {
    name: "zap's panic level",
    line: '{"level":"dpanic","msg":"odd"}',
    parsed: { level: "error", message: "odd" },
  },
  {
    name: "JSON without a message",
    line: '{"kind":"Event"}',
    parsed: { level: "info", message: '{"kind":"Event"}' },
  },
  { name: "broken JSON", line: '{"msg":"a"', parsed: { level: "info", message: '{"msg":"a"' } },
  { name: "braces that are not JSON", line: "{msg}", parsed: { level: "info", message: "{msg}" } },
  {
    name: "etcd 3.4's own format",
    line: "2023-11-20 23:38:47.152011 E | rafthttp: request cluster ID mismatch",
    parsed: { level: "error", message: "rafthttp: request cluster ID mismatch" },
  },
  {
    name: "a complaint of the launcher",
    line: 'k3s-launch: Cannot execute "/x": No such file or directory',
    parsed: { level: "error", message: 'k3s-launch: Cannot execute "/x": No such file or directory' },
  },
  {
    name: "anything else",
    line: "goroutine 1 [running]:",
    parsed: { level: "info", message: "goroutine 1 [running]:" },
  },
  { name: "colours", line: "\u001b[31mred\u001b[0m\tx", parsed: { level: "info", message: "red\tx" } },
  { name: "control characters", line: "a\u0007\rb\u0000", parsed: { level: "info", message: "a\ufffd\ufffdb\ufffd" } },
];

describe("parseLogLine()", () => {
  for (const { name, line, parsed } of CASES) {
    test(`understands ${name}`, () => assert.deepEqual(parseLogLine(line), parsed));
  }

  test("answers quickly to a long line without structure", () => {
    const line = `time="${"x".repeat(16_000)} level=${'msg="\\'.repeat(1000)}`;
    const startedAt = performance.now();
    assert.equal(parseLogLine(line).level, "info");
    assert.ok(performance.now() - startedAt < 1000);
  });
});
