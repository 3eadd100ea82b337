/** `full`: every case at the size that the list of cases names. See the README of the cases for how to run that. */
const VARIABLE = "K3S_CASES_SCALE";

/** What a case is run with: enough to show its point, or all of it when the environment asks for that. */
export function scaled<T>(size: { readonly short: T; readonly full: T }): T {
  return process.env[VARIABLE] === "full" ? size.full : size.short;
}
