import { parseComponentArgument } from "../parsers.ts";
import { listSetting, type Category, type Role } from "../setting.ts";

interface Options {
  readonly category: Category;
  readonly env: `K3S_${string}`;
  readonly roles?: readonly Role[];
  readonly formerly?: string;
}

/** The pass-through of arguments to one component. */
export function componentArguments(component: string, options: Options) {
  return listSetting({
    ...options,
    placeholder: "NAME=VALUE",
    help: `Argument for ${component}; NAME+=VALUE adds to ours, NAME-=VALUE goes before them`,
    separator: "none",
    parse: parseComponentArgument,
  });
}
