import { readFile, stat } from "node:fs/promises";
import type { RouteAnswer, RouteRequest } from "@k3s/supervisor-api";

interface Span {
  readonly first: number;
  readonly last: number;
}

/**
 * A file as text, or the one part of it that was asked for (RFC 9110, 14.2). Who asks for several parts gets the whole,
 * which every client has to take.
 */
export async function fileAnswer(path: string, request: Pick<RouteRequest, "header">): Promise<RouteAnswer> {
  const [whole, { mtime }] = await Promise.all([readFile(path), stat(path)]);
  const headers = ["Last-Modified", mtime.toUTCString(), "Accept-Ranges", "bytes"];
  const range = /^bytes=(\d*)-(\d*)$/.exec(request.header("range")?.trim() ?? "");
  if (range === null) return { headers, body: whole };
  const span = spanOf(range, whole.length);
  if (span === undefined)
    return { status: 416, headers: [...headers, "Content-Range", `bytes */${whole.length}`], body: "" };
  const { first, last } = span;
  const part = ["Content-Range", `bytes ${first}-${last}/${whole.length}`];
  return { status: 206, headers: [...headers, ...part], body: whole.subarray(first, last + 1) };
}

/** Undefined when no byte of the file is asked for. */
function spanOf([, from = "", to = ""]: RegExpExecArray, length: number): Span | undefined {
  const first = from === "" ? Math.max(0, length - Number(to)) : Number(from);
  const last = from === "" || to === "" ? length - 1 : Math.min(Number(to), length - 1);
  return first <= last && (from !== "" || to !== "") ? { first, last } : undefined;
}
