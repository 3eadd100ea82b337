/** Endpoints of databases, as help lists them. */
export const DATABASE_FORMS =
  "sqlite:///PATH, mysql://USER:PASSWORD@tcp(HOST:PORT)/DB, postgres://USER:PASSWORD@HOST:PORT/DB, nats://USER:PASSWORD@HOST:PORT?bucket=NAME";

/** Endpoints of datastores, as help lists them. */
export const ENDPOINT_FORMS = `${DATABASE_FORMS}, or for servers of an etcd https://HOST:PORT,... (also http:// and unix://)`;
