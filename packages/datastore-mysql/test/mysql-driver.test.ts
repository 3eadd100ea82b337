import { claimConformance, driverConformance } from "@k3s/testkit";
import { TestDatabase } from "./support/test-database.ts";

const database = TestDatabase.forFile();

driverConformance("MariaDB", (t) => database.open(t));

claimConformance("MariaDB", async (t) => {
  const dsn = database.dsn(database.newName());
  return [await database.open(t, { dsn }), await database.open(t, { dsn })];
});
