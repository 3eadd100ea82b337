import { bulkDeleteConformance } from "@k3s/testkit";
import { openTestStore, startNats } from "./support/nats-fixture.ts";

bulkDeleteConformance("NATS JetStream", async (t) => {
  const server = await startNats(t);
  return [await openTestStore(t, server), await openTestStore(t, server)];
});
