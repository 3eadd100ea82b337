import type { K3sServer } from "@k3s/testkit";

/** A supervised program as it really ran. */
export interface CapturedChild {
  readonly name: string;
  readonly commandLine: readonly string[];
  readonly path: string;
}

/** Command lines and PATH of the programs that a server runs right now. */
export async function captureChildren(server: K3sServer): Promise<readonly CapturedChild[]> {
  const pids = new Map([...(await server.children())].map(([name, pid]) => [pid, name]));
  const captured: CapturedChild[] = [];
  for (const { pid, commandLine } of await server.host.processes()) {
    const name = pids.get(pid);
    if (name === undefined) continue;
    const environment = await server.host.run("sh", "-c", `tr '\\0' '\\n' </proc/${pid}/environ`);
    captured.push({ name, commandLine, path: /^PATH=(.*)$/m.exec(environment)?.[1] ?? "" });
  }
  return captured;
}

export interface ByHandOptions {
  readonly etcd: string;
  /** Of every program, as under the supervisor. */
  readonly workingDirectory: string;
}

/** A shell script that starts etcd and every captured program at once, as somebody would who does it by hand, and waits for them. */
export function byHandScript(children: readonly CapturedChild[], options: ByHandOptions): string {
  const starts = children.map(({ commandLine, path }) => {
    const words = commandLine.map((word) =>
      word.startsWith("--etcd-servers=") ? "--etcd-servers=http://127.0.0.1:2379" : word,
    );
    return `PATH='${path}' ${words.map(quote).join(" ")} >/dev/null 2>&1 &`;
  });
  const etcd = `${quote(options.etcd)} --data-dir /var/lib/bench-etcd >/dev/null 2>&1 &`;
  return [`cd ${quote(options.workingDirectory)}`, etcd, ...restartLoops(starts), "wait"].join("\n");
}

/** Programs that give up without an API server are started again at once: the hand is quick. */
function restartLoops(starts: readonly string[]): readonly string[] {
  return starts.map((start) => {
    const command = start.replace(/ &$/, "");
    return `( for i in $(seq 100); do ${command}; [ $? = 137 ] && break; done ) &`;
  });
}

function quote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
