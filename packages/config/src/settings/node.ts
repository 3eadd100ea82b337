import { parseNodeLabel, parseNodeTaint } from "../node-metadata.ts";
import { oneOfServed, parseImage, parseNodeAddress, parseNodeName, parsePath } from "../parsers.ts";
import { listSetting, switchSetting, valueSetting } from "../setting.ts";
import { componentArguments } from "./component-arguments.ts";

const EVERY_ROLE = ["server", "agent"] as const;

export const nodeSettings = {
  "node-name": valueSetting({
    category: "Node",
    roles: EVERY_ROLE,
    env: "K3S_NODE_NAME",
    placeholder: "NAME",
    help: "Name of this node in the cluster",
    fallback: undefined,
    fallbackText: "host name",
    parse: parseNodeName,
  }),
  "node-label": listSetting({
    category: "Node",
    roles: EVERY_ROLE,
    env: "K3S_NODE_LABEL",
    placeholder: "KEY=VALUE",
    help: "Label of this node",
    parse: parseNodeLabel,
  }),
  "node-taint": listSetting({
    category: "Node",
    roles: EVERY_ROLE,
    env: "K3S_NODE_TAINT",
    placeholder: "KEY=VALUE:EFFECT",
    help: "Taint set when this node registers for the first time",
    parse: parseNodeTaint,
  }),
  "node-ip": listSetting({
    category: "Node",
    roles: EVERY_ROLE,
    short: "i",
    env: "K3S_NODE_IP",
    placeholder: "IP",
    help: "Address of this node; one per family",
    fallbackText: "address of the interface of the default route",
    parse: parseNodeAddress,
  }),
  "node-external-ip": listSetting({
    category: "Node",
    roles: EVERY_ROLE,
    env: "K3S_NODE_EXTERNAL_IP",
    placeholder: "IP",
    help: "Address under which this node is reached from outside; one per family",
    parse: parseNodeAddress,
  }),
  "resolv-conf": valueSetting({
    category: "Node",
    roles: EVERY_ROLE,
    env: "K3S_RESOLV_CONF",
    placeholder: "FILE",
    help: "Name servers for pods",
    fallback: undefined,
    fallbackText: "found out",
    parse: parsePath,
  }),
  "kubelet-arg": componentArguments("kubelet", { category: "Node", roles: EVERY_ROLE, env: "K3S_KUBELET_ARG" }),
  "kube-proxy-arg": componentArguments("kube-proxy", {
    category: "Node",
    roles: EVERY_ROLE,
    env: "K3S_KUBE_PROXY_ARG",
  }),
  "pause-image": valueSetting({
    category: "Runtime",
    roles: EVERY_ROLE,
    env: "K3S_PAUSE_IMAGE",
    placeholder: "IMAGE",
    help: "Image that holds the namespaces of a pod",
    fallback: "rancher/mirrored-pause:3.10.2",
    fallbackText: "rancher/mirrored-pause:3.10.2",
    parse: parseImage,
  }),
  snapshotter: valueSetting({
    category: "Runtime",
    roles: EVERY_ROLE,
    env: "K3S_SNAPSHOTTER",
    placeholder: "NAME",
    help: "How containerd stacks the layers of an image",
    fallback: undefined,
    fallbackText: "overlayfs, or native where overlay mounts fail",
    parse: oneOfServed(["overlayfs", "native", "btrfs", "zfs"], ["fuse-overlayfs", "stargz", "nix"]),
  }),
  "prefer-bundled-bin": switchSetting({
    category: "Runtime",
    roles: EVERY_ROLE,
    env: "K3S_PREFER_BUNDLED_BIN",
    help: "Prefer bundled tools such as iptables to those of the machine",
    fallback: false,
  }),
} as const;
