export { aborted, abortReason } from "./aborted.ts";
export { deadline, DeadlineExceeded, repeat, sleep } from "./time.ts";
export { Latest } from "./latest.ts";
export { nextTurn } from "./next-turn.ts";
export { retry } from "./retry.ts";
export { soonAfter } from "./soon-after.ts";
export { WaitPace } from "./wait-pace.ts";
export { startWorker } from "./worker-thread.ts";
