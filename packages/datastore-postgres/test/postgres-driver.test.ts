import { driverConformance } from "@k3s/testkit";
import { TestDatabase } from "./support/test-database.ts";

const database = TestDatabase.forFile();

driverConformance("PostgreSQL", (t) => database.open(t));
