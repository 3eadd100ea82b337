import type { ComponentSource } from "./component-source.ts";

const HOST_TOOLS = "bin/aux/";

/** Fills an empty folder with the host tools of a set alone, such as iptables, and returns the folder that PATH has to name. */
export async function unpackHostTools(source: ComponentSource, to: string, signal: AbortSignal): Promise<string> {
  const manifest = await source.manifest();
  const isTool = ({ path }: { readonly path: string }) => path.startsWith(HOST_TOOLS);
  const tools = { ...manifest, files: manifest.files.filter(isTool), links: manifest.links.filter(isTool) };
  if (tools.files.length > 0) await source.install({ to, manifest: tools, signal });
  return `${to}/${HOST_TOOLS.slice(0, -1)}`;
}
