import { adoptionConformance, claimConformance, driverConformance, leaseRaceConformance } from "@k3s/testkit";
import { openDriver, startNats } from "./support/nats-fixture.ts";

driverConformance("NATS JetStream", async (t) => openDriver(t, await startNats(t)));

adoptionConformance("NATS JetStream", async (t) => {
  const server = await startNats(t);
  return () => openDriver(t, server);
});

for (const conformance of [claimConformance, leaseRaceConformance])
  conformance("NATS JetStream", async (t) => {
    const server = await startNats(t);
    return [await openDriver(t, server), await openDriver(t, server)];
  });
