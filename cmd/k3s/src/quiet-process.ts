type Environment = Readonly<Record<string, string | undefined>>;

/** Arguments as JSON, from a process to the one that it becomes: a process list shows arguments to everybody, variables to nobody else. */
const ARGUMENTS = "K3S_ARGUMENTS";
/** glibc: one arena for all threads, and free memory at its top goes back. It reads them before anything of ours runs. */
const MEMORY = { MALLOC_ARENA_MAX: "1", MALLOC_TRIM_THRESHOLD_: "131072" };

/**
 * Starts this process anew, under the same process id, with memory settings for a process that stays, and without the arguments in
 * its command line. Returns where that has happened.
 */
export function becomeQuiet(command: string, args: readonly string[]): void {
  if (process.env[ARGUMENTS] !== undefined || process.execve === undefined) return;
  const env = { ...MEMORY, ...process.env, [ARGUMENTS]: JSON.stringify(args) };
  process.execve("/proc/self/exe", [process.argv0, command], env);
}

/** What a process was given: by who called it, or by the one that it was before. Both variables of ours are no concern of others. */
export function givenArguments(
  argv: readonly string[],
  environment: Environment,
): { readonly args: readonly string[]; readonly env: Environment } {
  const { K3S_ARGV0: _argv0, [ARGUMENTS]: handed, ...env } = environment;
  return { args: handed === undefined ? argv : (JSON.parse(handed) as string[]), env };
}
