import { collectLog, FORBIDDING, refusalConformance } from "@k3s/testkit";
import { TestDatabase } from "./support/test-database.ts";

const database = TestDatabase.forFile();

refusalConformance("PostgreSQL", async (t) => {
  const name = database.newName();
  await (await database.store(t, name)).close();
  await database.sql(t, name, `ALTER TABLE kine ADD ${FORBIDDING}`);
  const { log, lines } = collectLog();
  return { stores: [await database.store(t, name, log), await database.store(t, name, log)], lines };
});
