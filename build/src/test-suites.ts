/** Something that `npm test` runs. */
export type Suite =
  | { readonly name: string; readonly kind: "script"; readonly script: string }
  | {
      readonly name: string;
      readonly kind: "tests";
      readonly files: readonly string[];
      /** Limit for one test, in milliseconds. */
      readonly timeoutMs: number;
      /** Test files at a time; undefined: as many as the machine can. */
      readonly concurrency?: number;
    };

/** In the order of cost: what is wrong in a file is told before a node is started. Scripts are those of package.json. */
export const SUITES: readonly Suite[] = [
  { name: "format", kind: "script", script: "format:check" },
  { name: "lint", kind: "script", script: "lint" },
  { name: "types", kind: "script", script: "types" },
  { name: "boundaries", kind: "script", script: "boundaries" },
  { name: "dead", kind: "script", script: "dead" },
  { name: "build", kind: "script", script: "build" },
  { name: "reproduce", kind: "script", script: "reproduce" },
  {
    name: "unit",
    kind: "tests",
    files: ["packages/*/test/**/*.test.ts", "cmd/*/test/**/*.test.ts", "build/test/**/*.test.ts"],
    timeoutMs: 120_000,
    // Left to itself Node keeps one processor free, and most of these wait for something half of their time.
    concurrency: 2,
  },
  // Each of them starts real servers, etcd among them.
  { name: "cases", kind: "tests", files: ["test/cases/**/*.test.ts"], timeoutMs: 300_000, concurrency: 2 },
  // They send traffic to real servers, and kill some of them.
  { name: "consistency", kind: "tests", files: ["test/consistency/**/*.test.ts"], timeoutMs: 300_000, concurrency: 2 },
  // One at a time: they start real programs and measure what those do.
  { name: "system", kind: "tests", files: ["test/system/**/*.test.ts"], timeoutMs: 600_000, concurrency: 1 },
  { name: "e2e", kind: "tests", files: ["test/e2e/**/*.test.ts"], timeoutMs: 1_800_000, concurrency: 1 },
];
