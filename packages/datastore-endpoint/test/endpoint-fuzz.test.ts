import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { parseNatsEndpoint } from "@k3s/datastore-nats";
import { parsePostgresDsn } from "@k3s/datastore-postgres";
import { NodeError } from "@k3s/errors";
import { Random } from "@k3s/testkit";
import { checkEndpoint, redactEndpoint } from "../src/index.ts";

const ROUNDS = 1500;
const SIGNS = [
  "@",
  ":",
  "/",
  "?",
  "&",
  "=",
  "%",
  "(",
  ")",
  ",",
  ";",
  "#",
  " ",
  "[",
  "]",
  "'",
  '"',
  "\\",
  "+",
  "-",
  "_",
  ".",
].concat(
  [
    "~",
    "!",
    "$",
    "*",
    "<",
    ">",
    "|",
    "^",
    "`",
    "{",
    "}",
    "\t",
    "\0",
    "é",
    "✓",
    "%2F",
    "%zz",
    "://",
    "pass=",
    "tcp(",
    "unix(",
  ],
  ["0", "65536", "x"],
);
/** What a password may have in it as it stands. In a URL the rest must be percent-encoded, and is not always. */
const PASSWORD_SIGNS = ["!", "$", "*", "-", "_", ".", "~", "+", "%", "%40", "%2F", "a", "7"];
const ROUGH_SIGNS = [...PASSWORD_SIGNS, "@", ":", "/", "?", "&", "=", "(", ")", "#", ",", ";", " "];

interface Form {
  readonly name: string;
  /** What a secret in this place cannot have in it: the end of a parameter; the end of a user, which a token then is. */
  readonly ends?: "&" | ":";
  /** An endpoint that is taken, in pieces: the password goes between the first two. */
  readonly pieces: readonly [before: string, behind: string];
}

const FORMS: readonly Form[] = [
  { name: "mysql", pieces: ["mysql://root:", "@tcp(db.example:3306)/kine?tls=skip-verify&timeout=5s"] },
  { name: "mysql on a socket", pieces: ["mysql://root:", "@unix(/run/mysqld/mysqld.sock)/kine"] },
  {
    name: "postgres",
    pieces: ["postgres://kine:", "@db.example:5432,db2:5433/kine?sslmode=disable&connect_timeout=7"],
  },
  {
    name: "postgres with a parameter",
    ends: "&",
    pieces: ["postgresql://db.example/kine?user=kine&password=", "&sslmode=prefer"],
  },
  { name: "nats", pieces: ["nats://kine:", "@n1.example:4222,n2.example:4222?bucket=kine&replicas=3&slowMethod=1s"] },
  { name: "nats with a token", ends: ":", pieces: ["nats://", "@n1.example:4222?bucket=kine"] },
  { name: "etcd", pieces: ["https://kine:", "@e1.example:2379,https://e2.example:2379"] },
];
/** Of clients that are not ours; they are refused, and the refusal shows no password either. */
const FOREIGN_FORMS = ["", "mysql://", "postgres://", "nats://", "db.example/kine?"].map(
  (scheme) => [`${scheme}host=h user=kine password=`, " dbname=kine"] as const,
);
const FILE_FORMS = [
  "sqlite:///srv/k3s/state.db?_synchronous=FULL&_busy_timeout=5000",
  "litestream://./x.db?_sync=1",
  "",
];

function noise(random: Random, signs: readonly string[], count: number): string {
  return Array.from({ length: random.below(count + 1) }, () => random.pick(signs)).join("");
}

/** One sign put in, taken away, doubled or replaced, or the rest cut off. */
function spoil(text: string, random: Random): string {
  const at = random.below(text.length + 1);
  const [before, behind] = [text.slice(0, at), text.slice(at)];
  return random.pick([
    () => before + random.pick(SIGNS) + behind,
    () => before + behind.slice(1),
    () => before + random.pick(SIGNS) + behind.slice(1),
    () => before,
    () => text + behind,
  ])();
}

/** What the endpoint was refused with; undefined when it was taken. */
async function refusalOf(endpoint: string): Promise<Error | undefined> {
  try {
    await checkEndpoint(endpoint, {});
    return undefined;
  } catch (error) {
    assert.ok(error instanceof Error);
    return error;
  }
}

/** All that people may get to see of an error. */
function textsOf(error: NodeError): string {
  const cause = error.cause instanceof Error ? error.cause.message : "";
  return [error.message, error.hint, cause].join("\n");
}

