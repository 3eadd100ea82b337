import { HeaderField } from "./header-field.ts";

export interface HeaderListOptions {
  /**
   * The same list will be sent again and again: its fields are put into the connection's table, and its encoding is
   * kept. For a few constants of the program, not for lists made per answer.
   */
  readonly isConstant?: boolean;
}

/** Fields to be sent, pseudo-header fields first. */
export class HeaderList {
  readonly fields: readonly HeaderField[];
  readonly isConstant: boolean;

  /** `fields` in order as name and value. Throws TypeError for what must not be sent, such as a line break in a value. */
  constructor(fields: readonly (readonly [name: string, value: string])[], options: HeaderListOptions = {}) {
    this.fields = fields.map(([name, value]) => new HeaderField(name, value));
    this.isConstant = options.isConstant ?? false;
    const bad = this.fields.find((field) => field.isMalformed);
    if (bad !== undefined) throw new TypeError(`Cannot send header field "${bad.name}": it is malformed`);
  }
}
