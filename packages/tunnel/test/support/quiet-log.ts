import { createLogger } from "@k3s/log";

/** A logger whose lines nobody reads. */
export const quietLog = createLogger({ level: "debug", format: "json", write: () => undefined });
