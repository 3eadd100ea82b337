import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { parseMysqlDsn } from "@k3s/datastore-mysql";
import { parseNatsEndpoint } from "@k3s/datastore-nats";
import { parsePostgresDsn } from "@k3s/datastore-postgres";
import { checkEndpoint, redactEndpoint } from "../src/index.ts";

/** What stands behind the scheme; all of them hold the same password. */
const TEXTS = [
  "me:S3cret",
  "me:1S3cret",
  "me:1S3cret/db",
  "me:15432S3cret,h2:5432",
  "me:S3cret@h:4222",
  "me:1S3cret@h:x",
  "h:4222?pass=S3cret",
  "h:4222?password=S3cret&x=1",
  "h:4222?x=1&pwd=S3cret",
  "h:4222/?token=S3cret",
  "h/db?passwd=S3cret",
  "h/db?pwd=S3cret",
  "h/db?sslpassword=S3cret",
  "h/db?user=me&PASSWORD=S3cret",
  "h/db?@@password=S3cret",
  "h/db?client_secret=S3cret",
  "host=h user=me pass=S3cret",
  "host=h user=me passwd=S3cret",
  "host=h user=me password = S3cret dbname=d",
  "host=h;user=me;pwd=S3cret",
  "server=h;uid=me;pass=S3cret",
  "server=h, uid=me, auth_token=S3cret",
  "password=S3cret",
] as const;

/** All that each reader of endpoints says about one, whether it takes it or not. */
const READERS: Readonly<Record<string, (text: string) => unknown>> = {
  "the endpoint": (text) =>
    ["mysql", "postgres", "nats", "https", "other"].map((name) => redactEndpoint(`${name}://${text}`)),
  MySQL: (text) => {
    // Nothing shows one that is taken, so it is one that is not.
    assert.throws(() => parseMysqlDsn(`${text}&tls=?`), throwsTold);
    return told(() => parseMysqlDsn(text) && "");
  },
  PostgreSQL: (text) => told(() => parsePostgresDsn(`postgres://${text}`, { env: {} }).shown),
  NATS: (text) => told(() => parseNatsEndpoint(`nats://${text}`).shown),
};

function throwsTold(error: unknown): boolean {
  assert.doesNotMatch(String(error), /S3cret/);
  return true;
}

function told(read: () => string): string {
  try {
    return read();
  } catch (error) {
    return String(error);
  }
}

describe("no password is shown", () => {
  for (const [name, read] of Object.entries(READERS))
    for (const text of TEXTS) test(`by ${name} of ${text}`, () => assert.doesNotMatch(String(read(text)), /S3cret/));

  for (const text of TEXTS)
    test(`by any refusal of ${text}`, async () => {
      for (const scheme of ["mysql", "postgres", "nats", "https"])
        await checkEndpoint(`${scheme}://${text}`, {}).catch((error: unknown) => throwsTold(error));
    });
});
