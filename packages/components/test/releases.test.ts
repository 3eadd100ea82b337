import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { findChecksum } from "../src/checksum-list.ts";
import { findRelease, upstreamFiles } from "../src/releases.ts";

describe("findRelease()", () => {
  test("knows every minor version from 1.20 to 1.36", () => {
    for (let minor = 20; minor <= 36; minor++)
      assert.match(findRelease(`1.${minor}`).kubernetes, new RegExp(`^1\\.${minor}\\.\\d+$`));
  });

  test("takes a full version as it is, with the programs of its minor version", () => {
    assert.deepEqual(findRelease("v1.30.2"), { ...findRelease("1.30"), kubernetes: "1.30.2" });
  });

  test("gives kubelets that speak CRI v1alpha2 a containerd that serves it", () => {
    for (let minor = 20; minor <= 25; minor++) assert.match(findRelease(`1.${minor}`).containerd, /^1\./);
  });

  for (const text of ["1.19", "1.37.0", "2.0", "latest", ""]) {
    test(`refuses "${text}" and names what it knows`, () => {
      assert.throws(() => findRelease(text), { code: "ERR_COMPONENT_RELEASE", message: /known are 1\.20 to 1\.36/ });
    });
  }
});

test("upstreamFiles() names the publishers' addresses", () => {
  const release = {
    kubernetes: "1.30.2",
    containerd: "1.7.29",
    runc: "1.3.3",
    cni: "1.8.0",
    etcd: "3.5.24",
    crictl: "1.30.1",
  };
  const files = upstreamFiles(release, "arm64");
  const find = (program: string) => files.find((file) => file.program === program);
  const github = "https://github.com";
  assert.deepEqual(
    ["kubelet", "containerd", "runc", "cni", "etcd", "crictl"].map((name) => [
      find(name)?.url,
      find(name)?.checksumUrl,
    ]),
    [
      [
        "https://dl.k8s.io/release/v1.30.2/bin/linux/arm64/kubelet",
        "https://dl.k8s.io/release/v1.30.2/bin/linux/arm64/kubelet.sha256",
      ],
      [
        `${github}/containerd/containerd/releases/download/v1.7.29/containerd-static-1.7.29-linux-arm64.tar.gz`,
        `${github}/containerd/containerd/releases/download/v1.7.29/containerd-static-1.7.29-linux-arm64.tar.gz.sha256sum`,
      ],
      [
        `${github}/opencontainers/runc/releases/download/v1.3.3/runc.arm64`,
        `${github}/opencontainers/runc/releases/download/v1.3.3/runc.sha256sum`,
      ],
      [
        `${github}/containernetworking/plugins/releases/download/v1.8.0/cni-plugins-linux-arm64-v1.8.0.tgz`,
        `${github}/containernetworking/plugins/releases/download/v1.8.0/cni-plugins-linux-arm64-v1.8.0.tgz.sha256`,
      ],
      [
        `${github}/etcd-io/etcd/releases/download/v3.5.24/etcd-v3.5.24-linux-arm64.tar.gz`,
        `${github}/etcd-io/etcd/releases/download/v3.5.24/SHA256SUMS`,
      ],
      [
        `${github}/kubernetes-sigs/cri-tools/releases/download/v1.30.1/crictl-v1.30.1-linux-arm64.tar.gz`,
        `${github}/kubernetes-sigs/cri-tools/releases/download/v1.30.1/crictl-v1.30.1-linux-arm64.tar.gz.sha256`,
      ],
    ],
  );
});

describe("findChecksum()", () => {
  const digest = "a".repeat(63) + "1";
  const other = "b".repeat(64);
  const cases = [
    { name: "a bare digest", list: digest },
    { name: "a bare digest in capitals with a line feed", list: `${digest.toUpperCase()}\n` },
    { name: "a line of sha256sum", list: `${digest}  tool.tar.gz\n` },
    { name: "a line in binary mode", list: `${other} *other\n${digest} *tool.tar.gz\n` },
    {
      name: "a line with a path, after other lines",
      list: `# sums\n${other}  ./other\n${digest}  ./release/tool.tar.gz\n`,
    },
  ];
  for (const { name, list } of cases) {
    test(`finds ${name}`, () => assert.equal(findChecksum(list, "tool.tar.gz"), digest));
  }

  for (const list of ["", "Not Found", `${other}  tool.tar.gz.asc`, `${other}0`]) {
    test(`finds nothing in "${list.slice(0, 12)}"`, () => assert.equal(findChecksum(list, "tool.tar.gz"), undefined));
  }
});
