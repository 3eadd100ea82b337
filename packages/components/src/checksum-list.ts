const DIGEST = /^[0-9a-f]{64}$/i;

/**
 * The SHA-256 of `fileName` in a publisher's checksum file: either the bare digest, or lines of `sha256sum` (text or
 * binary marker, with or without a path). Undefined when it is not there.
 */
export function findChecksum(list: string, fileName: string): string | undefined {
  const lines = list.split("\n").map((line) => line.trim().split(/\s+/));
  const tokens = lines.flat().filter((token) => token !== "");
  if (tokens.length === 1 && DIGEST.test(tokens[0] ?? "")) return tokens[0]?.toLowerCase();
  const line = lines.find(([digest = "", name = ""]) => DIGEST.test(digest) && baseName(name) === fileName);
  return line?.[0]?.toLowerCase();
}

function baseName(name: string): string {
  return name.replace(/^\*/, "").replace(/^.*\//, "");
}
