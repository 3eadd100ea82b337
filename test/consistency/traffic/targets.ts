/** Servers of one database, or one, as gRPC names them. */
export type Targets = readonly [string, ...string[]];
