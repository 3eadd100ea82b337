/** Codes of the CNI specification; from 100 on a plugin's own. */
export const CODE = {
  incompatibleVersion: 1,
  invalidEnvironment: 4,
  io: 5,
  undecodable: 6,
  invalidConfig: 7,
  tryLater: 11,
} as const;

/** What goes wrong in a plugin, in the terms of the CNI specification; `details` says what can be done. */
export class PluginError extends Error {
  override readonly name = "PluginError";
  readonly code: number;
  readonly details: string;

  constructor(code: number, message: string, details = "") {
    super(message);
    this.code = code;
    this.details = details;
  }
}
