/** Header names and values in turn, as received: order, repetition and spelling are kept. Values are latin1 strings. */
export type RawHeaders = readonly string[];

/** Every value of a header, in order. `name` is lower-case. */
export function headerValues(headers: RawHeaders, name: string): readonly string[] {
  const values: string[] = [];
  for (const [key, value] of headerPairs(headers)) if (key.toLowerCase() === name) values.push(value);
  return values;
}

/** The first value of a header. `name` is lower-case. */
export function headerValue(headers: RawHeaders, name: string): string | undefined {
  return headerValues(headers, name)[0];
}

export function* headerPairs(headers: RawHeaders): Generator<readonly [name: string, value: string]> {
  for (let index = 0; index + 1 < headers.length; index += 2) {
    const name = headers[index];
    const value = headers[index + 1];
    if (name !== undefined && value !== undefined) yield [name, value];
  }
}

/** The lower-case members of a comma-separated header, over all of its lines. */
export function headerTokens(headers: RawHeaders, name: string): readonly string[] {
  return headerValues(headers, name)
    .flatMap((value) => value.split(","))
    .map((token) => token.trim().toLowerCase())
    .filter((token) => token !== "");
}

/** The same headers as an object: lower-case name to all of its values. */
export function groupHeaders(headers: RawHeaders): Record<string, string[]> {
  const groups: Record<string, string[]> = {};
  for (const [name, value] of headerPairs(headers)) (groups[name.toLowerCase()] ??= []).push(value);
  return groups;
}
