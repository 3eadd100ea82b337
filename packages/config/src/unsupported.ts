interface Unsupported {
  /** Why, as the end of "is not supported by this version: …". */
  readonly reason: string;
  readonly env?: string;
}

const JOINING = "a server runs its own control plane";
const ETCD = "there is no embedded etcd";
const VPN = "nodes reach each other at their own addresses";
const RUNTIME = "the container runtime is the bundled containerd";

/** Flags that k3s has and this version does not serve. Setting one is refused by name instead of being ignored. */
export const unsupportedFlags: ReadonlyMap<string, Unsupported> = new Map<string, Unsupported>([
  ["cluster-init", { reason: ETCD, env: "K3S_CLUSTER_INIT" }],
  ["cluster-reset", { reason: ETCD, env: "K3S_CLUSTER_RESET" }],
  ["cluster-reset-restore-path", { reason: ETCD }],
  ["disable-etcd", { reason: ETCD }],
  ["disable-apiserver", { reason: JOINING }],
  ["disable-controller-manager", { reason: JOINING }],
  ["etcd-arg", { reason: ETCD }],
  ["etcd-expose-metrics", { reason: ETCD }],
  ["kine-tls", { reason: "the datastore listens on a unix socket" }],
  ...etcdSnapshotFlags(),
  ["supervisor-port", { reason: "one port serves the supervisor and the API", env: "K3S_SUPERVISOR_PORT" }],
  ["apiserver-port", { reason: "it is the port after https-listen-port", env: "K3S_APISERVER_PORT" }],
  ["apiserver-bind-address", { reason: "it is the loopback address", env: "K3S_APISERVER_BIND_ADDRESS" }],
  [
    "tls-san-security",
    { reason: "it is always on: once the API serves, the certificate takes only names of the configuration" },
  ],
  ["flannel-ipv6-masq", { reason: "pods are masqueraded in both families" }],
  ["flannel-external-ip", { reason: "nodes reach each other at their own addresses" }],
  ["flannel-conf", { reason: "it follows from --cluster-cidr and --flannel-backend" }],
  ["flannel-cni-conf", { reason: "use --flannel-backend=none and a file in agent/etc/cni/net.d" }],
  ["servicelb-namespace", { reason: "there is no service load balancer" }],
  ["helm-job-image", { reason: "there is no Helm controller" }],
  ["helm-controller-arg", { reason: "there is no Helm controller" }],
  ["kube-cloud-controller-manager-arg", { reason: "the node controller is built in" }],
  ["kube-cloud-controller-arg", { reason: "the node controller is built in" }],
  ["default-local-storage-path", { reason: "there is no local-path provisioner" }],
  ["embedded-registry", { reason: "there is no registry mirror" }],
  ["system-default-registry", { reason: "use --pause-image", env: "K3S_SYSTEM_DEFAULT_REGISTRY" }],
  ["secrets-encryption", { reason: "secrets are stored as they are" }],
  ["secrets-encryption-provider", { reason: "secrets are stored as they are" }],
  ["image-credential-provider-bin-dir", { reason: "use --kubelet-arg" }],
  ["image-credential-provider-config", { reason: "use --kubelet-arg" }],
  ["selinux", { reason: "containers run without SELinux labels", env: "K3S_SELINUX" }],
  ["protect-kernel-defaults", { reason: "use --kubelet-arg" }],
  ["docker", { reason: RUNTIME }],
  ["container-runtime-endpoint", { reason: RUNTIME }],
  ["image-service-endpoint", { reason: RUNTIME }],
  ["default-runtime", { reason: RUNTIME }],
  ["private-registry", { reason: "registries are reached directly" }],
  ["disable-default-registry-endpoint", { reason: "registries are reached directly" }],
  ["nonroot-devices", { reason: RUNTIME }],
  ["airgap-extra-registry", { reason: "images keep the names of their archives" }],
  ["node-internal-dns", { reason: "use --node-ip" }],
  ["node-external-dns", { reason: "use --node-external-ip" }],
  ["rootless", { reason: "it has to run as root" }],
  ["vpn-auth", { reason: VPN, env: "K3S_VPN_AUTH" }],
  ["vpn-auth-file", { reason: VPN, env: "K3S_VPN_AUTH_FILE" }],
  ["no-flannel", { reason: "use --flannel-backend=none" }],
  ["no-deploy", { reason: "use --disable" }],
  ["cluster-secret", { reason: "use --token", env: "K3S_CLUSTER_SECRET" }],
  ["disable-selinux", { reason: "containers run without SELinux labels" }],
]);

function etcdSnapshotFlags(): (readonly [string, Unsupported])[] {
  const s3 = ["", "-endpoint", "-endpoint-ca", "-skip-ssl-verify", "-insecure", "-access-key", "-secret-key"];
  const s3More = ["-session-token", "-bucket", "-folder", "-region", "-bucket-lookup-type", "-retention", "-proxy"];
  const names = [
    ...["name", "schedule-cron", "reconcile-interval", "retention", "dir", "compress"].map((n) => `etcd-snapshot-${n}`),
    ...[...s3, ...s3More, "-config-secret", "-timeout"].map((suffix) => `etcd-s3${suffix}`),
  ];
  return names.map((name) => [name, { reason: ETCD }] as const);
}

/** Flags that switch off what this version does not have: accepted, without effect. */
export const satisfiedFlags: ReadonlySet<string> = new Set(["etcd-disable-snapshots"]);
