import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { findSettingName, propertyName, settingEntries } from "../src/server-settings.ts";
import { unsupportedFlags } from "../src/unsupported.ts";
import { load, problemsOf } from "./fixtures.ts";

describe("the table of settings", () => {
  test("has no spelling and no variable twice, and none that is refused as unsupported", () => {
    const spellings = settingEntries.flatMap(([name, { short, formerly }]) =>
      [name, short, formerly].filter((spelling) => spelling !== undefined),
    );
    assert.equal(new Set(spellings).size, spellings.length);
    const variables = settingEntries.map(([, { env }]) => env);
    assert.equal(new Set(variables).size, variables.length);
    assert.deepEqual(
      spellings.filter((spelling) => unsupportedFlags.has(spelling)),
      [],
    );
  });

  // The variables of k3s; every other one is ours.
  const known = {
    "data-dir": "K3S_DATA_DIR",
    token: "K3S_TOKEN",
    "token-file": "K3S_TOKEN_FILE",
    "agent-token": "K3S_AGENT_TOKEN",
    "node-name": "K3S_NODE_NAME",
    "write-kubeconfig": "K3S_KUBECONFIG_OUTPUT",
    "write-kubeconfig-mode": "K3S_KUBECONFIG_MODE",
    "write-kubeconfig-group": "K3S_KUBECONFIG_GROUP",
    "datastore-endpoint": "K3S_DATASTORE_ENDPOINT",
    "resolv-conf": "K3S_RESOLV_CONF",
    debug: "K3S_DEBUG",
    config: "K3S_CONFIG_FILE",
    server: "K3S_URL",
  };
  for (const [name, variable] of Object.entries(known)) {
    test(`gives --${name} the variable ${variable}`, () => {
      assert.equal(new Map(settingEntries).get(name)?.env, variable);
    });
  }

  test("gives every other setting the variable that follows from its name", () => {
    const others = settingEntries.filter(([name]) => !(name in known) && !name.startsWith("write-kubeconfig"));
    for (const [name, { env }] of others) assert.equal(env, `K3S_${name.toUpperCase().replaceAll("-", "_")}`);
  });

  test("is found by name, letter and former spelling", () => {
    assert.equal(findSettingName("t"), "token");
    assert.equal(findSettingName("kube-controller-arg"), "kube-controller-manager-arg");
    assert.equal(findSettingName("nonsense"), undefined);
    assert.equal(propertyName("write-kubeconfig-mode"), "writeKubeconfigMode");
  });
});

