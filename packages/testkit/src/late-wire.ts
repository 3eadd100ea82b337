import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { Program } from "./programs.ts";
import { until } from "./until.ts";

const SOURCE = join(import.meta.dirname, "../csrc/late-wire.c");
const FLAGS = ["-std=gnu17", "-O2", "-Wall", "-Wextra", "-Werror"];

export interface LateWireOptions {
  /** Name of the network namespace that both ends are in. */
  readonly network: string;
  readonly ends: readonly [string, string];
  readonly milliseconds: number;
}

/** Starts a program that carries every frame from each interface to the other, late. Compiled where it is needed: it is small. */
export async function startLateWire({ network, ends, milliseconds }: LateWireOptions): Promise<Program> {
  const cwd = await mkdtemp(join(tmpdir(), "k3s-late-wire-"));
  try {
    const file = join(cwd, "late-wire");
    await execa("gcc", [...FLAGS, "-o", file, SOURCE]);
    const wire = await Program.start(file, { args: [...ends, String(milliseconds)], cwd, network });
    await using undo = new AsyncDisposableStack();
    undo.defer(() => wire.stop());
    await until("the late wire is ready", () => Promise.resolve(wire.output.includes("ready")));
    undo.move();
    return wire;
  } finally {
    await rm(cwd, { recursive: true, force: true });
  }
}
