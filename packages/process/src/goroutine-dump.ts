const HEADER = /^goroutine \d+ \[.*\]:$/;
/** The beginning of a call such as `k8s.io/klog/v2.(*loggingT).flushDaemon(0x0)`. */
const CALL = /^[\w./*()\u00b7-]+\(/u;

/**
 * Tells the goroutine that ended a Go program from the hundreds that only waited, all of which the program prints: klog when a
 * component gives up, such as after it lost its leadership, and Go's runtime after a panic with GOTRACEBACK=all.
 */
export class GoroutineDump {
  #goroutines = 0;

  /** Takes the program's lines in order, without empty ones; true for those of a goroutine behind the first. */
  isIdle(line: string): boolean {
    if (HEADER.test(line)) this.#goroutines++;
    else if (this.#goroutines > 0 && !isFrame(line)) this.#goroutines = 0;
    return this.#goroutines > 1;
  }
}

/** A call below a header, or the place where it is. */
function isFrame(line: string): boolean {
  return line.startsWith("\t") || line.startsWith("created by ") || (line.endsWith(")") && CALL.test(line));
}
