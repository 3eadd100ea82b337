import { leaseSeeds } from "./lease-seeds.ts";
import { readSeeds } from "./read-seeds.ts";
import type { Seed } from "./seed.ts";
import { watchSeeds } from "./watch-seeds.ts";
import { writeSeeds } from "./write-seeds.ts";

/** Bugs that show without a crash. */
export const allSeeds: readonly Seed[] = [...watchSeeds, ...readSeeds, ...writeSeeds, ...leaseSeeds];
