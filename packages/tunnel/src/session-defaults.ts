import type { IncomingHttpHeaders } from "node:http";
import type { FlowControl } from "./flow-gate.ts";
import type { SessionTimes } from "./tunnel-session.ts";

/** Where a server of k3s takes tunnels. */
export const CONNECT_PATH = "/v1-k3s/connect";

/** Our agents ping every second, so that a silent server is known after two and a half. */
export const CLIENT_TIMES: SessionTimes = {
  pingEveryMs: 1_000,
  silentAfterMs: 2_500,
  deadAfterMs: 60_000,
  syncEveryMs: 60_000,
};

/** An agent of k3s pings every 5 s. */
export const SERVER_TIMES: SessionTimes = { ...CLIENT_TIMES, silentAfterMs: 8_000 };

/**
 * Said in the request and in the answer by sides that can do "perDirection"; k3s neither sends it nor minds it.
 * Frames are the same either way.
 */
const FLOW_HEADER = "k3s-tunnel-flow-control";
const PER_DIRECTION = "per-direction";

/** The header that offers or confirms flow control for each direction. */
export const FLOW_OFFER: Readonly<Record<string, string>> = { [FLOW_HEADER]: PER_DIRECTION };

/** What the headers of the other side lead to. */
export function agreedFlowControl(headers: IncomingHttpHeaders): FlowControl {
  return headers[FLOW_HEADER] === PER_DIRECTION ? "perDirection" : "shared";
}
