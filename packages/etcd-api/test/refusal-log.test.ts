import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { createLogger } from "@k3s/log";
import { RefusalLog } from "../src/refusal-log.ts";

const address = "192.0.2.7";

/** A log of refusals on a clock that stands, with the reasons that it told. */
function collect() {
  const clock = { now: 0 };
  const reasons: unknown[] = [];
  const write = (line: string) => reasons.push((JSON.parse(line) as { readonly reason?: unknown }).reason);
  const log = createLogger({ level: "info", format: "json", write });
  return { clock, reasons, refusals: new RefusalLog(log, () => clock.now) };
}

describe("RefusalLog", () => {
  for (const [code, reason] of [
    ["ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE", "it has no certificate"],
    ["DEPTH_ZERO_SELF_SIGNED_CERT", "its certificate is not of the CA for clients"],
    ["CERT_HAS_EXPIRED", "its certificate is not valid at this time"],
    ["ERR_SSL_WRONG_VERSION_NUMBER", "it does not speak TLS"],
    ["ERR_SSL_DATA_LENGTH_TOO_LONG", "it does not speak TLS"],
    ["ERR_SSL_TLSV1_ALERT_UNKNOWN_CA", "it does not accept this server's certificate"],
    ["ERR_SSL_UNSUPPORTED_PROTOCOL", "its TLS is not what this server speaks"],
    ["TLS_TO_PLAIN", "it speaks TLS, and this address does not"],
    ["ECONNRESET", undefined],
    ["ERR_TLS_HANDSHAKE_TIMEOUT", undefined],
  ] as const)
    test(`add() tells of ${code}: ${reason ?? "nothing"}`, () => {
      const { refusals, reasons } = collect();
      refusals.add({ address, code });
      assert.deepEqual(reasons, reason === undefined ? [] : [reason]);
    });

  test("add() tells of each reason once a minute", () => {
    const { refusals, reasons, clock } = collect();
    for (const now of [0, 1, 59_999, 60_000, 60_001]) {
      clock.now = now;
      refusals.add({ address, code: "CERT_HAS_EXPIRED" });
    }
    assert.equal(reasons.length, 2);
    refusals.add({ address, code: "ERR_SSL_HTTP_REQUEST" });
    assert.equal(reasons.length, 3);
  });
});
