import { sleep } from "@k3s/async";
import type { ApiAnswer, KubeApiserver } from "@k3s/testkit";

export interface ChurnOptions {
  readonly writesPerSecond: number;
  /** Told of each write: how long it took, and whether it was carried out. */
  readonly onWrite: (durationMs: number, answer: ApiAnswer) => void;
}

const CONFIG_MAPS = 200;
const LEASES = 100;
const TEXT_CHARS = 2000;
const PARALLEL = 16;
const NAMESPACE = "/api/v1/namespaces/soak";
const LEASE_PATH = "/apis/coordination.k8s.io/v1/namespaces/soak/leases";

/** A cluster at work: a fixed set of objects that change for ever, and events that come and expire. */
export class Churn {
  readonly #kube: KubeApiserver;

  constructor(kube: KubeApiserver) {
    this.#kube = kube;
  }

  /** Creates the objects that will be updated. */
  async prepare(): Promise<void> {
    await this.#create("/api/v1/namespaces", { apiVersion: "v1", kind: "Namespace", metadata: { name: "soak" } });
    for (let i = 0; i < CONFIG_MAPS; i++) {
      const object = {
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { name: `config-${i}` },
        data: { text: text(0) },
      };
      await this.#create(`${NAMESPACE}/configmaps`, object);
    }
    for (let i = 0; i < LEASES; i++) {
      const object = { apiVersion: "coordination.k8s.io/v1", kind: "Lease", metadata: { name: `lease-${i}` } };
      await this.#create(LEASE_PATH, { ...object, spec: { holderIdentity: "soak" } });
    }
  }

  /** Writes at a steady rate, later when the server cannot keep up, until `signal` aborts. */
  async run(options: ChurnOptions, signal: AbortSignal): Promise<void> {
    const startedAt = performance.now();
    let next = 0;
    const work = async () => {
      while (!signal.aborted) {
        const number = next++;
        const dueInMs = startedAt + (number * 1000) / options.writesPerSecond - performance.now();
        if (dueInMs > 0) await sleep(dueInMs, signal).catch(() => undefined);
        if (signal.aborted) return;
        const sentAt = performance.now();
        const answer = await this.#write(number);
        options.onWrite(performance.now() - sentAt, answer);
      }
    };
    await Promise.all(Array.from({ length: PARALLEL }, work));
  }

  /** Five in ten change a configmap, three renew a lease, two are new events. */
  #write(number: number): Promise<ApiAnswer> {
    const kind = number % 10;
    if (kind < 5) {
      const patch = { data: { text: text(number) } };
      return this.#kube.request("PATCH", `${NAMESPACE}/configmaps/config-${number % CONFIG_MAPS}`, patch);
    }
    if (kind < 8) {
      const patch = { spec: { renewTime: new Date().toISOString().replace("Z", "000Z") } };
      return this.#kube.request("PATCH", `${LEASE_PATH}/lease-${number % LEASES}`, patch);
    }
    return this.#kube.request("POST", `${NAMESPACE}/events`, event(number));
  }

  async #create(path: string, object: unknown): Promise<void> {
    const { status, body } = await this.#kube.request("POST", path, object);
    if (status !== 201) throw new Error(`Cannot create ${path}: ${status} ${body}`);
  }
}

function text(seed: number): string {
  return String(seed).padEnd(TEXT_CHARS, "0123456789abcdef");
}

function event(number: number) {
  return {
    apiVersion: "v1",
    kind: "Event",
    metadata: { name: `event-${number}` },
    involvedObject: { kind: "ConfigMap", namespace: "soak", name: `config-${number % CONFIG_MAPS}` },
    reason: "Soaked",
    message: text(number).slice(0, 300),
    type: "Normal",
  };
}