describe("values that are accepted", () => {
  const cases = [
    ["https-listen-port", "16443", "httpsListenPort", 16_443],
    ["data-dir", "/srv/k3s/", "dataDir", "/srv/k3s"],
    ["node-name", "NODE.Example", "nodeName", "node.example"],
    ["write-kubeconfig-mode", "0644", "writeKubeconfigMode", 0o644],
    ["write-kubeconfig-mode", "640", "writeKubeconfigMode", 0o640],
    ["write-kubeconfig-group", "staff", "writeKubeconfigGroup", 50],
    ["write-kubeconfig-group", "1234", "writeKubeconfigGroup", 1234],
    ["service-node-port-range", "30000+10", "serviceNodePortRange", "30000-30010"],
    ["debug", "TRUE", "debug", true],
    ["debug", "0", "debug", false],
    ["supervisor-metrics", "true", "supervisorMetrics", true],
    ["enable-pprof", "true", "enablePprof", true],
    ["bind-address", "0.0.0.0", "bindAddress", undefined],
    ["bind-address", "0:0::0", "bindAddress", undefined],
    ["snapshotter", "native", "snapshotter", "native"],
    ["pause-image", "registry.example:5000/a/pause:3.9", "pauseImage", "registry.example:5000/a/pause:3.9"],
    ["datastore-endpoint", "sqlite:///srv/x.db?_sync=FULL", "datastoreEndpoint", "sqlite:///srv/x.db?_sync=FULL"],
    ["datastore-endpoint", "https://a:2379,https://b:2379", "datastoreEndpoint", "https://a:2379,https://b:2379"],
    ["flannel-backend", "none", "flannelBackend", "none"],
    ["flannel-backend", "host-gw", "flannelBackend", "host-gw"],
    ["flannel-iface", "eth1", "flannelIface", "eth1"],
    ["egress-selector-mode", "pod", "egressSelectorMode", "pod"],
    ["token", "just: a secret", "token", "just: a secret"],
    ["token", `K10${"a".repeat(64)}::server:pw`, "token", `K10${"a".repeat(64)}::server:pw`],
  ] as const;
  for (const [flag, text, property, value] of cases) {
    test(`--${flag} ${text}`, async () => assert.equal((await load({ flags: { [flag]: text } }))[property], value));
  }

  test("lists split at commas, but component arguments do not", async () => {
    const config = await load({
      flags: {
        "tls-san": ["a.example,10.0.0.1", "*.b.example"],
        disable: "traefik, servicelb",
        "kube-apiserver-arg": ["--enable-admission-plugins=A,B", "feature-gates+=X=true", "profiling"],
        "node-label": "tier=front,example.org/zone=",
        "node-taint": ["a=b:NoSchedule", "c:NoExecute"],
      },
    });
    assert.deepEqual(config.tlsSan, ["a.example", "10.0.0.1", "*.b.example"]);
    assert.deepEqual(config.disable, ["traefik", "servicelb"]);
    assert.deepEqual(config.kubeApiserverArg, ["enable-admission-plugins=A,B", "feature-gates+=X=true", "profiling"]);
    assert.deepEqual(config.nodeLabel, [
      { key: "tier", value: "front" },
      { key: "example.org/zone", value: "" },
    ]);
    assert.deepEqual(config.nodeTaint, [
      { key: "a", value: "b", effect: "NoSchedule" },
      { key: "c", value: "", effect: "NoExecute" },
    ]);
  });

  test("-v and --vmodule stay apart from the arguments of each component, which are the user's own", async () => {
    const config = await load({ flags: { v: "4", vmodule: "a=5", "kubelet-arg": "v=2" } });
    assert.deepEqual([config.v, config.vmodule], [4, "a=5"]);
    assert.deepEqual(config.kubeletArg, ["v=2"]);
    for (const name of ["kubeApiserverArg", "kubeControllerManagerArg", "kubeSchedulerArg", "kubeProxyArg"] as const) {
      assert.deepEqual(config[name], []);
    }
  });
});

