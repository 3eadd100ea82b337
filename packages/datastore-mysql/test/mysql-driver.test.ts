import { claimConformance, driverConformance, leaseRaceConformance } from "@k3s/testkit";
import { TestDatabase } from "./support/test-database.ts";

const database = TestDatabase.forFile();

driverConformance("MariaDB", (t) => database.open(t));

for (const conformance of [claimConformance, leaseRaceConformance])
  conformance("MariaDB", async (t) => {
    const dsn = database.dsn(database.newName());
    return [await database.open(t, { dsn }), await database.open(t, { dsn })];
  });
