import { bulkDeleteConformance } from "@k3s/testkit";
import { TestDatabase } from "./support/test-database.ts";

const database = TestDatabase.forFile();

bulkDeleteConformance("PostgreSQL", async (t) => {
  const name = database.newName();
  return [await database.store(t, name), await database.store(t, name)];
});
