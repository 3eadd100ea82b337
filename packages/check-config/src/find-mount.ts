interface Mount {
  readonly point: string;
  readonly options: readonly string[];
  readonly filesystem: string;
}

/** The mount that holds `path`: the longest mount point that contains it, the latest of those on the same point (proc(5)). */
export function findMount(mountinfo: string, path: string): Mount | undefined {
  let best: Mount | undefined;
  for (const line of mountinfo.split("\n")) {
    const fields = line.split(" ");
    const [, , , , rawPoint, options] = fields;
    if (rawPoint === undefined || options === undefined) continue;
    const point = rawPoint.replace(/\\([0-7]{3})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 8)));
    const isAbove = path === point || path.startsWith(point === "/" ? "/" : `${point}/`);
    if (!isAbove || point.length < (best?.point.length ?? 0)) continue;
    best = { point, options: options.split(","), filesystem: fields[fields.indexOf("-", 6) + 1] ?? "unknown" };
  }
  return best;
}
