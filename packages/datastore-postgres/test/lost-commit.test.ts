import type { TestContext } from "node:test";
import { lateCommitConformance, lostCommitConformance, openBehindProxy } from "@k3s/testkit";
import { holdCommits } from "./support/hold-commits.ts";
import { TestDatabase } from "./support/test-database.ts";

const database = TestDatabase.forFile();

async function openCuttable(t: TestContext) {
  const opened = await openBehindProxy(t, database, (port, name) => `postgres://postgres@127.0.0.1:${port}/${name}`);
  return { ...opened, mark: (key: string) => key };
}

lostCommitConformance("PostgreSQL", openCuttable);

lateCommitConformance("PostgreSQL", async (t) => {
  const opened = await openCuttable(t);
  return { ...opened, ...(await holdCommits(t, database, opened.name)) };
});
