// The rooms of ARCHITECTURE.md, lowest first. A package imports only from layers before its own.
const LAYERS = [
  ["errors", "native", "failpoints"],
  ["async", "log", "lifecycle", "files", "metrics", "payload"],
  [
    "pki",
    "token",
    "process",
    "components",
    "datastore",
    "http2",
    "kube-client",
    "cluster-config",
    "tunnel",
    "loadbalancer",
    "cni-flannel",
  ],
  [
    "datastore-sqlite",
    "datastore-sql",
    "datastore-postgres",
    "datastore-mysql",
    "datastore-nats",
    "datastore-endpoint",
    "etcd-api",
    "etcd-client",
    "bootstrap-data",
    "supervisor-api",
    "agent-endpoints",
    "cluster-client",
    "diagnostics",
    "control-plane",
    "node-runtime",
    "network",
    "controllers",
  ],
  ["config", "node", "agent", "server"],
];
const inside = (names) => `^packages/(${names.join("|")})/src/`;
const above = (i) => [...LAYERS.slice(i + 1).map((names) => `^packages/(${names.join("|")})/`), "^cmd/"];
const anywhere = { path: "^(packages|cmd)/([^/]+)/" };

module.exports = {
  forbidden: [
    { name: "no-cycles", severity: "error", from: {}, to: { circular: true } },
    ...LAYERS.map((names, i) => ({
      name: `layer-${i}-looks-down`,
      severity: "error",
      from: { path: inside(names) },
      to: { path: above(i) },
    })),
    {
      name: "front-door-only",
      severity: "error",
      from: anywhere,
      to: { path: "^(packages|cmd)/[^/]+/src/(?!index[.]ts$)", pathNot: "^$1/$2/" },
    },
    {
      name: "by-name-not-by-path",
      severity: "error",
      from: anywhere,
      to: { path: "^(packages|cmd)/", pathNot: "^$1/$2/", dependencyTypes: ["local"] },
    },
    {
      name: "sqlite-driver-only-in-its-room",
      severity: "error",
      // the bench puts kine's own statements through the same library, for a fair comparison
      from: { pathNot: "^packages/datastore-sqlite/|^bench/datastore/kine-table.ts" },
      to: { path: "better-sqlite3" },
    },
    {
      name: "testkit-in-tests-only",
      severity: "error",
      from: { pathNot: "/test/|^test/|^bench/|^packages/testkit/" },
      to: { path: "^packages/testkit/" },
    },
    {
      name: "no-orphan-layer",
      severity: "error",
      from: { path: "^packages/([^/]+)/src/", pathNot: `^packages/(${LAYERS.flat().join("|")}|testkit)/` },
      to: {},
    },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    exclude: { path: "(^|/)dist/" },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["import", "node", "default"] },
  },
};
