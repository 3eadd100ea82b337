/** What is new (+), gone (-) or different (~) between two listings of a disk, in order of the paths. */
export function describeChanges(
  before: ReadonlyMap<string, string>,
  after: ReadonlyMap<string, string>,
  ignored: RegExp,
): readonly string[] {
  const paths = [...new Set([...before.keys(), ...after.keys()])].filter((path) => !ignored.test(path)).sort();
  return paths.flatMap((path) => {
    if (!before.has(path)) return [`+ ${path}`];
    if (!after.has(path)) return [`- ${path}`];
    return before.get(path) === after.get(path) ? [] : [`~ ${path}`];
  });
}
