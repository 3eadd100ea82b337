import { ENDPOINT_FORMS } from "../endpoint-forms.ts";
import { oneOf, parsePath } from "../parsers.ts";
import { valueSetting } from "../setting.ts";

export const datastoreSettings = {
  "datastore-endpoint": valueSetting({
    category: "Data",
    env: "K3S_DATASTORE_ENDPOINT",
    secret: true,
    placeholder: "ENDPOINT",
    help: `Where the cluster's data is kept: ${ENDPOINT_FORMS}`,
    fallback: "",
    fallbackText: "SQLite in the data dir",
    parse: (text) => text, // checked as a whole, with the TLS files
  }),
  "datastore-cafile": tlsFile("K3S_DATASTORE_CAFILE", "CA that signed the certificate of the datastore's server"),
  "datastore-certfile": tlsFile("K3S_DATASTORE_CERTFILE", "Client certificate for the datastore"),
  "datastore-keyfile": tlsFile("K3S_DATASTORE_KEYFILE", "Key of that certificate"),
  "datastore-transport": valueSetting({
    category: "Data",
    env: "K3S_DATASTORE_TRANSPORT",
    placeholder: "NAME",
    help: "What serves the etcd API of the datastore; grpc-js is slower, and the way out if http2 ever misbehaves",
    fallback: "http2" as const,
    fallbackText: "http2",
    parse: oneOf("http2", "grpc-js"),
  }),
} as const;

function tlsFile(env: `K3S_${string}`, help: string) {
  return valueSetting({ category: "Data", env, placeholder: "FILE", help, fallback: undefined, parse: parsePath });
}
