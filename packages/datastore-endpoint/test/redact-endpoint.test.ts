import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Random } from "@k3s/testkit";
import { redactEndpoint } from "../src/index.ts";

describe("redactEndpoint()", () => {
  const cases = [
    ["mysql://root:hunter2@tcp(db:3306)/kine", "mysql://root:********@tcp(db:3306)/kine"],
    ["mysql://root:hun@ter/2:?&@tcp(db)/kine?tls=true", "mysql://root:********@tcp(db)/kine?tls=true"],
    ["mysql://root:hunter2@unix(/run/my.sock)/", "mysql://root:********@unix(/run/my.sock)/"],
    ["mysql://tcp(db:3306)/kine", "mysql://tcp(db:3306)/kine"],
    ["mysql://root:hunter2", "mysql://root:********"],
    ["root:hunter2@tcp(db)/kine", "root:********@tcp(db)/kine"],
    [
      "postgres://u:hunter2@h:5432,h2:5432/db?sslmode=disable",
      "postgres://u:********@h:5432,h2:5432/db?sslmode=disable",
    ],
    ["postgres://h/db?user=u&password=hunter2&x=1", "postgres://h/db?user=u&password=********&x=1"],
    ["postgres://h:5432/db?password=hun@ter2", "postgres://h:********"],
    ["postgresql://h/db?sslpassword=hunter2", "postgresql://h/db?sslpassword=********"],
    ["nats://hunter2@h:4222", "nats://********@h:4222"],
    ["nats://u:hunter2@h:4222,u:hunter2@h2:4222?bucket=b", "nats://u:********@h2:4222?bucket=b"],
    ["https://a:2379,https://b:2379", "https://a:2379,https://b:2379"],
    ["https://u:hunter2@a:2379", "https://u:********@a:2379"],
    ["sqlite:///srv/a:b@c.db?_sync=FULL", "sqlite:///srv/a:b@c.db?_sync=FULL"],
    [
      "sqlite:///srv/x.db?_auth&_auth_user=u&_auth_pass=hunter2",
      "sqlite:///srv/x.db?_auth&_auth_user=********&_auth_pass=********",
    ],
    ["host=127.0.0.1 user=postgres password=hunter2 dbname=kine", "host=127.0.0.1 user=postgres password=********"],
    ["host=h password = 'hun ter=2' user=u", "host=h password =********"],
    ["password=hunter2", "password=********"],
    ["PGPASSWORD=hunter2 postgres://h/db", "PGPASSWORD=********"],
    ["postgres://host=h password=hunter2", "postgres://host=h password=********"],
    ["mysql://password=hunter2", "mysql://password=********"],
    ["//u:hunter2@h/db", "********@h/db"],
    ["u:4hunter2/db", "u:********"],
    ["h:5432/db", "h:5432/db"],
    ["", ""],
    ["nonsense", "nonsense"],
  ] as const;
  for (const [endpoint, expected] of cases) {
    test(`${endpoint} is shown as ${expected}`, () => assert.equal(redactEndpoint(endpoint), expected));
  }

  test("never shows a password, whatever it is made of and wherever it stands", () => {
    const signs = ["@", ":", "/", "?", "&", "=", "%", "(", ")", ",", " ", "#", "pass=", "://", "x"];
    const random = new Random(7);
    const noise = (length: number) => Array.from({ length }, () => random.pick(signs)).join("");
    for (let i = 0; i < 20_000; i++) {
      const password = `${noise(i % 3)}SECRET${noise(i % 4)}SECRET${noise(i % 2)}`;
      const form = random.pick([
        `mysql://root:${password}@tcp(db:3306)/kine${random.pick(["", "?tls=true", "?x=a@b"])}`,
        `mysql://root:${password}@/`,
        `postgres://u:${password}@h/db`,
        `nats://${password.replaceAll(":", "")}@h:4222`,
        `nats://u:${password}@h:4222,h2`,
        `u:${password}@h`,
        `host=h user=u password=${password} dbname=kine`,
        `postgres://host=h user=u password='${password}' dbname=kine`,
      ]);
      assert.doesNotMatch(redactEndpoint(form), /SECRET/, `seed ${random.seed}, ${form}`);
    }
  });
});
