import { missing, ok, unknown, type Check } from "../check.ts";
import { CLOCK_MIN_MS } from "../limits.ts";

/** Files that were copied here may carry the time of another machine, or of another time zone. */
const TOLERANCE_MS = 24 * 3600 * 1000;

export const CLOCK_CHECKS: readonly Check[] = [
  {
    ...{ id: "clock", group: "Clock", title: "clock", severity: "required" },
    cure: "Set the clock first, for instance: timedatectl set-time '2026-01-31 12:00:00', or date -s",
    examine: ({ clock: { nowMs, notBeforeMs } }) => {
      const found = new Date(nowMs).toISOString();
      const effect = "Certificates made now would already be invalid, and those of others are not valid yet";
      if (nowMs < CLOCK_MIN_MS) return missing(`${found}: it was never set`, { effect });
      if (nowMs >= notBeforeMs - TOLERANCE_MS) return ok(found);
      return missing(`${found}: before this k3s was put here (${new Date(notBeforeMs).toISOString()})`, { effect });
    },
  },
  {
    ...{ id: "clock-sync", group: "Clock", title: "synchronization", severity: "recommended" },
    cure: "Run a time service: timedatectl set-ntp true, or install chrony",
    examine: ({ clock: { isSynchronized } }) => {
      if (isSynchronized === undefined) return unknown("no time service that could be asked");
      if (isSynchronized) return ok("synchronized");
      return missing("not synchronized", {
        effect: "Machines that differ by minutes refuse each other's certificates and tokens",
      });
    },
  },
];
