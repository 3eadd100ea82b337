import { open } from "node:fs/promises";

/** GOARCH spelling, as in the names of upstream's files. */
export type Architecture = "amd64" | "arm64";

// e_machine of the ELF header (System V ABI, supplements of both processors)
const ELF_MACHINES: Readonly<Record<number, Architecture>> = { 62: "amd64", 183: "arm64" };

/** The architecture of this process; undefined for one that has no components. */
export function hostArchitecture(): Architecture | undefined {
  if (process.arch === "x64") return "amd64";
  return process.arch === "arm64" ? "arm64" : undefined;
}

/** What an executable was built for: undefined when it is no ELF file (a script), "other" when it is for something else. */
export async function elfArchitecture(path: string): Promise<Architecture | "other" | undefined> {
  const file = await open(path, "r");
  try {
    const header = Buffer.alloc(20);
    const { bytesRead } = await file.read(header, 0, header.length, 0);
    if (bytesRead < header.length || header.toString("latin1", 0, 4) !== "\x7fELF") return undefined;
    return ELF_MACHINES[header.readUInt16LE(18)] ?? "other";
  } finally {
    await file.close();
  }
}
