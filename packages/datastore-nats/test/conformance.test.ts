import { driverConformance } from "@k3s/testkit";
import { openDriver, startNats } from "./support/nats-fixture.ts";

driverConformance("NATS JetStream", async (t) => openDriver(t, await startNats(t)));
