import { Elected, LeaderElection } from "@k3s/controllers";
import { kubeClientFromFiles } from "@k3s/kube-client";
import { createLogger } from "@k3s/log";

// One that would lead: `<server> <CA> <certificate> <key> <lease> <identity>`. Says on standard output when it begins and ends to lead, until SIGTERM.
const [server = "", caFile = "", certFile = "", keyFile = "", name = "", identity = ""] = process.argv.slice(2);
const say = (word: string) => {
  process.stdout.write(`${word}\n`);
  return Promise.resolve();
};
const log = createLogger({ level: "info", format: "text", write: (line) => process.stderr.write(line) });
const client = await kubeClientFromFiles({ server, caFile, certFile, keyFile, userAgent: "k3s-test" });
const times = { leaseMs: 4_000, renewMs: 2_500, retryMs: 200 };
const elected = new Elected({
  name: "test",
  election: new LeaderElection({ client: () => client, name, identity, times, log }),
  members: () => [{ name: "member", start: () => say("leads"), stop: () => say("stops") }],
  log,
});
process.once("SIGTERM", () => void elected.stop(AbortSignal.timeout(5_000)).then(() => client.close()));
await elected.start({
  signal: new AbortController().signal,
  lost: (error) => {
    throw error;
  },
});
