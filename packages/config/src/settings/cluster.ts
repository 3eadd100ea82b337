import { parseFileMode, parsePath, parseText } from "../parsers.ts";
import { parseAddOnName, parseTokenText } from "../cluster-parsers.ts";
import { listSetting, switchSetting, valueSetting } from "../setting.ts";
import { componentArguments } from "./component-arguments.ts";

export const clusterSettings = {
  token: valueSetting({
    category: "Cluster",
    roles: ["server", "agent"],
    short: "t",
    env: "K3S_TOKEN",
    secret: true,
    placeholder: "TOKEN",
    help: "Secret with which nodes join; it also protects the certificate authorities in the datastore",
    fallback: undefined,
    fallbackText: "random, made at the first start",
    agentTexts: {
      help: "Secret of the cluster to join: server/node-token in the data dir of a server, or what k3s token create prints",
      fallbackText: "the certificate of an earlier join",
    },
    parse: parseTokenText,
  }),
  "token-file": valueSetting({
    category: "Cluster",
    roles: ["server", "agent"],
    env: "K3S_TOKEN_FILE",
    placeholder: "FILE",
    help: "File that holds the token",
    fallback: undefined,
    parse: parsePath,
  }),
  "agent-token": valueSetting({
    category: "Cluster",
    env: "K3S_AGENT_TOKEN",
    secret: true,
    placeholder: "TOKEN",
    help: "Secret with which agents, but not servers, join",
    fallback: undefined,
    fallbackText: "token",
    parse: parseTokenText,
  }),
  "agent-token-file": valueSetting({
    category: "Cluster",
    env: "K3S_AGENT_TOKEN_FILE",
    placeholder: "FILE",
    help: "File that holds the agent token",
    fallback: undefined,
    parse: parsePath,
  }),
  "write-kubeconfig": valueSetting({
    category: "Client",
    short: "o",
    env: "K3S_KUBECONFIG_OUTPUT",
    placeholder: "FILE",
    help: "Where to write the administrator's kubeconfig",
    fallback: "/etc/rancher/k3s/k3s.yaml",
    fallbackText: "/etc/rancher/k3s/k3s.yaml",
    parse: parsePath,
  }),
  "write-kubeconfig-mode": valueSetting({
    category: "Client",
    env: "K3S_KUBECONFIG_MODE",
    placeholder: "MODE",
    help: "Octal mode of that file",
    fallback: 0o600,
    fallbackText: "0600",
    parse: parseFileMode,
  }),
  "write-kubeconfig-group": valueSetting({
    category: "Client",
    env: "K3S_KUBECONFIG_GROUP",
    placeholder: "GROUP",
    help: "Group, by name or number, that owns that file",
    fallback: undefined,
    parse: parseText,
  }),
  "write-kubeconfig-name": valueSetting({
    category: "Client",
    env: "K3S_KUBECONFIG_NAME",
    placeholder: "NAME",
    help: "Name of cluster, user and context in that file",
    fallback: "default",
    fallbackText: "default",
    parse: parseText,
  }),
  "kube-apiserver-arg": componentArguments("kube-apiserver", { category: "Components", env: "K3S_KUBE_APISERVER_ARG" }),
  "kube-controller-manager-arg": componentArguments("kube-controller-manager", {
    category: "Components",
    env: "K3S_KUBE_CONTROLLER_MANAGER_ARG",
    formerly: "kube-controller-arg",
  }),
  "kube-scheduler-arg": componentArguments("kube-scheduler", { category: "Components", env: "K3S_KUBE_SCHEDULER_ARG" }),
  disable: listSetting({
    category: "Components",
    env: "K3S_DISABLE",
    placeholder: "NAME",
    help: "Packaged component not to deploy: coredns, servicelb, traefik, local-storage, metrics-server, runtimes",
    parse: parseAddOnName,
  }),
  "disable-scheduler": disableSwitch("Do not run kube-scheduler", "K3S_DISABLE_SCHEDULER"),
  "disable-cloud-controller": disableSwitch(
    "Do not set node addresses and lift the start-up taint; run a cloud controller of your own",
    "K3S_DISABLE_CLOUD_CONTROLLER",
  ),
  "disable-kube-proxy": disableSwitch("Do not run kube-proxy", "K3S_DISABLE_KUBE_PROXY"),
  "disable-helm-controller": disableSwitch(
    "Do not install Helm charts; this version never does",
    "K3S_DISABLE_HELM_CONTROLLER",
  ),
  "disable-agent": disableSwitch("Run the control plane only: no kubelet, no container runtime", "K3S_DISABLE_AGENT"),
} as const;

function disableSwitch(help: string, env: `K3S_${string}`) {
  return switchSetting({ category: "Components", env, help, fallback: false });
}