describe("values that are refused", () => {
  const cases = [
    ["https-listen-port", "0", 'must be a port from 1 to 65535: current value is "0"'],
    ["https-listen-port", "65536", 'must be a port from 1 to 65535: current value is "65536"'],
    ["https-listen-port", "", "must be a port from 1 to 65535: it is empty"],
    ["data-dir", "/", 'must be a folder of its own, such as /srv/k3s: current value is "/"'],
    ["data-dir", "/usr/", "must be a folder of its own"],
    ["data-dir", "/srv/k3s/..//", "must be a folder of its own"],
    ["data-dir", "/var/lib", "must be a folder of its own"],
    ["data-dir", "relative", 'must be an absolute path: current value is "relative"'],
    ["node-name", "my_node", 'at most 63 characters: current value is "my_node"'],
    ["node-name", "a".repeat(64), "at most 63 characters"],
    ["node-name", "-a", "at most 63 characters"],
    ["node-ip", "10.0.0", 'must be an IP address: current value is "10.0.0"'],
    ["node-ip", "127.0.0.1", "must be an address others can reach, not one of 127.0.0.0/8"],
    ["advertise-address", "0.0.0.0", "must be an address others can reach, not one of 0.0.0.0/8"],
    ["advertise-address", "fe80::1", "must be an address others can reach, not one of fe80::/10"],
    ["bind-address", "localhost", 'must be an IP address: current value is "localhost"'],
    ["cluster-cidr", "10.42.0.0", "must be a CIDR such as 10.42.0.0/16"],
    ["service-cidr", "10.43.0.0/64", "must be a CIDR such as 10.42.0.0/16"],
    ["cluster-dns", "dns", "must be an IP address"],
    ["cluster-domain", "Cluster.Local", "must be a domain such as cluster.local"],
    ["service-node-port-range", "32767-30000", "must be a range of ports such as 30000-32767"],
    ["write-kubeconfig-mode", "0844", 'must be an octal file mode such as 0600: current value is "0844"'],
    ["write-kubeconfig-mode", "rw", "must be an octal file mode"],
    ["write-kubeconfig-group", "nobody-here", 'must be a group of this machine: current value is "nobody-here"'],
    ["tls-san", "a b", "must be an IP address or a host name"],
    ["tls-san", "1.2.3", "must be an IP address or a host name"],
    ["node-label", "tier", 'must be a label such as tier=front: current value is "tier"'],
    ["node-label", "a b=c", "must be a label such as tier=front"],
    ["node-label", "node-role.kubernetes.io/x=1", 'must not set "node-role.kubernetes.io/x"'],
    ["node-taint", "a=b", "must be a taint such as key=value:NoSchedule"],
    ["node-taint", "a=b:Never", "must be a taint such as key=value:NoSchedule"],
    ["kubelet-arg", "=4", "must be an argument without dashes such as v=4"],
    ["debug", "maybe", 'must be true or false: current value is "maybe"'],
    ["snapshotter", "stargz", 'must be "overlayfs" or "native" or "btrfs" or "zfs" in this version'],
    ["flannel-backend", "wireguard-native", 'must be "none" or "vxlan" or "host-gw" in this version'],
    [
      "egress-selector-mode",
      "sometimes",
      'must be "agent" or "cluster" or "pod" or "disabled": current value is "sometimes"',
    ],
    ["datastore-endpoint", "etcd", 'cannot be "etcd": it has no scheme'],
    [
      "datastore-endpoint",
      "mariadb://u:p@h/",
      'cannot be "mariadb://u:********@h/": its scheme is not known: "mariadb". Begin with sqlite://, mysql://',
    ],
    ["datastore-endpoint", "sqlite:///x?mode=ro", 'mode is "ro", it must be rwc or rw'],
    ["datastore-endpoint", "https://a", '"a" has no port'],
    ["datastore-cafile", "ca.crt", "must be an absolute path"],
    ["datastore-cafile", "/nonexistent/ca.crt", "cannot be read: ENOENT"],
    ["pause-image", "a b", "must be an image reference"],
    ["token", " ", "must not be empty"],
    ["token", "K10abc::server:x", "invalid token CA hash length (3 characters, expected 64)"],
    ["token", "abcdef.0123456789abcdef", "must be a password or a whole K10 token"],
    ["disable", "Traefik!", "must be the name of a packaged component"],
    ["v", "x", "must be a whole number"],
  ] as const;
  for (const [flag, text, problem] of cases) {
    test(`--${flag} "${text.slice(0, 40)}"`, async () => {
      const [found, ...more] = await problemsOf({ flags: { [flag]: text } });
      assert.match(found ?? "no problem", new RegExp(`^--${flag} `));
      assert.ok(found?.includes(problem), found);
      assert.deepEqual(more, []);
    });
  }

  test("a kubelet's own labels of the reserved domains are accepted", async () => {
    const labels = ["node.kubernetes.io/instance-type=a", "topology.kubernetes.io/zone=b", "x.node.kubernetes.io/y=c"];
    assert.equal((await load({ flags: { "node-label": labels } })).nodeLabel.length, 3);
  });
});
