import type { Progress, ProgressEvent } from "@k3s/components";

export interface DisplayOptions {
  readonly write: (text: string) => void;
  /** Width of the terminal, 0 when it does not tell; undefined when the output is none (then one line for each step). */
  readonly columns: number | undefined;
  /** Milliseconds of any steady clock. */
  readonly now: () => number;
}

const REDRAW_MS = 100;
const BAR_WIDTH = 24;
const USUAL_COLUMNS = 80;

/** Shows long work: a bar that is drawn over on a terminal, else a line when a step begins and one when it ends. */
export function createProgressDisplay({ write, columns, now }: DisplayOptions): Progress {
  const begun = new Map<string, number>();
  let drawnAt = -Infinity;
  const line = (text: string) => write(columns === undefined ? `${text}\n` : `\r\u001b[K${text}\n`);
  return (event) => {
    const startedAt = begun.get(event.step) ?? now();
    const isNew = !begun.has(event.step);
    begun.set(event.step, startedAt);
    if (event.note !== undefined) line(`${event.step}: ${event.note}`);
    if (event.finished === true) {
      begun.delete(event.step);
      line(`${event.step}: done in ${((now() - startedAt) / 1000).toFixed(1)} s`);
    } else if (isRemark(event)) {
      return;
    } else if (columns === undefined) {
      if (isNew && event.note === undefined) line(`${event.step} …`);
    } else if (isNew || now() - drawnAt >= REDRAW_MS) {
      drawnAt = now();
      write(`\r\u001b[K${formatBar(event).slice(0, (columns || USUAL_COLUMNS) - 1)}`);
    }
  };
}

/** Tells nothing of how far the step is. It may be all that is ever told of it: nothing would end a bar. */
function isRemark({ note, done, total }: ProgressEvent): boolean {
  return note !== undefined && done === undefined && total === undefined;
}

function formatBar({ step, done = 0, total, unit }: ProgressEvent): string {
  if (total === undefined || total === 0) return done === 0 ? `${step} …` : `${step}  ${formatAmount(done, unit)}`;
  const share = Math.min(1, done / total);
  const filled = Math.round(share * BAR_WIDTH);
  const bar = `${"#".repeat(filled)}${"-".repeat(BAR_WIDTH - filled)}`;
  const amount = unit === undefined ? "" : `  ${formatAmount(done, unit)} of ${formatAmount(total, unit)}`;
  return `${step} [${bar}] ${Math.floor(share * 100)} %${amount}`;
}

function formatAmount(value: number, unit: ProgressEvent["unit"]): string {
  return unit === "bytes" ? `${(value / 1e6).toFixed(1)} MB` : `${value}${unit === undefined ? "" : ` ${unit}`}`;
}