/** One NodeError or none, and no secret in either. Whether it was taken. */
async function assertAnswered(endpoint: string, where: string): Promise<boolean> {
  const refusal = await refusalOf(endpoint);
  if (refusal === undefined) return true;
  assert.ok(refusal instanceof NodeError, `${where}: ${String(refusal)}`);
  assert.doesNotMatch(textsOf(refusal), /SECRET/, where);
  return false;
}

function shownOf(endpoint: string): readonly string[] {
  const shown = [redactEndpoint(endpoint)];
  try {
    if (/^postgres/.test(endpoint)) shown.push(parsePostgresDsn(endpoint, { env: {} }).shown);
    if (endpoint.startsWith("nats")) shown.push(parseNatsEndpoint(endpoint).shown);
  } catch {
    // Refusals are looked at elsewhere.
  }
  return shown;
}

describe("O1 DSN parsing: an endpoint", () => {
  for (const [index, { name, pieces, ends }] of FORMS.entries()) {
    const [before, behind] = pieces;
    test(`for ${name} with any password is taken or refused, and never shows it`, async (t) => {
      const random = new Random(3306 + index);
      let taken = 0;
      for (let i = 0; i < ROUNDS; i++) {
        const rough = ROUGH_SIGNS.filter((sign) => sign !== ends);
        const signs = i % 2 === 0 ? PASSWORD_SIGNS : rough;
        const password = `${noise(random, signs, 3)}SECRET${noise(random, signs, 3)}SECRET${noise(random, signs, 2)}`;
        const endpoint = before + password + behind;
        const where = `seed ${random.seed}, round ${i}, ${endpoint}`;
        if (await assertAnswered(endpoint, where)) taken++;
        for (const shown of shownOf(endpoint)) assert.doesNotMatch(shown, /SECRET/, where);
      }
      t.diagnostic(`seed ${random.seed}: ${taken} of ${ROUNDS} taken`);
    });

    test(`for ${name} that is spoilt around the password is taken or refused, and never shows it`, async (t) => {
      const random = new Random(5432 + index);
      let taken = 0;
      for (let i = 0; i < ROUNDS; i++) {
        let [left, right] = [before, behind];
        for (let n = random.below(3); n >= 0; n--)
          // A token without its `@` cannot be told from a host.
          right = ends === ":" ? `@${spoil(right.slice(1), random)}` : spoil(right, random);
        // The scheme and the user: what shows that a password follows, stays.
        const scheme = left.indexOf("://");
        if (ends === undefined && random.below(4) === 0)
          left = spoil(left.slice(0, scheme), random) + left.slice(scheme);
        const endpoint = `${left}SECRETpassword${right}`;
        if (await assertAnswered(endpoint, `seed ${random.seed}, round ${i}, ${endpoint}`)) taken++;
      }
      t.diagnostic(`seed ${random.seed}: ${taken} of ${ROUNDS} taken`);
      assert.ok(taken < ROUNDS);
    });
  }

  for (const [before, behind] of FOREIGN_FORMS)
    test(`such as ${before}…${behind} is refused, and never shows its password`, async () => {
      const random = new Random(389);
      for (let i = 0; i < 1000; i++) {
        const endpoint = `${before}${noise(random, ROUGH_SIGNS, 3)}SECRET${noise(random, ROUGH_SIGNS, 3)}${behind}`;
        const where = `seed ${random.seed}, round ${i}, ${endpoint}`;
        assert.doesNotMatch(redactEndpoint(endpoint), /SECRET/, where);
        await assertAnswered(endpoint, where);
      }
    });

  test("of any signs is taken or refused with one error", async () => {
    const random = new Random(4222);
    const schemes = [
      "mysql://",
      "postgres://",
      "nats://",
      "jetstream://",
      "sqlite://",
      "litestream://",
      "https://",
      "unix://",
      "",
    ];
    for (let i = 0; i < 10_000; i++) {
      const endpoint = random.pick(schemes) + noise(random, SIGNS, 12);
      await assertAnswered(endpoint, `seed ${random.seed}, round ${i}, ${endpoint}`);
    }
  });

  test("for SQLite that is spoilt is taken or refused with one error", async () => {
    const random = new Random(1234);
    for (let i = 0; i < ROUNDS; i++) {
      let endpoint = random.pick(FILE_FORMS);
      for (let n = random.below(4); n >= 0; n--) endpoint = spoil(endpoint, random);
      await assertAnswered(endpoint, `seed ${random.seed}, round ${i}, ${endpoint}`);
    }
  });
});
