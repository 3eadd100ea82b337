// The rooms of ARCHITECTURE.md, lowest first. A package imports from layers before its own, and within its layer what BESIDE lists.
const LAYERS = [
  ["errors", "native", "failpoints", "async"],
  ["log", "lifecycle", "files", "metrics", "payload"],
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
  ["config", "check-config", "airgap", "node", "agent", "server"],
];
// All imports within a layer. A new one needs a reason why neither of the two rooms belongs into another layer.
const BESIDE = {
  native: ["errors"],
  token: ["pki"],
  "datastore-mysql": ["datastore-sql"],
  "datastore-postgres": ["datastore-sql"],
  "datastore-endpoint": ["datastore-sqlite", "datastore-mysql", "datastore-postgres", "datastore-nats"],
  "etcd-client": ["etcd-api"],
  "agent-endpoints": ["supervisor-api"],
  diagnostics: ["supervisor-api"],
  "node-runtime": ["control-plane"],
  node: ["config"],
  agent: ["config", "node"],
  server: ["config", "node", "agent"],
};
// Libraries of databases, as patterns of paths, and who may import them: their rooms, and who compares them with something.
const CLIENT_LIBRARIES = [
  // the bench puts kine's own statements through the same library, for a fair comparison
  {
    name: "sqlite",
    path: "(^|/)better-sqlite3(/|$)",
    from: ["^packages/datastore-sqlite/", "^bench/datastore/kine-table.ts"],
  },
  // the cases that must hold on every datastore look into the tables themselves
  {
    name: "mysql",
    path: "(^|/)mysql2(/|$)",
    from: ["^packages/datastore-mysql/", "^test/cases/support/databases-sql.ts"],
  },
  {
    name: "postgres",
    path: "(^|/)(@types/)?pg(/|$)",
    from: ["^packages/datastore-postgres/", "^test/cases/support/databases-sql.ts"],
  },
  { name: "nats", path: "(^|/)@nats-io/", from: ["^packages/datastore-nats/"] },
];
const inside = (names) => `^packages/(${names.join("|")})/src/`;
const above = (i) => [...LAYERS.slice(i + 1).map((names) => `^packages/(${names.join("|")})/`), "^cmd/"];
const beside = (name) => {
  const others = LAYERS.find((names) => names.includes(name)).filter((other) => other !== name);
  return others.filter((other) => !(BESIDE[name] ?? []).includes(other)).map((other) => `^packages/${other}/`);
};
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
    ...LAYERS.flat().map((name) => ({
      name: `${name}-looks-not-beside`,
      severity: "error",
      from: { path: inside([name]) },
      to: { path: beside(name) },
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
    ...CLIENT_LIBRARIES.map(({ name, path, from }) => ({
      name: `${name}-library-only-in-its-room`,
      severity: "error",
      from: { pathNot: from },
      to: { path },
    })),
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
