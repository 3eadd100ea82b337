import type { DatastoreTls } from "@k3s/datastore-endpoint";
import { describeError, NodeError } from "@k3s/errors";
import type { Environment } from "./environment.ts";
import type { ServerValues } from "./server-settings.ts";
import type { Report } from "./setting.ts";

/** The settings that say where the data is and how to get there. */
export type DatastoreValues = Pick<
  ServerValues,
  "datastoreEndpoint" | "datastoreCafile" | "datastoreCertfile" | "datastoreKeyfile"
>;

interface Surroundings {
  readonly report: Report;
  readonly warnings: string[];
  /** Clients of PostgreSQL find there what the endpoint leaves open. */
  readonly env: Environment;
}

const FLAGS = {
  caFile: "--datastore-cafile",
  certFile: "--datastore-certfile",
  keyFile: "--datastore-keyfile",
} as const;

/** Finds every mistake that shows without connecting. What is reported holds no password. */
export async function checkDatastore(values: DatastoreValues, surroundings: Surroundings): Promise<DatastoreTls> {
  const { report, warnings } = surroundings;
  const tls: DatastoreTls = {
    caFile: values.datastoreCafile,
    certFile: values.datastoreCertfile,
    keyFile: values.datastoreKeyfile,
  };
  const { findTlsProblems } = await import("@k3s/datastore-endpoint"); // --help does without
  for (const { file, reason } of await findTlsProblems(tls)) report(`${FLAGS[file]} ${reason}`);
  const hasTls = await checkText(values.datastoreEndpoint, tls, surroundings);
  const given = Object.entries(FLAGS).filter(([file]) => tls[file as keyof typeof FLAGS] !== undefined); // sound: its keys
  if (!hasTls)
    for (const [, flag] of given) warnings.push(`${flag} has no effect: this kind of datastore is reached without TLS`);
  return tls;
}

/** Whether TLS files can matter; true as well for what is not understood. */
async function checkText(text: string, tls: DatastoreTls, { report, env }: Surroundings): Promise<boolean> {
  const { checkEndpoint, EndpointError, redactEndpoint } = await import("@k3s/datastore-endpoint");
  try {
    const endpoint = await checkEndpoint(text, tls, env);
    if (endpoint.kind === "etcd") return endpoint.servers.some((server) => /^(https|unixs):/.test(server));
    return endpoint.kind !== "sqlite";
  } catch (error) {
    if (!(error instanceof NodeError)) throw error;
    if (error instanceof EndpointError)
      report(`--datastore-endpoint cannot be "${redactEndpoint(text)}": ${error.reasonAndCure}`);
    else report(`--datastore-endpoint is refused: ${describeError(error)}`); // its driver shows the endpoint in its own way
    return true;
  }
}
