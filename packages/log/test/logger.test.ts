import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { createLogger, type LoggerOptions, redactText } from "../src/index.ts";

function record(options: Partial<LoggerOptions> = {}) {
  const lines: string[] = [];
  const log = createLogger({ level: "info", format: "text", ...options, write: (line) => lines.push(line) });
  return { log, lines };
}

describe("createLogger()", () => {
  test("writes one readable line with the component in front and the fields behind", () => {
    const { log, lines } = record();
    log.child({ component: "tunnel" }).warn({ node: "a", durationMs: 12, text: "two words" }, "session ended");
    assert.match(
      lines[0] ?? "",
      /^\d{4}-\d\d-\d\dT[\d:.]+Z WARN {2}tunnel: session ended node=a durationMs=12 text="two words"\n$/,
    );
  });

  test("leaves out what is below its level", () => {
    const { log, lines } = record();
    log.debug({}, "detail");
    assert.deepEqual(lines, []);
  });

  test("keeps a message with a line break on one line", () => {
    const { log, lines } = record();
    log.info({ output: "a\nb" }, "two");
    assert.equal(lines[0]?.trimEnd().split("\n").length, 1);
  });

  test("never writes a secret, however deep a configuration is logged", () => {
    for (const format of ["text", "json"] as const) {
      const { log, lines } = record({ format });
      log.info({ token: "s3cret", config: { token: "s3cret", nested: { password: "s3cret" } } }, "configured");
      assert.doesNotMatch(lines.join(""), /s3cret/);
      assert.match(lines.join(""), /\*{8}/);
    }
  });

  test("writes an error with its causes and without tokens in it", () => {
    const { log, lines } = record();
    const cause = new Error(`K10${"a".repeat(64)}::server:hunter2 refused by mysql://root:hunter2@tcp(db)/k`);
    log.error({ error: new Error("Cannot join", { cause }) }, "failed");
    assert.match(lines[0] ?? "", /Cannot join/);
    assert.doesNotMatch(lines[0] ?? "", /hunter2/);
  });
});

describe("redactText()", () => {
  test("keeps the rest of a URL", () => {
    assert.equal(redactText("to postgres://u:p@db:5432/k?sslmode=off"), "to postgres://********@db:5432/k?sslmode=off");
  });
});
