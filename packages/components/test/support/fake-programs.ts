import { chmod, mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

const kubernetes = (version: string) => `echo "Kubernetes v${version}"`;

/** Shell scripts that answer the question for their version the way the real programs do, by place in a component folder. */
export function fakePrograms(version = "1.30.14"): Map<string, string> {
  const programs: [string, string][] = [
    ...["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"].map(
      (name): [string, string] => [`bin/${name}`, kubernetes(version)],
    ),
    ["bin/kubectl", `echo '{ "clientVersion": { "major": "1", "gitVersion": "v${version}" } }'`],
    [
      "bin/containerd",
      'echo "containerd github.com/containerd/containerd v1.7.29 442cb34bda9a6a0fed82a2ca7cade05c5c749582"',
    ],
    ["bin/containerd-shim-runc-v2", "exit 0"],
    ["bin/ctr", "exit 0"],
    ["bin/runc", 'echo "runc version 1.3.3"; echo "spec: 1.2.1"'],
    ["bin/etcd", 'echo "etcd Version: 3.5.24"; echo "Git SHA: abc"'],
    ["bin/etcdctl", "exit 0"],
    ["bin/crictl", 'echo "crictl version v1.30.1"'],
    ["bin/cni/bridge", 'echo "CNI bridge plugin v1.8.0" >&2'],
    ["bin/cni/host-local", "exit 0"],
    ["bin/cni/loopback", "exit 0"],
    ["bin/cni/portmap", "exit 0"],
  ];
  return new Map(programs.map(([path, body]) => [path, `#!/bin/sh\n# ${path}\n${body}\n`]));
}

/** Writes programs below `folder`; `place` says where each one goes. */
export async function writePrograms(
  folder: string,
  programs: ReadonlyMap<string, string>,
  place: (path: string) => string = (path) => path,
): Promise<void> {
  for (const [path, text] of programs) {
    const target = join(folder, place(path));
    await mkdir(dirname(target), { recursive: true });
    await writeFile(target, text);
    await chmod(target, 0o755);
  }
}
