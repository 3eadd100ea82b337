/** The command line with the flags that may stand before the command put after it. */
export interface Arranged {
  readonly command: string | undefined;
  readonly args: readonly string[];
  readonly globals: readonly string[];
}

/** `k3s --debug -d DIR server …` means `k3s server --debug -d DIR …`, as in the original. */
export function arrangeGlobalFlags(args: readonly string[]): Arranged {
  const globals: string[] = [];
  let index = 0;
  for (; index < args.length; index++) {
    const text = args[index] ?? "";
    if (/^--debug(=|$)|^--data-dir=|^-d=/.test(text)) globals.push(text);
    else if (text === "--data-dir" || text === "-d") globals.push(text, args[++index] ?? "");
    else break;
  }
  const [command, ...rest] = args.slice(index);
  return { command, args: rest, globals };
}
