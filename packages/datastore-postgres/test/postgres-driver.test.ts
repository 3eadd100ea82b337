import { adoptionConformance, claimConformance, driverConformance, leaseRaceConformance } from "@k3s/testkit";
import { TestDatabase } from "./support/test-database.ts";

const database = TestDatabase.forFile();

driverConformance("PostgreSQL", (t) => database.open(t));

adoptionConformance("PostgreSQL", (t) => {
  const dsn = database.dsn(database.newName());
  return Promise.resolve(() => database.open(t, { dsn }));
});

for (const conformance of [claimConformance, leaseRaceConformance])
  conformance("PostgreSQL", async (t) => {
    const dsn = database.dsn(database.newName());
    return [await database.open(t, { dsn }), await database.open(t, { dsn })];
  });
